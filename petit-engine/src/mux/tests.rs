//! The multiplexer over an in-memory connection, and against peers that break its rules.

mod carry;
mod control;
mod liveness;
mod memory;

use std::io::IoSlice;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::task::JoinHandle;
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};

use super::testing::{Side, against, is_over_within_a_minute, pair, side};
use super::*;
use crate::net::tls::{self, ALPN_TUNNEL, KnownKeys};
use crate::net::wire::Wire;
use crate::proto::credit::CreditError;
use crate::proto::frame::{FrameError, FrameKind, HEADER_BYTES, Header, Open, Reset, ResetCode};
use crate::secret::{Fingerprint, PrivateKey, PublicKey};

async fn send(raw: &mut DuplexStream, stream: u32, kind: FrameKind, payload: &[u8]) {
    raw.write_all(&Header { stream, kind, length: payload.len() }.encode()).await.unwrap();
    raw.write_all(payload).await.unwrap();
}

/// TLS over a connection that holds so many bytes: the server's end, and the client's.
async fn tls_pair(buffer: usize) -> (server::TlsStream<Wire<DuplexStream>>, client::TlsStream<DuplexStream>) {
    struct Anybody;
    impl KnownKeys for Anybody {
        fn knows(&self, _: &PublicKey) -> bool {
            true
        }
    }
    let (near, far) = tokio::io::duplex(buffer);
    let (server, device) = (PrivateKey::generate().unwrap(), PrivateKey::generate().unwrap());
    let pin = Fingerprint::of(server.public().as_bytes());
    let accept = TlsAcceptor::from(tls::tunnel_server(&server, Arc::new(Anybody)).unwrap());
    let connect = TlsConnector::from(tls::client(&device, vec![pin], ALPN_TUNNEL).unwrap());
    let name = "localhost".try_into().unwrap();
    let (near, far) = tokio::join!(accept.accept(Wire::new(near)), connect.connect(name, far));
    (near.unwrap(), far.unwrap())
}

/// Reads frames until one of `kind` comes.
async fn next_of(raw: &mut DuplexStream, kind: FrameKind) -> (Header, Vec<u8>) {
    loop {
        let mut header = [0; HEADER_BYTES];
        raw.read_exact(&mut header).await.unwrap();
        let header = Header::decode(header).unwrap();
        let mut payload = vec![0; header.length];
        raw.read_exact(&mut payload).await.unwrap();
        if header.kind == kind {
            return (header, payload);
        }
    }
}

fn pattern(length: usize, seed: u8) -> Vec<u8> {
    (0..length).map(|i| (i as u8).wrapping_mul(31).wrapping_add((i >> 8) as u8) ^ seed).collect()
}

#[tokio::test]
async fn bytes_pass_both_ways_far_beyond_the_window() {
    let (relay, mut agent) = pair(10_000);
    let mut there = relay.mux.open(Open { service: 9, ..Open::default() }).unwrap();
    let mut here = agent.accepted().await;
    assert_eq!(here.opened().service, 9);
    let sent = pattern(3_000_000, 1);
    let echo = tokio::spawn(async move {
        let mut seen = Vec::new();
        here.read_to_end(&mut seen).await.unwrap();
        here.write_all(&seen).await.unwrap();
        here.shutdown().await.unwrap();
        here
    });
    there.write_all(&sent).await.unwrap();
    there.shutdown().await.unwrap();
    let mut back = Vec::new();
    there.read_to_end(&mut back).await.unwrap();
    assert!(back == sent);
    drop((there, echo.await.unwrap()));
    relay.mux.idle().await;
    agent.mux.idle().await;
    assert_eq!(relay.mux.stats().sent_bytes, 3_000_000);
    assert_eq!(relay.mux.stats().streams, 0);
}

