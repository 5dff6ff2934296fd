//! How often, how many at the same time, and how much.

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use hyper::Request;
use hyper::body::Frame;
use petit_relay::Failure;
use petit_relay::policy::{Enforcement, LimitedPer, PolicyLimits, Refusals, ServicePolicy};
use petit_tests::bed::until_counted;
use petit_tests::soon;
use petit_tests::visitor::{Answer, h2_request, request};
use tokio::io::AsyncWriteExt;

use super::{World, asking_for, at_once, connect_from, from, key, open, some};

async fn ask(world: &World, from: &str, key: Option<&str>) -> Answer {
    let mut asked = request(&world.host(), "GET", "/", Empty::<Bytes>::new());
    if let Some(key) = key {
        asked.headers_mut().insert("petit-key", key.parse().unwrap());
    }
    send(world, from, asked).await
}

async fn send(world: &World, from: &str, asked: Request<Empty<Bytes>>) -> Answer {
    let tcp = connect_from(from, world.plain.front()).await;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(hyper_util::rt::TokioIo::new(tcp)).await.unwrap();
    tokio::spawn(connection);
    petit_tests::visitor::whole(soon("an answer", sender.send_request(asked)).await.unwrap()).await
}

/// Asks until there is more than the rate allows; how often that was answered by the service.
async fn until_refused(world: &World, mut ask: impl AsyncFnMut(u32) -> Answer) -> u32 {
    let before = world.web.requests();
    let asking = async {
        let mut number = 0;
        while ask(number).await.petit_error().as_deref() != Some("too-many-requests") {
            number += 1;
        }
    };
    soon("the end of what is allowed", asking).await;
    u32::try_from(world.web.requests() - before).unwrap()
}

/// An address that nobody else has.
fn address(number: u32) -> String {
    std::net::Ipv4Addr::from(0x7f01_0000 + number).to_string()
}

#[tokio::test]
async fn requests_beyond_the_rate_of_an_address_are_told_when_to_come_back_also_after_a_reconnect() {
    const BURST: u32 = 60;
    let mut world = World::start(Some(ServicePolicy { limits: at_once(BURST), ..open() })).await;
    assert!(until_refused(&world, async |_| ask(&world, "127.0.0.2", None).await).await >= BURST);
    let refused = async {
        loop {
            let answer = ask(&world, "127.0.0.2", None).await;
            if answer.status != 200 {
                return answer;
            }
        }
    };
    let refused = soon("a refusal", refused).await;
    assert_eq!((refused.status.as_u16(), refused.petit_error().as_deref()), (429, Some("too-many-requests")));
    let seconds: u32 = refused.headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=5).contains(&seconds));
    assert_eq!(ask(&world, "127.0.0.3", None).await.status, 200, "another address has a rate of its own");
    world.reconnected().await;
    let fresh = until_refused(&world, async |_| ask(&world, "127.0.0.2", None).await).await;
    assert!(fresh < BURST / 2, "a client that comes back brings no fresh allowance: {fresh}");
}

#[tokio::test]
async fn a_key_has_one_rate_wherever_it_is_shown() {
    let ((billing, shown), (sync, other)) = (key("billing"), key("sync"));
    let world = World::start(Some(ServicePolicy { limits: at_once(2), ..asking_for([billing, sync]) })).await;
    let passed =
        until_refused(&world, async |number| ask(&world, &address(number), Some(&shown)).await).await;
    assert!(passed >= 2, "{passed}");
    assert_eq!(ask(&world, "127.0.0.4", Some(&other)).await.status, 200, "another key has a rate of its own");
    let guessed = until_refused(&world, async |_| ask(&world, "127.0.0.5", Some("wrong")).await).await;
    assert_eq!(guessed, 0, "and keys are not guessed for ever");
}

#[tokio::test]
async fn a_whole_service_may_have_one_limit() {
    let limits = PolicyLimits { per: LimitedPer::Service, ..at_once(2) };
    let world = World::start(Some(ServicePolicy { limits, ..open() })).await;
    assert!(until_refused(&world, async |number| ask(&world, &address(number), None).await).await >= 2);
}

