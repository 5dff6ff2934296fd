//! A token bucket, for peers that may do something so often and no oftener.

use std::time::{Duration, Instant};

/// Allows `burst` events at once and `per_second` in the long run.
#[derive(Debug)]
pub struct Rate {
    every: Duration,
    burst: Duration,
    /// The moment up to which the events so far have used the allowance (generic cell rate algorithm).
    used_until: Option<Instant>,
}

impl Rate {
    /// Both numbers are at least one.
    pub fn new(per_second: u32, burst: u32) -> Self {
        Self::every(Duration::from_secs(1) / per_second.max(1), burst)
    }

    /// One event in this time in the long run, which may be longer than a second.
    pub fn every(every: Duration, burst: u32) -> Self {
        Self { every, burst: every * burst.max(1), used_until: None }
    }

    /// From now on allows so much, unless it has allowed more in a second before. What has been used of the allowance
    /// stays used.
    ///
    /// It never allows less: what came at once under the larger allowance would make the next event too soon under
    /// the smaller one.
    pub fn raise(&mut self, per_second: u32, burst: u32) {
        let new = Self::new(per_second, burst);
        if new.every < self.every {
            *self = Self { used_until: self.used_until, ..new };
        }
    }

    /// The moment from which on the next event is allowed; it may have passed. `None` before the first event.
    pub fn next(&self) -> Option<Instant> {
        let until = self.used_until? + self.every;
        Some(until.checked_sub(self.burst).unwrap_or(until))
    }

    /// Takes back so many of the events so far, as if they had not been. Nothing is saved up for later.
    pub fn refund(&mut self, events: u32) {
        self.used_until = self.used_until.and_then(|until| until.checked_sub(self.every * events));
    }

    /// True when [`Self::allow`] would allow an event.
    pub fn allows(&self, now: Instant) -> bool {
        self.next().is_none_or(|next| next <= now)
    }

    /// The moment at which the next event may happen, now or later; takes it into account. For events that can wait.
    pub fn reserve(&mut self, now: Instant) -> Instant {
        let at = self.next().map_or(now, |next| next.max(now));
        self.used_until = Some(self.used_until.map_or(at, |until| until.max(at)) + self.every);
        at
    }

    /// True when nothing of the allowance is used, as before the first event.
    pub fn is_unused(&self, now: Instant) -> bool {
        self.used_until.is_none_or(|until| until <= now)
    }

    /// Takes one event into account; false when it comes too soon.
    pub fn allow(&mut self, now: Instant) -> bool {
        let next = self.used_until.map_or(now, |until| until.max(now)) + self.every;
        if next > now + self.burst {
            return false;
        }
        self.used_until = Some(next);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_and_then_the_rate() {
        let start = Instant::now();
        let mut rate = Rate::new(10, 5);
        let allowed = (0..20).filter(|_| {
            let allows = rate.allows(start);
            assert_eq!(rate.allow(start), allows);
            allows
        });
        assert_eq!(allowed.count(), 5);
        assert!(!rate.allow(start + Duration::from_millis(99)));
        assert!(rate.allows(start + Duration::from_millis(101)));
        assert!(rate.allow(start + Duration::from_millis(101)));
        let later = start + Duration::from_secs(60);
        assert_eq!(rate.next(), Some(start + Duration::from_millis(200)));
        assert_eq!((0..20).filter(|_| rate.allow(later)).count(), 5);
    }

    #[test]
    fn events_that_are_refunded_make_room_for_others_and_no_more() {
        let start = Instant::now();
        let mut rate = Rate::new(10, 5);
        let mut allowed = || (0..20).filter(|_| rate.allow(start)).count();
        assert_eq!(allowed(), 5);
        rate.refund(2);
        let mut allowed = || (0..20).filter(|_| rate.allow(start)).count();
        assert_eq!(allowed(), 2);
        rate.refund(1000);
        let mut allowed = || (0..20).filter(|_| rate.allow(start)).count();
        assert_eq!(allowed(), 5);
    }

    #[test]
    fn events_that_can_wait_happen_one_after_the_other() {
        let start = Instant::now();
        let second = Duration::from_secs(1);
        let mut rate = Rate::every(10 * second, 3);
        let after: Vec<u64> = (0..6).map(|_| (rate.reserve(start) - start).as_secs()).collect();
        assert_eq!(after, [0, 0, 0, 10, 20, 30]);
        assert_eq!(rate.reserve(start + 35 * second), start + 40 * second, "one more has come due meanwhile");
        assert!(!rate.allow(start + 49 * second) && rate.allow(start + 50 * second));
    }

    #[test]
    fn an_allowance_never_shrinks() {
        let start = Instant::now();
        let mut rate = Rate::new(10, 5);
        rate.raise(20, 100);
        assert_eq!((0..50).filter(|_| rate.allow(start)).count(), 50);
        rate.raise(10, 5);
        assert!(rate.allow(start), "what was used before does not make it too soon");
    }

    #[test]
    fn an_allowance_that_grows_forgets_nothing() {
        let start = Instant::now();
        let mut rate = Rate::new(10, 5);
        assert_eq!(rate.next(), None);
        assert_eq!((0..20).filter(|_| rate.allow(start)).count(), 5);
        rate.raise(20, 20);
        // Five of ten in a second are ten of twenty.
        assert_eq!((0..40).filter(|_| rate.allow(start)).count(), 10);
        assert!(
            !rate.allow(start + Duration::from_millis(49)) && rate.allow(start + Duration::from_millis(50))
        );
    }
}
