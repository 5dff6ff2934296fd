//! What is known of the fronts.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use petit_engine::cause::FrontCause;
use petit_engine::limits;
use petit_engine::net::tls;
use petit_engine::proto::control::FrontState;
use rustls::client::Resumption;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpListener;
use tokio::sync::{Notify, watch};

use super::address::Allowed;
use super::attempt::Prober;
use super::domains::Domains;
use super::settings::{FrontProbing, FrontSettings};
use super::token::Tokens;
use super::track::Track;
use crate::config::{RelayConfig, RelayError};
use crate::leaving::AbortOnDrop;

/// Everything that is known of the fronts.
pub(crate) struct FrontProbes {
    pub(super) prober: Prober,
    pub(super) probing: FrontProbing,
    pub(super) known: Mutex<Known>,
    pub(super) domains: Domains,
    /// Where this process listens for plain HTTP.
    pub(super) plain: OnceLock<SocketAddr>,
    /// And for TLS.
    pub(super) tls: OnceLock<SocketAddr>,
    /// Rings when a state has changed that all agents are told.
    pub(super) changed: watch::Sender<u64>,
    /// A round that is wanted at once.
    pub(super) wanted: Notify,
    /// How many rounds are over.
    pub(super) rounds: watch::Sender<u64>,
    pub(super) tasks: OnceLock<[AbortOnDrop; 3]>,
}

pub(super) struct Known {
    pub(super) endpoint: Track,
    pub(super) tcp: Track,
    pub(super) plain: Track,
    pub(super) tls: Option<Track>,
    /// The address of this machine's that the host of TCP services leads to.
    pub(super) tcp_address: Option<IpAddr>,
    /// A proxy stands before the plain socket, so the TLS socket is no visitor's way in.
    pub(super) is_behind_proxy: bool,
}

impl Known {
    /// The socket that public requests arrive at.
    pub(super) fn own(&self) -> &Track {
        self.tls.as_ref().filter(|_| !self.is_behind_proxy).unwrap_or(&self.plain)
    }

    /// What agents are told of the endpoint, and since when it is so. As far as the public address is not tried, what
    /// this process's own socket does not let in does not get in there either.
    pub(super) fn http(&self) -> (FrontState, Instant) {
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
    pub(crate) fn new(config: &RelayConfig) -> Result<Self, RelayError> {
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
    pub(crate) fn listens_plain(&self, listener: &TcpListener) -> u16 {
        self.listens(&self.plain, listener)
    }

    /// As [`Self::listens_plain`], over TLS.
    pub(crate) fn listens_tls(&self, listener: &TcpListener) -> u16 {
        self.listens(&self.tls, listener)
    }

    pub(super) fn listens(&self, known: &OnceLock<SocketAddr>, listener: &TcpListener) -> u16 {
        let Ok(address) = listener.local_addr() else { return 0 };
        let _ = known.set(address);
        self.wanted.notify_one();
        address.port()
    }

    /// Forgets what was found. Until the next attempt nothing is known, and whoever wants to know waits for it.
    pub(crate) fn begin_anew(&self) {
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

    pub(super) fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn tokens(&self) -> &Tokens {
        &self.prober.tokens
    }

    /// How long a request takes through the front, or through as much of it as lies in this process; `None` when it
    /// does not get through. Waits for the first attempt, half of [`limits::PROBE_LIMIT`] at most.
    pub(crate) async fn own(&self) -> Option<Duration> {
        let mut rounds = self.rounds.subscribe();
        let first = rounds.wait_for(|rounds| *rounds > 0);
        let _ = tokio::time::timeout(limits::PROBE_LIMIT / 2, first).await;
        let known = self.known();
        let tracks = [&known.endpoint, known.own()];
        let passed = tracks.into_iter().find(|track| track.state() == FrontState::Passed)?;
        Some(passed.took().unwrap_or_default())
    }

    /// The address at which raw TCP ports can be tried as a visitor would; `None`: only where they listen.
    pub(crate) fn tcp_address(&self) -> Option<IpAddr> {
        self.known().tcp_address
    }

    /// Waits for something, and forgets meanwhile what was a proof once and is too old.
    pub(super) async fn keep_current(&self, what: impl Future<Output = ()>) {
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

    pub(super) fn expires(&self) -> Option<Instant> {
        let known = self.known();
        let tracks = [&known.endpoint, &known.tcp, &known.plain].into_iter().chain(&known.tls);
        tracks.filter_map(Track::expires).min()
    }

    /// Changes what is known, and rings when agents have to hear of it.
    pub(super) fn change(&self, change: impl FnOnce(&mut Known, Instant)) {
        let mut known = self.known();
        let states = |known: &Known| (known.http().0, known.tcp.state());
        let before = states(&known);
        change(&mut known, Instant::now());
        if states(&known) != before {
            self.changed.send_modify(|count| *count += 1);
        }
    }

    /// How long to wait for the next round.
    pub(super) fn rest(&self) -> Duration {
        let known = self.known();
        let tracks = [&known.endpoint, &known.tcp, &known.plain].into_iter().chain(&known.tls);
        tracks.map(Track::rest).min().unwrap_or(limits::FRONT_EVERY)
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
