//! Counts what the pools of a relay do.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use petit_engine::proto::rate::Rate;

use super::share::Stage;
use super::shortage::{PlaceCounts, Shortage};

/// Counts what the pools of a relay do.
#[derive(Debug)]
pub(super) struct Counters {
    refused: AtomicU64,
    /// By [`Stage`].
    gave_way: [AtomicU64; 3],
    /// So that a long shortage does not fill the log.
    lines: Mutex<Rate>,
}

impl Default for Counters {
    fn default() -> Self {
        Self { refused: AtomicU64::new(0), gave_way: Default::default(), lines: Mutex::new(Rate::new(1, 1)) }
    }
}

impl Counters {
    /// A request was refused for want of room.
    pub(super) fn refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// What they have counted.
    pub(super) fn get(&self) -> PlaceCounts {
        let [without_body, unanswered, broken_off] = &self.gave_way;
        PlaceCounts {
            refused: self.refused.load(Ordering::Relaxed),
            gave_way_without_body: without_body.load(Ordering::Relaxed),
            gave_way_unanswered: unanswered.load(Ordering::Relaxed),
            broken_off: broken_off.load(Ordering::Relaxed),
        }
    }

    /// A visit that had come so far has given its place to another. `shortage` is asked for the log, once in a while.
    pub(super) fn gave_way(&self, stage: Stage, shortage: impl FnOnce() -> Shortage) {
        let [without_body, unanswered, broken_off] = &self.gave_way;
        let counter = match stage {
            Stage::AwaitsBody => without_body,
            Stage::Unanswered => unanswered,
            Stage::Flows => broken_off,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        // In a statement of its own: a census and a line take their time, and others would wait for the lock.
        let is_news = self
            .lines
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .allow(tokio::time::Instant::now().into_std());
        if is_news {
            let Shortage { what, used, most, holders } = shortage();
            tracing::warn!(
                ?what,
                used,
                most,
                ?holders,
                "places are short; who holds much gives some up to others"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::places::Scarce;

    #[test]
    fn nobody_waits_for_a_census() {
        let (counters, mut asked) = (Counters::default(), false);
        counters.gave_way(Stage::Flows, || {
            asked = counters.lines.try_lock().is_ok();
            Shortage { what: Scarce::Requests, used: 1, most: 1, holders: Vec::new() }
        });
        assert!(asked, "asked for the log, and not under its lock");
    }
}
