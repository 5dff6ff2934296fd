//! The attempts, for as long as the relay serves: at the fronts one round after the other, at customers' domains one
//! after the other.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use petit_engine::cause::FrontUntried;
use petit_engine::limits;
use petit_engine::name::Alias;
use petit_engine::secret::{NoRandom, random_bytes};
use tokio::task::JoinSet;

use super::attempt::{AttemptOutcome, Target, reachable};
use super::own_machine::is_of_this_machine;
use super::probes::FrontProbes;
use super::settings::FrontProbing;
use super::track::Track;
use super::view::{FrontKind, record};
use crate::RelayShared;
use crate::session::Session;

impl FrontProbes {
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

    /// The domains among a session's names are tried from now on.
    pub(crate) fn watch(&self, session: &Session) {
        if self.probing == FrontProbing::Public {
            for name in session.domains() {
                self.domains.add(&name);
            }
        }
    }

    /// Tries customers' domains for as long as it is polled. Never ends.
    pub(super) async fn run_domains(&self, shared: &Arc<RelayShared>) {
        let mut attempts = JoinSet::new();
        loop {
            while self.domains.is_empty() {
                self.domains.added.notified().await;
            }
            tokio::time::sleep(limits::FRONT_NAMES_PACE).await;
            while attempts.len() >= limits::FRONT_NAMES_AT_ONCE {
                attempts.join_next().await;
            }
            while attempts.try_join_next().is_some() {}
            if let Some(name) = self.domains.next(Instant::now()) {
                let shared = Arc::clone(shared);
                attempts.spawn(async move { shared.front_probes.try_domain(&shared, name).await });
            }
        }
    }

    async fn try_domain(&self, shared: &RelayShared, name: Alias) {
        // Another alias may have taken its place, and a client that is away is told nothing.
        let route = shared.access.alias(name.as_str()).and_then(|id| shared.access.service(&id));
        let Some((session, _)) = route.and_then(|route| shared.registry.newest(&route)) else {
            return self.domains.forget(&name);
        };
        let target = Target::public(&shared.config.endpoint, name.to_string());
        let outcome = self.prober.attempt(&target).await;
        if let Some(track) = self.domains.table().tracks.get_mut(&name) {
            record(track, &FrontKind::Domain(name), outcome, Instant::now());
        }
        shared.tell_fronts(&session);
    }
}

/// A name under the domain that nobody has asked for before: too long for an alias, and no registered ID up to its
/// first hyphen.
fn random_host(domain: &str) -> Result<String, NoRandom> {
    let random: [u8; 20] = random_bytes()?;
    let random = data_encoding::BASE32_NOPAD.encode(&random).to_ascii_lowercase();
    Ok(format!("petit-probe-{random}.{domain}"))
}

impl RelayShared {
    /// Tries the fronts for as long as the relay serves, and tells agents what came of it. A relay whose place another
    /// process takes does not: what comes in at its sockets comes in there.
    pub(crate) fn probe_fronts(self: &Arc<Self>) {
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
