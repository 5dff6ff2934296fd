//! Requests that turn into WebSockets (RFC 6455): joined only after the service has said 101.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper::header::{CONNECTION, HeaderValue, UPGRADE};
use hyper::upgrade::Upgraded;
use hyper::{Request, Response, StatusCode, Version};
use hyper_util::rt::TokioIo;
use petit_engine::http::{Invalid, check_answer};
use petit_engine::limits;
use petit_engine::mux::{Progress, Stream, Until, carry};
use tokio::io::AsyncWriteExt;
use tokio::time::Instant;
use tracing::Instrument;

use super::super::RelayShared;
use super::super::failure::Failure;
use super::super::places::{Claim, Place, Slot};
use super::super::upstream::Upstream;
use super::super::visit::{VisitEnd, VisitRecorder};
use super::body::{AnswerBody, AnswerKind, Source};
use super::forward::{RequestContext, Waited, first_byte, http1_builder};
use super::frames::{Goodbye, Parting, Visiting};
use super::head;
use super::pool::Lease;
use super::unread::RequestBody;
use super::upload::VisitorBody;

/// A place for a WebSocket. It has one of its own kind; that of a request is free again once it is one.
pub(super) async fn enter(
    shared: &RelayShared,
    upstream: &Upstream,
    claim: Claim,
    slot: &Slot,
) -> Result<Slot, Failure> {
    if claim.has_body {
        return Err(Failure::BadRequest);
    }
    let room = upstream.rooms().websockets.as_ref().ok_or(Failure::NotHttp)?;
    tokio::select! {
        entered = room.enter(claim) => entered.inspect_err(|_| shared.places.refused()),
        // No stream has been opened: the service knows nothing of it. It is counted where its place was taken.
        () = slot.place().lost() => Err(Failure::Busy),
    }
}

/// Sends an upgrade request on a stream of its own. When the service agrees, the visitor's connection and the
/// stream are joined, and what the visitor sent before the 101 follows it; otherwise the visitor gets the
/// service's answer and loses the connection, because bytes may be on it that are no HTTP.
pub(super) async fn websocket(
    context: &RequestContext<'_>,
    mut request: Request<RequestBody>,
    (slot, mut socket): (Slot, Slot),
) -> Result<Response<AnswerBody>, Failure> {
    let unasked = || context.shared.policing.unasked(context.visit);
    socket.hold(Some(context.policed.map_or_else(unasked, Arc::clone)));
    let stream = context.open()?;
    let outcome = Arc::clone(stream.outcome());
    let handshake = http1_builder().handshake(TokioIo::new(stream));
    let (mut sender, connection) = handshake.await.map_err(|_| Failure::of_stream_outcome(&outcome))?;
    let carrying = async move {
        if let Err(error) = connection.with_upgrades().await {
            tracing::trace!(%error, "connection to a service ended");
        }
    };
    tokio::spawn(carrying.in_current_span());
    let visitor = hyper::upgrade::on(&mut request);
    let mut request = request.map(|_| VisitorBody::Empty);
    *request.version_mut() = Version::HTTP_11;
    request.headers_mut().insert(CONNECTION, HeaderValue::from_static("upgrade"));
    request.headers_mut().insert(UPGRADE, HeaderValue::from_static("websocket"));
    let answer = sender.send_request(request);
    // Until it is answered it holds both places, and ends with either.
    let waited = tokio::select! {
        waited = first_byte(context, slot.place(), answer) => waited,
        () = socket.place().lost() => Waited::InVain(Failure::GaveWay),
    };
    let mut response = match waited {
        Waited::Answered(Ok(response)) => response,
        Waited::Answered(Err(error)) if error.is_parse() => return Err(Failure::ServiceInvalid),
        Waited::Answered(Err(_)) => return Err(Failure::of_unanswered(&outcome, 0)),
        Waited::InVain(failure) => return Err(failure),
    };
    let (idle, recorder) = (context.shared.config.limits.idle, context.visit.recorder.clone());
    recorder.answered();
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        check_answer(&response).map_err(|Invalid| Failure::ServiceInvalid)?;
        // A stream that was to become something else is not used for another request.
        let lease = Lease::Once { _sender: sender, outcome };
        let response = response.map(|body| {
            let source = Source::Hyper { body, lease };
            AnswerBody::service(source, Arc::new(slot), recorder, idle, AnswerKind::Plain)
        });
        let mut response = head::to_visitor(response, Version::HTTP_11, context.host);
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        return Ok(response);
    }
    let is_websocket = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"websocket");
    if !response.headers().get(UPGRADE).is_some_and(is_websocket) {
        return Err(Failure::ServiceInvalid);
    }
    socket.place().answered();
    let service = hyper::upgrade::on(&mut response);
    let (shared, goodbye) = (Arc::clone(context.shared), context.goodbye());
    // For hyper the connection is over now; it goes on to count as one.
    let ticket = context.connection.take_ticket();
    let joined = async move {
        let visitor = async { visitor.await.map_err(|_| VisitEnd::VisitorLeft) };
        let broken = || VisitEnd::from(Failure::of_stream_outcome(&outcome));
        let service = async { service.await.map_err(|_| broken()) };
        // Both resolve once both heads are on their way.
        match tokio::try_join!(visitor, service) {
            Ok((visitor, service)) => {
                let _counted = shared.leaving.websocket();
                join(visitor, service, idle, goodbye, (socket, recorder)).await;
            }
            Err(end) => recorder.ends(end),
        }
        drop(ticket);
    };
    context.shared.tasks.spawn(joined.in_current_span());
    let (parts, _) = response.into_parts();
    let mut response = Response::from_parts(parts, AnswerBody::full(bytes::Bytes::new()));
    response = head::to_visitor(response, Version::HTTP_11, context.host);
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("upgrade"));
    response.headers_mut().insert(UPGRADE, HeaderValue::from_static("websocket"));
    Ok(response)
}

