//! The listening sockets of a relay, so that another process can be given them.

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::str::FromStr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use petit_engine::name::RegisteredId;
use petit_engine::net::listen;
use tokio::net::{TcpListener, TcpStream};

use super::admission::{Entrance, Ticket};
use super::leaving::AbortOnDrop;
use super::{Relay, RelayShared};

/// What comes in on a listening socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListenerKind {
    /// Visitors over plain HTTP.
    Http,
    /// Clients, and visitors over HTTPS.
    Tls,
    /// Visitors of one raw TCP service.
    Tcp(RegisteredId),
}

impl fmt::Display for ListenerKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http => f.write_str("http"),
            Self::Tls => f.write_str("tls"),
            Self::Tcp(id) => write!(f, "tcp:{id}"),
        }
    }
}

/// A text that names no listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no listener has this name")]
pub struct UnknownListener;

impl FromStr for ListenerKind {
    type Err = UnknownListener;

    fn from_str(text: &str) -> Result<Self, UnknownListener> {
        match text {
            "http" => Ok(Self::Http),
            "tls" => Ok(Self::Tls),
            _ => {
                let id = text.strip_prefix("tcp:").ok_or(UnknownListener)?;
                id.parse().map(Self::Tcp).map_err(|_| UnknownListener)
            }
        }
    }
}

/// A socket that is accepted from while this lives.
#[derive(Debug)]
pub(super) struct Accepting {
    listener: Arc<TcpListener>,
    _task: AbortOnDrop,
}

impl Accepting {
    pub(super) fn copy(&self) -> io::Result<StdListener> {
        Ok(socket2::SockRef::from(&*self.listener).try_clone()?.into())
    }
}

/// The sockets that a relay was handed.
#[derive(Debug, Default)]
pub(super) struct Listeners {
    open: Mutex<Vec<(ListenerKind, Accepting)>>,
}

impl Listeners {
    pub(super) fn table(&self) -> MutexGuard<'_, Vec<(ListenerKind, Accepting)>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

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
        Accepting { listener, _task: task }
    }
}

impl Relay {
    /// Copies of all listening sockets. Whoever holds one keeps its queue in the kernel alive.
    ///
    /// # Errors
    /// When the process is out of descriptors.
    pub fn sockets(&self) -> io::Result<Vec<(ListenerKind, StdListener)>> {
        let mut sockets = Vec::new();
        for (kind, accepting) in &*self.shared.listeners.table() {
            sockets.push((*kind, accepting.copy()?));
        }
        for (id, listener) in self.shared.tcp_listeners.copies()? {
            sockets.push((ListenerKind::Tcp(id), listener));
        }
        Ok(sockets)
    }

    /// Goes on listening for a raw TCP service on a socket that another process has opened. One that does not fit
    /// any more is closed.
    pub fn adopt(&self, id: RegisteredId, listener: TcpListener) {
        self.shared.tcp_listeners.adopt(&self.shared, id, listener);
    }

    /// Closes this process's copies of its listening sockets. It cannot come back after that, and finishes what is under
    /// way all the same.
    pub fn let_go(&self) {
        self.shared.listeners.table().clear();
        self.shared.tcp_listeners.keep(|_| false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listeners_are_found_again_by_their_names() {
        let id = RegisteredId::random().unwrap();
        for front in [ListenerKind::Http, ListenerKind::Tls, ListenerKind::Tcp(id)] {
            assert_eq!(front.to_string().parse(), Ok(front));
        }
        for unknown in ["", "https", "tcp:", "tcp:x", "TLS"] {
            assert_eq!(unknown.parse::<ListenerKind>(), Err(UnknownListener), "{unknown:?}");
        }
    }
}
