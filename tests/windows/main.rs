//! The programs for Windows, run under Wine: each end of the tunnel, with the other end on this system; the tray app, and the
//! installer.
//!
//! `cargo xtask test windows` builds them and says in `PETIT_WINDOWS_PROGRAMS` where they are, and in
//! `PETIT_WINDOWS_SETUPS` where their installers are. What Wine cannot show
//! stands in `docs/manual-checks.md`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may assert by failing"
)]

mod held;
mod installer;
mod resources;
mod service;
mod tray;
mod tray_update;
mod updates;

use petit_tests::bed::client_config;
use petit_tests::passing::{everything_passes, service};
use petit_tests::process::Program;
use petit_tests::service::Service;
use petit_tests::soon;
use petit_tests::visitor::Visitor;
use serde_json::Value;

/// Waits until all of so many services are proved to work.
async fn all_work(client: &Program, count: usize) -> Value {
    let works = |service: &Value| service["light"] == "green";
    client
        .until(&format!("{count} green lights"), |status| {
            status["services"].as_array().is_some_and(|all| all.len() == count && all.iter().all(works))
        })
        .await
}

/// Twenty visitors with ten requests each.
async fn a_crowd_passes(visitor: &Visitor, status: &Value) {
    let host = format!("{}.localhost", service(status, "web")["id"].as_str().unwrap());
    let visits = (0..20).map(|_| {
        let (visitor, host) = (*visitor, host.clone());
        tokio::spawn(async move {
            for _ in 0..10 {
                assert_eq!(visitor.get(&host, "/").await.text(), "web");
            }
        })
    });
    for visit in visits.collect::<Vec<_>>() {
        soon("ten answers", visit).await.unwrap();
    }
}

/// Invite, key in the keychain, run, status over the pipe, requests, an edit of the config file, a crash, a second
/// start that is refused, an orderly end, and the end of the registration.
#[tokio::test]
async fn a_client_on_windows_works_from_its_invite_to_its_end() {
    let web = Service::http("web").await;
    let line = Service::tcp_echo("hello: ").await;
    let server = Program::server().await;
    let _server = server.up().await;
    let client = Program::windows_client();
    let config = client_config(&[("web", web.address(), "http"), ("line", line.address(), "tcp")]);
    // As Windows' own editor writes it.
    let config = config.replace("key_store = \"file\"\n", "").replace('\n', "\r\n");
    std::fs::write(client.config(), format!("\u{feff}{config}")).unwrap();

    let registered =
        client.run_with(["register"], &format!("{}\r\n", server.invite([""; 0]).await)).await.ok();
    assert!(registered.out.contains("web"), "{registered:?}");
    assert!(!client.dir().join("device.key").exists(), "the key is in the keychain");
    let running = client.up().await;
    let status = all_work(&client, 2).await;
    let visitor = server.visitor().await;
    everything_passes(&visitor, &status, 50_000_000).await;
    a_crowd_passes(&visitor, &status).await;
    let doctor = client.run(["doctor"]).await.ok();
    assert!(doctor.out.contains("device key") && doctor.out.contains("keychain"), "{doctor:?}");

    // An edit from outside is in force without being asked for.
    let third = Service::http("third").await;
    let more =
        client_config(&[("third", third.address(), "http")]).replace("[client]\nkey_store = \"file\"\n", "");
    std::fs::write(client.config(), format!("{config}{more}")).unwrap();
    let status = all_work(&client, 3).await;
    let id = service(&status, "third")["id"].as_str().unwrap();
    assert_eq!(visitor.get(&format!("{id}.localhost"), "/").await.text(), "third");

    let second = client.run(["run"]).await;
    assert_eq!(second.exit, 1, "{second:?}");
    assert!(second.err.contains("running already"), "{second:?}");

    running.kill().await;
    let status = client.run(["status"]).await;
    assert_eq!(status.exit, 3, "{status:?}");
    let running = client.up().await;
    let status = all_work(&client, 3).await;
    everything_passes(&visitor, &status, 100_000).await;

    client.run(["stop"]).await.ok();
    assert_eq!(running.exit().await, 0);
    client.run(["unregister", "--yes"]).await.ok();
    let status = client.run(["status"]).await;
    assert_eq!(status.exit, 4, "{status:?}");
    let clients = server.run(["clients", "list", "--json"]).await.ok().json();
    assert_eq!(clients["clients"].as_array().map(Vec::len), Some(0), "{clients}");
}

