//! A computer that changes its address (R4): from one network to another, under way.

use std::time::{Duration, Instant};

use petit_tests::figures::{Times, figure, rounds};
use petit_tests::soon;

use super::OwnHost;

#[tokio::test]
async fn a_computer_that_gets_another_address_serves_again_at_once_and_no_request_hangs() {
    let host = OwnHost::new().await;
    let (visitor, name) = (host.server.visitor().await, host.public.clone());
    let mut back = Times::default();
    let mut hung = Times::default();
    let mut address = 0;
    for _ in 0..rounds(4, 100) {
        let under_way = tokio::spawn({
            let name = name.clone();
            async move {
                let start = Instant::now();
                let answer = visitor.get(&name, "/wait").await;
                (answer, start.elapsed())
            }
        });
        let busy = |status: &serde_json::Value| status["services"][0]["active"].as_u64() >= Some(1);
        host.client.until("a request to be under way", busy).await;
        let next = (address + 1) % 2;
        host.net.remove_address(address).await;
        host.net.add_address(next).await;
        address = next;
        let start = Instant::now();
        visitor.until("requests to pass again", &name, "/", |answer| answer.status == 200).await;
        back.add(start.elapsed());
        // Nobody lets it go: it ends because the relay learns that its connection is gone.
        let (answer, _) = soon("the request under way to end", under_way).await.unwrap();
        assert_eq!(answer.petit_error().as_deref(), Some("tunnel-lost"));
        hung.add(start.elapsed());
        host.client.until_green().await;
    }
    assert!(back.percentile(95) <= Duration::from_secs(3), "{}", back.summary());
    assert!(hung.longest() <= Duration::from_secs(2), "{}", hung.summary());
    figure(format!("R4 another address, requests pass again: {}", back.summary()));
    figure(format!("R4 requests under way were told: {}", hung.summary()));
}
