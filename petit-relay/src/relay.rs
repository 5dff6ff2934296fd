//! The relay as its owner sees it.

use std::io;
use std::net::TcpListener as StdListener;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use petit_engine::name::{DeviceId, RegisteredId};
use petit_engine::net::tls::{self, KnownKeys};
use petit_engine::secret::{PublicKey, random_bytes};
use rustls::ServerConfig;
use tokio::net::TcpListener;
use tokio_util::task::TaskTracker;

use super::access::Access;
use super::admission::{Connections, Entrance};
use super::affinity::of_visitor;
use super::awaited::Awaited;
use super::config::{RelayConfig, RelayError};
use super::downloads::{DownloadCounts, Downloads};
use super::enrolling::Enrolling;
use super::front_probe::FrontProbes;
use super::greeting::greet;
use super::ingress::{self, Transport, Visitor};
use super::leaving::Leaving;
use super::limits_config::Pressure;
use super::listeners::{ListenerKind, Listeners};
use super::logins::{Logins, RecordedBreach};
use super::places::{PlaceCounts, Places, Shortage};
use super::policed::{Policing, PolicyCounts};
use super::policy::{PolicyRequest, Step, Verdict};
use super::refusal_log::RefusalLog;
use super::registry::{Presence, Registry};
use super::releases::Releases;
use super::request_ids::RequestIds;
use super::route::Route;
use super::session::SessionView;
use super::session_log::SessionLog;
use super::shards::Shards;
use super::shared::RelayShared;
use super::tcp_listeners::TcpListeners;
use super::visit::Observer;

/// The running relay. Cheap to clone; [`Relay::leave`] is the orderly way to end it.
#[derive(Clone)]
pub struct Relay {
    pub(super) shared: Arc<RelayShared>,
}

/// Counters of a whole relay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RelayCounts {
    /// Connections open now.
    pub connections: usize,
    /// Connections that were not let in, or made way for another one before they had come for anything.
    pub turned_away: usize,
    /// Requests under way.
    pub requests: usize,
    /// Visits for which there was no place.
    pub places: PlaceCounts,
    /// What the policies of services have come to.
    pub policies: PolicyCounts,
    /// Requests that failed by a fault of Petit's own.
    pub faults: u64,
    /// Files of releases that are handed out.
    pub downloads: DownloadCounts,
}

impl Relay {
    /// Starts a relay in the runtime that this is called in and in threads of its own. It serves nothing until it
    /// is handed listeners. `observer` is told of each visit when it is over; `releases` are what is handed out to devices.
    ///
    /// # Errors
    /// [`RelayError`].
    pub fn start(
        config: RelayConfig,
        access: Arc<dyn Access>,
        observer: Option<Arc<dyn Observer>>,
        releases: Option<Arc<dyn Releases>>,
    ) -> Result<Self, RelayError> {
        struct Keys(Arc<dyn Access>);
        impl KnownKeys for Keys {
            fn knows(&self, key: &PublicKey) -> bool {
                self.0.device(key).is_some()
            }
        }
        let pseudonym: [u8; 6] = random_bytes()?;
        let front_probes = FrontProbes::new(&config)?;
        let shards = Shards::start(config.limits.threads).map_err(RelayError::NoThread)?;
        let keys = || Arc::new(Keys(Arc::clone(&access)));
        let exempt = [&config.trusted_proxies[..], &config.limits.exempt_networks].concat();
        let shared = Arc::new(RelayShared {
            shards,
            connections: Arc::new(Connections::new(&config.limits, &exempt)),
            places: Places::new(&config.limits, exempt),
            policing: Arc::new(Policing::default()),
            enrolling: Enrolling::default(),
            tunnel_tls: tls::tunnel_server(&config.key, keys())?,
            enrol_tls: tls::enrol_server(&config.key)?,
            release_tls: tls::release_server(&config.key, keys())?,
            releases,
            downloads: Downloads::new(config.limits.connections, config.limits.release_rate),
            https: RwLock::new(None),
            config,
            access,
            observer,
            registry: Registry::default(),
            listeners: Listeners::default(),
            logins: Logins::default(),
            session_log: SessionLog::default(),
            refusal_log: RefusalLog::default(),
            tcp_listeners: TcpListeners::default(),
            awaited: Awaited::default(),
            pseudonym: data_encoding::HEXLOWER.encode(&pseudonym),
            request_ids: RequestIds::default(),
            sessions: AtomicU64::new(0),
            faults: AtomicU64::new(0),
            front_probes,
            tasks: TaskTracker::new(),
            long_running: TaskTracker::new(),
            leaving: Leaving::default(),
        });
        let changes = shared.access.changes();
        let watched = Arc::clone(&shared);
        shared.until_ended(async move { super::changes::watch(&watched, changes).await });
        if let Some(changes) = shared.releases.as_ref().map(|releases| releases.changes()) {
            let told = Arc::clone(&shared);
            shared.until_ended(async move { super::changes::watch_releases(&told, changes).await });
        }
        let counted = Arc::clone(&shared);
        shared.until_ended(async move { counted.session_log.run().await });
        let counted = Arc::clone(&shared);
        shared.until_ended(async move { counted.refusal_log.run().await });
        let timed = Arc::clone(&shared);
        shared.until_ended(async move { timed.places.keep_time().await });
        shared.probe_fronts();
        Ok(Self { shared })
    }