/// In the background, as a person starts it without the tray.
#[tokio::test]
async fn a_client_on_windows_starts_in_the_background_and_stops() {
    let web = Service::http("web").await;
    let server = Program::server().await;
    let _server = server.up().await;
    let client = Program::windows_client();
    std::fs::write(client.config(), client_config(&[("web", web.address(), "http")])).unwrap();
    client.run_with(["register"], &server.invite([""; 0]).await).await.ok();
    // Whoever reads what it says reads to the end: what runs on does not hold it open.
    let mut starting = client.spawn(["start"]);
    starting.until("petit-client status").await;
    assert_eq!(starting.line().await, None);
    assert_eq!(starting.exit().await, 0);
    let status = all_work(&client, 1).await;
    let host = format!("{}.localhost", service(&status, "web")["id"].as_str().unwrap());
    assert_eq!(server.visitor().await.get(&host, "/").await.text(), "web");
    client.run(["log", "debug"]).await.ok();
    let logs = client.run(["logs"]).await.ok();
    assert!(logs.out.contains("INFO"), "{logs:?}");
    client.run(["stop"]).await.ok();
    assert_eq!(client.run(["status"]).await.exit, 3);
}

/// The server's whole way, with a backup that is put back after its registry was lost.
#[tokio::test]
async fn a_server_on_windows_works_and_comes_back_from_its_backup() {
    let web = Service::http("web").await;
    let line = Service::tcp_echo("hello: ").await;
    let server = Program::windows_server().await;
    let running = server.up().await;
    let status = server.status().await;
    // A port that stays: the client knows the server by the address in its invite.
    let port = status["tls"].as_str().unwrap().rsplit_once(':').unwrap().1.to_owned();
    let config = std::fs::read_to_string(server.config()).unwrap();
    let config = config.replace("secure_proxy_port = 0", &format!("secure_proxy_port = {port}"));
    std::fs::write(server.config(), config).unwrap();

    let client = Program::client();
    let config = client_config(&[("web", web.address(), "http"), ("line", line.address(), "tcp")]);
    std::fs::write(client.config(), config).unwrap();
    client.run_with(["register"], &server.invite([""; 0]).await).await.ok();
    let _client = client.up().await;
    let status = all_work(&client, 2).await;
    let visitor = server.visitor().await;
    everything_passes(&visitor, &status, 50_000_000).await;
    a_crowd_passes(&visitor, &status).await;

    let saved = tempfile::tempdir().unwrap();
    let backup = saved.path().join("backup");
    server.run([std::ffi::OsStr::new("backup"), backup.as_os_str()]).await.ok();
    // Paths are whole, with the system's own separators.
    let shown = server.run(["config", "show", "--json"]).await.ok().json();
    let shown = shown.to_string();
    assert!(shown.contains(r"certificates\\server.crt") && !shown.contains("certificates/"), "{shown}");

    server.run(["stop"]).await.ok();
    assert_eq!(running.exit().await, 0);
    for lost in ["registry.db", "server.key"] {
        std::fs::remove_file(server.dir().join(lost)).unwrap();
    }
    assert_ne!(server.run(["run"]).await.exit, 0, "there is no registry");
    server.run([std::ffi::OsStr::new("restore"), backup.as_os_str()]).await.ok();
    let _running = server.up().await;
    let status = all_work(&client, 2).await;
    everything_passes(&server.visitor().await, &status, 100_000).await;
    let verified = server.run(["audit", "verify"]).await.ok();
    assert!(!verified.out.is_empty());
}
