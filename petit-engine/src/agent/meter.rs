//! What an agent knows of one service: is its local end up, when did anything last pass every hop, how much.
//!
//! Visits write it, whoever shows a status reads it; nothing waits for anything here.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use crate::cause::{Health, ServiceCause};
use crate::limits;
use crate::proto::control::{Hop, ProbeResult};

/// A success end to end: something passed every hop to the service and back.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Success {
    /// When it came to an end.
    pub at: Instant,
    /// What it was.
    pub by: SuccessBy,
}

/// What succeeded.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum SuccessBy {
    /// A visitor got an answer from the service.
    Visitor,
    /// A probe from the public front passed every hop.
    Probe(ProbeResult),
}

#[derive(Debug, Default)]
struct MeterState {
    health: Health,
    /// Since when `health` is what it is.
    since: Option<Instant>,
    last_success: Option<Success>,
    last_failure: Option<(Instant, Hop)>,
    /// The last probe, however it ended.
    last_probe: Option<(Instant, ProbeResult)>,
    /// When a visitor last got no proper answer from the service, unless another has got one since.
    suspect_since: Option<Instant>,
}

/// The meter of one service. Shared by its visits.
#[derive(Debug, Default)]
pub struct Meter {
    known: Mutex<MeterState>,
    visits: AtomicU64,
    active: AtomicU64,
    to_service: AtomicU64,
    from_service: AtomicU64,
}

/// What a meter has counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Visits so far.
    pub visits: u64,
    /// Visits going on.
    pub active: u64,
    /// Bytes to the service.
    pub to_service_bytes: u64,
    /// Bytes from the service.
    pub from_service_bytes: u64,
}

impl Meter {
    /// How the local end is, and since when.
    pub fn health(&self) -> (Health, Option<Instant>) {
        let known = self.known();
        (known.health, known.since)
    }

    /// The last success end to end.
    pub fn last_success(&self) -> Option<Success> {
        self.known().last_success
    }

    /// The first broken hop, when the last probe or visit failed and nothing has passed since.
    pub fn last_failure(&self) -> Option<(Instant, Hop)> {
        let known = self.known();
        known.last_failure.filter(|(at, _)| known.last_success.is_none_or(|good| good.at < *at))
    }

    /// The last probe, however far it came, and when.
    pub fn last_probe(&self) -> Option<(Instant, ProbeResult)> {
        self.known().last_probe
    }

    /// What was counted.
    pub fn counts(&self) -> Counts {
        Counts {
            visits: self.visits.load(Ordering::Relaxed),
            active: self.active.load(Ordering::Relaxed),
            to_service_bytes: self.to_service.load(Ordering::Relaxed),
            from_service_bytes: self.from_service.load(Ordering::Relaxed),
        }
    }

    /// Takes note of how the local end was found. True when it has changed.
    pub fn set_health(&self, health: Health, now: Instant) -> bool {
        let mut known = self.known();
        let changed = known.health != health;
        if changed {
            known.health = health;
            known.since = Some(now);
        }
        changed
    }

    /// Something passed every hop. Keeps the first hop's failure only as history. As in outlier detection, a passive
    /// failure overrides the active check: a probe, which asks the service nothing, does not count for
    /// [`limits::SUSPECT_FOR`] after a visitor has got no proper answer.
    pub fn record_success(&self, proof: Success) {
        let mut known = self.known();
        let is_suspect = known
            .suspect_since
            .is_some_and(|since| proof.at.saturating_duration_since(since) < limits::SUSPECT_FOR);
        match proof.by {
            SuccessBy::Probe(_) if is_suspect => {}
            SuccessBy::Probe(_) | SuccessBy::Visitor => {
                known.suspect_since = None;
                known.last_success = Some(proof);
            }
        }
    }

    /// A probe has ended: how far it came is known, and it counts as a success or a failure.
    pub fn record_probe(&self, probe: ProbeResult, now: Instant) {
        self.known().last_probe = Some((now, probe));
        match probe.broken {
            None => self.record_success(Success { at: now, by: SuccessBy::Probe(probe) }),
            Some(hop) => self.record_failure(hop, now),
        }
    }

    /// A visitor got no proper answer from the service.
    pub fn record_visit_failure(&self, cause: ServiceCause, now: Instant) {
        self.known().suspect_since = Some(now);
        self.record_failure(Hop::Service(cause), now);
    }

