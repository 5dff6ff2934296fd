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

/// What is known of a service.
#[derive(Debug, Default)]
struct MeterState {
    health: Health,
    /// Since when `health` is what it is.
    since: Option<Instant>,
    last_success: Option<Success>,
    last_failure: Option<(Instant, Hop)>,
    /// The last probe, however it ended.
    last_probe: Option<(Instant, ProbeResult)>,
    /// A visitor got no proper answer from the service, or a check that asked it none, and nobody has got one since.
    suspicion: Option<Suspicion>,
    /// The last suspicion was ended by a check, and no visitor has got an answer since.
    cleared_by_check: bool,
}

/// Why it is doubted that a service answers, though it accepts connections.
#[derive(Clone, Copy, Debug)]
struct Suspicion {
    cause: ServiceCause,
    /// What a check finds counts from then on.
    check_from: Instant,
}

impl MeterState {
    fn fail(&mut self, hop: Hop, now: Instant) {
        let same = self
            .last_failure
            .is_some_and(|(at, before)| before == hop && self.last_success.is_none_or(|good| good.at < at));
        if !same {
            self.last_failure = Some((now, hop));
        }
    }
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

    /// True when it is doubted that the service answers, and a check that asks it would count.
    pub(super) fn is_suspect(&self, now: Instant) -> bool {
        self.known().suspicion.is_some_and(|suspicion| suspicion.check_from <= now)
    }

