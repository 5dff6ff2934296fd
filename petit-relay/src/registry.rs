//! The registry of live sessions: which device has which. Nothing in here waits.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use petit_engine::cause::Health;
use petit_engine::limits;
use petit_engine::name::DeviceId;
use petit_engine::proto::control::{Refusal, Text};

use super::Route;
use super::failure::Failure;
use super::session::{Served, Session, SessionView};
use super::upstream::Upstream;

/// Whether a service can be reached through its client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// The operator keeps its client out.
    Suspended,
    /// Its client is not connected.
    Away,
    /// Its client is connected and does not offer it.
    NotOffered,
    /// It is offered; how it is, as its client says.
    Offered(Health),
}

impl Presence {
    /// What a visitor is told of a service that cannot be reached through its client; `None` when it can.
    pub fn failure(self) -> Option<Failure> {
        match self {
            Self::Suspended => Some(Failure::Suspended),
            Self::Away => Some(Failure::Away),
            Self::NotOffered => Some(Failure::NotOffered),
            Self::Offered(_) => None,
        }
    }
}

/// Parts of the registry, each behind a lock of its own. A look at all sessions holds up a fraction of the others.
const PARTS: usize = 64;

/// All live sessions by device; the newest last. No lock is held while a session is asked something.
pub(crate) struct Registry {
    first: Mutex<Devices>,
    /// One less than there are parts.
    others: Vec<Mutex<Devices>>,
}

type Devices = HashMap<DeviceId, Vec<Arc<Session>>>;

impl Default for Registry {
    fn default() -> Self {
        let others = std::iter::repeat_with(Mutex::default).take(PARTS - 1).collect();
        Self { first: Mutex::default(), others }
    }
}

/// Takes a session out of the registry when it is dropped.
pub(super) struct Entry<'a> {
    registry: &'a Registry,
    session: Arc<Session>,
}

/// The part of all that a device belongs to. IDs are random.
fn part_of(device: &DeviceId) -> usize {
    let mut bytes = device.as_str().bytes();
    let mut next = || bytes.next().map_or(0, usize::from);
    (next() * 31 + next()) % PARTS
}

impl Registry {
    /// The part that holds a device's sessions.
    fn part(&self, device: &DeviceId) -> MutexGuard<'_, Devices> {
        let part = self.others.get(part_of(device)).unwrap_or(&self.first);
        part.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a session in. Sessions of another process with the same key are stale (half-open), or copies of the key:
    /// the newer one takes over at once. Those of the same process are being left and finish their streams, unless
    /// the process says that it has none any more (`only`).
    pub(super) fn insert(&self, session: Arc<Session>, only: bool) -> Entry<'_> {
        let mut part = self.part(&session.device);
        let sessions = part.entry(session.device).or_default();
        let older = sessions.clone();
        sessions.push(Arc::clone(&session));
        drop(part);
        let surplus = (older.len() + 1).saturating_sub(limits::MAX_SESSIONS_PER_DEVICE);
        for (place, older) in older.iter().enumerate() {
            if older.instance != session.instance {
                older.refuse(Refusal::InUseElsewhere);
            } else if only || place < surplus {
                older.mux.close();
            }
        }
        Entry { registry: self, session }
    }

    /// The way to the service of a route: by the newest session that serves it and takes streams.
    pub(super) fn find(&self, route: &Route) -> Option<Upstream> {
        self.newest(route).map(|(session, served)| Upstream::new(session, served))
    }

    /// The newest session that serves a route and takes streams, with the service.
    pub(super) fn newest(&self, route: &Route) -> Option<(Arc<Session>, Arc<Served>)> {
        if route.is_suspended {
            return None; // its session may take a moment to end
        }
        let serves = |session: Arc<Session>| {
            let served = session.serves(&route.id)?;
            session.mux.takes_streams().then_some((session, served))
        };
        // Nearly always it is the newest of all.
        let newest = self.part(&route.device).get(&route.device)?.last().map(Arc::clone);
        newest.and_then(serves).or_else(|| self.of(&route.device).into_iter().rev().find_map(serves))
    }

    /// Whether a service can be reached.
    pub(super) fn presence(&self, route: &Route) -> Presence {
        if route.is_suspended {
            return Presence::Suspended;
        }
        match self.newest(route) {
            Some((_, served)) => Presence::Offered(served.health()),
            None if self.is_online(&route.device) => Presence::NotOffered,
            None => Presence::Away,
        }
    }

    /// True when a device has any session that takes streams.
    pub(super) fn is_online(&self, device: &DeviceId) -> bool {
        self.of(device).iter().any(|session| session.mux.takes_streams())
    }

    /// True when a device has a session of another process.
    pub(super) fn has_others(&self, device: &DeviceId, instance: &Text<32>) -> bool {
        let part = self.part(device);
        part.get(device).into_iter().flatten().any(|session| session.instance != *instance)
    }

    /// The sessions of a device, the newest last.
    pub(super) fn of(&self, device: &DeviceId) -> Vec<Arc<Session>> {
        self.part(device).get(device).cloned().unwrap_or_default()
    }

    /// All parts, one after the other.
    fn parts(&self) -> impl Iterator<Item = MutexGuard<'_, Devices>> {
        let all = std::iter::once(&self.first).chain(&self.others);
        all.map(|part| part.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// All sessions.
    pub(super) fn sessions(&self) -> Vec<Arc<Session>> {
        let mut sessions = Vec::new();
        for part in self.parts() {
            sessions.extend(part.values().flatten().map(Arc::clone));
        }
        sessions
    }

    /// The devices that have a session.
    pub(super) fn devices_online(&self) -> Vec<DeviceId> {
        let mut devices = Vec::new();
        for part in self.parts() {
            devices.extend(part.keys().copied());
        }
        devices
    }

    pub(super) fn views(&self) -> Vec<SessionView> {
        self.sessions().iter().map(|session| session.view()).collect()
    }

    /// The newest session of a device.
    pub(super) fn view_of(&self, device: &DeviceId) -> Option<SessionView> {
        let newest = self.part(device).get(device)?.last().map(Arc::clone);
        newest.map(|session| session.view())
    }
}

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        let mut part = self.registry.part(&self.session.device);
        if let Some(sessions) = part.get_mut(&self.session.device) {
            sessions.retain(|session| !Arc::ptr_eq(session, &self.session));
            if sessions.is_empty() {
                part.remove(&self.session.device);
            }
        }
    }
}

#[cfg(test)]
mod tests;
