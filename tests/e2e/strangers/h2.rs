//! HTTP/2 visitors that flood. Each ends with its own connection, and the server's memory stays where it was.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use petit_engine::limits;
use petit_tests::bed::Bed;
use petit_tests::figures::{figure, rounds};
use petit_tests::process::{Program, Running};
use petit_tests::service::Service;
use petit_tests::soon;
use petit_tests::visitor::{self, Visitor};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub(super) const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
pub(super) const PING: u8 = 6;
const GOAWAY: u8 = 7;
pub(super) const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
/// A type that nobody has given a meaning.
const UNKNOWN: u8 = 0xfe;
pub(super) const DATA: u8 = 0;
pub(super) const END_STREAM: u8 = 1;
pub(super) const END_HEADERS: u8 = 4;
const ACK: u8 = 1;

pub(super) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let [_, a, b, c] = (payload.len() as u32).to_be_bytes();
    [&[a, b, c, kind, flags][..], &stream.to_be_bytes(), payload].concat()
}

/// A field that HPACK neither indexes nor compresses (RFC 7541 §6.2.2).
pub(super) fn field(name: &str, value: &str) -> Vec<u8> {
    let text = |text: &str| {
        let mut out = Vec::new();
        if text.len() < 127 {
            out.push(text.len() as u8);
        } else {
            out.push(127);
            let mut rest = text.len() - 127;
            while rest >= 128 {
                out.push((rest % 128) as u8 | 128);
                rest /= 128;
            }
            out.push(rest as u8);
        }
        out.extend(text.as_bytes());
        out
    };
    [&[0][..], &text(name), &text(value)].concat()
}

fn get(host: &str) -> Vec<u8> {
    get_of(host, "/")
}

fn get_of(host: &str, path: &str) -> Vec<u8> {
    // :method GET, :scheme http of the static table.
    [&[0x82, 0x86][..], &field(":path", path), &field(":authority", host)].concat()
}

/// What a connection came to that floods.
#[derive(Debug, PartialEq, Eq)]
enum StreamOutcome {
    /// The server has said GOAWAY and closed it.
    Ended,
    /// All of the flood was read, and the connection lives.
    Outlived,
    /// The server has closed it without a word.
    Dropped,
}

/// How a flood ended.
struct Ended {
    fate: StreamOutcome,
    /// How the head of each answer begins.
    answers: Vec<u8>,
    took: Duration,
}

/// A connection of HTTP/2 that has begun.
pub(super) async fn begun(front: SocketAddr) -> TcpStream {
    let mut tcp = TcpStream::connect(front).await.unwrap();
    tcp.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
    tcp.write_all(&frame(SETTINGS, 0, 0, &[])).await.unwrap();
    tcp
}

/// Sends `pieces` for as long as the server takes them; says in the end what it makes of a PING.
async fn flood(mut tcp: TcpStream, mut pieces: impl Iterator<Item = Vec<u8>>) -> Ended {
    const LAST: [u8; 8] = *b"the end?";
    let start = Instant::now();
    let (mut read, mut write) = tcp.split();
    let mut ended = Ended { fate: StreamOutcome::Dropped, answers: Vec::new(), took: Duration::ZERO };
    let reading = async {
        let mut head = [0; 9];
        while read.read_exact(&mut head).await.is_ok() {
            let [a, b, c, kind, flags, ..] = head;
            let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
            if read.read_exact(&mut payload).await.is_err() {
                return;
            }
            match kind {
                GOAWAY => ended.fate = StreamOutcome::Ended,
                HEADERS => ended.answers.extend(payload.first()),
                PING if flags & ACK != 0 && payload == LAST => {
                    ended.fate = StreamOutcome::Outlived;
                    return;
                }
                _ => {}
            }
        }
    };
    let writing = async {
        let mut batch = Vec::new();
        loop {
            batch.clear();
            for _ in 0..100 {
                batch.extend(pieces.next().unwrap_or_default());
            }
            if batch.is_empty() {
                let _ = write.write_all(&frame(PING, 0, 0, &LAST)).await;
                return;
            }
            if write.write_all(&batch).await.is_err() {
                return;
            }
        }
    };
    soon("a flood to end", async { tokio::join!(writing, reading) }).await;
    ended.took = start.elapsed();
    ended
}

struct Front {
    server: Program,
    _running: (Running, Running),
    client: Program,
    host: String,
    visitor: Visitor,
    pid: u32,
}

