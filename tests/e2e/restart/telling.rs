//! What the commands say of a restart: when one is due, what is waited for, what to do.

use petit_tests::bed::server_config;
use petit_tests::process::Program;
use petit_tests::soon;

use super::{Whole, gone};

#[tokio::test]
async fn settings_that_need_a_restart_are_named_and_are_in_force_after_it() {
    let all = Whole::start("").await;
    std::fs::write(all.server.config(), server_config("legacy_errors = true\nmax_services = 3")).unwrap();
    let said = all.server.run(["reload"]).await;
    assert_eq!(said.exit, 6, "{said:?}");
    assert!(
        said.out.contains("need a restart: legacy_errors; put them in force with: petit-server restart"),
        "{said:?}"
    );
    let said = all.server.run(["status"]).await.ok();
    assert!(said.out.contains("restart    due for legacy_errors"), "{said:?}");
    // What the file says and what is in force are told apart, setting by setting.
    let shown = all.server.run(["config", "show"]).await.ok();
    let of = |out: &str, name: &str| out.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
    assert!(of(&shown.out, "legacy_errors = true").ends_with("# file; waits for a restart"), "{shown:?}");
    assert!(shown.out.contains("\n#   in force: false\n"), "{shown:?}");
    assert!(of(&shown.out, "max_services = 3").ends_with("# file; a change needs a reload"), "{shown:?}");
    assert!(
        of(&shown.out, "trusted_proxies = []").ends_with("# default; a change needs a restart"),
        "{shown:?}"
    );
    assert_eq!(
        all.visitor.get("nobody.localhost", "/").await.petit_error().as_deref(),
        Some("unknown-service")
    );
    all.server.run(["restart"]).await.ok();
    let answer = all.visitor.get("nobody.localhost", "/").await;
    assert!(answer.text().contains("g2c"), "the original's body: {}", answer.text());
    let status = all.server.status().await;
    assert!(status["needs_restart"].as_array().unwrap().is_empty());
    assert_eq!(all.server.run(["reload"]).await.exit, 0);
    let shown = all.server.run(["config", "show"]).await.ok();
    assert!(
        of(&shown.out, "legacy_errors = true").ends_with("# file; a change needs a restart"),
        "{shown:?}"
    );
}

#[tokio::test]
async fn a_stop_says_what_it_waits_for_and_ends_at_once_when_asked_again() {
    let all = Whole::start("").await;
    let waiting = all.held_request().await;
    let pid = all.pid().await;
    let mut stopping = all.server.spawn(["stop"]);
    let line = stopping.line().await.unwrap();
    assert!(
        line.contains("Waiting for 1 request, for ") && line.contains("To end at once: petit-server stop"),
        "{line}"
    );
    let said = all.server.run(["status"]).await.ok();
    assert!(said.out.contains("stopping   it waits for 1 request, for "), "{said:?}");
    all.server.run(["stop"]).await.ok();
    assert_eq!(stopping.exit().await, 0);
    soon("the server to end", gone(pid)).await;
    assert_eq!(waiting.await.unwrap().petit_error().as_deref(), Some("cut"), "its visitor is told");
}

#[tokio::test]
async fn a_control_socket_that_was_removed_is_no_dead_end() {
    let server = Program::server().await;
    server.run(["start"]).await.ok();
    let pid = server.status().await["pid"].as_u64().unwrap();
    std::fs::remove_file(server.dir().join("server.sock")).unwrap();
    let said = server.run(["status"]).await;
    // It may be there again already.
    if said.exit != 0 {
        assert_eq!(said.exit, 1, "{said:?}");
        assert!(said.err.contains(&format!("runs (process {pid}) but does not answer")), "{said:?}");
        assert!(said.err.contains(&format!("kill {pid}")), "{said:?}");
    }
    soon("the socket to be there again", async { while server.run(["status"]).await.exit != 0 {} }).await;
    assert_eq!(server.status().await["pid"], pid);
    server.run(["stop"]).await.ok();
}
