//! A computer that sleeps (R3): when it wakes it looks at once whether the connection lives, and connects anew.

use std::time::{Duration, Instant};

use petit_tests::figures::{Times, figure, rounds};
use petit_tests::service::Service;

use crate::recover::processes;

/// One sleep of `length`, and how long after it requests pass again.
async fn nap(length: Duration) -> Duration {
    let service = Service::http("awake").await;
    let (server, _running, client) = processes(&service).await;
    let running = client.up().await;
    let id = client.until_green().await["services"][0]["id"].as_str().unwrap().to_owned();
    let (visitor, host) = (server.visitor().await, format!("{id}.localhost"));
    running.signal("STOP").await;
    // Sleep is what is tested here: the process is stopped for as long as a computer sleeps.
    tokio::time::sleep(length).await;
    let asleep = visitor.get(&host, "/").await;
    assert_eq!(asleep.petit_error().as_deref(), Some("client-away"), "the server has noticed meanwhile");
    running.signal("CONT").await;
    let start = Instant::now();
    visitor.until("requests to pass again", &host, "/", |answer| answer.status == 200).await;
    start.elapsed()
}

#[tokio::test]
async fn a_computer_that_wakes_serves_again_at_once() {
    // Longer than the server waits for a silent client.
    let length = Duration::from_secs(rounds(23, 60) as u64);
    let mut times = Times::default();
    for _ in 0..rounds(1, 5) {
        let naps: Vec<_> = (0..rounds(2, 10)).map(|_| nap(length)).collect();
        for took in futures_util::future::join_all(naps).await {
            times.add(took);
        }
    }
    assert!(times.longest() <= Duration::from_secs(3), "{}", times.summary());
    figure(format!("R3 after {} s of sleep requests pass again: {}", length.as_secs(), times.summary()));
}