impl Front {
    async fn new() -> Self {
        let service = Box::leak(Box::new(Service::http("still here").await));
        let (server, running, client) = crate::recover::processes(service).await;
        let client_running = client.up().await;
        let status = client.until_green().await;
        let url = status["services"][0]["url"].as_str().unwrap().to_owned();
        let host = url.split("://").nth(1).unwrap().split(':').next().unwrap().to_owned();
        let visitor = server.visitor().await;
        let pid = running.id();
        Self { server, _running: (running, client_running), client, host, visitor, pid }
    }

    fn rss(&self) -> u64 {
        petit_tests::process::resident_bytes(self.pid)
    }

    async fn is_served(&self) {
        assert_eq!(self.visitor.get(&self.host, "/").await.text(), "still here");
    }
}

/// A25 to A27.
#[tokio::test]
#[expect(clippy::too_many_lines, reason = "a row for each flood")]
async fn floods_of_http2_end_with_their_own_connection_and_take_no_memory() {
    let front = Front::new().await;
    let many = rounds(20_000, 100_000) as u32;
    let host = front.host.clone();
    let opened = |stream: u32, flags: u8| frame(HEADERS, flags | END_HEADERS, 2 * stream + 1, &get(&host));
    let unique = |count: usize| -> Vec<u8> {
        let mut block = get(&host);
        for number in 0..count {
            block.extend(field(&format!("x-{number}"), "1"));
        }
        let mut out = Vec::new();
        let mut pieces = block.chunks(16_000).peekable();
        let mut first = true;
        while let Some(piece) = pieces.next() {
            let kind = if std::mem::take(&mut first) { HEADERS } else { CONTINUATION };
            let flags = if pieces.peek().is_none() { END_HEADERS } else { 0 };
            out.extend(frame(kind, flags | (u8::from(kind == HEADERS) * END_STREAM), 1, piece));
        }
        out
    };
    // One field into the dynamic table, then a byte for each time it is meant: a head of a megabyte in 20 KiB.
    let bomb = {
        let mut block = get(&host);
        block.extend([0x40, 6]);
        block.extend(b"cookie");
        block.push(50);
        block.extend([b'a'; 50]);
        block.extend(std::iter::repeat_n(0xbe, 16_000));
        frame(HEADERS, END_STREAM | END_HEADERS, 1, &block)
    };
    let window = |grant: u32| grant.to_be_bytes();
    type Flood<'a> = (&'a str, Box<dyn Iterator<Item = Vec<u8>> + 'a>, StreamOutcome);
    let floods: Vec<Flood<'_>> =
        vec![
            (
                "rapid reset",
                Box::new((0..many).map(|n| {
                    [opened(n, END_STREAM), frame(RST_STREAM, 0, 2 * n + 1, &[0, 0, 0, 8])].concat()
                })),
                StreamOutcome::Ended,
            ),
            (
                "resets provoked by empty grants",
                Box::new(
                    (0..many)
                        .map(|n| [opened(n, 0), frame(WINDOW_UPDATE, 0, 2 * n + 1, &window(0))].concat()),
                ),
                StreamOutcome::Ended,
            ),
            (
                "resets provoked by too much credit",
                Box::new((0..many).map(|n| {
                    [opened(n, 0), frame(WINDOW_UPDATE, 0, 2 * n + 1, &window(0x7fff_ffff))].concat()
                })),
                StreamOutcome::Ended,
            ),
            (
                "resets provoked by heads after the end",
                Box::new((0..many).map(|n| [opened(n, END_STREAM), opened(n, END_STREAM)].concat())),
                StreamOutcome::Ended,
            ),
            (
                "a head that never ends",
                Box::new(
                    std::iter::once(frame(HEADERS, END_STREAM, 1, &get(&host)))
                        .chain((0..many).map(|_| frame(CONTINUATION, 0, 1, &field("x", &"a".repeat(100))))),
                ),
                StreamOutcome::Ended,
            ),
            ("a head of 30,000 fields", Box::new(std::iter::once(unique(30_000))), StreamOutcome::Ended),
            ("a head of one-byte references", Box::new(std::iter::once(bomb)), StreamOutcome::Ended),
            (
                "empty DATA",
                Box::new(std::iter::once(opened(0, 0)).chain((0..many).map(|_| frame(DATA, 0, 1, &[])))),
                StreamOutcome::Ended,
            ),
            ("PINGs", Box::new((0..many).map(|_| frame(PING, 0, 0, &[7; 8]))), StreamOutcome::Ended),
            ("SETTINGS", Box::new((0..many).map(|_| frame(SETTINGS, 0, 0, &[]))), StreamOutcome::Ended),
            (
                "PRIORITY",
                Box::new((0..many).map(|n| frame(PRIORITY, 0, 2 * n + 1, &[0, 0, 0, 0, 1]))),
                StreamOutcome::Ended,
            ),
            (
                "grants of a byte",
                Box::new((0..many).map(|_| frame(WINDOW_UPDATE, 0, 0, &window(1)))),
                StreamOutcome::Ended,
            ),
        ];
    front.is_served().await;
    let before = front.rss();
    for (what, pieces, fate) in floods {
        let ended = flood(begun(front.visitor.front()).await, pieces).await;
        assert_eq!(ended.fate, fate, "{what}");
        // 0x88 is :status 200 of the static table; a flood may be answered until it is one.
        let answered = ended.answers.iter().filter(|status| **status == 0x88).count();
        assert!(answered < many as usize / 10, "{what}: {answered} answers");
        figure(format!(
            "HTTP/2, {what}: over after {} ms, server holds {:+.1} MiB",
            ended.took.as_millis(),
            (front.rss() as f64 - before as f64) / 1048576.0
        ));
        front.is_served().await;
    }
    let grown = front.rss().saturating_sub(before);
    assert!(grown < 24 << 20, "the server grew by {} KiB", grown / 1024);
    drop((front.server, front.client));
}

