//! Private services: an HTTP one that can do what the tests need, and a raw TCP one.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

use crate::pattern::Pattern;

/// A private service on a port of its own. Ends, with its connections, when dropped.
pub struct Service {
    address: SocketAddr,
    shared: Arc<Shared>,
    serving: JoinHandle<()>,
    listener: Arc<TcpListener>,
}

#[derive(Default)]
struct Shared {
    name: String,
    requests: AtomicU64,
    /// Connections open now.
    open: watch::Sender<usize>,
    /// Connections accepted so far.
    accepted: watch::Sender<usize>,
    /// Requests that wait in `/wait` until they are let go.
    waiting: watch::Sender<usize>,
    /// WebSockets open now.
    sockets: watch::Sender<usize>,
    go: Notify,
    seen: Mutex<HashMap<String, String>>,
}

impl Service {
    /// An HTTP service that says `name` to whoever asks for `/`.
    pub async fn http(name: &str) -> Self {
        Self::http_on(name, "127.0.0.1:0".parse().unwrap()).await
    }

    /// As [`Service::http`], over HTTP/2 alone.
    pub async fn h2(name: &str) -> Self {
        Self::start(name, "127.0.0.1:0".parse().unwrap(), serve_h2).await
    }

    /// As [`Service::http`], on a given address: a service that comes back.
    pub async fn http_on(name: &str, address: SocketAddr) -> Self {
        Self::start(name, address, |shared, tcp| async move { serve_http(shared, tcp).await }).await
    }

    /// A service that sends a greeting and then everything back that it gets, until its peer has finished.
    pub async fn tcp_echo(greeting: &'static str) -> Self {
        Self::start_again(greeting, "127.0.0.1:0".parse().unwrap()).await
    }

    /// As [`Service::tcp_echo`], on a given address: a service that comes back.
    pub async fn start_again(greeting: &'static str, address: SocketAddr) -> Self {
        Self::start(greeting, address, move |_, mut tcp| async move {
            let (mut read, mut write) = tcp.split();
            write.write_all(greeting.as_bytes()).await.unwrap();
            let _ = tokio::io::copy(&mut read, &mut write).await;
            let _ = write.shutdown().await;
        })
        .await
    }

    /// A service that does with each connection what a test says.
    pub async fn speaking<F>(name: &str, serve: impl Fn(TcpStream) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Self::start(name, "127.0.0.1:0".parse().unwrap(), move |_, tcp| serve(tcp)).await
    }

    async fn start<F>(
        name: &str,
        address: SocketAddr,
        serve: impl Fn(Arc<Shared>, TcpStream) -> F + Send + 'static,
    ) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = Arc::new(TcpListener::bind(address).await.unwrap());
        let address = listener.local_addr().unwrap();
        let accepting = Arc::clone(&listener);
        let shared = Arc::new(Shared { name: name.to_owned(), ..Shared::default() });
        let state = Arc::clone(&shared);
        let serving = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            loop {
                tokio::select! {
                    accepted = accepting.accept() => {
                        let Ok((tcp, _)) = accepted else { return };
                        let _ = tcp.set_nodelay(true);
                        state.accepted.send_modify(|count| *count += 1);
                        state.open.send_modify(|count| *count += 1);
                        let open = OpenConnection(Arc::clone(&state));
                        let served = serve(Arc::clone(&state), tcp);
                        connections.spawn(async move {
                            served.await;
                            drop(open);
                        });
                    }
                    Some(_) = connections.join_next() => {}
                }
            }
        });
        Self { address, shared, serving, listener }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Requests answered so far.
    pub fn requests(&self) -> u64 {
        self.shared.requests.load(Ordering::Relaxed)
    }

    /// Connections accepted so far.
    pub fn accepted(&self) -> usize {
        *self.shared.accepted.borrow()
    }

    /// Waits until so many connections are open.
    pub async fn until_open(&self, count: usize) {
        let mut open = self.shared.open.subscribe();
        crate::soon("connections to be open", open.wait_for(|open| *open == count)).await.unwrap();
    }

    /// Waits until so many requests wait in `/wait`.
    pub async fn until_waiting(&self, count: usize) {
        let mut waiting = self.shared.waiting.subscribe();
        crate::soon("requests to wait", waiting.wait_for(|waiting| *waiting == count)).await.unwrap();
    }

    /// Waits until so many WebSockets are open.
    pub async fn until_sockets(&self, count: usize) {
        let mut sockets = self.shared.sockets.subscribe();
        crate::soon("WebSockets to be open", sockets.wait_for(|sockets| *sockets == count)).await.unwrap();
    }

    /// Answers the requests that wait in `/wait`.
    pub fn let_go(&self) {
        self.shared.go.notify_waiters();
    }

    /// A header field of the last request; all its lines, where there are several.
    pub fn seen(&self, name: &str) -> Option<String> {
        self.shared.seen.lock().unwrap().get(name).cloned()
    }

    /// Stops listening and drops all connections; returns the address to come back on.
    pub async fn stop(mut self) -> SocketAddr {
        self.serving.abort();
        let _ = (&mut self.serving).await;
        // Another test that is starting a program at this moment has a copy of the socket in it, which would go on taking
        // connections until that program runs.
        rustix::net::shutdown(&self.listener, rustix::net::Shutdown::Both).unwrap();
        self.address
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

struct OpenConnection(Arc<Shared>);

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.open.send_modify(|count| *count -= 1);
    }
}

struct OpenSocket(Arc<Shared>);

impl OpenSocket {
    fn new(shared: &Arc<Shared>) -> Self {
        shared.sockets.send_modify(|count| *count += 1);
        Self(Arc::clone(shared))
    }
}

