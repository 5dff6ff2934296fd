//! Windows: how many bytes each side of a stream may have on the way, as arithmetic with times handed in.
//!
//! The receiver owns the window. At any moment
//!
//! ```text
//! granted and not yet received + received and not yet consumed + consumed and not yet granted again = size
//! ```
//!
//! and a property test holds every sequence of events against that sum: the first prototype lost a part of a
//! grant once and its stream hung for ever.
//!
//! A window grows to 2.5 times what the path holds at the rate that the consumer reached: rate × *minimum*
//! round trip. (Up to a quarter of it is always consumed and not yet granted again, so a factor of two would not
//! double it.) A round trip measured under load contains our own queue; growing by it fills the queue, which
//! lengthens the round trip, which grows the window (measured: small requests beside bulk went from 2.6 ms to
//! 11 ms). On a path without distance the window therefore stays small, and over 80 ms it opens within a few
//! round trips.

use std::time::{Duration, Instant};

use crate::limits;

/// Rates are taken over at least this long: a buffer that is emptied in one go says nothing about the path.
const RATE_OVER: Duration = Duration::from_millis(10);

/// A peer went beyond what it was granted, or granted more than the protocol allows. Ends the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CreditError {
    /// More bytes came than were granted.
    #[error("{length} bytes came where {granted} were granted")]
    Exceeded {
        /// Bytes of the frame.
        length: usize,
        /// Credit left.
        granted: u32,
    },
    /// A grant would raise the credit above [`limits::MAX_WINDOW_BYTES`].
    #[error("a grant of {grant} bytes on top of {held} is more than a window can be")]
    Overflow {
        /// What was granted.
        grant: u32,
        /// What was held before.
        held: u32,
    },
}

/// What may still be sent on a stream before its receiver grants more.
#[derive(Debug)]
pub struct SendCredit {
    held: u32,
}

impl SendCredit {
    /// Credit as it is before the first grant.
    pub fn new(initial: u32) -> Self {
        Self { held: initial }
    }

    /// Bytes that may be sent now.
    pub fn held(&self) -> usize {
        self.held as usize
    }

    /// Takes up to `wanted` bytes of credit and returns how many were there.
    pub fn spend(&mut self, wanted: usize) -> usize {
        let spent = u32::try_from(wanted).unwrap_or(u32::MAX).min(self.held);
        self.held -= spent;
        spent as usize
    }

    /// Adds a grant.
    ///
    /// # Errors
    /// [`CreditError::Overflow`] when the receiver would have granted more than any window holds.
    pub fn add(&mut self, grant: u32) -> Result<(), CreditError> {
        match self.held.checked_add(grant) {
            Some(sum) if sum <= limits::MAX_WINDOW_BYTES => {
                self.held = sum;
                Ok(())
            }
            _ => Err(CreditError::Overflow { grant, held: self.held }),
        }
    }
}

/// The memory that all receive windows of one session may claim together.
#[derive(Debug)]
pub struct Budget {
    limit: u64,
    claimed: u64,
}

impl Budget {
    /// A budget of `limit` bytes.
    pub fn new(limit: u64) -> Self {
        Self { limit, claimed: 0 }
    }

    /// Bytes claimed by the windows that are open.
    pub fn claimed(&self) -> u64 {
        self.claimed
    }

    /// Claims a window for a new stream: the usual one, or the smallest when the budget is spoken for.
    pub fn open(&mut self) -> u32 {
        let usual = limits::INITIAL_WINDOW_BYTES;
        let size =
            if self.claimed + u64::from(usual) <= self.limit { usual } else { limits::MIN_WINDOW_BYTES };
        self.claim(size);
        size
    }

    /// Claims a window of a size that the other end chose or was told.
    pub fn claim(&mut self, size: u32) {
        self.claimed = self.claimed.saturating_add(u64::from(size));
    }

    /// Claims growth by up to `wanted` bytes and returns how much the budget allows.
    fn grow(&mut self, wanted: u32) -> u32 {
        let free = self.limit.saturating_sub(self.claimed);
        let growth = wanted.min(u32::try_from(free).unwrap_or(u32::MAX));
        self.claimed += u64::from(growth);
        growth
    }

    /// Gives back the window of a stream that has ended.
    pub fn release(&mut self, size: u32) {
        self.claimed = self.claimed.saturating_sub(u64::from(size));
    }
}

