//! One request to its service and the answer back.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::{Body, Incoming};
use hyper::client::conn::{http1, http2};
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{HeaderMap, Request, Response, Uri, Version};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};

use super::super::Shared;
use super::super::answer::Failure;
use super::super::registry::{Served, Session};
use super::super::slots::Slot;
use super::body::{AnswerBody, Passing, VisitorBody};
use super::head;
use super::pool::{self, Lease, Upstream};
use crate::limits;
use crate::mux::{Fate, Stream};
use crate::proto::frame::{Open, Purpose};

/// Where a request goes, and for whom.
pub(super) struct Way<'a> {
    pub(super) shared: &'a Arc<Shared>,
    pub(super) session: &'a Arc<Session>,
    pub(super) served: &'a Arc<Served>,
    /// The far end of the visitor's connection.
    pub(super) peer: SocketAddr,
    /// The visitor, behind proxies that are trusted.
    pub(super) visitor: SocketAddr,
    pub(super) id: [u8; 16],
    /// The host that the visitor asked for, without port.
    pub(super) host: &'a str,
}

impl Way<'_> {
    /// Opens a stream to the service.
    pub(super) fn open(&self) -> Result<Stream, Failure> {
        let open = Open {
            service: self.served.number,
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
        let handshake = http1_builder().handshake(TokioIo::new(stream));
        let (sender, connection) = handshake.await.map_err(|_| Failure::of_fate(&fate))?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::trace!(%error, "connection to a service ended");
            }
        });
        Ok(Upstream { sender, fate })
    }

    /// Opens a stream with an HTTP/2 connection on it, for this request and others.
    async fn connect_h2(&self) -> Result<pool::Shared, Failure> {
        let stream = self.open()?;
        let fate = Arc::clone(stream.fate());
        let handshake = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            // Fixed: hyper's adaptive windows are the same for a request and for the connection, so that one
            // answer that nobody takes would hold up all others.
            .initial_stream_window_size(limits::H2_SERVICE_STREAM_WINDOW_BYTES)
            .initial_connection_window_size(limits::H2_SERVICE_CONNECTION_WINDOW_BYTES)
            .max_header_list_size(limits::HTTP_BUFFER_BYTES as u32)
            .max_send_buf_size(limits::SEND_BUFFER_BYTES)
            .max_local_error_reset_streams(limits::H2_ERROR_RESETS)
            .keep_alive_interval(limits::H2_PING_EVERY)
            .keep_alive_timeout(limits::H2_PING_LIMIT)
            .handshake(TokioIo::new(stream));
        let (sender, connection) = handshake.await.map_err(|_| Failure::of_fate(&fate))?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::trace!(%error, "connection to a service ended");
            }
        });
        let connection = pool::Shared::new(sender, fate, self.peer);
        self.session.pool.keep_shared(self.served.number, &connection);
        Ok(connection)
    }

    /// How long the service may take to begin its answer.
    pub(super) fn answer_within(&self) -> Duration {
        let own = self.served.options.answer_within_s.map(|seconds| Duration::from_secs(seconds.into()));
        own.unwrap_or(self.shared.config.bounds.answer_within)
    }
}

/// How answers of services are read. What hyper would not accept of a visitor it does not accept of a service.
pub(super) fn http1_builder() -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder.max_headers(limits::MAX_ANSWER_HEADERS).max_buf_size(limits::HTTP_BUFFER_BYTES);
    builder
}

/// A request that got no answer.
struct Refused {
    failure: Failure,
    /// No byte of it can have reached the service.
    never_started: bool,
}

/// Sends a request whose head has been rewritten, and returns the answer with its body streaming.
pub(super) async fn forward(
    way: &Way<'_>,
    request: Request<Incoming>,
    slot: Slot,
) -> Result<Response<AnswerBody>, Failure> {
    let (parts, body) = request.into_parts();
    let options = &way.served.options;
    let is_grpc = is_grpc(&parts.headers);
    let passing = Arc::new(Passing::default());
    if options.max_body_bytes.is_some_and(|most| body.size_hint().lower() > most) {
        return Err(Failure::BodyTooLong);
    }
    let job = Job { way, passing: &passing, visitor: parts.version, is_grpc };
    let idle = way.shared.config.bounds.idle;
    if body.is_end_stream() {
        // A stream that was kept alive may have been closed by the service a moment ago. A request without a
        // body can be sent again then, if it provably never got there.
        let again = parts.clone();
        let request = Request::from_parts(parts, VisitorBody::Empty);
        return match job.send(request, true, slot).await {
            Err((refused, slot)) if refused.never_started => {
                tracing::debug!("a kept connection was gone; the request goes out on a new one");
                let request = Request::from_parts(again, VisitorBody::Empty);
                job.send(request, false, slot).await.map_err(|(refused, _)| refused.failure)
            }
            other => other.map_err(|(refused, _)| refused.failure),
        };
    }
    let body = VisitorBody::streaming(body, Arc::clone(&passing), idle, options.max_body_bytes, is_grpc);
    let sent = job.send(Request::from_parts(parts, body), true, slot).await;
    sent.map_err(|(refused, _)| refused.failure)
}

/// A service of HTTP/2 said that it has not looked at the request (RFC 9113 §8.7).
fn was_refused(error: &hyper::Error) -> bool {
    h2_cause(error)
        .is_some_and(|cause| cause.is_reset() && cause.reason() == Some(h2::Reason::REFUSED_STREAM))
}

