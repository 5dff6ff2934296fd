//! Uploads of HTTP/2 that Petit answers before it has read them: what is left of the body is taken for a while, so that no
//! reset takes the answer away, and nobody can make more of that than is good.

use std::time::Instant;

use petit_engine::limits;
use petit_tests::bed::Bed;
use petit_tests::soon;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::h2::{
    DATA, END_HEADERS, END_STREAM, HEADERS, PING, RST_STREAM, SETTINGS, WINDOW_UPDATE, begun, field, frame,
};

const ACK: u8 = 1;
const NO_ERROR: [u8; 4] = [0, 0, 0, 0];
const REFUSED_STREAM: [u8; 4] = [0, 0, 0, 7];
/// The longest frame that a peer takes who has not said otherwise.
const FRAME_BYTES: usize = 16 * 1024;

/// Begins an upload to a service that nobody has.
fn upload(stream: u32) -> Vec<u8> {
    // :method POST, :scheme http of the static table.
    let head = [&[0x83, 0x86][..], &field(":path", "/"), &field(":authority", "nobody.localhost")].concat();
    frame(HEADERS, END_HEADERS, stream, &head)
}

struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: Vec<u8>,
}

async fn next(tcp: &mut TcpStream) -> Frame {
    let mut head = [0; 9];
    soon("a frame", tcp.read_exact(&mut head)).await.unwrap();
    let [a, b, c, kind, flags, stream @ ..] = head;
    let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
    soon("a frame", tcp.read_exact(&mut payload)).await.unwrap();
    Frame { kind, flags, stream: u32::from_be_bytes(stream), payload }
}

/// Waits for the end of an answer. It comes before any reset.
async fn answered(tcp: &mut TcpStream, stream: u32) {
    loop {
        let frame = next(tcp).await;
        assert_ne!((frame.kind, frame.stream), (RST_STREAM, stream));
        if frame.stream == stream && matches!(frame.kind, DATA | HEADERS) && frame.flags & END_STREAM != 0 {
            return;
        }
    }
}

/// Whatever the server had to send until now has come, and there was no reset among it.
async fn has_no_reset(tcp: &mut TcpStream) {
    tcp.write_all(&frame(PING, 0, 0, &[7; 8])).await.unwrap();
    loop {
        let frame = next(tcp).await;
        assert_ne!(frame.kind, RST_STREAM, "stream {} was reset: {:?}", frame.stream, frame.payload);
        if frame.kind == PING && frame.flags & ACK != 0 {
            return;
        }
    }
}

#[tokio::test]
async fn a_body_that_nobody_wants_is_taken_to_its_end_and_its_stream_is_not_reset() {
    let bed = Bed::start().await;
    let mut tcp = begun(bed.http()).await;
    for stream in [1, 3, 5] {
        tcp.write_all(&upload(stream)).await.unwrap();
        answered(&mut tcp, stream).await;
        has_no_reset(&mut tcp).await;
        for _ in 0..3 {
            tcp.write_all(&frame(DATA, 0, stream, &[b'x'; 10_000])).await.unwrap();
            has_no_reset(&mut tcp).await;
        }
        tcp.write_all(&frame(DATA, END_STREAM, stream, b"the end")).await.unwrap();
        has_no_reset(&mut tcp).await;
    }
}

#[tokio::test]
async fn a_body_without_end_that_nobody_wants_is_reset_and_its_window_never_grows() {
    let bed = Bed::start().await;
    let mut tcp = begun(bed.http()).await;
    // A window of the server's own is in force once its settings are taken note of; the connection's is larger.
    while next(&mut tcp).await.kind != SETTINGS {}
    tcp.write_all(&[frame(SETTINGS, ACK, 0, &[]), upload(1)].concat()).await.unwrap();
    answered(&mut tcp, 1).await;
    let (mut window, mut sent) = (limits::H2_STREAM_WINDOW_BYTES as usize, 0);
    let code = loop {
        while window >= FRAME_BYTES {
            tcp.write_all(&frame(DATA, 0, 1, &[b'x'; FRAME_BYTES])).await.unwrap();
            (window, sent) = (window - FRAME_BYTES, sent + FRAME_BYTES);
        }
        let frame = next(&mut tcp).await;
        match (frame.kind, frame.stream) {
            (RST_STREAM, 1) => break frame.payload,
            (WINDOW_UPDATE, 1) => {
                window += u32::from_be_bytes(frame.payload.try_into().unwrap()) as usize;
                assert!(window <= limits::H2_STREAM_WINDOW_BYTES as usize, "{window}");
            }
            _ => {}
        }
    };
    assert_eq!(code, NO_ERROR);
    let on_its_way = limits::H2_STREAM_WINDOW_BYTES as usize;
    assert!(sent <= limits::UNREAD_BYTES + on_its_way, "{sent}");
    // The connection goes on.
    tcp.write_all(&upload(3)).await.unwrap();
    answered(&mut tcp, 3).await;
}

#[tokio::test]
async fn bodies_that_nobody_wants_count_among_the_streams_of_their_connection() {
    let bed = Bed::start().await;
    let mut tcp = begun(bed.http()).await;
    let start = Instant::now();
    let streams = (0..limits::H2_STREAMS).map(|number| 2 * number + 1);
    tcp.write_all(&streams.clone().flat_map(upload).collect::<Vec<u8>>()).await.unwrap();
    let mut open: Vec<u32> = streams.collect();
    while !open.is_empty() {
        let frame = next(&mut tcp).await;
        assert_ne!(frame.kind, RST_STREAM);
        if frame.flags & END_STREAM != 0 && matches!(frame.kind, DATA | HEADERS) {
            open.retain(|stream| *stream != frame.stream);
        }
    }
    let one_more = 2 * limits::H2_STREAMS + 1;
    tcp.write_all(&upload(one_more)).await.unwrap();
    let fate = loop {
        let frame = next(&mut tcp).await;
        if frame.stream == one_more {
            break frame;
        }
    };
    // On a machine that stood still meanwhile the first are over.
    let is_refused = fate.kind == RST_STREAM && fate.payload == REFUSED_STREAM;
    assert!(is_refused || start.elapsed() >= limits::LISTEN_ON, "{} {:?}", fate.kind, fate.payload);
}
