//! The listening side of local control.

use std::convert::Infallible;
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::{BodyExt, Either, Full, Limited};
use hyper::body::{Body, Frame, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::door::{Door, Stream};
use super::{Handler, Problem, Reply, Request};

/// Largest request body.
pub const MAX_BODY_BYTES: usize = 256 * 1024;

/// A control socket. Whoever binds it holds the program's lock, so a file that is in the way is left over.
#[derive(Debug)]
pub struct Listener {
    door: Door,
}

impl Listener {
    /// Listens on `path`, replacing what a killed program has left there. Call with the program's lock held.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn bind(path: &Path) -> io::Result<Self> {
        Ok(Self { door: Door::open(path)? })
    }

    /// Serves until dropped.
    pub async fn serve(mut self, handler: Arc<dyn Handler>) {
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                accepted = self.door.accept() => match accepted {
                    Ok(Some(stream)) => drop(connections.spawn(connection(stream, Arc::clone(&handler)))),
                    Ok(None) => {}
                    Err(error) => {
                        tracing::warn!(%error, "cannot accept control connections at the moment");
                        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                    }
                },
                Some(_) = connections.join_next() => {}
            }
        }
    }
}

async fn connection(stream: Stream, handler: Arc<dyn Handler>) {
    let service = service_fn(move |request| {
        let handler = Arc::clone(&handler);
        async move { Ok::<_, Infallible>(answer(handler.as_ref(), request).await) }
    });
    if let Err(error) = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await {
        tracing::debug!(%error, "control connection ended");
    }
}

type ReplyBody = Either<Full<Bytes>, Events>;

async fn answer(handler: &dyn Handler, request: hyper::Request<Incoming>) -> Response<ReplyBody> {
    let request = match read(request).await {
        Ok(request) => request,
        Err(problem) => return json(problem.status, &problem.to_json()),
    };
    match handler.handle(request).await {
        Reply::Json(value) => json(200, &value),
        Reply::Text(text) => text_response(200, text),
        Reply::Error(problem) => json(problem.status, &problem.to_json()),
        Reply::Events(values) => {
            let events = Events { changes: Box::pin(next(values, true)) };
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

async fn read(request: hyper::Request<Incoming>) -> Result<Request, Problem> {
    let (parts, body) = request.into_parts();
    let body = Limited::new(body, MAX_BODY_BYTES).collect().await;
    let body = body.map_err(|_| Problem::new(413, "too_large", "the request is too large"))?.to_bytes();
    let body = if body.is_empty() {
        Value::Null
    } else {
        serde_json::from_slice(&body)
            .map_err(|_| Problem::new(400, "not_json", "the request is not valid JSON"))?
    };
    let target = parts.uri.path_and_query().map_or("/", |target| target.as_str());
    Ok(Request::new(parts.method.as_str(), target, body))
}

type Next = Option<(Value, watch::Receiver<Value>)>;

async fn next(mut values: watch::Receiver<Value>, at_once: bool) -> Next {
    if !at_once {
        values.changed().await.ok()?;
    }
    let value = values.borrow_and_update().clone();
    Some((value, values))
}

/// Server-sent events of a value and its changes. A slow reader misses values in between, never the last.
struct Events {
    changes: Pin<Box<dyn Future<Output = Next> + Send>>,
}

impl Body for Events {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.changes.as_mut().poll(cx).map(|found| {
            let (value, values) = found?;
            self.changes = Box::pin(next(values, false));
            Some(Ok(Frame::data(Bytes::from(format!("data: {value}\n\n")))))
        })
    }
}
