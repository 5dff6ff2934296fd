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
//! double it.) Over a long path it grows to four times that in a slow start, until the path is full for the first
//! time: each step takes a round trip, and six of them are most of a second. A round trip measured under load
//! contains our own queue; growing by it fills the queue, which lengthens the round trip, which grows the window
//! (measured: small requests beside bulk went from 2.6 ms to 11 ms). On a path without distance the window therefore
//! stays small, and over 80 ms it opens within a few round trips.
//!
//! How much of the session's memory a window may have beside others is for the [`Budget`] to say.

mod budget;

use std::time::{Duration, Instant};

pub use self::budget::Budget;
use self::budget::{RATE_OVER, Seat};
use crate::limits;

/// A window of this size is granted again in eighths instead of quarters: over a long path what waits to be granted is
/// what the sender lacks.
const LARGE_BYTES: u32 = 1024 * 1024;

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
    /// A grant would raise the credit above [`limits::WIDE_WINDOW_BYTES`].
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
            Some(sum) if sum <= limits::WIDE_WINDOW_BYTES => {
                self.held = sum;
                Ok(())
            }
            _ => Err(CreditError::Overflow { grant, held: self.held }),
        }
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
    /// The size that the last measurement asked for.
    wanted: u32,
    /// Every measurement so far has found that the window was too small.
    slow_start: bool,
    seat: Seat,
}

impl RecvWindow {
    /// A window of `size` bytes, all of it granted.
    pub fn new(size: u32) -> Self {
        Self {
            size,
            granted: size,
            buffered: 0,
            consumed: 0,
            since: None,
            wanted: 0,
            slow_start: true,
            seat: Seat::default(),
        }
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
    /// Grants are due in quarters of a small window and in eighths of a large one, so that neither the wire is full of
    /// them nor the sender idle.
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
        let part = if self.size < LARGE_BYTES { 4 } else { 8 };
        if self.consumed < (self.size / part).max(1) {
            return None;
        }
        if self.size < self.wanted {
            // Others may have given up what it lacked.
            let growth = budget.grow_to_share(&self.seat, self.size, self.wanted);
            self.grow(growth);
        }
        self.shrink(budget);
        let grant = std::mem::take(&mut self.consumed);
        self.granted += grant;
        Some(grant)
    }

    /// Gives the memory back when the stream has ended.
    pub fn close(self, budget: &mut Budget) {
        budget.release(&self.seat, self.size);
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
        let most = budget.most();
        let times = |halves: u128| u32::try_from(on_the_way * halves / 2).unwrap_or(u32::MAX).min(most);
        self.wanted = times(5);
        if self.wanted > self.size.min(limits::INITIAL_WINDOW_BYTES) {
            budget.compete(&mut self.seat, self.size, now, round_trip);
        }
        if self.wanted <= self.size {
            self.slow_start = false;
            return;
        }
        if self.slow_start && round_trip >= RATE_OVER {
            self.wanted = times(8);
        }
        let growth = budget.grow_to_share(&self.seat, self.size, self.wanted);
        self.grow(growth);
        let growth = budget.grow_beyond_share(&self.seat, self.size, self.wanted);
        self.grow(growth);
    }

    fn grow(&mut self, growth: u32) {
        self.size += growth;
        self.consumed += growth;
    }

    /// Leaves to others what they lack: at most half of what is to be granted now, so that the reader never waits.
    fn shrink(&mut self, budget: &mut Budget) {
        let most = (self.consumed / 2).min(self.consumed.saturating_sub(limits::MIN_GRANT_BYTES));
        let shrink = budget.shrink(&self.seat, self.size, most);
        self.size -= shrink;
        self.consumed -= shrink;
    }
}

#[cfg(test)]
mod tests;
