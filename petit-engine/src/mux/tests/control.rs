//! Messages on stream 0: none is a flood to its peer, none is lost, and a peer may say something about each service.

use super::*;

fn message(number: usize) -> Vec<u8> {
    format!("{{\"number\":{number}}}").into_bytes()
}

#[tokio::test(start_paused = true)]
async fn whatever_a_side_says_at_once_is_no_flood_and_arrives_in_order() {
    let (relay, mut agent) = pair(1 << 20);
    let start = tokio::time::Instant::now();
    for number in 0..500 {
        assert!(relay.mux.send_control(&message(number)));
    }
    for number in 0..500 {
        match agent.events.recv().await {
            Some(MuxEvent::Control(payload)) => assert_eq!(payload, message(number)),
            other => panic!("{other:?}; the session ended with {:?}", agent.end.await),
        }
        if number + 1 == limits::OWN_CONTROL_AT_ONCE as usize {
            assert_eq!(start.elapsed(), Duration::ZERO, "the first ones need not wait");
        }
    }
    let paced = (500 - limits::OWN_CONTROL_AT_ONCE) / limits::OWN_CONTROL_PER_SECOND;
    assert!((paced as u64..=paced as u64 + 1).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
    // Whoever has been quiet for a while may speak at once again.
    tokio::time::sleep(Duration::from_secs(10)).await;
    let start = tokio::time::Instant::now();
    relay.mux.send_control(&message(0));
    agent.events.recv().await;
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn last_words_are_said_before_the_close() {
    let (relay, mut agent) = pair(1 << 20);
    for number in 0..limits::OWN_CONTROL_AT_ONCE as usize + 5 {
        relay.mux.send_control(&message(number));
    }
    relay.mux.close();
    let mut heard = 0;
    while let Some(MuxEvent::Control(payload)) = agent.events.recv().await {
        assert_eq!(payload, message(heard));
        heard += 1;
    }
    assert_eq!(heard, limits::OWN_CONTROL_AT_ONCE as usize + 5);
    assert!(matches!(relay.end.await.unwrap(), End::Local));
}

#[tokio::test(start_paused = true)]
async fn a_peer_with_many_services_may_say_something_about_each_of_them() {
    // A client of the first version: a hello, a probe of each of its services at once, and a word about each one's
    // health, every five seconds, on a line that stands still for a quarter of a minute now and then.
    let services = limits::MAX_SERVICES;
    let (relay, mut raw) = against(Role::Relay);
    relay.mux.set_services(services);
    let mut events = relay.events;
    tokio::spawn(async move { while events.recv().await.is_some() {} });
    let say = |times| {
        Header { stream: 0, kind: FrameKind::Control, length: 2 }
            .encode()
            .into_iter()
            .chain(*b"{}")
            .collect::<Vec<u8>>()
            .repeat(times)
    };
    raw.write_all(&say(1 + 2 * services)).await.unwrap();
    for round in 1..100 {
        tokio::time::sleep(Duration::from_secs(5)).await;
        // What was said while it stood still comes with the rest.
        let held = if round % 7 > 4 {
            0
        } else if round % 7 == 0 {
            3
        } else {
            1
        };
        raw.write_all(&say(held * 2 * services)).await.unwrap();
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(!relay.end.is_finished(), "{:?}", relay.end.await);
    // And yet not as much as it likes.
    raw.write_all(&say(700)).await.unwrap();
    let end = relay.end.await.unwrap();
    assert!(matches!(end, End::Violation(Violation::Flood { what: "control messages" })), "{end}");
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_asks_oftener_than_it_can_be_answered_is_cut_off_and_holds_no_memory() {
    for role in [Role::Relay, Role::Agent] {
        for (bytes, most) in [
            (2, limits::OWN_CONTROLS_WAITING),
            (limits::MAX_CONTROL_BYTES, limits::OWN_CONTROLS_WAITING_BYTES / limits::MAX_CONTROL_BYTES),
        ] {
            let (side, _raw) = against(role);
            let sent = (0..most * 2).take_while(|_| side.mux.send_control(&vec![b' '; bytes])).count();
            assert_eq!(sent, limits::OWN_CONTROL_AT_ONCE as usize + most, "{bytes} bytes each");
            let end = side.end.await.unwrap();
            let what = "control messages to be answered";
            assert!(
                matches!(end, End::Violation(Violation::Flood { what: found }) if found == what),
                "{end}"
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn messages_that_were_sent_are_not_counted_among_those_that_wait() {
    let (relay, agent) = pair(1 << 20);
    let mut events = agent.events;
    tokio::spawn(async move { while events.recv().await.is_some() {} });
    let message = vec![b' '; limits::MAX_CONTROL_BYTES];
    for _ in 0..2 * limits::OWN_CONTROLS_WAITING_BYTES / message.len() {
        assert!(relay.mux.send_control(&message));
        tokio::time::sleep(Duration::from_secs(1) / limits::OWN_CONTROL_PER_SECOND).await;
    }
    assert!(!relay.end.is_finished());
}
