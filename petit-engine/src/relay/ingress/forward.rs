//! One request to its service and the answer back.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hyper::body::{Body, Incoming};
use hyper::client::conn::http1;
use hyper::{Request, Response, Version};
use hyper_util::rt::TokioIo;

use super::super::Shared;
use super::super::answer::Failure;
use super::super::registry::Session;
use super::body::{AnswerBody, VisitorBody};
use super::head;
use super::pool::{Lease, Upstream};
use crate::limits;
use crate::mux::Stream;
use crate::proto::frame::{Open, Purpose};

/// Where a request goes, and for whom.
pub(super) struct Way<'a> {
    pub(super) shared: &'a Arc<Shared>,
    pub(super) session: &'a Arc<Session>,
    /// The agent's number of the service.
    pub(super) number: u16,
    /// The visitor, behind proxies that are trusted.
    pub(super) visitor: SocketAddr,
    pub(super) id: [u8; 16],
}

impl Way<'_> {
    /// Opens a stream to the service.
    pub(super) fn open(&self) -> Result<Stream, Failure> {
        let open = Open {
            service: self.number,
            purpose: Purpose::Visit,
            window: limits::INITIAL_WINDOW_BYTES,
            visitor: self.visitor,
            id: self.id,
        };
        Ok(self.session.mux.open(open)?)
    }

    /// Opens a stream with an HTTP/1.1 connection on it.
    async fn connect(&self) -> Result<Upstream, Failure> {
        let stream = self.open()?;
        let fate = Arc::clone(stream.fate());
        let handshake = http1::Builder::new()
            .max_headers(2 * limits::MAX_HEADERS)
            .max_buf_size(limits::MAX_HEAD_BYTES)
            .handshake(TokioIo::new(stream));
        let (sender, connection) = handshake.await.map_err(|_| Failure::of_fate(&fate))?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::trace!(%error, "connection to a service ended");
            }
        });
        Ok(Upstream { sender, fate })
    }
}

/// Sends a request whose head has been rewritten, and returns the answer with its body streaming.
pub(super) async fn forward(
    way: &Way<'_>,
    request: Request<Incoming>,
) -> Result<Response<AnswerBody>, Failure> {
    let (parts, body) = request.into_parts();
    let passed = Arc::new(AtomicU64::new(0));
    let has_body = !body.is_end_stream();
    let version = parts.version;
    // A stream that was kept alive may have been closed by the service a moment ago. A request without a body
    // can be sent again then, if it provably never got there.
    if let Some(upstream) = way.session.pool.take(way.number) {
        if has_body {
            let request =
                Request::from_parts(parts, VisitorBody::Streaming { body, passed: Arc::clone(&passed) });
            return send(way, upstream, request, version, &passed).await.map_err(|refused| refused.failure);
        }
        let again = parts.clone();
        let request = Request::from_parts(parts, VisitorBody::Empty);
        match send(way, upstream, request, version, &passed).await {
            Ok(response) => return Ok(response),
            Err(refused) if refused.never_started => {
                tracing::debug!("a kept connection was gone; the request goes out on a new one");
                let upstream = way.connect().await?;
                let request = Request::from_parts(again, VisitorBody::Empty);
                return send(way, upstream, request, version, &passed)
                    .await
                    .map_err(|refused| refused.failure);
            }
            Err(refused) => return Err(refused.failure),
        }
    }
    let body = if has_body {
        VisitorBody::Streaming { body, passed: Arc::clone(&passed) }
    } else {
        VisitorBody::Empty
    };
    let upstream = way.connect().await?;
    send(way, upstream, Request::from_parts(parts, body), version, &passed)
        .await
        .map_err(|refused| refused.failure)
}

/// A request that got no answer.
struct Refused {
    failure: Failure,
    /// No byte of it can have reached the service.
    never_started: bool,
}

async fn send(
    way: &Way<'_>,
    mut upstream: Upstream,
    mut request: Request<VisitorBody>,
    visitor_version: Version,
    passed: &AtomicU64,
) -> Result<Response<AnswerBody>, Refused> {
    *request.version_mut() = Version::HTTP_11;
    let before = upstream.fate.written();
    let answer = upstream.sender.send_request(request);
    let result = first_byte(answer, passed).await;
    let fate = &upstream.fate;
    let response = match result {
        Some(Ok(response)) => response,
        Some(Err(error)) => {
            // What the agent had delivered when the stream ended decides; if it said nothing, only a request
            // that was not written at all is known not to have started.
            let never_started =
                error.is_canceled() || fate.delivered().map_or(fate.written(), |bytes| bytes) <= before;
            let invalid = error.is_parse() && fate.reset_code().is_none() && !fate.was_lost();
            let failure = if invalid { Failure::ServiceInvalid } else { Failure::of_fate(fate) };
            return Err(Refused { failure, never_started });
        }
        None => return Err(Refused { failure: Failure::ServiceSilent, never_started: false }),
    };
    let lease = Lease { session: Arc::clone(way.session), service: way.number, upstream };
    let response = response.map(|body| AnswerBody::service(body, lease));
    Ok(head::to_visitor(response, visitor_version))
}

/// Waits for an answer's head. The limit counts from the last byte of the request that was passed on.
async fn first_byte<T>(answer: impl Future<Output = T>, passed: &AtomicU64) -> Option<T> {
    tokio::pin!(answer);
    let mut seen = passed.load(Ordering::Relaxed);
    loop {
        if let Ok(answer) = tokio::time::timeout(limits::FIRST_BYTE, answer.as_mut()).await {
            return Some(answer);
        }
        let now = passed.load(Ordering::Relaxed);
        if now == seen {
            return None;
        }
        seen = now;
    }
}
