//! Updates that are fetched over the line that visits need.

use std::process::Command;
use std::time::Duration;

use petit_engine::agent::{Source, fetch};
use petit_engine::net::dial::DialRoute;
use petit_tests::bed::Bed;
use petit_tests::chaos::Chaos;
use petit_tests::figures::figure;
use petit_tests::home_line::{HomeLine, Path, on_home_line};
use petit_tests::rogue::Device;
use petit_tests::service::Service;
use petit_tests::soon;
use petit_tests::steady::{Manner, Steady};
use tokio::sync::mpsc;

use super::NEXT;
use super::release::{FILE, Release};
use super::wire::{of_target, own_target, put};

const VISITS: usize = 60;
/// So many fill the queue: the modem's own buffers are small.
const DEVICES: usize = 16;
/// What all connections to the customer have together: 1 MB in a second, and a queue in front of it. The path by itself
/// is one of each connection.
const LINE: &str = "qdisc add dev eth0 root tbf rate 8mbit burst 32k latency 300ms";
/// Less than half of that.
const RATE: &str = "[server.limits]\nrelease_rate = \"400KB\"\n";
/// More than the line takes while visits come.
const LARGE_BYTES: usize = 64 * 1024 * 1024;

/// How long a visit took, at the median.
async fn visit_took(bed: &Bed, host: &str) -> Duration {
    let (front, every) = (bed.visitor().front(), Duration::from_millis(50));
    let mut visitors = Steady::start(front, vec![host.to_owned()], every, Manner::Fresh);
    visitors.more(VISITS).await;
    let met = visitors.end().await;
    assert_eq!(met.disappointed(), 0, "{:?} {:?} {:?}", met.statuses, met.errors, met.failures);
    met.times.percentile(50)
}

/// Has a device at the customer's fetch the release, until the test is over; returns when it has begun.
async fn fetching(line: &HomeLine, bed: &Bed, modem: &Chaos) {
    let source = Source {
        server: format!("{}:{}", HomeLine::VENDOR, modem.address().port()).parse().unwrap(),
        route: DialRoute::default(),
        pins: bed.server.pins().to_vec(),
        key: Device::of(bed).await.key,
    };
    let (begun, mut begins) = mpsc::channel(1);
    let fetched = async move {
        let mut download = fetch(&source, of_target(&own_target(), FILE, 0)).await.unwrap().unwrap();
        tokio::spawn(async move {
            while let Ok(Some(_)) = download.piece().await {
                let _ = begun.try_send(());
            }
        });
    };
    line.customer.run(fetched).await;
    soon("a piece", begins.recv()).await.unwrap();
}

/// How many times as long visits take while devices of the customer's fetch an update.
async fn slower_by(line: HomeLine, more: &str) -> f64 {
    let shaped =
        Command::new("tc").args(LINE.split(' ')).status().expect("tc(8) is installed (package iproute2)");
    assert!(shaped.success());
    let bed = Bed::with(more).await;
    let service = line.customer.run(Service::http("home")).await;
    let (modem, client) = line.client(&bed, service.address(), "http", "").await;
    client.until_green("web").await;
    let host = petit_tests::visitor::host(&client.id());
    let mut release = Release::new();
    release.put(NEXT, &vec![7; LARGE_BYTES]);
    put(&bed, &release).unwrap();
    let alone = visit_took(&bed, &host).await;
    for _ in 0..DEVICES {
        fetching(&line, &bed, &modem).await;
    }
    let beside = visit_took(&bed, &host).await;
    assert_eq!(bed.server.relay.counts().downloads.now, DEVICES, "they are not through yet");
    figure(format!("a visit while updates are fetched over its line: {beside:?}, alone {alone:?}"));
    beside.as_secs_f64() / alone.as_secs_f64()
}

#[test]
fn visits_are_as_quick_as_before_while_updates_keep_to_their_rate() {
    on_home_line(Path::MOBILE, async |line| {
        let slower = slower_by(line, "").await;
        assert!(slower > 1.4, "without a rate they are not slowed down ({slower}), so this tells nothing");
    });
    on_home_line(Path::MOBILE, async |line| {
        let slower = slower_by(line, RATE).await;
        assert!(slower < 1.4, "{slower} times as long");
    });
}
