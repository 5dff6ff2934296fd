//! Peers that are slow on purpose: with a head, with a body, with taking an answer; over HTTP/1.1 and HTTP/2.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use petit_engine::limits;
use petit_tests::bed::client_config;
use petit_tests::figures::{Times, figure, rounds};
use petit_tests::process::{Program, resident_bytes};
use petit_tests::service::Service;
use petit_tests::soon;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Slow {
    /// Says nothing.
    Silent,
    /// Sends a head, a byte every few seconds.
    Head,
    /// Sends a body like that.
    Body,
    /// Takes nothing of a long answer.
    Reader,
    /// Begins with HTTP/2 and sends nothing more.
    H2Silent,
    /// Takes nothing of a long answer by granting no credit.
    H2Reader,
}

const ALL: [Slow; 6] = [Slow::Silent, Slow::Head, Slow::Body, Slow::Reader, Slow::H2Silent, Slow::H2Reader];

impl Slow {
    /// When it is to be cut at the latest.
    fn limit(self) -> Duration {
        match self {
            Self::Silent | Self::Head => limits::HEAD,
            Self::Body => limits::BODY_GRACE,
            Self::Reader | Self::H2Reader => limits::WRITE_IDLE,
            // What it has said at first is looked at once in that time.
            Self::H2Silent => limits::HEAD,
        }
    }
}

/// What a machine that does other things, too, may add to the time of a request of milliseconds.
const NOISE: Duration = Duration::from_millis(20);