    /// Takes plain HTTP visitors.
    pub fn serve_http(&self, listener: TcpListener) {
        let port = self.shared.front_probes.listens_plain(&listener);
        let shared = Arc::clone(&self.shared);
        let accepting = self.shared.accept(listener, Entrance::Http, move |tcp, peer, ticket| {
            let shared = Arc::clone(&shared);
            let tasks = shared.tasks.clone();
            tasks.spawn(async move {
                let admission = Arc::clone(ticket.admission());
                let looked = admission.unless_evicted(of_visitor(&shared, &tcp)).await;
                let Some(shard) = looked.flatten() else { return };
                let visitor = Visitor { peer, transport: Transport::Plain, port };
                let serving = Arc::clone(&shared);
                let serve = move |tcp| ingress::serve(serving, tcp, visitor, ticket);
                shared.shards.run(&shared.tasks, shard, tcp, serve).await;
            });
        });
        self.shared.listeners.table().push((ListenerKind::Http, accepting));
    }

    /// The certificate that HTTPS visitors are shown from now on; connections that there are go on as they are.
    pub fn set_https(&self, https: Option<Arc<ServerConfig>>) {
        *self.shared.https.write().unwrap_or_else(PoisonError::into_inner) = https;
        self.retry_fronts();
    }

    /// Takes tunnel peers, and HTTPS visitors while there is a certificate for them.
    pub fn serve_tls(&self, listener: TcpListener) {
        let port = self.shared.front_probes.listens_tls(&listener);
        let shared = Arc::clone(&self.shared);
        let accepting = self.shared.accept(listener, Entrance::Tls, move |tcp, peer, ticket| {
            shared.tasks.spawn(greet(Arc::clone(&shared), tcp, peer, port, ticket));
        });
        self.shared.listeners.table().push((ListenerKind::Tls, accepting));
    }

    /// How full the process is, as measured by its owner; until the next call.
    pub fn set_pressure(&self, pressure: Pressure) {
        self.shared.connections.set_pressure(pressure);
    }

    /// Counters of the whole relay.
    pub fn counts(&self) -> RelayCounts {
        let (connections, turned_away) = self.shared.connections.counts();
        RelayCounts {
            connections,
            turned_away,
            requests: self.shared.places.requests(),
            places: self.shared.places.counts(),
            policies: self.shared.policing.counts(),
            faults: self.shared.faults.load(Ordering::Relaxed),
            downloads: self.shared.downloads.counts(),
        }
    }

    /// What is running short, and who holds it.
    pub fn shortages(&self) -> Vec<Shortage> {
        self.shared.places.shortages()
    }

    /// Whether a service can be reached through its client.
    pub fn presence(&self, route: &Route) -> Presence {
        self.shared.registry.presence(route)
    }

    /// What the policy of a route's service would say to a visit now, step by step; nothing for a service that has
    /// none. By the function that decides of visits, but nothing is counted.
    pub fn preview_policy(&self, route: &Route, request: &PolicyRequest<'_>) -> Vec<(Step, Verdict)> {
        self.shared.policing.preview(route, request)
    }

    /// The raw TCP service whose port this is.
    pub fn service_at_port(&self, port: u16) -> Option<RegisteredId> {
        self.shared.tcp_listeners.at_port(port)
    }

    /// Raw TCP services whose ports are not listened on, because their policies ask for a key, which raw TCP cannot
    /// carry, and for no address.
    pub fn shut_ports(&self) -> Vec<RegisteredId> {
        self.shared.tcp_listeners.shut()
    }

    /// The public address of a raw TCP service that has its port.
    pub fn tcp_address(&self, id: &RegisteredId) -> Option<String> {
        self.shared.tcp_listeners.url(&self.shared.config.tcp_host, id)
    }

    /// The live sessions.
    pub fn sessions(&self) -> Vec<SessionView> {
        self.shared.registry.views()
    }

    /// The rule of the protocol that a device has broken last, as far as that is remembered.
    pub fn breach_of(&self, device: &DeviceId) -> Option<RecordedBreach> {
        self.shared.logins.breach(device)
    }

    /// The live session of a device; of several, the newest, which is the one in use.
    pub fn session_of(&self, device: &DeviceId) -> Option<SessionView> {
        self.shared.registry.view_of(device)
    }

    /// Ends the sessions of a device, and what is under way in them; it may come back at once. Returns how many there were.
    pub fn end_sessions(&self, device: &DeviceId) -> usize {
        let sessions = self.shared.registry.of(device);
        for session in &sessions {
            tracing::info!(%device, "the operator ends its session");
            session.mux.close();
        }
        sessions.len()
    }

    /// The devices that have a session, or are on their way from the process before this one.
    pub fn connected(&self) -> Vec<DeviceId> {
        let mut devices = self.shared.registry.devices_online();
        devices.extend(self.shared.awaited.still());
        devices
    }

    /// Waits for these devices, which were connected to the process before this one, when a visitor asks for them.
    pub fn expect(&self, devices: impl IntoIterator<Item = DeviceId>) {
        self.shared.awaited.expect(devices);
    }

    /// Copies of all listening sockets. Whoever holds one keeps its queue in the kernel alive.
    ///
    /// # Errors
    /// When the process is out of descriptors.
    pub fn sockets(&self) -> io::Result<Vec<(ListenerKind, StdListener)>> {
        let mut sockets = Vec::new();
        for (kind, accepting) in &*self.shared.listeners.table() {
            sockets.push((*kind, accepting.copy()?));
        }
        for (id, listener) in self.shared.tcp_listeners.copies()? {
            sockets.push((ListenerKind::Tcp(id), listener));
        }
        Ok(sockets)
    }

    /// Goes on listening for a raw TCP service on a socket that another process has opened. One that does not fit
    /// any more is closed.
    pub fn adopt(&self, id: RegisteredId, listener: TcpListener) {
        self.shared.adopt_port(id, listener);
    }

    /// Closes this process's copies of its listening sockets. It cannot come back after that, and finishes what is under
    /// way all the same.
    pub fn let_go(&self) {
        self.shared.listeners.table().clear();
        self.shared.tcp_listeners.keep(|_| false);
    }
}
