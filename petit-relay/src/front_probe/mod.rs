//! Do visitors get in? Every public front is tried from here, as a visitor would come, about once a minute.
//!
//! A front is what the endpoint makes of a name: scheme, port and domain. Under the domain a fresh random label is
//! asked for each time, so that the wildcard of the DNS and of the certificate is what is tried; domains of
//! customers' own are tried by their names, one after the other at a bounded pace. Beside them the listening sockets
//! of this process are tried: where the server cannot reach its own public address, that is as far as is known.
//!
//! One task owns the attempts; what they found stands in [`FrontProbes`], is told to agents by `tell`, and joined
//! there with the services' own probes.

mod address;
mod attempt;
mod domains;
mod judge;
mod once;
mod settings;
mod tell;
mod token;
mod told;
mod track;

use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use petit_engine::cause::{FrontCause, FrontUntried};
use petit_engine::limits;
use petit_engine::name::Alias;
use petit_engine::net::tls;
use petit_engine::proto::control::FrontState;
use petit_engine::secret::{NoRandom, random_bytes};
use rustls::client::Resumption;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpListener;
use tokio::sync::{Notify, watch};

use self::address::Allowed;
pub(super) use self::attempt::reachable;
use self::attempt::{AttemptOutcome, Prober, Target};
use self::domains::Domains;
pub use self::settings::{FrontProbing, FrontSettings, Resolver, Unresolved};
pub(super) use self::token::{ANSWER_FIELD, TOKEN_FIELD, Tokens};
pub(super) use self::told::FrontsTold;
use self::track::Track;
use super::leaving::AbortOnDrop;
use super::{Relay, RelayConfig, RelayError, RelayShared};

/// What the operator may know of a front.
#[derive(Clone, Debug)]
pub struct FrontView {
    /// Which one.
    pub front: FrontKind,
    /// How it is.
    pub state: FrontState,
    pub since: SystemTime,
    /// When it was tried last.
    pub tried: Option<SystemTime>,
    /// How long the last attempt took that got in.
    pub took: Option<Duration>,
}

/// The kinds of fronts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FrontKind {
    /// The endpoint, with all names under its domain.
    Endpoint,
    /// The host of raw TCP services.
    TcpHost,
    /// A domain of a customer's own.
    Domain(Alias),
    /// The socket for plain HTTP.
    PlainSocket(SocketAddr),
    /// The socket for TLS.
    TlsSocket(SocketAddr),
}

/// Everything that is known of the fronts.
pub(super) struct FrontProbes {
    prober: Prober,
    probing: FrontProbing,
    known: Mutex<Known>,
    domains: Domains,
    /// Where this process listens for plain HTTP.
    plain: OnceLock<SocketAddr>,
    /// And for TLS.
    tls: OnceLock<SocketAddr>,
    /// Rings when a state has changed that all agents are told.
    changed: watch::Sender<u64>,
    /// A round that is wanted at once.
    wanted: Notify,
    /// How many rounds are over.
    rounds: watch::Sender<u64>,
    tasks: OnceLock<[AbortOnDrop; 3]>,
}

struct Known {
    endpoint: Track,
    tcp: Track,
    plain: Track,
    tls: Option<Track>,
    /// The address of this machine's that the host of TCP services leads to.
    tcp_address: Option<IpAddr>,
    /// A proxy stands before the plain socket, so the TLS socket is no visitor's way in.
    is_behind_proxy: bool,
}

impl Known {
    /// The socket that public requests arrive at.
    fn own(&self) -> &Track {
        self.tls.as_ref().filter(|_| !self.is_behind_proxy).unwrap_or(&self.plain)
    }

    /// What agents are told of the endpoint, and since when it is so. As far as the public address is not tried, what
    /// this process's own socket does not let in does not get in there either.
    fn http(&self) -> (FrontState, Instant) {
        let own = self.own();
        match (self.endpoint.state(), own.state()) {
            (FrontState::Untried(_), FrontState::Failed(_)) => {
                (FrontState::Failed(FrontCause::Listener), own.since())
            }
            (state, _) => (state, self.endpoint.since()),
        }
    }
}

