//! May this visit come in?

use std::fmt;
use std::net::IpAddr;
use std::time::SystemTime;

use hyper::HeaderMap;
use hyper::header::{HeaderName, HeaderValue};
use petit_engine::name::{VisitorKeyId, VisitorKeyName};

use super::{Enforcement, LimitedPer, PolicyLimits, Principal, RefusalReason, ServicePolicy, VisitorKey};
use crate::networks::network;

/// Carries a visitor's key. It is taken out before the service, as all `petit-*` fields are.
const PETIT_KEY: HeaderName = HeaderName::from_static("petit-key");

/// What is known of a visit that asks to come in.
#[derive(Clone, Copy, Debug)]
pub struct PolicyRequest<'a> {
    /// The visitor's, behind proxies that are trusted.
    pub address: IpAddr,
    /// What is shown.
    pub key: PresentedKey<'a>,
    /// The body has so many bytes at least.
    pub body_bytes: u64,
    /// Whether a secret that was replaced is still good depends on it.
    pub now: SystemTime,
}

/// What a visit shows as its key.
#[derive(Clone, Copy)]
pub enum PresentedKey<'a> {
    /// It could, and does not.
    Absent,
    /// The text of the field.
    Text(&'a [u8]),
    /// The field stands there more than once.
    Ambiguous,
    /// The holder of the key with this name, as an operator supposes who asks what would become of a visit.
    Supposed(&'a VisitorKeyName),
    /// It speaks raw TCP, which has no room for one. The address is enough there.
    Impossible,
}

impl fmt::Debug for PresentedKey<'_> {
    /// Without what was shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Absent => "Absent",
            Self::Text(_) => "Text(…)",
            Self::Ambiguous => "Ambiguous",
            Self::Supposed(_) => "Supposed",
            Self::Impossible => "Impossible",
        })
    }
}

impl<'a> PresentedKey<'a> {
    /// What a request shows.
    pub fn of(headers: &'a HeaderMap<HeaderValue>) -> Self {
        let mut fields = headers.get_all(&PETIT_KEY).iter();
        match (fields.next(), fields.next()) {
            (None, _) => Self::Absent,
            (Some(only), None) => Self::Text(only.as_bytes()),
            (Some(_), Some(_)) => Self::Ambiguous,
        }
    }
}

/// A step of a decision, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// Where it comes from.
    Address,
    /// How much comes from there.
    AddressLimits,
    /// The key that it shows.
    Key,
    /// How much comes with that key, or to the service.
    KeyLimits,
    /// How long its body is known to be.
    Body,
}

impl Step {
    /// All of them, in their order.
    pub const ALL: [Self; 5] = [Self::Address, Self::AddressLimits, Self::Key, Self::KeyLimits, Self::Body];
}

/// What came of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The policy asks for nothing of the kind.
    NotAsked,
    /// It is kept.
    Kept,
    /// It is not.
    Broken(RefusalReason),
}

impl Verdict {
    fn of(result: Result<(), RefusalReason>) -> Self {
        result.map_or_else(Self::Broken, |()| Self::Kept)
    }
}

/// Whom a visit counts for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counted {
    /// All visitors of the service.
    Service,
    /// A visitor's network: an IPv4 address or an IPv6 /64.
    Address(IpAddr),
    /// Whoever holds a key.
    Key(VisitorKeyId),
}

/// Which limit has no room for a visit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitReached {
    /// Of how often.
    Rate,
    /// Of how many at the same time.
    Concurrent,
}

impl From<LimitReached> for RefusalReason {
    fn from(limit: LimitReached) -> Self {
        match limit {
            LimitReached::Rate => Self::Rate,
            LimitReached::Concurrent => Self::Concurrent,
        }
    }
}

/// Counts the visits of one service.
pub trait Meter {
    /// Takes a visit into account.
    ///
    /// # Errors
    /// [`LimitReached`], and it is not, where that would be more than `limits` allow.
    fn take(&mut self, counted: Counted, limits: &PolicyLimits) -> Result<(), LimitReached>;

    /// Whether a visit would be within `limits`. Nothing is counted.
    ///
    /// # Errors
    /// As [`Self::take`].
    fn look(&self, counted: Counted, limits: &PolicyLimits) -> Result<(), LimitReached>;

    /// A visit is under way whatever the limits: they may be set, or be others, while it is.
    fn hold(&mut self, counted: Counted);
}

/// Counts nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unlimited;

impl Meter for Unlimited {
    fn take(&mut self, _: Counted, _: &PolicyLimits) -> Result<(), LimitReached> {
        Ok(())
    }

