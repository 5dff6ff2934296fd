//! The memory of a session's windows, and the fair share of each: max-min fairness.
//!
//! A window **competes** when its reader takes more than the usual window lets through. All competing windows have the
//! same share of what the others leave. Up to its share a window takes what is free; beyond it, half of that at a
//! time, as long as nobody lacks anything. Who is below the share and finds nothing free says what it **lacks**, and
//! those above the share grant so much less of what their readers consume, until it is there. What the peer was
//! granted cannot be taken back, so a window whose reader stands still keeps its size.
//!
//! An eighth is a reserve for new streams, whatever the others want: most answers fit into the usual window.
//!
//! Who competes is counted in intervals, so that it costs the same for two streams and for thousands.

use std::time::{Duration, Instant};

use crate::limits;

/// Rates are taken over at least this long: a buffer that is emptied in one go says nothing about the path.
pub(super) const RATE_OVER: Duration = Duration::from_millis(10);

/// Who competes is counted anew after so many round trips; each window is measured once in one.
const INTERVAL: u32 = 4;

/// The memory that all receive windows of one session may claim together.
#[derive(Debug)]
pub struct Budget {
    limit: u64,
    /// The largest window that the peer bears.
    most: u32,
    claimed: u64,
    /// What the window that is furthest below its share lacks; cleared when an interval ends.
    lacking: u64,
    /// Counts up; a [`Seat`] names the one in which it was taken.
    interval: u64,
    since: Option<Instant>,
    counted: Competing,
    /// In the interval before.
    before: Competing,
}

/// Competing windows: how many, and what they claim.
#[derive(Clone, Copy, Debug, Default)]
struct Competing {
    windows: u64,
    claimed: u64,
}

/// When a window was last counted among the competing ones.
#[derive(Debug, Default)]
pub(super) struct Seat {
    /// 0: never.
    interval: u64,
    /// In the interval before that, too.
    before: bool,
}

impl Budget {
    /// A budget of `limit` bytes, for a peer that bears windows of [`limits::MAX_WINDOW_BYTES`].
    pub fn new(limit: u64) -> Self {
        Self {
            limit,
            most: limits::MAX_WINDOW_BYTES,
            claimed: 0,
            lacking: 0,
            interval: 2,
            since: None,
            counted: Competing::default(),
            before: Competing::default(),
        }
    }

    /// The peer bears windows of [`limits::WIDE_WINDOW_BYTES`].
    pub fn set_wide(&mut self) {
        self.most = limits::WIDE_WINDOW_BYTES;
    }

    /// The largest window that the peer bears.
    pub fn most(&self) -> u32 {
        self.most
    }

    /// Bytes claimed by the windows that are open.
    pub fn claimed(&self) -> u64 {
        self.claimed
    }

    /// Claims a window for a new stream: the usual one, or the smallest when the budget is spoken for.
    pub fn open(&mut self) -> u32 {
        let (usual, least) = (limits::INITIAL_WINDOW_BYTES, limits::MIN_WINDOW_BYTES);
        let size = if u64::from(usual) <= self.free() {
            usual
        } else {
            self.lacking = self.lacking.max(u64::from(usual - least));
            least
        };
        self.claim(size);
        size
    }

    /// Claims a window of a size that the other end chose or was told.
    pub fn claim(&mut self, size: u32) {
        self.claimed = self.claimed.saturating_add(u64::from(size));
    }

    /// Gives back the window of a stream that has ended.
    pub(super) fn release(&mut self, seat: &Seat, size: u32) {
        self.change(seat, |claimed| claimed.saturating_sub(u64::from(size)));
        if let Some(counted) = self.of(seat.interval) {
            counted.windows = counted.windows.saturating_sub(1);
        }
        if seat.before
            && let Some(counted) = self.of(seat.interval.saturating_sub(1))
        {
            counted.windows = counted.windows.saturating_sub(1);
        }
    }