impl FrontProbes {
    pub(super) fn new(config: &RelayConfig) -> Result<Self, RelayError> {
        let FrontSettings { probing, networks, roots, resolver } = config.fronts.clone();
        let loopback = config.endpoint.is_local();
        let tls = if roots.is_empty() { None } else { Some(visitors_tls(roots)?) };
        let track = Track::new(Instant::now());
        Ok(Self {
            prober: Prober {
                resolver,
                allowed: Allowed { networks, loopback },
                tls,
                tokens: Tokens::default(),
            },
            probing,
            known: Mutex::new(Known {
                endpoint: track,
                tcp: track,
                plain: track,
                tls: None,
                tcp_address: None,
                is_behind_proxy: !config.trusted_proxies.is_empty(),
            }),
            domains: Domains::default(),
            plain: OnceLock::new(),
            tls: OnceLock::new(),
            changed: watch::Sender::new(0),
            wanted: Notify::new(),
            rounds: watch::Sender::new(0),
            tasks: OnceLock::new(),
        })
    }

    /// Takes note of where visitors come in over plain HTTP; returns the port. The first such socket is tried.
    pub(super) fn listens_plain(&self, listener: &TcpListener) -> u16 {
        self.listens(&self.plain, listener)
    }

    /// As [`Self::listens_plain`], over TLS.
    pub(super) fn listens_tls(&self, listener: &TcpListener) -> u16 {
        self.listens(&self.tls, listener)
    }

    fn listens(&self, known: &OnceLock<SocketAddr>, listener: &TcpListener) -> u16 {
        let Ok(address) = listener.local_addr() else { return 0 };
        let _ = known.set(address);
        self.wanted.notify_one();
        address.port()
    }