/// The end of a flood comes within this, whatever else its connection carries.
const FLOOD_LIMIT: Duration = Duration::from_secs(5);

#[tokio::test]
async fn a_flood_ends_though_a_request_is_under_way_and_takes_that_with_it() {
    let service = Service::http("still here").await;
    let bed = Bed::start().await;
    let client = bed.client_with(&[("web", service.address(), "http")]).await;
    client.until_green("web").await;
    let host = visitor::host(&client.id());
    let floods = [
        ("PINGs", frame(PING, 0, 0, &[7; 8])),
        ("SETTINGS", frame(SETTINGS, 0, 0, &[])),
        ("PRIORITY", frame(PRIORITY, 0, 3, &[0, 0, 0, 0, 1])),
        ("resets of what is over", frame(RST_STREAM, 0, 1, &[0, 0, 0, 8])),
        ("grants of a byte", frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1])),
        ("frames that nobody knows", frame(UNKNOWN, 0, 0, &[])),
    ];
    for (what, piece) in floods {
        let mut tcp = begun(bed.http()).await;
        let asked = |stream, path| frame(HEADERS, END_STREAM | END_HEADERS, stream, &get_of(&host, path));
        tcp.write_all(&[asked(1, "/"), asked(3, "/wait")].concat()).await.unwrap();
        service.until_waiting(1).await;
        let ended = flood(tcp, std::iter::repeat(piece)).await;
        assert_eq!(ended.fate, StreamOutcome::Ended, "{what}");
        assert!(ended.took < FLOOD_LIMIT, "{what}: {:?}", ended.took);
        service.until_waiting(0).await;
        figure(format!("HTTP/2, {what} beside a request: over after {} ms", ended.took.as_millis()));
    }
    assert_eq!(bed.visitor().get(&host, "/").await.text(), "still here");
}

#[tokio::test]
async fn who_gives_credit_for_each_piece_of_a_long_answer_and_measures_the_distance_gets_all_of_it() {
    const BYTES: usize = 64 << 20;
    let service = Service::http("web").await;
    let bed = Bed::start().await;
    let client = bed.client_with(&[("web", service.address(), "http")]).await;
    client.until_green("web").await;
    let mut tcp = begun(bed.http()).await;
    tcp.set_nodelay(true).unwrap();
    let path = format!("/bytes/{BYTES}");
    let head = get_of(&visitor::host(&client.id()), &path);
    tcp.write_all(&frame(HEADERS, END_STREAM | END_HEADERS, 1, &head)).await.unwrap();
    let (mut control, mut received) = (0, 0);
    let downloading = async {
        loop {
            let mut head = [0; 9];
            tcp.read_exact(&mut head).await.unwrap();
            let [a, b, c, kind, flags, ..] = head;
            let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
            tcp.read_exact(&mut payload).await.unwrap();
            assert_ne!(kind, GOAWAY, "after {received} bytes and {control} frames");
            if kind != DATA {
                continue;
            }
            received += payload.len();
            if flags & END_STREAM != 0 {
                return;
            }
            let grant = (payload.len() as u32).to_be_bytes();
            let grants = [frame(WINDOW_UPDATE, 0, 1, &grant), frame(WINDOW_UPDATE, 0, 0, &grant)];
            tcp.write_all(&[grants.concat(), frame(PING, 0, 0, &[7; 8])].concat()).await.unwrap();
            control += 3;
        }
    };
    soon("a long answer", downloading).await;
    assert_eq!(received, BYTES);
    let most = limits::H2_CONTROL_AT_ONCE + limits::H2_CONTROL_PER_SECOND * 40;
    assert!(control > most, "{control} frames need no more than what everybody may send");
}
