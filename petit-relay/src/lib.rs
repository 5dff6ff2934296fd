//! The vendor's end of the tunnel: sessions, routes, admission, public ingress, raw TCP, probes.
//!
//! A [`Relay`] is handed listeners and an [`Access`], which says who may come in and which name belongs to whom.
//! It binds no public address itself (but the ports of raw TCP services, on the address it is given), reads no
//! file and installs no signal handler.

#![cfg_attr(
    test,
    allow(
        clippy::indexing_slicing,
        clippy::unwrap_used,
        clippy::panic,
        reason = "a test may assert by failing"
    )
)]

mod access;
mod admission;
mod awaited;
mod changes;
mod enrol;
mod failure;
mod front_probe;
#[doc(hidden)]
pub mod fuzzing;
mod handshake_queue;
mod ingress;
mod invite_page;
mod last_grants;
mod leaving;
mod limits_config;
mod listeners;
mod logins;
mod naming;
mod places;
mod prefix_rates;
mod probe;
mod registry;
mod remembered;
mod route;
mod session;
mod session_log;
mod shards;
mod tcp;
mod telling;
mod upstream;
mod visit;

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use ipnet::IpNet;
use petit_engine::limits;
use petit_engine::name::{DeviceId, Endpoint, RegisteredId};
use petit_engine::net::tls::{self, KnownKeys};
use petit_engine::net::wire::Wire;
use petit_engine::proto::RequestId;
use petit_engine::proto::control::{Text, Vitae};
use petit_engine::secret::{NoRandom, PrivateKey, PublicKey, random_bytes};
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, timeout_at};
use tokio_rustls::server::TlsStream;
use tokio_rustls::{LazyConfigAcceptor, StartHandshake};
use tokio_util::task::TaskTracker;

pub use self::access::{Access, AnnouncedServices, Change, EnrolRequest, Enrolled, ServiceRegistration};
#[doc(hidden)]
pub use self::admission::time_newcomers;
use self::admission::{Admission, Connections, Entrance, Ticket};
pub use self::failure::{FailedHop, Failure};
use self::front_probe::FrontProbes;
pub use self::front_probe::{FrontKind, FrontProbing, FrontSettings, FrontView, Resolver, Unresolved};
pub use self::leaving::{Farewell, Leave, UnderWay};
pub use self::limits_config::{LimitsConfig, Pressure};
pub use self::listeners::{ListenerKind, UnknownListener};
pub use self::logins::RecordedBreach;
use self::places::{Claim, Room, Slot};
pub use self::places::{Holder, PlaceCounts, Scarce, Shortage};
pub use self::registry::Presence;
pub use self::route::{Names, Route, Routed, Via, decide};
pub use self::session::{ServedView, SessionView};
use self::shards::Shards;
pub use self::telling::aliases_bytes;
pub use self::visit::{Observer, Protocol, Record, VisitEnd};

/// What a relay is started with.
#[derive(Debug)]
pub struct RelayConfig {
    /// The key that clients have pinned.
    pub key: PrivateKey,
    /// How public addresses are made.
    pub endpoint: Endpoint,
    /// Where raw TCP services listen.
    pub tcp_bind: IpAddr,
    /// The host that raw TCP services are reached by.
    pub tcp_host: String,
    /// Proxies whose forwarding headers are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Answer errors with the original's body.
    pub legacy_errors: bool,
    pub limits: LimitsConfig,
    /// Program and version, for clients.
    pub software: Text<64>,
    /// What clients may know of this server.
    pub vitae: Vitae,
    /// How public fronts are tried.
    pub fronts: FrontSettings,
}

/// The running relay. Cheap to clone; [`Relay::leave`] is the orderly way to end it.
#[derive(Clone)]
pub struct Relay {
    shared: Arc<RelayShared>,
}

pub(crate) struct RelayShared {
    shards: Shards,
    config: RelayConfig,
    access: Arc<dyn Access>,
    observer: Option<Arc<dyn Observer>>,
    tunnel_tls: Arc<ServerConfig>,
    enrol_tls: Arc<ServerConfig>,
    /// For HTTPS visitors; `None`: there is no certificate for them.
    https: RwLock<Option<Arc<ServerConfig>>>,
    registry: registry::Registry,
    listeners: listeners::Listeners,
    logins: logins::Logins,
    session_log: session_log::SessionLog,
    tcp_listeners: tcp::TcpListeners,
    awaited: awaited::Awaited,
    front_probes: FrontProbes,
    /// Names this relay in `Via`, so that a request that comes round again is recognised.
    pseudonym: String,
    /// The first half of every request's ID: another one for each start of a server.
    request_epoch: [u8; 8],
    request_ids: AtomicU64,
    /// Sessions so far, which the log numbers.
    sessions: AtomicU64,
    /// Requests that failed by a fault of ours.
    faults: AtomicU64,
    connections: Arc<Connections>,
    places: places::Places,
    enrolling: enrol::Enrolling,
    /// Connections, and what is done for them.
    tasks: TaskTracker,
    /// What goes on until the relay has ended.
    long_running: TaskTracker,
    leaving: leaving::Leaving,
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
    /// Requests that failed by a fault of Petit's own.
    pub faults: u64,
}

