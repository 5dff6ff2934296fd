//! The registry of live sessions: which device has which. Nothing in here waits.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};
use std::time::{Instant, SystemTime};

use petit_engine::cause::Health;
use petit_engine::limits;
use petit_engine::mux::{Mux, Stats};
use petit_engine::name::{DeviceId, RegisteredId, ServiceName};
use petit_engine::proto::control::{BUSY_PORT, FRONTS, MOVE, ServiceKind, Text, Vitae, has_feature};
use petit_engine::proto::control::{FromRelay, GrantRefusal, Message, Offer, Options, Refusal};
use petit_engine::proto::rate::Rate;
use petit_engine::secret::PublicKey;
use tokio::sync::{Notify, Semaphore};
use tokio_util::sync::CancellationToken;

use super::Route;
use super::front_probe::FrontsTold;
use super::ingress::StreamPool;
use super::naming::Naming;
use super::places::Rooms;
use super::telling::LastGrants;

/// One agent's connection.
pub(crate) struct Session {
    pub(super) device: DeviceId,
    pub(super) key: PublicKey,
    pub(super) instance: Text<32>,
    /// It understands [`FromRelay::Move`].
    pub(super) moves: bool,
    /// It understands [`GrantRefusal::PortBusy`].
    knows_busy_ports: bool,
    pub(super) mux: Mux,
    /// Where it lives.
    pub(super) shard: usize,
    pub(super) pool: StreamPool,
    /// Room for probes that this session asks for.
    pub(super) probe_permits: Arc<Semaphore>,
    /// What its device is called.
    pub(super) naming: Naming,
    /// Cancelled when the agent leaves.
    leaving: CancellationToken,
    served: RwLock<HashMap<RegisteredId, Arc<Served>>>,
    /// What the agent was told last of its services.
    pub(super) last_grants: Mutex<LastGrants>,
    /// Rung when there is more to tell later.
    pub(super) more_to_tell: Notify,
    /// What it was told last of the public fronts; `None`: it does not understand that.
    fronts: Option<Mutex<Option<FrontsTold>>>,
    peer: SocketAddr,
    since: SystemTime,
    software: Text<64>,
    vitae: Vitae,
}

/// Where a session comes from, and the shard in which it lives.
#[derive(Clone, Copy, Debug)]
pub(super) struct SessionPlace {
    pub(super) peer: SocketAddr,
    pub(super) shard: usize,
}

/// A service that a session serves.
#[derive(Debug)]
pub(super) struct Served {
    /// The agent's number for it.
    pub(super) number: u16,
    pub(super) name: ServiceName,
    pub(super) kind: ServiceKind,
    health: Mutex<Health>,
    pub(super) options: Options,
    pub(super) url: String,
    pub(super) rooms: Rooms,
    /// So that a service that is down does not fill the log.
    failures: Mutex<Rate>,
}

impl Served {
    pub(super) fn new(offer: &Offer, url: String, rooms: Rooms) -> Self {
        Self {
            number: offer.service,
            name: offer.name.clone(),
            kind: offer.kind,
            health: Mutex::new(offer.health),
            options: offer.options.clone(),
            url,
            rooms,
            failures: Mutex::new(Rate::new(1, limits::FAILURES_LOGGED)),
        }
    }

