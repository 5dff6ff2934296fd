//! The step of a visit at which the policy of its service is asked, of HTTP and raw TCP alike.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use hyper::Request;
use hyper::body::Body;
use petit_engine::name::{RegisteredId, VisitorKeyName};
use petit_engine::proto::RequestId;
use petit_engine::proto::rate::Rate;

use super::failure::Failure;
use super::networks::network;
use super::policy::{
    Counted, Decision, Enforcement, Held, Meter, PolicyRequest, PolicyUsage, PresentedKey, Principal,
    RefusalReason, ServicePolicy, Step, Verdict,
};
use super::route::Route;
use super::visit::{Visit, VisitRecorder};

/// What the policies of all services have come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PolicyCounts {
    /// Visits that were refused.
    pub refused: u64,
    /// Visits that a policy would have refused which only counts.
    pub counted: u64,
}

/// What a visit shows to a policy.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shown<'a> {
    key: PresentedKey<'a>,
    /// So many of its body are known to come.
    body_bytes: u64,
}

impl<'a> Shown<'a> {
    /// A connection of raw TCP shows nothing.
    pub(super) const BY_TCP: Self = Self { key: PresentedKey::Impossible, body_bytes: 0 };

    /// What a request shows.
    pub(super) fn by<B: Body>(request: &'a Request<B>) -> Self {
        Self { key: PresentedKey::of(request.headers()), body_bytes: request.body().size_hint().lower() }
    }
}

/// What a relay keeps of policies: what is used of their limits, and what they have come to.
#[derive(Debug)]
pub(super) struct Policing {
    usage: PolicyUsage,
    refused: AtomicU64,
    counted: AtomicU64,
    /// So that a policy which only counts does not fill the log.
    lines: Mutex<Rate>,
}

impl Default for Policing {
    fn default() -> Self {
        let lines = Mutex::new(Rate::new(1, 1));
        Self { usage: PolicyUsage::default(), refused: AtomicU64::new(0), counted: AtomicU64::new(0), lines }
    }
}

impl Policing {
    /// What they have come to.
    pub(super) fn counts(&self) -> PolicyCounts {
        let [refused, counted] = [&self.refused, &self.counted].map(|count| count.load(Ordering::Relaxed));
        PolicyCounts { refused, counted }
    }

    /// Asks the policy of a visit's service.
    ///
    /// # Errors
    /// What the visitor is told whom it refuses.
    pub(super) fn ask(
        &self,
        visit: &Visit,
        policy: &Arc<ServicePolicy>,
        shown: Shown<'_>,
    ) -> Result<Arc<Policed>, Failure> {
        self.ask_behind(visit, policy, shown, Before::default())
    }

    /// As [`Policing::ask`], of a visit that another policy has let in.
    ///
    /// # Errors
    /// Those of [`Policing::ask`].
    pub(super) fn ask_anew(
        &self,
        visit: &Visit,
        policy: &Arc<ServicePolicy>,
        shown: Shown<'_>,
        let_in: Arc<Policed>,
    ) -> Result<Arc<Policed>, Failure> {
        let before = let_in.before(policy);
        drop(let_in); // it is not under way twice
        self.ask_behind(visit, policy, shown, before)
    }

    fn ask_behind(
        &self,
        visit: &Visit,
        policy: &Arc<ServicePolicy>,
        Shown { key, body_bytes }: Shown<'_>,
        before: Before,
    ) -> Result<Arc<Policed>, Failure> {
        let now = SystemTime::now();
        let request = PolicyRequest { address: visit.visitor.ip(), key, body_bytes, now };
        let mut meter = if before.has_taken {
            self.usage.meter_again(visit.route.id, policy.enforcement)
        } else {
            self.usage.meter(visit.route.id, policy.enforcement)
        };
        let decision = policy.decide(&request, &mut meter, |_, _| {});
        if let Some(key) = decision.principal.key() {
            visit.recorder.set_principal(key);
        }
        if let Some(reason) = decision.broken {
            match policy.enforcement {
                Enforcement::Enforce => {
                    let failure = reason.failure();
                    self.refuse(policy, reason);
                    tracing::debug!(policy = %policy.name, code = failure.code(), "refused by the service's policy");
                    return Err(failure);
                }
                Enforcement::CountOnly => {
                    meter.held.refused();
                    if before.broken.is_none() {
                        self.count(&Passing::of(visit, policy), reason);
                    }
                }
            }
        }
        let Decision { principal, broken } = decision;
        let (policy, broken) = (Some(Arc::clone(policy)), before.broken.or(broken));
        Ok(Arc::new(Policed { policy, principal, broken, _held: meter.held }))
    }

    /// A visit that may last, of a service that has no policy yet: it counts as under way when there is one.
    pub(super) fn unasked(&self, visit: &Visit) -> Arc<Policed> {
        let mut meter = self.usage.meter(visit.route.id, Enforcement::Enforce);
        meter.hold(Counted::Address(network(visit.visitor.ip())));
        meter.hold(Counted::Service);
        Arc::new(Policed { policy: None, principal: Principal::Anonymous, broken: None, _held: meter.held })
    }

    /// Takes note of a visit that a policy refuses.
    pub(super) fn refuse(&self, policy: &ServicePolicy, reason: RefusalReason) {
        self.refused.fetch_add(1, Ordering::Relaxed);
        policy.counters.add(Enforcement::Enforce, reason);
    }