/// Why a relay cannot start.
#[derive(Debug, thiserror::Error)]
pub enum RelayError {
    /// The server's key cannot be used.
    #[error("the server's key cannot be used for TLS")]
    Key(#[from] rustls::Error),
    /// No random bytes.
    #[error(transparent)]
    NoRandom(#[from] NoRandom),
    /// No thread for each processor.
    #[error("the system gives no more threads")]
    NoThread(#[source] std::io::Error),
}

impl Relay {
    /// Starts a relay in the runtime that this is called in and in threads of its own. It serves nothing until it
    /// is handed listeners. `observer` is told of each visit when it is over.
    ///
    /// # Errors
    /// [`RelayError`].
    pub fn start(
        config: RelayConfig,
        access: Arc<dyn Access>,
        observer: Option<Arc<dyn Observer>>,
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
        let exempt = [&config.trusted_proxies[..], &config.limits.exempt_networks].concat();
        let shared = Arc::new(RelayShared {
            shards,
            connections: Arc::new(Connections::new(&config.limits, &exempt)),
            places: places::Places::new(&config.limits, exempt),
            enrolling: enrol::Enrolling::default(),
            tunnel_tls: tls::tunnel_server(&config.key, Arc::new(Keys(Arc::clone(&access))))?,
            enrol_tls: tls::enrol_server(&config.key)?,
            https: RwLock::new(None),
            config,
            access,
            observer,
            registry: registry::Registry::default(),
            listeners: listeners::Listeners::default(),
            logins: logins::Logins::default(),
            session_log: session_log::SessionLog::default(),
            tcp_listeners: tcp::TcpListeners::default(),
            awaited: awaited::Awaited::default(),
            pseudonym: data_encoding::HEXLOWER.encode(&pseudonym),
            request_epoch: random_bytes()?,
            request_ids: AtomicU64::new(0),
            sessions: AtomicU64::new(0),
            faults: AtomicU64::new(0),
            front_probes,
            tasks: TaskTracker::new(),
            long_running: TaskTracker::new(),
            leaving: leaving::Leaving::default(),
        });
        let changes = shared.access.changes();
        let watched = Arc::clone(&shared);
        shared.until_ended(async move { changes::watch(&watched, changes).await });
        let counted = Arc::clone(&shared);
        shared.until_ended(async move { counted.session_log.run().await });
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
                let looked = admission.unless_evicted(shards::of_visitor(&shared, &tcp)).await;
                let Some(shard) = looked.flatten() else { return };
                let visitor = ingress::Visitor { peer, transport: ingress::Transport::Plain, port };
                let serving = Arc::clone(&shared);
                let serve = move |tcp| async move {
                    ingress::serve(serving, tcp, visitor, admission).await;
                    drop(ticket);
                };
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
            shared.tasks.spawn(split(Arc::clone(&shared), tcp, peer, port, ticket));
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
            faults: self.shared.faults.load(Ordering::Relaxed),
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

    /// The raw TCP service whose port this is.
    pub fn service_at_port(&self, port: u16) -> Option<RegisteredId> {
        self.shared.tcp_listeners.at_port(port)
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
}

impl RelayShared {
    /// True while there is a certificate for HTTPS visitors.
    fn has_https(&self) -> bool {
        self.https.read().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// A place for a visit of whatever kind. Where memory is as good as used up it gets none that is free.
    ///
    /// # Errors
    /// As [`Room::enter`] and [`Room::enter_instead`].
    async fn place(&self, room: &Arc<Room>, claim: Claim) -> Result<Slot, Failure> {
        if self.connections.takes_requests() { room.enter(claim).await } else { room.enter_instead(claim) }
    }

    /// A number for one session, for the log.
    fn next_session_number(&self) -> u64 {
        self.sessions.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// A name for one request or stream, for logs and error answers. Random start, then counting.
    fn next_request_id(&self) -> RequestId {
        let number = self.request_ids.fetch_add(1, Ordering::Relaxed);
        let mut id = [0; 16];
        let bytes = self.request_epoch.into_iter().chain(number.to_be_bytes());
        for (to, from) in id.iter_mut().zip(bytes) {
            *to = from;
        }
        RequestId(id)
    }
}

/// Reads a ClientHello and takes the connection where its ALPN and its server name belong.
async fn split(shared: Arc<RelayShared>, tcp: TcpStream, peer: SocketAddr, port: u16, ticket: Ticket) {
    // Whoever dawdles over the ClientHello occupies nothing that others wait for.
    let hello = LazyConfigAcceptor::new(rustls::server::Acceptor::default(), tcp);
    let hello = tokio::time::timeout(limits::HANDSHAKE, hello);
    let Some(Ok(Ok(start))) = ticket.admission().unless_evicted(hello).await else { return };
    let until = Instant::now() + limits::HANDSHAKE;
    let hello = start.client_hello();
    let kind = PeerKind::of(&hello);
    let sni = hello.server_name().map(str::to_ascii_lowercase);
    let shard = match kind {
        PeerKind::Tunnel => shared.shards.next(),
        PeerKind::Enrol => 0,
        PeerKind::Https => sni.as_deref().map_or(0, |name| shards::of_host(&shared, name)),
    };
    let StartHandshake { accepted, io, .. } = start;
    let greeted = Greeted { kind, sni, peer, port, shard, until };
    let serving = Arc::clone(&shared);
    let serve = move |io| greeted.serve(serving, StartHandshake::from_parts(accepted, io), ticket);
    shared.shards.run(&shared.tasks, shard, io, serve).await;
}

/// A connection whose ClientHello has been read.
struct Greeted {
    kind: PeerKind,
    sni: Option<String>,
    peer: SocketAddr,
    port: u16,
    shard: usize,
    /// The handshake is to be through by then.
    until: Instant,
}

impl Greeted {
    async fn serve(self, shared: Arc<RelayShared>, start: StartHandshake<TcpStream>, mut ticket: Ticket) {
        let (peer, port, shard) = (self.peer, self.port, self.shard);
        let config = match self.kind {
            PeerKind::Tunnel => Some(Arc::clone(&shared.tunnel_tls)),
            PeerKind::Enrol => Some(Arc::clone(&shared.enrol_tls)),
            PeerKind::Https => shared.https.read().unwrap_or_else(PoisonError::into_inner).clone(),
        };
        let Some(config) = config else {
            return tracing::debug!(%peer, "HTTPS visitor, but no certificate is configured");
        };
        let admission = Arc::clone(ticket.admission());
        // What serves a connection is on the heap, so that one whose handshake is under way does not have it.
        match self.kind {
            PeerKind::Tunnel => {
                let start = StartHandshake::from_parts(start.accepted, Wire::new(start.io));
                let Some(tls) = self.handshake(&shared, start, config, &admission).await else { return };
                ticket.settle_as_client();
                Box::pin(session::run(shared, tls, peer, shard)).await;
            }
            PeerKind::Enrol => {
                let Some(tls) = self.handshake(&shared, start, config, &admission).await else { return };
                ticket.stay_pending_to_enrol();
                // An answer that does not arrive is asked for again.
                Box::pin(admission.unless_evicted(enrol::run(&shared, tls, peer))).await;
            }
            PeerKind::Https => {
                let Some(tls) = self.handshake(&shared, start, config, &admission).await else { return };
                if ticket.try_stay_pending_to_visit() {
                    let visitor =
                        ingress::Visitor { peer, transport: ingress::Transport::Tls { sni: self.sni }, port };
                    Box::pin(ingress::serve_tls(shared, tls, visitor, admission)).await;
                }
            }
        }
        drop(ticket);
    }

    /// The rest of the TLS handshake, when its turn has come. All of it is over in time, and when the room that the
    /// connection takes is wanted by another one.
    async fn handshake<IO: AsyncRead + AsyncWrite + Unpin>(
        &self,
        shared: &RelayShared,
        start: StartHandshake<IO>,
        config: Arc<ServerConfig>,
        admission: &Admission,
    ) -> Option<TlsStream<IO>> {
        let agreed = async {
            let permit = shared.shards.handshake_permit(self.shard, admission.precedence()).await;
            // The keys are agreed upon in this call.
            let accept = start.into_stream(config).into_fallible();
            tokio::task::yield_now().await;
            drop(permit);
            match accept.await {
                Ok(tls) => Some(tls),
                Err((error, io)) => {
                    tracing::debug!(peer = %self.peer, %error, "TLS handshake failed");
                    part(io).await;
                    None
                }
            }
        };
        admission.unless_evicted(timeout_at(self.until, agreed)).await?.ok()?
    }
}

/// Ends a connection on which an alert was sent. What the peer has sent meanwhile (a client speaks before it knows
/// that it was refused) is read for a moment: left unread it would end the connection with a reset, which takes the
/// alert away with it, and the peer would not know why (RFC 1122 §4.2.2.13).
async fn part(mut io: impl AsyncRead + AsyncWrite + Unpin) {
    let _ = io.shutdown().await;
    let rest = async { tokio::io::copy(&mut io.take(limits::REFUSED_BYTES), &mut tokio::io::sink()).await };
    let _ = tokio::time::timeout(limits::REFUSED, rest).await;
}

/// What a peer on the TLS port has come for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PeerKind {
    Tunnel,
    Enrol,
    Https,
}

impl PeerKind {
    fn of(hello: &rustls::server::ClientHello<'_>) -> Self {
        let mut kind = Self::Https;
        for protocol in hello.alpn().into_iter().flatten() {
            match protocol {
                tls::ALPN_TUNNEL => kind = Self::Tunnel,
                tls::ALPN_ENROL => kind = Self::Enrol,
                _ => {}
            }
        }
        kind
    }
}
