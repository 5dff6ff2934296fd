//! Health checks: what a command says, and its exit code, to whoever watches over a program.

use petit_tests::process::Program;
use rustix::process::Signal;

use super::{Whole, signal};

/// What a health check says; it exits with 0 or 1 and nothing else.
async fn says(program: &Program, check: &str) -> (i32, String) {
    let said = program.run(["check", check]).await;
    assert!([0, 1].contains(&said.exit), "{said:?}");
    assert_eq!(said.out.is_empty(), said.exit == 1, "{said:?}");
    (said.exit, format!("{}{}", said.out, said.err))
}

async fn assert_says(program: &Program, check: &str, exit: i32, text: &str) {
    let (code, said) = says(program, check).await;
    assert!(code == exit && said.contains(text), "expected {exit} and {text:?}: {code} {said:?}");
}

#[tokio::test]
async fn a_server_is_live_until_its_end_and_ready_until_it_is_asked_to_stop() {
    let whole = Whole::start("").await;
    let server = &whole.server;
    assert_says(server, "--live", 0, "The server is alive.").await;
    assert_says(server, "--ready", 0, "The server is ready for visitors and clients.").await;
    // Whoever is replaced leaves a successor that is ready.
    server.run(["restart"]).await.ok();
    assert_says(server, "--ready", 0, "ready").await;
    let waiting = whole.held_request().await;
    let mut stopping = server.spawn(["stop"]);
    assert!(stopping.line().await.unwrap().contains("Waiting for 1 request"));
    assert_says(server, "--live", 0, "alive").await;
    assert_says(server, "--ready", 1, "the server is not ready: it is stopping").await;
    whole.http_service.let_go();
    assert_eq!(waiting.await.unwrap().text(), "done");
    assert_eq!(stopping.exit().await, 0);
    for check in ["--live", "--ready"] {
        assert_says(server, check, 1, "petit-server is not running").await;
    }
    // One of them has to be asked for, and only one.
    for arguments in [&["check"][..], &["check", "--live", "--ready"]] {
        assert_eq!(server.run(arguments).await.exit, 2, "{arguments:?}");
    }
}

#[tokio::test]
async fn a_client_is_ready_while_it_is_connected() {
    let whole = super::client::in_the_background("").await;
    let client = &whole.client;
    super::client::until_green(&whole).await;
    assert_says(client, "--live", 0, "The client is alive.").await;
    assert_says(client, "--ready", 0, "The client is ready: it is connected").await;
    // Without its server it is as live as before.
    whole.server.run(["stop"]).await.ok();
    let is_away = |status: &serde_json::Value| status["connection"]["state"] != "online";
    client.until("to be away", is_away).await;
    assert_says(client, "--live", 0, "alive").await;
    assert_says(client, "--ready", 1, "the client is not ready: ").await;
    client.run(["stop"]).await.ok();
    for check in ["--live", "--ready"] {
        assert_says(client, check, 1, "petit-client is not running").await;
    }
    assert_eq!(client.run(["check", "--live", "--ready"]).await.exit, 2);
}

#[tokio::test]
async fn a_client_that_is_stopping_is_not_ready() {
    let whole = super::client::in_the_background("").await;
    super::client::until_green(&whole).await;
    let waiting = whole.held_request().await;
    let mut stopping = whole.client.spawn(["stop"]);
    assert!(stopping.line().await.unwrap().contains("Waiting for 1 request or connection"));
    assert_says(&whole.client, "--live", 0, "alive").await;
    assert_says(&whole.client, "--ready", 1, "the client is not ready: stopping").await;
    whole.http_service.let_go();
    assert_eq!(waiting.await.unwrap().text(), "done");
    assert_eq!(stopping.exit().await, 0);
}

#[tokio::test]
async fn a_program_that_answers_nothing_any_more_is_not_live() {
    let whole = super::client::in_the_background("").await;
    let (server, client) = (whole.pid().await, super::client::until_green(&whole).await);
    for pid in [server, client] {
        signal(pid, Signal::STOP);
    }
    tokio::join!(
        assert_says(&whole.server, "--live", 1, "the server has not answered within 5 s"),
        assert_says(&whole.server, "--ready", 1, "the server has not answered within 5 s"),
        assert_says(&whole.client, "--live", 1, "the client has not answered within 5 s"),
        assert_says(&whole.client, "--ready", 1, "the client has not answered within 5 s"),
    );
    for pid in [server, client] {
        signal(pid, Signal::CONT);
    }
    assert_says(&whole.server, "--live", 0, "alive").await;
    assert_says(&whole.client, "--live", 0, "alive").await;
}
