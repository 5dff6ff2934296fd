//! When an agent comes back, after a session that has ended.

use super::offering::tests::online;
use super::*;
use crate::mux::OpenError;
use crate::mux::testing::{Side, pair};
use crate::proto::frame::Open;

/// Failures in a row that the next delay is drawn from, after a session of this length that the server cut off.
async fn failures_after(session: Duration, before: u32) -> u32 {
    let (mut runner, relay) = online(1, &[]);
    for _ in 0..before {
        runner.backoff.next(0, limits::RETRY_CAP);
    }
    tokio::time::sleep(session).await;
    relay.end.abort();
    while next_event(&mut runner.live).await.is_some() {}
    runner.on_end().await;
    runner.backoff.failures()
}

#[tokio::test(start_paused = true)]
async fn a_server_that_ends_sessions_as_soon_as_they_begin_is_asked_less_and_less_often() {
    let moment = Duration::from_millis(1);
    assert_eq!(failures_after(limits::RETRY_RESET_AFTER - moment, 7).await, 8);
    assert_eq!(failures_after(limits::RETRY_RESET_AFTER, 7).await, 1, "one that lasted begins a new count");
}

#[tokio::test(start_paused = true)]
async fn agents_that_a_server_sends_away_do_not_come_back_in_one_moment() {
    let mut delays = Vec::new();
    for _ in 0..30 {
        let (mut runner, relay) = online(1, &[]);
        runner.step(AgentEvent::SwitchedOn);
        runner.step(AgentEvent::Welcomed);
        relay.mux.go_away(Duration::from_secs(1));
        let now = Instant::now().into_std();
        let event = next_event(&mut runner.live).await.unwrap();
        runner.on_event(event);
        let AgentState::Waiting { until, cause: Cause::ServerLeaving } = runner.state() else {
            panic!("{:?}", runner.state());
        };
        delays.push(until - now);
    }
    let (first, last) = (delays.iter().min().unwrap(), delays.iter().max().unwrap());
    let asked = Duration::from_secs(1);
    assert!(*first >= asked && *last <= asked + limits::RETRY_FIRST, "{delays:?}");
    // That thirty draws lie so close together happens once in 10^16.
    assert!(*last - *first > limits::RETRY_FIRST / 4, "{delays:?}");
}

#[tokio::test(start_paused = true)]
async fn a_session_that_was_moved_from_goes_on_when_the_next_server_leaves_and_ends_with_the_agent() {
    let moment = Duration::from_secs(1);
    let (mut runner, before) = online(1, &[]);
    let old = runner.live.take().unwrap();
    runner.stay_behind(old);
    let (relay, Side { mux, events, end }) = pair(1 << 20);
    runner.live = Some(AgentSession::new(mux, events, end));
    relay.mux.go_away(Duration::ZERO);
    let event = next_event(&mut runner.live).await.unwrap();
    runner.on_event(event);
    tokio::time::sleep(moment).await;
    let _there = before.mux.open(Open::default()).unwrap();
    let _here = tokio::time::timeout(moment, runner.moved.streams.recv()).await.unwrap().unwrap();
    runner.on_command(Command::Switch(false));
    tokio::time::sleep(moment).await;
    assert_eq!(before.mux.open(Open::default()).unwrap_err(), OpenError::Leaving);
}
