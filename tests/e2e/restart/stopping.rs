//! One stop that reaches a process more than once, as a service manager's does; and somebody who insists.

use bytes::Bytes;
use http_body_util::Empty;
use petit_tests::bed::server_config;
use petit_tests::process::Program;
use petit_tests::program::port;
use petit_tests::soon;
use petit_tests::visitor::{request, whole};
use rustix::process::Signal;

use super::foreground::foreground;
use super::{Whole, gone, signal, until_logged};

/// What a process that finishes what is under way says when it is asked once more, and not to hurry.
const STILL: &str = "still finishing what is under way";

#[tokio::test]
async fn a_signal_behind_a_command_is_the_same_stop() {
    let whole = Whole::start("").await;
    let waiting = whole.held_request().await;
    let pid = whole.pid().await;
    let mut stopping = whole.server.spawn(["stop"]);
    assert!(stopping.line().await.unwrap().contains("Waiting for 1 request"));
    signal(pid, Signal::TERM);
    until_logged(&whole.log(), STILL).await;
    whole.http_service.let_go();
    assert_eq!(waiting.await.unwrap().text(), "done");
    assert_eq!(stopping.exit().await, 0);
}

#[tokio::test]
async fn a_second_signal_ends_a_server_at_once_whatever_was_asked_before() {
    let whole = Whole::start("").await;
    let waiting = whole.held_request().await;
    let pid = whole.pid().await;
    let mut stopping = whole.server.spawn(["stop"]);
    assert!(stopping.line().await.unwrap().contains("Waiting for 1 request"));
    // That the config is to be read again says nothing about the stop.
    signal(pid, Signal::HUP);
    signal(pid, Signal::TERM);
    until_logged(&whole.log(), STILL).await;
    signal(pid, Signal::TERM);
    assert_eq!(waiting.await.unwrap().petit_error().as_deref(), Some("cut"), "its visitor is told");
    assert_eq!(stopping.exit().await, 0);
}

#[tokio::test]
async fn the_anchors_word_and_a_signal_are_the_same_stop() {
    let (whole, mut running) = foreground().await;
    whole.server.run(["restart"]).await.ok();
    running.until("stopped; another process serves").await;
    let waiting = whole.held_request().await;
    let second = whole.pid().await;
    // A service manager signals every process of the service.
    running.signal("TERM").await;
    whole.until("the second process to stop", |status| status["state"] == "stopping").await;
    signal(second, Signal::TERM);
    until_logged(&whole.log(), STILL).await;
    whole.http_service.let_go();
    assert_eq!(waiting.await.unwrap().text(), "done");
    assert_eq!(running.exit().await, 0);
}

#[tokio::test]
async fn a_signal_does_not_cut_what_a_process_finishes_that_was_replaced() {
    let whole = Whole::start("").await;
    let waiting = whole.held_request().await;
    let old = whole.pid().await;
    whole.server.run(["restart"]).await.ok();
    signal(old, Signal::TERM);
    until_logged(&whole.log(), STILL).await;
    assert_ne!(whole.pid().await, old, "the one that serves was not meant");
    whole.http_service.let_go();
    assert_eq!(waiting.await.unwrap().text(), "done");
    soon("the old process to end", gone(old)).await;
}

#[tokio::test]
async fn a_signal_behind_a_command_is_the_same_stop_to_a_client_too() {
    let whole = super::client::in_the_background("").await;
    let waiting = whole.held_request().await;
    let pid = super::client::until_green(&whole).await;
    let mut stopping = whole.client.spawn(["stop"]);
    assert!(stopping.line().await.unwrap().contains("Waiting for 1 request or connection"));
    signal(pid, Signal::TERM);
    until_logged(&whole.client.dir().join("logs/client.log"), STILL).await;
    whole.http_service.let_go();
    assert_eq!(waiting.await.unwrap().text(), "done");
    assert_eq!(stopping.exit().await, 0);
}

/// How many visits for a path the access log tells of.
fn told(whole: &Whole, path: &str) -> usize {
    let log = std::fs::read_to_string(whole.server.dir().join("logs/access.log")).unwrap();
    let lines: Vec<serde_json::Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    lines.iter().filter(|line| line["path"] == path).count()
}

#[tokio::test]
async fn the_access_log_tells_of_a_visit_that_an_end_at_once_cuts() {
    let whole = Whole::start("access_log = \"json\"").await;
    // Of a process that was replaced.
    let waiting = whole.held_request().await;
    let old = whole.pid().await;
    whole.server.run(["restart"]).await.ok();
    signal(old, Signal::TERM);
    until_logged(&whole.log(), STILL).await;
    signal(old, Signal::TERM);
    soon("the old process to end", gone(old)).await;
    assert_eq!(waiting.await.unwrap().petit_error().as_deref(), Some("cut"), "its visitor is told");
    assert_eq!(told(&whole, "/wait"), 1);

    // Of one that stops.
    let waiting = whole.held_request().await;
    let pid = whole.pid().await;
    let mut stopping = whole.server.spawn(["stop"]);
    assert!(stopping.line().await.unwrap().contains("Waiting for 1 request"));
    whole.server.run(["stop"]).await;
    soon("the process to end", gone(pid)).await;
    assert_eq!(waiting.await.unwrap().petit_error().as_deref(), Some("cut"), "its visitor is told");
    assert_eq!((stopping.exit().await, told(&whole, "/wait")), (0, 2));
}

/// A process that does nothing until this is dropped: one that was left so would never end.
struct Held(u32);

impl Held {
    fn hold(pid: u32) -> Self {
        signal(pid, Signal::STOP);
        Self(pid)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        signal(self.0, Signal::CONT);
    }
}

#[tokio::test]
async fn who_was_connected_when_a_server_was_stopped_is_waited_for_by_the_next_one() {
    // Its client finds it again.
    let config =
        server_config("").replace("secure_proxy_port = 0", &format!("secure_proxy_port = {}", port()));
    let server = Program::server_with(&config).await;
    server.run(["start"]).await.ok();
    let bed = Whole::with(server).await;
    let client = u32::try_from(bed.client.status().await["pid"].as_u64().unwrap()).unwrap();
    bed.server.run(["stop"]).await.ok();
    let held = Held::hold(client);
    bed.server.run(["start"]).await.ok();
    let (visitor, host) = (bed.server.visitor().await, bed.host.clone());
    let asked = tokio::spawn(async move {
        let asked = request(&host, "GET", "/", Empty::<Bytes>::new());
        whole(visitor.open(asked).await).await.status
    });
    // The client itself has no connection.
    bed.until("a visitor who waits", |status| status["now"]["connections"] == 1).await;
    drop(held);
    assert_eq!(soon("an answer", asked).await.unwrap(), 200);

    // A client that was away already is away.
    bed.server.run(["stop"]).await.ok();
    let held = Held::hold(client);
    std::fs::remove_file(bed.server.dir().join("connected-at-stop.json")).unwrap();
    bed.server.run(["start"]).await.ok();
    let (visitor, host) = (bed.server.visitor().await, bed.host.clone());
    let away = whole(visitor.open(request(&host, "GET", "/", Empty::<Bytes>::new())).await).await;
    assert_eq!(away.petit_error().as_deref(), Some("client-away"));
    drop(held);
}
