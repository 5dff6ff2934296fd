//! From a server's name to a TLS connection, inside one time limit.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{AlertDescription, CertificateError, ClientConfig};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::cause::Cause;
use crate::limits;
use crate::name::ServerAddr;

/// Why a server was not reached.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// Its name has no address.
    #[error("{server}: the name was not found")]
    Name {
        /// What was dialled.
        server: ServerAddr,
        /// What the resolver said.
        source: io::Error,
    },
    /// No TCP connection to any of its addresses; the last one's error.
    #[error("{server} at {address}")]
    Tcp {
        /// What was dialled.
        server: ServerAddr,
        /// Which address was tried last.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The time limit passed.
    #[error("{server} did not answer within {limit:?}")]
    Unanswered {
        /// What was dialled.
        server: ServerAddr,
        /// How long was waited.
        limit: Duration,
    },
    /// What answered does not hold a pinned key.
    #[error("{server} is not the server of the invite: its key is another")]
    WrongServer {
        /// What was dialled.
        server: ServerAddr,
    },
    /// What answered does not want this device.
    #[error("{server} does not know this device")]
    Denied {
        /// What was dialled.
        server: ServerAddr,
    },
    /// What answered does not speak the protocol.
    #[error("{server} does not answer as a Petit server")]
    NotPetit {
        /// What was dialled.
        server: ServerAddr,
        /// What TLS said.
        source: io::Error,
    },
}

impl DialError {
    /// What a state may know of it.
    pub fn cause(&self) -> Cause {
        match self {
            Self::Name { .. } => Cause::NameNotFound,
            Self::Tcp { source, .. } => match source.kind() {
                io::ErrorKind::ConnectionRefused => Cause::ConnectionRefused,
                io::ErrorKind::TimedOut => Cause::Unanswered,
                io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted => Cause::Lost,
                _ => Cause::NetworkUnreachable,
            },
            Self::Unanswered { .. } => Cause::Unanswered,
            Self::WrongServer { .. } => Cause::WrongServer,
            Self::Denied { .. } => Cause::Unknown,
            Self::NotPetit { .. } => Cause::NotPetit,
        }
    }

    /// What a failed read or handshake on an established TCP connection means.
    pub fn from_tls(server: &ServerAddr, source: io::Error) -> Self {
        let server = server.clone();
        let tls = source.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
        match tls {
            Some(rustls::Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure)) => {
                Self::WrongServer { server }
            }
            Some(rustls::Error::AlertReceived(AlertDescription::AccessDenied)) => Self::Denied { server },
            _ => Self::NotPetit { server, source },
        }
    }
}

/// Connects to `server` and proves both sides, within `limit`.
///
/// TLS 1.3 lets a client finish before the server has judged its key: a refusal may show only at the first read
/// ([`DialError::from_tls`] understands it).
///
/// # Errors
/// [`DialError`].
///
/// # Cancel safety
/// Cancel safe: dropping the future closes what was opened.
pub async fn dial(
    server: &ServerAddr,
    config: Arc<ClientConfig>,
    limit: Duration,
) -> Result<TlsStream<TcpStream>, DialError> {
    let deadline = Instant::now() + limit;
    let unanswered = || DialError::Unanswered { server: server.clone(), limit };
    let connect = async {
        let tcp = connect(server).await?;
        let name = ServerName::try_from(server.host().to_owned()).map_err(|_| DialError::Name {
            server: server.clone(),
            source: io::ErrorKind::InvalidInput.into(),
        })?;
        let tls = TlsConnector::from(config).connect(name, tcp).await;
        tls.map_err(|source| DialError::from_tls(server, source))
    };
    tokio::time::timeout_at(deadline, connect).await.map_err(|_| unanswered())?
}

/// A TCP connection to the first address of `server` that accepts.
async fn connect(server: &ServerAddr) -> Result<TcpStream, DialError> {
    let name = |source| DialError::Name { server: server.clone(), source };
    let addresses = tokio::net::lookup_host((server.host(), server.port())).await.map_err(name)?;
    let mut last = name(io::ErrorKind::NotFound.into());
    for address in addresses {
        match TcpStream::connect(address).await.and_then(|tcp| tune(&tcp).map(|()| tcp)) {
            Ok(tcp) => return Ok(tcp),
            Err(source) => last = DialError::Tcp { server: server.clone(), address, source },
        }
    }
    Err(last)
}

/// Sends small frames at once, and has the kernel give up a connection whose bytes nobody acknowledges.
///
/// # Errors
/// When the connection has already broken.
pub fn tune(tcp: &TcpStream) -> io::Result<()> {
    tcp.set_nodelay(true)?;
    #[cfg(any(target_os = "linux", target_os = "android"))]
    socket2::SockRef::from(tcp).set_tcp_user_timeout(Some(limits::DEAD_AFTER))?;
    Ok(())
}