    /// Forgets what was found. Until the next attempt nothing is known, and whoever wants to know waits for it.
    pub(super) fn begin_anew(&self) {
        self.change(|known, now| {
            let Known { endpoint, tcp, plain, tls, tcp_address, is_behind_proxy: _ } = known;
            [endpoint, tcp, plain].into_iter().for_each(|track| *track = Track::new(now));
            (*tls, *tcp_address) = (None, None);
        });
        self.domains.begin_anew();
        // Whoever waits for the end of a round is not woken: none has ended.
        self.rounds.send_if_modified(|rounds| {
            *rounds = 0;
            false
        });
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn tokens(&self) -> &Tokens {
        &self.prober.tokens
    }

    /// How long a request takes through the front, or through as much of it as lies in this process; `None` when it
    /// does not get through. Waits for the first attempt, half of [`limits::PROBE_LIMIT`] at most.
    pub(super) async fn own(&self) -> Option<Duration> {
        let mut rounds = self.rounds.subscribe();
        let first = rounds.wait_for(|rounds| *rounds > 0);
        let _ = tokio::time::timeout(limits::PROBE_LIMIT / 2, first).await;
        let known = self.known();
        let tracks = [&known.endpoint, known.own()];
        let passed = tracks.into_iter().find(|track| track.state() == FrontState::Passed)?;
        Some(passed.took().unwrap_or_default())
    }

    /// The address at which raw TCP ports can be tried as a visitor would; `None`: only where they listen.
    pub(super) fn tcp_address(&self) -> Option<IpAddr> {
        self.known().tcp_address
    }

    /// Tries all but the domains of customers, for as long as it is polled. Never ends.
    async fn run(&self, shared: &RelayShared) {
        loop {
            self.keep_current(self.round(shared)).await;
            self.rounds.send_modify(|rounds| *rounds += 1);
            let rest = tokio::time::sleep(self.rest());
            let until_next = async {
                tokio::select! {
                    () = rest => {}
                    () = self.wanted.notified() => {}
                }
            };
            self.keep_current(until_next).await;
        }
    }

    /// Waits for something, and forgets meanwhile what was a proof once and is too old.
    async fn keep_current(&self, what: impl Future<Output = ()>) {
        tokio::pin!(what);
        loop {
            let expires = self.expires();
            tokio::select! {
                () = what.as_mut() => return,
                () = until(expires) => self.change(|known, now| {
                    for track in [&mut known.endpoint, &mut known.tcp, &mut known.plain].into_iter().chain(&mut known.tls) {
                        track.expire(now);
                    }
                }),
            }
        }
    }

    fn expires(&self) -> Option<Instant> {
        let known = self.known();
        let tracks = [&known.endpoint, &known.tcp, &known.plain].into_iter().chain(&known.tls);
        tracks.filter_map(Track::expires).min()
    }

    async fn round(&self, shared: &RelayShared) {
        let endpoint = &shared.config.endpoint;
        let Ok(host) = random_host(endpoint.domain()) else { return };
        let public = async {
            match self.probing {
                FrontProbing::Public => self.prober.attempt(&Target::public(endpoint, host.clone())).await,
                FrontProbing::OwnSockets => FrontUntried::SwitchedOff.into(),
            }
        };
        let own = async |socket: Option<&SocketAddr>, https| {
            let target = Target::own(host.clone(), https, reachable(*socket?));
            Some(self.prober.attempt(&target).await)
        };
        // The TLS socket is a way in only where there is a certificate, and where addresses say https.
        let tls = self.tls.get().filter(|_| endpoint.is_https() && shared.has_https());
        let (public, (tcp, tcp_address), plain, tls) =
            tokio::join!(public, self.try_tcp_host(shared), own(self.plain.get(), false), own(tls, true));
        self.change(|known, now| {
            record(&mut known.endpoint, &FrontKind::Endpoint, public, now);
            record(&mut known.tcp, &FrontKind::TcpHost, tcp, now);
            known.tcp_address = tcp_address;
            if let (Some(outcome), Some(socket)) = (plain, self.plain.get()) {
                record(&mut known.plain, &FrontKind::PlainSocket(*socket), outcome, now);
            }
            let track = tls.zip(self.tls.get()).map(|(outcome, socket)| {
                let mut track = known.tls.unwrap_or(Track::new(now));
                record(&mut track, &FrontKind::TlsSocket(*socket), outcome, now);
                track
            });
            known.tls = track;
        });
    }

    /// Changes what is known, and rings when agents have to hear of it.
    fn change(&self, change: impl FnOnce(&mut Known, Instant)) {
        let mut known = self.known();
        let states = |known: &Known| (known.http().0, known.tcp.state());
        let before = states(&known);
        change(&mut known, Instant::now());
        if states(&known) != before {
            self.changed.send_modify(|count| *count += 1);
        }
    }

    /// Looks where the host of raw TCP services leads. Ports can be tried there when it is this machine: only then
    /// is a probe's connection known by its source, and kept from the service.
    async fn try_tcp_host(&self, shared: &RelayShared) -> (AttemptOutcome, Option<IpAddr>) {
        if self.probing == FrontProbing::OwnSockets {
            return (FrontUntried::SwitchedOff.into(), None);
        }
        let start = Instant::now();
        // Ports that are open on this machine alone are no public address, but in a trial on one machine.
        match self.prober.addresses(&shared.config.tcp_host, 0).await {
            Err(outcome) => (outcome, None),
            Ok(found) => match found.iter().map(SocketAddr::ip).find(|ip| is_of_this_machine(*ip)) {
                Some(ip) => (AttemptOutcome::Passed(start.elapsed()), Some(ip)),
                None => (FrontUntried::OtherMachine.into(), None),
            },
        }
    }

    /// How long to wait for the next round.
    fn rest(&self) -> Duration {
        let known = self.known();
        let tracks = [&known.endpoint, &known.tcp, &known.plain].into_iter().chain(&known.tls);
        tracks.map(Track::rest).min().unwrap_or(limits::FRONT_EVERY)
    }
}

fn record(track: &mut Track, front: &FrontKind, outcome: AttemptOutcome, now: Instant) {
    let changed = track.record(outcome, now);
    let state = track.state();
    match (changed, state) {
        (true, FrontState::Failed(_)) => tracing::warn!(?front, ?state, "visitors do not get in"),
        (true, _) => tracing::info!(?front, ?state, "front"),
        (false, _) => tracing::debug!(?front, ?outcome, "front tried"),
    }
}

async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment.into()).await,
        None => std::future::pending().await,
    }
}

