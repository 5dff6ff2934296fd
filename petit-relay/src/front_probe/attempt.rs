//! One attempt at a front, as a visitor would make it: the name, TCP, TLS, a request.
//!
//! The addresses that the resolver gave are checked, and the very one that was checked is connected to. No redirect
//! is followed, little is read, and every step has its limit.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use petit_engine::cause::{FrontCause, FrontUntried};
use petit_engine::limits;
use petit_engine::name::Endpoint;
use petit_engine::net::tcp::connect_any;
use rustls::pki_types::ServerName;
use rustls::{CertificateError, ClientConfig};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant as Deadline, timeout, timeout_at};
use tokio_rustls::TlsConnector;

use super::address::Allowed;
use super::judge::{Rest, judge};
use super::token::{TOKEN_FIELD, Tokens};
use super::{Resolver, Unresolved};

/// Who tries fronts.
pub(super) struct Prober {
    pub(super) resolver: Arc<dyn Resolver>,
    pub(super) allowed: Allowed,
    /// `None`: nobody is trusted to vouch for a server.
    pub(super) tls: Option<Arc<ClientConfig>>,
    pub(super) tokens: Tokens,
}

/// What is tried.
#[derive(Clone, Debug)]
pub(super) struct Target {
    https: bool,
    /// The name that a visitor asks for.
    host: String,
    port: u16,
    at: At,
}

/// Where a probe connects to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum At {
    /// Where the name leads, as a visitor.
    Name,
    /// A listening socket of this process.
    Socket(SocketAddr),
}

/// What came of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AttemptOutcome {
    /// It came in, and its answer went out. From the first packet on it took so long.
    Passed(Duration),
    Failed(FrontCause),
    Untried(FrontUntried),
}

impl From<FrontCause> for AttemptOutcome {
    fn from(cause: FrontCause) -> Self {
        Self::Failed(cause)
    }
}

impl From<FrontUntried> for AttemptOutcome {
    fn from(why: FrontUntried) -> Self {
        Self::Untried(why)
    }
}

impl Target {
    /// A public name, at the endpoint's port.
    pub(super) fn public(endpoint: &Endpoint, host: String) -> Self {
        Self { https: endpoint.is_https(), host, port: endpoint.visitors_port(), at: At::Name }
    }

    /// A public name at a socket of this process's.
    pub(super) fn own(host: String, https: bool, socket: SocketAddr) -> Self {
        Self { https, host, port: socket.port(), at: At::Socket(socket) }
    }

    fn authority(&self) -> String {
        let usual = if self.https { 443 } else { 80 };
        if self.port == usual { self.host.clone() } else { format!("{}:{}", self.host, self.port) }
    }
}

impl Prober {
    /// Tries a front within [`limits::FRONT_LIMIT`].
    ///
    /// # Cancel safety
    /// Cancelling closes the connection, and the token is good for nothing any more.
    pub(super) async fn attempt(&self, target: &Target) -> AttemptOutcome {
        // Several run side by side, and each carries a TLS connection and its buffer.
        match Box::pin(self.try_all(target)).await {
            Ok(took) => AttemptOutcome::Passed(took),
            Err(outcome) => outcome,
        }
    }

    async fn try_all(&self, target: &Target) -> Result<Duration, AttemptOutcome> {
        let deadline = Deadline::now() + limits::FRONT_LIMIT;
        let addresses = match target.at {
            At::Socket(socket) => vec![socket],
            At::Name => self.addresses(&target.host, target.port).await?,
        };
        let start = Instant::now();
        let tcp = connect(addresses).await?;
        let answer = async {
            if target.https {
                let tls = self.agree_on_tls(target, tcp).await?;
                self.ask(target, tls).await
            } else {
                self.ask(target, tcp).await
            }
        };
        timeout_at(deadline, answer).await.unwrap_or(Err(FrontCause::NoAnswer.into()))?;
        Ok(start.elapsed())
    }

