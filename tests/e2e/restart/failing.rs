//! A new process that is no good: the old one goes on as before, and `restart` says why.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use petit_tests::authority::Authority;
use petit_tests::bed::server_config;
use petit_tests::process::Program;

use super::Whole;

/// Puts a script in the place of a program; returns where the program is now.
pub(super) fn replace(program: &Path, script: &str) -> PathBuf {
    let real = program.with_extension("real");
    if !real.exists() {
        std::fs::rename(program, &real).unwrap();
    }
    let _ = std::fs::remove_file(program);
    std::fs::write(program, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(program, std::fs::Permissions::from_mode(0o755)).unwrap();
    real
}

#[tokio::test]
async fn a_program_that_does_not_start_changes_nothing() {
    let mut server = Program::server().await;
    let program = server.install();
    server.run(["start"]).await.ok();
    let whole = Whole::with(server).await;
    let visitors = whole.visitors();
    let pid = whole.pid().await;
    for (script, within, reason) in [
        ("echo 'error: no good' >&2; echo '  try another' >&2; exit 1", "30s", "no good"),
        ("echo 'something to print'; exit 0", "30s", "it ended before it was ready (exit status: 0)"),
        ("kill -SEGV $$", "30s", "signal: 11"),
        ("exec sleep 1000", "1s", "it was not ready within 1s"),
    ] {
        replace(&program, script);
        let said = whole.server.run(["restart", "--within", within]).await;
        assert_eq!(said.exit, 1, "{said:?}");
        assert!(
            said.err.contains("the new process did not take over") && said.err.contains(reason),
            "{said:?}"
        );
        let status = whole.server.status().await;
        assert_eq!((status["pid"].as_u64(), status["state"].as_str()), (Some(pid.into()), Some("running")));
        whole.server.invite([""; 0]).await;
    }
    std::fs::remove_file(&program).unwrap();
    let said = whole.server.run(["restart"]).await;
    assert!(said.exit == 1 && said.err.contains("cannot be run"), "{said:?}");
    let met = visitors.end().await;
    assert_eq!(met.disappointed(), 0, "{:?} {:?}", met.statuses, met.failures);

    // As a new version is put in place: by another file of the same name.
    std::fs::rename(program.with_extension("real"), &program).unwrap();
    whole.server.run(["restart"]).await.ok();
    assert_ne!(whole.pid().await, pid);
}

#[tokio::test]
async fn a_config_that_does_not_work_changes_nothing() {
    let whole = Whole::start("").await;
    // What is served to HTTPS visitors must not be lost either.
    let certificates = whole.server.dir().join("certificates");
    std::fs::create_dir_all(&certificates).unwrap();
    Authority::new().vouch_for(&["*.localhost"]).write(&certificates, "server");
    whole.server.run(["reload"]).await.ok();
    let visitors = whole.visitors();
    let pid = whole.pid().await;
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let good = std::fs::read_to_string(whole.server.config()).unwrap();
    let own = whole.visitor.front().port();
    let every_address =
        |ip: &str| good.replacen("proxy_port = 0", &format!("proxy_bind = \"{ip}\"\nproxy_port = {own}"), 1);
    let other_port = good.replacen("proxy_port = 0", &format!("proxy_port = {port}"), 1);
    let no_certificate =
        "certificate = \"none.crt\"\ncertificate_key = \"none.key\"\ncertificates = \"nowhere\"";
    for (config, reason) in [
        ("[server]\nnonsense = 1\n".to_owned(), "has no key \"nonsense\""),
        (server_config(no_certificate), "there is no certificate at"),
        (server_config(no_certificate), "HTTPS visitors of *.localhost would not be served any more"),
        (other_port, "another program has this port"),
        (every_address("0.0.0.0"), "the running server itself listens on 127.0.0.1"),
        (every_address("::"), "the running server itself listens on 127.0.0.1"),
        (every_address("::"), "petit-server stop, then petit-server start"),
        // Only when it is the new process's turn to open the registry does it find that there is none.
        (server_config("registry_file = \"other.db\""), "there is no registry at"),
    ] {
        std::fs::write(whole.server.config(), config).unwrap();
        let said = whole.server.run(["restart"]).await;
        assert!(said.exit == 1 && said.err.contains(reason), "{said:?}");
        assert_eq!(whole.pid().await, pid);
    }
    std::fs::write(whole.server.config(), good).unwrap();
    whole.server.run(["reload"]).await.ok();
    // The registry is written as before, and what is written is there after a restart that works.
    whole.server.invite(["--alias", "promised"]).await;
    let met = visitors.end().await;
    assert_eq!(met.disappointed(), 0, "{:?} {:?}", met.statuses, met.failures);
    whole.server.run(["restart"]).await.ok();
    let list = whole.server.run(["invite", "--list", "--json"]).await.ok().json();
    assert!(list["invites"].as_array().unwrap().iter().any(|invite| invite["alias"] == "promised"));
}

#[tokio::test]
async fn one_restart_at_a_time_and_a_stop_ends_one_that_has_begun() {
    let mut server = Program::server().await;
    let program = server.install();
    server.run(["start"]).await.ok();
    let whole = Whole::with(server).await;
    replace(&program, "exec sleep 1000");
    let first = whole.server.run(["restart", "--within", "60s"]);
    tokio::pin!(first);
    let status = tokio::select! {
        said = &mut first => panic!("{said:?}"),
        status = whole.until("a restart to have begun", |status| status["state"] == "restarting") => status,
    };
    assert!(status["pid"].is_number());
    let second = whole.server.run(["restart"]).await;
    assert!(second.exit == 1 && second.err.contains("being restarted already"), "{second:?}");
    let said = whole.server.run(["status"]).await.ok();
    assert!(said.out.contains("another process gets ready to take its place"), "{said:?}");
    whole.server.run(["stop"]).await.ok();
    let said = first.await;
    assert!(said.exit == 1 && said.err.contains("the server was asked to stop"), "{said:?}");
    assert_eq!(whole.server.run(["status"]).await.exit, 3, "nobody runs any more");
}