/// Goes on until it is cut off; says when that was and whether it was told why.
async fn go_slow(kind: Slow, front: SocketAddr, host: String) -> (Slow, Duration, bool) {
    let socket = TcpSocket::new_v4().unwrap();
    // What the kernels take off the server at first counts as taken.
    socket.set_recv_buffer_size(4096).unwrap();
    let mut tcp = socket.connect(front).await.unwrap();
    let mut start = Instant::now();
    let first = match kind {
        Slow::Silent => String::new(),
        Slow::Head => format!("GET / HTTP/1.1\r\nHost: {host}\r\nX-Slow: "),
        Slow::Body => format!("POST /sum HTTP/1.1\r\nHost: {host}\r\nContent-Length: 100000\r\n\r\n"),
        Slow::Reader => format!("GET /bytes/100000000 HTTP/1.1\r\nHost: {host}\r\n\r\n"),
        Slow::H2Silent | Slow::H2Reader => "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_owned(),
    };
    tcp.write_all(first.as_bytes()).await.unwrap();
    if kind == Slow::H2Reader {
        // :method GET, :scheme http, :path and :authority as literals.
        let mut block = vec![0x82, 0x86, 0x04, 16];
        block.extend(b"/bytes/100000000");
        block.extend([0x01, host.len() as u8]);
        block.extend(host.as_bytes());
        let mut frame = vec![0, 0, block.len() as u8, 1, 5, 0, 0, 0, 1];
        frame.extend(block);
        tcp.write_all(&frame).await.unwrap();
    }
    if kind == Slow::Reader {
        // It takes nothing from the moment at which there is something to take.
        soon("the begin of an answer", tcp.readable()).await.unwrap();
        start = Instant::now();
    }
    let (mut read, mut write) = tcp.into_split();
    let trickle = async {
        let mut every = tokio::time::interval(Duration::from_secs(4));
        loop {
            every.tick().await;
            if write.write_all(b"x").await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    };
    let mut answer = Vec::new();
    let cut = async {
        match kind {
            // It does not read until the connection is dead; the kernel tells by way of an error.
            Slow::Reader => soon("a reader to be cut", is_reset(&read)).await,
            _ => drop(soon("a slow peer to be cut", read.read_to_end(&mut answer)).await),
        }
    };
    match kind {
        Slow::Head | Slow::Body => tokio::select! {
            () = cut => {}
            () = trickle => {}
        },
        _ => cut.await,
    }
    let told = match kind {
        Slow::H2Silent | Slow::H2Reader => is_goaway_in(&answer),
        Slow::Silent | Slow::Head | Slow::Body | Slow::Reader => answer.starts_with(b"HTTP/1.1 408"),
    };
    (kind, start.elapsed(), told)
}

/// True when a GOAWAY is among HTTP/2 frames.
fn is_goaway_in(mut frames: &[u8]) -> bool {
    const GOAWAY: u8 = 7;
    while let [a, b, c, kind, _, _, _, _, _, rest @ ..] = frames {
        if *kind == GOAWAY {
            return true;
        }
        frames = rest.get(u32::from_be_bytes([0, *a, *b, *c]) as usize..).unwrap_or_default();
    }
    false
}

/// Waits until the kernel knows that the other side has given up, without reading a byte.
async fn is_reset(read: &tokio::net::tcp::OwnedReadHalf) {
    loop {
        let ready = read.ready(tokio::io::Interest::ERROR).await;
        if ready.is_err() || ready.is_ok_and(|ready| ready.is_error()) {
            return;
        }
    }
}

/// R12.
#[tokio::test]
async fn slow_peers_are_cut_and_hold_up_nobody() {
    let service = Service::http("fast").await;
    let other = Service::http("for the slow").await;
    let server = Program::server().await;
    let running = server.up().await;
    let client = Program::client();
    let services = [("web", service.address(), "http"), ("slow", other.address(), "http")];
    std::fs::write(client.config(), client_config(&services)).unwrap();
    client.run_with(["register"], &server.invite([""; 0]).await).await.ok();
    let _client = client.up().await;
    let status = client.until_green().await;
    let host = |number: usize| {
        let url = status["services"][number]["url"].as_str().unwrap();
        url.split("://").nth(1).unwrap().split(':').next().unwrap().to_owned()
    };
    let (fast, slow) = (host(0), host(1));
    let visitor = server.visitor().await;
    let mut base = Times::default();
    for _ in 0..200 {
        let start = Instant::now();
        assert_eq!(visitor.get(&fast, "/").await.text(), "fast");
        base.add(start.elapsed());
    }
    let before = resident_bytes(running.id());
    let each = rounds(50, 1000);
    let mut crowd = tokio::task::JoinSet::new();
    for kind in ALL {
        for _ in 0..each {
            crowd.spawn(go_slow(kind, visitor.front(), slow.clone()));
        }
    }
    let (mut beside, mut most) = (Times::default(), before);
    let mut longest: Vec<(Slow, Duration)> = Vec::new();
    while !crowd.is_empty() {
        let start = Instant::now();
        assert_eq!(visitor.get(&fast, "/").await.text(), "fast");
        beside.add(start.elapsed());
        most = most.max(resident_bytes(running.id()));
        while let Some(ended) = crowd.try_join_next() {
            let (kind, took, told) = ended.unwrap();
            assert!(
                told || matches!(kind, Slow::Silent | Slow::Reader | Slow::Head),
                "{kind:?} was not told why"
            );
            match longest.iter_mut().find(|(known, _)| *known == kind) {
                Some((_, longest)) => *longest = took.max(*longest),
                None => longest.push((kind, took)),
            }
        }
    }
    for (kind, longest) in &longest {
        figure(format!("R12 {each} × {kind:?}: the last was cut after {:.1} s", longest.as_secs_f64()));
    }
    figure(format!(
        "R12 honest visitors alone: {}; beside {} slow peers: {}; server grew by {:.1} MiB",
        base.summary(),
        ALL.len() * each,
        beside.summary(),
        (most - before) as f64 / 1048576.0
    ));
    assert_eq!(longest.len(), ALL.len());
    // A machine that lets an honest visitor wait does so with everybody.
    let slack = Duration::from_secs(2) + beside.longest();
    for (kind, longest) in longest {
        assert!(longest <= kind.limit() + slack, "{kind:?} was cut after {longest:?}, {slack:?} too many");
    }
    let (usual, slowed) = (base.percentile(99), beside.percentile(99));
    assert!(slowed <= 2 * usual + NOISE, "p99 {slowed:?}, alone {usual:?}");
    drop((server, client));
}
