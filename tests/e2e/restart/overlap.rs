//! While the old process finishes and the new one serves.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use petit_tests::figures::{Times, figure, rounds};
use petit_tests::soon;
use petit_tests::visitor::request;

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
        whole.server.run(["clients", "revoke", &id]).await.ok();
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
