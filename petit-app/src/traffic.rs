//! Two minutes of traffic in two-second samples, from counters that are read now and then.
//!
//! While the window is open they are read every two seconds; otherwise whenever a status happens to come. What was
//! counted between two readings is spread evenly over the time between them.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use petit_client::status::Status;

use super::contract::{Sample, Traffic};

/// The time of one sample.
pub(crate) const SAMPLE: Duration = Duration::from_secs(2);
/// Samples kept.
const SAMPLES: usize = 60;

/// Collects samples.
#[derive(Debug)]
pub(crate) struct Collector {
    begin: Instant,
    /// The slot, counted from `begin`, that the last entry of `samples` stands for.
    slot: u64,
    samples: VecDeque<Sample>,
    last: Option<(u64, Sample)>,
    active: u64,
}

impl Collector {
    /// An empty one.
    pub(crate) fn new(now: Instant) -> Self {
        Self { begin: now, slot: 0, samples: VecDeque::from([Sample::default()]), last: None, active: 0 }
    }

    /// Takes note of the counters of a status.
    pub(crate) fn read(&mut self, status: &Status, now: Instant) {
        let sum =
            |count: fn(&petit_client::status::ServiceStatus) -> u64| status.services.iter().map(count).sum();
        let totals = Sample {
            visits: sum(|service| service.visits),
            to_service_bytes: sum(|service| service.to_service_bytes),
            from_service_bytes: sum(|service| service.from_service_bytes),
        };
        self.active = sum(|service| service.active);
        self.move_to(now);
        if let Some((slot, before)) = self.last {
            // Counters of a client that was restarted begin anew.
            let grown = Sample {
                visits: totals.visits.saturating_sub(before.visits),
                to_service_bytes: totals.to_service_bytes.saturating_sub(before.to_service_bytes),
                from_service_bytes: totals.from_service_bytes.saturating_sub(before.from_service_bytes),
            };
            self.spread(grown, slot);
        }
        self.last = Some((self.slot, totals));
    }

    /// What is counted from here on belongs to another client.
    pub(crate) fn forget(&mut self) {
        self.last = None;
        self.active = 0;
    }

    /// The samples up to now.
    pub(crate) fn traffic(&mut self, now: Instant) -> Traffic {
        self.move_to(now);
        Traffic { active: self.active, samples: self.samples.iter().copied().collect() }
    }

    fn move_to(&mut self, now: Instant) {
        let since = now.saturating_duration_since(self.begin);
        let slot = u64::try_from(since.as_millis() / SAMPLE.as_millis()).unwrap_or(u64::MAX);
        let new = slot.saturating_sub(self.slot).min(SAMPLES as u64);
        for _ in 0..new {
            self.samples.push_back(Sample::default());
        }
        let surplus = self.samples.len().saturating_sub(SAMPLES);
        self.samples.drain(..surplus);
        self.slot = self.slot.max(slot);
    }

    /// Spreads what was counted over the slots after `from`, up to the present one.
    fn spread(&mut self, grown: Sample, from: u64) {
        let slots = self.slot.saturating_sub(from).clamp(1, SAMPLES as u64);
        let part = |total: u64, nth: u64| total * (nth + 1) / slots - total * nth / slots;
        for (nth, sample) in (0..slots).zip(self.samples.iter_mut().rev()) {
            sample.visits += part(grown.visits, nth);
            sample.to_service_bytes += part(grown.to_service_bytes, nth);
            sample.from_service_bytes += part(grown.from_service_bytes, nth);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{online, service};

    fn status(visits: u64, bytes: u64) -> Status {
        let mut service = service("web");
        service.visits = visits;
        service.from_service_bytes = bytes;
        online(vec![service])
    }

    #[test]
    fn what_was_counted_is_spread_and_nothing_is_lost() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut collector = Collector::new(start);
        collector.read(&status(10, 1000), at(0));
        assert_eq!(collector.traffic(at(0)).samples, [Sample::default()], "what was before is not ours");
        collector.read(&status(13, 1700), at(6));
        let samples = collector.traffic(at(6)).samples;
        assert_eq!(samples.len(), 4);
        assert_eq!(samples.iter().map(|sample| sample.visits).collect::<Vec<_>>(), [0, 1, 1, 1]);
        assert_eq!(samples.iter().map(|sample| sample.from_service_bytes).sum::<u64>(), 700);
    }

    #[test]
    fn two_minutes_are_kept_and_a_restarted_client_counts_from_nothing() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut collector = Collector::new(start);
        collector.read(&status(100, 0), at(0));
        collector.read(&status(160, 0), at(600));
        let traffic = collector.traffic(at(600));
        assert_eq!(traffic.samples.len(), 60);
        assert_eq!(traffic.samples.iter().map(|sample| sample.visits).sum::<u64>(), 60);
        collector.read(&status(2, 0), at(602));
        assert_eq!(collector.traffic(at(602)).samples.last().unwrap().visits, 0);
        assert_eq!(collector.traffic(at(9000)).samples.iter().map(|sample| sample.visits).sum::<u64>(), 0);
    }
}
