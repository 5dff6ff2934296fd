//! Programs of an older version beside today's: on both ends of one tunnel, and one after the other in one folder.
//!
//! `cargo xtask test old` builds them and says in `PETIT_OLD_PROGRAMS` where they are.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may assert by failing"
)]

mod record;

use std::path::PathBuf;

use petit_tests::bed::{client_config, server_config};
use petit_tests::passing::{everything_passes, service};
use petit_tests::process::Program;
use petit_tests::service::Service;
use serde_json::Value;

/// The folder of the older programs.
fn old() -> PathBuf {
    let folder = std::env::var_os("PETIT_OLD_PROGRAMS").expect("run this by `cargo xtask test old`");
    let folder = PathBuf::from(folder);
    for program in ["petit-client", "petit-server"] {
        assert!(folder.join(program).is_file(), "{program} is in {}", folder.display());
    }
    folder
}

async fn server(is_old: bool) -> Program {
    let mut server = Program::uninitialised_server();
    if is_old {
        server.switch_to(&old());
    }
    std::fs::write(server.config(), server_config("")).unwrap();
    // The older one asks nobody for a key.
    let init = if is_old { &["init"][..] } else { &["init", "--open"] };
    server.run(init).await.ok();
    server
}

/// A registered client with an HTTP and a raw TCP service.
async fn client(is_old: bool, server: &Program, services: [&Service; 2]) -> Program {
    let mut client = Program::client();
    if is_old {
        client.switch_to(&old());
    }
    let [web, line] = services;
    let config = client_config(&[("web", web.address(), "http"), ("line", line.address(), "tcp")]);
    std::fs::write(client.config(), config).unwrap();
    client.run_with(["register"], &server.invite([""; 0]).await).await.ok();
    client
}

/// Waits until both services are proved to work as far as their server can tell, and returns the status.
async fn both_work(client: &Program, light: &str) -> Value {
    let works = |service: &Value| service["light"] == light;
    let what = format!("two lights that say {light}");
    client
        .until(&what, |status| {
            status["services"].as_array().is_some_and(|all| all.len() == 2 && all.iter().all(works))
        })
        .await
}

/// A server and a client of which one is of the older version: requests, a lost connection, a service that goes
/// away and comes back, a server that ends and starts again.
async fn one_of_them_is_old(server_is_old: bool) {
    // An older server does not try its public address; today's client says how far the proof goes.
    let works = if server_is_old { "up_to_server" } else { "green" };
    let web = Service::http("web").await;
    let line = Service::tcp_echo("hello: ").await;
    let server = server(server_is_old).await;
    let running = server.up().await;
    let client = client(!server_is_old, &server, [&web, &line]).await;
    let _client = client.up().await;
    let status = both_work(&client, works).await;
    everything_passes(&server.visitor().await, &status, 5_000_000).await;

    // What a visitor is told names the hop, and the light follows.
    let visitor = server.visitor().await;
    let host = format!("{}.localhost", service(&status, "web")["id"].as_str().unwrap());
    let address = web.stop().await;
    let answer = visitor.get(&host, "/").await;
    assert_eq!((answer.status.as_u16(), answer.petit_error().as_deref()), (502, Some("service-down")));
    client.until("a red light", |status| service(status, "web")["light"] == "red").await;
    let _web = Service::http_on("web", address).await;
    assert_eq!(visitor.get(&host, "/").await.text(), "web");
    both_work(&client, works).await;

    server.run(["stop"]).await.ok();
    assert_eq!(running.exit().await, 0);
    client.until("a client that waits", |status| status["services"][0]["light"] != works).await;
    assert_eq!(client.run(["stop"]).await.exit, 0);
}

#[tokio::test]
async fn an_old_client_works_with_todays_server() {
    one_of_them_is_old(false).await;
}

#[tokio::test]
async fn todays_client_works_with_an_old_server() {
    one_of_them_is_old(true).await;
}

/// A registration, a registry and a configuration of the older version are today's program's, too.
#[tokio::test]
async fn both_are_upgraded_where_they_are_and_nothing_is_asked_again() {
    let web = Service::http("web").await;
    let line = Service::tcp_echo("hello: ").await;
    let mut server = server(true).await;
    // Ports that stay: the client knows the server by the address in its invite.
    let running = server.up().await;
    let status = server.status().await;
    let port = |address: &Value| address.as_str().unwrap().rsplit_once(':').unwrap().1.to_owned();
    let config = std::fs::read_to_string(server.config()).unwrap();
    let config =
        config.replace("secure_proxy_port = 0", &format!("secure_proxy_port = {}", port(&status["tls"])));
    std::fs::write(server.config(), config).unwrap();
    let mut client = client(true, &server, [&web, &line]).await;
    let first = client.up().await;
    let before = both_work(&client, "green").await;

    client.run(["stop"]).await.ok();
    assert_eq!(first.exit().await, 0);
    client.switch_to(petit_tests::process::programs());
    let _client = client.up().await;
    let status = both_work(&client, "up_to_server").await;
    assert_eq!(service(&status, "web")["id"], service(&before, "web")["id"]);

    // The program on the disk is exchanged while the older one runs, as a package does it.
    server.switch_to(petit_tests::process::programs());
    let invite = server.run(["invite"]).await.ok();
    assert!(invite.out.contains("/enroll#v1."), "{invite:?}");
    let reload = server.run(["reload"]).await;
    assert!(reload.out.contains("The config file is in force"), "{reload:?}");
    let restart = server.run(["restart"]).await;
    assert!(restart.exit == 1 && restart.err.contains("stop, and then"), "{restart:?}");
    server.run(["stop"]).await.ok();
    assert_eq!(running.exit().await, 0);
    let _server = server.up().await;
    let status = both_work(&client, "green").await;
    assert_eq!(service(&status, "web")["id"], service(&before, "web")["id"]);
    everything_passes(&server.visitor().await, &status, 5_000_000).await;
}
