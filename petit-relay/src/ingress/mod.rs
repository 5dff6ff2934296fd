//! Public HTTP: a visitor's connection, request by request.
//!
//! hyper reads the bytes; [`head`] judges and rewrites the head; one [`Routed`] value decides where the request
//! goes; [`forward`] carries it there and back, [`upgrade`] when it is to become a WebSocket. Bodies stream and
//! are neither parsed nor kept.

mod activity;
mod answer;
mod body;
mod closing;
mod connection;
mod events;
mod explained;
mod forward;
mod frames;
mod h2_flood;
mod head;
mod http1;
mod on_wake;
mod pace;
mod pool;
mod shared_upload;
mod unread;
mod upgrade;
mod upload;
mod visitor;

use std::convert::Infallible;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Instant;

use bytes::Bytes;
use hyper::body::{Body, Incoming};
use hyper::header::{CONNECTION, HeaderValue, VARY};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode, Version};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use petit_engine::limits;
use petit_engine::proto::RequestId;
use petit_engine::proto::control::ServiceKind;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use self::activity::{Activity, Over};
pub(super) use self::body::AnswerBody;
use self::closing::Closing;
use self::connection::Connection;
use self::explained::Explained;
use self::h2_flood::Spoken;
pub use self::head::fuzz as fuzz_head;
use self::on_wake::OnWake;
use self::pace::{Breakable, Paced};
pub(super) use self::pool::StreamPool;
use self::unread::RequestBody;
pub(super) use self::visitor::{Transport, Visitor, canonical};
use super::admission::Ticket;
use super::failure::Failure;
use super::front_probe::{ANSWER_FIELD, TOKEN_FIELD};
use super::places::{Claim, Slot};
use super::policed::Shown;
use super::refusal_log::Refusal;
use super::route::decide;
use super::upstream::Upstream;
use super::visit::{Asked, Protocol, Visit};
use super::{RelayShared, invite_page};

/// Serves one connection of an HTTPS visitor to its end.
pub(super) async fn serve_tls(
    shared: Arc<RelayShared>,
    tls: TlsStream<TcpStream>,
    visitor: Visitor,
    ticket: Ticket,
) {
    let agreed = tls.get_ref().1.alpn_protocol().and_then(Spoken::agreed);
    serve_io(shared, tls, Connection::new(visitor, ticket), agreed).await;
}

/// Serves one connection of a visitor in the clear to its end.
pub(super) async fn serve(shared: Arc<RelayShared>, tcp: TcpStream, visitor: Visitor, ticket: Ticket) {
    serve_io(shared, tcp, Connection::new(visitor, ticket), None).await;
}

/// Serves one visitor's connection to its end; `agreed` is the version that it has to be in.
async fn serve_io<IO>(shared: Arc<RelayShared>, io: IO, connection: Connection, agreed: Option<Spoken>)
where
    IO: AsyncRead + AsyncWrite + Breakable + Unpin + Send + 'static,
{
    let connection = Arc::new(connection);
    carry_requests(shared, io, &connection, agreed).await;
    // A request of HTTP/2 may outlive its connection for a moment, and does not count as one.
    drop(connection.take_ticket());
}

