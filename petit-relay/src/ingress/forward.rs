//! One request to its service and the answer back.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use hyper::body::Body;
use hyper::client::conn::{self, http2};
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{HeaderMap, Method, Request, Response, StatusCode, Uri, Version};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use petit_engine::http::{Coding, Invalid, check_answer};
use petit_engine::limits;
use petit_engine::mux::{Stream, StreamOutcome};
use petit_engine::proto::RequestId;
use petit_engine::proto::frame::Purpose;
use tokio::time::Instant;
use tracing::Instrument;

use super::super::RelayShared;
use super::super::failure::Failure;
use super::super::places::{Part, Place, Slot};
use super::super::policed::Policed;
use super::super::upstream::Upstream;
use super::super::visit::{Visit, VisitEnd};
use super::body::{AnswerBody, AnswerKind, Arrived, Source};
use super::connection::Connection;
use super::events::EventStream;
use super::head;
use super::http1::{Exchange, KeptStream, RestOfUpload, Sending, Trouble};
use super::pool::{self, Lease, Repeatable};
use super::shared_upload::SharedUpload;
use super::unread::RequestBody;
use super::upload::{Limits, Streaming, UploadOver, VisitorBody};
use super::visitor::canonical;

/// Where a request goes, and for whom.
pub(super) struct RequestContext<'a> {
    pub(super) shared: &'a Arc<RelayShared>,
    pub(super) visit: &'a Visit,
    pub(super) upstream: &'a Upstream,
    /// What the service's policy has said, where there is one.
    pub(super) policed: Option<&'a Arc<Policed>>,
    /// The visitor's connection.
    pub(super) connection: &'a Connection,
    /// The host that the visitor asked for, without port.
    pub(super) host: &'a str,
}

impl RequestContext<'_> {
    /// The far end of the visitor's connection.
    fn peer(&self) -> SocketAddr {
        self.connection.visitor.peer
    }

    /// Opens a stream to the service.
    pub(super) fn open(&self) -> Result<Stream, Failure> {
        Ok(self.upstream.open(Purpose::Visit, self.visit.id, self.visit.visitor)?)
    }

    /// Opens a stream with an HTTP/2 connection on it, for this request and others.
    async fn connect_h2(&self) -> Result<pool::SharedConnection, Failure> {
        let stream = self.open()?;
        let (outcome, canceller) = (Arc::clone(stream.outcome()), stream.canceller());
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
        let (sender, connection) = handshake.await.map_err(|_| Failure::of_stream_outcome(&outcome))?;
        // It carries other requests, too, so it is not this one's.
        let carrying = async move {
            if let Err(error) = connection.await {
                tracing::trace!(%error, "connection to a service ended");
            }
        };
        let id = self.visit.id;
        let span = tracing::debug_span!(parent: None, "stream", %id, service = %self.visit.route.id);
        tokio::spawn(carrying.instrument(span));
        let connection = pool::SharedConnection::new(sender, (outcome, canceller), id, self.peer());
        self.upstream.pool().keep_shared(self.upstream.number(), &connection);
        Ok(connection)
    }

    /// How long the service may take to begin its answer: as its client says, within what the operator allows.
    pub(super) fn answer_within(&self) -> Duration {
        let limits = &self.shared.config.limits;
        let own = self.upstream.options().answer_within_s.map(|seconds| Duration::from_secs(seconds.into()));
        own.map_or(limits.answer_within, |own| own.min(limits.answer_within_most))
    }

    /// Waits until what has no end of its own is told to go, because the relay or the agent leaves.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(super) fn goodbye(&self) -> impl Future<Output = ()> + Send + use<> {
        let (relay, agent) = (self.shared.leaving.goodbye(), self.upstream.goodbye());
        async move {
            tokio::select! {
                () = relay => {}
                () = agent => {}
            }
        }
    }

    /// What the service is told of the visitor.
    pub(super) fn forwarding(&self) -> head::Forwarding<'_> {
        let visitor = &self.connection.visitor;
        let peer = canonical(visitor.peer).ip();
        head::Forwarding {
            peer,
            origin: self.visit.visitor.ip(),
            https: visitor.transport.is_tls(),
            trusted: head::is_trusted(peer, &self.shared.config.trusted_proxies),
            pseudonym: &self.shared.pseudonym,
            request: self.visit.id,
            key: self.policed.and_then(|policed| policed.key()),
            host: self.upstream.options().host.as_ref().map(|host| host.as_str()),
        }
    }
}

/// How answers of services are read. What hyper would not accept of a visitor it does not accept of a service.
pub(super) fn http1_builder() -> conn::http1::Builder {
    let mut builder = conn::http1::Builder::new();
    builder.max_headers(limits::MAX_ANSWER_HEADERS).max_buf_size(limits::HTTP_BUFFER_BYTES);
    builder
}

