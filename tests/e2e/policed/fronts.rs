//! The fronts of a server, and how a visitor asks at each of them.

use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1;
use hyper::header::HeaderName;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use petit_tests::soon;
use petit_tests::visitor::{Answer, Visitor, h2_on, h2_request, request, tls_on, whole};
use rustls::RootCertStore;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::connect_from;

/// Where the visitors of a service come in.
#[derive(Clone, Debug)]
pub(super) struct Doors {
    /// Without TLS.
    pub(super) plain: Visitor,
    pub(super) tls: SocketAddr,
    pub(super) roots: RootCertStore,
    /// What the service is asked for by.
    pub(super) host: String,
}

impl Doors {
    /// A TLS connection of a visitor who comes from an address.
    pub(super) async fn secure(&self, from: &str, alpn: &str) -> TlsStream<TcpStream> {
        let tcp = connect_from(from, self.tls).await;
        soon("the handshake", tls_on(tcp, &self.roots, &self.host, &[alpn])).await.unwrap()
    }
}

/// How a visitor comes in.
#[derive(Clone, Copy, Debug)]
pub(super) enum Front {
    Http1,
    Http2,
    Https1,
    Https2,
    WebSocket,
    SecureWebSocket,
}

pub(super) const FRONTS: [Front; 6] =
    [Front::Http1, Front::Http2, Front::Https1, Front::Https2, Front::WebSocket, Front::SecureWebSocket];

impl Front {
    /// The service's answer on a connection of its own.
    pub(super) async fn ask(self, doors: &Doors, fields: &[(&str, &str)]) -> Answer {
        self.ask_from("127.0.0.1", doors, fields).await
    }

    /// The same, of a visitor who comes from an address.
    pub(super) async fn ask_from(self, from: &str, doors: &Doors, fields: &[(&str, &str)]) -> Answer {
        // So many ways to ask are much to carry along on the stack.
        Box::pin(self.asked_from(from, doors, fields)).await
    }

    async fn asked_from(self, from: &str, doors: &Doors, fields: &[(&str, &str)]) -> Answer {
        let host = doors.host.as_str();
        let plain = async || connect_from(from, doors.plain.front()).await;
        match self {
            Self::Http1 => {
                h1(plain().await, with(request(host, "GET", "/request", Empty::new()), fields)).await
            }
            Self::Https1 => {
                let asked = with(request(host, "GET", "/request", Empty::new()), fields);
                h1(doors.secure(from, "http/1.1").await, asked).await
            }
            Self::Http2 => {
                h2(plain().await, with(h2_request(host, "GET", "/request", Empty::new()), fields)).await
            }
            Self::Https2 => {
                let asked = with(https(host, "/request", Empty::new()), fields);
                h2(doors.secure(from, "h2").await, asked).await
            }
            Self::WebSocket => upgrade(plain().await, host, fields).await,
            Self::SecureWebSocket => upgrade(doors.secure(from, "http/1.1").await, host, fields).await,
        }
    }

    pub(super) fn is_websocket(self) -> bool {
        matches!(self, Self::WebSocket | Self::SecureWebSocket)
    }
}

/// A request of HTTP/2 over TLS.
pub(super) fn https<B>(host: &str, target: &str, body: B) -> Request<B> {
    Request::builder().uri(format!("https://{host}{target}")).body(body).unwrap()
}

pub(super) fn with<B>(mut request: Request<B>, fields: &[(&str, &str)]) -> Request<B> {
    for (name, value) in fields {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        request.headers_mut().append(name, value.parse().unwrap());
    }
    request
}

async fn h1<IO: AsyncRead + AsyncWrite + Send + Unpin + 'static>(
    io: IO,
    request: Request<Empty<Bytes>>,
) -> Answer {
    let (mut sender, connection) = http1::handshake(TokioIo::new(io)).await.unwrap();
    tokio::spawn(connection);
    whole(soon("an answer", sender.send_request(request)).await.unwrap()).await
}

async fn h2<IO: AsyncRead + AsyncWrite + Send + Unpin + 'static>(
    io: IO,
    request: Request<Empty<Bytes>>,
) -> Answer {
    let mut sender = h2_on(io).await;
    whole(soon("an answer", sender.send_request(request)).await.unwrap()).await
}

/// Asks for a WebSocket. Of the answer only the head is looked at when it becomes one.
async fn upgrade<IO: AsyncRead + AsyncWrite + Send + Unpin + 'static>(
    io: IO,
    host: &str,
    fields: &[(&str, &str)],
) -> Answer {
    let asked = Request::builder()
        .uri("/ws")
        .header("host", host)
        .header("connection", "upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
        .body(Empty::<Bytes>::new())
        .unwrap();
    let (mut sender, connection) = http1::handshake(TokioIo::new(io)).await.unwrap();
    tokio::spawn(connection.with_upgrades());
    let response = soon("an answer", sender.send_request(with(asked, fields))).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = match parts.status {
        StatusCode::SWITCHING_PROTOCOLS => Bytes::new(),
        _ => body.collect().await.unwrap().to_bytes(),
    };
    Answer { status: parts.status, headers: parts.headers, body }
}
