//! More than there is room for: what is served is served as fast as ever, the rest is told at once, and one
//! service's crowd is not another's.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use petit_tests::bed::{Bed, until_counted};
use petit_tests::figures::{Times, figure, rounds};
use petit_tests::netns::Netns;
use petit_tests::service::Service;
use petit_tests::soon;
use petit_tests::visitor::{Visitor, host};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;

/// What became of requests that came at a rate, whether or not the ones before were answered.
#[derive(Default)]
struct Outcome {
    served: Times,
    refused: Times,
    other: usize,
}

impl Outcome {
    fn add(&mut self, (status, retry, took): (u16, bool, Duration)) {
        match (status, retry) {
            (200, _) => self.served.add(took),
            (429 | 503, true) => self.refused.add(took),
            _ => self.other += 1,
        }
    }
}

/// Sends requests at a rate for a while.
async fn at_rate(visitor: Visitor, host: Arc<str>, per_second: u32, lasting: Duration) -> Outcome {
    let every = Duration::from_secs(1) / per_second;
    let count = (lasting.as_secs_f64() * f64::from(per_second)) as u32;
    let start = tokio::time::Instant::now();
    let mut requests = tokio::task::JoinSet::new();
    for number in 0..count {
        tokio::time::sleep_until(start + every * number).await;
        let host = Arc::clone(&host);
        requests.spawn(async move { slow_request(visitor, &host).await });
    }
    let mut outcome = Outcome::default();
    while let Some(request) = requests.join_next().await {
        outcome.add(request.unwrap());
    }
    outcome
}

/// Sends a request whenever the one before is answered, for a while. However busy this machine is, that makes no crowd,
/// and one is under way at any moment.
async fn one_after_the_other(visitor: Visitor, host: Arc<str>, lasting: Duration) -> Outcome {
    let (start, mut outcome) = (Instant::now(), Outcome::default());
    while start.elapsed() < lasting {
        outcome.add(slow_request(visitor, &host).await);
    }
    outcome
}

/// The status of an answer, whether it says when to come again, and how long it took.
async fn slow_request(visitor: Visitor, host: &str) -> (u16, bool, Duration) {
    let start = Instant::now();
    let answer = visitor.get(host, "/slow/200").await;
    (answer.status.as_u16(), answer.headers.contains_key("retry-after"), start.elapsed())
}

/// R13: a service that can do 10 at once, 200 ms each: 50 in a second.
#[tokio::test]
async fn beyond_what_a_service_can_do_the_rest_is_told_so_and_the_served_are_served_in_time() {
    let bed = Bed::with("[server.limits]\nrequests_per_service = 10").await;
    let service = Service::http("s").await;
    let client = bed.client(&service).await;
    let host: Arc<str> = host(&client.id()).into();
    let lasting = Duration::from_secs(rounds(6, 30) as u64);
    let idle = at_rate(bed.visitor(), Arc::clone(&host), 10, lasting / 3).await;
    let peak = at_rate(bed.visitor(), Arc::clone(&host), 45, lasting / 2).await;
    let twice = at_rate(bed.visitor(), Arc::clone(&host), 100, lasting).await;
    let per_second =
        |outcome: &Outcome, lasting: Duration| outcome.served.count() as f64 / lasting.as_secs_f64();
    figure(format!(
        "R13 idle: {}; at 45/s: {:.0}/s served; at 100/s of 50 possible: {:.0}/s served, {}; {} told to come again, {}",
        idle.served.summary(),
        per_second(&peak, lasting / 2),
        per_second(&twice, lasting),
        twice.served.summary(),
        twice.refused.count(),
        twice.refused.summary(),
    ));
    assert_eq!((idle.other, peak.other, twice.other), (0, 0, 0), "nothing else than 200, 429 and 503");
    assert!(twice.refused.count() > 0);
    // Ten at once, each as long as one takes while nobody waits.
    let possible = 10.0 / idle.served.percentile(50).as_secs_f64();
    assert!(per_second(&twice, lasting) >= 0.9 * possible, "{:.1}/s", per_second(&twice, lasting));
    let (usual, waited) = (idle.served.percentile(99), twice.served.percentile(99));
    assert!(waited <= 3 * usual, "p99 {waited:?}, idle {usual:?}");
}

