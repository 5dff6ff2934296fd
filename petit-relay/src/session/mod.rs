//! A session: one agent's connection, what it serves, and the task that runs it (`run`).

mod run;
mod served;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};
use std::time::SystemTime;

use petit_engine::cause::Health;
use petit_engine::limits;
use petit_engine::mux::{Mux, Stats};
use petit_engine::name::{DeviceId, RegisteredId};
use petit_engine::proto::control::{
    Admits, BUSY_PORT, FRONTS, Hello, MOVE, MOVED, POLICY, RELEASE, SHUT_PORT, SUSPENDED, Text, Vitae,
    has_feature,
};
use petit_engine::proto::control::{FromRelay, GrantRefusal, Message, Refusal};
use petit_engine::secret::PublicKey;
use tokio::sync::{Notify, Semaphore};
use tokio_util::sync::{CancellationToken, DropGuard};

pub(crate) use self::run::run;
pub(crate) use self::served::Served;
pub use self::served::ServedView;
use super::front_probe::FrontsTold;
use super::ingress::StreamPool;
use super::last_grants::LastGrants;
use super::naming::Naming;

/// The number of no release.
const NO_RELEASE: u64 = 0;
/// An agent may remember what it was told in a session before, so it is told of no release as well.
const NEVER_TOLD: u64 = u64::MAX;

/// One agent's connection.
pub(crate) struct Session {
    pub(super) device: DeviceId,
    pub(super) key: PublicKey,
    pub(super) instance: Text<32>,
    /// It understands [`FromRelay::Move`].
    pub(super) moves: bool,
    /// Cancelled when the agent has said that it has moved, and when the session ends; `None`: it does not say that.
    moved: Option<CancellationToken>,
    /// It understands [`GrantRefusal::PortBusy`].
    knows_busy_ports: bool,
    /// It understands [`Refusal::Suspended`].
    knows_suspension: bool,
    /// What it understands of [`FromRelay::Policies`].
    pub(super) policies_told: PoliciesTold,
    /// It understands [`FromRelay::Release`].
    knows_releases: bool,
    /// The release that it was told of last.
    told_release: AtomicU64,
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

/// What an agent understands of who can come to its services.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PoliciesTold {
    /// Nothing.
    None,
    /// Whether it is anyone, or whom the operator has chosen.
    AnyoneOrChosen,
    /// Also that it is nobody.
    All,
}

impl PoliciesTold {
    fn to(features: &[Text<32>]) -> Self {
        match (has_feature(features, POLICY), has_feature(features, SHUT_PORT)) {
            (false, _) => Self::None,
            (true, false) => Self::AnyoneOrChosen,
            (true, true) => Self::All,
        }
    }

    /// What an agent is told of who can come to a service; `None`: nothing.
    pub(super) fn said(self, admits: Admits) -> Option<Admits> {
        match (self, admits) {
            (Self::None, _) => None,
            // Of whom the operator has chosen there is none.
            (Self::AnyoneOrChosen, Admits::Nobody) => Some(Admits::Chosen),
            (Self::AnyoneOrChosen | Self::All, admits) => Some(admits),
        }
    }
}

impl Session {
    pub(super) fn new(device: DeviceId, key: PublicKey, mux: Mux, at: SessionPlace, hello: &Hello) -> Self {
        Self {
            device,
            key,
            instance: hello.instance.clone(),
            moves: has_feature(&hello.features, MOVE),
            moved: has_feature(&hello.features, MOVED).then(CancellationToken::new),
            knows_busy_ports: has_feature(&hello.features, BUSY_PORT),
            knows_suspension: has_feature(&hello.features, SUSPENDED),
            policies_told: PoliciesTold::to(&hello.features),
            knows_releases: has_feature(&hello.features, RELEASE),
            told_release: AtomicU64::new(NEVER_TOLD),
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

    pub(super) fn served(&self) -> RwLockReadGuard<'_, HashMap<RegisteredId, Arc<Served>>> {
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

    /// Why it is not let in, in words that the agent knows.
    pub(super) fn understandable_refusal(&self, refusal: Refusal) -> Refusal {
        match refusal {
            Refusal::Suspended if !self.knows_suspension => Refusal::Busy,
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
            served.set_health(health);
        }
    }

    /// The agent takes no more streams, and ends those that it has within [`limits::DRAIN`].
    pub(super) fn agent_leaves(&self) {
        self.pool.close();
        self.leaving.cancel();
    }

    /// The agent has a session with the process that takes the relay's place, or none any more.
    pub(super) fn has_moved(&self) {
        if let Some(moved) = &self.moved {
            moved.cancel();
        }
    }

    /// As [`Session::has_moved`], when the session is over.
    pub(super) fn moved_at_end(&self) -> Option<DropGuard> {
        self.moved.clone().map(CancellationToken::drop_guard)
    }

    /// Waits until an agent that says so has moved; not at all for others.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(super) async fn moved(&self) {
        if let Some(moved) = &self.moved {
            moved.cancelled().await;
        }
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
        let refusal = self.understandable_refusal(refusal);
        self.send(&FromRelay::Refused { refusal });
        self.mux.close();
    }

    pub(super) fn send(&self, message: &FromRelay) {
        match message.encode() {
            Ok(payload) => drop(self.mux.send_control(&payload)),
            Err(error) => tracing::error!(%error, "a message to an agent was not sent"),
        }
    }

    /// Hints at a release, or that there is none any more, where that is understood and news.
    pub(super) fn tell_release(&self, counter: Option<u64>) {
        let counter = counter.unwrap_or(NO_RELEASE);
        if self.knows_releases && self.told_release.swap(counter, Ordering::Relaxed) != counter {
            self.send(&FromRelay::Release { counter });
        }
    }

    /// What others may know of it.
    pub(super) fn view(&self) -> SessionView {
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