#[tokio::test]
async fn chunks_pass_without_being_cut_or_mixed() {
    let (relay, mut agent) = pair(1 << 16);
    let mut there = relay.mux.open(Open::default()).unwrap();
    let here = agent.accepted().await;
    let sent = pattern(600_000, 2);
    let expected = sent.clone();
    let writer = tokio::spawn(async move {
        // Large chunks, small ones and single bytes in turn.
        let mut rest = sent.as_slice();
        for size in [50_000, 1, 7, 20_000, 300, 4096, 4095].into_iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (now, later) = rest.split_at(rest.len().min(size));
            std::future::poll_fn(|cx| there.poll_room(cx)).await.unwrap();
            if size % 2 == 0 {
                there.send_chunk(bytes::Bytes::copy_from_slice(now));
            } else {
                there.write_all(now).await.unwrap();
            }
            rest = later;
        }
        there.finish();
        there
    });
    let mut seen = Vec::new();
    while let Some(chunk) = std::future::poll_fn(|cx| here.poll_chunk(cx)).await.unwrap() {
        assert!(!chunk.is_empty());
        seen.extend_from_slice(&chunk);
    }
    assert!(seen == expected);
    drop(writer.await);
}

#[tokio::test]
async fn each_direction_ends_on_its_own() {
    let (relay, mut agent) = pair(4096);
    let mut there = relay.mux.open(Open::default()).unwrap();
    let mut here = agent.accepted().await;
    here.set_delivered(77);
    here.shutdown().await.unwrap();
    assert_eq!(there.read(&mut [0; 8]).await.unwrap(), 0, "the agent has finished");
    assert_eq!(there.outcome().delivered(), Some(77));
    there.write_all(b"still heard").await.unwrap();
    there.shutdown().await.unwrap();
    let mut seen = String::new();
    here.read_to_string(&mut seen).await.unwrap();
    assert_eq!(seen, "still heard");
    assert!(there.write_all(b"x").await.is_err(), "finished is finished");
}

#[tokio::test]
async fn a_dropped_stream_is_cancelled_at_the_other_end() {
    let (relay, mut agent) = pair(4096);
    let there = relay.mux.open(Open::default()).unwrap();
    let mut here = agent.accepted().await;
    let outcome = Arc::clone(here.outcome());
    drop(there);
    let error = here.read(&mut [0; 8]).await.unwrap_err();
    let source = error.get_ref().and_then(|source| source.downcast_ref::<StreamError>());
    assert_eq!(source, Some(&StreamError::Reset(ResetCode::Cancelled)));
    assert_eq!(outcome.reset_code(), Some(ResetCode::Cancelled));
    drop(here);
    relay.mux.idle().await;
    agent.mux.idle().await;
}

#[tokio::test]
async fn what_was_written_before_a_finish_arrives_though_the_writer_is_gone() {
    let (relay, mut agent) = pair(4096);
    let mut there = relay.mux.open(Open::default()).unwrap();
    let mut here = agent.accepted().await;
    let answer = pattern(limits::SEND_BUFFER_BYTES, 3);
    here.write_all(&answer).await.unwrap();
    here.shutdown().await.unwrap();
    drop(here);
    let mut seen = Vec::new();
    there.read_to_end(&mut seen).await.unwrap();
    assert!(seen == answer);
    drop(there);
    relay.mux.idle().await;
    agent.mux.idle().await;
}

#[tokio::test]
async fn a_reset_says_why_and_how_much_was_delivered_after_the_bytes_before_it() {
    let (relay, mut agent) = pair(4096);
    let mut there = relay.mux.open(Open::default()).unwrap();
    there.write_all(b"hello").await.unwrap();
    let mut here = agent.accepted().await;
    here.write_all(b"partial answer").await.unwrap();
    // The bytes are on their way before the reset is.
    let mut seen = [0; 7];
    there.read_exact(&mut seen).await.unwrap();
    here.set_delivered(5);
    here.reset(ResetCode::ServiceBroke);
    let mut rest = Vec::new();
    let error = there.read_to_end(&mut rest).await.unwrap_err();
    assert_eq!(rest, b" answer");
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    assert_eq!(
        (there.outcome().reset_code(), there.outcome().delivered()),
        (Some(ResetCode::ServiceBroke), Some(5))
    );
}

