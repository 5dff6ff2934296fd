//! Raw TCP services: each has a port of its own, on the address that the operator chose (loopback by default).

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use petit_engine::mux::{Stream, Until, carry};
use petit_engine::name::RegisteredId;
use petit_engine::net::close::Closing;
use petit_engine::net::listen;
use petit_engine::proto::control::{GrantRefusal, ServiceKind};
use petit_engine::proto::frame::Purpose;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tracing::Instrument;

use super::admission::{Entrance, Ticket};
use super::failure::Failure;
use super::ingress::canonical;
use super::listeners::Accepting;
use super::places::{Claim, Slot};
use super::policed::{Policed, Shown};
use super::tcp_listeners::{TcpListenerEntry, url};
use super::visit::{Carried, Protocol, Visit, VisitEnd};
use super::{RelayShared, ServiceRegistration};

impl RelayShared {
    /// Listens for a service, or goes on listening; returns its public address.
    ///
    /// A port stays open while its service is registered, also when its client is away: visitors then get a
    /// reset at once, and nobody else gets the port. A relay that leaves opens none any more.
    pub(super) fn open_port(
        self: &Arc<Self>,
        registration: &ServiceRegistration,
    ) -> Result<String, GrantRefusal> {
        let (id, mut port) = (registration.id, registration.port);
        let mut table = self.tcp_listeners.table();
        if let Some(front) = table.get(&id) {
            if port == 0 {
                port = front.address.port();
            }
            // The operator may have given it another port since, or another policy.
            if port == front.address.port() && front.accepting.is_some() != self.is_shut(&id) {
                return Ok(url(&self.config.tcp_host, front.address));
            }
            if self.leaving.why().is_none() {
                table.remove(&id);
            }
        }
        // Nobody would accept from it: who connected would wait in the kernel's queue, and where another process takes
        // this one's place it could not open the port itself. The agent offers the service again, to whoever serves.
        if self.leaving.why().is_some() {
            return Err(GrantRefusal::PortBusy);
        }
        let wanted = SocketAddr::new(self.config.tcp_bind, port);
        if self.is_shut(&id) {
            let address = chosen(wanted).map_err(|_| GrantRefusal::NoPort)?;
            log_shut(id, address);
            table.insert(id, TcpListenerEntry { address, accepting: None });
            return Ok(url(&self.config.tcp_host, address));
        }
        let entry = self.listen(id, wanted).map_err(|error| match error.kind() {
            // Such as by the process before, which keeps the port of a service that has ended since until it has
            // ended itself. The agent offers it again.
            io::ErrorKind::AddrInUse => GrantRefusal::PortBusy,
            _ => GrantRefusal::NoPort,
        })?;
        let url = url(&self.config.tcp_host, entry.address);
        table.insert(id, entry);
        Ok(url)
    }

    fn listen(self: &Arc<Self>, id: RegisteredId, wanted: SocketAddr) -> io::Result<TcpListenerEntry> {
        let listener = listen::bind(wanted).and_then(|listener| Ok((listener.local_addr()?, listener)));
        let (address, listener) = listener.inspect_err(|error| {
            tracing::error!(%id, %wanted, %error, "cannot listen for a TCP service");
        })?;
        tracing::info!(%id, %address, "listening for a TCP service");
        Ok(TcpListenerEntry { address, accepting: Some(accept(self, id, listener)) })
    }

    /// True when raw TCP cannot keep the policy of a service, so that nobody may come in by its port.
    fn is_shut(&self, id: &RegisteredId) -> bool {
        let route = self.access.service(id);
        route.and_then(|route| route.policy).is_some_and(|policy| policy.shuts_tcp())
    }

    /// Brings the ports of raw TCP services up to the present state of their policies. Connections that there are go on.
    pub(super) fn look_at_ports(self: &Arc<Self>) {
        // A relay that leaves opens none any more, and whoever comes after it looks for itself.
        if self.leaving.why().is_some() {
            return;
        }
        for (id, entry) in &mut *self.tcp_listeners.table() {
            self.bring_up(id, entry);
        }
    }

    /// As [`Self::look_at_ports`], of one service.
    pub(super) fn look_at_port(self: &Arc<Self>, id: &RegisteredId) {
        if self.leaving.why().is_none()
            && let Some(entry) = self.tcp_listeners.table().get_mut(id)
        {
            self.bring_up(id, entry);
        }
    }

    /// Closes or opens a port, as the policy of its service wants it.
    fn bring_up(self: &Arc<Self>, id: &RegisteredId, entry: &mut TcpListenerEntry) {
        match (entry.accepting.is_some(), self.is_shut(id)) {
            (true, true) => {
                entry.accepting = None;
                log_shut(*id, entry.address);
            }
            (false, false) => {
                // What stands in the way was logged; the next change, or the agent's next log-in, tries again.
                if let Ok(opened) = self.listen(*id, entry.address) {
                    *entry = opened;
                }
            }
            (true, false) | (false, true) => {}
        }
    }