/// A request whose answer has begun.
struct Answered {
    response: Response<()>,
    body: Arrived,
    /// Its own body is not over yet.
    upload: Option<UploadBehind>,
}

/// An upload that is not over when its answer begins. The visit keeps its place for as long: whoever is answered early
/// has not done yet.
enum UploadBehind {
    /// Sent by a task of ours.
    Http1(RestOfUpload),
    /// Sent by hyper.
    Shared(SharedUpload),
}

impl UploadBehind {
    /// Lets it go on, in a task of the relay's, and keep its place meanwhile.
    fn go_on(self, context: &RequestContext<'_>, slot: Arc<Slot>) {
        let (idle, recorder) = (context.shared.config.limits.idle, context.visit.recorder.clone());
        recorder.goes_on();
        let rest = async move {
            recorder.ends(match self {
                Self::Http1(upload) => upload.send(slot.place()).await,
                Self::Shared(upload) => upload.until_over(slot.place(), idle).await,
            });
            drop((slot, recorder));
        };
        context.shared.tasks.spawn(rest.in_current_span());
    }
}

/// A request that got no answer.
struct Refused {
    failure: Failure,
    /// No byte of it can have reached the service.
    never_started: bool,
}

/// A request goes out on a stream that an earlier one has opened. The agent's lines about a stream have its ID, and this
/// line says which requests they are about; one that opens a stream has the same ID as that.
fn log_kept(stream: RequestId) {
    tracing::debug!(%stream, "on a stream that is kept open");
}

/// Sends a request on its way and returns the answer with its body streaming.
pub(super) async fn forward(
    context: &RequestContext<'_>,
    request: Request<RequestBody>,
    checked: &head::Request,
    slot: Slot,
) -> Result<Response<AnswerBody>, Failure> {
    let options = context.upstream.options();
    if options.max_body_bytes.is_some_and(|most| request.body().size_hint().lower() > most) {
        return Err(Failure::BodyTooLong);
    }
    let is_grpc = is_grpc(request.headers());
    let job = Job { context, place: Arc::clone(slot.place()), is_grpc };
    let version = request.version();
    let Answered { response, body: source, upload } = if options.h2 {
        job.over_h2(head::to_service(request, checked, &context.forwarding())).await?
    } else {
        job.over_h1(request, checked).await?
    };
    job.place.answered();
    let recorder = &context.visit.recorder;
    recorder.answered();
    let idle = context.shared.config.limits.idle;
    let (head, ()) = response.into_parts();
    let body = match source {
        Arrived::Whole(body) => {
            if let Some(upload) = upload {
                upload.go_on(context, Arc::new(slot));
            }
            recorder.add_down(body.len());
            recorder.ends(VisitEnd::Whole);
            AnswerBody::full(body)
        }
        Arrived::Streaming(source) => {
            let kind = match EventStream::of(&head.headers, &context.shared.leaving, || context.goodbye()) {
                Some(events) => AnswerKind::Events(events),
                None if is_grpc => AnswerKind::Grpc,
                None => AnswerKind::Plain,
            };
            let slot = Arc::new(slot);
            if let Some(upload) = upload {
                upload.go_on(context, Arc::clone(&slot));
            }
            AnswerBody::service(source, slot, recorder.clone(), idle, kind)
        }
    };
    let response = Response::from_parts(head, body);
    Ok(head::to_visitor(response, version, context.host))
}

/// A service of HTTP/2 said that it has not looked at the request: by a reset of its stream (RFC 9113 §8.7), or by
/// a GOAWAY with a last stream before it (§6.8). Streams up to that one are not told of the GOAWAY: they get their
/// answer, or end with the connection.
fn was_never_processed(error: &hyper::Error) -> bool {
    h2_cause(error).is_some_and(|cause| {
        let refused = cause.is_reset() && cause.reason() == Some(h2::Reason::REFUSED_STREAM);
        cause.is_remote() && (refused || cause.is_go_away())
    })
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
    context: &'a RequestContext<'a>,
    place: Arc<Place>,
    is_grpc: bool,
}

