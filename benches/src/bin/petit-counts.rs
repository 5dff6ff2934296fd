//! Does one thing so many times, for callgrind to count the instructions of: `petit-counts NAME TIMES`, or
//! `petit-counts list`. See `counts.rs` of the bench.
//!
//! What runs here is the product's own code, fed with what it meets on the wire. Where both ends of a connection
//! are in this process, the count holds both.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a tool for people")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a count of something that went wrong must not come out"
)]

use std::hint::black_box;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use petit_engine::limits;
use petit_engine::mux::{self, Mux, MuxEvent, MuxEvents, Role, Stream};
use petit_engine::net::wire::Wire;
use petit_engine::proto::credit::{Budget, RecvWindow, SendCredit};
use petit_engine::proto::frame::{Decoder, FrameKind, Header, Open};
use petit_tests::bed::Bed;
use petit_tests::visitor;
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader, DuplexStream};
use tokio::net::{TcpListener, TcpStream};

/// A name, what it is, what it does.
type Work = (&'static str, &'static str, fn(usize));

const WORKS: [Work; 9] = [
    ("header", "frame header: encode, decode", header),
    ("open", "OPEN: encode, decode", open),
    ("decode", "a DATA frame of 128 bytes out of a batch of 16", decode),
    ("credit", "16 KiB received, consumed, granted, spent", credit),
    ("request", "mux, both ends: request and answer on a kept stream", request),
    ("stream", "mux, both ends: a stream opened, request, answer, both finished", stream),
    ("bulk", "mux, both ends: 64 KiB of a download", bulk),
    ("head", "public front: a head read, checked, routed to nowhere, answered 404; and its visitor", head),
    ("whole", "a whole request: visitor, front, TLS, mux, agent, service, and back", whole),
];

const REQUEST: &[u8] =
    b"GET /tiny HTTP/1.1\r\nHost: aaaaaaaaaaaaaaaa.localhost\r\nUser-Agent: bench\r\nAccept: */*\r\n\r\n";
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 32\r\n\r\n0123456789abcdef0123456789abcdef";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["list"] => {
            for (name, what, _) in WORKS {
                println!("{name}\t{what}");
            }
            ExitCode::SUCCESS
        }
        [name, times] => match (WORKS.iter().find(|(it, _, _)| it == name), times.parse()) {
            (Some((_, _, work)), Ok(times)) => {
                work(times);
                ExitCode::SUCCESS
            }
            _ => usage(),
        },
        _ => usage(),
    }
}

fn usage() -> ExitCode {
    eprintln!("usage: petit-counts list | NAME TIMES");
    ExitCode::from(2)
}

fn header(times: usize) {
    counted(|| {
        for number in 0..times {
            let header = Header { stream: number as u32 + 1, kind: FrameKind::Data, length: 128 };
            black_box(Header::decode(black_box(header.encode())).unwrap());
        }
    });
}

fn open(times: usize) {
    counted(|| {
        for number in 0..times {
            let open = Open { service: number as u16, ..Open::default() };
            black_box(Open::decode(&black_box(open.encode())).unwrap());
        }
    });
}

fn decode(times: usize) {
    let mut batch = Vec::new();
    for number in 0..16 {
        batch.extend_from_slice(&Header { stream: number + 1, kind: FrameKind::Data, length: 128 }.encode());
        batch.extend_from_slice(&[7; 128]);
    }
    let mut decoder = Decoder::default();
    let mut frames = 0;
    counted(|| {
        // Whole batches, so that each frame is counted as a sixteenth of one.
        while frames < times {
            let mut input = black_box(batch.as_slice());
            while let Some(piece) = decoder.next(&mut input).unwrap() {
                black_box(piece);
            }
            frames += 16;
        }
    });
}

fn credit(times: usize) {
    let mut now = Instant::now();
    let mut budget = Budget::new(limits::SESSION_WINDOW_BYTES);
    let mut window = RecvWindow::new(budget.open());
    let mut held = SendCredit::new(window.size());
    counted(|| {
        for _ in 0..times {
            now += Duration::from_micros(50);
            let spent = held.spend(limits::QUANTUM_BYTES);
            window.receive(spent).unwrap();
            if let Some(grant) = window.consume(spent, now, Some(Duration::from_millis(1)), &mut budget) {
                held.add(black_box(grant)).unwrap();
            }
        }
    });
}

/// Both ends of a session over an in-memory connection.
struct Pair {
    relay: Mux,
    agent: MuxEvents,
    _keep: (Mux, MuxEvents),
}

fn pair() -> Pair {
    let (near, far) = tokio::io::duplex(1 << 20);
    let (relay, relay_events) = side(near, Role::Relay);
    let (agent_mux, agent) = side(far, Role::Agent);
    Pair { relay, agent, _keep: (agent_mux, relay_events) }
}

fn side(io: DuplexStream, role: Role) -> (Mux, MuxEvents) {
    let io = Wire::new(BufReader::with_capacity(limits::BATCH_BYTES, io));
    let (mux, driver, events) = mux::session(io, role, limits::INITIAL_WINDOW_BYTES);
    mux.set_peer_limits(limits::INITIAL_WINDOW_BYTES, limits::MAX_STREAMS);
    tokio::spawn(driver);
    (mux, events)
}

