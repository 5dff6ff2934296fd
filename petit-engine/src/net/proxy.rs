//! The way out through a proxy: HTTP CONNECT (RFC 9110 §9.3.6) or SOCKS5 (RFC 1928).
//!
//! TLS runs end to end inside, so a proxy learns the server's name and how much passes, and nothing else. What
//! it said when it refused is kept, because only the person who runs it can help then.

use std::fmt;
use std::io;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper::header::{HOST, HeaderValue, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION};
use hyper::{Request, StatusCode, Uri};
use hyper_util::client::legacy::connect::proxy::SocksV5;
use hyper_util::rt::TokioIo;
use secrecy::{ExposeSecret, SecretString};
use tokio::net::TcpStream;
use tower_service::Service;

use super::tcp::connect;
use crate::name::ServerAddr;

/// A proxy on the way out. Its `Debug` shows where it is, never how to log in.
#[derive(Clone)]
pub struct Proxy {
    /// Where it is.
    pub address: ServerAddr,
    /// How it is spoken to.
    pub kind: ProxyKind,
}

impl Proxy {
    /// Whether it is given a login.
    pub fn has_login(&self) -> bool {
        matches!(&self.kind, ProxyKind::Connect(Some(_)) | ProxyKind::Socks5(Some(_)))
    }
}

/// How a proxy is spoken to.
#[derive(Clone)]
pub enum ProxyKind {
    /// HTTP CONNECT, with the value of `Proxy-Authorization` when it asks for a login.
    Connect(Option<HeaderValue>),
    /// SOCKS5, which resolves the server's name itself; with user and password when it asks for them.
    Socks5(Option<(String, SecretString)>),
}

impl PartialEq for Proxy {
    fn eq(&self, other: &Self) -> bool {
        let same_kind = match (&self.kind, &other.kind) {
            (ProxyKind::Connect(ours), ProxyKind::Connect(theirs)) => ours == theirs,
            (ProxyKind::Socks5(None), ProxyKind::Socks5(None)) => true,
            (ProxyKind::Socks5(Some((user, password))), ProxyKind::Socks5(Some((other, theirs)))) => {
                user == other && password.expose_secret() == theirs.expose_secret()
            }
            _ => false,
        };
        same_kind && self.address == other.address
    }
}

impl Eq for Proxy {}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.kind {
            ProxyKind::Connect(_) => "http",
            ProxyKind::Socks5(_) => "socks5",
        };
        write!(f, "{scheme}://{}", self.address)
    }
}

/// Why a proxy did not lead to the server.
#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    /// It was not reached.
    #[error("the proxy {proxy} was not reached")]
    Unreachable {
        proxy: ServerAddr,
        /// What happened.
        source: io::Error,
    },
    /// It wants a login, or another one.
    #[error("the proxy {proxy} wants a login ({offered})")]
    Login {
        proxy: ServerAddr,
        /// The ways to log in that it offers, such as `Basic, NTLM`.
        offered: String,
    },
    /// It does not connect to the server.
    #[error("the proxy {proxy} refused to connect: {said}")]
    Refused {
        proxy: ServerAddr,
        /// What it said.
        said: String,
    },
}

impl Proxy {
    /// Connects to `server` through the proxy.
    ///
    /// # Errors
    /// [`ProxyError`].
    ///
    /// # Cancel safety
    /// Cancelling closes the connection.
    pub async fn connect(&self, server: &ServerAddr) -> Result<TcpStream, ProxyError> {
        let proxy = || self.address.clone();
        let tcp = connect(&self.address)
            .await
            .map_err(|error| ProxyError::Unreachable { proxy: proxy(), source: error.into_io() })?;
        let refused = |said: String| ProxyError::Refused { proxy: proxy(), said };
        match &self.kind {
            ProxyKind::Connect(login) => self.http(tcp, server, login.as_ref()).await,
            ProxyKind::Socks5(login) => {
                let uri: Uri = format!("https://{server}").parse().map_err(|_| refused("no name".into()))?;
                let mut socks = SocksV5::new(uri.clone(), Connected(Some(TokioIo::new(tcp))));
                if let Some((user, password)) = login {
                    socks = socks.with_auth(user.clone(), password.expose_secret().to_owned());
                }
                let io = socks.call(uri).await.map_err(|error| {
                    let said = error.to_string();
                    if said.to_ascii_lowercase().contains("auth") {
                        ProxyError::Login { proxy: proxy(), offered: "user and password".to_owned() }
                    } else {
                        refused(said)
                    }
                })?;
                Ok(io.into_inner())
            }
        }
    }

    async fn http(
        &self,
        tcp: TcpStream,
        server: &ServerAddr,
        login: Option<&HeaderValue>,
    ) -> Result<TcpStream, ProxyError> {
        let refused = |said: String| ProxyError::Refused { proxy: self.address.clone(), said };
        let broke = |error: hyper::Error| refused(format!("it broke the connection ({error})"));
        let (mut sender, connection) = http1::handshake(TokioIo::new(tcp)).await.map_err(broke)?;
        let driver = tokio::spawn(connection.with_upgrades());
        let mut request = Request::connect(server.to_string()).header(HOST, server.to_string());
        if let Some(login) = login {
            request = request.header(PROXY_AUTHORIZATION, login);
        }
        let request = request.body(Empty::<Bytes>::new()).map_err(|error| refused(error.to_string()))?;
        let response = sender.send_request(request).await.map_err(broke)?;
        match response.status() {
            status if status.is_success() => {}
            // Some proxies answer a wrong password as if they were the server.
            StatusCode::PROXY_AUTHENTICATION_REQUIRED | StatusCode::UNAUTHORIZED => {
                driver.abort();
                let offered = response.headers().get_all(PROXY_AUTHENTICATE).iter();
                let mut offered: Vec<String> = offered
                    .filter_map(|value| value.to_str().ok()?.split([' ', ',']).next().map(str::to_owned))
                    .collect();
                offered.dedup();
                return Err(ProxyError::Login { proxy: self.address.clone(), offered: offered.join(", ") });
            }
            status => {
                driver.abort();
                return Err(refused(status.to_string()));
            }
        }
        let upgraded = hyper::upgrade::on(response).await.map_err(broke)?;
        match upgraded.downcast::<TokioIo<TcpStream>>() {
            // The server speaks only after our ClientHello, so nothing can have come yet.
            Ok(parts) if parts.read_buf.is_empty() => Ok(parts.io.into_inner()),
            _ => Err(refused("it sent bytes that are not the server's".to_owned())),
        }
    }
}

/// A connection that is there already, in the form in which hyper-util's SOCKS wants to be handed one.
struct Connected(Option<TokioIo<TcpStream>>);

impl Service<Uri> for Connected {
    type Response = TokioIo<TcpStream>;
    type Error = io::Error;
    type Future = std::future::Ready<io::Result<TokioIo<TcpStream>>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        std::future::ready(self.0.take().ok_or_else(|| io::ErrorKind::NotConnected.into()))
    }
}