#[tokio::test]
async fn a_reset_can_wait_for_the_bytes_that_were_written_before_it() {
    let (relay, mut agent) = pair(4096);
    let mut there = relay.mux.open(Open::default()).unwrap();
    let mut here = agent.accepted().await;
    let said = pattern(limits::SEND_BUFFER_BYTES, 5);
    here.write_all(&said).await.unwrap();
    here.reset_after_written(ResetCode::ServiceBroke);
    let mut seen = Vec::new();
    let error = there.read_to_end(&mut seen).await.unwrap_err();
    assert!(seen == said);
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    assert_eq!(there.outcome().reset_code(), Some(ResetCode::ServiceBroke));
    drop(there);
    relay.mux.idle().await;
    agent.mux.idle().await;
    // Nor does it wait for ever: a peer that leaves takes it along.
    let there = relay.mux.open(Open::default()).unwrap();
    let mut here = agent.accepted().await;
    while std::future::poll_fn(|cx| std::task::Poll::Ready(here.poll_room(cx).is_ready())).await {
        here.write_all(&said).await.unwrap();
    }
    here.reset_after_written(ResetCode::ServiceBroke);
    drop(there);
    agent.mux.idle().await;
}

#[tokio::test]
async fn a_reader_that_stops_holds_back_its_writer_and_nobody_else() {
    let (relay, mut agent) = pair(1 << 16);
    let mut stuck = relay.mux.open(Open::default()).unwrap();
    let _held = agent.accepted().await;
    let mut live = relay.mux.open(Open::default()).unwrap();
    let mut there = agent.accepted().await;
    let block = vec![0; 64 * 1024];
    let mut taken = 0;
    loop {
        let wrote = std::future::poll_fn(|cx| {
            match std::pin::Pin::new(&mut stuck).poll_write_vectored(cx, &[IoSlice::new(&block)]) {
                std::task::Poll::Ready(wrote) => std::task::Poll::Ready(Some(wrote.unwrap())),
                std::task::Poll::Pending => std::task::Poll::Ready(None),
            }
        })
        .await;
        match wrote {
            Some(wrote) => taken += wrote,
            // Full for good only when the driver has had its turns and the window is spent.
            None if taken >= limits::INITIAL_WINDOW_BYTES as usize + limits::SEND_BUFFER_BYTES => break,
            None => tokio::task::yield_now().await,
        }
        assert!(taken <= limits::INITIAL_WINDOW_BYTES as usize + limits::SEND_BUFFER_BYTES);
    }
    live.write_all(b"ping").await.unwrap();
    let mut seen = [0; 4];
    there.read_exact(&mut seen).await.unwrap();
    assert_eq!(&seen, b"ping");
}

#[tokio::test]
async fn streams_take_turns() {
    let (relay, mut raw) = against(Role::Relay);
    relay.mux.set_peer_limits(limits::INITIAL_WINDOW_BYTES, 100);
    let mut streams: Vec<Stream> = (0..3).map(|_| relay.mux.open(Open::default()).unwrap()).collect();
    // All of it is queued before the driver runs for the first time.
    for stream in &mut streams[..2] {
        stream.write_all(&vec![0; limits::SEND_BUFFER_BYTES]).await.unwrap();
    }
    streams[2].write_all(b"small").await.unwrap();
    let mut before = 0;
    loop {
        let (header, _) = next_of(&mut raw, FrameKind::Data).await;
        if header.stream == 3 {
            break;
        }
        before += header.length;
    }
    assert!(before <= 2 * limits::QUANTUM_BYTES, "{before} bytes went ahead of the small stream");
}

#[tokio::test]
async fn leaving_lets_streams_finish_and_takes_no_new_ones() {
    let (relay, mut agent) = pair(4096);
    let mut there = relay.mux.open(Open::default()).unwrap();
    let mut here = agent.accepted().await;
    relay.mux.go_away(Duration::from_millis(1500));
    assert_eq!(relay.mux.open(Open::default()).unwrap_err(), OpenError::Leaving);
    match agent.events.recv().await {
        Some(MuxEvent::GoAway(away)) => assert_eq!((away.last_stream, away.retry_after_ms), (1, 1500)),
        other => panic!("{other:?}"),
    }
    there.write_all(b"late").await.unwrap();
    there.shutdown().await.unwrap();
    let mut seen = String::new();
    here.read_to_string(&mut seen).await.unwrap();
    here.shutdown().await.unwrap();
    assert_eq!(seen, "late");
    drop((there, here));
    relay.mux.idle().await;
    relay.mux.close();
    assert!(matches!(relay.end.await.unwrap(), End::Local));
    assert!(matches!(agent.end.await.unwrap(), End::Peer));
}