    /// Goes on listening for a service on a socket that another process has opened, when it is still registered as
    /// one of raw TCP and the address is still one of the operator's.
    pub(super) fn adopt_port(self: &Arc<Self>, id: RegisteredId, listener: TcpListener) {
        let is_tcp = self.access.service(&id).is_some_and(|route| route.kind == ServiceKind::Tcp);
        match listener.local_addr() {
            Ok(address) if is_tcp && address.ip() == self.config.tcp_bind => {
                let is_shut = self.is_shut(&id);
                if is_shut {
                    log_shut(id, address);
                }
                let accepting = (!is_shut).then(|| accept(self, id, listener));
                self.tcp_listeners.table().insert(id, TcpListenerEntry { address, accepting });
            }
            _ => tracing::info!(%id, "a TCP service's port is not wanted any more"),
        }
    }
}

/// The address with a port that the system chooses where it has none. Nobody listens there.
fn chosen(wanted: SocketAddr) -> io::Result<SocketAddr> {
    if wanted.port() != 0 {
        return Ok(wanted);
    }
    let socket = if wanted.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.bind(wanted)?;
    socket.local_addr()
}

fn log_shut(id: RegisteredId, address: SocketAddr) {
    tracing::warn!(%id, %address, "not listening for a TCP service: its policy asks for a key, which raw TCP cannot carry, and names no addresses in `from`");
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
            let begun = begin(&shared, id, peer);
            let span = match &begun {
                Some(Begun { visit, .. }) => tracing::debug_span!("stream", id = %visit.id, service = %id),
                None => tracing::Span::none(),
            };
            serve(&shared, begun, tcp, ticket).instrument(span).await;
        });
    })
}

/// A visit that its service's policy was asked about.
struct Begun {
    visit: Visit,
    policed: Result<Option<Arc<Policed>>, Failure>,
}

/// Begins a visit and asks its service's policy, before anything is waited for. `None`: there is no such service any more.
fn begin(shared: &RelayShared, id: RegisteredId, peer: SocketAddr) -> Option<Begun> {
    let route = shared.access.service(&id)?;
    let observer = shared.observer.as_ref();
    let visit =
        Visit::begin(observer, shared.next_request_id(), route, canonical(peer), || (Protocol::Tcp, None));
    let policed = match &visit.route.policy {
        Some(policy) => shared.policing.ask(&visit, policy, Shown::BY_TCP).map(Some),
        None => Ok(Some(shared.policing.unasked(&visit))),
    };
    Some(Begun { visit, policed })
}

/// Serves one visitor in the thread of his service's session. A visit that fails ends in a reset, so that nobody takes it
/// for a clean end.
async fn serve(shared: &Arc<RelayShared>, begun: Option<Begun>, tcp: TcpStream, ticket: Ticket) {
    let (visit, policed) = match begun {
        Some(Begun { visit, policed: Ok(policed) }) => (visit, policed),
        other => {
            let mut tcp = Closing::new(tcp);
            tcp.reset_unless_shut_down();
            if let Some(Begun { visit, policed: Err(failure) }) = other {
                turn_away(&visit, failure);
            }
            return;
        }
    };
    let upstream = shared.awaited.find(&shared.registry, &visit.route).await;
    let shard = upstream.map_or(0, |upstream| upstream.shard());
    let visited = Arc::clone(shared);
    let carried = move |tcp| {
        let span = tracing::Span::current();
        async move {
            let mut tcp = Closing::new(tcp);
            tcp.reset_unless_shut_down();
            carry_visit(&visited, &visit, policed, &mut tcp).await;
            drop(ticket);
        }
        .instrument(span)
    };
    shared.shards.run(&shared.tasks, shard, tcp, carried).await;
}

fn turn_away(visit: &Visit, failure: Failure) {
    tracing::debug!(visitor = %visit.visitor, code = failure.code(), "TCP visitor turned away");
    visit.recorder.ends(failure.into());
}

async fn carry_visit(shared: &RelayShared, visit: &Visit, policed: Option<Arc<Policed>>, tcp: &mut Closing) {
    let (slot, mut stream) = match open(shared, visit, policed).await {
        Ok(opened) => opened,
        Err(failure) => return turn_away(visit, failure),
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

/// The steps before a visitor can be carried whom the service's policy lets in, as those of a request: is the service one
/// of raw TCP, is its client there, a place, a stream.
async fn open(
    shared: &RelayShared,
    visit: &Visit,
    policed: Option<Arc<Policed>>,
) -> Result<(Slot, Stream), Failure> {
    let upstream = shared.registry.find(&visit.route);
    let upstream = upstream
        .ok_or_else(|| shared.registry.presence(&visit.route).failure().unwrap_or(Failure::NotOffered))?;
    // Between a change of its kind and the end of its port, nobody gets past the checks of public HTTP.
    if visit.route.kind != ServiceKind::Tcp || upstream.kind() != ServiceKind::Tcp {
        return Err(Failure::NotOffered);
    }
    let claim = Claim { visitor: shared.places.visitor(visit.visitor.ip()), has_body: false };
    let mut slot = shared.place(&upstream.rooms().visits, claim).await?;
    // Its client, its thread and its place had to be waited for.
    let route = shared.present_route(visit)?;
    slot.hold(shared.ask_again(visit, &route, policed, Shown::BY_TCP)?);
    visit.recorder.placed();
    Ok((slot, upstream.open(Purpose::Visit, visit.id, visit.visitor)?))
}
