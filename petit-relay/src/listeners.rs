//! The listening sockets of a relay, so that another process can be given them.

use std::fmt;
use std::io;
use std::net::TcpListener as StdListener;
use std::str::FromStr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use petit_engine::name::RegisteredId;
use tokio::net::TcpListener;

use super::leaving::AbortOnDrop;

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
    pub(super) fn new(listener: Arc<TcpListener>, task: AbortOnDrop) -> Self {
        Self { listener, _task: task }
    }

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
