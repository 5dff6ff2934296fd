//! The private service's end: what the customer set up, and how it is connected to.
//!
//! The target is fixed here, on the customer's side. A name is looked up for every connection, because private
//! networks do move; what it may lead to is bounded, so that whoever answers for a name cannot turn a visitor's
//! request against this computer itself or against a cloud's metadata service.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use rustls::ClientConfig;
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::connections::Connection;
use crate::cause::ServiceCause;
use crate::limits;
use crate::name::{ServerAddr, ServiceName};
use crate::net::close::Closing;
use crate::net::tcp::{connect_any, is_out_of_descriptors, resolve};
use crate::net::tls;
use crate::proto::control::{Options, ServiceKind};

/// A service as the customer set it up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceSpec {
    /// Its name between customer and vendor.
    pub name: ServiceName,
    /// What it speaks.
    pub kind: ServiceKind,
    /// Where it is. Never leaves the customer's side, unless its address was chosen as the `Host` that it sees.
    pub target: ServerAddr,
    /// How it wants its requests.
    pub options: Options,
    /// Whom to trust to be it, when it speaks TLS.
    pub tls: Option<ServiceTls>,
}

impl ServiceSpec {
    /// A service without TLS and with the usual options.
    pub fn plain(name: ServiceName, kind: ServiceKind, target: ServerAddr) -> Self {
        Self { name, kind, target, options: Options::default(), tls: None }
    }
}

/// TLS towards a service. There is no way to make one that trusts anybody.
#[derive(Clone, Debug)]
pub struct ServiceTls {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
    /// What was set up, for telling whether a new setting is another one.
    setting: String,
}

impl PartialEq for ServiceTls {
    fn eq(&self, other: &Self) -> bool {
        self.setting == other.setting && self.name == other.name
    }
}

impl Eq for ServiceTls {}

impl ServiceTls {
    /// TLS to a service that proves to `verifier` that it is `name`. `setting` names the trust that was set up;
    /// two values with the same one are taken to be equal.
    ///
    /// # Errors
    /// When the TLS library refuses the configuration.
    pub fn new(
        verifier: Arc<dyn ServerCertVerifier>,
        name: ServerName<'static>,
        h2: bool,
        setting: String,
    ) -> Result<Self, rustls::Error> {
        let mut config = ClientConfig::builder_with_provider(tls::provider())
            .with_safe_default_protocol_versions()?
            .dangerous() // rustls' word for a verifier that is handed in
            .with_custom_certificate_verifier(verifier)
            .with_no_client_auth();
        config.alpn_protocols = vec![if h2 { b"h2".to_vec() } else { b"http/1.1".to_vec() }];
        Ok(Self { config: Arc::new(config), name, setting })
    }
}

/// A connection to a private service.
#[derive(Debug)]
pub enum Local {
    /// Bytes as they are.
    Plain(Closing),
    /// Inside TLS, which the service has proved its identity in.
    Tls(Box<TlsStream<Closing>>),
}

impl Local {
    /// From now on the service sees a reset when the connection is closed, unless it was told before that nothing
    /// more comes.
    pub(super) fn reset_unless_shut_down(&mut self) {
        match self {
            Self::Plain(tcp) => tcp.reset_unless_shut_down(),
            Self::Tls(tls) => tls.get_mut().0.reset_unless_shut_down(),
        }
    }
}

/// Why there is no connection to a private service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotConnected {
    /// What is wrong with it, or with the way there.
    Service(ServiceCause),
    /// This process, or this computer, has as many files and connections open as it may.
    NoDescriptors,
}

impl From<ServiceCause> for NotConnected {
    fn from(cause: ServiceCause) -> Self {
        Self::Service(cause)
    }
}

/// Connects to a private service within [`limits::SERVICE_CONNECT`], TLS included.
///
/// # Errors
/// Why it was not reached.
///
/// # Cancel safety
/// Cancelling closes the connection.
pub async fn connect(service: &ServiceSpec) -> Result<Local, ServiceCause> {
    connect_with(service, None).await.map_err(|cause| match cause {
        NotConnected::Service(cause) => cause,
        NotConnected::NoDescriptors => ServiceCause::Unreachable,
    })
}

/// As [`connect`], with no more connections open at a time than `right` and its like allow.
pub(super) async fn connect_with(
    service: &ServiceSpec,
    right: Option<&Connection>,
) -> Result<Local, NotConnected> {
    let connect = async {
        let tcp = connect_tcp(&service.target, right).await.map_err(|cause| match (cause, &service.tls) {
            // As if it had closed a moment later, in the handshake.
            (NotConnected::Service(ServiceCause::NoAnswer), Some(_)) => ServiceCause::NotTls.into(),
            (cause, _) => cause,
        })?;
        // Nagle's algorithm would hold back the end of each request for the service's ACK.
        let _ = tcp.set_nodelay(true);
        let tcp = Closing::new(tcp);
        let Some(ServiceTls { config, name, .. }) = &service.tls else { return Ok(Local::Plain(tcp)) };
        match TlsConnector::from(Arc::clone(config)).connect(name.clone(), tcp).await {
            Ok(tls) => Ok(Local::Tls(Box::new(tls))),
            Err(error) => Err(NotConnected::Service(tls_cause(&error))),
        }
    };
    let connected = tokio::time::timeout(limits::SERVICE_CONNECT, connect).await;
    connected.unwrap_or(Err(ServiceCause::Unreachable.into()))
}

fn tls_cause(error: &io::Error) -> ServiceCause {
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match tls {
        Some(rustls::Error::InvalidCertificate(_)) => ServiceCause::Untrusted,
        _ => ServiceCause::NotTls,
    }
}

