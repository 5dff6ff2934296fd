//! Which device has which live session. Nothing in here waits.

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};
use std::time::{Instant, SystemTime};

use tokio::sync::{Notify, Semaphore};

use super::Route;
use super::ingress::Pool;
use super::places::Rooms;
use super::telling::Told;
use crate::cause::Health;
use crate::limits;
use crate::mux::{Mux, Stats};
use crate::name::{DeviceId, RegisteredId, ServiceName};
use crate::proto::control::{FromRelay, Message, Offer, Options, Refusal};
use crate::proto::control::{MOVE, ServiceKind, Text, Vitae, has_feature};
use crate::proto::rate::Rate;
use crate::secret::PublicKey;

/// One agent's connection.
pub(crate) struct Session {
    pub(super) device: DeviceId,
    pub(super) key: PublicKey,
    pub(super) instance: Text<32>,
    /// It understands [`FromRelay::Move`].
    pub(super) moves: bool,
    pub(super) mux: Mux,
    /// Where it lives.
    pub(super) shard: usize,
    pub(super) pool: Pool,
    /// Room for trials that this session asks for.
    pub(super) trials: Arc<Semaphore>,
    served: RwLock<HashMap<RegisteredId, Arc<Served>>>,
    /// What the agent was told last of its services.
    pub(super) told: Mutex<Told>,
    /// Rung when there is more to tell later.
    pub(super) more_to_tell: Notify,
    peer: SocketAddr,
    since: SystemTime,
    software: Text<64>,
    vitae: Vitae,
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

    /// True when a further failed request is worth a line in the log.
    pub(super) fn is_failure_news(&self) -> bool {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner).allow(Instant::now())
    }

    fn health(&self) -> Health {
        *self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }
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
    /// Requests that it was sent, or connections, WebSockets not counted, while anybody of it was here.
    pub visits: u64,
}

impl Session {
    pub(super) fn new(
        device: DeviceId,
        key: PublicKey,
        mux: Mux,
        (peer, shard): (SocketAddr, usize),
        hello: &crate::proto::control::Hello,
    ) -> Self {
        Self {
            device,
            key,
            instance: hello.instance.clone(),
            moves: has_feature(&hello.features, MOVE),
            mux,
            shard,
            pool: Pool::default(),
            trials: Arc::new(Semaphore::new(limits::TRIALS)),
            served: RwLock::default(),
            told: Mutex::default(),
            more_to_tell: Notify::new(),
            peer,
            since: SystemTime::now(),
            software: hello.software.clone(),
            vitae: hello.vitae.clone(),
        }
    }

