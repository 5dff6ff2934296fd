//! While the old process finishes and the new one serves.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use petit_relay::Access;
use petit_tests::bed::Bed;
use petit_tests::figures::{Times, figure, rounds};
use petit_tests::service::Service;
use petit_tests::soon;
use petit_tests::visitor::request;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{Whole, is_there};

#[tokio::test]
async fn a_revocation_ends_the_sessions_in_both_processes_within_a_second() {
    let mut times = Times::default();
    for _ in 0..rounds(2, 20) {
        let whole = Whole::start("").await;
        let old = whole.pid().await;
        let endless = request(&whole.host, "GET", "/bytes/100000000000", Empty::<Bytes>::new());
        let mut download = whole.visitor.open(endless).await.into_body();
        soon("the first bytes", download.frame()).await.unwrap().unwrap();
        // Twice, so that the one that revokes is not the successor of the one that serves the download.
        whole.server.run(["restart"]).await.ok();
        whole.server.run(["restart"]).await.ok();
        whole.visitor.until("requests to pass", &whole.host, "/", |answer| answer.status == 200).await;
        assert!(is_there(old) && whole.pid().await != old);
        let clients = whole.server.run(["clients", "list", "--json"]).await.ok().json();
        let id = clients["clients"][0]["id"].as_str().unwrap().to_owned();
        let start = Instant::now();
        whole.server.run(["clients", "revoke", "--yes", &id]).await.ok();
        let cut = soon("the download to break", async {
            loop {
                match download.frame().await {
                    Some(Ok(_)) => {}
                    other => return other,
                }
            }
        })
        .await;
        let took = start.elapsed();
        assert!(matches!(cut, Some(Err(_))), "{cut:?}");
        times.add(took);
        whole.client.until("the client to know", |status| status["connection"]["state"] == "stopped").await;
        assert_eq!(whole.visitor.get(&whole.host, "/").await.status, 404);
        soon("the old process to end", super::gone(old)).await;
    }
    assert!(times.longest() < Duration::from_secs(1), "{}", times.summary());
    figure(format!("R15 revoked while a restart is under way, download cut: {}", times.summary()));
}

#[tokio::test]
async fn a_client_that_was_away_is_away_at_once_and_one_that_was_there_is_waited_for() {
    let whole = Whole::start("").await;
    whole.client.run(["stop"]).await.ok();
    whole.visitor.until("the client to be away", &whole.host, "/", |answer| answer.status == 503).await;
    whole.server.run(["restart"]).await.ok();
    let start = Instant::now();
    let answer = whole.visitor.get(&whole.host, "/").await;
    assert_eq!((answer.status.as_u16(), answer.petit_error().as_deref()), (503, Some("client-away")));
    assert!(start.elapsed() < Duration::from_secs(2), "nobody waits for it: {:?}", start.elapsed());
}

#[tokio::test]
async fn lights_are_never_red_over_restarts_and_soon_green() {
    let whole = Whole::start("").await;
    let mut watching = whole.client.spawn(["--json", "status", "--watch"]);
    for _ in 0..2 {
        let before = whole.pid().await;
        whole.server.run(["restart"]).await.ok();
        assert_ne!(whole.pid().await, before);
        // The new process has tried its fronts by itself: nothing of the old one is taken over.
        whole
            .until("the public front to be tried", |status| {
                let fronts = status["fronts"].as_array().unwrap();
                !fronts.is_empty() && fronts.iter().all(|front| front["state"] == "passed")
            })
            .await;
        let lights = |status: &serde_json::Value| -> Vec<String> {
            let services = status["services"].as_array().unwrap();
            services.iter().map(|service| service["light"].as_str().unwrap().to_owned()).collect()
        };
        let green = soon("two green lights", async {
            loop {
                let status: serde_json::Value =
                    serde_json::from_str(&watching.line().await.unwrap()).unwrap();
                let lights = lights(&status);
                assert!(!lights.iter().any(|light| light == "red"), "{status}");
                if lights.len() == 2 && lights.iter().all(|light| light == "green") {
                    return true;
                }
            }
        });
        assert!(green.await);
    }
    watching.kill().await;
}

#[tokio::test]
async fn the_old_process_sends_its_operator_to_the_new_one_also_for_a_look() {
    let whole = Whole::start("").await;
    let old = whole.pid().await;
    // Something keeps the old process busy.
    let endless = request(&whole.host, "GET", "/bytes/100000000000", Empty::<Bytes>::new());
    let mut download = whole.visitor.open(endless).await.into_body();
    soon("the first bytes", download.frame()).await.unwrap().unwrap();
    let mut asked = tokio::net::UnixStream::connect(whole.server.dir().join("server.sock")).await.unwrap();
    assert!(ask(&mut asked, "/status").await.starts_with("HTTP/1.1 200 "));
    whole.server.run(["restart"]).await.ok();
    assert!(is_there(old) && whole.pid().await != old);
    for look in ["/status", "/clients", "/invites", "/ping"] {
        let answer = ask(&mut asked, look).await;
        assert!(answer.starts_with("HTTP/1.1 409 ") && answer.contains("moved"), "{look}: {answer}");
    }
    drop(download);
    soon("the old process to end", super::gone(old)).await;
}

/// Asks over a connection that stays open.
async fn ask(socket: &mut tokio::net::UnixStream, path: &str) -> String {
    let request = format!("GET {path} HTTP/1.1\r\nHost: petit\r\n\r\n");
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    soon("an answer", async {
        loop {
            socket.read_buf(&mut answer).await.unwrap();
            let text = String::from_utf8_lossy(&answer);
            let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
            if body.len() >= length.parse().unwrap() {
                return;
            }
        }
    })
    .await;
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn a_registration_that_ends_before_anybody_listens_is_told_all_the_same() {
    let bed = Bed::start().await;
    let service = Service::http("s").await;
    let client = bed.client(&service).await;
    let status = client.until("a registration", |status| status.registered.is_some()).await;
    let device = status.registered.unwrap().device;
    assert!(bed.server.directory.unregister(device).await);
    assert_eq!(bed.server.endings().try_recv(), Ok(device), "by whoever asks first");
    assert!(bed.server.endings().try_recv().is_err(), "and by nobody twice");
}