#[tokio::test]
async fn requests_and_websockets_count_as_under_way_until_they_are_over() {
    let limits = PolicyLimits { concurrent: Some(some(2)), ..PolicyLimits::default() };
    let mut world = World::start(Some(ServicePolicy { limits, ..open() })).await;
    let host = world.host();
    let (visitor, asked) = (world.plain, request(&host, "GET", "/wait", Empty::<Bytes>::new()));
    let waiting = tokio::spawn(async move { visitor.open(asked).await });
    soon("the request", world.web.until_waiting(1)).await;
    let socket = crate::traffic::websocket::socket(world.plain.tcp().await, &host, "/ws").await;
    soon("the WebSocket", world.web.until_sockets(1)).await;
    let refused = world.plain.get(&host, "/").await;
    assert_eq!(refused.petit_error().as_deref(), Some("too-many-requests"));
    world.next().await;

    world.web.let_go();
    waiting.await.unwrap().into_body().collect().await.unwrap();
    world.next().await;
    assert_eq!(world.plain.get(&host, "/").await.status, 200, "the request is over");
    world.next().await;
    let second = crate::traffic::websocket::socket(world.plain.tcp().await, &host, "/ws").await;
    assert_eq!(world.plain.get(&host, "/").await.status, 429, "two WebSockets are under way");
    world.next().await;
    drop((socket, second));
    world.next().await;
    world.next().await;
    for _ in 0..3 {
        assert_eq!(world.plain.get(&host, "/").await.status, 200);
    }
}

/// A body of pieces, which says nothing of its length.
fn pieces(
    bytes: usize,
) -> StreamBody<impl futures_util::Stream<Item = Result<Frame<Bytes>, std::io::Error>>> {
    let pieces = vec![Bytes::from_static(b"0123456789"); bytes / 10];
    StreamBody::new(futures_util::stream::iter(pieces.into_iter().map(|piece| Ok(Frame::data(piece)))))
}

#[tokio::test]
async fn a_body_that_is_too_long_is_refused_also_where_it_does_not_say_how_long_it_is() {
    let limits = PolicyLimits { max_body: Some(100), ..PolicyLimits::default() };
    let policy = ServicePolicy { limits, ..open() };
    let counters = Arc::clone(&policy.counters);
    let world = World::start(Some(policy)).await;
    let (visitor, host) = (world.plain, world.host());
    let post = async |bytes: usize| {
        let body = Full::new(Bytes::from(vec![b'x'; bytes]));
        let said = visitor.send(request(&host, "POST", "/sum", body.clone())).await;
        let streamed = visitor.send(request(&host, "POST", "/sum", pieces(bytes).boxed_unsync())).await;
        let mut h2 = visitor.connect_h2().await;
        let h2_said = soon(
            "an answer",
            h2.send_request(h2_request(
                &host,
                "POST",
                "/sum",
                body.boxed_unsync().map_err(|e| match e {}).boxed_unsync(),
            )),
        )
        .await;
        let mut h2 = visitor.connect_h2().await;
        let h2_streamed = soon(
            "an answer",
            h2.send_request(h2_request(&host, "POST", "/sum", pieces(bytes).boxed_unsync())),
        )
        .await;
        [said.status, streamed.status, h2_said.unwrap().status(), h2_streamed.unwrap().status()]
            .map(|status| status.as_u16())
    };
    assert_eq!(post(100).await, [200; 4]);
    assert_eq!(post(110).await, [413; 4]);
    let answer = visitor.post(&host, "/sum", vec![b'x'; 101]).await;
    assert_eq!(answer.petit_error().as_deref(), Some("body-too-long"));
    assert_eq!(counters.refused(), Refusals { body: 5, ..Refusals::default() }, "each is counted once");
    assert_eq!(world.relay.counts().policies.refused, 5);
}