    /// Counts what comes of a body, where a policy would like to know and nobody knows yet that it is too long.
    /// `known_bytes`: so many are known to come.
    pub(super) fn body_count(
        self: &Arc<Self>,
        visit: &Visit,
        policed: &Policed,
        known_bytes: u64,
    ) -> Option<Box<BodyCount>> {
        // One visit is counted once.
        let policy = policed.policy.as_ref().filter(|_| policed.broken.is_none())?;
        let left = policy.counted_body().filter(|most| known_bytes <= *most)?;
        let passing = Some((Arc::clone(self), Passing::of(visit, policy)));
        Some(Box::new(BodyCount { left, passing }))
    }

    /// Whoever reads a body of unknown length tells it when that is longer than the policy of its service allows.
    /// `known_bytes`: it has so many at most, where it says so.
    pub(super) fn enforced_body(
        self: &Arc<Self>,
        policed: &Policed,
        known_bytes: Option<u64>,
    ) -> Option<EnforcedBody> {
        let policy = policed.policy.as_ref()?;
        let most = policy.enforced_body()?;
        let may_be_longer = known_bytes.is_none_or(|bytes| bytes > most);
        may_be_longer.then(|| EnforcedBody { most, policing: Arc::clone(self), policy: Arc::clone(policy) })
    }

    /// What each step of a route's policy would say to a visit now. Nothing is counted.
    pub(super) fn preview(&self, route: &Route, request: &PolicyRequest<'_>) -> Vec<(Step, Verdict)> {
        let mut steps = Vec::new();
        if let Some(policy) = &route.policy {
            let mut meter = self.usage.preview(route.id, policy.enforcement);
            policy.decide(request, &mut meter, |step, verdict| steps.push((step, verdict)));
        }
        steps
    }

    /// Takes note of a visit that passes only because its policy refuses nobody.
    fn count(&self, passing: &Passing, reason: RefusalReason) {
        let counted = self.counted.fetch_add(1, Ordering::Relaxed) + 1;
        let Passing { id, visitor, service, policy, recorder } = passing;
        let failure = reason.failure();
        policy.counters.add(Enforcement::CountOnly, reason);
        recorder.would_refuse(failure);
        let is_news = self
            .lines
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .allow(tokio::time::Instant::now().into_std());
        let (policy, code) = (&policy.name, failure.code());
        if is_news {
            tracing::info!(%policy, %service, %visitor, code, counted, request = %id, "a policy that only counts would have refused this");
        } else {
            tracing::debug!(%policy, code, counted, "a policy that only counts would have refused this");
        }
    }
}

/// A visit of a service whose policy only counts, as far as it is told of.
struct Passing {
    id: RequestId,
    visitor: IpAddr,
    service: RegisteredId,
    policy: Arc<ServicePolicy>,
    recorder: VisitRecorder,
}

impl Passing {
    fn of(visit: &Visit, policy: &Arc<ServicePolicy>) -> Self {
        Self {
            id: visit.id,
            visitor: visit.visitor.ip(),
            service: visit.route.id,
            policy: Arc::clone(policy),
            recorder: visit.recorder.clone(),
        }
    }
}

/// The policy that a body is held to whose length is not known beforehand.
pub(super) struct EnforcedBody {
    most: u64,
    policing: Arc<Policing>,
    policy: Arc<ServicePolicy>,
}

impl EnforcedBody {
    /// More has come than `most` bytes, which is what the body was held to.
    pub(super) fn was_too_long(&self, most: u64) {
        // The service itself may take less than its policy.
        if most == self.most {
            self.policing.refuse(&self.policy, RefusalReason::Body);
        }
    }
}

/// Watches over the length of a body that may be as long as it likes, because its policy only counts.
pub(super) struct BodyCount {
    left: u64,
    /// Whose body it is, until it was counted.
    passing: Option<(Arc<Policing>, Passing)>,
}

impl BodyCount {
    /// So many bytes more have come.
    pub(super) fn add(&mut self, bytes: usize) {
        match self.left.checked_sub(bytes as u64) {
            Some(left) => self.left = left,
            None => {
                if let Some((policing, passing)) = self.passing.take() {
                    policing.count(&passing, RefusalReason::Body);
                }
            }
        }
    }
}

/// What a visit has had of the policy that was in force before.
#[derive(Clone, Copy, Debug, Default)]
struct Before {
    /// Its share of the same rate.
    has_taken: bool,
    /// What it did not keep: it is counted among those that a policy would have refused which only counts.
    broken: Option<RefusalReason>,
}

/// A visit that its policy has let in, or that had none to ask. It counts as under way until this is dropped.
#[derive(Debug)]
pub(super) struct Policed {
    /// `None`: there was none to ask.
    policy: Option<Arc<ServicePolicy>>,
    principal: Principal,
    /// What it does not keep, of a policy that only counts.
    broken: Option<RefusalReason>,
    _held: Held,
}

impl Policed {
    /// What it has had already, for another policy of its service.
    fn before(&self, policy: &ServicePolicy) -> Before {
        let has_same_rate = |before: &Arc<ServicePolicy>| {
            (before.limits.rate, before.limits.per) == (policy.limits.rate, policy.limits.per)
        };
        let has_taken = self.broken.is_none() && self.policy.as_ref().is_some_and(has_same_rate);
        Before { has_taken, broken: self.broken }
    }

    /// The policy that has let it in.
    pub(super) fn policy(&self) -> Option<&Arc<ServicePolicy>> {
        self.policy.as_ref()
    }

    /// The key that was shown.
    pub(super) fn key(&self) -> Option<&VisitorKeyName> {
        self.principal.key()
    }
}
