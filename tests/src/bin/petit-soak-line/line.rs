//! The lines, what goes on on them, and what is found at their ends.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http_body_util::{BodyExt, Empty};
use hyper::body::{Body, Frame, SizeHint};
use petit_tests::bed::{Bed, client_config};
use petit_tests::home_line::{HomeLine, Path, on_home_line};
use petit_tests::pattern::{Check, Pattern};
use petit_tests::service::Service;
use petit_tests::visitor::{self, Visitor, request};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio_tungstenite::tungstenite::Message;

/// Lines of different kinds, side by side.
const LINES: [(&str, Path); 3] = [("DSL", Path::DSL), ("mobile", Path::MOBILE), ("cable", Path::CABLE)];

/// Downloads at a time; the rest of the line is left to the WebSocket and the TCP connection.
const DOWNLOADS: u64 = 2;
/// Uploads at a time. The service's say that it takes more stands in the queue of the full uplink, and a window does
/// not grow by that delay: so it needs some to fill the other direction.
const UPLOADS: u64 = 8;
/// What a line that has no other work carries of one of them, so that a round is neither a moment nor all of the time.
const ROUND: Duration = Duration::from_secs(15);
/// Bytes of a WebSocket's message: more than fits into the buffers on the way.
const MESSAGE: u64 = 300_000;
/// How long the last round may take after the time is over.
const LAST_ROUND: Duration = Duration::from_secs(180);
/// Of what a line can carry each way at least this has to pass, or it was not full and nothing was tried. A machine
/// that is busy with other things does not fill a cable.
const FULL_PERCENT: u64 = 50;

/// What has come through a line, by who has received and checked it.
#[derive(Default)]
struct Counts {
    /// Bytes at visitors.
    downloaded: AtomicU64,
    /// Bytes to services.
    uploaded: AtomicU64,
    /// Downloads and uploads that were whole.
    whole: AtomicU64,
    messages: AtomicU64,
    over: AtomicBool,
}

impl Counts {
    fn add(count: &AtomicU64, number: u64) {
        count.fetch_add(number, Ordering::Relaxed);
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }
}

/// Fills the lines for so long; says what came through, or, by a panic, what is wrong.
pub(crate) fn fill(lasting: Duration) -> Result<(), String> {
    let lines = LINES.map(|(name, path)| {
        std::thread::spawn(move || on_home_line(path, async |line| soak(name, line, lasting).await))
    });
    let failed = lines.into_iter().filter_map(|line| line.join().err()).count();
    if failed == 0 { Ok(()) } else { Err(format!("{failed} of {} lines failed", LINES.len())) }
}

#[expect(clippy::too_many_lines, reason = "one line from its begin to its end")]
async fn soak(name: &str, line: HomeLine, lasting: Duration) {
    let counts = Arc::new(Counts::default());
    let path = line.path;
    let web = line.customer.run(Service::http("soak")).await;
    let (heard, mut ends) = mpsc::unbounded_channel();
    let tcp = Service::speaking("line", {
        let counts = Arc::clone(&counts);
        move |tcp| {
            let (counts, heard) = (Arc::clone(&counts), heard.clone());
            async move {
                let both = both_ways(tcp, &counts, &counts.uploaded).await;
                // Probes say nothing.
                if both.heard > 0 {
                    let _ = heard.send(both);
                }
            }
        }
    });
    let tcp = line.customer.run(tcp).await;
    let bed = Bed::start().await;
    let config = client_config(&[("web", web.address(), "http"), ("line", tcp.address(), "tcp")]);
    let (modem, client) = line.client_with(&bed, config).await;
    client.until_green("web").await;
    let connections = modem.accepted();
    let host = visitor::host(&client.id());
    let front = client.url("line").await.strip_prefix("tcp://").unwrap().to_owned();

    let start = Instant::now();
    let mut life = tokio::task::JoinSet::new();
    let (visitor, round) = (bed.visitor(), ROUND);
    for _ in 0..DOWNLOADS {
        let each = path.downloaded_in(round) / DOWNLOADS;
        life.spawn(downloads(visitor, host.clone(), each, Arc::clone(&counts)));
    }
    for _ in 0..UPLOADS {
        let each = path.uploaded_in(round) / UPLOADS;
        life.spawn(uploads(visitor, host.clone(), each, Arc::clone(&counts)));
    }
    life.spawn(messages(visitor, host.clone(), Arc::clone(&counts)));
    let (said, visitors_end) = oneshot::channel();
    life.spawn({
        let counts = Arc::clone(&counts);
        async move {
            let tcp = TcpStream::connect(front).await.unwrap();
            let _ = said.send(both_ways(tcp, &counts, &counts.downloaded).await);
        }
    });
    // Whoever fails ends it all, at once.
    let over = tokio::time::sleep(lasting);
    tokio::select! {
        () = over => {}
        Some(ended) = life.join_next() => panic!("{name}: one has ended before the time: {ended:?}"),
    }
    let carried = (counts.downloaded.load(Ordering::Relaxed), counts.uploaded.load(Ordering::Relaxed));
    let took = start.elapsed();
    counts.over.store(true, Ordering::Relaxed);
    let last_round = tokio::time::timeout(LAST_ROUND, async {
        while let Some(ended) = life.join_next().await {
            ended.unwrap();
        }
    });
    last_round.await.unwrap_or_else(|_| panic!("{name}: what was under way has not come to its end"));

    let visitors = visitors_end.await.unwrap();
    let services = tokio::time::timeout(LAST_ROUND, ends.recv()).await;
    let services = services.ok().flatten().unwrap_or_else(|| panic!("{name}: no end at the service"));
    assert_eq!(visitors.said, services.heard, "{name}: what the visitor said over TCP");
    assert_eq!(services.said, visitors.heard, "{name}: what the service said over TCP");
    assert_eq!(modem.accepted(), connections, "{name}: the client has connected again");
    let get = |count: &AtomicU64| count.load(Ordering::Relaxed);
    println!(
        "{name}: {} minutes; {:.1} MB to visitors, {:.1} MB to services, every byte as it was sent; {} downloads and \
         uploads, {} messages, and one TCP connection of {:.1} and {:.1} MB; one session",
        took.as_secs() / 60,
        carried.0 as f64 / 1e6,
        carried.1 as f64 / 1e6,
        get(&counts.whole),
        get(&counts.messages),
        visitors.heard as f64 / 1e6,
        services.heard as f64 / 1e6,
    );
    for (way, carried, most) in
        [("up", carried.0, path.downloaded_in(took)), ("down", carried.1, path.uploaded_in(took))]
    {
        assert!(
            carried * 100 >= most * FULL_PERCENT,
            "{name}: the line was not full {way}: {carried} of {most} bytes"
        );
    }
}