#[tokio::test]
async fn every_refusal_is_counted_by_its_reason_and_whoever_is_let_in_by_none() {
    let (billing, shown) = key("billing");
    let limits = PolicyLimits { concurrent: Some(some(1)), ..PolicyLimits::default() };
    let from = from(&["127.0.0.0/24"]);
    let policy = ServicePolicy { from, limits, ..asking_for([billing]) };
    let counters = Arc::clone(&policy.counters);
    let world = World::start(Some(policy.clone())).await;
    let asked = async |from: &str, key| ask(&world, from, key).await.petit_error();
    assert_eq!(asked("127.0.0.2", Some(&shown)).await, None);
    assert_eq!(counters.refused(), Refusals::default());
    for _ in 0..2 {
        assert_eq!(asked("127.0.1.1", Some(&shown)).await.as_deref(), Some("address-not-allowed"));
    }
    assert_eq!(asked("127.0.0.2", None).await.as_deref(), Some("key-required"));
    assert_eq!(asked("127.0.0.2", Some("other")).await.as_deref(), Some("key-refused"));

    let host = world.host();
    let mut waiting = request(&host, "GET", "/wait", Empty::<Bytes>::new());
    waiting.headers_mut().insert("petit-key", shown.parse().unwrap());
    let visitor = world.plain;
    let waiting = tokio::spawn(async move { visitor.open(waiting).await });
    soon("the request", world.web.until_waiting(1)).await;
    // The key has as much as it may have, wherever it is shown.
    assert_eq!(asked("127.0.0.3", Some(&shown)).await.as_deref(), Some("too-many-requests"));
    world.web.let_go();
    waiting.await.unwrap().into_body().collect().await.unwrap();
    let so_far =
        Refusals { address: 2, key_missing: 1, key_refused: 1, concurrent: 1, ..Refusals::default() };
    assert_eq!(counters.refused(), so_far);

    // What is changed of a policy does not begin its counts anew, and what it only counts has numbers of its own.
    let rated = ServicePolicy { limits: at_once(1), enforcement: Enforcement::CountOnly, ..policy };
    world.set(Some(rated));
    let host = world.host();
    for _ in 0..20 {
        let mut asked = request(&host, "GET", "/", Empty::<Bytes>::new());
        asked.headers_mut().insert("petit-key", shown.parse().unwrap());
        assert_eq!(world.plain.send(asked).await.status, 200);
    }
    let would_refuse = counters.would_refuse();
    assert!(would_refuse.rate > 0, "{would_refuse:?}");
    assert_eq!(Refusals { rate: 0, ..would_refuse }, Refusals::default());
    assert_eq!(counters.refused(), so_far);
}

#[tokio::test]
async fn a_body_that_is_too_long_for_a_policy_that_only_counts_passes_and_is_counted_once() {
    let limits = PolicyLimits { max_body: Some(100), ..PolicyLimits::default() };
    let policy = ServicePolicy { limits, enforcement: Enforcement::CountOnly, ..open() };
    let mut world = World::start(Some(policy)).await;
    let host = world.host();
    for (bytes, would_refuse) in [(100, None), (500, Some(Failure::BodyTooLong))] {
        let said = request(&host, "POST", "/sum", Full::new(Bytes::from(vec![b'x'; bytes])));
        assert_eq!(world.plain.send(said).await.status, 200);
        assert_eq!(world.next().await.would_refuse, would_refuse);
        let streamed = request(&host, "POST", "/sum", pieces(bytes).boxed_unsync());
        assert_eq!(world.plain.send(streamed).await.status, 200);
        assert_eq!(world.next().await.would_refuse, would_refuse);
    }
    assert_eq!(world.relay.counts().policies.counted, 2);
}

#[tokio::test]
async fn a_visit_that_a_policy_only_counts_is_counted_once_whatever_comes_of_its_body() {
    let limits = PolicyLimits { max_body: Some(100), ..PolicyLimits::default() };
    let (billing, _) = key("billing");
    let policy = ServicePolicy { limits, enforcement: Enforcement::CountOnly, ..asking_for([billing]) };
    let mut world = World::start(Some(policy)).await;
    let keyless = request(&world.host(), "POST", "/sum", pieces(500).boxed_unsync());
    assert_eq!(world.plain.send(keyless).await.status, 200);
    assert_eq!(world.next().await.would_refuse, Some(Failure::KeyRequired));
    assert_eq!(world.relay.counts().policies.counted, 1);
}

