//! `petit-server restart` with many clients (R1), measured from the command on.

use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::StreamExt;
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use petit_host::control::client::Client;
use petit_tests::crowd::Crowd;
use petit_tests::figures::{figure, rounds};
use petit_tests::scripted::{Manner as Service, Pen};
use petit_tests::soon;
use petit_tests::steady::{Manner, Met, Steady};
use petit_tests::visitor::{request, sum};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use super::Whole;
use crate::traffic::events::{self, event};
use crate::upgrade::{Socket, connect};

/// A hundred visitors a second.
const EVERY: Duration = Duration::from_millis(10);

/// What is open while the server is restarted, one of each kind.
struct Open {
    socket: Socket,
    events: Incoming,
    pen: Pen,
    download: Incoming,
    begun: usize,
    database: TcpStream,
}

const DOWNLOAD_BYTES: usize = 60_000_000;

impl Open {
    async fn new(whole: &Whole, events_host: &str, pens: &mut mpsc::Receiver<(Pen, Option<String>)>) -> Self {
        let socket = connect(whole.visitor, &whole.host, "/ws").await.unwrap();
        let subscribe = request(events_host, "GET", "/", Empty::<Bytes>::new());
        let mut events = whole.visitor.open(subscribe).await.into_body();
        let (pen, _) = soon("a subscription", pens.recv()).await.unwrap();
        event(&pen, &mut events, 1).await;
        let asked = request(&whole.host, "GET", &format!("/bytes/{DOWNLOAD_BYTES}"), Empty::<Bytes>::new());
        let mut download = whole.visitor.open(asked).await.into_body();
        let begun = soon("the first bytes", download.frame()).await.unwrap().unwrap();
        let begun = begun.into_data().unwrap().len();
        let mut database = TcpStream::connect(&whole.tcp).await.unwrap();
        soon("a greeting", database.read_exact(&mut [0; 2])).await.unwrap();
        Self { socket, events, pen, download, begun, database }
    }

    /// Everything goes on, or is told to go as its protocol has it.
    async fn comes_to_its_end(self) {
        let Self { mut socket, mut events, pen, download, begun, mut database } = self;
        database.write_all(b"select 1").await.unwrap();
        let mut answer = [0; 8];
        soon("the database's answer", database.read_exact(&mut answer)).await.unwrap();
        assert_eq!(&answer, b"select 1");
        let (rest, _) = soon("the download", sum(download)).await.unwrap();
        assert_eq!(usize::try_from(rest).unwrap() + begun, DOWNLOAD_BYTES, "the whole of it");
        match soon("a goodbye", socket.next()).await {
            Some(Ok(Message::Close(Some(close)))) => assert_eq!(close.code, CloseCode::Away),
            other => panic!("no close frame: {other:?}"),
        }
        let rest = soon("the end of the events", async { (&mut events).collect().await.unwrap() }).await;
        assert!(rest.to_bytes().is_empty(), "a clean end behind a whole event");
        soon("their service to notice", pen.unread()).await;
        // It ends when its visitor does.
        database.write_all(b"select 2").await.unwrap();
        soon("the database's answer", database.read_exact(&mut answer)).await.unwrap();
    }
}

/// How often the new process is asked who is there: the answer names every client, and whoever makes it serves them too.
const ASK_EVERY: Duration = Duration::from_millis(200);

/// Restarts the server; returns what visitors met from the command on until all clients are at the new process, and
/// how long that took, to the next [`ASK_EVERY`].
async fn restarted(whole: &Whole, hosts: Vec<String>, clients: usize) -> (Met, Duration) {
    let mut visitors = Steady::start(whole.visitor.front(), hosts, EVERY, Manner::Fresh);
    let start = Instant::now();
    let said = whole.server.run(["--json", "restart"]).await.ok().json();
    // Over the socket: a process for each question would cost more than what is measured.
    let control = Client::new(&whole.server.dir().join("server.sock"));
    let mut pace = tokio::time::interval(ASK_EVERY);
    let all_there = async {
        loop {
            pace.tick().await;
            let status = control.call("GET", "/status", None).await.unwrap();
            let there = status["clients"].as_array().unwrap().iter();
            if status["pid"] == said["pid"]
                && there.filter(|client| client["online"] == true).count() == clients
            {
                return start.elapsed();
            }
        }
    };
    let took = soon("all clients to be at the new process", all_there).await;
    visitors.more(20).await;
    (visitors.end().await, took)
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_fails_and_none_waits_for_long_whatever_else_is_open() {
    let whole = Whole::start("goodbye = \"1s\"").await;
    let count = rounds(40, 200);
    let crowd = Crowd::register(&whole.server, whole.http_service.address(), count).await;
    let (service, mut pens) = events::service(Service::h1()).await;
    let events = Crowd::register(&whole.server, service.address(), 1).await;
    let mut all = Met::default();
    let mut slowest = Duration::ZERO;
    for _ in 0..rounds(2, 10) {
        let open = Open::new(&whole, &events.hosts[0], &mut pens).await;
        let (met, took) = restarted(&whole, crowd.hosts.clone(), count + 2).await;
        all.add(met);
        slowest = slowest.max(took);
        open.comes_to_its_end().await;
    }
    assert_eq!(all.disappointed(), 0, "{:?} {:?} {:?}", all.statuses, all.errors, all.failures);
    assert!(all.times.percentile(99) <= Duration::from_secs(1), "{}", all.times.summary());
    figure(format!(
        "R1 restart with {count} clients, requests from the command on: {}; all moved after {} ms at most",
        all.times.summary(),
        slowest.as_millis()
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_very_many_clients_all_move_soon_and_whoever_was_not_served_is_counted() {
    let whole = Whole::start("").await;
    let count = rounds(150, 2000);
    let crowd = Crowd::register(&whole.server, whole.http_service.address(), count).await;
    let (met, took) = restarted(&whole, crowd.hosts.clone(), count + 1).await;
    assert!(took <= Duration::from_secs(7), "{took:?}");
    let told = met.statuses.get(&503).copied().unwrap_or_default();
    assert_eq!(met.disappointed(), told, "{:?} {:?} {:?}", met.statuses, met.errors, met.failures);
    figure(format!(
        "R1 restart with {count} clients: all moved after {} ms; {told} answers of 503, by their codes {:?}; requests \
         from the command on: {}",
        took.as_millis(),
        met.errors,
        met.times.summary()
    ));
}