    /// What is wrong with the answers of a service that accepts connections.
    pub(super) fn suspected(&self) -> Option<ServiceCause> {
        self.known().suspicion.map(|suspicion| suspicion.cause)
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

    /// Something passed every hop. Keeps the first hop's failure only as history.
    ///
    /// A probe that has come back proves what it has done. It has connected to the service: that proves nothing where
    /// the doubt is whether the service answers, so a probe does not count then. What ends the doubt is an answer, a
    /// visitor's or one to a check (`record_check`).
    pub fn record_success(&self, proof: Success) {
        let mut known = self.known();
        match (proof.by, known.suspicion) {
            // What was broken before the service is not any more.
            (SuccessBy::Probe(_), Some(suspicion)) => known.fail(Hop::Service(suspicion.cause), proof.at),
            (SuccessBy::Probe(_), None) => known.last_success = Some(proof),
            (SuccessBy::Visitor, _) => {
                (known.suspicion, known.cleared_by_check) = (None, false);
                known.last_success = Some(proof);
            }
        }
    }

    /// A service was asked, in a probe, whether it answers as it should. That it does ends the doubt, but for a service
    /// that has answered a check before and then no visitor: as in outlier detection, what visitors meet outweighs what
    /// the check finds, for [`limits::SUSPECT_FOR`].
    pub(super) fn record_check(&self, found: Result<(), ServiceCause>, now: Instant) {
        let mut known = self.known();
        let check_from = known.suspicion.map_or(now, |suspicion| suspicion.check_from);
        match found {
            Ok(()) if check_from <= now => {
                known.cleared_by_check |= known.suspicion.take().is_some();
            }
            Ok(()) => {}
            Err(cause) => {
                known.suspicion = Some(Suspicion { cause, check_from });
                known.fail(Hop::Service(cause), now);
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
        let mut known = self.known();
        let check_from = if known.cleared_by_check { now + limits::SUSPECT_FOR } else { now };
        known.suspicion = Some(Suspicion { cause, check_from });
        known.fail(Hop::Service(cause), now);
    }

    /// Another session begins, and with it what fails from now on: what was broken in the one before may be so no longer.
    pub(super) fn begin_session(&self) {
        self.known().last_failure = None;
    }

    /// A probe failed. Keeps the moment of the first failure in a row.
    pub fn record_failure(&self, hop: Hop, now: Instant) {
        self.known().fail(hop, now);
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
    fn what_is_still_broken_in_the_next_session_is_so_from_then_on() {
        let (meter, after) = suspected();
        meter.begin_session();
        assert_eq!(meter.last_failure(), None);
        meter.record_check(Err(ServiceCause::NoAnswer), after(9));
        assert_eq!(meter.last_failure(), Some((after(9), Hop::Service(ServiceCause::NoAnswer))));
    }

    /// A meter of a service of which a visitor got no answer after a second, and the moments after its start.
    fn suspected() -> (Meter, impl Fn(u64) -> Instant) {
        let (meter, start) = (Meter::default(), Instant::now());
        let after = move |seconds| start + Duration::from_secs(seconds);
        meter.record_visit_failure(ServiceCause::NoAnswer, after(1));
        (meter, after)
    }

    #[test]
    fn a_service_that_accepts_and_answers_nobody_stays_broken_however_often_a_probe_connects_to_it() {
        let (meter, after) = suspected();
        let bad = Some((after(1), Hop::Service(ServiceCause::NoAnswer)));
        let long = limits::SUSPECT_FOR.as_secs() * 2;
        for seconds in [2, long] {
            meter.record_probe(ProbeResult::default(), after(seconds));
            assert_eq!(meter.last_failure(), bad, "it was connected to, and not asked");
        }
        meter.record_check(Err(ServiceCause::NoAnswer), after(long));
        meter.record_probe(ProbeResult::default(), after(long));
        assert_eq!(meter.last_failure(), bad, "it was asked, and has not answered");
        meter.record_failure(Hop::Tunnel, after(long));
        meter.record_probe(ProbeResult::default(), after(long + 1));
        let again = Some((after(long + 1), Hop::Service(ServiceCause::NoAnswer)));
        assert_eq!(meter.last_failure(), again, "the tunnel carries again, and the service is what it was");
        meter.record_success(Success { at: after(long + 1), by: SuccessBy::Visitor });
        assert_eq!(meter.last_failure(), None);
    }

    #[test]
    fn an_answer_to_a_check_ends_the_doubt_that_one_bad_visit_has_left() {
        let (meter, after) = suspected();
        assert!(!meter.is_suspect(after(0)) && meter.is_suspect(after(1)));
        meter.record_check(Ok(()), after(2));
        assert!(!meter.is_suspect(after(2)));
        meter.record_probe(ProbeResult::default(), after(2));
        assert_eq!((meter.last_failure(), meter.suspected()), (None, None));
    }

    #[test]
    fn a_check_that_visitors_have_shown_to_be_wrong_does_not_count_for_a_while() {
        let (meter, after) = suspected();
        meter.record_check(Ok(()), after(2));
        meter.record_probe(ProbeResult::default(), after(2));
        meter.record_visit_failure(ServiceCause::NoAnswer, after(3));
        let bad = Some((after(3), Hop::Service(ServiceCause::NoAnswer)));
        let passes = |seconds| {
            meter.record_check(Ok(()), after(seconds));
            meter.record_probe(ProbeResult::default(), after(seconds));
            meter.last_failure()
        };
        assert_eq!(passes(4), bad);
        assert!(!meter.is_suspect(after(4)), "there is no use in asking it");
        assert_eq!(passes(3 + limits::SUSPECT_FOR.as_secs()), None, "in the end the check is all there is");
        // A visitor's answer gives it its weight back.
        meter.record_success(Success { at: after(1000), by: SuccessBy::Visitor });
        meter.record_visit_failure(ServiceCause::NoAnswer, after(1001));
        assert!(passes(1002).is_none());
    }

    #[test]
    fn what_a_check_finds_wrong_is_broken_without_any_visitor() {
        let (meter, now) = (Meter::default(), Instant::now());
        meter.record_check(Err(ServiceCause::NotHttp), now);
        assert_eq!(meter.last_failure(), Some((now, Hop::Service(ServiceCause::NotHttp))));
        assert_eq!(meter.suspected(), Some(ServiceCause::NotHttp));
        meter.record_check(Ok(()), now + Duration::from_secs(1));
        assert_eq!(meter.suspected(), None);
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