/// Answers the requests of one connection until it ends, or has become a WebSocket.
async fn carry_requests<IO>(
    shared: Arc<RelayShared>,
    io: IO,
    connection: &Arc<Connection>,
    agreed: Option<Spoken>,
) where
    IO: AsyncRead + AsyncWrite + Breakable + Unpin + Send + 'static,
{
    let (leaving, explaining) = (Arc::clone(&shared), Arc::clone(&shared));
    let peer = connection.visitor.peer;
    // A proxy must find that the connection it takes for its next request is still there.
    let speaks_for_many = shared.places.visitor(peer.ip()).is_none();
    let idle = if speaks_for_many { limits::PROXY_IDLE } else { limits::VISITOR_IDLE };
    let (activity, admission) = (Arc::clone(&connection.activity), Arc::clone(&connection.admission));
    let connection = Arc::clone(connection);
    let service = service_fn(move |request: Request<Incoming>| {
        let activity = &connection.activity;
        let under_way = Activity::enter(activity);
        let is_h2 = request.version() >= Version::HTTP_2;
        if is_h2 {
            activity.carries_many();
        } else {
            activity.begins(!request.body().is_end_stream(), request.version() == Version::HTTP_10);
        }
        let version = request.version();
        let request = request.map(|body| RequestBody::new(body, version, &shared.tasks));
        let (shared, connection) = (Arc::clone(&shared), Arc::clone(&connection));
        async move {
            let mut answer = guarded(&shared, &connection, request).await;
            let activity = &connection.activity;
            if shared.leaving.ends_connections() {
                ends_connection(&mut answer, is_h2, activity);
            }
            activity.answers(answer.status() == StatusCode::SWITCHING_PROTOCOLS);
            Ok::<_, Infallible>(answer.map(|body| body.until_end(under_way)))
        }
    });
    let broken = Arc::clone(&activity.broken);
    let io = Paced::new(Closing::new(io, Arc::clone(&activity), agreed), Arc::clone(&broken));
    let io = Explained::new(io, Arc::clone(&activity), explaining, peer);
    let builder = builder();
    let connection = builder.serve_connection_with_upgrades(TokioIo::new(io), service);
    let mut connection = pin!(connection);
    // One that carries nothing is closed; one that has lived long or carried much, too: so a server's load can be
    // moved. All gracefully.
    let end_of_life = async {
        tokio::select! {
            () = leaving.leaving.closes(|| activity.may_wait()) => Over::Enough,
            over = activity.over(idle) => over,
            () = tokio::time::sleep(age(peer)) => Over::Enough,
            () = admission.evicted() => Over::Evicted,
        }
    };
    let end_of_life = pin!(end_of_life);
    let mut end_of_life = OnWake::new(end_of_life);
    let result = poll_fn(|cx| match connection.as_mut().poll(cx) {
        Poll::Ready(result) => Poll::Ready(Ok(result)),
        Poll::Pending => Pin::new(&mut end_of_life).poll(cx).map(Err),
    });
    let result = match result.await {
        Ok(result) => result,
        // No service has been asked for on it, and others want its room.
        Err(Over::Evicted) => return tracing::trace!(%peer, "visitor's connection made way for another one"),
        Err(over) => {
            connection.as_mut().graceful_shutdown();
            broken.store(over == Over::Stalled, Ordering::Relaxed);
            if over == Over::Enough {
                connection.await
            } else {
                // Nobody is left who waits for an answer. A peer that does not take its leave is not waited for.
                let parting = tokio::time::timeout(limits::PARTING, connection).await;
                parting.unwrap_or(Ok(()))
            }
        }
    };
    if let Err(error) = result {
        tracing::trace!(%peer, error, "visitor's connection ended");
    }
}

/// An answer of a relay that leaves is the last one of its connection.
fn ends_connection(answer: &mut Response<AnswerBody>, is_h2: bool, activity: &Activity) {
    if is_h2 {
        activity.request_close();
    } else if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
        answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
}

/// The age at which a connection is closed, spread over ± 10 % so that many of one moment do not end in one.
fn age(peer: SocketAddr) -> std::time::Duration {
    let spread = u32::from(peer.port()) % 200;
    limits::CONNECTION_AGE / 1000 * (900 + spread)
}

/// As [`answer`], but a fault of ours within ends this request alone.
async fn guarded(
    shared: &Arc<RelayShared>,
    connection: &Connection,
    request: Request<RequestBody>,
) -> Response<AnswerBody> {
    let id = shared.next_request_id();
    let span = tracing::debug_span!("request", %id, service = tracing::field::Empty);
    let mut answer = pin!(answer(shared, connection, request, id));
    let caught = poll_fn(|cx| {
        // As `instrument` does, but for nothing where nobody listens: a span that is off is still asked at each poll.
        let _in_span = (!span.is_disabled()).then(|| span.enter());
        match std::panic::catch_unwind(AssertUnwindSafe(|| answer.as_mut().poll(cx))) {
            Ok(poll) => poll.map(Some),
            Err(_) => Poll::Ready(None),
        }
    });
    let mut answer = caught.await.unwrap_or_else(|| {
        tracing::error!(request = %id, "a request failed within; only that request ended");
        shared.faults.fetch_add(1, Ordering::Relaxed);
        Failure::Internal.answer(None, id, shared.config.legacy_errors)
    });
    answer::set_request(answer.headers_mut(), id);
    answer
}

fn builder() -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .header_read_timeout(None) // see `Activity`
        .max_headers(limits::MAX_HEADERS)
        .max_buf_size(limits::HTTP_BUFFER_BYTES);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits::H2_STREAMS)
        .initial_stream_window_size(limits::H2_STREAM_WINDOW_BYTES)
        .initial_connection_window_size(limits::H2_CONNECTION_WINDOW_BYTES)
        .max_header_list_size(limits::H2_HEADER_LIST_BYTES)
        .max_send_buf_size(limits::SEND_BUFFER_BYTES)
        .max_pending_accept_reset_streams(limits::H2_PENDING_RESETS)
        .max_local_error_reset_streams(limits::H2_ERROR_RESETS)
        .keep_alive_interval(limits::H2_PING_EVERY)
        .keep_alive_timeout(limits::H2_PING_LIMIT);
    builder
}

