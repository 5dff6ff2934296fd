//! The listening side of local control.

use std::convert::Infallible;
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Either, Full, Limited};
use hyper::body::{Body, Frame, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{JoinHandle, JoinSet};

#[cfg(unix)]
pub use super::socket::SocketCopy;
use super::socket::{ControlSocket, Stream};
use super::{ApiProblem, Changes, Handler, Reply, Request};

/// Largest request body.
pub const MAX_BODY_BYTES: usize = 256 * 1024;

/// A control socket. Whoever binds it holds the program's lock, so a file that is in the way is left over.
#[derive(Debug)]
pub struct Listener {
    socket: ControlSocket,
}

impl Listener {
    /// Listens on `path`, replacing what a killed program has left there. Call with the program's lock held.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn bind(path: &Path) -> io::Result<Self> {
        Ok(Self { socket: ControlSocket::open(path)? })
    }

    /// Listens on the socket that another process has opened at `path` and given a copy of.
    ///
    /// # Errors
    /// When it is no socket.
    #[cfg(unix)]
    pub fn inherit(path: &Path, copy: SocketCopy) -> io::Result<Self> {
        Ok(Self { socket: ControlSocket::inherit(path, copy)? })
    }

    /// Serves until dropped.
    pub async fn serve(self, handler: Arc<dyn Handler>) {
        let (_stays, is_ours) = watch::channel(true);
        Serving::new(self.socket, is_ours).run(handler, None).await;
    }

    /// Serves in a task of its own, until that is ended or another process has taken over.
    pub fn spawn(self, handler: Arc<dyn Handler>) -> Control {
        let (ours, is_ours) = watch::channel(true);
        let (asks, asked) = mpsc::channel(1);
        let serving = Serving::new(self.socket, is_ours);
        Control { task: tokio::spawn(serving.run(handler, Some(asked))), ours, asks }
    }
}

/// A control socket that is served. Dropping it ends it.
#[derive(Debug)]
pub struct Control {
    task: JoinHandle<()>,
    ours: watch::Sender<bool>,
    asks: mpsc::Sender<ServingCommand>,
}

impl Drop for Control {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Control {
    /// Whether this process takes connections. While another one does, those that are open go on.
    pub fn set_ours(&self, is_ours: bool) {
        self.ours.send_replace(is_ours);
    }

    /// A copy of the socket for another process.
    ///
    /// # Errors
    /// When the process is out of descriptors.
    #[cfg(unix)]
    pub async fn copy(&self) -> io::Result<SocketCopy> {
        let (answer, answered) = oneshot::channel();
        let _ = self.asks.send(ServingCommand::Copy(answer)).await;
        answered.await.unwrap_or_else(|_| Err(io::ErrorKind::NotConnected.into()))
    }

    /// Waits for a moment until the connections that are open have had their answers. Meant for a process that takes no
    /// further one.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn answered(&self) {
        let (answer, answered) = oneshot::channel();
        let _ = self.asks.send(ServingCommand::Answered(answer)).await;
        let _ = tokio::time::timeout(LAST_ANSWERS, answered).await;
    }

    /// Ends it at once. The socket's file stays when this process does not take connections.
    pub fn close(&self) {
        self.task.abort();
    }

    /// Takes no further connection, and waits for a moment until those that are open have had their answers.
    ///
    /// # Cancel safety
    /// Cancelling ends it at once.
    pub async fn finish(mut self) {
        let (answer, answered) = oneshot::channel();
        let _ = self.asks.send(ServingCommand::Finish(answer)).await;
        let _ = tokio::time::timeout(LAST_ANSWERS, answered).await;
        self.task.abort();
        let _ = (&mut self.task).await;
    }
}

/// What the serving task is asked.
#[derive(Debug)]
enum ServingCommand {
    #[cfg(unix)]
    Copy(oneshot::Sender<io::Result<SocketCopy>>),
    Answered(oneshot::Sender<()>),
    Finish(oneshot::Sender<()>),
}

/// How long the last answers may take.
const LAST_ANSWERS: Duration = Duration::from_secs(1);
/// How often it is looked whether the socket's file still leads here: without it a program that runs cannot be asked,
/// and not be ended politely either.
const LOOK_EVERY: Duration = Duration::from_secs(2);

struct Serving {
    socket: ControlSocket,
    connections: JoinSet<()>,
    /// Who waits for the end of all connections.
    waiting: Vec<oneshot::Sender<()>>,
    is_ours: watch::Receiver<bool>,
}

impl Serving {
    fn new(socket: ControlSocket, is_ours: watch::Receiver<bool>) -> Self {
        Self { socket, connections: JoinSet::new(), waiting: Vec::new(), is_ours }
    }

