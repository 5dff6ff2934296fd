//! Raw TCP services: each has a port of its own, on the address that the operator chose (loopback by default).

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use petit_engine::limits;
use petit_engine::mux::{Stream, Until, carry};
use petit_engine::name::RegisteredId;
use petit_engine::net::close::Closing;
use petit_engine::net::listen;
use petit_engine::proto::control::{GrantRefusal, ServiceKind};
use petit_engine::proto::frame::Purpose;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::oneshot;
use tracing::Instrument;

use super::admission::Entrance;
use super::failure::Failure;
use super::front_probe::{reachable, source_towards};
use super::ingress::canonical;
use super::listeners::Accepting;
use super::places::{Claim, Slot};
use super::visit::{Carried, Protocol, Visit, VisitEnd};
use super::{RelayShared, ServiceRegistration};

/// The listeners of raw TCP services.
#[derive(Default)]
pub(super) struct TcpListeners {
    open: Mutex<HashMap<RegisteredId, TcpListenerEntry>>,
    probes: Arc<PortProbes>,
}

/// Connections of the relay's own that are on their way to its raw TCP ports. They are known by where they come
/// from, and none of them reaches a service.
#[derive(Default)]
struct PortProbes {
    under_way: AtomicUsize,
    /// By source and port.
    expected: Mutex<HashMap<(SocketAddr, u16), oneshot::Sender<()>>>,
}

