//! What a peer can make one side hold: in one session, and in several that have one owner.

use std::future::poll_fn;

use tokio::time::timeout;

use super::*;
use crate::mux::memory::Amounts;

#[tokio::test]
async fn what_one_session_makes_this_side_hold_is_bounded() {
    let (mut agent, mut raw) = against(Role::Agent);
    let full = limits::SESSION_HELD_BYTES / limits::INITIAL_WINDOW_BYTES as usize;
    let mut held = Vec::new();
    for stream in 1..=full as u32 + 1 {
        send(&mut raw, stream, FrameKind::Open, &open()).await;
        for _ in 0..4 {
            send(&mut raw, stream, FrameKind::Data, &[0; 64 * 1024]).await;
        }
        held.push(agent.accepted().await);
    }
    let (header, payload) = next_of(&mut raw, FrameKind::Rst).await;
    let reset = Reset { code: ResetCode::NoRoom, delivered: u64::MAX };
    assert_eq!((header.stream as usize, Reset::decode(&payload)), (full + 1, Ok(reset)));
    assert!(held[full].read(&mut [0; 16]).await.is_err());
    // What is read makes room again.
    drop(held);
    let stream = full as u32 + 2;
    send(&mut raw, stream, FrameKind::Open, &open()).await;
    send(&mut raw, stream, FrameKind::Data, b"hello").await;
    assert_eq!(agent.accepted().await.read(&mut [0; 16]).await.unwrap(), 5);
}

#[tokio::test]
async fn what_the_sessions_of_one_owner_hold_is_bounded_together_and_after_they_have_ended() {
    let memory = Arc::new(Memory::default());
    let streams = limits::SESSION_HELD_BYTES / limits::INITIAL_WINDOW_BYTES as usize / 4;
    let mut held = Vec::new();
    // Four sessions that fill a quarter each, and end: nobody has read what came.
    for _ in 0..4 {
        let (mut agent, mut raw) = against(Role::Agent);
        agent.mux.share(Arc::clone(&memory));
        for stream in 1..=streams as u32 {
            send(&mut raw, stream, FrameKind::Open, &open()).await;
            for _ in 0..4 {
                send(&mut raw, stream, FrameKind::Data, &[0; 64 * 1024]).await;
            }
            held.push(agent.accepted().await);
        }
        send(&mut raw, 0, FrameKind::Ping, &[7; 8]).await;
        next_of(&mut raw, FrameKind::Pong).await;
        drop(raw);
        agent.end.await.unwrap();
    }
    let (mut agent, mut raw) = against(Role::Agent);
    agent.mux.share(Arc::clone(&memory));
    send(&mut raw, 1, FrameKind::Open, &open()).await;
    send(&mut raw, 1, FrameKind::Data, &[0; 64 * 1024]).await;
    let refused = timeout(Duration::from_secs(30), next_of(&mut raw, FrameKind::Rst)).await;
    let (header, payload) = refused.expect("what the others hold counts");
    let reset = Reset { code: ResetCode::NoRoom, delivered: u64::MAX };
    assert_eq!((header.stream, Reset::decode(&payload)), (1, Ok(reset)));
    // All but one of the first session's streams go, and with them what they held.
    drop(held.drain(1..streams));
    drop(agent.accepted().await);
    send(&mut raw, 2, FrameKind::Open, &open()).await;
    send(&mut raw, 2, FrameKind::Data, b"hello").await;
    assert_eq!(agent.accepted().await.read(&mut [0; 16]).await.unwrap(), 5);
}

#[tokio::test]
async fn the_streams_of_one_owner_are_bounded_also_those_that_only_wait_for_credit() {
    let memory = Arc::new(Memory::default());
    let answered = Open { window: limits::MIN_WINDOW_BYTES, ..Open::default() }.encode();
    let answer = vec![0; limits::MIN_WINDOW_BYTES as usize + 1];
    let mut sessions = Vec::new();
    for _ in 0..limits::CLIENT_STREAMS / limits::MAX_STREAMS as usize {
        let (mut agent, mut raw) = against(Role::Agent);
        agent.mux.share(Arc::clone(&memory));
        for stream in 1..=limits::MAX_STREAMS {
            send(&mut raw, stream, FrameKind::Open, &answered).await;
            // Answered and left, as by a service that closes; the peer takes all but the last byte.
            let mut stream = agent.accepted().await;
            stream.write_all(&answer).await.unwrap();
            stream.finish();
            drop(stream);
            let mut taken = 0;
            while taken + 1 < answer.len() {
                taken += next_of(&mut raw, FrameKind::Data).await.1.len();
            }
        }
        sessions.push((agent, raw));
    }
    let (mut agent, mut raw) = against(Role::Agent);
    agent.mux.share(Arc::clone(&memory));
    send(&mut raw, 1, FrameKind::Open, &answered).await;
    let refused = timeout(Duration::from_secs(30), next_of(&mut raw, FrameKind::Rst)).await;
    let (header, payload) = refused.expect("the streams of the others count");
    let reset = Reset { code: ResetCode::Refused, delivered: 0 };
    assert_eq!((header.stream, Reset::decode(&payload)), (1, Ok(reset)));
    // One of the sessions ends, and with it its streams.
    let (one, far) = sessions.remove(0);
    drop(far);
    one.end.await.unwrap();
    drop((one.mux, one.events));
    send(&mut raw, 0, FrameKind::Ping, &[7; 8]).await;
    next_of(&mut raw, FrameKind::Pong).await;
    send(&mut raw, 2, FrameKind::Open, &answered).await;
    assert_eq!(agent.accepted().await.id(), 2);
}

#[tokio::test]
async fn what_the_sessions_of_one_owner_have_to_send_leaves_little_room_for_more() {
    let memory = Arc::new(Memory::default());
    let (mut agent, mut raw) = against(Role::Agent);
    agent.mux.share(Arc::clone(&memory));
    send(&mut raw, 1, FrameKind::Open, &open()).await;
    let stream = agent.accepted().await;
    let room = async |raw: &mut DuplexStream| {
        // The driver has looked at what the others have when it answers.
        send(raw, 0, FrameKind::Ping, &[7; 8]).await;
        next_of(raw, FrameKind::Pong).await;
        poll_fn(|cx| stream.poll_room(cx)).await.unwrap()
    };
    assert_eq!(room(&mut raw).await, limits::SEND_BUFFER_BYTES);
    let mut others = Entry::new(memory);
    others.settle(Amounts { outgoing: limits::CLIENT_OUTGOING_BYTES, ..Amounts::default() });
    assert_eq!(room(&mut raw).await, 4 * 1024);
    drop(others);
    assert_eq!(room(&mut raw).await, limits::SEND_BUFFER_BYTES);
}
