//! When this client installs a version by itself: not all clients of a server at the same moment, and what comes to nothing
//! not again at once. Times come in with the call.

use std::time::Duration;

use petit_host::update::Version;
use tokio::time::Instant;

use super::looks::up_to;

/// After a time at which the process that installs a version has ended and this one goes on; twice as long after each
/// further one, up to [`LONGEST_REST`]. What it has tried is written down by that process; this is for what cannot be, or
/// begins with nothing.
const REST: Duration = Duration::from_mins(5);
const LONGEST_REST: Duration = Duration::from_hours(1);

/// The next one.
#[derive(Debug, Default)]
pub(super) struct Turns {
    drawn: Option<Turn>,
    rest: Option<Rest>,
}

#[derive(Debug)]
struct Rest {
    version: Version,
    in_vain: u32,
    until: Instant,
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
        if self.rests(version, now) {
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

    /// True for a while after a version has not come to anything.
    pub(super) fn rests(&self, version: &Version, now: Instant) -> bool {
        self.rest.as_ref().is_some_and(|rest| rest.version == *version && now < rest.until)
    }

    /// The process that was to install a version has ended, and this one goes on.
    pub(super) fn in_vain(&mut self, version: &Version, now: Instant) {
        let before =
            self.rest.as_ref().filter(|rest| rest.version == *version).map_or(0, |rest| rest.in_vain);
        let length = REST.saturating_mul(2_u32.saturating_pow(before)).min(LONGEST_REST);
        self.rest =
            Some(Rest { version: version.clone(), in_vain: before.saturating_add(1), until: now + length });
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
                turns.in_vain(&new, now);
            }
        }
        assert!((24..=28).contains(&times), "{times}");
        // The one that mends it is another matter.
        let later = begin + Duration::from_hours(24);
        turns.in_vain(&new, later);
        assert!(turns.rests(&new, later) && !turns.rests(&version("0.3.0"), later));
    }
}
