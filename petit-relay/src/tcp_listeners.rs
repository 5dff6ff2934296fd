//! The ports of raw TCP services, and how they are probed.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use petit_engine::limits;
use petit_engine::name::RegisteredId;
use tokio::net::TcpSocket;
use tokio::sync::oneshot;

use super::front_probe::{reachable, source_towards};
use super::ingress::canonical;
use super::listeners::Accepting;

/// The listeners of raw TCP services.
#[derive(Default)]
pub(super) struct TcpListeners {
    open: Mutex<HashMap<RegisteredId, TcpListenerEntry>>,
    pub(super) probes: Arc<PortProbes>,
}

/// Connections of the relay's own that are on their way to its raw TCP ports. They are known by where they come
/// from, and none of them reaches a service.
#[derive(Default)]
pub(super) struct PortProbes {
    under_way: AtomicUsize,
    /// By source and port.
    expected: Mutex<HashMap<(SocketAddr, u16), oneshot::Sender<()>>>,
}

impl PortProbes {
    fn expected(&self) -> MutexGuard<'_, HashMap<(SocketAddr, u16), oneshot::Sender<()>>> {
        self.expected.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// True when a connection to a port is one of ours; its probe hears of it.
    pub(super) fn takes(&self, peer: SocketAddr, port: u16) -> bool {
        // What every visitor passes costs one load.
        if self.under_way.load(Ordering::Acquire) == 0 {
            return false;
        }
        let probe = self.expected().remove(&(canonical(peer), port));
        probe.map(|probe| probe.send(())).is_some()
    }

    /// Connects to a port, and waits until it was accepted.
    async fn connect(&self, to: SocketAddr) -> io::Result<()> {
        let socket = if to.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        socket.bind(SocketAddr::new(source_towards(to.ip())?, 0))?;
        let key = (canonical(socket.local_addr()?), to.port());
        let (accepted, seen) = oneshot::channel();
        // Known before the first packet is sent: it may be accepted before `connect` returns.
        self.under_way.fetch_add(1, Ordering::Release);
        let _expected = Expected { probes: self, key };
        self.expected().insert(key, accepted);
        let connection = socket.connect(to).await?;
        // Reset, so that no port of ours has to rest for a minute.
        socket2::SockRef::from(&connection).set_linger(Some(Duration::ZERO))?;
        seen.await.map_err(|_| io::ErrorKind::ConnectionAborted.into())
    }
}

/// Ends the expectation of a connection when it is dropped.
struct Expected<'a> {
    probes: &'a PortProbes,
    key: (SocketAddr, u16),
}

impl Drop for Expected<'_> {
    fn drop(&mut self) {
        self.probes.expected().remove(&self.key);
        self.probes.under_way.fetch_sub(1, Ordering::Release);
    }
}

pub(super) struct TcpListenerEntry {
    pub(super) address: SocketAddr,
    /// `None`: nobody may come in, because raw TCP cannot keep the service's policy.
    pub(super) accepting: Option<Accepting>,
}

impl TcpListeners {
    pub(super) fn table(&self) -> MutexGuard<'_, HashMap<RegisteredId, TcpListenerEntry>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Copies of the sockets.
    pub(super) fn copies(&self) -> io::Result<Vec<(RegisteredId, std::net::TcpListener)>> {
        let table = self.table();
        let accepting = table.iter().filter_map(|(id, front)| Some((id, front.accepting.as_ref()?)));
        accepting.map(|(id, accepting)| Ok((*id, accepting.copy()?))).collect()
    }

    /// Connects to the port of a service as a visitor would, at `public` where that is this machine and otherwise
    /// where it listens; returns how long that took. `None`: it does not take connections. Nothing is sent, and the
    /// service does not hear of it.
    pub(super) async fn try_port(&self, public: Option<IpAddr>, id: &RegisteredId) -> Option<Duration> {
        let listening = self.table().get(id).filter(|front| front.accepting.is_some())?.address;
        let to = public.map_or(reachable(listening), |ip| SocketAddr::new(ip, listening.port()));
        let start = Instant::now();
        let connecting = tokio::time::timeout(limits::PORT_PROBE, self.probes.connect(to)).await;
        connecting
            .ok()?
            .inspect_err(|error| tracing::debug!(%id, %to, %error, "a TCP port was not reached"))
            .ok()?;
        Some(start.elapsed())
    }

    /// The services whose ports are not listened on, because raw TCP cannot keep their policies.
    pub(super) fn shut(&self) -> Vec<RegisteredId> {
        let table = self.table();
        table.iter().filter(|(_, front)| front.accepting.is_none()).map(|(id, _)| *id).collect()
    }

    /// The service that has a port.
    pub(super) fn at_port(&self, port: u16) -> Option<RegisteredId> {
        self.table().iter().find(|(_, front)| front.address.port() == port).map(|(id, _)| *id)
    }

    /// The public address of a service that has its port.
    pub(super) fn url(&self, host: &str, id: &RegisteredId) -> Option<String> {
        self.table().get(id).map(|front| url(host, front.address))
    }

    /// Closes the port of a service that is not reached by one any more.
    pub(super) fn close(&self, id: &RegisteredId) {
        self.table().remove(id);
    }

    /// Closes the ports of services that are no longer registered.
    pub(super) fn keep(&self, is_registered: impl Fn(&RegisteredId) -> bool) {
        self.table().retain(|id, _| is_registered(id));
    }
}

/// The public address of a port.
pub(super) fn url(host: &str, address: SocketAddr) -> String {
    tcp_url(host, address.port())
}

/// The public address of a raw TCP service that has a port on `host`, a name or an address.
pub fn tcp_url(host: &str, port: u16) -> String {
    if host.contains(':') { format!("tcp://[{host}]:{port}") } else { format!("tcp://{host}:{port}") }
}
