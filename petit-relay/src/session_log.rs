//! What the log says of sessions that come and go: each of them while they are few, how many when they are many. A
//! restart of a large server must not push out of its log what explains it.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use petit_engine::limits;
use petit_engine::proto::rate::Rate;

/// The log lines of a relay's sessions, rate limited.
#[derive(Debug)]
pub(super) struct SessionLog {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    lines: Rate,
    /// Not logged one by one since the last sum was.
    left_out: Sums,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sums {
    welcomed: u32,
    refused: u32,
    ended: u32,
}

/// What happened to a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SessionEvent {
    Welcomed,
    Refused,
    Ended,
}

impl Default for SessionLog {
    fn default() -> Self {
        let lines = Rate::new(limits::SESSIONS_LOGGED_PER_SECOND, limits::SESSIONS_LOGGED);
        Self { state: Mutex::new(State { lines, left_out: Sums::default() }) }
    }
}

impl SessionLog {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes one of the lines that there are for it. False, and it is counted, when there is none left.
    pub(super) fn take_log_permit(&self, event: SessionEvent, now: Instant) -> bool {
        let mut state = self.state();
        if state.lines.allow(now) {
            return true;
        }
        let sum = match event {
            SessionEvent::Welcomed => &mut state.left_out.welcomed,
            SessionEvent::Refused => &mut state.left_out.refused,
            SessionEvent::Ended => &mut state.left_out.ended,
        };
        *sum = sum.saturating_add(1);
        false
    }

    /// Logs how many had no line of their own since the last time.
    pub(super) fn log_sums(&self) {
        let Sums { welcomed, refused, ended } = std::mem::take(&mut self.state().left_out);
        if welcomed + refused + ended > 0 {
            tracing::info!(
                welcomed,
                refused,
                ended,
                "further sessions, too many for a line each; the log level debug shows them"
            );
        }
    }

    /// Does so every now and then, for as long as the future is polled. Never ends.
    pub(super) async fn run(&self) {
        loop {
            tokio::time::sleep(limits::SESSIONS_SUMMED_EVERY).await;
            self.log_sums();
        }
    }
}

/// A line of its own for what happened to a session, at the level `debug` when there are too many of them.
macro_rules! log_session {
    ($shared:expr, $event:ident, $($line:tt)*) => {
        if $shared.session_log.take_log_permit(SessionEvent::$event, std::time::Instant::now()) {
            tracing::info!($($line)*);
        } else {
            tracing::debug!($($line)*);
        }
    };
}
pub(super) use log_session;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_have_a_line_each_and_of_many_the_rest_is_summed_up() {
        let (session_log, now) = (SessionLog::default(), Instant::now());
        let lines = (0..10_000).filter(|_| session_log.take_log_permit(SessionEvent::Welcomed, now)).count();
        assert_eq!(lines, limits::SESSIONS_LOGGED as usize);
        for _ in 0..3 {
            assert!(!session_log.take_log_permit(SessionEvent::Ended, now));
        }
        let welcomed = 10_000 - limits::SESSIONS_LOGGED;
        assert_eq!(session_log.state().left_out, Sums { welcomed, refused: 0, ended: 3 });
        session_log.log_sums();
        assert_eq!(session_log.state().left_out, Sums::default());
        assert!(
            session_log.take_log_permit(SessionEvent::Refused, now + std::time::Duration::from_secs(1)),
            "afterwards it goes on"
        );
    }
}