    /// The addresses behind a name that may be connected to; at least one.
    pub(super) async fn addresses(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, AttemptOutcome> {
        let found = match own_addresses(host) {
            Some(own) => own,
            None => timeout(limits::FRONT_STEP, self.resolver.resolve(host))
                .await
                .unwrap_or(Err(Unresolved::NoNameServer))
                .map_err(|unresolved| match unresolved {
                    Unresolved::NoAddress => AttemptOutcome::from(FrontCause::NameNotFound),
                    Unresolved::NoNameServer => FrontUntried::NoNameServer.into(),
                })?,
        };
        if found.is_empty() {
            return Err(FrontCause::NameNotFound.into());
        }
        let permitted = found.into_iter().filter(|ip| self.allowed.permits(*ip));
        let addresses: Vec<SocketAddr> = permitted.map(|ip| SocketAddr::new(ip, port)).collect();
        if addresses.is_empty() { Err(FrontUntried::PrivateAddress.into()) } else { Ok(addresses) }
    }

    async fn agree_on_tls(
        &self,
        target: &Target,
        tcp: TcpStream,
    ) -> Result<tokio_rustls::client::TlsStream<TcpStream>, AttemptOutcome> {
        let config = self.tls.as_ref().ok_or(FrontUntried::NoRoots)?;
        let name = ServerName::try_from(target.host.clone()).map_err(|_| FrontCause::NameNotFound)?;
        let connecting = TlsConnector::from(Arc::clone(config)).connect(name, tcp);
        connecting.await.map_err(|error| tls_cause(&error).into())
    }

    /// Asks like a visitor, and judges the answer.
    async fn ask(
        &self,
        target: &Target,
        mut io: impl AsyncRead + AsyncWrite + Unpin,
    ) -> Result<(), AttemptOutcome> {
        // Without random bytes nothing can be asked; what fails then is this server.
        let issued = self.tokens.issue(&target.host, Instant::now()).map_err(|_| FrontCause::Listener)?;
        let request = format!(
            "GET / HTTP/1.1\r\nHost: {}\r\n{TOKEN_FIELD}: {}\r\nConnection: close\r\n\r\n",
            target.authority(),
            issued.token,
        );
        let sent = async {
            io.write_all(request.as_bytes()).await?;
            io.flush().await
        };
        // Whoever closes before the request is out may have answered all the same.
        let _ = sent.await;
        let mut answer = [0; limits::FRONT_ANSWER_BYTES];
        let mut filled = 0;
        loop {
            let rest = answer.get_mut(filled..).unwrap_or_default();
            let is_full = rest.is_empty();
            let read = if is_full { 0 } else { io.read(rest).await.unwrap_or(0) };
            filled += read;
            let rest = if read == 0 { Rest::IsOver } else { Rest::MayCome };
            let seen = answer.get(..filled).unwrap_or_default();
            if let Some(judged) = judge(seen, rest, issued.answer(), issued.came()) {
                return judged.map_err(AttemptOutcome::from);
            }
        }
    }
}

/// Where a name leads that needs no name server: an address, and `localhost` with all under it, which browsers and
/// curl look for on their own machine (RFC 6761 §6.3). The system's resolver need not know them.
fn own_addresses(host: &str) -> Option<Vec<IpAddr>> {
    if let Ok(ip) = host.parse() {
        return Some(vec![ip]);
    }
    let is_local = host == "localhost" || host.ends_with(".localhost");
    is_local.then(|| vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()])
}

/// Where a listener on all addresses is reached from this machine.
pub(crate) fn reachable(socket: SocketAddr) -> SocketAddr {
    match socket {
        SocketAddr::V4(v4) if v4.ip().is_unspecified() => (Ipv4Addr::LOCALHOST, v4.port()).into(),
        SocketAddr::V6(v6) if v6.ip().is_unspecified() => (Ipv6Addr::LOCALHOST, v6.port()).into(),
        socket => socket,
    }
}

/// Connects to whichever of the addresses answers first.
async fn connect(addresses: Vec<SocketAddr>) -> Result<TcpStream, AttemptOutcome> {
    // A refusal is what visitors get, too. Silence, or no way there, may be so from here alone.
    let connecting = timeout(limits::FRONT_STEP, connect_any(addresses, None)).await;
    let tcp = connecting.map_err(|_| FrontUntried::Unreachable)?.map_err(|last| {
        let kind = last.map(|(_, error)| error.kind());
        match kind {
            Some(io::ErrorKind::ConnectionRefused) => AttemptOutcome::from(FrontCause::ConnectionRefused),
            Some(io::ErrorKind::ConnectionReset) => FrontCause::NoAnswer.into(),
            Some(_) | None => FrontUntried::Unreachable.into(),
        }
    })?;
    let _ = tcp.set_nodelay(true);
    Ok(tcp)
}