async fn connect_tcp(target: &ServerAddr, right: Option<&Connection>) -> Result<TcpStream, NotConnected> {
    let found = resolve(target).await.map_err(|error| not_connected(&error, ServiceCause::NameNotFound))?;
    if found.is_empty() {
        return Err(ServiceCause::NameNotFound.into());
    }
    let allowed: Vec<SocketAddr> = found.into_iter().filter(|at| may_lead_to(target, at.ip())).collect();
    if allowed.is_empty() {
        return Err(ServiceCause::Forbidden.into());
    }
    connect_any(allowed, right.map(Connection::more)).await.map_err(|last| match last {
        Some((_, error)) if error.kind() == io::ErrorKind::ConnectionRefused => ServiceCause::Refused.into(),
        // It was taken and broken off before this end had looked: nobody is refused in this way.
        Some((_, error)) if error.kind() == io::ErrorKind::ConnectionReset => ServiceCause::NoAnswer.into(),
        Some((_, error)) => not_connected(&error, ServiceCause::Unreachable),
        None => ServiceCause::Unreachable.into(),
    })
}

/// What an error of the system means: `cause`, unless it is about this process.
fn not_connected(error: &io::Error, cause: ServiceCause) -> NotConnected {
    if is_out_of_descriptors(error) { NotConnected::NoDescriptors } else { cause.into() }
}

/// Cloud providers answer here with the machine's credentials.
const METADATA: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
];

/// True when a service can be at `ip` and `target` may be what leads there.
pub fn may_lead_to(target: &ServerAddr, ip: IpAddr) -> bool {
    let ip = ip.to_canonical();
    if METADATA.contains(&ip) || ip.is_unspecified() || ip.is_multicast() || is_broadcast(ip) {
        return false;
    }
    let host = target.host();
    if host.parse::<IpAddr>().is_ok() {
        return true; // written down as an address, by the customer
    }
    // A name with a dot is answered for by somebody's name server, who must not send visitors to this computer.
    let is_own = host == "localhost" || host.ends_with(".localhost") || !host.contains('.');
    !is_link_local(ip) && (is_own || !ip.is_loopback())
}

fn is_broadcast(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V4(v4) if v4.is_broadcast())
}

fn is_link_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    }
}

impl AsyncRead for Local {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_read(cx, buffer),
            Self::Tls(tls) => Pin::new(tls.as_mut()).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Local {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_write(cx, data),
            Self::Tls(tls) => Pin::new(tls.as_mut()).poll_write(cx, data),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_flush(cx),
            Self::Tls(tls) => Pin::new(tls.as_mut()).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Self::Tls(tls) => Pin::new(tls.as_mut()).poll_shutdown(cx),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn a_connection_that_is_broken_off_before_anybody_looked_was_taken_all_the_same() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let target: ServerAddr = listener.local_addr().unwrap().to_string().parse().unwrap();
        let break_off = async {
            let taken = loop {
                match listener.accept() {
                    Ok((taken, _)) => break taken,
                    Err(_) => tokio::task::yield_now().await,
                }
            };
            // Before the other end is told that it is connected: nobody has waited for that yet.
            socket2::SockRef::from(&taken).set_linger(Some(std::time::Duration::ZERO)).unwrap();
        };
        let (connected, ()) = tokio::join!(connect_tcp(&target, None), break_off);
        assert_eq!(connected.map(|_| ()), Err(ServiceCause::NoAnswer.into()));
        drop(listener);
        assert_eq!(connect_tcp(&target, None).await.map(|_| ()), Err(ServiceCause::Refused.into()));
    }

    #[test]
    fn a_lack_of_descriptors_says_nothing_of_the_service() {
        let lack = io::Error::from_raw_os_error(if cfg!(unix) { 24 } else { 10_024 });
        assert_eq!(not_connected(&lack, ServiceCause::Unreachable), NotConnected::NoDescriptors);
        let other = io::ErrorKind::NetworkUnreachable.into();
        assert_eq!(not_connected(&other, ServiceCause::Unreachable), ServiceCause::Unreachable.into());
    }

    #[test]
    fn a_name_leads_neither_to_this_computer_nor_to_where_no_service_is() {
        let may = |target: &str, ip: &str| may_lead_to(&target.parse().unwrap(), ip.parse().unwrap());
        for (target, ip) in [
            ("localhost:80", "127.0.0.1"),
            ("app.localhost:80", "::1"),
            ("laptop:80", "127.0.1.1"),
            ("nas.corp.example:80", "192.168.1.9"),
            ("nas.corp.example:80", "2001:db8::1"),
            ("127.0.0.1:80", "127.0.0.1"),
            ("169.254.7.7:80", "169.254.7.7"),
        ] {
            assert!(may(target, ip), "{target} {ip}");
        }
        for (target, ip) in [
            ("nas.corp.example:80", "127.0.0.1"),
            ("nas.corp.example:80", "::1"),
            ("nas.corp.example:80", "::ffff:127.0.0.1"),
            ("nas.corp.example:80", "169.254.169.254"),
            ("laptop:80", "169.254.1.1"),
            ("laptop:80", "fe80::1"),
            ("169.254.169.254:80", "169.254.169.254"),
            ("[fd00:ec2::254]:80", "fd00:ec2::254"),
            ("0.0.0.0:80", "0.0.0.0"),
            ("[::]:80", "::"),
            ("224.0.0.1:80", "224.0.0.1"),
            ("255.255.255.255:80", "255.255.255.255"),
        ] {
            assert!(!may(target, ip), "{target} {ip}");
        }
    }
}
