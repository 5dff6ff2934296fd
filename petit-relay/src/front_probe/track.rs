//! What attempts make of a front's state. Pure: times come in with the call.

use std::time::{Duration, Instant};

use petit_engine::limits;
use petit_engine::proto::control::FrontState;

use super::attempt::AttemptOutcome;

/// What is known of one front.
#[derive(Clone, Copy, Debug)]
pub(super) struct Track {
    state: FrontState,
    since: Instant,
    last_success: Option<(Instant, Duration)>,
    /// When the last attempt began.
    begun: Option<Instant>,
    /// When the last attempt came to its end.
    tried: Option<Instant>,
    /// Attempts in a row that did not get in.
    misses: u32,
}

impl Track {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            state: FrontState::Checking,
            since: now,
            last_success: None,
            begun: None,
            tried: None,
            misses: 0,
        }
    }

    /// Begins an attempt, unless the last one began less than [`limits::FRONT_EVERY`] ago. An attempt that takes long is
    /// not begun a second time.
    pub(super) fn begin(&mut self, now: Instant) -> bool {
        let is_due = self.begun.is_none_or(|at| now.saturating_duration_since(at) >= limits::FRONT_EVERY);
        if is_due {
            self.begun = Some(now);
        }
        is_due
    }

    /// Takes note of an attempt. True when the state has changed.
    pub(super) fn record(&mut self, outcome: AttemptOutcome, now: Instant) -> bool {
        self.tried = Some(now);
        let found = match outcome {
            AttemptOutcome::Passed(took) => {
                self.misses = 0;
                self.last_success = Some((now, took));
                return self.set(FrontState::Passed, now);
            }
            AttemptOutcome::Failed(cause) => FrontState::Failed(cause),
            AttemptOutcome::Untried(why) => FrontState::Untried(why),
        };
        self.misses = self.misses.saturating_add(1);
        if self.misses >= limits::FRONT_FAILURES { self.set(found, now) } else { self.expire(now) }
    }

    /// A success of more than a minute ago is none. True when the state has changed.
    pub(super) fn expire(&mut self, now: Instant) -> bool {
        let is_stale = self.expires().is_some_and(|at| at <= now);
        is_stale && self.set(FrontState::Checking, now)
    }

    /// When the state ends unless an attempt gets in before.
    pub(super) fn expires(&self) -> Option<Instant> {
        let (at, _) = self.last_success.filter(|_| self.state == FrontState::Passed)?;
        Some(at + limits::FRESH)
    }

    /// How long to wait for the next attempt.
    pub(super) fn rest(&self) -> Duration {
        match self.state {
            // What cannot be tried from here will hardly change within seconds.
            FrontState::Untried(_) => limits::FRONT_EVERY,
            FrontState::Checking if self.misses > 0 => limits::FRONT_SOON,
            FrontState::Failed(_) => limits::FRONT_AGAIN,
            FrontState::Passed if self.misses > 0 => limits::FRONT_AGAIN,
            FrontState::Checking | FrontState::Passed => limits::FRONT_EVERY,
        }
    }

    pub(super) fn state(&self) -> FrontState {
        self.state
    }

    pub(super) fn since(&self) -> Instant {
        self.since
    }

    pub(super) fn tried(&self) -> Option<Instant> {
        self.tried
    }

    /// How long the last attempt that got in took.
    pub(super) fn took(&self) -> Option<Duration> {
        self.last_success.map(|(_, took)| took)
    }

    fn set(&mut self, state: FrontState, now: Instant) -> bool {
        if self.state == state {
            return false;
        }
        (self.state, self.since) = (state, now);
        true
    }
}

#[cfg(test)]
mod tests {
    use petit_engine::cause::{FrontCause, FrontUntried};

    use super::*;

    const PASSED: AttemptOutcome = AttemptOutcome::Passed(Duration::from_millis(3));
    const CLOSED: AttemptOutcome = AttemptOutcome::Failed(FrontCause::ConnectionRefused);
    const SILENT: AttemptOutcome = AttemptOutcome::Untried(FrontUntried::Unreachable);

    #[test]
    fn one_attempt_that_fails_is_no_broken_front_and_two_are() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut track = Track::new(start);
        assert!(track.record(PASSED, at(1)));
        assert!(!track.record(CLOSED, at(46)));
        assert_eq!(track.state(), FrontState::Passed);
        assert_eq!(track.rest(), Duration::from_secs(5), "it is looked at again");
        assert!(!track.record(PASSED, at(51)));
        assert_eq!(track.rest(), Duration::from_secs(45));
        assert!(!track.record(CLOSED, at(96)), "that was not in a row");
        assert!(track.record(CLOSED, at(101)));
        assert_eq!(track.state(), FrontState::Failed(FrontCause::ConnectionRefused));
        assert_eq!(track.since(), at(101));
        assert_eq!(track.rest(), Duration::from_secs(5));
        assert!(!track.record(CLOSED, at(106)));
        assert_eq!(track.since(), at(101), "since the first time");
        assert!(track.record(PASSED, at(111)), "one success is enough");
    }

    #[test]
    fn a_success_counts_for_a_minute() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut track = Track::new(start);
        track.record(PASSED, at(0));
        assert_eq!(track.expires(), Some(at(60)));
        assert!(!track.expire(at(59)));
        assert!(track.expire(at(60)));
        assert_eq!(track.state(), FrontState::Checking);
        track.record(PASSED, at(61));
        assert!(track.record(SILENT, at(122)), "an attempt that took too long does not make it last longer");
        assert_eq!(track.state(), FrontState::Checking);
    }

    #[test]
    fn what_cannot_be_tried_from_here_is_not_tried_all_the_time() {
        let start = Instant::now();
        let mut track = Track::new(start);
        assert!(!track.record(SILENT, start));
        assert_eq!(track.state(), FrontState::Checking);
        assert!(track.rest() < Duration::from_secs(1), "at the start nobody waits for long");
        assert!(track.record(SILENT, start));
        assert_eq!(track.state(), FrontState::Untried(FrontUntried::Unreachable));
        assert_eq!(track.rest(), Duration::from_secs(45));
    }
}
