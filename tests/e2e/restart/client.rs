//! `petit-client restart`, with the real programs.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http_body_util::{BodyExt, Empty};
use petit_tests::soon;
use petit_tests::steady::{Manner, Steady};
use petit_tests::visitor::{request, sum};
use rustix::process::Signal;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use super::{Whole, gone, is_there, signal};
use crate::upgrade::connect;

/// Forty visitors a second.
const EVERY: Duration = Duration::from_millis(25);

/// Has the client run in the background instead of in the test's hands.
pub(super) async fn in_the_background(more: &str) -> Whole {
    let mut whole = Whole::start(more).await;
    whole.client.run(["stop"]).await.ok();
    if let Some(running) = whole.client_running.take() {
        running.exit().await;
    }
    whole.client.run(["start"]).await.ok();
    until_green(&whole).await;
    whole
}

pub(super) async fn until_green(whole: &Whole) -> u32 {
    let is_green = |status: &serde_json::Value| {
        let services = status["services"].as_array().unwrap();
        services.len() == 2 && services.iter().all(|service| service["light"] == "green")
    };
    let status = whole.client.until("two green lights", is_green).await;
    u32::try_from(status["pid"].as_u64().unwrap()).unwrap()
}

#[tokio::test]
async fn forty_requests_a_second_over_several_restarts_of_the_client_all_get_their_answers() {
    let whole = in_the_background("").await;
    let hosts = vec![whole.host.clone()];
    let mut fresh = Steady::start(whole.visitor.front(), hosts.clone(), EVERY, Manner::Fresh);
    let mut kept = Steady::start(whole.visitor.front(), hosts, EVERY, Manner::Kept);
    let mut pids = vec![until_green(&whole).await];
    for _ in 0..3 {
        fresh.more(10).await;
        kept.more(10).await;
        let said = whole.client.run(["restart"]).await.ok();
        assert!(said.out.contains("The client was restarted: process"), "{said:?}");
        pids.push(until_green(&whole).await);
    }
    fresh.more(20).await;
    for (name, steady) in [("fresh", fresh), ("kept", kept)] {
        let met = steady.end().await;
        assert_eq!(met.disappointed(), 0, "{name}: {:?} {:?} {:?}", met.statuses, met.errors, met.failures);
        assert!(met.times.count() > 40, "{name}: {}", met.times.count());
        petit_tests::figures::figure(format!(
            "visitors over 3 restarts of a client ({name}): {}",
            met.times.summary()
        ));
    }
    let lock = std::fs::read_to_string(whole.client.dir().join("client.lock")).unwrap();
    assert_eq!(lock, pids[3].to_string(), "the lock says which");
    pids.sort_unstable();
    pids.dedup();
    assert_eq!(pids.len(), 4, "each time another process serves");
    whole.client.run(["stop"]).await.ok();
}

#[tokio::test]
async fn what_is_open_is_finished_by_the_old_process() {
    let whole = in_the_background("").await;
    let old = until_green(&whole).await;
    let mut socket = connect(whole.visitor, &whole.host, "/ws").await.unwrap();
    let asked = request(&whole.host, "GET", "/bytes/60000000", Empty::<Bytes>::new());
    let mut download = whole.visitor.open(asked).await.into_body();
    let begun = soon("the first bytes", download.frame()).await.unwrap().unwrap().into_data().unwrap();
    let mut database = TcpStream::connect(&whole.tcp).await.unwrap();
    soon("a greeting", database.read_exact(&mut [0; 2])).await.unwrap();

    let said = whole.client.run(["restart"]).await.ok();
    assert!(
        said.out.contains(&format!("The old process ({old}) finishes 3 requests and connections")),
        "{said:?}"
    );
    assert!(is_there(old) && until_green(&whole).await != old);
    socket.send(Message::text("still there")).await.unwrap();
    assert_eq!(soon("an echo", socket.next()).await.unwrap().unwrap(), Message::text("still there"));
    database.write_all(b"select 1").await.unwrap();
    let mut answer = [0; 8];
    soon("an answer", database.read_exact(&mut answer)).await.unwrap();
    assert_eq!(&answer, b"select 1");
    let (rest, _) = soon("the download", sum(download)).await.unwrap();
    assert_eq!(rest as usize + begun.len(), 60_000_000, "the whole of it");
    drop((database, socket));
    soon("the old process to end", gone(old)).await;
    assert_eq!(whole.visitor.get(&whole.host, "/").await.status, 200);
    whole.client.run(["stop"]).await.ok();
}

#[tokio::test]
async fn websockets_are_told_that_the_old_client_goes_away() {
    let whole = in_the_background("").await;
    let old = until_green(&whole).await;
    let mut socket = connect(whole.visitor, &whole.host, "/ws").await.unwrap();
    socket.send(Message::text("before")).await.unwrap();
    soon("an echo", socket.next()).await.unwrap().unwrap();
    whole.client.run(["restart"]).await.ok();
    match soon("a goodbye", socket.next()).await {
        Some(Ok(Message::Close(Some(close)))) => assert_eq!(close.code, CloseCode::Away),
        other => panic!("no close frame: {other:?}"),
    }
    assert!(soon("the end", socket.next()).await.is_none(), "a connection that were cut would be an error");
    soon("the old process to end", gone(old)).await;
    whole.client.run(["stop"]).await.ok();
}