impl Pair {
    async fn open(&mut self) -> (Stream, Stream) {
        let near = self.relay.open(Open::default()).unwrap();
        match self.agent.recv().await {
            Some(MuxEvent::Open(far)) => (near, far),
            other => panic!("no stream but {other:?}"),
        }
    }
}

async fn exchange(near: &mut Stream, far: &mut Stream) {
    let (mut request, mut answer) = ([0; REQUEST.len()], [0; ANSWER.len()]);
    near.write_all(REQUEST).await.unwrap();
    far.read_exact(&mut request).await.unwrap();
    far.write_all(ANSWER).await.unwrap();
    near.read_exact(&mut answer).await.unwrap();
    black_box((request, answer));
}

fn request(times: usize) {
    let prepare = async {
        let mut pair = pair();
        let streams = pair.open().await;
        (pair, streams)
    };
    run(prepare, |(pair, (mut near, mut far))| async move {
        let _keep = pair;
        for _ in 0..times {
            exchange(&mut near, &mut far).await;
        }
    });
}

fn stream(times: usize) {
    run(async { pair() }, |mut pair| async move {
        for _ in 0..times {
            let (mut near, mut far) = pair.open().await;
            exchange(&mut near, &mut far).await;
            near.finish();
            far.finish();
            assert_eq!(near.read(&mut [0; 1]).await.unwrap(), 0);
            assert_eq!(far.read(&mut [0; 1]).await.unwrap(), 0);
        }
    });
}

fn bulk(times: usize) {
    let prepare = async {
        let mut pair = pair();
        let streams = pair.open().await;
        (pair, streams)
    };
    run(prepare, |(pair, (mut near, mut far))| async move {
        let _keep = pair;
        let sender = tokio::spawn(async move {
            let chunk = bytes(limits::SERVICE_READ_BYTES);
            for _ in 0..times {
                far.write_all(&chunk).await.unwrap();
            }
            far
        });
        let mut buffer = bytes(limits::SERVICE_READ_BYTES);
        let mut left = times * limits::SERVICE_READ_BYTES;
        while left > 0 {
            left -= near.read(&mut buffer).await.unwrap();
        }
        drop(sender.await.unwrap());
    });
}

fn bytes(count: usize) -> Vec<u8> {
    vec![7; count]
}

fn head(times: usize) {
    let prepare = async {
        let bed = Bed::start().await;
        let tcp = TcpStream::connect(bed.http()).await.unwrap();
        tcp.set_nodelay(true).unwrap();
        (bed, tcp)
    };
    run(prepare, |(bed, mut tcp)| async move {
        let _keep = bed;
        for _ in 0..times {
            ask(&mut tcp, REQUEST, b"HTTP/1.1 404").await;
        }
    });
}

fn whole(times: usize) {
    let prepare = async {
        let service = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = service.local_addr().unwrap();
        tokio::spawn(async move {
            loop {
                let (mut tcp, _) = service.accept().await.unwrap();
                tokio::spawn(async move {
                    let mut buffer = [0; 4096];
                    // A request head comes in one piece here; a probe sends nothing.
                    while tcp.read(&mut buffer).await.is_ok_and(|count| count > 0) {
                        tcp.write_all(ANSWER).await.unwrap();
                    }
                });
            }
        });
        let bed = Bed::start().await;
        let client = bed.client_with(&[("web", address, "http")]).await;
        client.until_green("web").await;
        let host = visitor::host(&client.id());
        let request = String::from_utf8_lossy(REQUEST).replace("aaaaaaaaaaaaaaaa.localhost", &host);
        let tcp = TcpStream::connect(bed.http()).await.unwrap();
        tcp.set_nodelay(true).unwrap();
        (bed, client, tcp, request)
    };
    run(prepare, |(bed, client, mut tcp, request)| async move {
        let _keep = (bed, client);
        for _ in 0..times {
            ask(&mut tcp, request.as_bytes(), b"HTTP/1.1 200").await;
        }
    });
}

/// Sends a request and reads an answer that comes in one piece.
async fn ask(tcp: &mut TcpStream, request: &[u8], expected: &[u8]) {
    let mut buffer = [0; 4096];
    tcp.write_all(request).await.unwrap();
    let count = tcp.read(&mut buffer).await.unwrap();
    assert!(buffer.get(..count).is_some_and(|answer| answer.starts_with(expected)), "another answer");
}

/// Prepares and then does something in one runtime; only what is done is counted.
fn run<S, W: Future<Output = ()>>(prepare: impl Future<Output = S>, work: impl FnOnce(S) -> W) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let prepared = runtime.block_on(prepare);
    counted(|| runtime.block_on(work(prepared)));
}

/// What runs in here is counted; callgrind knows it by its name.
#[inline(never)]
fn counted(work: impl FnOnce()) {
    work();
    black_box(());
}
