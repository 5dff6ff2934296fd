//! From a server's name to a TLS connection, inside one time limit.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{AlertDescription, CertificateError, ClientConfig};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::inspect::{Stranger, inspect};
use super::proxy::{Proxy, ProxyError};
use super::tcp::{ConnectError, connect, is_out_of_descriptors, tune};
use super::tls;
use super::wire::Wire;
use crate::cause::Cause;
use crate::name::ServerAddr;

/// How the server is reached, beside its address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DialRoute {
    /// The proxy on the way, when there is one.
    pub proxy: Option<Proxy>,
    /// Further addresses of the same server, tried in order after the first. They are held to the same pins.
    pub others: Vec<ServerAddr>,
    /// Only a key exchange that a future quantum computer cannot undo will do.
    pub require_pq: bool,
}

/// Why no connection came about.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// The name did not resolve.
    #[error("{server}: the name was not found")]
    Name {
        /// What was asked for.
        server: ServerAddr,
        /// What the resolver said.
        source: io::Error,
    },
    /// No address could be connected to; this is the last one's error.
    #[error("{server} at {address}")]
    Tcp {
        /// What was asked for.
        server: ServerAddr,
        /// The address that was tried last.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The proxy did not lead there.
    #[error(transparent)]
    Proxy(#[from] ProxyError),
    /// Nothing came back in time.
    #[error("{server} did not answer within {limit:?}")]
    Unanswered {
        server: ServerAddr,
        /// How long was waited.
        limit: Duration,
        /// TCP had answered; it was TLS that did not.
        connected: bool,
    },
    /// The server's key is not one that was pinned.
    #[error("{server} is not the server of the invite: its key is another")]
    WrongServer { server: ServerAddr },
    /// The server does not know this device's key (any more).
    #[error("{server} does not know this device")]
    Denied { server: ServerAddr },
    /// The connection was closed before TLS had told who is there: by a server that has just ended, or by something on
    /// the way. Nothing was proved of whoever listens.
    #[error("{server} closed the connection before it had answered")]
    Closed {
        server: ServerAddr,
        /// What the system said.
        source: io::Error,
    },
    /// What answers is no Petit server, or something in between speaks in its place.
    #[error("{server} does not answer as a Petit server")]
    NotPetit {
        server: ServerAddr,
        /// What TLS said.
        source: io::Error,
    },
    /// Something on the way opens TLS connections, and shows a certificate for the server's name in its place.
    #[error("the connection to {server} is opened on the way by {issuer}")]
    Inspected {
        /// Who was meant.
        server: ServerAddr,
        /// Who signed the certificate that was shown.
        issuer: String,
    },
    /// The key exchange was not one that was asked for.
    #[error("{server} has agreed on {group}, which is not post-quantum")]
    Classical {
        server: ServerAddr,
        /// The key exchange.
        group: String,
    },
}

impl DialError {
    /// What a screen may know of it.
    pub fn cause(&self) -> Cause {
        match self {
            Self::Name { source, .. } | Self::Tcp { source, .. } if is_out_of_descriptors(source) => {
                Cause::NoDescriptors
            }
            Self::Proxy(ProxyError::Unreachable { source, .. }) if is_out_of_descriptors(source) => {
                Cause::NoDescriptors
            }
            Self::Name { .. } => Cause::NameNotFound,
            Self::Tcp { source, .. } => match source.kind() {
                io::ErrorKind::ConnectionRefused => Cause::ConnectionRefused,
                io::ErrorKind::TimedOut => Cause::Unanswered,
                io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted => Cause::Lost,
                _ => Cause::NetworkUnreachable,
            },
            Self::Proxy(ProxyError::Unreachable { .. }) => Cause::ProxyUnreachable,
            Self::Proxy(ProxyError::Login { .. }) => Cause::ProxyLogin,
            Self::Proxy(ProxyError::Refused { .. }) => Cause::ProxyRefused,
            Self::Unanswered { .. } | Self::Closed { .. } => Cause::Unanswered,
            Self::WrongServer { .. } => Cause::WrongServer,
            Self::Denied { .. } => Cause::Unknown,
            Self::NotPetit { .. } => Cause::NotPetit,
            Self::Inspected { .. } => Cause::Inspected,
            Self::Classical { .. } => Cause::Classical,
        }
    }

    /// What a TLS connection's failure means: rustls' own errors and alerts come as `InvalidData`, and what the system
    /// said comes as it is.
    pub fn from_tls(server: &ServerAddr, source: io::Error) -> Self {
        let server = server.clone();
        match tls_error(&source) {
            Some(rustls::Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure)) => {
                Self::WrongServer { server }
            }
            Some(rustls::Error::AlertReceived(AlertDescription::AccessDenied)) => Self::Denied { server },
            Some(_) => Self::NotPetit { server, source },
            None => Self::Closed { server, source },
        }
    }

    /// True when TLS broke off before the server had said anything: what a middlebox does that is intolerant of a
    /// ClientHello of more than one packet, as a post-quantum one is.
    pub(crate) fn is_before_server_hello(&self) -> bool {
        match self {
            Self::Closed { .. } => true,
            Self::Unanswered { connected, .. } => *connected,
            _ => false,
        }
    }
}