    /// A probe failed. Keeps the moment of the first failure in a row.
    pub fn record_failure(&self, hop: Hop, now: Instant) {
        let mut known = self.known();
        let same = known
            .last_failure
            .is_some_and(|(at, before)| before == hop && known.last_success.is_none_or(|good| good.at < at));
        if !same {
            known.last_failure = Some((now, hop));
        }
    }

    /// Counts a visit while the guard lives.
    pub fn visit(&self) -> ActiveVisit<'_> {
        self.visits.fetch_add(1, Ordering::Relaxed);
        self.active.fetch_add(1, Ordering::Relaxed);
        ActiveVisit(self)
    }

    /// Counts bytes carried.
    pub fn carried(&self, to_service: u64, from_service: u64) {
        self.to_service.fetch_add(to_service, Ordering::Relaxed);
        self.from_service.fetch_add(from_service, Ordering::Relaxed);
    }

    fn known(&self) -> std::sync::MutexGuard<'_, MeterState> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counts a visit out when it is dropped.
#[derive(Debug)]
pub struct ActiveVisit<'a>(&'a Meter);

impl Drop for ActiveVisit<'_> {
    fn drop(&mut self) {
        self.0.active.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_failure_keeps_its_first_moment_until_something_passes() {
        let meter = Meter::default();
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        meter.record_failure(Hop::Tunnel, after(1));
        meter.record_failure(Hop::Tunnel, after(2));
        assert_eq!(meter.last_failure(), Some((after(1), Hop::Tunnel)));
        meter.record_failure(Hop::Service(ServiceCause::Refused), after(3));
        assert_eq!(meter.last_failure(), Some((after(3), Hop::Service(ServiceCause::Refused))));
        meter.record_success(Success { at: after(4), by: SuccessBy::Visitor });
        assert_eq!(meter.last_failure(), None);
        meter.record_failure(Hop::Tunnel, after(5));
        assert_eq!(meter.last_failure(), Some((after(5), Hop::Tunnel)));
    }

    #[test]
    fn a_probe_does_not_outweigh_a_visitor_who_got_no_answer() {
        let meter = Meter::default();
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let probe = |seconds| Success { at: after(seconds), by: SuccessBy::Probe(ProbeResult::default()) };
        meter.record_success(probe(1));
        meter.record_visit_failure(ServiceCause::NotHttp, after(2));
        meter.record_success(probe(3));
        let bad = Some((after(2), Hop::Service(ServiceCause::NotHttp)));
        assert_eq!(meter.last_failure(), bad);
        meter.record_success(Success { at: after(4), by: SuccessBy::Visitor });
        assert_eq!(meter.last_failure(), None);
        meter.record_visit_failure(ServiceCause::NoAnswer, after(5));
        meter.record_success(probe(5 + limits::SUSPECT_FOR.as_secs()));
        assert_eq!(meter.last_failure(), None, "in the end the probe is all there is");
    }

    #[test]
    fn how_far_the_last_probe_came_is_known() {
        let meter = Meter::default();
        let now = Instant::now();
        assert_eq!(meter.last_probe(), None);
        let far = ProbeResult { front_us: Some(1), broken: Some(Hop::Tunnel), ..ProbeResult::default() };
        meter.record_probe(far, now);
        assert_eq!((meter.last_probe(), meter.last_failure()), (Some((now, far)), Some((now, Hop::Tunnel))));
        meter.record_probe(ProbeResult::default(), now + Duration::from_secs(1));
        assert!(meter.last_success().is_some() && meter.last_failure().is_none());
    }

    #[test]
    fn health_is_news_only_when_it_changes() {
        let meter = Meter::default();
        let now = Instant::now();
        assert!(meter.set_health(Health::Up, now));
        assert!(!meter.set_health(Health::Up, now + Duration::from_secs(9)));
        assert_eq!(meter.health(), (Health::Up, Some(now)));
    }

    #[test]
    fn visits_are_counted_in_and_out() {
        let meter = Meter::default();
        let visit = meter.visit();
        assert_eq!((meter.counts().visits, meter.counts().active), (1, 1));
        drop(visit);
        assert_eq!((meter.counts().visits, meter.counts().active), (1, 0));
    }
}
