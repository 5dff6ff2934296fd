//! The moment that something is said for, on the clock for differences and on the one for dates.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The moment that a status is made for, on both clocks.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// For differences.
    pub instant: Instant,
    /// For dates.
    pub wall: SystemTime,
}

/// What tells a [`Now`]. What it has once said of a moment it says again, although the two clocks are never read at the
/// very same time: else a date would move to and fro by a second.
#[derive(Debug)]
pub struct Clock(Mutex<Now>);

impl Default for Clock {
    fn default() -> Self {
        Self(Mutex::new(Now { instant: Instant::now(), wall: SystemTime::now() }))
    }
}

impl Clock {
    /// How far the two may be apart before dates go by the new time: somebody has set the clock, or the computer slept.
    const APART: Duration = Duration::from_secs(1);

    /// This moment.
    pub fn now(&self) -> Now {
        let mut set = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = set.at(Now { instant: Instant::now(), wall: SystemTime::now() });
        *set = now;
        now
    }
}

impl Now {
    /// A later moment, by this one as long as the clocks agree.
    fn at(&self, read: Self) -> Self {
        let wall = self.wall + read.instant.saturating_duration_since(self.instant);
        let apart = wall.duration_since(read.wall).unwrap_or_else(|earlier| earlier.duration());
        if apart > Clock::APART { read } else { Self { wall, ..read } }
    }

    /// In seconds since 1970.
    pub(crate) fn stamp(&self, at: Instant) -> u64 {
        let wall = self.wall - self.instant.saturating_duration_since(at);
        wall.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_moves_only_when_the_clock_was_set() {
        let start = Instant::now();
        let (first, since) = (
            Now { instant: start + Duration::from_secs(10), wall: UNIX_EPOCH + Duration::from_secs(1010) },
            start + Duration::from_secs(5),
        );
        let read = |instant: u64, late: u64| Now {
            instant: start + Duration::from_secs(instant),
            wall: UNIX_EPOCH + Duration::from_millis(1_000_000 + instant * 1000 - late),
        };
        // The wall clock was read a moment earlier than the other one.
        assert_eq!(read(20, 1).stamp(since), 1004);
        let second = first.at(read(20, 1));
        assert_eq!((first.stamp(since), second.stamp(since)), (1005, 1005));
        assert_eq!(second.at(read(30, 3000)).stamp(since), 1002, "it was set back");
    }
}
