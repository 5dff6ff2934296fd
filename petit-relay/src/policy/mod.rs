//! What the operator asks of visitors before a request goes down a tunnel: where it comes from, which key it shows, how
//! often and how much. Pure: no socket, no clock; who counts visits is a [`Meter`].
//!
//! [`ServicePolicy::decide`] is the only place that decides. Ingress, raw TCP and `explain` call it, so `explain` says
//! what a visitor gets. Its steps have one fixed order: address, limits of the address, key, limits of the key, body.
//!
//! A [`Route`](crate::Route) carries the policy of its service, or `None`: open to anybody who knows the name. Whoever
//! implements [`Names`](crate::Names) makes each policy once, when it changes, and hands out clones of its `Arc`:
//!
//! ```
//! use std::sync::Arc;
//! use petit_relay::policy::{AddressList, KeySecret, PolicyLimits, ServicePolicy, VisitorKey, VisitorKeys};
//!
//! let (id, secret) = ("abcdefgh".parse().unwrap(), KeySecret::random().unwrap());
//! let key = VisitorKey { id, name: "billing".parse().unwrap(), hash: secret.hash(), previous: None };
//! // Shown once, and never kept: what visitors send as `Petit-Key`.
//! let _shown = secret.shown(id);
//! let mut policy = ServicePolicy::open("cloud".parse().unwrap());
//! policy.from = Some(AddressList::parse(["203.0.113.0/24", "2001:db8::1"]).unwrap());
//! policy.keys = Some(Arc::new(VisitorKeys::new([key])));
//! policy.limits = PolicyLimits { max_body: Some(1 << 20), ..PolicyLimits::default() };
//! let for_the_routes = Arc::new(policy);
//! # drop(for_the_routes);
//! ```
//!
//! A list that is there and empty lets nobody in. A key that is revoked is left out of its policies' [`VisitorKeys`].

mod decision;
mod enforcement;
mod from;
mod key;
mod refusals;
#[cfg(test)]
mod tests;
mod usage;

use std::num::NonZeroU32;
use std::sync::Arc;

use petit_engine::name::{PolicyName, VisitorKeyName};

pub use self::decision::{
    Counted, Decision, LimitReached, Meter, PolicyRequest, PresentedKey, Step, Unlimited, Verdict,
};
pub use self::enforcement::Enforcement;
pub use self::from::{AddressList, InvalidAddress};
pub use self::key::{KeyHash, KeySecret, PreviousSecret, VisitorKey, VisitorKeys};
pub use self::refusals::{RefusalCounters, RefusalReason, Refusals};
pub(crate) use self::usage::{Held, PolicyUsage};

/// What is asked of the visitors of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServicePolicy {
    /// What the operator calls it.
    pub name: PolicyName,
    /// Whether those are refused who do not keep it.
    pub enforcement: Enforcement,
    /// Where visitors have to come from; `None`: from anywhere.
    pub from: Option<AddressList>,
    /// The keys of which one has to be shown; `None`: nobody is asked.
    pub keys: Option<Arc<VisitorKeys>>,
    /// How often, how many at the same time, and how much.
    pub limits: PolicyLimits,
    /// What it has come to.
    pub counters: Arc<RefusalCounters>,
}

/// How much of a service its visitors may have. What is `None` has no limit of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PolicyLimits {
    /// Whom `rate` and `concurrent` hold for.
    pub per: LimitedPer,
    /// Visits in a second.
    pub rate: Option<RateLimit>,
    /// Visits under way at the same time: requests, WebSockets and raw TCP connections.
    pub concurrent: Option<NonZeroU32>,
    /// Bytes of a request's body.
    pub max_body: Option<u64>,
}

/// Whom a limit holds for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LimitedPer {
    /// Each address (an IPv4 address or an IPv6 /64), looked at before the key, and each key, wherever it is shown.
    #[default]
    Visitor,
    /// All visitors of the service together, once they have shown their key.
    Service,
}

/// How often something may happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// In the long run.
    pub per_second: NonZeroU32,
    /// At once.
    pub burst: NonZeroU32,
}

/// Who a visitor is, as far as is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Principal {
    /// Nobody was asked, or has said.
    #[default]
    Anonymous,
    /// The holder of this key.
    Key(VisitorKeyName),
}

impl Principal {
    /// The name of the key.
    pub fn key(&self) -> Option<&VisitorKeyName> {
        match self {
            Self::Anonymous => None,
            Self::Key(name) => Some(name),
        }
    }
}

impl ServicePolicy {
    /// One that asks for nothing yet.
    pub fn open(name: PolicyName) -> Self {
        Self {
            name,
            enforcement: Enforcement::Enforce,
            from: None,
            keys: None,
            limits: PolicyLimits::default(),
            counters: Arc::default(),
        }
    }

    /// True when it lets in only who shows a key, or comes from an address, that the operator has chosen. Limits of
    /// whatever kind choose nobody, and neither does a policy that only counts.
    pub fn admits_only_chosen(&self) -> bool {
        self.enforcement == Enforcement::Enforce && (self.keys.is_some() || self.chooses_addresses())
    }

    /// True when raw TCP cannot keep it: it asks for a key, which only HTTP carries, and for no address. The ports of
    /// such services are not listened on, unless the policy only counts.
    pub fn shuts_tcp(&self) -> bool {
        self.enforcement == Enforcement::Enforce && self.keys.is_some() && !self.chooses_addresses()
    }

    fn chooses_addresses(&self) -> bool {
        self.from.as_ref().is_some_and(|from| !from.is_everybody())
    }

    /// The most bytes that the body of a request may have, where this is enforced.
    pub(crate) fn enforced_body(&self) -> Option<u64> {
        self.limits.max_body.filter(|_| self.enforcement == Enforcement::Enforce)
    }

    /// The number of bytes beyond which a body is counted as too long, and passes.
    pub(crate) fn counted_body(&self) -> Option<u64> {
        self.limits.max_body.filter(|_| self.enforcement == Enforcement::CountOnly)
    }
}
