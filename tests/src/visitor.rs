//! Visitors: HTTP requests to the public front, and raw bytes.

use std::net::SocketAddr;
use std::sync::Arc;

use aws_lc_rs::digest;
use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::{Body, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::client::conn::http2;
use hyper::header::HOST;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use petit_engine::name::RegisteredId;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Somebody at the public front of a server.
#[derive(Clone, Copy, Debug)]
pub struct Visitor {
    front: SocketAddr,
}

/// A whole answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its header.
    pub headers: hyper::HeaderMap,
    /// Its body.
    pub body: Bytes,
}

impl Answer {
    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// What Petit says went wrong, if the answer is Petit's.
    pub fn petit_error(&self) -> Option<String> {
        self.headers.get("petit-error").map(|value| value.to_str().unwrap().to_owned())
    }
}

/// The host of a registered ID in the bed.
pub fn host(id: &RegisteredId) -> String {
    format!("{id}.localhost")
}

/// A request for a host.
pub fn request<B>(host: &str, method: &str, target: &str, body: B) -> Request<B> {
    Request::builder().method(method).uri(target).header(HOST, host).body(body).unwrap()
}

/// A request of HTTP/2, where the host is a part of the target.
pub fn h2_request<B>(host: &str, method: &str, target: &str, body: B) -> Request<B> {
    Request::builder().method(method).uri(format!("http://{host}{target}")).body(body).unwrap()
}

/// HTTP/2 on a connection.
pub async fn h2_on<IO, B>(io: IO) -> http2::SendRequest<B>
where
    IO: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    // As most clients have it: one answer that is not read leaves room for others.
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder.initial_stream_window_size(64 << 10).initial_connection_window_size(8 << 20);
    let (sender, connection) = builder.handshake(TokioIo::new(io)).await.unwrap();
    tokio::spawn(connection);
    sender
}

/// A TLS connection to `address` for `name`, trusting `roots` alone.
///
/// # Errors
/// When the handshake fails.
pub async fn tls(
    address: SocketAddr,
    roots: &RootCertStore,
    name: &str,
    alpn: &[&str],
) -> std::io::Result<TlsStream<TcpStream>> {
    tls_on(TcpStream::connect(address).await?, roots, name, alpn).await
}

/// The same, on a connection that there is.
///
/// # Errors
/// When the handshake fails.
pub async fn tls_on(
    tcp: TcpStream,
    roots: &RootCertStore,
    name: &str,
    alpn: &[&str],
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut config = ClientConfig::builder_with_provider(petit_engine::net::tls::provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots.clone())
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    TlsConnector::from(Arc::new(config)).connect(ServerName::try_from(name.to_owned()).unwrap(), tcp).await
}

impl Visitor {
    /// A visitor of the front at an address.
    pub fn new(front: SocketAddr) -> Self {
        Self { front }
    }

    /// Where the front is.
    pub fn front(&self) -> SocketAddr {
        self.front
    }

    /// A connection that sends requests one after the other.
    pub async fn connect<B>(&self) -> SendRequest<B>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let tcp = TcpStream::connect(self.front).await.unwrap();
        let (sender, connection) = http1::handshake(TokioIo::new(tcp)).await.unwrap();
        tokio::spawn(connection.with_upgrades());
        sender
    }

    /// A connection of bytes.
    pub async fn tcp(&self) -> TcpStream {
        let tcp = TcpStream::connect(self.front).await.unwrap();
        tcp.set_nodelay(true).unwrap();
        tcp
    }

    /// An HTTP/2 connection, without TLS and without asking (RFC 9113 §3.3).
    pub async fn connect_h2<B>(&self) -> http2::SendRequest<B>
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        h2_on(self.tcp().await).await
    }

    /// Sends a request on a connection of its own; the body of the answer is still to be read.
    pub async fn open<B>(&self, request: Request<B>) -> Response<Incoming>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        crate::soon("an answer", self.connect().await.send_request(request)).await.unwrap()
    }

    /// Sends a request on a connection of its own and reads the whole answer.
    pub async fn send<B>(&self, request: Request<B>) -> Answer
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        whole(self.open(request).await).await
    }

    /// `GET` from a host.
    pub async fn get(&self, host: &str, target: &str) -> Answer {
        self.send(request(host, "GET", target, Empty::<Bytes>::new())).await
    }

    /// `POST` to a host.
    pub async fn post(&self, host: &str, target: &str, body: impl Into<Bytes>) -> Answer {
        self.send(request(host, "POST", target, Full::new(body.into()))).await
    }

    /// Sends bytes and reads until the server closes.
    pub async fn raw(&self, bytes: &[u8]) -> Vec<u8> {
        let mut tcp = TcpStream::connect(self.front).await.unwrap();
        tcp.write_all(bytes).await.unwrap();
        let mut answer = Vec::new();
        crate::soon("the end of the connection", tcp.read_to_end(&mut answer)).await.unwrap();
        answer
    }

    /// Asks until the answer is as wanted: for what becomes true a moment after it was ordered.
    pub async fn until(
        &self,
        what: &str,
        host: &str,
        target: &str,
        is_it: impl Fn(&Answer) -> bool,
    ) -> Answer {
        crate::soon(what, async {
            loop {
                let answer = self.get(host, target).await;
                if is_it(&answer) {
                    return answer;
                }
                tokio::task::yield_now().await;
            }
        })
        .await
    }
}

/// Reads an answer to its end.
pub async fn whole(response: Response<Incoming>) -> Answer {
    let (parts, body) = response.into_parts();
    let body = crate::soon("the body", body.collect()).await.unwrap().to_bytes();
    Answer { status: parts.status, headers: parts.headers, body }
}

/// Reads a body to its end and returns its length and checksum; an error when it breaks.
pub async fn sum(mut body: Incoming) -> Result<(u64, String), hyper::Error> {
    let mut digest = digest::Context::new(&digest::SHA256);
    let mut length = 0;
    while let Some(frame) = body.frame().await {
        if let Some(data) = frame?.data_ref() {
            digest.update(data);
            length += data.len() as u64;
        }
    }
    Ok((length, data_encoding::HEXLOWER.encode(digest.finish().as_ref())))
}
