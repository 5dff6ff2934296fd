//! Links that are dead and do not say so (R2): both ends notice within twenty seconds, and no request hangs.

use std::time::{Duration, Instant};

use petit_client::status::Connection;
use petit_engine::limits;
use petit_tests::bed::Bed;
use petit_tests::chaos::{Direction, Flow, Trouble};
use petit_tests::figures::{Times, figure, rounds};
use petit_tests::service::Service;
use petit_tests::soon;
use petit_tests::visitor::host;

use super::{OwnHost, behind_chaos};

/// What the promise allows: silence of [`limits::DEAD_AFTER`], and a moment for a busy machine.
const NOTICED: Duration = Duration::from_secs(limits::DEAD_AFTER.as_secs() + 1);

/// Which way bytes vanish.
async fn vanish(ways: &[Direction]) -> (Duration, Duration, Duration) {
    let bed = Bed::start().await;
    let service = Service::http("s").await;
    let (chaos, client) = behind_chaos(&bed, &service).await;
    let (visitor, host) = (bed.visitor(), host(&client.id()));
    let under_way = tokio::spawn({
        let host = host.clone();
        async move {
            let start = Instant::now();
            let answer = visitor.get(&host, "/wait").await;
            (answer, start.elapsed())
        }
    });
    service.until_waiting(1).await;
    let start = Instant::now();
    for direction in ways {
        chaos.set(*direction, Trouble::flow(Flow::Lost));
    }
    let by_client = async {
        client
            .until("the client to notice", |status| !matches!(status.connection, Connection::Online { .. }))
            .await;
        start.elapsed()
    };
    let by_server = async {
        let sessions = || bed.server.relay.sessions().len();
        soon("the server to notice", async {
            while sessions() > 0 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await;
        start.elapsed()
    };
    let (by_client, by_server) = tokio::join!(by_client, by_server);
    let (answer, hung) = under_way.await.unwrap();
    assert!(matches!(answer.status.as_u16(), 502..=504), "{}", answer.status);
    assert!(hung < Duration::from_secs(25), "a request hung for {hung:?}");
    (by_client, by_server, hung)
}

#[tokio::test]
async fn a_link_that_is_dead_in_one_direction_or_both_is_noticed_by_both_ends() {
    let (mut client, mut server, mut request) = (Times::default(), Times::default(), Times::default());
    for _ in 0..rounds(1, 6) {
        let runs: Vec<_> =
            [&[Direction::There][..], &[Direction::Back], &[Direction::There, Direction::Back]]
                .into_iter()
                .cycle()
                .take(rounds(3, 9))
                .map(vanish)
                .collect();
        for (by_client, by_server, hung) in futures_util::future::join_all(runs).await {
            client.add(by_client);
            server.add(by_server);
            request.add(hung);
        }
    }
    assert!(client.longest() <= NOTICED && server.longest() <= NOTICED, "{client:?} {server:?}");
    figure(format!("R2 black hole noticed by the client: {}", client.summary()));
    figure(format!("R2 black hole noticed by the server: {}", server.summary()));
    figure(format!("R2 requests under way meanwhile were answered 502-504: {}", request.summary()));
}

/// The same with a real cable.
#[tokio::test]
async fn a_cable_that_is_pulled_is_noticed_by_both_ends_and_put_back_it_serves_again() {
    let host = OwnHost::new().await;
    let (visitor, name) = (host.server.visitor().await, host.public.clone());
    let start = Instant::now();
    host.net.unplug().await;
    let by_server = async {
        let gone =
            |answer: &petit_tests::visitor::Answer| answer.petit_error().as_deref() == Some("client-away");
        visitor.until("the server to notice", &name, "/", gone).await;
        start.elapsed()
    };
    let by_client = async {
        host.client.until("the client to notice", |status| status["connection"]["state"] != "online").await;
        start.elapsed()
    };
    let (by_server, by_client) = tokio::join!(by_server, by_client);
    assert!(by_server <= NOTICED && by_client <= NOTICED, "{by_server:?} {by_client:?}");
    host.net.plug().await;
    let start = Instant::now();
    visitor.until("requests to pass again", &name, "/", |answer| answer.status == 200).await;
    figure(format!(
        "R2 cable pulled: noticed by the server after {} ms, by the client after {} ms; put back, requests pass after {} ms",
        by_server.as_millis(),
        by_client.as_millis(),
        start.elapsed().as_millis()
    ));
}
