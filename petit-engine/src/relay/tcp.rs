//! Raw TCP services: each has a port of its own, on the address that the operator chose (loopback by default).

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::task::AbortHandle;

use super::door::Entrance;
use super::{Registration, Shared};
use crate::limits;
use crate::mux::{Until, carry};
use crate::name::RegisteredId;
use crate::net::listen;
use crate::proto::control::{GrantRefusal, ServiceKind};
use crate::proto::frame::{Open, Purpose};

/// The listeners of raw TCP services.
#[derive(Default)]
pub(super) struct Fronts {
    open: Mutex<HashMap<RegisteredId, Front>>,
}

struct Front {
    address: SocketAddr,
    accepting: AbortHandle,
}

impl Drop for Front {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Fronts {
    fn table(&self) -> MutexGuard<'_, HashMap<RegisteredId, Front>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Listens for a service, or goes on listening; returns its public address.
    ///
    /// A port stays open while its service is registered, also when its client is away: visitors then get a
    /// reset at once, and nobody else gets the port.
    pub(super) fn open(
        &self,
        shared: &Arc<Shared>,
        registration: &Registration,
    ) -> Result<String, GrantRefusal> {
        let id = registration.id;
        let mut table = self.table();
        if let Some(front) = table.get(&id) {
            // The operator may have given it another port since.
            if registration.port == 0 || registration.port == front.address.port() {
                return Ok(url(&shared.config.tcp_host, front.address));
            }
            table.remove(&id);
        }
        let wanted = SocketAddr::new(shared.config.tcp_bind, registration.port);
        let listener = listen::bind(wanted).and_then(|listener| Ok((listener.local_addr()?, listener)));
        let (address, listener) = listener.map_err(|error| {
            tracing::error!(%id, %wanted, %error, "cannot listen for a TCP service");
            GrantRefusal::NoPort
        })?;
        let visited = Arc::clone(shared);
        let accepting = listen::accept(listener, move |tcp, peer| {
            let shared = Arc::clone(&visited);
            let Some(ticket) = shared.door.admit(peer.ip(), Entrance::Visitors) else { return };
            let tasks = shared.tasks.clone();
            tasks.spawn(async move {
                let session = shared.access.service(&id).and_then(|route| shared.registry.find(&route));
                let shard = session.map_or(0, |(session, _)| session.shard);
                let visited = Arc::clone(&shared);
                let serve = move |tcp| async move {
                    visit(&visited, id, tcp, peer).await;
                    drop(ticket);
                };
                shared.shards.run(&shared.tasks, shard, tcp, serve).await;
            });
        });
        let mut leaving = shared.leaving.subscribe();
        let task = shared.tasks.spawn(async move {
            tokio::select! {
                () = accepting => {}
                _ = leaving.wait_for(|leaving| *leaving) => {}
            }
        });
        table.insert(id, Front { address, accepting: task.abort_handle() });
        tracing::info!(%id, %address, "listening for a TCP service");
        Ok(url(&shared.config.tcp_host, address))
    }

    /// True while a service has its port.
    pub(super) fn is_open(&self, id: &RegisteredId) -> bool {
        self.table().contains_key(id)
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

fn url(host: &str, address: SocketAddr) -> String {
    if host.contains(':') {
        format!("tcp://[{host}]:{}", address.port())
    } else {
        format!("tcp://{host}:{}", address.port())
    }
}

/// Carries one visitor. A visit that fails ends in a reset, so that nobody takes it for a clean end.
async fn visit(shared: &Shared, id: RegisteredId, mut tcp: TcpStream, peer: SocketAddr) {
    let stream = shared.access.service(&id).and_then(|route| {
        // Between a change of its kind and the end of its port, nobody gets past the checks of public HTTP.
        let (session, served) = shared.registry.find(&route)?;
        if route.kind != ServiceKind::Tcp || served.kind != ServiceKind::Tcp {
            return None;
        }
        let open = Open {
            service: served.number,
            purpose: Purpose::Visit,
            window: limits::INITIAL_WINDOW_BYTES,
            visitor: canonical(peer),
            id: shared.next_request_id(),
        };
        session.mux.open(open).ok()
    });
    let result = match stream {
        Some(mut stream) => carry(&mut stream, &mut tcp, Until::LocalHasAll, &mut ()).await.map_err(Some),
        None => Err(None),
    };
    if let Err(error) = result {
        tracing::debug!(%id, %peer, ?error, "TCP visit broke");
        let _ = socket2::SockRef::from(&tcp).set_linger(Some(Duration::ZERO));
    }
}

/// An IPv4 visitor of a dual-stack listener as what it is.
pub(super) fn canonical(peer: SocketAddr) -> SocketAddr {
    let ip: IpAddr = peer.ip().to_canonical();
    SocketAddr::new(ip, peer.port())
}
