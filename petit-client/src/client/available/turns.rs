//! When this client installs a version by itself: not all clients of a server at the same moment, and what comes to nothing
//! not again at once. Times come in with the call.

use std::time::Duration;

use petit_host::update::Version;
use tokio::time::Instant;

use super::looks::up_to;

/// After a time at which the process that installs has ended and this one goes on; twice as long after each further one, up
/// to [`LONGEST_REST`]. What it has tried is written down by that process; this is for what cannot be, or begins with nothing.
const REST: Duration = Duration::from_mins(5);
const LONGEST_REST: Duration = Duration::from_hours(6);

/// The next one.
#[derive(Debug, Default)]
pub(super) struct Turns {
    drawn: Option<Turn>,
    in_vain: u32,
    rests_until: Option<Instant>,
}

#[derive(Debug)]
struct Turn {
    version: Version,
    at: Instant,
}

impl Turns {
    /// It may not be installed now.
    pub(super) fn put_off(&mut self) {
        self.drawn = None;
    }

    /// A version may be installed now. True when it is to be; else it is so at some time within `spread`, if nothing comes
    /// between.
    pub(super) fn take(&mut self, version: &Version, spread: Duration, now: Instant) -> bool {
        if self.rests_until.is_some_and(|until| now < until) {
            return false;
        }
        match &self.drawn {
            Some(turn) if turn.version == *version => {
                let is_due = turn.at <= now;
                if is_due {
                    self.drawn = None;
                }
                is_due
            }
            _ => {
                self.drawn = Some(Turn { version: version.clone(), at: now + up_to(spread) });
                false
            }
        }
    }

    /// The process that was to install it has ended, and this one goes on.
    pub(super) fn in_vain(&mut self, now: Instant) {
        let rest = REST.saturating_mul(2_u32.saturating_pow(self.in_vain)).min(LONGEST_REST);
        self.in_vain = self.in_vain.saturating_add(1);
        self.rests_until = Some(now + rest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPREAD: Duration = Duration::from_mins(30);

    fn version(text: &str) -> Version {
        text.parse().unwrap()
    }

    #[test]
    fn a_client_waits_for_its_turn_and_one_that_was_put_off_draws_anew() {
        let (begin, new) = (Instant::now(), version("0.2.0"));
        let mut turns = Turns::default();
        assert!(!turns.take(&new, SPREAD, begin));
        assert!(turns.take(&new, SPREAD, begin + SPREAD));
        assert!(!turns.take(&new, SPREAD, begin + SPREAD), "once");
        // Drawn in hours that are over: in the next ones they do not all begin at once.
        turns.put_off();
        let next = begin + Duration::from_hours(24);
        assert!(!turns.take(&new, SPREAD, next));
        assert!(turns.take(&new, SPREAD, next + SPREAD));
        // Another version is another turn.
        assert!(!turns.take(&new, SPREAD, next));
        assert!(!turns.take(&version("0.3.0"), SPREAD, next + SPREAD));
    }

    #[test]
    fn what_always_comes_to_nothing_is_tried_ever_less_often() {
        let (begin, new) = (Instant::now(), version("0.2.0"));
        let mut turns = Turns::default();
        let mut times = 0;
        for second in (0..24 * 60 * 60).step_by(5) {
            let now = begin + Duration::from_secs(second);
            if turns.take(&new, Duration::ZERO, now) {
                times += 1;
                turns.in_vain(now);
            }
        }
        assert!((6..=12).contains(&times), "{times}");
    }
}