impl Drop for OpenSocket {
    fn drop(&mut self) {
        self.0.sockets.send_modify(|count| *count -= 1);
    }
}

struct Waiting<'a>(&'a Shared);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.send_modify(|count| *count -= 1);
    }
}

async fn serve_http(shared: Arc<Shared>, tcp: TcpStream) {
    let service = service_fn(move |request| {
        let shared = Arc::clone(&shared);
        async move { Ok::<_, Infallible>(answer(&shared, request).await) }
    });
    let _ = http1::Builder::new().serve_connection(TokioIo::new(tcp), service).with_upgrades().await;
}

async fn serve_h2(shared: Arc<Shared>, tcp: TcpStream) {
    let service = service_fn(move |request| {
        let shared = Arc::clone(&shared);
        async move { Ok::<_, Infallible>(answer(&shared, request).await) }
    });
    let _ = http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(tcp), service).await;
}

type Answer = http_body_util::combinators::BoxBody<Bytes, Infallible>;

fn text(text: impl Into<Bytes>) -> Answer {
    Full::new(text.into()).boxed()
}

async fn answer(shared: &Arc<Shared>, mut request: Request<Incoming>) -> Response<Answer> {
    shared.requests.fetch_add(1, Ordering::Relaxed);
    *shared.seen.lock().unwrap() = seen(request.headers());
    let path = request.uri().path().to_owned();
    match path.split('/').skip(1).collect::<Vec<_>>().as_slice() {
        [""] => Response::new(text(shared.name.clone())),
        // Everything about the request, for tests of what arrives.
        ["request"] => {
            let fields: Vec<(String, String)> = request
                .headers()
                .iter()
                .map(|(name, value)| {
                    (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned())
                })
                .collect();
            let value = json!({
                "method": request.method().as_str(),
                "target": request.uri().to_string(),
                "version": format!("{:?}", request.version()),
                "fields": fields,
            });
            Response::new(text(value.to_string()))
        }
        // So many bytes of the pattern.
        ["bytes", count] => Response::new(Pattern::new(count.parse().unwrap()).boxed()),
        // As many, whose end comes after the last of them, by itself.
        ["late-end", count] => Response::new(LateEnd(Pattern::new(count.parse().unwrap())).boxed()),
        // The length and checksum of the body.
        ["sum"] => {
            let mut digest = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
            let mut length = 0_u64;
            while let Some(frame) = request.body_mut().frame().await {
                let Ok(frame) = frame else { return status(StatusCode::BAD_REQUEST) };
                if let Some(data) = frame.data_ref() {
                    digest.update(data);
                    length += data.len() as u64;
                }
            }
            let sum = data_encoding::HEXLOWER.encode(digest.finish().as_ref());
            Response::new(text(format!("{length} {sum}")))
        }
        // Answers when it is let go.
        ["wait"] => {
            // Before it is counted: whoever is counted hears that it may go.
            let go = shared.go.notified();
            shared.waiting.send_modify(|count| *count += 1);
            let _waiting = Waiting(shared);
            go.await;
            Response::new(text("done"))
        }
        // Takes so many milliseconds over its answer.
        ["slow", millis] => {
            tokio::time::sleep(std::time::Duration::from_millis(millis.parse().unwrap())).await;
            Response::new(text("done"))
        }
        ["status", code] => status(StatusCode::from_bytes(code.as_bytes()).unwrap()),
        ["close"] => {
            let mut response = Response::new(text("bye"));
            response.headers_mut().insert("connection", "close".parse().unwrap());
            response
        }
        ["forged"] => {
            let mut response = Response::new(text("not from Petit"));
            response.headers_mut().insert("petit-error", "client-away".parse().unwrap());
            response
        }
        ["ws"] => websocket(request, OpenSocket::new(shared)),
        _ => status(StatusCode::NOT_FOUND),
    }
}

/// The fields of a head by their names; one that stands there several times is a list.
fn seen(headers: &hyper::HeaderMap) -> HashMap<String, String> {
    let text = |value: &hyper::header::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let all = |name| headers.get_all(name).iter().map(text).collect::<Vec<_>>().join(", ");
    headers.keys().map(|name| (name.to_string(), all(name))).collect()
}

/// A body that does not know its last piece for that.
struct LateEnd(Pattern);

impl hyper::body::Body for LateEnd {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<hyper::body::Frame<Bytes>, Self::Error>>> {
        std::pin::Pin::new(&mut self.0).poll_frame(cx)
    }

    fn size_hint(&self) -> hyper::body::SizeHint {
        self.0.size_hint()
    }
}

fn status(code: StatusCode) -> Response<Answer> {
    let mut response = Response::new(Empty::new().boxed());
    *response.status_mut() = code;
    response
}

/// Sends every message back.
fn websocket(mut request: Request<Incoming>, open: OpenSocket) -> Response<Answer> {
    let Some(key) = request.headers().get("sec-websocket-key").cloned() else {
        return status(StatusCode::UPGRADE_REQUIRED);
    };
    tokio::spawn(async move {
        let upgraded = TokioIo::new(hyper::upgrade::on(&mut request).await.unwrap());
        let socket = WebSocketStream::from_raw_socket(upgraded, Role::Server, None).await;
        let (mut write, mut read) = socket.split();
        while let Some(Ok(message)) = read.next().await {
            if (message.is_text() || message.is_binary()) && write.send(message).await.is_err() {
                break;
            }
        }
        drop(open);
    });
    let mut response = status(StatusCode::SWITCHING_PROTOCOLS);
    let headers = response.headers_mut();
    headers.insert("connection", "upgrade".parse().unwrap());
    headers.insert("upgrade", "websocket".parse().unwrap());
    headers.insert("sec-websocket-accept", derive_accept_key(key.as_bytes()).parse().unwrap());
    response
}
