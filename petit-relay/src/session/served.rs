//! A service that a session serves.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use petit_engine::cause::Health;
use petit_engine::limits;
use petit_engine::name::{RegisteredId, ServiceName};
use petit_engine::proto::control::{Admits, Offer, Options, ServiceKind};
use petit_engine::proto::rate::Rate;

use crate::places::Rooms;

/// A service that a session serves.
#[derive(Debug)]
pub(crate) struct Served {
    /// The agent's number for it.
    pub(crate) number: u16,
    pub(crate) name: ServiceName,
    pub(crate) kind: ServiceKind,
    health: Mutex<Health>,
    pub(crate) options: Options,
    pub(crate) url: String,
    pub(crate) rooms: Rooms,
    /// So that a service that is down does not fill the log.
    failures: Mutex<Rate>,
    /// Who can come in, as the agent was told last.
    admits_told: Mutex<Option<Admits>>,
}

impl Served {
    pub(crate) fn new(offer: &Offer, url: String, rooms: Rooms) -> Self {
        Self {
            number: offer.service,
            name: offer.name.clone(),
            kind: offer.kind,
            health: Mutex::new(offer.health),
            options: offer.options.clone(),
            url,
            rooms,
            failures: Mutex::new(Rate::new(1, limits::FAILURES_LOGGED)),
            admits_told: Mutex::default(),
        }
    }

    /// Takes one of the log lines that failed requests may have; false when there is none left.
    pub(crate) fn take_failure_log_permit(&self) -> bool {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner).allow(Instant::now())
    }

    pub(super) fn set_health(&self, health: Health) {
        *self.health.lock().unwrap_or_else(PoisonError::into_inner) = health;
    }

    /// Takes note of what the agent is told of who can come in; false when it knows.
    pub(crate) fn set_admits_told(&self, admits: Admits) -> bool {
        let mut told = self.admits_told.lock().unwrap_or_else(PoisonError::into_inner);
        told.replace(admits) != Some(admits)
    }

    /// How its local end is, as the agent says.
    pub(crate) fn health(&self) -> Health {
        *self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What others may know of a service that is served.
#[derive(Clone, Debug)]
pub struct ServedView {
    /// Its registered ID.
    pub id: RegisteredId,
    /// Its name at the device.
    pub name: ServiceName,
    /// What it speaks.
    pub kind: ServiceKind,
    /// How its local end is, as the agent says.
    pub health: Health,
    /// Its public address.
    pub url: String,
    /// Requests that it was sent, or connections, WebSockets not counted, while anybody of it was here.
    pub visits: u64,
}