    fn look(&self, _: Counted, _: &PolicyLimits) -> Result<(), LimitReached> {
        Ok(())
    }

    fn hold(&mut self, _: Counted) {}
}

/// What was decided of a visit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Who it is.
    pub principal: Principal,
    /// The first thing that it does not keep.
    pub broken: Option<RefusalReason>,
}

impl ServicePolicy {
    /// Decides whether a visit may come in, step by step; `see` is told of each.
    ///
    /// Where the policy is enforced the first step that is not kept is the last one; what comes behind it is neither
    /// looked at nor counted. Where it only counts, all steps are looked at, and what comes behind the first that is not
    /// kept takes nothing from a limit: it would not have come so far.
    pub fn decide(
        &self,
        request: &PolicyRequest<'_>,
        meter: &mut impl Meter,
        mut see: impl FnMut(Step, Verdict),
    ) -> Decision {
        let mut decision = Decision { principal: Principal::Anonymous, broken: None };
        let mut key = None;
        for step in Step::ALL {
            let mut limits = Limits { of: self, meter, is_kept: decision.broken.is_none() };
            let verdict = match step {
                Step::Address => self.address(request),
                Step::AddressLimits => {
                    limits.ask(Counted::Address(network(request.address)), LimitedPer::Visitor)
                }
                Step::Key => {
                    let (verdict, found) = self.key(request);
                    decision.principal =
                        found.map(|key| key.name.clone()).map_or_else(Principal::default, Principal::Key);
                    key = found.map(|key| key.id);
                    verdict
                }
                Step::KeyLimits => {
                    let of_service = limits.ask(Counted::Service, LimitedPer::Service);
                    let of_key = key.map(|key| limits.ask(Counted::Key(key), LimitedPer::Visitor));
                    match self.limits.per {
                        LimitedPer::Service => of_service,
                        LimitedPer::Visitor => of_key.unwrap_or(Verdict::NotAsked),
                    }
                }
                Step::Body => self.body(request),
            };
            see(step, verdict);
            if let Verdict::Broken(reason) = verdict {
                decision.broken.get_or_insert(reason);
                if self.enforcement == Enforcement::Enforce {
                    break;
                }
            }
        }
        decision
    }

    fn address(&self, request: &PolicyRequest<'_>) -> Verdict {
        let Some(from) = &self.from else { return Verdict::NotAsked };
        let is_listed = from.contains(request.address);
        Verdict::of(if is_listed { Ok(()) } else { Err(RefusalReason::Address) })
    }

    fn key(&self, request: &PolicyRequest<'_>) -> (Verdict, Option<&VisitorKey>) {
        let Some(keys) = &self.keys else { return (Verdict::NotAsked, None) };
        let found = match request.key {
            PresentedKey::Impossible if self.chooses_addresses() => return (Verdict::NotAsked, None),
            PresentedKey::Absent | PresentedKey::Impossible => Err(RefusalReason::KeyMissing),
            PresentedKey::Ambiguous => Err(RefusalReason::KeyRefused),
            PresentedKey::Text(text) => keys.holder(text, request.now).ok_or(RefusalReason::KeyRefused),
            PresentedKey::Supposed(name) => keys.named(name).ok_or(RefusalReason::KeyRefused),
        };
        match found {
            Ok(key) => (Verdict::Kept, Some(key)),
            Err(reason) => (Verdict::Broken(reason), None),
        }
    }

    fn body(&self, request: &PolicyRequest<'_>) -> Verdict {
        let Some(most) = self.limits.max_body else { return Verdict::NotAsked };
        Verdict::of(if request.body_bytes <= most { Ok(()) } else { Err(RefusalReason::Body) })
    }
}

/// The limits of a policy, of one visit.
struct Limits<'a, M> {
    of: &'a ServicePolicy,
    meter: &'a mut M,
    /// Whether all has been kept so far.
    is_kept: bool,
}

impl<M: Meter> Limits<'_, M> {
    /// Asks whether one visit more is within them, if they hold for each of `per`, and takes it into account.
    fn ask(&mut self, counted: Counted, per: LimitedPer) -> Verdict {
        let limits = &self.of.limits;
        if limits.per != per || (limits.rate.is_none() && limits.concurrent.is_none()) {
            self.meter.hold(counted);
            return Verdict::NotAsked;
        }
        let result =
            if self.is_kept { self.meter.take(counted, limits) } else { self.meter.look(counted, limits) };
        if self.of.enforcement == Enforcement::CountOnly && (!self.is_kept || result.is_err()) {
            self.meter.hold(counted); // it passes all the same
        }
        Verdict::of(result.map_err(RefusalReason::from))
    }
}
