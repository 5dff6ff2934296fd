//! From a server's name to a TLS connection, inside one time limit.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{AlertDescription, CertificateError, ClientConfig};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::inspect::{Stranger, inspect};
use super::proxy::{Proxy, ProxyError};
use super::tls;
use super::wire::Wire;
use crate::cause::Cause;
use crate::limits;
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

/// True when this process, or the whole computer, has as many files and connections open as it may.
pub(crate) fn is_out_of_descriptors(error: &io::Error) -> bool {
    #[cfg(unix)]
    const CODES: [i32; 2] = [23, 24]; // ENFILE and EMFILE, on every Unix
    #[cfg(not(unix))]
    const CODES: [i32; 2] = [4, 10_024]; // ERROR_TOO_MANY_OPEN_FILES and WSAEMFILE
    error.raw_os_error().is_some_and(|code| CODES.contains(&code))
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
            DialError::NotPetit { source, server } => match inspect(&server, route).await {
                Some(Stranger { issuer, poses: true, .. }) => Err(DialError::Inspected { server, issuer }),
                _ => Err(DialError::NotPetit { server, source }),
            },
            error => Err(error),
        },
    }
}

pub(super) fn server_name(server: &ServerAddr) -> Result<ServerName<'static>, DialError> {
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

/// Why no TCP connection came about.
#[derive(Debug)]
pub(crate) enum ConnectError {
    /// The name did not resolve.
    Name(io::Error),
    /// No address answered; this is what became of the last one.
    Tcp(SocketAddr, io::Error),
}

impl ConnectError {
    pub(super) fn into_io(self) -> io::Error {
        match self {
            Self::Name(source) | Self::Tcp(_, source) => source,
        }
    }
}

/// Connects to whichever address of `target` answers first.
pub(crate) async fn connect(target: &ServerAddr) -> Result<TcpStream, ConnectError> {
    let addresses = resolve(target).await.map_err(ConnectError::Name)?;
    match connect_any(addresses, None).await {
        Ok(tcp) => Ok(tcp),
        Err(Some((address, source))) => Err(ConnectError::Tcp(address, source)),
        Err(None) => Err(ConnectError::Name(io::ErrorKind::NotFound.into())),
    }
}

/// The addresses of a target. The most frequent ones are known without asking anybody.
pub(crate) async fn resolve(target: &ServerAddr) -> io::Result<Vec<SocketAddr>> {
    let at = |ip: IpAddr| SocketAddr::new(ip, target.port());
    if let Ok(ip) = target.host().parse::<IpAddr>() {
        return Ok(vec![at(ip)]);
    }
    if target.host() == "localhost" {
        return Ok(vec![at(Ipv4Addr::LOCALHOST.into()), at(Ipv6Addr::LOCALHOST.into())]);
    }
    Ok(tokio::net::lookup_host((target.host(), target.port())).await?.collect())
}

/// RFC 8305, "happy eyeballs": the families in turn, the next address as soon as one has failed or has not
/// answered for [`limits::NEXT_ADDRESS`]; whichever answers first is taken and the others are dropped. With `more`, an
/// attempt beside another one needs a permit of it, so that there are never more sockets than there may be.
///
/// # Errors
/// The last failure; `None` when there was no address.
pub async fn connect_any(
    addresses: Vec<SocketAddr>,
    more: Option<&Arc<Semaphore>>,
) -> Result<TcpStream, Option<(SocketAddr, io::Error)>> {
    let mut waiting = alternate(addresses).into_iter();
    let mut attempts = JoinSet::new();
    let mut last = None;
    loop {
        let beside = more.filter(|_| !attempts.is_empty()).map(|more| Arc::clone(more).try_acquire_owned());
        let address = if matches!(beside, Some(Err(_))) { None } else { waiting.next() };
        match address {
            Some(address) => {
                attempts.spawn(async move {
                    let _held = beside;
                    (address, TcpStream::connect(address).await)
                });
            }
            None if attempts.is_empty() => return Err(last),
            None => {}
        }
        let is_another = waiting.len() > 0;
        let next = tokio::select! {
            joined = attempts.join_next() => joined,
            () = tokio::time::sleep(limits::NEXT_ADDRESS), if is_another => continue,
        };
        match next {
            Some(Ok((_, Ok(tcp)))) => return Ok(tcp),
            // A refusal says more than a family that this machine does not have.
            Some(Ok((address, Err(error)))) => {
                let refused = |error: &io::Error| error.kind() == io::ErrorKind::ConnectionRefused;
                if !last.as_ref().is_some_and(|(_, before)| refused(before)) || refused(&error) {
                    last = Some((address, error));
                }
            }
            Some(Err(_)) | None => {}
        }
    }
}

/// One of each family in turn, beginning with the family that the resolver put first.
fn alternate(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let first_is_v6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (first, second): (Vec<_>, Vec<_>) =
        addresses.into_iter().partition(|address| address.is_ipv6() == first_is_v6);
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    let mut out = Vec::new();
    loop {
        let (one, other) = (first.next(), second.next());
        if one.is_none() && other.is_none() {
            return out;
        }
        out.extend(one.into_iter().chain(other));
    }
}

/// What every connection of ours wants: small frames at once.
///
/// No `TCP_USER_TIMEOUT`: it ends connections that work. Linux counts it from the first probe of a window that was
/// full, and forgets that probe only when the window has room for the whole next segment, up to 64 KiB. Measured with
/// a limit of 3 s: a peer that takes 50 KB in a second, without a pause, is given up after 3.3 s. Who is dead is
/// found by PINGs in a session, by keep-alive and retransmission with visitors.
///
/// # Errors
/// When the system refuses.
pub fn tune(tcp: &TcpStream) -> io::Result<()> {
    tcp.set_nodelay(true)
}

#[cfg(test)]
pub(crate) mod tests;
