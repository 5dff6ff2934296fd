//! The services that an agent offers: their numbers on the wire, what the relay made of them, how they are.

use std::sync::Arc;

use tokio::time::Instant;

use super::run::Runner;
use super::{Meter, ServiceSpec, ServiceView};
use crate::cause::Health;
use crate::limits;
use crate::proto::control::{FromAgent, Grant, GrantRefusal, Offer, Outcome};

/// A service on offer.
pub(super) struct Offered {
    /// Its number on the wire. A service whose target changes gets a new one, so that streams and pooled
    /// connections to the old target are never taken for the new.
    pub(super) number: u16,
    pub(super) spec: Arc<ServiceSpec>,
    pub(super) outcome: Option<Outcome>,
    pub(super) meter: Arc<Meter>,
    /// What the relay was told last.
    told: Health,
    /// When to try the whole way next.
    pub(super) probe_at: Option<Instant>,
}

impl Runner {
    pub(super) fn set_services(&mut self, services: Vec<ServiceSpec>) {
        let mut before = std::mem::take(&mut self.offers);
        for spec in services {
            let kept = before.iter().position(|offered| *offered.spec == spec);
            self.offers.push(match kept {
                Some(position) => before.swap_remove(position),
                None => {
                    self.next_number = self.next_number.wrapping_add(1);
                    Offered {
                        number: self.next_number,
                        spec: Arc::new(spec),
                        outcome: None,
                        meter: Arc::default(),
                        told: Health::Untried,
                        probe_at: None,
                    }
                }
            });
        }
        self.show_services();
    }

    pub(super) fn offer_again(&mut self) {
        let services = self.offers();
        self.send(&FromAgent::Services { services });
    }

    pub(super) fn offers(&mut self) -> Vec<Offer> {
        let offer = |offered: &mut Offered| {
            offered.told = offered.meter.health().0;
            Offer {
                service: offered.number,
                name: offered.spec.name.clone(),
                kind: offered.spec.kind,
                health: offered.told,
                options: offered.spec.options.clone(),
            }
        };
        self.offers.iter_mut().map(offer).collect()
    }

    pub(super) fn on_grants(&mut self, grants: Vec<Grant>) {
        let now = Instant::now();
        for grant in grants {
            let Some(offered) = self.offers.iter_mut().find(|offered| offered.number == grant.service) else {
                continue;
            };
            let registered = matches!(grant.outcome, Outcome::Registered { .. });
            match &grant.outcome {
                Outcome::Registered { url, .. } => {
                    tracing::info!(service = %grant.name, %url, "reachable");
                }
                Outcome::Refused { cause } => {
                    if *cause == GrantRefusal::StoreFailed {
                        self.offer_at = Some(now + limits::OFFER_AGAIN);
                    }
                    tracing::warn!(service = %grant.name, ?cause, "the server did not register the service");
                }
            }
            offered.outcome = Some(grant.outcome);
            offered.probe_at = registered.then_some(now);
        }
        self.show_services();
    }

    pub(super) fn show_services(&self) {
        let services = self.offers.iter().map(|offered| ServiceView {
            spec: Arc::clone(&offered.spec),
            outcome: offered.outcome.clone(),
            meter: Arc::clone(&offered.meter),
        });
        let services = services.collect();
        self.view.send_modify(|view| view.services = services);
    }

    /// Tells the relay, and whoever watches, how the local ends are.
    pub(super) fn tell_health(&mut self) {
        let news: Vec<(u16, Health)> = self
            .offers
            .iter_mut()
            .filter_map(|offered| {
                let health = offered.meter.health().0;
                (health != std::mem::replace(&mut offered.told, health)).then_some((offered.number, health))
            })
            .collect();
        for (service, health) in news {
            self.send(&FromAgent::Health { service, health });
        }
        self.view.send_modify(|_| {});
    }
}
