//! Accepting: who connects is admitted or not, and handed on.

use std::net::SocketAddr;
use std::sync::Arc;

use petit_engine::net::listen;
use tokio::net::{TcpListener, TcpStream};

use super::RelayShared;
use super::admission::{Entrance, Ticket};
use super::listeners::Accepting;

impl RelayShared {
    /// Accepts from a socket while the relay serves, and hands on who is let in.
    pub(super) fn accept(
        self: &Arc<Self>,
        listener: TcpListener,
        entrance: Entrance,
        take: impl Fn(TcpStream, SocketAddr, Ticket) + Send + Sync + 'static,
    ) -> Accepting {
        self.accept_unless(listener, entrance, |_| false, take)
    }

    /// As [`RelayShared::accept`], but without those that `is_own` takes for the relay's.
    pub(super) fn accept_unless(
        self: &Arc<Self>,
        listener: TcpListener,
        entrance: Entrance,
        is_own: impl Fn(SocketAddr) -> bool + Send + Sync + 'static,
        take: impl Fn(TcpStream, SocketAddr, Ticket) + Send + Sync + 'static,
    ) -> Accepting {
        let listener = Arc::new(listener);
        let (connections, accepted) = (Arc::clone(&self.connections), Arc::clone(&listener));
        let takers = Arc::new((is_own, take));
        let task = self.while_serving(move || {
            let (connections, takers, listener) =
                (Arc::clone(&connections), Arc::clone(&takers), Arc::clone(&accepted));
            async move {
                let (is_own, take) = &*takers;
                let admit = |tcp: TcpStream, peer: SocketAddr| {
                    if is_own(peer) {
                        return;
                    }
                    if let Some(ticket) = connections.admit(peer.ip(), entrance) {
                        take(tcp, peer, ticket);
                    }
                };
                listen::accept(&listener, admit).await;
            }
        });
        Accepting::new(listener, task)
    }
}