/// What a failed handshake tells of the front.
fn tls_cause(error: &io::Error) -> FrontCause {
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    let Some(rustls::Error::InvalidCertificate(certificate)) = tls else { return FrontCause::NoTls };
    match certificate {
        CertificateError::Expired
        | CertificateError::ExpiredContext { .. }
        | CertificateError::NotValidYet
        | CertificateError::NotValidYetContext { .. } => FrontCause::CertificateExpired,
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            FrontCause::CertificateName
        }
        _ => FrontCause::CertificateUntrusted,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use petit_engine::BoxFuture;
    use tokio::net::TcpListener;

    use super::*;

    /// Says the same of every name, and counts who asks.
    #[derive(Default)]
    struct Says {
        addresses: Vec<IpAddr>,
        asked: AtomicUsize,
    }

    impl Resolver for Says {
        fn resolve(&self, _: &str) -> BoxFuture<'_, Result<Vec<IpAddr>, Unresolved>> {
            self.asked.fetch_add(1, Ordering::Relaxed);
            Box::pin(async { Ok(self.addresses.clone()) })
        }
    }

    fn prober(addresses: &[&str], networks: &[&str]) -> (Prober, Arc<Says>) {
        let addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
        let resolver = Arc::new(Says { addresses, ..Says::default() });
        let networks = networks.iter().map(|network| network.parse().unwrap()).collect();
        let allowed = Allowed { networks, loopback: false };
        let prober = Prober {
            resolver: Arc::clone(&resolver) as Arc<dyn Resolver>,
            allowed,
            tls: None,
            tokens: Tokens::default(),
        };
        (prober, resolver)
    }

    async fn listening() -> (TcpListener, Target) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        (listener, Target { https: false, host: "front.example".to_owned(), port, at: At::Name })
    }

    /// True when somebody has connected.
    fn has_visitor(listener: TcpListener) -> bool {
        listener.into_std().unwrap().accept().is_ok()
    }

    /// Takes a request and answers with a text.
    async fn answer(listener: &TcpListener, text: &str) {
        let (mut tcp, _) = listener.accept().await.unwrap();
        let mut asked = Vec::new();
        while !asked.ends_with(b"\r\n\r\n") {
            assert_ne!(tcp.read_buf(&mut asked).await.unwrap(), 0);
        }
        tcp.write_all(text.as_bytes()).await.unwrap();
    }

    #[tokio::test]
    async fn a_name_that_leads_to_a_private_address_is_connected_to_only_where_that_is_allowed() {
        let (listener, target) = listening().await;
        for networks in [&[][..], &["10.0.0.0/8"], &["127.0.0.2/32"]] {
            let (prober, _) = prober(&["127.0.0.1"], networks);
            assert_eq!(prober.attempt(&target).await, AttemptOutcome::Untried(FrontUntried::PrivateAddress));
        }
        assert!(!has_visitor(listener), "nothing was sent there");
        let (listener, target) = listening().await;
        // Of several addresses only those that are allowed are.
        let (prober, _) = prober(&["10.0.0.1", "169.254.169.254", "127.0.0.1"], &["127.0.0.0/8"]);
        let found = prober.addresses(&target.host, target.port).await;
        assert_eq!(found, Ok(vec![SocketAddr::from(([127, 0, 0, 1], target.port))]));
        let (outcome, ()) =
            tokio::join!(prober.attempt(&target), answer(&listener, "HTTP/1.1 502 Bad Gateway\r\n\r\n"));
        assert_eq!(outcome, AttemptOutcome::Failed(FrontCause::Gateway), "it was asked");
    }

    #[tokio::test]
    async fn a_redirect_is_not_followed() {
        let (listener, target) = listening().await;
        let (elsewhere, other) = listening().await;
        let (prober, resolver) = prober(&["127.0.0.1"], &["127.0.0.0/8"]);
        let location = format!("http://{}:{}/", other.host, other.port);
        let redirect = format!("HTTP/1.1 302 Found\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n");
        let (outcome, ()) = tokio::join!(prober.attempt(&target), answer(&listener, &redirect));
        assert_eq!(outcome, AttemptOutcome::Failed(FrontCause::Redirected));
        assert_eq!(resolver.asked.load(Ordering::Relaxed), 1, "one name was looked up");
        assert!(!has_visitor(elsewhere), "and nobody came to where it leads");
    }

    #[tokio::test]
    async fn of_an_answer_without_an_end_a_kib_is_read() {
        const ON_THE_WAY_BYTES: usize = 64;
        let (prober, _) = prober(&[], &[]);
        let (near, mut far) = tokio::io::duplex(ON_THE_WAY_BYTES);
        let (_, target) = listening().await;
        let server = tokio::spawn(async move {
            let mut asked = Vec::new();
            while !asked.ends_with(b"\r\n\r\n") {
                assert_ne!(far.read_buf(&mut asked).await.unwrap(), 0);
            }
            let mut written = 0;
            for byte in b"HTTP/1.1 200 OK\r\nx: ".iter().copied().chain(std::iter::repeat(b'0')) {
                if far.write_all(&[byte]).await.is_err() {
                    break;
                }
                written += 1;
            }
            written
        });
        assert_eq!(prober.ask(&target, near).await, Err(AttemptOutcome::Failed(FrontCause::OtherServer)));
        let written = server.await.unwrap();
        assert!((1024..=1024 + ON_THE_WAY_BYTES).contains(&written), "{written}");
    }
}