    fn served(&self) -> RwLockReadGuard<'_, HashMap<RegisteredId, Arc<Served>>> {
        self.served.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// A service that it serves now.
    pub(super) fn serves(&self, id: &RegisteredId) -> Option<Arc<Served>> {
        self.served().get(id).map(Arc::clone)
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

    pub(super) fn set_health(&self, number: u16, health: Health) {
        if let Some(served) = self.served().values().find(|served| served.number == number) {
            *served.health.lock().unwrap_or_else(PoisonError::into_inner) = health;
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

/// All live sessions by device; the newest last.
#[derive(Default)]
pub(crate) struct Registry {
    devices: Mutex<HashMap<DeviceId, Vec<Arc<Session>>>>,
    habits: Mutex<HashMap<DeviceId, Habits>>,
}

/// How often a device logs in, and how often one computer takes its identity from another.
struct Habits {
    logins: Rate,
    /// When a live session of another process was replaced, and from where.
    takeovers: VecDeque<(Instant, IpAddr)>,
    last: Instant,
}

impl Habits {
    fn new(now: Instant) -> Self {
        let logins = Rate::new(limits::LOGINS_PER_SECOND, limits::LOGINS_AT_ONCE);
        Self { logins, takeovers: VecDeque::new(), last: now }
    }

    /// Takes note of a takeover. True when there have been so many, from more than one address, that two
    /// computers must be fighting over one key.
    fn takes_over(&mut self, from: IpAddr, now: Instant) -> bool {
        self.takeovers.push_back((now, from));
        while self.takeovers.front().is_some_and(|(at, _)| now.duration_since(*at) > limits::TAKEOVERS_WITHIN)
        {
            self.takeovers.pop_front();
        }
        let elsewhere = self.takeovers.iter().any(|(_, address)| *address != from);
        self.takeovers.len() > limits::TAKEOVERS && elsewhere
    }
}

/// One key fought over by two computers.
#[derive(Debug)]
pub(super) struct Cloned;

/// Takes a session out of the registry when it is dropped.
pub(super) struct Entry<'a> {
    registry: &'a Registry,
    session: Arc<Session>,
}

impl Registry {
    fn devices(&self) -> MutexGuard<'_, HashMap<DeviceId, Vec<Arc<Session>>>> {
        self.devices.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn habits(&self) -> MutexGuard<'_, HashMap<DeviceId, Habits>> {
        self.habits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// True when a device has not logged in too often of late.
    pub(super) fn may_log_in(&self, device: &DeviceId) -> bool {
        let now = Instant::now();
        let mut habits = self.habits();
        // Whoever has been quiet for a while is forgotten, so that the table does not outgrow the sessions.
        if habits.len() > limits::ADDRESSES && !habits.contains_key(device) {
            habits.retain(|_, habits| now.duration_since(habits.last) <= limits::TAKEOVERS_WITHIN);
        }
        let habits = habits.entry(*device).or_insert_with(|| Habits::new(now));
        habits.last = now;
        habits.logins.allow(now)
    }

    /// Takes note of a session that is about to take the place of another process with the same key.
    ///
    /// # Errors
    /// [`Cloned`] when this has happened too often: then nothing is to be taken over.
    pub(super) fn may_take_over(&self, session: &Session) -> Result<(), Cloned> {
        if self.others(&session.device, &session.instance).is_empty() {
            return Ok(());
        }
        let now = Instant::now();
        let mut habits = self.habits();
        let habits = habits.entry(session.device).or_insert_with(|| Habits::new(now));
        if habits.takes_over(session.peer.ip(), now) { Err(Cloned) } else { Ok(()) }
    }

    /// Puts a session in. Sessions of another process with the same key are ghosts, or copies of the key: the
    /// newer one takes over at once. Those of the same process are being left and finish their streams, unless
    /// the process says that it has none any more (`only`).
    pub(super) fn insert(&self, session: Arc<Session>, only: bool) -> Entry<'_> {
        let mut devices = self.devices();
        let sessions = devices.entry(session.device).or_default();
        let is_other = |older: &&Arc<Session>| older.instance != session.instance;
        for older in sessions.iter().filter(is_other) {
            older.refuse(Refusal::InUseElsewhere);
        }
        for dead in sessions.iter().filter(|older| only && !is_other(older)) {
            dead.mux.close();
        }
        let surplus = (sessions.len() + 1).saturating_sub(limits::MAX_SESSIONS_PER_DEVICE);
        for oldest in sessions.iter().take(surplus) {
            oldest.mux.close();
        }
        sessions.push(Arc::clone(&session));
        drop(devices);
        Entry { registry: self, session }
    }

    /// The newest session that serves a route and takes streams, with the service.
    pub(super) fn find(&self, route: &Route) -> Option<(Arc<Session>, Arc<Served>)> {
        let devices = self.devices();
        devices.get(&route.device)?.iter().rev().find_map(|session| {
            let served = session.serves(&route.id)?;
            session.mux.takes_streams().then(|| (Arc::clone(session), served))
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

    /// The devices that have a session.
    pub(super) fn devices_online(&self) -> Vec<DeviceId> {
        self.devices().keys().copied().collect()
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