#[tokio::test]
async fn a_session_that_has_used_all_its_numbers_asks_for_another_and_serves_its_last_stream() {
    let (relay, mut agent) = pair(4096);
    relay.mux.shared.lock().skip_to(u32::MAX - 1);
    let mut there = relay.mux.open(Open::default()).unwrap();
    let mut here = agent.accepted().await;
    assert_eq!((there.id(), here.id()), (u32::MAX, u32::MAX));
    assert_eq!(relay.mux.open(Open::default()).unwrap_err(), OpenError::Leaving);
    assert!(!relay.mux.takes_streams(), "requests go to a newer session");
    match agent.events.recv().await {
        Some(MuxEvent::GoAway(away)) => assert_eq!((away.last_stream, away.retry_after_ms), (u32::MAX, 0)),
        other => panic!("{other:?}"),
    }
    there.write_all(b"last").await.unwrap();
    there.shutdown().await.unwrap();
    let mut seen = String::new();
    here.read_to_string(&mut seen).await.unwrap();
    assert_eq!(seen, "last");
}

/// All that streams hold of a session's memory comes back with them: the claim of their windows, and what waits to be
/// sent.
#[tokio::test]
async fn streams_that_have_ended_leave_their_memory_to_others() {
    let (relay, mut agent) = pair(1 << 20);
    // More than have room at once for the usual window: ended in good order, and cancelled.
    for number in 0..2 * (limits::SESSION_WINDOW_BYTES / u64::from(limits::INITIAL_WINDOW_BYTES)) {
        let mut there = relay.mux.open(Open::default()).unwrap();
        let mut here = agent.accepted().await;
        assert_eq!(here.opened().window, limits::INITIAL_WINDOW_BYTES, "stream {number}");
        if number % 2 == 0 {
            here.shutdown().await.unwrap();
            there.shutdown().await.unwrap();
            assert_eq!(there.read(&mut [0; 8]).await.unwrap(), 0);
            assert_eq!(here.read(&mut [0; 8]).await.unwrap(), 0);
        }
        drop((there, here));
        relay.mux.idle().await;
    }
    // More than all streams of a session may hold for sending at once; read, and cancelled before all of it was sent.
    let block = vec![0; limits::SEND_BUFFER_BYTES];
    for number in 0..4 * limits::SEND_TOTAL_BYTES / limits::SEND_BUFFER_BYTES {
        let credit = if number % 2 == 0 { limits::INITIAL_WINDOW_BYTES } else { limits::MIN_WINDOW_BYTES };
        relay.mux.set_peer_limits(credit, limits::MAX_STREAMS);
        let mut there = relay.mux.open(Open::default()).unwrap();
        let mut here = agent.accepted().await;
        let room = std::future::poll_fn(|cx| there.poll_room(cx)).await.unwrap();
        assert_eq!(room, limits::SEND_BUFFER_BYTES, "stream {number}");
        there.write_all(&block).await.unwrap();
        if number % 2 == 0 {
            there.shutdown().await.unwrap();
            let mut seen = Vec::new();
            here.read_to_end(&mut seen).await.unwrap();
            assert_eq!(seen.len(), block.len());
        }
        drop((there, here));
        relay.mux.idle().await;
    }
}

#[tokio::test]
async fn a_session_that_ends_breaks_its_streams() {
    let (relay, mut agent) = pair(4096);
    let mut there = relay.mux.open(Open::default()).unwrap();
    let here = agent.accepted().await;
    agent.end.abort();
    let error = there.read(&mut [0; 8]).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionAborted);
    assert!(there.outcome().was_lost());
    assert_eq!(there.outcome().delivered(), None, "nobody said what was delivered");
    assert_eq!(relay.mux.open(Open::default()).unwrap_err(), OpenError::Closed);
    assert!(!relay.mux.send_control(b"{}"));
    relay.mux.idle().await;
    drop(here);
}