#[tokio::test]
async fn what_is_under_way_counts_towards_a_limit_that_is_set_later() {
    let mut world = World::start(None).await;
    let host = world.host();
    let socket = crate::traffic::websocket::socket(world.plain.tcp().await, &host, "/ws").await;
    soon("the WebSocket", world.web.until_sockets(1)).await;
    let per_service =
        PolicyLimits { per: LimitedPer::Service, concurrent: Some(some(1)), ..PolicyLimits::default() };
    for limits in [PolicyLimits { per: LimitedPer::Visitor, ..per_service }, per_service] {
        world.set(Some(ServicePolicy { limits, ..open() }));
        assert_eq!(world.plain.get(&host, "/").await.status, 429);
        world.next().await;
    }
    drop(socket);
    world.next().await;
    assert_eq!(world.plain.get(&host, "/").await.status, 200);
}

/// A request waits for its place, and its service gets another policy meanwhile.
#[tokio::test]
async fn a_policy_that_comes_while_a_request_waits_holds_for_it() {
    let mut world = World::with(Some(open()), |config| config.limits.requests_per_service = 1).await;
    let host = world.host();
    let (visitor, asked) = (world.plain, request(&host, "GET", "/wait", Empty::<Bytes>::new()));
    let first = tokio::spawn(async move { visitor.send(asked).await });
    soon("the request", world.web.until_waiting(1)).await;
    let mut second = world.plain.tcp().await;
    second.write_all(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes()).await.unwrap();
    // The client, and both visitors, of whom each has asked for a service.
    until_counted(&world.relay, "both connections", |counts| counts.connections >= 3).await;
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
    world.set(Some(ServicePolicy { from: from(&["192.0.2.0/24"]), ..open() }));
    world.web.let_go();
    assert_eq!(soon("the first answer", first).await.unwrap().status, 200);
    let answer = soon("the second answer", petit_tests::scripted::head(&mut second)).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
    world.next().await;
    world.next().await;
}

/// Eight handshakes wait for the one WebSocket that there may be, and one of them loses the place of its request.
#[tokio::test]
async fn a_websocket_that_gives_way_before_it_has_a_stream_is_told_and_counted_once() {
    let mut world = World::with(None, |config| {
        config.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
        config.limits.websockets_per_client = 1;
        config.limits.requests_per_service = 8;
    })
    .await;
    let host = world.host();
    let _socket = crate::traffic::websocket::socket(world.plain.tcp().await, &host, "/ws").await;
    soon("the WebSocket", world.web.until_sockets(1)).await;
    let mut waiting = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let mut tcp = world.plain.tcp().await;
        let asked = format!(
            "GET /ws HTTP/1.1\r\nHost: {host}\r\nX-Forwarded-For: 203.0.113.1\r\nConnection: upgrade\r\n\
             Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        tcp.write_all(asked.as_bytes()).await.unwrap();
        waiting.spawn(async move { petit_tests::scripted::head(&mut tcp).await.unwrap() });
    }
    until_counted(&world.relay, "all to wait", |counts| counts.requests >= 8).await;
    let mut asked = request(&host, "GET", "/", Empty::<Bytes>::new());
    asked.headers_mut().insert("x-forwarded-for", "203.0.113.2".parse().unwrap());
    assert_eq!(world.plain.send(asked).await.status, 200);
    for answer in soon("the answers", waiting.join_all()).await {
        assert!(answer.contains("petit-error: busy"), "{answer}");
    }
    let places = world.relay.counts().places;
    assert_eq!((places.gave_way_unanswered, places.refused), (1, 7));
    for _ in 0..9 {
        world.next().await;
    }
}

/// There may be bytes behind it that are no HTTP.
#[tokio::test]
async fn a_request_for_a_websocket_that_a_policy_refuses_ends_its_connection() {
    let (billing, _) = key("billing");
    let world = World::start(Some(asking_for([billing]))).await;
    let host = world.host();
    let asked = format!(
        "GET /ws HTTP/1.1\r\nHost: {host}\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n\
         GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"
    );
    let answer = String::from_utf8(world.plain.raw(asked.as_bytes()).await).unwrap();
    assert!(answer.starts_with("HTTP/1.1 401 ") && answer.contains("connection: close"), "{answer}");
    assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{answer}");
}