/// The receiver's side of a window.
#[derive(Debug)]
pub struct RecvWindow {
    size: u32,
    /// Granted, not yet received.
    granted: u32,
    /// Received, not yet consumed.
    buffered: u32,
    /// Consumed, not yet granted again.
    consumed: u32,
    /// When the present measurement of the consumer's rate began, and what it consumed since.
    since: Option<(Instant, u64)>,
}

impl RecvWindow {
    /// A window of `size` bytes, all of it granted.
    pub fn new(size: u32) -> Self {
        Self { size, granted: size, buffered: 0, consumed: 0, since: None }
    }

    /// Its present size.
    pub fn size(&self) -> u32 {
        self.size
    }

    /// What the peer may still send.
    pub fn granted(&self) -> u32 {
        self.granted
    }

    /// Takes note of a DATA frame.
    ///
    /// # Errors
    /// [`CreditError::Exceeded`] when the peer had not that much credit; nothing has changed then.
    pub fn receive(&mut self, length: usize) -> Result<(), CreditError> {
        let exceeded = CreditError::Exceeded { length, granted: self.granted };
        let bytes = u32::try_from(length).map_err(|_| exceeded)?;
        self.granted = self.granted.checked_sub(bytes).ok_or(exceeded)?;
        self.buffered += bytes;
        Ok(())
    }

    /// Forgets what was received and will not be read; returns how many bytes that were.
    pub fn discard(&mut self) -> u32 {
        let discarded = std::mem::take(&mut self.buffered);
        self.consumed += discarded;
        discarded
    }