#[tokio::test]
async fn no_more_streams_than_the_peer_allows() {
    let (relay, _agent) = pair(1 << 20);
    relay.mux.set_peer_limits(1024, 2);
    let first = relay.mux.open(Open::default()).unwrap();
    let _second = relay.mux.open(Open::default()).unwrap();
    assert_eq!(relay.mux.open(Open::default()).unwrap_err(), OpenError::TooMany);
    drop(first);
    assert!(relay.mux.open(Open::default()).is_ok());
}

async fn violation_of(role: Role, frames: &[(u32, FrameKind, Vec<u8>)]) -> Violation {
    let (side, mut raw) = against(role);
    let mut bytes = Vec::new();
    for (stream, kind, payload) in frames {
        bytes.extend(Header { stream: *stream, kind: *kind, length: payload.len() }.encode());
        bytes.extend(payload);
    }
    // The connection may be closed before all of it is written; how it ends is what counts.
    let _ = raw.write_all(&bytes).await;
    match side.end.await.unwrap() {
        End::Violation(violation) => violation,
        end => panic!("ended with {end}"),
    }
}

fn open() -> Vec<u8> {
    Open::default().encode().to_vec()
}

#[tokio::test]
async fn peers_that_break_the_rules_lose_their_session() {
    let agent = Role::Agent;
    let unexpected = |kind, stream| Violation::Unexpected { kind, stream };

    // Streams flow one way only, and their numbers go up.
    assert_eq!(
        violation_of(Role::Relay, &[(1, FrameKind::Open, open())]).await,
        unexpected(FrameKind::Open, 1)
    );
    let twice = [(5, FrameKind::Open, open()), (5, FrameKind::Open, open())];
    assert_eq!(violation_of(agent, &twice).await, unexpected(FrameKind::Open, 5));

    // Nothing comes for a stream that never was, or after its end.
    assert_eq!(violation_of(agent, &[(3, FrameKind::Data, vec![1])]).await, unexpected(FrameKind::Data, 3));
    assert_eq!(violation_of(agent, &[(3, FrameKind::Fin, vec![0; 8])]).await, unexpected(FrameKind::Fin, 3));
    let late = [(1, FrameKind::Open, open()), (1, FrameKind::Fin, vec![0; 8]), (1, FrameKind::Data, vec![1])];
    assert_eq!(violation_of(agent, &late).await, unexpected(FrameKind::Data, 1));
    let twice =
        [(1, FrameKind::Open, open()), (1, FrameKind::Fin, vec![0; 8]), (1, FrameKind::Fin, vec![0; 8])];
    assert_eq!(violation_of(agent, &twice).await, unexpected(FrameKind::Fin, 1));

    // Windows hold.
    let mut flood = vec![(1, FrameKind::Open, open())];
    flood.extend((0..5).map(|_| (1, FrameKind::Data, vec![0; 64 * 1024])));
    let exceeded = CreditError::Exceeded { length: 64 * 1024, granted: 0 };
    let credit = violation_of(agent, &flood).await;
    assert_eq!(credit, Violation::Credit { stream: 1, error: exceeded });
    assert_eq!(
        End::from(credit).to_string(),
        "the peer broke the protocol: on stream 1 65536 bytes came where 0 were granted",
        "a log says which rule it was"
    );
    let grant = [(1, FrameKind::Open, open()), (1, FrameKind::Window, u32::MAX.to_be_bytes().to_vec())];
    assert!(matches!(violation_of(agent, &grant).await, Violation::Credit { stream: 1, .. }));
    for crumb in [0, limits::MIN_GRANT_BYTES - 1] {
        let crumb = [(1, FrameKind::Open, open()), (1, FrameKind::Window, crumb.to_be_bytes().to_vec())];
        let empty = FrameError::Payload { kind: FrameKind::Window };
        assert_eq!(violation_of(agent, &crumb).await, Violation::Frame(empty));
    }

    // Floods end.
    let pings: Vec<_> = (0..100_u64).map(|n| (0, FrameKind::Ping, n.to_be_bytes().to_vec())).collect();
    assert_eq!(violation_of(agent, &pings).await, Violation::Flood { what: "pings" });
    let talk: Vec<_> = (0..100).map(|_| (0, FrameKind::Control, b"{}".to_vec())).collect();
    assert_eq!(violation_of(agent, &talk).await, Violation::Flood { what: "control messages" });
    for unasked in [0_u64, 1, u64::MAX] {
        let pong = [(0, FrameKind::Pong, unasked.to_be_bytes().to_vec())];
        let violation = violation_of(agent, &pong).await;
        assert_eq!(violation, Violation::Unexpected { kind: FrameKind::Pong, stream: 0 });
    }
    let away = GoAway { last_stream: 0, retry_after_ms: 0 }.encode().to_vec();
    let twice = [(0, FrameKind::GoAway, away.clone()), (0, FrameKind::GoAway, away)];
    assert_eq!(
        violation_of(agent, &twice).await,
        Violation::Unexpected { kind: FrameKind::GoAway, stream: 0 }
    );
    let reset = Reset { code: ResetCode::Cancelled, delivered: 0 }.encode().to_vec();
    let mut resets = vec![(1, FrameKind::Open, open())];
    resets.extend((0..100).map(|_| (1, FrameKind::Rst, reset.clone())));
    assert_eq!(violation_of(agent, &resets).await, Violation::Strays);
}

