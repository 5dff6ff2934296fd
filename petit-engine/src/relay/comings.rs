//! What the log says of sessions that come and go: each of them while they are few, how many when they are many. A
//! restart of a large server must not push out of its log what explains it.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::limits;
use crate::proto::rate::Rate;

/// Comings and goings of a relay's sessions.
#[derive(Debug)]
pub(super) struct Comings {
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
pub(super) enum Coming {
    Welcomed,
    Refused,
    Ended,
}

impl Default for Comings {
    fn default() -> Self {
        let lines = Rate::new(limits::SESSIONS_LOGGED_PER_SECOND, limits::SESSIONS_LOGGED);
        Self { state: Mutex::new(State { lines, left_out: Sums::default() }) }
    }
}

impl Comings {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes one of the lines that there are for it. False, and it is counted, when there is none left.
    pub(super) fn take_log_permit(&self, coming: Coming, now: Instant) -> bool {
        let mut state = self.state();
        if state.lines.allow(now) {
            return true;
        }
        let sum = match coming {
            Coming::Welcomed => &mut state.left_out.welcomed,
            Coming::Refused => &mut state.left_out.refused,
            Coming::Ended => &mut state.left_out.ended,
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
macro_rules! coming {
    ($shared:expr, $coming:ident, $($line:tt)*) => {
        if $shared.comings.take_log_permit(Coming::$coming, std::time::Instant::now()) {
            tracing::info!($($line)*);
        } else {
            tracing::debug!($($line)*);
        }
    };
}
pub(super) use coming;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_have_a_line_each_and_of_many_the_rest_is_summed_up() {
        let (comings, now) = (Comings::default(), Instant::now());
        let lines = (0..10_000).filter(|_| comings.take_log_permit(Coming::Welcomed, now)).count();
        assert_eq!(lines, limits::SESSIONS_LOGGED as usize);
        for _ in 0..3 {
            assert!(!comings.take_log_permit(Coming::Ended, now));
        }
        let welcomed = 10_000 - limits::SESSIONS_LOGGED;
        assert_eq!(comings.state().left_out, Sums { welcomed, refused: 0, ended: 3 });
        comings.log_sums();
        assert_eq!(comings.state().left_out, Sums::default());
        assert!(
            comings.take_log_permit(Coming::Refused, now + std::time::Duration::from_secs(1)),
            "afterwards it goes on"
        );
    }
}