/// One thing after the other, each within a time in which a line that stands still is noticed.
async fn again<F: Future<Output = ()>>(counts: &Counts, once: impl Fn() -> F) {
    while !counts.is_over() {
        tokio::time::timeout(LAST_ROUND, once()).await.expect("a transfer that makes no progress");
    }
}

async fn downloads(visitor: Visitor, host: String, length: u64, counts: Arc<Counts>) {
    again(&counts, async || {
        let asked = request(&host, "GET", &format!("/bytes/{length}"), Empty::<Bytes>::new());
        let answer = visitor.open(asked).await;
        assert_eq!(answer.status(), 200);
        let (mut body, mut check) = (answer.into_body(), Check::default());
        while let Some(frame) = body.frame().await {
            let data = frame.expect("a download that was cut off").into_data().unwrap();
            check.take(&data);
            Counts::add(&counts.downloaded, data.len() as u64);
        }
        assert_eq!(check.count(), length);
        Counts::add(&counts.whole, 1);
    })
    .await;
}

async fn uploads(visitor: Visitor, host: String, length: u64, counts: Arc<Counts>) {
    let expected = format!("{length} {}", Pattern::sum(length));
    again(&counts, async || {
        let body = Counted(Pattern::new(length), Arc::clone(&counts));
        let answer = visitor.send(request(&host, "POST", "/sum", body)).await;
        assert_eq!((answer.status.as_u16(), answer.text()), (200, expected.clone()));
        Counts::add(&counts.whole, 1);
    })
    .await;
}

/// A pattern that is counted as it goes, because an upload takes its time.
struct Counted(Pattern, Arc<Counts>);

impl Body for Counted {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let frame = ready!(Pin::new(&mut self.0).poll_frame(cx));
        if let Some(Ok(frame)) = &frame {
            Counts::add(&self.1.uploaded, frame.data_ref().map_or(0, Bytes::len) as u64);
        }
        Poll::Ready(frame)
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}

/// Messages that come back as they were sent.
async fn messages(visitor: Visitor, host: String, counts: Arc<Counts>) {
    let tcp = TcpStream::connect(visitor.front()).await.unwrap();
    let (mut socket, _) = tokio_tungstenite::client_async(format!("ws://{host}/ws"), tcp).await.unwrap();
    while !counts.is_over() {
        let message = Message::binary(Pattern::bytes(MESSAGE));
        let echo = async {
            socket.send(message.clone()).await.unwrap();
            socket.next().await.unwrap().unwrap()
        };
        let back = tokio::time::timeout(LAST_ROUND, echo).await.expect("a message that does not come back");
        assert!(back == message, "another message came back");
        for count in [&counts.downloaded, &counts.uploaded] {
            Counts::add(count, MESSAGE);
        }
        Counts::add(&counts.messages, 1);
    }
    socket.close(None).await.unwrap();
}

/// What one end of a TCP connection has said and heard.
#[derive(Debug)]
struct Both {
    said: u64,
    heard: u64,
}

/// Says a pattern until the time is over, and hears one until its end; counts what it hears.
async fn both_ways(mut tcp: TcpStream, counts: &Counts, heard: &AtomicU64) -> Both {
    let (mut read, mut write) = tcp.split();
    let saying = async {
        let said = Pattern::new(u64::MAX).write_until(&mut write, || counts.is_over()).await;
        let _ = write.shutdown().await;
        said.unwrap_or_default()
    };
    let hearing = async {
        let (mut check, mut buffer) = (Check::default(), vec![0; 64 * 1024]);
        loop {
            match read.read(&mut buffer).await {
                Ok(0) => return check.count(),
                Ok(count) => {
                    check.take(&buffer[..count]);
                    Counts::add(heard, count as u64);
                }
                // A probe, which goes without a word.
                Err(_) if check.count() == 0 => return 0,
                Err(error) => panic!("cut off after {} bytes: {error}", check.count()),
            }
        }
    };
    let (said, heard) = tokio::join!(saying, hearing);
    Both { said, heard }
}
