//! `petit-server restart`, with the real programs.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http_body_util::{BodyExt, Empty};
use petit_tests::process::Program;
use petit_tests::soon;
use petit_tests::steady::{Manner, Steady};
use petit_tests::visitor::{request, sum};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use super::Whole;
use crate::upgrade::connect;

/// Forty visitors a second.
const EVERY: Duration = Duration::from_millis(25);

#[tokio::test]
async fn forty_requests_a_second_over_several_restarts_all_get_their_answers() {
    let whole = Whole::start("").await;
    let hosts = vec![whole.host.clone()];
    let mut fresh = Steady::start(whole.visitor.front(), hosts.clone(), EVERY, Manner::Fresh);
    let mut kept = Steady::start(whole.visitor.front(), hosts, EVERY, Manner::Kept);
    let mut pids = vec![whole.pid().await];
    for _ in 0..5 {
        fresh.more(10).await;
        kept.more(10).await;
        let said = whole.server.run(["restart"]).await.ok();
        assert!(said.out.contains("The server was restarted: process"), "{said:?}");
        pids.push(whole.pid().await);
    }
    fresh.more(20).await;
    for (name, steady) in [("fresh", fresh), ("kept", kept)] {
        let met = steady.end().await;
        assert_eq!(met.disappointed(), 0, "{name}: {:?} {:?} {:?}", met.statuses, met.errors, met.failures);
        assert!(met.times.count() > 50, "{name}: {}", met.times.count());
        petit_tests::figures::figure(format!("visitors over 5 restarts ({name}): {}", met.times.summary()));
    }
    pids.sort_unstable();
    pids.dedup();
    assert_eq!(pids.len(), 6, "each time another process serves");
    let lock = std::fs::read_to_string(whole.server.dir().join("server.lock")).unwrap();
    assert_eq!(lock, whole.pid().await.to_string(), "the lock says which");
}

#[tokio::test]
async fn what_is_open_is_finished_by_the_old_process_or_told_to_go() {
    let whole = Whole::start("goodbye = \"1s\"").await;
    let mut socket = connect(whole.visitor, &whole.host, "/ws").await.unwrap();
    let asked = request(&whole.host, "GET", "/bytes/60000000", Empty::<Bytes>::new());
    let mut download = whole.visitor.open(asked).await.into_body();
    let begun = soon("the first bytes", download.frame()).await.unwrap().unwrap().into_data().unwrap();
    let mut database = TcpStream::connect(&whole.tcp).await.unwrap();
    let mut answer = [0; 2];
    soon("a greeting", database.read_exact(&mut answer)).await.unwrap();

    let said = whole.server.run(["restart"]).await.ok();
    assert!(said.out.contains("1 request, 1 WebSocket, 1 TCP connection, for 30 s at most"), "{said:?}");
    let status = whole.until("the old process to be there", |status| !status["before"][0].is_null()).await;
    let old = u32::try_from(status["before"][0]["pid"].as_u64().unwrap()).unwrap();
    socket.send(Message::text("still there")).await.unwrap();
    assert_eq!(soon("an echo", socket.next()).await.unwrap().unwrap(), Message::text("still there"));
    database.write_all(b"select 1").await.unwrap();
    let mut answer = [0; 8];
    soon("an answer", database.read_exact(&mut answer)).await.unwrap();
    assert_eq!(&answer, b"select 1");
    match soon("a goodbye", socket.next()).await {
        Some(Ok(Message::Close(Some(close)))) => assert_eq!(close.code, CloseCode::Away),
        other => panic!("no close frame: {other:?}"),
    }
    let (rest, _) = soon("the download", sum(download)).await.unwrap();
    assert_eq!(rest as usize + begun.len(), 60_000_000, "the whole of it");
    // A new one of each is the new process's.
    let mut socket = connect(whole.visitor, &whole.host, "/ws").await.unwrap();
    socket.send(Message::text("new")).await.unwrap();
    assert_eq!(soon("an echo", socket.next()).await.unwrap().unwrap(), Message::text("new"));
    let mut second = TcpStream::connect(&whole.tcp).await.unwrap();
    soon("a greeting", second.read_exact(&mut [0; 2])).await.unwrap();
    database.write_all(b"select 2").await.unwrap();
    soon("an answer", database.read_exact(&mut answer)).await.unwrap();
    drop(database);
    soon("the old process to end", super::gone(old)).await;
    whole.until("nothing to be left of it", |status| status["before"].as_array().unwrap().is_empty()).await;
    drop((second, socket));
    whole.server.run(["stop"]).await.ok();
}

#[tokio::test]
async fn restarts_that_follow_each_other_cost_nobody_a_request() {
    let whole = Whole::start("").await;
    let mut kept = Vec::new();
    // More of them than a device may have sessions with one process.
    for _ in 0..6 {
        let mut visitor = whole.visitor.connect().await;
        let asked = request(&whole.host, "GET", "/", Empty::<Bytes>::new());
        assert_eq!(soon("an answer", visitor.send_request(asked)).await.unwrap().status(), 200);
        kept.push((whole.pid().await, visitor));
        whole.server.run(["restart"]).await.ok();
    }
    // Each process still finishes what it has, through the session that it has.
    for (pid, mut visitor) in kept {
        let asked = request(&whole.host, "GET", "/", Empty::<Bytes>::new());
        let answer = soon("an answer", visitor.send_request(asked)).await.unwrap();
        assert_eq!(answer.status(), 200, "process {pid}: {:?}", answer.headers().get("petit-error"));
        drop((answer, visitor));
        soon("it to end", super::gone(pid)).await;
    }
}

#[tokio::test]
async fn every_restart_of_a_server_that_nobody_uses_is_answered() {
    let server = Program::server().await;
    server.run(["start"]).await.ok();
    let mut pid = server.status().await["pid"].clone();
    // The old process has nothing to finish but this answer.
    for _ in 0..10 {
        server.run(["restart"]).await.ok();
        let next = server.status().await["pid"].clone();
        assert_ne!(next, pid);
        pid = next;
    }
    server.run(["stop"]).await.ok();
}