impl PortProbes {
    fn expected(&self) -> MutexGuard<'_, HashMap<(SocketAddr, u16), oneshot::Sender<()>>> {
        self.expected.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// True when a connection to a port is one of ours; its probe hears of it.
    fn takes(&self, peer: SocketAddr, port: u16) -> bool {
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

struct TcpListenerEntry {
    address: SocketAddr,
    accepting: Accepting,
}

impl TcpListeners {
    fn table(&self) -> MutexGuard<'_, HashMap<RegisteredId, TcpListenerEntry>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Listens for a service, or goes on listening; returns its public address.
    ///
    /// A port stays open while its service is registered, also when its client is away: visitors then get a
    /// reset at once, and nobody else gets the port. A relay that leaves opens none any more.
    pub(super) fn open(
        &self,
        shared: &Arc<RelayShared>,
        registration: &ServiceRegistration,
    ) -> Result<String, GrantRefusal> {
        let id = registration.id;
        let mut table = self.table();
        if let Some(front) = table.get(&id) {
            // The operator may have given it another port since.
            if registration.port == 0 || registration.port == front.address.port() {
                return Ok(url(&shared.config.tcp_host, front.address));
            }
            if shared.leaving.why().is_none() {
                table.remove(&id);
            }
        }
        // Nobody would accept from it: who connected would wait in the kernel's queue, and where another process takes
        // this one's place it could not open the port itself. The agent offers the service again, to whoever serves.
        if shared.leaving.why().is_some() {
            return Err(GrantRefusal::PortBusy);
        }
        let wanted = SocketAddr::new(shared.config.tcp_bind, registration.port);
        let listener = listen::bind(wanted).and_then(|listener| Ok((listener.local_addr()?, listener)));
        let (address, listener) = listener.map_err(|error| {
            tracing::error!(%id, %wanted, %error, "cannot listen for a TCP service");
            match error.kind() {
                // Such as by the process before, which keeps the port of a service that has ended since until it has
                // ended itself. The agent offers it again.
                io::ErrorKind::AddrInUse => GrantRefusal::PortBusy,
                _ => GrantRefusal::NoPort,
            }
        })?;
        table.insert(id, TcpListenerEntry { address, accepting: accept(shared, id, listener) });
        tracing::info!(%id, %address, "listening for a TCP service");
        Ok(url(&shared.config.tcp_host, address))
    }

    /// Goes on listening for a service on a socket that another process has opened, when it is still registered as
    /// one of raw TCP and the address is still one of the operator's.
    pub(super) fn adopt(&self, shared: &Arc<RelayShared>, id: RegisteredId, listener: TcpListener) {
        let is_tcp = shared.access.service(&id).is_some_and(|route| route.kind == ServiceKind::Tcp);
        match listener.local_addr() {
            Ok(address) if is_tcp && address.ip() == shared.config.tcp_bind => {
                let accepting = accept(shared, id, listener);
                self.table().insert(id, TcpListenerEntry { address, accepting });
            }
            _ => tracing::info!(%id, "a TCP service's port is not wanted any more"),
        }
    }

    /// Copies of the sockets.
    pub(super) fn copies(&self) -> io::Result<Vec<(RegisteredId, std::net::TcpListener)>> {
        let table = self.table();
        table.iter().map(|(id, front)| Ok((*id, front.accepting.copy()?))).collect()
    }

    /// Connects to the port of a service as a visitor would, at `public` where that is this machine and otherwise
    /// where it listens; returns how long that took. `None`: it does not take connections. Nothing is sent, and the
    /// service does not hear of it.
    pub(super) async fn try_port(&self, public: Option<IpAddr>, id: &RegisteredId) -> Option<Duration> {
        let listening = self.table().get(id).map(|front| front.address)?;
        let to = public.map_or(reachable(listening), |ip| SocketAddr::new(ip, listening.port()));
        let start = Instant::now();
        let connecting = tokio::time::timeout(limits::PORT_PROBE, self.probes.connect(to)).await;
        connecting
            .ok()?
            .inspect_err(|error| tracing::debug!(%id, %to, %error, "a TCP port was not reached"))
            .ok()?;
        Some(start.elapsed())
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

/// Carries the visitors of a service from now on.
fn accept(shared: &Arc<RelayShared>, id: RegisteredId, listener: TcpListener) -> Accepting {
    let visited = Arc::clone(shared);
    let port = listener.local_addr().map_or(0, |address| address.port());
    let probes = Arc::clone(&shared.tcp_listeners.probes);
    let is_own_probe = move |peer| probes.takes(peer, port);
    shared.accept_unless(listener, Entrance::Visitors, is_own_probe, move |tcp, peer, ticket| {
        let shared = Arc::clone(&visited);
        let tasks = shared.tasks.clone();
        tasks.spawn(async move {
            let upstream = match shared.access.service(&id) {
                Some(route) => shared.awaited.find(&shared.registry, &route).await,
                None => None,
            };
            let shard = upstream.map_or(0, |upstream| upstream.shard());
            let visited = Arc::clone(&shared);
            let serve = move |tcp| async move {
                carry_visitor(&visited, id, tcp, peer).await;
                drop(ticket);
            };
            shared.shards.run(&shared.tasks, shard, tcp, serve).await;
        });
    })
}

fn url(host: &str, address: SocketAddr) -> String {
    if host.contains(':') {
        format!("tcp://[{host}]:{}", address.port())
    } else {
        format!("tcp://{host}:{}", address.port())
    }
}

/// Carries one visitor. A visit that fails ends in a reset, so that nobody takes it for a clean end.
async fn carry_visitor(shared: &RelayShared, id: RegisteredId, tcp: TcpStream, peer: SocketAddr) {
    let mut tcp = Closing::new(tcp);
    tcp.reset_unless_shut_down();
    let Some(route) = shared.access.service(&id) else {
        return tracing::debug!(%id, %peer, "TCP visitor turned away");
    };
    let observer = shared.observer.as_ref();
    let visit =
        Visit::begin(observer, shared.next_request_id(), route, canonical(peer), || (Protocol::Tcp, None));
    let span = tracing::debug_span!("stream", id = %visit.id, service = %id);
    carry_visit(shared, &visit, &mut tcp).instrument(span).await;
}

async fn carry_visit(shared: &RelayShared, visit: &Visit, tcp: &mut Closing) {
    let (slot, mut stream) = match open(shared, visit).await {
        Ok(opened) => opened,
        Err(failure) => {
            tracing::debug!(visitor = %visit.visitor, code = failure.code(), "TCP visitor turned away");
            return visit.recorder.ends(VisitEnd::Failed(failure));
        }
    };
    let _counted = shared.leaving.tcp();
    slot.place().answered();
    visit.recorder.answered();
    let mut progress = Carried { recorder: &visit.recorder, place: slot.place() };
    let end = tokio::select! {
        result = carry(&mut stream, tcp, Until::BothFinishOrLocalBreaks, &mut progress) => match result {
            Ok(()) => VisitEnd::Whole,
            Err(error) => {
                tracing::debug!(visitor = %visit.visitor, ?error, "TCP visit broke");
                VisitEnd::of_broken(&error, stream.outcome())
            }
        },
        () = slot.place().lost() => {
            tracing::debug!(visitor = %visit.visitor, "a TCP visit gives way");
            VisitEnd::Failed(Failure::GaveWay)
        }
    };
    visit.recorder.ends(end);
}

/// The steps before a visitor can be carried, as those of a request: is the service one of raw TCP, is its client there,
/// a place, a stream.
async fn open(shared: &RelayShared, visit: &Visit) -> Result<(Slot, Stream), Failure> {
    let upstream = shared.registry.find(&visit.route);
    let upstream = upstream
        .ok_or_else(|| shared.registry.presence(&visit.route).failure().unwrap_or(Failure::NotOffered))?;
    // Between a change of its kind and the end of its port, nobody gets past the checks of public HTTP.
    if visit.route.kind != ServiceKind::Tcp || upstream.kind() != ServiceKind::Tcp {
        return Err(Failure::NotOffered);
    }
    let claim = Claim { visitor: shared.places.visitor(visit.visitor.ip()), has_body: false };
    let entered = shared.place(&upstream.rooms().visits, claim).await;
    let slot = entered.inspect_err(|_| shared.places.refused())?;
    visit.recorder.placed();
    Ok((slot, upstream.open(Purpose::Visit, visit.id, visit.visitor)?))
}
