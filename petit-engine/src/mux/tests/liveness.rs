//! Peers that fall silent, and peers that stop reading; lines that are merely full.

use tokio::io::duplex;
use tokio_rustls::client::TlsStream;

use super::*;

#[tokio::test(start_paused = true)]
async fn a_silent_peer_is_given_up_after_twenty_seconds() {
    let (relay, mut raw) = against(Role::Relay);
    let start = tokio::time::Instant::now();
    let swallow = tokio::spawn(async move {
        let mut bytes = Vec::new();
        raw.read_to_end(&mut bytes).await.map(|_| bytes)
    });
    assert!(matches!(relay.end.await.unwrap(), End::Silent));
    assert_eq!(start.elapsed(), limits::DEAD_AFTER);
    let bytes = swallow.await.unwrap().unwrap();
    assert_eq!(bytes.len(), 2 * (HEADER_BYTES + 8), "two pings had been sent");
}

#[test]
fn a_peer_that_speaks_but_does_not_read_is_given_up() {
    is_over_within_a_minute(|| async {
        let (a, mut raw) = duplex(512);
        let relay = side(a, Role::Relay);
        let mut stream = relay.mux.open(Open::default()).unwrap();
        stream.write_all(&[0; 4096]).await.unwrap();
        let mut number = 0;
        while !relay.end.is_finished() && number < 100 {
            number += 1;
            send(&mut raw, 1, FrameKind::Window, &limits::MIN_GRANT_BYTES.to_be_bytes()).await;
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        assert!(matches!(relay.end.await.unwrap(), End::Stalled));
        assert!((19..=22).contains(&number), "{number} s");
    });
}

#[tokio::test(start_paused = true)]
async fn idle_sessions_live_on_and_know_their_round_trip() {
    let (relay, agent) = pair(4096);
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert!(relay.mux.is_open() && agent.mux.is_open());
    assert_eq!(relay.mux.round_trip(), Some(Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn a_line_that_is_full_for_an_hour_is_busy_and_not_stalled() {
    let (a, mut raw) = duplex(512);
    let relay = side(a, Role::Relay);
    let mut stream = relay.mux.open(Open::default()).unwrap();
    tokio::spawn(async move { while stream.write_all(&[0; 4096]).await.is_ok() {} });
    // More waits than the line takes, at any moment.
    let (mut taken, mut bytes) = (0, [0; 400]);
    let start = tokio::time::Instant::now();
    while start.elapsed() < Duration::from_secs(3600) {
        tokio::time::sleep(Duration::from_millis(500)).await;
        match raw.read(&mut bytes).await {
            Ok(count) if count > 0 => taken += count,
            _ => panic!("{:?} after {:?}, though {taken} bytes were taken", relay.end.await, start.elapsed()),
        }
        // It says so, too: nobody is silent here.
        if taken >= 8 * 1024 {
            send(&mut raw, 1, FrameKind::Window, &(8 * 1024_u32).to_be_bytes()).await;
            taken = 0;
        }
    }
    assert!(relay.mux.is_open());
}

/// A relay's session over TLS on a connection that holds so many bytes, and its far end.
async fn over_tls(buffer: usize) -> (Side, TlsStream<DuplexStream>) {
    let (near, far) = tls_pair(buffer).await;
    (Side::new(session(near, Role::Relay, limits::INITIAL_WINDOW_BYTES)), far)
}

/// Says something, so that nobody can call it silent. It is answered, and the answer has to be sent.
async fn speak(far: &mut TlsStream<DuplexStream>, number: u64) {
    let ping = [&Header { stream: 0, kind: FrameKind::Ping, length: 8 }.encode()[..], &number.to_be_bytes()];
    far.write_all(&ping.concat()).await.unwrap();
    far.flush().await.unwrap();
}

#[test]
fn what_tls_takes_into_its_buffer_is_no_progress() {
    is_over_within_a_minute(|| async {
        let (relay, mut far) = over_tls(2048).await;
        let mut stream = relay.mux.open(Open::default()).unwrap();
        // Less than TLS holds, and more than the connection does: all of it is taken, and stays where it is.
        stream.write_all(&[0; 16 * 1024]).await.unwrap();
        let start = tokio::time::Instant::now();
        let mut number = 0_u64;
        while !relay.end.is_finished() && number < 100 {
            number += 1;
            speak(&mut far, number).await;
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        assert!(matches!(relay.end.await.unwrap(), End::Stalled));
        assert!(start.elapsed() <= limits::DEAD_AFTER + Duration::from_secs(2), "{:?}", start.elapsed());
    });
}

#[tokio::test(start_paused = true)]
async fn a_trickle_out_of_the_buffer_of_tls_is_progress() {
    let (relay, mut far) = over_tls(2048).await;
    let mut stream = relay.mux.open(Open::default()).unwrap();
    stream.write_all(&[0; 48 * 1024]).await.unwrap();
    // Two minutes for what TLS holds: it is never empty, and never so full that it does not take an answer.
    let start = tokio::time::Instant::now();
    for number in 1..=24 {
        tokio::time::sleep(Duration::from_secs(5)).await;
        speak(&mut far, number).await;
        let count = far.get_mut().0.read(&mut [0; 2048]).await.unwrap();
        assert!(count > 0, "{:?} after {:?}", relay.end.await, start.elapsed());
    }
    assert!(!relay.end.is_finished());
}

#[tokio::test(start_paused = true)]
async fn whatever_is_heard_after_a_ping_shows_that_the_peer_is_there() {
    let (agent, mut raw) = against(Role::Agent);
    let mut number = 0_u64;
    for answered in [true, false] {
        next_of(&mut raw, FrameKind::Ping).await;
        // Something that it has read before the PING went out does not count, though it came at the same moment.
        agent.mux.ping();
        number += 1;
        send(&mut raw, 0, FrameKind::Ping, &number.to_be_bytes()).await;
        next_of(&mut raw, FrameKind::Ping).await;
        assert!(!agent.mux.is_alive_since_ping());
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(!agent.mux.is_alive_since_ping());
        if answered {
            // No PONG, but a peer that speaks.
            number += 1;
            send(&mut raw, 0, FrameKind::Ping, &number.to_be_bytes()).await;
            tokio::time::sleep(Duration::from_secs(1)).await;
            assert!(agent.mux.is_alive_since_ping());
            tokio::time::sleep(limits::PING_EVERY).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_whose_system_takes_what_is_sent_is_there_though_it_says_nothing() {
    let (a, mut raw) = duplex(512);
    let relay = side(a, Role::Relay);
    let mut stream = relay.mux.open(Open::default()).unwrap();
    stream.write_all(&[0; 16 * 1024]).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    relay.mux.ping();
    // The PING stands behind what waits; only what is taken after it shows anything.
    let mut taken = [0; 400];
    while !relay.mux.is_alive_since_ping() {
        tokio::time::sleep(Duration::from_millis(100)).await;
        raw.read_exact(&mut taken).await.unwrap();
    }
    relay.mux.ping();
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(!relay.mux.is_alive_since_ping(), "nothing is taken any more");
}
