//! Which device has which live session. Nothing in here waits.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::SystemTime;

use super::Route;
use super::ingress::Pool;
use crate::cause::Health;
use crate::limits;
use crate::mux::{Mux, Stats};
use crate::name::{DeviceId, RegisteredId, ServiceName};
use crate::proto::control::{FromRelay, Message, Refusal, ServiceKind, Text, Vitae};
use crate::secret::PublicKey;

/// One agent's connection.
pub(crate) struct Session {
    pub(super) device: DeviceId,
    pub(super) key: PublicKey,
    pub(super) instance: Text<32>,
    pub(super) mux: Mux,
    pub(super) pool: Pool,
    served: RwLock<HashMap<RegisteredId, Served>>,
    peer: SocketAddr,
    since: SystemTime,
    software: Text<64>,
    vitae: Vitae,
}

/// A service that a session serves.
#[derive(Clone, Debug)]
pub(super) struct Served {
    /// The agent's number for it.
    pub(super) number: u16,
    pub(super) name: ServiceName,
    pub(super) kind: ServiceKind,
    pub(super) health: Health,
    pub(super) url: String,
}

/// What others may know of a session.
#[derive(Clone, Debug)]
pub struct SessionView {
    /// Whose.
    pub device: DeviceId,
    /// From where.
    pub peer: SocketAddr,
    /// Since when.
    pub since: SystemTime,
    /// Program and version.
    pub software: Text<64>,
    /// What the customer's config says.
    pub vitae: Vitae,
    /// Counters.
    pub stats: Stats,
    /// The shortest round trip.
    pub round_trip: Option<std::time::Duration>,
    /// False while one side is leaving.
    pub takes_streams: bool,
    /// What it serves.
    pub services: Vec<ServedView>,
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
}

impl Session {
    pub(super) fn new(
        device: DeviceId,
        key: PublicKey,
        mux: Mux,
        peer: SocketAddr,
        hello: &crate::proto::control::Hello,
    ) -> Self {
        Self {
            device,
            key,
            instance: hello.instance.clone(),
            mux,
            pool: Pool::default(),
            served: RwLock::default(),
            peer,
            since: SystemTime::now(),
            software: hello.software.clone(),
            vitae: hello.vitae.clone(),
        }
    }

    /// The agent's number for a service that it serves now.
    pub(super) fn serves(&self, id: &RegisteredId) -> Option<u16> {
        self.served.read().unwrap_or_else(PoisonError::into_inner).get(id).map(|served| served.number)
    }

    /// The service that has a number.
    pub(super) fn by_number(&self, number: u16) -> Option<(RegisteredId, Served)> {
        let served = self.served.read().unwrap_or_else(PoisonError::into_inner);
        served.iter().find(|(_, served)| served.number == number).map(|(id, served)| (*id, served.clone()))
    }

    pub(super) fn set_served(&self, services: HashMap<RegisteredId, Served>) {
        let numbers: Vec<u16> = services.values().map(|served| served.number).collect();
        *self.served.write().unwrap_or_else(PoisonError::into_inner) = services;
        // Idle connections to a target that is no longer offered must not be used again.
        self.pool.keep(&numbers);
    }

    pub(super) fn set_health(&self, number: u16, health: Health) {
        let mut served = self.served.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(served) = served.values_mut().find(|served| served.number == number) {
            served.health = health;
        }
    }

    /// Tells the agent why, and closes.
    pub(super) fn refuse(&self, refusal: Refusal) {
        self.send(&FromRelay::Refused { refusal });
        self.mux.close();
    }

    pub(super) fn send(&self, message: &FromRelay) {
        match message.encode() {
            Ok(payload) => drop(self.mux.send_control(&payload)),
            Err(error) => tracing::error!(%error, "a message to an agent was not sent"),
        }
    }

    fn view(&self) -> SessionView {
        let served = self.served.read().unwrap_or_else(PoisonError::into_inner);
        let services = served.iter().map(|(id, served)| ServedView {
            id: *id,
            name: served.name.clone(),
            kind: served.kind,
            health: served.health,
            url: served.url.clone(),
        });
        SessionView {
            device: self.device,
            peer: self.peer,
            since: self.since,
            software: self.software.clone(),
            vitae: self.vitae.clone(),
            stats: self.mux.stats(),
            round_trip: self.mux.round_trip(),
            takes_streams: self.mux.takes_streams(),
            services: services.collect(),
        }
    }
}

/// All live sessions by device; the newest last.
#[derive(Default)]
pub(crate) struct Registry {
    devices: Mutex<HashMap<DeviceId, Vec<Arc<Session>>>>,
}

/// Takes a session out of the registry when it is dropped.
pub(super) struct Entry<'a> {
    registry: &'a Registry,
    session: Arc<Session>,
}

impl Registry {
    fn devices(&self) -> MutexGuard<'_, HashMap<DeviceId, Vec<Arc<Session>>>> {
        self.devices.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a session in. Sessions of another process with the same key are ghosts, or copies of the key: the
    /// newer one takes over at once. Those of the same process are being left and finish their streams.
    pub(super) fn insert(&self, session: Arc<Session>) -> Entry<'_> {
        let mut devices = self.devices();
        let sessions = devices.entry(session.device).or_default();
        for older in sessions.iter().filter(|older| older.instance != session.instance) {
            older.refuse(Refusal::InUseElsewhere);
        }
        let surplus = (sessions.len() + 1).saturating_sub(limits::MAX_SESSIONS_PER_DEVICE);
        for oldest in sessions.iter().take(surplus) {
            oldest.mux.close();
        }
        sessions.push(Arc::clone(&session));
        Entry { registry: self, session }
    }

    /// The newest session that serves a route and takes streams, with the agent's number for the service.
    pub(super) fn find(&self, route: &Route) -> Option<(Arc<Session>, u16)> {
        let devices = self.devices();
        devices.get(&route.device)?.iter().rev().find_map(|session| {
            let number = session.serves(&route.id)?;
            session.mux.takes_streams().then(|| (Arc::clone(session), number))
        })
    }

    /// True when a device has any session that takes streams.
    pub(super) fn is_online(&self, device: &DeviceId) -> bool {
        let devices = self.devices();
        devices.get(device).is_some_and(|sessions| sessions.iter().any(|session| session.mux.takes_streams()))
    }

    /// Sessions of a device that belong to another process.
    pub(super) fn others(&self, device: &DeviceId, instance: &Text<32>) -> Vec<Arc<Session>> {
        let devices = self.devices();
        let sessions = devices.get(device).into_iter().flatten();
        sessions.filter(|session| session.instance != *instance).map(Arc::clone).collect()
    }

    /// All sessions.
    pub(super) fn sessions(&self) -> Vec<Arc<Session>> {
        self.devices().values().flatten().map(Arc::clone).collect()
    }

    pub(super) fn views(&self) -> Vec<SessionView> {
        self.sessions().iter().map(|session| session.view()).collect()
    }
}

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        let mut devices = self.registry.devices();
        if let Some(sessions) = devices.get_mut(&self.session.device) {
            sessions.retain(|session| !Arc::ptr_eq(session, &self.session));
            if sessions.is_empty() {
                devices.remove(&self.session.device);
            }
        }
    }
}