/// Carries messages both ways until both sides have finished, or none has moved for `idle`, or `goodbye` is to be said
/// or the place is needed for others, and both have been told.
async fn join(
    visitor: Upgraded,
    service: Upgraded,
    idle: Duration,
    goodbye: impl Future<Output = ()>,
    (slot, recorder): (Slot, VisitRecorder),
) {
    let Ok(parts) = service.downcast::<TokioIo<Stream>>() else { return };
    let mut stream = parts.io.into_inner();
    let parting = Arc::new(Goodbye::default());
    let mut visitor = Visiting::new(TokioIo::new(visitor), Arc::clone(&parting));
    // What the service sent right behind its 101.
    if visitor.write_all(&parts.read_buf).await.is_err() {
        return;
    }
    recorder.add_down(parts.read_buf.len());
    let moved = Moved { place: slot.place(), recorder: &recorder, last: Mutex::new(Instant::now()) };
    let carried = async {
        let mut progress = &moved;
        carry(&mut stream, &mut visitor, Until::BothFinishOrLocalBreaks, &mut progress).await
    };
    let parted = async {
        let said = async {
            goodbye.await;
            parting.want(Parting::GoingAway);
            // So that the carry is polled once more: nothing else may wake it.
            tokio::task::yield_now().await;
            parting.said().await;
        };
        let lost = async {
            slot.place().lost().await;
            tracing::debug!("a WebSocket gives way");
            parting.want(Parting::TryAgainLater);
            tokio::task::yield_now().await;
            // Whoever takes nothing is not waited for: the place is somebody else's already.
            let _ = tokio::time::timeout(limits::GOODBYE_ANSWER, parting.said()).await;
        };
        tokio::select! {
            () = said => {}
            () = lost => {}
        }
        tokio::time::sleep(limits::GOODBYE_ANSWER).await;
    };
    let result = tokio::select! {
        result = carried => result.map(|()| VisitEnd::Whole),
        () = moved.not_for(idle) => {
            tracing::debug!("websocket cut: nothing has moved for long");
            Ok(VisitEnd::Idle)
        }
        () = parted => {
            tracing::debug!("websocket cut: no goodbye came back");
            Ok(VisitEnd::Cut)
        }
    };
    let end = result.unwrap_or_else(|error| {
        tracing::trace!(%error, "websocket ended");
        VisitEnd::of_broken(&error, stream.outcome())
    });
    recorder.ends(if slot.place().is_lost() { VisitEnd::Failed(Failure::GaveWay) } else { end });
}

/// When anything last moved.
struct Moved<'a> {
    place: &'a Place,
    recorder: &'a VisitRecorder,
    last: Mutex<Instant>,
}

impl Moved<'_> {
    fn last(&self) -> std::sync::MutexGuard<'_, Instant> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) {
        *self.last() = Instant::now();
        self.place.moved();
    }

    async fn not_for(&self, idle: Duration) {
        loop {
            let until = *self.last() + idle;
            if until <= Instant::now() {
                return;
            }
            tokio::time::sleep_until(until).await;
        }
    }
}

impl Progress for &Moved<'_> {
    fn to_local(&mut self, bytes: usize) {
        self.now();
        self.recorder.add_down(bytes);
    }

    fn to_stream(&mut self, bytes: &[u8]) {
        self.now();
        self.recorder.add_up(bytes.len());
    }
}
