//! Private services whose answers a test writes itself, in whichever protocol.

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::header::HeaderMap;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;

use crate::service::Service;

/// Why a body that a test writes breaks off.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;
/// A body that a test writes.
pub type AnyBody = http_body_util::combinators::BoxBody<Bytes, BoxError>;

/// What a service speaks.
#[derive(Clone, Debug, Default)]
pub struct Manner {
    /// HTTP/2 without being asked, instead of HTTP/1.1.
    pub h2: bool,
    /// Inside TLS.
    pub tls: Option<Arc<ServerConfig>>,
}

impl Manner {
    /// HTTP/1.1.
    pub fn h1() -> Self {
        Self::default()
    }

    /// HTTP/2.
    pub fn h2() -> Self {
        Self { h2: true, tls: None }
    }
}

/// A service that answers each request as `answer` says.
pub async fn service<H, F>(manner: Manner, answer: H) -> Service
where
    H: Fn(Request<Incoming>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<AnyBody>> + Send + 'static,
{
    Service::speaking("scripted", move |tcp| {
        let (manner, answer) = (manner.clone(), answer.clone());
        async move {
            match manner.tls {
                None => serve(manner.h2, tcp, answer).await,
                Some(config) => {
                    if let Ok(tls) = TlsAcceptor::from(config).accept(tcp).await {
                        serve(manner.h2, tls, answer).await;
                    }
                }
            }
        }
    })
    .await
}

async fn serve<IO, H, F>(h2: bool, io: IO, answer: H)
where
    IO: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    H: Fn(Request<Incoming>) -> F + Send + 'static,
    F: Future<Output = Response<AnyBody>> + Send + 'static,
{
    let io = TokioIo::new(io);
    let service = service_fn(move |request| {
        let answer = answer(request);
        async move { Ok::<_, Infallible>(answer.await) }
    });
    if h2 {
        // As most services have it: one request that is not read leaves room for others.
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder.initial_stream_window_size(64 << 10).initial_connection_window_size(8 << 20);
        let _ = builder.serve_connection(io, service).await;
    } else {
        let _ = http1::Builder::new().serve_connection(io, service).with_upgrades().await;
    }
}

/// A text as a body.
pub fn text(text: impl Into<Bytes>) -> AnyBody {
    Full::new(text.into()).map_err(|never| match never {}).boxed()
}

/// A body that is written piece by piece while it is read.
pub fn written() -> (Pen, AnyBody) {
    let (sender, mut receiver) = mpsc::channel(1);
    let frames = futures_util::stream::poll_fn(move |cx| receiver.poll_recv(cx));
    (Pen(sender), BodyExt::boxed(StreamBody::new(frames)))
}

/// Writes a body. The body ends when it is dropped.
#[derive(Clone, Debug)]
pub struct Pen(mpsc::Sender<Result<Frame<Bytes>, BoxError>>);

impl Pen {
    /// Writes a piece; false when nobody reads any more.
    pub async fn write(&self, piece: impl Into<Bytes>) -> bool {
        self.0.send(Ok(Frame::data(piece.into()))).await.is_ok()
    }

    /// Writes the trailers.
    pub async fn trailers(&self, trailers: HeaderMap) -> bool {
        self.0.send(Ok(Frame::trailers(trailers))).await.is_ok()
    }

    /// Breaks off.
    pub async fn break_off(self) {
        let _ = self.0.send(Err("broken off".into())).await;
    }

    /// Waits until nobody reads any more.
    pub async fn unread(&self) {
        self.0.closed().await;
    }
}

/// A service that reads one request head on each connection and then does with the connection what it likes.
pub async fn raw<H, F>(then: H) -> Service
where
    H: Fn(String, TcpStream) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    Service::speaking("raw", move |mut tcp| {
        let then = then.clone();
        async move {
            if let Some(head) = head(&mut tcp).await {
                then(head, tcp).await;
            }
        }
    })
    .await
}

/// Reads a head to its empty line, and not a byte more.
pub async fn head(io: &mut (impl AsyncRead + Unpin)) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(io.read_u8().await.ok()?);
    }
    String::from_utf8(head).ok()
}

/// Waits until the peer has closed or reset the connection.
pub async fn gone(io: &mut (impl AsyncRead + Unpin)) {
    let mut buffer = [0; 4096];
    while io.read(&mut buffer).await.is_ok_and(|count| count > 0) {}
}