    async fn run(mut self, handler: Arc<dyn Handler>, mut asks: Option<mpsc::Receiver<ServingCommand>>) {
        let mut look = tokio::time::interval(LOOK_EVERY);
        loop {
            let takes = *self.is_ours.borrow_and_update();
            self.socket.set_ours(takes);
            if self.connections.is_empty() {
                for waiting in self.waiting.drain(..) {
                    let _ = waiting.send(());
                }
            }
            tokio::select! {
                accepted = self.socket.accept(), if takes => match accepted {
                    Ok(Some(stream)) => drop(self.connections.spawn(connection(stream, Arc::clone(&handler), self.is_ours.clone()))),
                    Ok(None) => {}
                    Err(error) => {
                        tracing::warn!(%error, "cannot accept control connections at the moment");
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                },
                _ = look.tick(), if takes => self.look(),
                Ok(()) = self.is_ours.changed() => {}
                asked = next(&mut asks) => match asked {
                    #[cfg(unix)]
                    ServingCommand::Copy(answer) => drop(answer.send(self.socket.copy())),
                    ServingCommand::Answered(answer) => self.waiting.push(answer),
                    ServingCommand::Finish(answer) => {
                        while self.connections.join_next().await.is_some() {}
                        let _ = answer.send(());
                        return;
                    }
                },
                Some(_) = self.connections.join_next() => {}
            }
        }
    }

    /// Opens the socket anew when its file does not lead to it any more: somebody has removed it, or it could not be written.
    fn look(&mut self) {
        if self.socket.is_there() {
            return;
        }
        match ControlSocket::open(self.socket.path()) {
            Ok(socket) => {
                tracing::warn!("the control socket was gone; it is there again");
                self.socket = socket;
            }
            Err(error) => tracing::warn!(%error, "the control socket is gone, and cannot be opened anew"),
        }
    }
}

async fn next(asks: &mut Option<mpsc::Receiver<ServingCommand>>) -> ServingCommand {
    match asks.as_mut() {
        Some(asks) => match asks.recv().await {
            Some(asked) => asked,
            None => std::future::pending().await,
        },
        None => std::future::pending().await,
    }
}

async fn connection(stream: Stream, handler: Arc<dyn Handler>, is_ours: watch::Receiver<bool>) {
    let service = service_fn(move |request| {
        let (handler, is_ours) = (Arc::clone(&handler), is_ours.clone());
        async move { Ok::<_, Infallible>(answer(handler.as_ref(), request, is_ours).await) }
    });
    if let Err(error) = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await {
        tracing::debug!(%error, "control connection ended");
    }
}

type ReplyBody = Either<Full<Bytes>, Events>;

async fn answer(
    handler: &dyn Handler,
    request: hyper::Request<Incoming>,
    is_ours: watch::Receiver<bool>,
) -> Response<ReplyBody> {
    let request = match read(request).await {
        Ok(request) => request,
        Err(problem) => return json(problem.status, &problem.to_json()),
    };
    match handler.handle(request).await {
        Reply::Json(value) => json(200, &value),
        Reply::Text(text) => text_response(200, text),
        Reply::Error(problem) => json(problem.status, &problem.to_json()),
        Reply::Events(values) => {
            let events = Events { changes: Box::pin(next_value(values, is_ours, true)) };
            let mut response = Response::new(Either::Right(events));
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
            response
        }
    }
}

fn json(status: u16, value: &Value) -> Response<ReplyBody> {
    text_response(status, value.to_string())
}

fn text_response(status: u16, json: String) -> Response<ReplyBody> {
    let mut response = Response::new(Either::Left(Full::new(Bytes::from(json))));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

async fn read(request: hyper::Request<Incoming>) -> Result<Request, ApiProblem> {
    let (parts, body) = request.into_parts();
    let body = Limited::new(body, MAX_BODY_BYTES).collect().await;
    let body = body.map_err(|_| ApiProblem::new(413, "too_large", "the request is too large"))?.to_bytes();
    let body = if body.is_empty() {
        Value::Null
    } else {
        serde_json::from_slice(&body)
            .map_err(|_| ApiProblem::new(400, "not_json", "the request is not valid JSON"))?
    };
    let target = parts.uri.path_and_query().map_or("/", |target| target.as_str());
    Ok(Request::new(parts.method.as_str(), target, body))
}

type Next = Option<(Value, Box<dyn Changes>, watch::Receiver<bool>)>;

/// The next value; `None` when there is none any more, or another process is asked from now on.
async fn next_value(mut values: Box<dyn Changes>, mut is_ours: watch::Receiver<bool>, at_once: bool) -> Next {
    if !at_once {
        tokio::select! {
            changed = values.changed() => changed.then_some(())?,
            _ = is_ours.wait_for(|is_ours| !is_ours) => return None,
        }
    }
    Some((values.now(), values, is_ours))
}

/// Server-sent events of a value and its changes. A slow reader misses values in between, never the last.
struct Events {
    changes: crate::BoxFuture<'static, Next>,
}

impl Body for Events {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.changes.as_mut().poll(cx).map(|found| {
            let (value, values, is_ours) = found?;
            self.changes = Box::pin(next_value(values, is_ours, false));
            Some(Ok(Frame::data(Bytes::from(format!("data: {value}\n\n")))))
        })
    }
}

#[cfg(all(test, windows))]
mod tests {
    use super::super::socket;
    use super::*;

    fn serving(path: &Path) -> Serving {
        Serving::new(ControlSocket::open(path).unwrap(), watch::channel(true).1)
    }

    #[tokio::test]
    async fn a_name_that_could_not_be_written_is_written_when_it_can_be() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("client.sock");
        // That of a process that has ended, and what is no name.
        for left in [br"\\.\pipe\petit-of-nobody".as_slice(), b"\xff\xfe", b""] {
            let mut serving = serving(&path);
            std::fs::write(&path, left).unwrap();
            assert!(socket::connect(&path).await.is_err());
            serving.look();
            socket::connect(&path).await.unwrap();
        }
    }

    #[tokio::test]
    async fn the_name_of_a_process_that_is_about_to_serve_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("client.sock");
        let mut serving = serving(&path);
        let _successor = ControlSocket::open(&path).unwrap();
        let name = std::fs::read(&path).unwrap();
        serving.look();
        assert_eq!(std::fs::read(&path).unwrap(), name);
    }
}