/// The answer to one request: the service's, or Petit's own. These are the steps of a request, in their order: check
/// its head, find its route, from where on it is a [`Visit`], then see [`carry`].
async fn answer(
    shared: &Arc<RelayShared>,
    connection: &Connection,
    request: Request<RequestBody>,
    id: RequestId,
) -> Response<AnswerBody> {
    let visitor = &connection.visitor;
    let legacy = shared.config.legacy_errors;
    let checked = match head::check(&request, visitor, &shared.config.endpoint, &shared.pseudonym) {
        Ok(head::Checked::Request(checked)) => checked,
        // Asked of the server itself, not of a service (RFC 9110 §9.3.7).
        Ok(head::Checked::ServerOptions) => return empty(StatusCode::NO_CONTENT),
        Err(refused) => {
            log_refused(shared, visitor, &request, Refusal::of(refused.failure, id));
            return refused.answer(id, legacy);
        }
    };
    // Before it is looked for a service: whether visitors get in is no question of names.
    if let Some(answer) = answer_front_probe(shared, &checked, &request) {
        return answer;
    }
    let route = match decide(&checked.host, &shared.config.endpoint, shared.access.as_ref()).service() {
        Ok(route) => route,
        Err(Failure::Unknown) if is_invite_page(shared, &checked, &request) => return invite_page::page(),
        Err(failure) => {
            let refusal = Refusal { host: Some(&checked.host), ..Refusal::of(failure, id) };
            log_refused(shared, visitor, &request, refusal);
            return failure.answer(None, id, legacy);
        }
    };
    if tracing::enabled!(tracing::Level::DEBUG) {
        tracing::Span::current().record("service", tracing::field::display(&route.id));
    }
    let version = request.version();
    let visit = Visit::begin(
        shared.observer.as_ref(),
        id,
        route,
        head::origin(&request, visitor, &shared.config.trusted_proxies),
        || (Protocol::of(version, checked.websocket), Some(Asked::of(&request))),
    );
    let mut asks_for_key = visit.route.asks_for_key();
    let result = carry(shared, connection, request, (&checked, &visit), &mut asks_for_key).await;
    let mut answer = result.unwrap_or_else(|failed| {
        visit.recorder.ends(failed.failure.into());
        if !failed.was_on_its_way {
            let (service, visitor) = (Some(visit.route.id), Some(visit.visitor.ip()));
            shared.refusal_log.log(&Refusal { service, visitor, ..Refusal::of(failed.failure, id) });
        }
        let mut answer = failed.failure.answer(Some(&visit.route.name), id, legacy);
        // A version that HTTP/1.0 does not know would be answered for it by hyper; its connection ends as always.
        // And behind a request that was to become a WebSocket there may be bytes that are no HTTP.
        if checked.websocket || (failed.was_on_its_way && version == Version::HTTP_10) {
            answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        answer
    });
    // A cache on the way must not give it to whoever shows no key: only of `Authorization` it knows that by itself (RFC
    // 9111 §3.5).
    if asks_for_key {
        answer.headers_mut().append(VARY, HeaderValue::from_static("Petit-Key"));
    }
    visit.recorder.set_status(answer.status());
    answer
}

/// Why a visit got no answer of its service.
struct Failed {
    failure: Failure,
    /// There was a client to carry it to.
    was_on_its_way: bool,
}

impl From<Failure> for Failed {
    fn from(failure: Failure) -> Self {
        Self { failure, was_on_its_way: false }
    }
}

/// The steps of a visit whose route is known: is its service one of HTTP, what does the service's policy say, may its
/// connection ask for services, is its client there, a place for it, a stream and the answer. `asks_for_key` becomes true
/// when a policy that came meanwhile asks for a key.
async fn carry(
    shared: &Arc<RelayShared>,
    connection: &Connection,
    request: Request<RequestBody>,
    (checked, visit): (&head::Request, &Visit),
    asks_for_key: &mut bool,
) -> Result<Response<AnswerBody>, Failed> {
    visit.route.must_be(ServiceKind::Http)?;
    // Before it says anything of the service's client, and before its connection counts as one that asks for services.
    let policed = match &visit.route.policy {
        Some(policy) => Some(shared.policing.ask(visit, policy, Shown::by(&request))?),
        None => None,
    };
    if !connection.admission.try_settle_as_visitor() {
        return Err(Failure::Busy.into());
    }
    let (upstream, for_client) = took_time(shared.awaited.find(&shared.registry, &visit.route)).await;
    let Some(upstream) = upstream else {
        let presence = shared.registry.presence(&shared.present_route(visit)?);
        return Err(presence.failure().unwrap_or(Failure::NotOffered).into());
    };
    if !upstream.moves_in_time() {
        connection.activity.goes_to_older_client();
    }
    let not_answered = |failure| {
        log_failure(shared, &upstream, visit, failure);
        Failed { failure, was_on_its_way: true }
    };
    let (entered, for_place) = took_time(enter(shared, &upstream, visit, &request, checked)).await;
    let (mut slot, socket) = entered.map_err(not_answered)?;
    // What was decided before the wait may not hold any more.
    let has_waited = for_client == Waited::Yes || for_place == Waited::Yes;
    let policed = if has_waited {
        let route = shared.present_route(visit)?;
        *asks_for_key |= route.asks_for_key();
        shared.ask_again(visit, &route, policed, Shown::by(&request))?
    } else {
        policed
    };
    slot.hold(policed.clone());
    let policed = policed.as_ref();
    let context = forward::RequestContext {
        shared,
        visit,
        upstream: &upstream,
        policed,
        connection,
        host: checked.host.name(),
    };
    let result = match socket {
        Some(socket) => {
            let request = head::to_service(request, checked, &context.forwarding());
            upgrade::websocket(&context, request, (slot, socket)).await
        }
        None => forward::forward(&context, request, checked, slot).await,
    };
    result.map_err(|failure| {
        if failure == Failure::Busy {
            shared.places.refused();
        }
        not_answered(failure)
    })
}

/// Whether something had to be waited for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Waited {
    Yes,
    No,
}

