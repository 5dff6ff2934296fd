//! The services that an agent offers: their numbers on the wire, what the relay made of them, how they are.

use std::sync::Arc;

use tokio::time::Instant;

use super::local::ServiceSpec;
use super::meter::Meter;
use super::view::ServiceNames;
use super::withdrawal::Offering;
use crate::cause::Health;
use crate::limits;
use crate::proto::control::{Admits, GrantOutcome, GrantRefusal, HEALTHS, Text, has_feature};
use crate::proto::rate::Rate;

/// A service on offer.
pub(super) struct Offered {
    /// Its number on the wire. A service whose target changes gets a new one, so that streams and pooled
    /// connections to the old target are never taken for the new.
    pub(super) number: u16,
    pub(super) spec: Arc<ServiceSpec>,
    pub(super) outcome: Option<GrantOutcome>,
    /// What the relay has called it last, also in an earlier session.
    pub(super) names: Option<ServiceNames>,
    /// Who can come in, as the relay says in this session.
    pub(super) admits: Option<Admits>,
    pub(super) meter: Arc<Meter>,
    /// Its visits end with this.
    pub(super) offering: Arc<Offering>,
    /// What the relay was told last.
    pub(super) announced: Health,
    /// How it was when that was looked at for the log.
    pub(super) seen: Health,
    /// When to try the whole way next.
    pub(super) probe_at: Option<Instant>,
}

impl Offered {
    /// True when `spec` is the same place, and the same are trusted to be it.
    pub(super) fn has_target_of(&self, spec: &ServiceSpec) -> bool {
        let ServiceSpec { name, kind, target, options: _, tls } = &*self.spec;
        (name, kind, target, tls) == (&spec.name, &spec.kind, &spec.target, &spec.tls)
    }

    /// Notes what the relay has made of the offer. True when it has changed.
    pub(super) fn set_outcome(&mut self, outcome: GrantOutcome) -> bool {
        let has_changed = match (&outcome, &self.outcome, &self.names) {
            (
                GrantOutcome::Registered { url, .. },
                None | Some(GrantOutcome::Registered { .. }),
                Some(names),
            ) => names.url != *url,
            (outcome, Some(before), _) => outcome != before,
            (_, None, _) => true,
        };
        match &outcome {
            GrantOutcome::Registered { id, url, aliases } => {
                let (id, url, aliases) = (*id, url.clone(), aliases.clone());
                self.names = Some(ServiceNames { id, url, aliases });
            }
            GrantOutcome::Refused { cause: GrantRefusal::TooMany | GrantRefusal::NoPort } => {
                self.names = None;
            }
            GrantOutcome::Refused { cause: GrantRefusal::StoreFailed | GrantRefusal::PortBusy } => {}
        }
        self.outcome = Some(outcome);
        has_changed
    }
}

/// How a relay is told of changed healths.
pub(super) struct Telling {
    /// All in one message.
    pub(super) together: bool,
    pub(super) rate: Rate,
    /// When there is more to tell.
    pub(super) again_at: Option<Instant>,
}

impl Telling {
    /// In a session with these features.
    pub(super) fn to(features: &[Text<32>]) -> Self {
        let together = has_feature(features, HEALTHS);
        let rate = if together {
            Rate::new(limits::HEALTHS_PER_SECOND, limits::HEALTHS_PER_SECOND)
        } else {
            Rate::new(limits::SINGLE_HEALTHS_PER_SECOND, limits::SINGLE_HEALTHS_AT_ONCE)
        };
        Self { together, rate, again_at: None }
    }
}

impl Default for Telling {
    fn default() -> Self {
        Self::to(&[])
    }
}