    /// Counts a window of `size` bytes that competes; at least once in a round trip as long as it does.
    pub(super) fn compete(&mut self, seat: &mut Seat, size: u32, now: Instant, round_trip: Duration) {
        let since = *self.since.get_or_insert(now);
        let over = round_trip.max(RATE_OVER) * INTERVAL;
        let took = now.saturating_duration_since(since);
        if took >= over {
            self.since = Some(now);
            self.lacking = 0; // who still lacks something says so again
            self.interval += 1;
            self.before = std::mem::take(&mut self.counted);
            if took >= over * 2 {
                self.interval += 1;
                self.before = Competing::default();
            }
        }
        if seat.interval != self.interval {
            *seat = Seat { interval: self.interval, before: seat.interval + 1 == self.interval };
            self.counted.windows += 1;
            self.counted.claimed += u64::from(size);
        }
    }

    /// Claims growth of a window towards `wanted`, as far as its share goes, and returns how much there is.
    pub(super) fn grow_to_share(&mut self, seat: &Seat, size: u32, wanted: u32) -> u32 {
        let share = self.share();
        let goal = wanted.min(share);
        // The reserve is there for those who have less than is usual.
        let small = within(goal.min(limits::INITIAL_WINDOW_BYTES).saturating_sub(size), self.free());
        let large = within(goal.saturating_sub(size + small), self.spare().saturating_sub(u64::from(small)));
        let growth = small + large;
        self.change(seat, |claimed| claimed + u64::from(growth));
        self.lacking = self.lacking.saturating_sub(u64::from(growth));
        self.lacking = self.lacking.max(u64::from(goal.saturating_sub(size + growth)));
        growth
    }

    /// Claims growth of a window towards `wanted` beyond its share: half of what is free and nobody lacks.
    pub(super) fn grow_beyond_share(&mut self, seat: &Seat, size: u32, wanted: u32) -> u32 {
        if size < self.share() {
            return 0;
        }
        let growth = within(wanted.saturating_sub(size), self.spare().saturating_sub(self.lacking) / 2);
        self.change(seat, |claimed| claimed + u64::from(growth));
        growth
    }

    /// How much a window has to shrink so that others have what they lack and the reserve is whole; up to `most`.
    pub(super) fn shrink(&mut self, seat: &Seat, size: u32, most: u32) -> u32 {
        let needed = (self.claimed + self.reserve() + self.lacking).saturating_sub(self.limit);
        if needed == 0 {
            return 0; // as ever, but for a session that is full
        }
        let shrink = within(size.saturating_sub(self.share()).min(most), needed);
        self.change(seat, |claimed| claimed.saturating_sub(u64::from(shrink)));
        shrink
    }

    /// What each competing window may have: the same part of what the others leave. Never less than the usual window
    /// or, when there are more than that would be enough for, an equal part of the whole.
    fn share(&self) -> u32 {
        let counted = if self.counted.windows >= self.before.windows { self.counted } else { self.before };
        let windows = counted.windows.max(1);
        let whole = self.limit.saturating_sub(self.reserve());
        let left = whole.saturating_sub(self.claimed.saturating_sub(counted.claimed));
        let least = (whole / windows).min(u64::from(limits::INITIAL_WINDOW_BYTES));
        within(self.most, (left / windows).max(least).max(u64::from(limits::MIN_WINDOW_BYTES)))
    }

    fn reserve(&self) -> u64 {
        self.limit / 8
    }

    fn free(&self) -> u64 {
        self.limit.saturating_sub(self.claimed)
    }

    /// What is free beyond the reserve.
    fn spare(&self) -> u64 {
        self.free().saturating_sub(self.reserve())
    }

    /// Changes what is claimed, and what those claim among whom the window was counted.
    fn change(&mut self, seat: &Seat, to: impl Fn(u64) -> u64) {
        self.claimed = to(self.claimed);
        if let Some(counted) = self.of(seat.interval) {
            counted.claimed = to(counted.claimed);
        }
        if seat.before
            && let Some(counted) = self.of(seat.interval.saturating_sub(1))
        {
            counted.claimed = to(counted.claimed);
        }
    }

    /// Those who were counted in an interval, if that is not long ago.
    fn of(&mut self, interval: u64) -> Option<&mut Competing> {
        if interval == self.interval {
            Some(&mut self.counted)
        } else if interval + 1 == self.interval {
            Some(&mut self.before)
        } else {
            None
        }
    }
}

/// `wanted`, or `limit` if that is less.
fn within(wanted: u32, limit: u64) -> u32 {
    wanted.min(u32::try_from(limit).unwrap_or(u32::MAX))
}