    /// Takes note that the stream's reader has taken `bytes`; returns the grant to send, when one is due.
    ///
    /// Grants are due in quarters of the window, so that neither the wire is full of them nor the sender idle.
    pub fn consume(
        &mut self,
        bytes: usize,
        now: Instant,
        min_round_trip: Option<Duration>,
        budget: &mut Budget,
    ) -> Option<u32> {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX).min(self.buffered);
        self.buffered -= bytes;
        self.consumed += bytes;
        if let Some(round_trip) = min_round_trip {
            self.measure(bytes, now, round_trip, budget);
        }
        if self.consumed < (self.size / 4).max(1) {
            return None;
        }
        let grant = std::mem::take(&mut self.consumed);
        self.granted += grant;
        Some(grant)
    }

    /// Grows the window when the consumer's rate asks for it; the growth is granted with what was consumed.
    fn measure(&mut self, bytes: u32, now: Instant, round_trip: Duration, budget: &mut Budget) {
        let (start, total) = self.since.get_or_insert((now, 0));
        *total += u64::from(bytes);
        let took = now.saturating_duration_since(*start);
        if took < round_trip.max(RATE_OVER) {
            return;
        }
        let on_the_way = u128::from(*total) * round_trip.as_nanos() / took.as_nanos().max(1);
        self.since = Some((now, 0));
        let wanted = u32::try_from(on_the_way * 5 / 2).unwrap_or(u32::MAX).min(limits::MAX_WINDOW_BYTES);
        if let Some(growth) = wanted.checked_sub(self.size).filter(|growth| *growth > 0) {
            let growth = budget.grow(growth);
            self.size += growth;
            self.consumed += growth;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sum(window: &RecvWindow) -> u64 {
        u64::from(window.granted) + u64::from(window.buffered) + u64::from(window.consumed)
    }

    #[test]
    fn a_frame_beyond_the_window_is_refused_and_changes_nothing() {
        let mut window = RecvWindow::new(100);
        assert_eq!(window.receive(60), Ok(()));
        assert_eq!(window.receive(41), Err(CreditError::Exceeded { length: 41, granted: 40 }));
        assert_eq!(window.receive(40), Ok(()));
        assert_eq!(sum(&window), 100);
    }

    #[test]
    fn credit_beyond_any_window_is_refused() {
        let mut credit = SendCredit::new(limits::INITIAL_WINDOW_BYTES);
        assert!(credit.add(limits::MAX_WINDOW_BYTES).is_err());
        assert!(credit.add(u32::MAX).is_err());
        assert_eq!(credit.add(limits::MAX_WINDOW_BYTES - limits::INITIAL_WINDOW_BYTES), Ok(()));
        assert_eq!(credit.held(), limits::MAX_WINDOW_BYTES as usize);
    }

    /// Runs a download whose sender is limited by credit alone, over a path with the given round trip, and
    /// returns the window at the end.
    fn window_after(round_trip: Duration, rate_limit: f64, rounds: u32) -> u32 {
        let start = Instant::now();
        let mut now = start;
        let mut budget = Budget::new(limits::SESSION_WINDOW_BYTES);
        let mut window = RecvWindow::new(budget.open());
        for _ in 0..rounds {
            now += round_trip.max(Duration::from_millis(1));
            let possible = (rate_limit * round_trip.max(Duration::from_millis(1)).as_secs_f64()) as u32;
            let mut left = window.granted().min(possible);
            while left > 0 {
                let piece = left.min(16 * 1024);
                window.receive(piece as usize).unwrap();
                window.consume(piece as usize, now, Some(round_trip), &mut budget);
                left -= piece;
            }
        }
        window.size()
    }

    #[test]
    fn a_long_path_opens_the_window_within_a_dozen_round_trips() {
        let size = window_after(Duration::from_millis(80), 1e9, 12);
        assert_eq!(size, limits::MAX_WINDOW_BYTES);
    }

    #[test]
    fn a_path_without_distance_keeps_the_window_small() {
        let size = window_after(Duration::from_micros(120), 1e9, 5_000);
        assert!(size <= 2 * limits::INITIAL_WINDOW_BYTES, "{size}");
    }

    #[test]
    fn a_slow_consumer_does_not_grow_the_window() {
        let size = window_after(Duration::from_millis(80), 500e3, 200);
        assert_eq!(size, limits::INITIAL_WINDOW_BYTES);
    }

    #[test]
    fn a_spent_budget_gives_small_windows_and_no_growth() {
        let mut budget = Budget::new(u64::from(limits::INITIAL_WINDOW_BYTES));
        assert_eq!(budget.open(), limits::INITIAL_WINDOW_BYTES);
        assert_eq!(budget.open(), limits::MIN_WINDOW_BYTES);
        assert_eq!(budget.grow(1), 0);
        budget.release(limits::INITIAL_WINDOW_BYTES);
        assert_eq!(budget.claimed(), u64::from(limits::MIN_WINDOW_BYTES));
    }

    proptest! {
        /// The sender's and the receiver's books agree after any sequence of sends, reads and delays in transit.
        #[test]
        fn credit_is_conserved(
            steps in proptest::collection::vec((0u8..4, 1usize..70_000, 0u64..200_000), 1..400),
            round_trip in proptest::option::of(1u64..200_000),
        ) {
            let mut now = Instant::now();
            let mut budget = Budget::new(4 * 1024 * 1024);
            let mut window = RecvWindow::new(budget.open());
            let mut credit = SendCredit::new(window.size());
            let (mut in_flight, mut grants) = (Vec::new(), Vec::new());
            for (step, amount, micros) in steps {
                now += Duration::from_micros(micros);
                match step {
                    0 => {
                        let sent = credit.spend(amount);
                        if sent > 0 {
                            in_flight.push(sent);
                        }
                    }
                    1 => {
                        if !in_flight.is_empty() {
                            prop_assert_eq!(window.receive(in_flight.remove(0)), Ok(()));
                        }
                    }
                    2 => {
                        let grant =
                            window.consume(amount, now, round_trip.map(Duration::from_micros), &mut budget);
                        grants.extend(grant);
                    }
                    _ => {
                        if !grants.is_empty() {
                            prop_assert_eq!(credit.add(grants.remove(0)), Ok(()));
                        }
                    }
                }
                prop_assert_eq!(sum(&window), u64::from(window.size()));
                let on_the_way: u64 = grants.iter().map(|grant| u64::from(*grant)).sum();
                let sent: u64 = in_flight.iter().map(|sent| *sent as u64).sum();
                prop_assert_eq!(credit.held() as u64 + on_the_way + sent, u64::from(window.granted()));
                prop_assert_eq!(budget.claimed(), u64::from(window.size()));
                prop_assert!(window.size() <= limits::MAX_WINDOW_BYTES);
            }
            // Whatever happened, a reader that keeps reading frees the sender.
            for sent in in_flight {
                window.receive(sent).unwrap();
            }
            let last = window.consume(usize::MAX, now, None, &mut budget);
            for grant in grants.into_iter().chain(last) {
                credit.add(grant).unwrap();
            }
            prop_assert!(credit.held() as u32 >= window.size() / 2, "the stream would hang");
        }
    }
}
