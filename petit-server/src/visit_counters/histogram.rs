//! Durations, counted by how long they are.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The upper end of each bucket, in seconds: from what a proxy on the same machine adds to what a slow service takes. The
/// last one takes all the rest.
const ENDS: [f64; 15] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0, f64::INFINITY];

/// Counts durations. Several threads may do so at once; whoever reads meanwhile sees each count as it was at some moment.
#[derive(Debug, Default)]
pub(crate) struct Histogram {
    buckets: [AtomicU64; ENDS.len()],
    micros: AtomicU64,
}

/// What was counted.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Counted {
    /// In seconds.
    pub(crate) sum: f64,
    pub(crate) count: u64,
    /// The end of each bucket, and how many there are in it alone.
    pub(crate) buckets: Vec<(f64, u64)>,
}

impl Histogram {
    pub(crate) fn observe(&self, took: Duration) {
        let seconds = took.as_secs_f64();
        let bucket = ENDS.iter().position(|end| seconds <= *end).unwrap_or(ENDS.len() - 1);
        if let Some(bucket) = self.buckets.get(bucket) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
        self.micros.fetch_add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    pub(crate) fn counted(&self) -> Counted {
        let count = |bucket: &AtomicU64| bucket.load(Ordering::Relaxed);
        let buckets: Vec<(f64, u64)> = ENDS.into_iter().zip(self.buckets.iter().map(count)).collect();
        Counted {
            sum: Duration::from_micros(self.micros.load(Ordering::Relaxed)).as_secs_f64(),
            count: buckets.iter().map(|(_, count)| count).sum(),
            buckets,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_counted_in_the_bucket_whose_end_it_does_not_pass() {
        let histogram = Histogram::default();
        for millis in [1, 2, 10, 60_000, 3_600_000] {
            histogram.observe(Duration::from_millis(millis));
        }
        let Counted { sum, count, buckets } = histogram.counted();
        assert_eq!((sum, count), (3660.013, 5));
        let full: Vec<f64> = buckets.iter().filter(|(_, count)| *count == 1).map(|(end, _)| *end).collect();
        assert_eq!(full, [0.001, 0.0025, 0.01, 60.0, f64::INFINITY]);
    }
}