/// TLS as a visitor speaks it. Nothing is taken from an earlier connection, so that the certificate is shown and
/// judged each time.
fn visitors_tls(roots: RootCertStore) -> Result<Arc<ClientConfig>, RelayError> {
    let mut config = ClientConfig::builder_with_provider(tls::provider())
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

/// A name under the domain that nobody has asked for before: too long for an alias, and no registered ID up to its
/// first hyphen.
fn random_host(domain: &str) -> Result<String, NoRandom> {
    let random: [u8; 20] = random_bytes()?;
    let random = data_encoding::BASE32_NOPAD.encode(&random).to_ascii_lowercase();
    Ok(format!("petit-probe-{random}.{domain}"))
}

/// True when packets for `ip` do not leave this machine: to itself it speaks from the address it speaks to, or from
/// another of loopback's. (That one can be bound says less: Linux has `ip_nonlocal_bind`.)
fn is_of_this_machine(ip: IpAddr) -> bool {
    ip.is_loopback() || source_towards(ip).is_ok_and(|source| source == ip)
}

/// The address that this machine speaks from to another. Nothing is sent.
pub(super) fn source_towards(ip: IpAddr) -> io::Result<IpAddr> {
    let any: IpAddr = if ip.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect((ip, DISCARD))?;
    Ok(socket.local_addr()?.ip())
}

/// Any port will do to ask for the way.
const DISCARD: u16 = 9;

impl RelayShared {
    /// Tries the fronts for as long as the relay serves, and tells agents what came of it. A relay whose place another
    /// process takes does not: what comes in at its sockets comes in there.
    pub(super) fn probe_fronts(self: &Arc<Self>) {
        let [trying, domains, telling] = [(); 3].map(|()| Arc::clone(self));
        let tasks = [
            self.while_serving(move || {
                let shared = Arc::clone(&trying);
                async move { shared.front_probes.run(&shared).await }
            }),
            self.while_serving(move || {
                let shared = Arc::clone(&domains);
                async move { shared.front_probes.run_domains(&shared).await }
            }),
            self.while_serving(move || {
                let shared = Arc::clone(&telling);
                async move { shared.front_probes.tell_all(&shared).await }
            }),
        ];
        let _ = self.front_probes.tasks.set(tasks);
    }
}

impl Relay {
    /// How the fronts are.
    pub fn fronts(&self) -> Vec<FrontView> {
        let probes = &self.shared.front_probes;
        let now = (Instant::now(), SystemTime::now());
        let known = probes.known();
        let mut views =
            vec![view(FrontKind::Endpoint, &known.endpoint, now), view(FrontKind::TcpHost, &known.tcp, now)];
        if let Some(socket) = probes.plain.get() {
            views.push(view(FrontKind::PlainSocket(*socket), &known.plain, now));
        }
        if let (Some(socket), Some(track)) = (probes.tls.get(), &known.tls) {
            views.push(view(FrontKind::TlsSocket(*socket), track, now));
        }
        drop(known);
        views.extend(probes.domains.views(now));
        views
    }

    /// How one front is.
    pub fn front(&self, front: &FrontKind) -> FrontState {
        let probes = &self.shared.front_probes;
        let known = probes.known();
        match front {
            FrontKind::Endpoint => known.endpoint.state(),
            FrontKind::TcpHost => known.tcp.state(),
            FrontKind::PlainSocket(_) => known.plain.state(),
            FrontKind::TlsSocket(_) => known.tls.as_ref().map(Track::state).unwrap_or_default(),
            FrontKind::Domain(name) => probes.domains.state(name).map(|(state, _)| state).unwrap_or_default(),
        }
    }

    /// Has all fronts but customers' domains tried now instead of later: something may have changed.
    pub fn retry_fronts(&self) {
        self.shared.front_probes.wanted.notify_one();
    }

    /// Tries all fronts but customers' domains now, until their states are of now; at most a few times
    /// [`limits::FRONT_LIMIT`].
    pub async fn try_fronts(&self) {
        let probes = &self.shared.front_probes;
        // One round may have begun before this was called.
        for _ in 0..=limits::FRONT_FAILURES {
            let mut rounds = probes.rounds.subscribe();
            rounds.mark_unchanged();
            probes.wanted.notify_one();
            let _ = tokio::time::timeout(limits::FRONT_LIMIT * 2, rounds.changed()).await;
        }
    }
}

fn view(front: FrontKind, track: &Track, (now, wall): (Instant, SystemTime)) -> FrontView {
    let stamp = |at: Instant| wall - now.saturating_duration_since(at);
    FrontView {
        front,
        state: track.state(),
        since: stamp(track.since()),
        tried: track.tried().map(stamp),
        took: track.took(),
    }
}