impl Job<'_> {
    fn streaming(&self, body: RequestBody) -> Box<Streaming> {
        let idle = self.context.shared.config.limits.idle;
        let visit = self.context.visit;
        let own = self.context.upstream.options().max_body_bytes;
        let policed = self.context.policed;
        let of_policy = policed.and_then(|policed| policed.policy()?.enforced_body());
        let most = own.into_iter().chain(of_policy).min();
        let (policing, length) = (&self.context.shared.policing, body.size_hint());
        let enforced = policed.and_then(|policed| policing.enforced_body(policed, length.upper()));
        let counted = policed.and_then(|policed| policing.body_count(visit, policed, length.lower()));
        let limits = Limits { idle, most, enforced, counted, is_grpc: self.is_grpc };
        Streaming::new(body, Arc::clone(&self.place), visit.recorder.clone(), limits)
    }

    async fn over_h1(
        &self,
        request: Request<RequestBody>,
        checked: &head::Request,
    ) -> Result<Answered, Failure> {
        let (parts, body) = request.into_parts();
        let forwarding = self.context.forwarding();
        let coding = Coding::of(&parts.headers);
        let is_head = parts.method == Method::HEAD;
        if body.is_end_stream() {
            if matches!(coding, Coding::Length(1..)) {
                return Err(Failure::BadRequest);
            }
            let head = head::bytes_to_service(&parts, checked, &forwarding, None);
            // A stream that was kept alive may have been closed by the service a moment ago. A request without a
            // body can be sent again then, if it provably never got there.
            return match self.send_h1(head.clone(), is_head, None, true).await {
                Err(refused) if refused.never_started => {
                    tracing::debug!("a kept connection was gone; the request goes out on a new one");
                    self.context.visit.recorder.retried();
                    self.send_h1(head, is_head, None, false).await.map_err(|refused| refused.failure)
                }
                other => other.map_err(|refused| refused.failure),
            };
        }
        let head = head::bytes_to_service(&parts, checked, &forwarding, Some(coding));
        let sending = Sending::new(self.streaming(body), coding);
        self.send_h1(head, is_head, Some(sending), true).await.map_err(|refused| refused.failure)
    }

    async fn send_h1(
        &self,
        head: Bytes,
        is_head: bool,
        sending: Option<Sending>,
        may_reuse: bool,
    ) -> Result<Answered, Refused> {
        let context = self.context;
        let (pool, service) = (context.upstream.pool(), context.upstream.number());
        let kept = match (may_reuse, &sending) {
            (false, _) => None,
            (true, None) => pool.take(service, Repeatable::Yes),
            (true, Some(_)) => pool.take(service, Repeatable::No),
        };
        let (stream, kept) = match kept {
            Some(stream) => {
                log_kept(stream.opened().id);
                (stream, true)
            }
            None => (Arc::new(context.open().map_err(Refused::for_good)?), false),
        };
        let outcome = Arc::clone(stream.outcome());
        let before = outcome.written();
        let stream = KeptStream { upstream: context.upstream.clone(), stream };
        let mut exchange = Exchange::begin(stream, head, is_head, sending);
        match self.first_byte(poll_fn(|cx| exchange.poll_head(cx))).await {
            Waited::Answered(Ok((head, rest))) => {
                let (response, body, upload) = exchange.answer(head, rest);
                Ok(Answered { response, body: body.into(), upload: upload.map(UploadBehind::Http1) })
            }
            Waited::Answered(Err(trouble)) => {
                let fault = matches!(trouble, Trouble::Body).then_some(Failure::BadRequest);
                Err(self.refused(
                    fault,
                    matches!(trouble, Trouble::Invalid),
                    kept.then_some(before),
                    &outcome,
                ))
            }
            Waited::InVain(failure) => Err(Refused::for_good(failure)),
        }
    }

    async fn over_h2(&self, request: Request<RequestBody>) -> Result<Answered, Failure> {
        let (parts, body) = request.into_parts();
        if !body.is_end_stream() {
            let mut body = self.streaming(body);
            let over = body.over();
            let request = Request::from_parts(parts, VisitorBody::Streaming(body));
            return self.send_h2(request, Some(over), true).await.map_err(|refused| refused.failure);
        }
        // As over HTTP/1.1.
        let again = parts.clone();
        match self.send_h2(Request::from_parts(parts, VisitorBody::Empty), None, true).await {
            Err(refused) if refused.never_started => {
                tracing::debug!("a shared connection was gone; the request goes out on a new one");
                self.context.visit.recorder.retried();
                let request = Request::from_parts(again, VisitorBody::Empty);
                self.send_h2(request, None, false).await.map_err(|refused| refused.failure)
            }
            other => other.map_err(|refused| refused.failure),
        }
    }

    /// `over` says when the request's body is.
    async fn send_h2(
        &self,
        mut request: Request<VisitorBody>,
        over: Option<UploadOver>,
        may_reuse: bool,
    ) -> Result<Answered, Refused> {
        let context = self.context;
        let is_head = request.method() == Method::HEAD;
        // Of HTTP/2 the host is a part of the target.
        let host = request.headers_mut().remove(HOST);
        let authority = host.as_ref().and_then(|host| host.to_str().ok()).unwrap_or(context.host);
        let target = request.uri().path_and_query().map_or("/", |target| target.as_str());
        let uri: Result<Uri, _> = format!("http://{authority}{target}").parse();
        *request.uri_mut() = uri.map_err(|_| Refused::for_good(Failure::BadRequest))?;
        *request.version_mut() = Version::HTTP_2;
        let kept =
            context.upstream.pool().share(context.upstream.number(), context.peer()).filter(|_| may_reuse);
        let was_kept = kept.is_some();
        let mut connection = match kept {
            Some(connection) => {
                log_kept(connection.id);
                connection
            }
            None => context.connect_h2().await.map_err(Refused::for_good)?,
        };
        let place = connection.enter();
        let before = connection.outcome.written();
        let answer = connection.sender.send_request(request);
        match self.first_byte(answer).await {
            Waited::Answered(Ok(response)) => {
                check_answer(&response).map_err(|Invalid| Refused::for_good(Failure::ServiceInvalid))?;
                let (parts, body) = response.into_parts();
                // What these have no body for would be read as something else.
                let has_none =
                    is_head || matches!(parts.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
                let arrived = if has_none {
                    Arrived::Whole(Bytes::new())
                } else {
                    Arrived::Streaming(Source::Hyper { body, lease: Lease::Shared(place) })
                };
                let upload = over
                    .and_then(UploadOver::unless_over)
                    .map(|over| UploadBehind::Shared(SharedUpload::new(over, connection)));
                Ok(Answered { response: Response::from_parts(parts, ()), body: arrived, upload })
            }
            Waited::Answered(Err(error)) => {
                let invalid = error.is_parse() || is_no_http2(&error);
                let kept = was_kept.then_some(if error.is_canceled() { u64::MAX } else { before });
                let mut refused = self.refused(None, invalid, kept, &connection.outcome);
                refused.never_started |= was_never_processed(&error);
                if h2_cause(&error).is_some_and(h2::Error::is_go_away) {
                    connection.retire();
                }
                Err(refused)
            }
            Waited::InVain(failure) => Err(Refused::for_good(failure)),
        }
    }

    /// What a failed exchange means. What the agent had delivered when the stream ended decides whether the request
    /// can have started; if it said nothing, only one that was not written at all is known not to have. `kept`: the
    /// stream had carried other requests, which make so many bytes. `invalid`: what was read is no HTTP, which is what the
    /// visitor is told however the stream ends: whether its end has come yet is chance.
    fn refused(
        &self,
        fault: Option<Failure>,
        invalid: bool,
        kept: Option<u64>,
        outcome: &StreamOutcome,
    ) -> Refused {
        if let Some(fault) = self.place.fault().or(fault) {
            return Refused::for_good(fault);
        }
        let delivered = outcome.delivered().unwrap_or_else(|| outcome.written());
        let never_started = kept.is_some_and(|before| delivered <= before);
        let failure = if invalid {
            Failure::ServiceInvalid
        } else {
            Failure::of_unanswered(outcome, kept.unwrap_or_default())
        };
        Refused { failure, never_started }
    }

    /// Waits for an answer's head, for as long as the request has its place. The limit counts from the last byte of
    /// the request that was passed on.
    async fn first_byte<T>(&self, answer: impl Future<Output = T>) -> Waited<T> {
        first_byte(self.context, &self.place, answer).await
    }
}

