//! When the server is asked for its release. All its clients hear of one at the same moment, and a server may hint as often
//! as it likes. Times come in with the call.

use std::time::Duration;

use petit_engine::proto::rate::Rate;
use petit_engine::secret::random_bytes;
use tokio::time::Instant;

/// How often it is looked whether the server has said something.
pub(super) const HINT_EVERY: Duration = Duration::from_secs(5);
/// How often the server is asked without a hint, about.
const LOOK_EVERY: Duration = Duration::from_hours(6);
/// Within this time all clients of a server ask that have had the same hint.
const SPREAD: Duration = Duration::from_secs(30);
/// What one look takes of the allowance, of which [`AT_ONCE`] may be used at once.
const ALLOWED_EVERY: Duration = Duration::from_mins(10);
const AT_ONCE: u32 = 3;
/// After a look that has failed; twice as long after each further one, up to [`LOOK_EVERY`].
const AGAIN: Duration = Duration::from_mins(1);

/// The hint that there is no release any more.
pub(super) const NONE_ANY_MORE: u64 = 0;

pub(super) struct Looks {
    due: Instant,
    hint: Option<u64>,
    rate: Rate,
    /// Looks in a row that have failed.
    failures: u32,
}

impl Looks {
    pub(super) fn new(now: Instant) -> Self {
        let rate = Rate::every(ALLOWED_EVERY, AT_ONCE);
        Self { due: now + up_to(LOOK_EVERY), hint: None, rate, failures: 0 }
    }

    /// The server's last hint; the same one is heard again and again.
    pub(super) fn hear(&mut self, hint: Option<u64>, now: Instant) {
        if hint.is_some() && hint != self.hint {
            self.hint = hint;
            if hint != Some(NONE_ANY_MORE) {
                self.due = self.due.min(now + up_to(SPREAD));
            }
        }
    }

    /// True when the server is to be asked now. Then [`succeeded`](Self::succeeded) or [`failed`](Self::failed) follows.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        self.due <= now && self.rate.allow(now.into_std())
    }

    pub(super) fn succeeded(&mut self, now: Instant) {
        self.failures = 0;
        self.due = now + LOOK_EVERY / 2 + up_to(LOOK_EVERY);
    }

    /// Such as when the server had too much to do: the others come back as well, so each after a time of its own.
    pub(super) fn failed(&mut self, now: Instant) {
        let doubled = AGAIN.saturating_mul(2_u32.saturating_pow(self.failures)).min(LOOK_EVERY);
        self.failures = self.failures.saturating_add(1);
        self.due = now + doubled / 2 + up_to(doubled);
    }
}

/// Some time up to this, by chance.
pub(super) fn up_to(most: Duration) -> Duration {
    let dice = random_bytes::<4>().map_or(0, u32::from_ne_bytes);
    most.mul_f64(f64::from(dice) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How often the server is asked in a day, when each second something happens.
    fn looks_of_a_day(mut each: impl FnMut(&mut Looks, u64, Instant)) -> (u32, Vec<Duration>) {
        let begin = Instant::now();
        let (mut looks, mut taken) = (Looks::new(begin), Vec::new());
        for second in 0..24 * 60 * 60 {
            let now = begin + Duration::from_secs(second);
            each(&mut looks, second, now);
            if looks.take(now) {
                taken.push(now - begin);
                looks.failed(now);
            }
        }
        (taken.len().try_into().unwrap(), taken)
    }

    #[test]
    fn a_server_that_is_busy_is_asked_again_after_growing_pauses() {
        let (count, taken) = looks_of_a_day(|looks, _, now| looks.hear(Some(7), now));
        assert!(taken[0] <= SPREAD, "{taken:?}");
        assert!(taken[1] <= taken[0] + Duration::from_secs(91), "not only after hours: {taken:?}");
        assert!((5..20).contains(&count), "{taken:?}");
    }

    #[test]
    fn a_server_that_hints_each_second_is_not_asked_each_second() {
        let (count, _) = looks_of_a_day(|looks, second, now| looks.hear(Some(second + 1), now));
        assert!((100..=24 * 6 + AT_ONCE).contains(&count), "{count}");
    }

    #[test]
    fn that_there_is_no_release_any_more_is_no_reason_to_ask() {
        let now = Instant::now();
        let mut looks = Looks::new(now);
        looks.hear(Some(7), now);
        assert!(looks.take(now + SPREAD));
        looks.succeeded(now);
        looks.hear(Some(NONE_ANY_MORE), now);
        assert!(!looks.take(now + SPREAD));
        // The same one again is another one.
        looks.hear(Some(7), now);
        assert!(looks.take(now + SPREAD));
    }
}