/// A service of HTTP/2 has not kept its rules, most likely because it does not speak it.
fn is_no_http2(error: &hyper::Error) -> bool {
    h2_cause(error).is_some_and(|cause| {
        cause.is_library() && cause.reason().is_some_and(|reason| reason != h2::Reason::ENHANCE_YOUR_CALM)
    })
}

fn h2_cause(error: &hyper::Error) -> Option<&h2::Error> {
    std::error::Error::source(error)?.downcast_ref()
}

fn is_grpc(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"))
}

/// What all tries of one request have in common.
struct Job<'a> {
    way: &'a Way<'a>,
    passing: &'a Arc<Passing>,
    visitor: Version,
    is_grpc: bool,
}

impl Job<'_> {
    async fn send(
        &self,
        request: Request<VisitorBody>,
        may_reuse: bool,
        slot: Slot,
    ) -> Result<Response<AnswerBody>, (Refused, Slot)> {
        let sent = if self.way.served.options.h2 {
            self.send_h2(request, may_reuse).await
        } else {
            self.send_h1(request, may_reuse).await
        };
        match sent {
            Ok((response, lease)) => {
                self.passing.answered();
                let idle = self.way.shared.config.bounds.idle;
                let response =
                    response.map(|body| AnswerBody::service(body, lease, Some(slot), idle, self.is_grpc));
                Ok(head::to_visitor(response, self.visitor, self.way.host))
            }
            Err(refused) => Err((refused, slot)),
        }
    }

    async fn send_h1(
        &self,
        mut request: Request<VisitorBody>,
        may_reuse: bool,
    ) -> Result<(Response<Incoming>, Lease), Refused> {
        *request.version_mut() = Version::HTTP_11;
        let way = self.way;
        let number = way.served.number;
        let (mut upstream, kept) = match way.session.pool.take(number).filter(|_| may_reuse) {
            Some(upstream) => (upstream, true),
            None => (way.connect().await.map_err(Refused::for_good)?, false),
        };
        let before = upstream.fate.written();
        let answer = upstream.sender.send_request(request);
        let response = match self.first_byte(answer).await {
            Some(Ok(response)) => response,
            Some(Err(error)) => {
                let refused = self.refused(&error, &upstream.fate, before, kept);
                return Err(refused);
            }
            None => return Err(Refused::for_good(Failure::ServiceSilent)),
        };
        head::check_answer(&response).map_err(Refused::for_good)?;
        Ok((response, Lease::own(way.session, number, upstream)))
    }

    async fn send_h2(
        &self,
        mut request: Request<VisitorBody>,
        may_reuse: bool,
    ) -> Result<(Response<Incoming>, Lease), Refused> {
        let way = self.way;
        // Of HTTP/2 the host is a part of the target.
        let host = request.headers_mut().remove(HOST);
        let authority = host.as_ref().and_then(|host| host.to_str().ok()).unwrap_or(way.host);
        let target = request.uri().path_and_query().map_or("/", |target| target.as_str());
        let uri: Result<Uri, _> = format!("http://{authority}{target}").parse();
        *request.uri_mut() = uri.map_err(|_| Refused::for_good(Failure::BadRequest))?;
        *request.version_mut() = Version::HTTP_2;
        let kept = way.session.pool.share(way.served.number, way.peer).filter(|_| may_reuse);
        let was_kept = kept.is_some();
        let mut connection = match kept {
            Some(connection) => connection,
            None => way.connect_h2().await.map_err(Refused::for_good)?,
        };
        let place = connection.enter();
        let before = connection.fate.written();
        let answer = connection.sender.send_request(request);
        match self.first_byte(answer).await {
            Some(Ok(response)) => Ok((response, Lease::Shared { _place: place })),
            Some(Err(error)) => Err(self.refused(&error, &connection.fate, before, was_kept)),
            None => Err(Refused::for_good(Failure::ServiceSilent)),
        }
    }

    /// What an error means. What the agent had delivered when the stream ended decides whether the request can
    /// have started; if it said nothing, only one that was not written at all is known not to have.
    fn refused(&self, error: &hyper::Error, fate: &Fate, before: u64, kept: bool) -> Refused {
        if let Some(fault) = self.passing.fault() {
            return Refused::for_good(fault);
        }
        let delivered = fate.delivered().unwrap_or_else(|| fate.written());
        let never_started = (kept && (error.is_canceled() || delivered <= before)) || was_refused(error);
        let invalid =
            (error.is_parse() || is_no_http2(error)) && fate.reset_code().is_none() && !fate.was_lost();
        let failure = if invalid { Failure::ServiceInvalid } else { Failure::of_fate(fate) };
        Refused { failure, never_started }
    }

    /// Waits for an answer's head. The limit counts from the last byte of the request that was passed on.
    async fn first_byte<T>(&self, answer: impl Future<Output = T>) -> Option<T> {
        tokio::pin!(answer);
        let limit = self.way.answer_within();
        let mut seen = self.passing.bytes();
        loop {
            if let Ok(answer) = tokio::time::timeout(limit, answer.as_mut()).await {
                return Some(answer);
            }
            let now = self.passing.bytes();
            if now == seen {
                return None;
            }
            seen = now;
        }
    }
}

impl Refused {
    fn for_good(failure: Failure) -> Self {
        Self { failure, never_started: false }
    }
}
