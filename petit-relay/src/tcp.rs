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
use tokio::net::{TcpListener, TcpStream};
use tracing::Instrument;

use super::admission::Entrance;
use super::failure::Failure;
use super::ingress::canonical;
use super::listeners::Accepting;
use super::places::{Claim, Slot};
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
        let id = registration.id;
        let mut table = self.tcp_listeners.table();
        if let Some(front) = table.get(&id) {
            // The operator may have given it another port since.
            if registration.port == 0 || registration.port == front.address.port() {
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
        let wanted = SocketAddr::new(self.config.tcp_bind, registration.port);
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
        table.insert(id, TcpListenerEntry { address, accepting: accept(self, id, listener) });
        tracing::info!(%id, %address, "listening for a TCP service");
        Ok(url(&self.config.tcp_host, address))
    }

    /// Goes on listening for a service on a socket that another process has opened, when it is still registered as
    /// one of raw TCP and the address is still one of the operator's.
    pub(super) fn adopt_port(self: &Arc<Self>, id: RegisteredId, listener: TcpListener) {
        let is_tcp = self.access.service(&id).is_some_and(|route| route.kind == ServiceKind::Tcp);
        match listener.local_addr() {
            Ok(address) if is_tcp && address.ip() == self.config.tcp_bind => {
                let accepting = accept(self, id, listener);
                self.tcp_listeners.table().insert(id, TcpListenerEntry { address, accepting });
            }
            _ => tracing::info!(%id, "a TCP service's port is not wanted any more"),
        }
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