/// R14: one service gets ten times what it may have; the other does not notice. What is usual is measured in the same
/// moments, at a server on which nothing else happens: how busy this machine is meanwhile is the same for both.
#[tokio::test]
async fn one_services_crowd_is_not_anothers() {
    const LIMITS: &str = "[server.limits]\nrequests = 20\nrequests_per_service = 4";
    let (bed, calm) = (Bed::with(LIMITS).await, Bed::with(LIMITS).await);
    let (crowded, quiet) = (Service::http("crowded").await, Service::http("quiet").await);
    let (a, b, c) = (bed.client(&crowded).await, bed.client(&quiet).await, calm.client(&quiet).await);
    let [a, b, c] = [a.id(), b.id(), c.id()].map(|id| Arc::<str>::from(host(&id)));
    let lasting = Duration::from_secs(rounds(4, 20) as u64);
    let (crowd, beside, alone) = tokio::join!(
        at_rate(bed.visitor(), a, 200, lasting),
        one_after_the_other(bed.visitor(), b, lasting),
        one_after_the_other(calm.visitor(), c, lasting),
    );
    figure(format!(
        "R14 B alone: {}; beside A at 200/s of 20 possible: {}; A: {} served, {} told to come again",
        alone.served.summary(),
        beside.served.summary(),
        crowd.served.count(),
        crowd.refused.count(),
    ));
    assert_eq!((beside.refused.count(), beside.other), (0, 0), "B has no error");
    assert!(crowd.refused.count() > 0);
    let (usual, crowded) = (alone.served.percentile(99), beside.served.percentile(99));
    assert!(crowded <= 2 * usual, "p99 {crowded:?}, alone {usual:?}");
}

/// One address has its share of the connections and no more, once a quarter of all are in use.
#[tokio::test]
async fn connections_of_one_address_are_counted() {
    let net = Netns::new().await;
    let gateway = net.gateway();
    let more = "[server.limits]\nconnections = 400\nconnections_per_address = 30";
    let bed = Bed::with(&format!("proxy_bind = \"0.0.0.0\"\n{more}")).await;
    let front = SocketAddr::new(gateway, bed.http().port());
    let service = Service::http("s").await;
    let client = bed.client(&service).await;
    // A connection on which an answer has come.
    let connect = async |from: IpAddr| {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((from, 0).into()).unwrap();
        let mut tcp = socket.connect(front).await.unwrap();
        let _ = tcp.write_all(b"GET / HTTP/1.1\r\nHost: nobody.localhost\r\n\r\n").await;
        let answer = soon("an answer or an end", tcp.read(&mut [0; 1])).await;
        answer.is_ok_and(|count| count > 0).then_some(tcp)
    };
    let (local, mut all, mut held) = (IpAddr::from([127, 0, 0, 1]), Vec::new(), Vec::new());
    // While there is room there are no shares.
    for _ in 0..40 {
        held.extend(connect(gateway).await);
    }
    assert_eq!(held.len(), 40);
    held.clear();
    // This machine speaks for itself and is not counted.
    for _ in 0..100 {
        all.extend(connect(local).await);
    }
    assert_eq!(all.len(), 100);
    until_counted(&bed.server.relay, "the others to be gone", |counts| counts.connections <= 103).await;
    let mut turned_away = 0;
    for _ in 0..50 {
        match connect(gateway).await {
            Some(tcp) => held.push(tcp),
            None => turned_away += 1,
        }
    }
    assert_eq!((held.len(), turned_away), (30, 20));
    assert_eq!(bed.server.relay.counts().turned_away, 20);
    // Nobody else is concerned.
    assert!(connect(local).await.is_some());
    drop(held);
    assert_eq!(bed.visitor().get(&host(&client.id()), "/").await.text(), "s");
}
