//! What an agent knows of one service: is its local end up, when did anything last pass all the way, how much.
//!
//! Visits write it, whoever shows a status reads it; nothing waits for anything here.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use crate::cause::{Health, ServiceCause};
use crate::limits;
use crate::proto::control::{Hop, Trial};

/// The last thing that proved, or disproved, the whole way to a service.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Proof {
    /// When it came to an end.
    pub at: Instant,
    /// What it was.
    pub by: ProvedBy,
}

/// What a proof was.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ProvedBy {
    /// A visitor got an answer from the service.
    Visitor,
    /// A trial from the public front passed every hop.
    Trial(Trial),
}

#[derive(Debug, Default)]
struct Known {
    health: Health,
    /// Since when `health` is what it is.
    since: Option<Instant>,
    good: Option<Proof>,
    bad: Option<(Instant, Hop)>,
    /// The last trial, however it ended.
    trial: Option<(Instant, Trial)>,
    /// When a visitor last got no proper answer from the service, unless another has got one since.
    doubt: Option<Instant>,
}

/// The meter of one service. Shared by its visits.
#[derive(Debug, Default)]
pub struct Meter {
    known: Mutex<Known>,
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

    /// The last proof that the whole way works.
    pub fn good(&self) -> Option<Proof> {
        self.known().good
    }

    /// The first broken hop, when the last trial failed and nothing has passed since.
    pub fn bad(&self) -> Option<(Instant, Hop)> {
        let known = self.known();
        known.bad.filter(|(at, _)| known.good.is_none_or(|good| good.at < *at))
    }

    /// The last trial, however far it came, and when.
    pub fn last_trial(&self) -> Option<(Instant, Trial)> {
        self.known().trial
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

    /// Takes note of how the local end was found. True when that is news.
    pub fn set_health(&self, health: Health, now: Instant) -> bool {
        let mut known = self.known();
        let news = known.health != health;
        if news {
            known.health = health;
            known.since = Some(now);
        }
        news
    }

    /// Something passed the whole way. Keeps the first hop's failure only as history. A trial, which asks the
    /// service nothing, does not outweigh a visitor's failure of a moment ago.
    pub fn proved(&self, proof: Proof) {
        let mut known = self.known();
        let doubted =
            known.doubt.is_some_and(|since| proof.at.saturating_duration_since(since) < limits::DOUBT);
        match proof.by {
            ProvedBy::Trial(_) if doubted => {}
            ProvedBy::Trial(_) | ProvedBy::Visitor => {
                known.doubt = None;
                known.good = Some(proof);
            }
        }
    }

    /// A trial has ended: how far it came is known, and it proves or disproves the whole way.
    pub fn tried(&self, trial: Trial, now: Instant) {
        self.known().trial = Some((now, trial));
        match trial.broken {
            None => self.proved(Proof { at: now, by: ProvedBy::Trial(trial) }),
            Some(hop) => self.failed(hop, now),
        }
    }

    /// A visitor got no proper answer from the service.
    pub fn visit_failed(&self, cause: ServiceCause, now: Instant) {
        self.known().doubt = Some(now);
        self.failed(Hop::Service(cause), now);
    }

    /// A trial failed. Keeps the moment of the first failure in a row.
    pub fn failed(&self, hop: Hop, now: Instant) {
        let mut known = self.known();
        let same =
            known.bad.is_some_and(|(at, before)| before == hop && known.good.is_none_or(|good| good.at < at));
        if !same {
            known.bad = Some((now, hop));
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

    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
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
        meter.failed(Hop::Tunnel, after(1));
        meter.failed(Hop::Tunnel, after(2));
        assert_eq!(meter.bad(), Some((after(1), Hop::Tunnel)));
        meter.failed(Hop::Service(ServiceCause::Refused), after(3));
        assert_eq!(meter.bad(), Some((after(3), Hop::Service(ServiceCause::Refused))));
        meter.proved(Proof { at: after(4), by: ProvedBy::Visitor });
        assert_eq!(meter.bad(), None);
        meter.failed(Hop::Tunnel, after(5));
        assert_eq!(meter.bad(), Some((after(5), Hop::Tunnel)));
    }

    #[test]
    fn a_trial_does_not_outweigh_a_visitor_who_got_no_answer() {
        let meter = Meter::default();
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let trial = |seconds| Proof { at: after(seconds), by: ProvedBy::Trial(Trial::default()) };
        meter.proved(trial(1));
        meter.visit_failed(ServiceCause::NotHttp, after(2));
        meter.proved(trial(3));
        let bad = Some((after(2), Hop::Service(ServiceCause::NotHttp)));
        assert_eq!(meter.bad(), bad);
        meter.proved(Proof { at: after(4), by: ProvedBy::Visitor });
        assert_eq!(meter.bad(), None);
        meter.visit_failed(ServiceCause::NoAnswer, after(5));
        meter.proved(trial(5 + limits::DOUBT.as_secs()));
        assert_eq!(meter.bad(), None, "in the end the trial is all there is");
    }

    #[test]
    fn how_far_the_last_trial_came_is_known() {
        let meter = Meter::default();
        let now = Instant::now();
        assert_eq!(meter.last_trial(), None);
        let far = Trial { front_us: Some(1), broken: Some(Hop::Tunnel), ..Trial::default() };
        meter.tried(far, now);
        assert_eq!((meter.last_trial(), meter.bad()), (Some((now, far)), Some((now, Hop::Tunnel))));
        meter.tried(Trial::default(), now + Duration::from_secs(1));
        assert!(meter.good().is_some() && meter.bad().is_none());
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