    /// Takes one of the log lines that failed requests may have; false when there is none left.
    pub(super) fn take_failure_log_permit(&self) -> bool {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner).allow(Instant::now())
    }

    fn health(&self) -> Health {
        *self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What others may know of a session.
#[derive(Clone, Debug)]
pub struct SessionView {
    pub device: DeviceId,
    pub peer: SocketAddr,
    pub since: SystemTime,
    /// Program and version.
    pub software: Text<64>,
    /// What the customer's config says.
    pub vitae: Vitae,
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
    /// Requests that it was sent, or connections, WebSockets not counted, while anybody of it was here.
    pub visits: u64,
}

impl Session {
    pub(super) fn new(
        device: DeviceId,
        key: PublicKey,
        mux: Mux,
        at: SessionPlace,
        hello: &petit_engine::proto::control::Hello,
    ) -> Self {
        Self {
            device,
            key,
            instance: hello.instance.clone(),
            moves: has_feature(&hello.features, MOVE),
            knows_busy_ports: has_feature(&hello.features, BUSY_PORT),
            mux,
            shard: at.shard,
            pool: StreamPool::default(),
            probe_permits: Arc::new(Semaphore::new(limits::PROBES_AT_ONCE)),
            naming: Naming::default(),
            leaving: CancellationToken::new(),
            served: RwLock::default(),
            last_grants: Mutex::default(),
            more_to_tell: Notify::new(),
            fronts: has_feature(&hello.features, FRONTS).then(Mutex::default),
            peer: at.peer,
            since: SystemTime::now(),
            software: hello.software.clone(),
            vitae: hello.vitae.clone(),
        }
    }

    /// Where it comes from.
    pub(super) fn peer(&self) -> SocketAddr {
        self.peer
    }

    fn served(&self) -> RwLockReadGuard<'_, HashMap<RegisteredId, Arc<Served>>> {
        self.served.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// A service that it serves now.
    pub(super) fn serves(&self, id: &RegisteredId) -> Option<Arc<Served>> {
        self.served().get(id).map(Arc::clone)
    }

    /// A refusal in words that the agent knows.
    pub(super) fn understandable(&self, refusal: GrantRefusal) -> GrantRefusal {
        match refusal {
            GrantRefusal::PortBusy if !self.knows_busy_ports => GrantRefusal::StoreFailed,
            other => other,
        }
    }

    /// The service that has a number.
    pub(super) fn by_number(&self, number: u16) -> Option<(RegisteredId, Arc<Served>)> {
        let served = self.served();
        served
            .iter()
            .find(|(_, served)| served.number == number)
            .map(|(id, served)| (*id, Arc::clone(served)))
    }

    pub(super) fn set_served(&self, services: HashMap<RegisteredId, Arc<Served>>) {
        let numbers: Vec<u16> = services.values().map(|served| served.number).collect();
        *self.served.write().unwrap_or_else(PoisonError::into_inner) = services;
        // Idle connections to a target that is no longer offered must not be used again.
        self.pool.keep(&numbers);
    }

    /// What the agent was told last of the public fronts; `None` for one that does not understand that.
    pub(super) fn fronts_told(&self) -> Option<MutexGuard<'_, Option<FrontsTold>>> {
        self.fronts.as_ref().map(|told| told.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn set_health(&self, number: u16, health: Health) {
        if let Some(served) = self.served().values().find(|served| served.number == number) {
            *served.health.lock().unwrap_or_else(PoisonError::into_inner) = health;
        }
    }

    /// The agent takes no more streams, and ends those that it has within [`limits::DRAIN`].
    pub(super) fn agent_leaves(&self) {
        self.pool.close();
        self.leaving.cancel();
    }

    /// Waits until WebSockets and event streams are told to go because the agent leaves; for ever while it stays.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(super) fn goodbye(&self) -> impl Future<Output = ()> + Send + use<> {
        let leaves = self.leaving.clone().cancelled_owned();
        async move {
            leaves.await;
            tokio::time::sleep(limits::CLIENT_GOODBYE).await;
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
        let served = self.served();
        let services = served.iter().map(|(id, served)| ServedView {
            id: *id,
            name: served.name.clone(),
            kind: served.kind,
            health: served.health(),
            url: served.url.clone(),
            visits: served.rooms.visits.visits(),
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

/// Whether a service can be reached through its client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// Its client is not connected.
    Away,
    /// Its client is connected and does not offer it.
    NotOffered,
    /// It is offered; how it is, as its client says.
    Offered(Health),
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

    /// The newest session that serves a route and takes streams, with the service.
    pub(super) fn find(&self, route: &Route) -> Option<(Arc<Session>, Arc<Served>)> {
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
        match self.find(route) {
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