#[tokio::test]
async fn a_new_client_that_is_of_no_use_changes_nothing() {
    let whole = in_the_background("").await;
    let old = until_green(&whole).await;
    let registration = whole.client.dir().join("registration.json");
    let kept = std::fs::read(&registration).unwrap();
    std::fs::remove_file(&registration).unwrap();
    let said = whole.client.run(["restart"]).await;
    assert_eq!(said.exit, 1, "{said:?}");
    assert!(
        said.err.contains("the new process did not take over: this computer is not registered"),
        "{said:?}"
    );
    std::fs::write(&registration, kept).unwrap();
    assert_eq!(until_green(&whole).await, old);
    assert_eq!(whole.visitor.get(&whole.host, "/").await.status, 200);
    let lock = std::fs::read_to_string(whole.client.dir().join("client.lock")).unwrap();
    assert_eq!(lock, old.to_string());
    // A mistake in the config is said before anything is begun.
    std::fs::write(whole.client.config(), "[client]\nlog_levle = 1\n").unwrap();
    let said = whole.client.run(["restart"]).await;
    assert!(said.exit == 1 && said.err.contains("did you mean \"log_level\""), "{said:?}");
    whole.client.run(["stop"]).await.ok();
}

#[tokio::test]
async fn the_old_client_serves_again_when_the_new_one_is_killed() {
    let whole = in_the_background("").await;
    let old = until_green(&whole).await;
    // It keeps the old process there.
    let mut socket = connect(whole.visitor, &whole.host, "/ws").await.unwrap();
    socket.send(Message::text("before")).await.unwrap();
    soon("an echo", socket.next()).await.unwrap().unwrap();
    let said = whole.client.run(["--json", "restart"]).await.ok().json();
    let new = said["pid"].as_u64().unwrap();
    signal(new.try_into().unwrap(), Signal::KILL);
    whole.client.until("the old one to serve again", |status| status["pid"] == old).await;
    assert_eq!(until_green(&whole).await, old);
    assert_eq!(whole.visitor.get(&whole.host, "/").await.status, 200);
    socket.send(Message::text("after")).await.unwrap();
    assert_eq!(soon("an echo", socket.next()).await.unwrap().unwrap(), Message::text("after"));
    drop(socket);
    whole.client.run(["stop"]).await.ok();
}

#[tokio::test]
async fn a_stop_and_a_status_say_what_the_client_waits_for() {
    let whole = in_the_background("").await;
    let pid = until_green(&whole).await;
    let mut socket = connect(whole.visitor, &whole.host, "/ws").await.unwrap();
    socket.send(Message::text("before")).await.unwrap();
    soon("an echo", socket.next()).await.unwrap().unwrap();
    let mut stopping = whole.client.spawn(["stop"]);
    let line = stopping.line().await.unwrap();
    assert!(
        line.contains(
            "Waiting for 1 request or connection, for 30 s at most. To end at once: petit-client stop"
        ),
        "{line}"
    );
    let said = whole.client.run(["status"]).await.ok();
    assert!(said.out.starts_with("Stopping: what is under way is finished first."), "{said:?}");
    whole.client.run(["stop"]).await.ok();
    assert_eq!(stopping.exit().await, 0);
    soon("the client to end", gone(pid)).await;
}

#[tokio::test]
async fn in_the_foreground_the_first_process_stays_until_the_last_one_ends() {
    let whole = in_the_background("").await;
    whole.client.run(["stop"]).await.ok();
    let mut running = whole.client.foreground(["run"]);
    let first = running.id();
    running.until("online").await;
    soon("the control socket", async { while whole.client.run(["status"]).await.exit != 0 {} }).await;
    assert_eq!(until_green(&whole).await, first);
    whole.client.run(["restart"]).await.ok();
    whole.client.run(["restart"]).await.ok();
    assert_ne!(until_green(&whole).await, first);
    assert!(is_there(first), "whoever has started it takes its end for the end of the client");
    running.signal("TERM").await;
    assert_eq!(running.exit().await, 0);
    assert_eq!(whole.client.run(["status"]).await.exit, 3, "nobody is left");
}

#[tokio::test]
async fn a_control_socket_that_was_removed_is_no_dead_end() {
    let whole = in_the_background("").await;
    let pid = until_green(&whole).await;
    std::fs::remove_file(whole.client.dir().join("client.sock")).unwrap();
    let said = whole.client.run(["status"]).await;
    // It may be there again already.
    if said.exit != 0 {
        assert_eq!(said.exit, 1, "{said:?}");
        assert!(said.err.contains(&format!("runs (process {pid}) but does not answer")), "{said:?}");
        assert!(said.err.contains(&format!("kill {pid}")), "{said:?}");
    }
    soon("the socket to be there again", async { while whole.client.run(["status"]).await.exit != 0 {} })
        .await;
    assert_eq!(until_green(&whole).await, pid);
    whole.client.run(["stop"]).await.ok();
}