fn tls_error(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>())
}

/// A connection to a server, both sides proved.
pub type Dialled = TlsStream<Wire<TcpStream>>;

/// Connects to `server` and proves both sides, all within `limit`.
///
/// # Errors
/// [`DialError`], of the address that was tried last.
///
/// # Cancel safety
/// Cancelling closes whatever was open.
pub async fn dial(
    server: &ServerAddr,
    route: &DialRoute,
    config: Arc<ClientConfig>,
    limit: Duration,
) -> Result<Dialled, DialError> {
    let deadline = Instant::now() + limit;
    let servers: Vec<&ServerAddr> = std::iter::once(server).chain(&route.others).collect();
    let mut last = DialError::Unanswered { server: server.clone(), limit, connected: false };
    for (tried, server) in servers.iter().enumerate() {
        // Each gets its share of what is left, so that one that is silent leaves time for the next.
        let left = deadline.saturating_duration_since(Instant::now());
        let share = left / u32::try_from(servers.len() - tried).unwrap_or(1).max(1);
        let connected = AtomicBool::new(false);
        let attempt = dial_one(server, route, Arc::clone(&config), &connected);
        last = match tokio::time::timeout(share, attempt).await {
            Ok(Ok(tls)) => return Ok(tls),
            Ok(Err(error)) => error,
            Err(_) => {
                let connected = connected.load(Ordering::Relaxed);
                DialError::Unanswered { server: (*server).clone(), limit: share, connected }
            }
        };
    }
    Err(last)
}

async fn dial_one(
    server: &ServerAddr,
    route: &DialRoute,
    config: Arc<ClientConfig>,
    connected: &AtomicBool,
) -> Result<Dialled, DialError> {
    let tcp = reach(server, route).await?;
    connected.store(true, Ordering::Relaxed);
    let name = server_name(server)?;
    match TlsConnector::from(config).connect(name, Wire::new(tcp)).await {
        Ok(tls) if route.require_pq && !tls::is_post_quantum(tls.get_ref().1) => {
            let group = tls.get_ref().1.negotiated_key_exchange_group();
            let group = group.map(|group| format!("{:?}", group.name())).unwrap_or_default();
            Err(DialError::Classical { server: server.clone(), group })
        }
        Ok(tls) => Ok(tls),
        Err(source) => match DialError::from_tls(server, source) {
            // It speaks TLS but knows no raw keys, so it is no Petit server. Whose certificate does it show?
            DialError::NotPetit { source, server } => match who_answers(&server, route).await {
                Some(Stranger { issuer, poses: true, .. }) => Err(DialError::Inspected { server, issuer }),
                _ => Err(DialError::NotPetit { server, source }),
            },
            error => Err(error),
        },
    }
}

/// The certificate that is shown in the server's place, when one is; see [`inspect`].
///
/// # Cancel safety
/// Cancelling closes the connection.
pub async fn who_answers(server: &ServerAddr, route: &DialRoute) -> Option<Stranger> {
    let name = server_name(server).ok()?;
    inspect(name, async { reach(server, route).await.ok() }).await
}

fn server_name(server: &ServerAddr) -> Result<ServerName<'static>, DialError> {
    ServerName::try_from(server.host().to_owned())
        .map_err(|_| DialError::Name { server: server.clone(), source: io::ErrorKind::InvalidInput.into() })
}

/// A TCP connection to the server, through the proxy when there is one.
pub(super) async fn reach(server: &ServerAddr, route: &DialRoute) -> Result<TcpStream, DialError> {
    let tcp = match &route.proxy {
        Some(proxy) => proxy.connect(server).await?,
        None => connect(server).await.map_err(|error| match error {
            ConnectError::Name(source) => DialError::Name { server: server.clone(), source },
            ConnectError::Tcp(address, source) => DialError::Tcp { server: server.clone(), address, source },
        })?,
    };
    let broken = |source| DialError::Closed { server: server.clone(), source };
    tune(&tcp).map_err(broken)?;
    Ok(tcp)
}

#[cfg(test)]
mod tests;
