//! Clocks that are set while everything runs. libfaketime stands between the programs and the system's clock, so
//! that the test can set theirs and nobody else's.

use std::path::PathBuf;

use petit_tests::bed::client_config;
use petit_tests::process::Program;
use petit_tests::service::Service;

/// A clock that can be set.
struct Clock(PathBuf);

impl Clock {
    fn set(&self, offset: &str) {
        // Whole and at once: a reader must not find an empty file.
        let new = self.0.with_extension("new");
        std::fs::write(&new, offset).unwrap();
        std::fs::rename(&new, &self.0).unwrap();
    }

    fn of(&self, program: Program) -> Program {
        let library = ["/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu"]
            .map(|dir| PathBuf::from(dir).join("faketime/libfaketime.so.1"));
        let library = library.iter().find(|path| path.exists()).expect("libfaketime is installed");
        program
            .env("LD_PRELOAD", library.to_str().unwrap())
            .env("FAKETIME_TIMESTAMP_FILE", self.0.to_str().unwrap())
            .env("FAKETIME_NO_CACHE", "1")
            .env("DONT_FAKE_MONOTONIC", "1")
    }
}

#[tokio::test]
async fn a_clock_that_is_set_drops_no_tunnel_and_invites_go_by_the_servers() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Clock(dir.path().join("clock"));
    clock.set("+0");
    let server = clock.of(Program::server().await);
    let running = server.up().await;
    let service = Service::http("s").await;
    let client = clock.of(Program::client());
    std::fs::write(client.config(), client_config(&[("web", service.address(), "http")])).unwrap();
    client.run_with(["register"], &server.invite([""; 0]).await).await.ok();
    let _client = client.up().await;
    let id = client.until_green().await["services"][0]["id"].as_str().unwrap().to_owned();
    let (visitor, host) = (server.visitor().await, format!("{id}.localhost"));

    let now = server.invite([""; 0]).await;
    for offset in ["+1h", "-1h", "+1d", "-1d", "+0"] {
        clock.set(offset);
        for _ in 0..20 {
            assert_eq!(visitor.get(&host, "/").await.text(), "s", "at {offset}");
        }
    }
    let log = client.run(["logs", "-n", "500"]).await.ok().out;
    assert_eq!(log.matches("online").count(), 1, "one session all the time: {log}");

    // An invite ends when it ends. One from the future is borne for two minutes, as when a clock was set right.
    let refused = |said: petit_tests::process::Said| {
        assert_eq!(said.exit, 5, "{said:?}");
        assert!(said.err.contains("expired") || said.err.contains("not yet"), "{said:?}");
    };
    let other = || {
        let other = Program::client();
        std::fs::write(other.config(), client_config(&[("web", service.address(), "http")])).unwrap();
        other
    };
    clock.set("+61m");
    refused(other().run_with(["register"], &now).await);
    clock.set("-3m");
    refused(other().run_with(["register"], &now).await);
    clock.set("-90s");
    other().run_with(["register"], &now).await.ok();
    drop(running);
}