/// What something comes to, and whether it took its time.
async fn took_time<T>(future: impl Future<Output = T>) -> (T, Waited) {
    let (mut future, mut waited) = (pin!(future), Waited::No);
    let result = poll_fn(|cx| {
        let polled = future.as_mut().poll(cx);
        if polled.is_pending() {
            waited = Waited::Yes;
        }
        polled
    });
    (result.await, waited)
}

/// A place for a request, and one for the WebSocket that it is to become.
async fn enter(
    shared: &RelayShared,
    upstream: &Upstream,
    visit: &Visit,
    request: &Request<RequestBody>,
    checked: &head::Request,
) -> Result<(Slot, Option<Slot>), Failure> {
    let visitor = shared.places.visitor(visit.visitor.ip());
    let claim = Claim { visitor, has_body: !request.body().is_end_stream() };
    let slot = shared.place(&upstream.rooms().visits, claim).await?;
    let socket = match checked.websocket {
        true => Some(upgrade::enter(shared, upstream, claim, &slot).await?),
        false => None,
    };
    visit.recorder.placed();
    Ok((slot, socket))
}

/// The one line about a request that its service has not answered. At the level `info` there is no span of the
/// request, so the line says by itself which one it was.
fn log_failure(shared: &RelayShared, upstream: &Upstream, visit: &Visit, failure: Failure) {
    let Visit { id, route, .. } = visit;
    let code = failure.code();
    if upstream.take_failure_log_permit() {
        tracing::info!(service = %route.name, id = %route.id, device = %route.device, code, request = %id, "request not answered by the service");
    } else {
        shared.refusal_log.count(failure, route.id);
        tracing::debug!(code, "request not answered by the service");
    }
}

/// Takes note of a request that leads to no service.
fn log_refused(
    shared: &RelayShared,
    visitor: &Visitor,
    request: &Request<RequestBody>,
    refusal: Refusal<'_>,
) {
    let origin = head::origin(request, visitor, &shared.config.trusted_proxies);
    shared.refusal_log.log(&Refusal { visitor: Some(origin.ip()), ..refusal });
}

fn empty(status: StatusCode) -> Response<AnswerBody> {
    let mut response = Response::new(AnswerBody::full(Bytes::new()));
    *response.status_mut() = status;
    response
}

/// The answer to a probe of a front, which has come in like a visitor; nothing for a visitor who would like to be
/// taken for one.
fn answer_front_probe(
    shared: &RelayShared,
    checked: &head::Request,
    request: &Request<RequestBody>,
) -> Option<Response<AnswerBody>> {
    let token = request.headers().get(TOKEN_FIELD)?;
    let answer =
        shared.front_probes.tokens().redeem(token.as_bytes(), checked.host.name(), Instant::now())?;
    let mut response = empty(StatusCode::OK);
    let headers = response.headers_mut();
    headers.insert(ANSWER_FIELD, HeaderValue::try_from(answer).ok()?);
    headers.insert(hyper::header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Some(response)
}

/// An invite's link leads here when somebody opens it in a browser.
fn is_invite_page(shared: &RelayShared, checked: &head::Request, request: &Request<RequestBody>) -> bool {
    let (method, path) = (request.method(), request.uri().path());
    invite_page::is_asked_for(&shared.config.endpoint, &checked.host, method, path)
}