#[tokio::test]
async fn a_connection_cut_inside_a_frame_is_told_from_an_orderly_end() {
    let (relay, mut raw) = against(Role::Relay);
    raw.write_all(&[0, 0, 0]).await.unwrap();
    drop(raw);
    assert!(matches!(relay.end.await.unwrap(), End::Violation(Violation::Truncated)));
    let (relay, raw) = against(Role::Relay);
    drop(raw);
    assert!(matches!(relay.end.await.unwrap(), End::Peer));
}

#[tokio::test]
async fn frames_that_cross_with_a_reset_are_tolerated_up_to_the_credit() {
    let (agent, mut raw) = against(Role::Agent);
    send(&mut raw, 1, FrameKind::Open, &open()).await;
    let mut agent = agent;
    agent.accepted().await.reset(ResetCode::ServiceRefused);
    let (header, payload) = next_of(&mut raw, FrameKind::Rst).await;
    assert_eq!((header.stream, Reset::decode(&payload).unwrap().code), (1, ResetCode::ServiceRefused));
    for _ in 0..4 {
        send(&mut raw, 1, FrameKind::Data, &[0; 64 * 1024]).await;
    }
    send(&mut raw, 1, FrameKind::Fin, &[0; 8]).await;
    send(&mut raw, 0, FrameKind::Ping, &[7; 8]).await;
    assert_eq!(next_of(&mut raw, FrameKind::Pong).await.1, [7; 8], "the session goes on");
    send(&mut raw, 1, FrameKind::Data, &[0]).await;
    assert!(matches!(agent.end.await.unwrap(), End::Violation(Violation::Strays)));
}

#[tokio::test]
async fn many_streams_at_once_keep_their_bytes_apart() {
    let (relay, mut agent) = pair(30_000);
    let echo = tokio::spawn(async move {
        let mut visits = tokio::task::JoinSet::new();
        while let Some(MuxEvent::Open(mut stream)) = agent.events.recv().await {
            visits.spawn(async move {
                let (mut read, mut write) = tokio::io::split(&mut stream);
                tokio::io::copy(&mut read, &mut write).await.unwrap();
                stream.shutdown().await.unwrap();
            });
        }
        while visits.join_next().await.transpose().unwrap().is_some() {}
    });
    let mut visitors = tokio::task::JoinSet::new();
    for seed in 0..60_u8 {
        let stream = relay.mux.open(Open::default()).unwrap();
        visitors.spawn(async move {
            let sent = pattern(1000 + usize::from(seed) * 7001, seed);
            let (mut read, mut write) = tokio::io::split(stream);
            let expected = sent.clone();
            let writer = tokio::spawn(async move {
                write.write_all(&sent).await.unwrap();
                write.shutdown().await.unwrap();
            });
            let mut back = Vec::new();
            read.read_to_end(&mut back).await.unwrap();
            writer.await.unwrap();
            assert!(back == expected, "stream of {seed}");
        });
    }
    while visitors.join_next().await.transpose().unwrap().is_some() {}
    relay.mux.close();
    echo.await.unwrap();
}