/// What came of waiting for an answer.
pub(super) enum Waited<T> {
    Answered(T),
    InVain(Failure),
}

/// As [`Job::first_byte`].
pub(super) async fn first_byte<T>(
    context: &RequestContext<'_>,
    place: &Place,
    answer: impl Future<Output = T>,
) -> Waited<T> {
    let (mut answer, own) = (pin!(answer), Mutex::default());
    let timer = context.connection.activity.timer().unwrap_or(&own);
    let limit = context.answer_within();
    let mut deadline = Instant::now() + limit;
    let mut seen = place.bytes();
    poll_fn(|cx| {
        if let Poll::Ready(answer) = answer.as_mut().poll(cx) {
            return Poll::Ready(Waited::Answered(answer));
        }
        if place.poll_lost(Part::Answer, cx).is_ready() {
            return Poll::Ready(Waited::InVain(Failure::GaveWay));
        }
        let mut timer = timer.lock().unwrap_or_else(PoisonError::into_inner);
        while timer.poll_until(deadline, cx).is_ready() {
            let now = place.bytes();
            if now == seen {
                return Poll::Ready(Waited::InVain(Failure::ServiceSilent));
            }
            (seen, deadline) = (now, Instant::now() + limit);
        }
        Poll::Pending
    })
    .await
}

impl Refused {
    fn for_good(failure: Failure) -> Self {
        Self { failure, never_started: false }
    }
}
