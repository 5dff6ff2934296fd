//! The body of an answer on its way to a visitor: Petit's own, or a service's.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};

use super::super::failure::Failure;
use super::super::places::{Part, Slot};
use super::super::visit::{VisitEnd, VisitRecorder};
use super::activity::RequestGuard;
use super::events::EventStream;
use super::http1;
use super::pace::{Pace, Patience};
use super::pool::Lease;
use super::upload::{BodyError, trailers};

/// The body of an answer.
pub(crate) struct AnswerBody {
    content: Content,
    /// The request is under way until this ends.
    request: Option<RequestGuard>,
}

enum Content {
    /// Petit's own.
    Full(Option<Bytes>),
    /// The service's, streamed.
    Service(Box<FromService>),
}

/// A service's body on its way to a visitor. Its stream goes back to the pool when it has come to its end, and is
/// dropped, and with it the local connection, when the visitor leaves before that.
struct FromService {
    source: Option<Source>,
    slot: Option<Arc<Slot>>,
    recorder: VisitRecorder,
    patience: Patience,
    trailers: bool,
    /// Its length was told, so that whoever gets less knows that it was cut.
    has_length: bool,
    /// It has no end of its own.
    events: Option<Box<EventStream>>,
    /// Something was handed out, the head at least, that hyper has had no turn to write yet.
    unwritten: bool,
    /// How it broke, to be told in the next turn: what came before is not to be lost.
    broken: Option<BodyError>,
}

/// A service's body, when its head has come.
pub(super) enum Arrived {
    /// All of it came with the head.
    Whole(Bytes),
    /// It is still on its way.
    Streaming(Source),
}

impl From<http1::Arrived> for Arrived {
    fn from(arrived: http1::Arrived) -> Self {
        match arrived {
            http1::Arrived::Whole(whole) => Self::Whole(whole),
            http1::Arrived::Streaming(body) => Self::Streaming(Source::Http1(body)),
        }
    }
}

/// What an answer's body is like.
pub(super) enum AnswerKind {
    /// It ends by itself, without trailers.
    Plain,
    /// Its trailers say how the call went.
    Grpc,
    /// It has no end of its own.
    Events(Box<EventStream>),
}

/// Who reads a service's answer.
pub(super) enum Source {
    /// Petit, from a stream.
    Http1(http1::Body),
    /// hyper, from a connection that it shares or was to take over.
    Hyper { body: Incoming, lease: Lease },
}

impl Source {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self {
            Self::Http1(body) => body.poll_frame(cx),
            Self::Hyper { body, .. } => Pin::new(body).poll_frame(cx).map_err(BodyError::Broken),
        }
    }

    /// What it means for the visitor that the body has broken.
    fn failure(&self) -> Failure {
        match self {
            Self::Http1(body) => body.failure(),
            Self::Hyper { lease, .. } => Failure::of_broken(lease.outcome()),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Http1(body) => body.is_end_stream(),
            Self::Hyper { body, .. } => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Http1(body) => body.size_hint(),
            Self::Hyper { body, .. } => body.size_hint(),
        }
    }
}

impl Content {
    fn has_length(&self) -> bool {
        match self {
            Self::Full(_) => true,
            Self::Service(service) => service.has_length,
        }
    }
}

impl AnswerBody {
    pub(crate) fn full(bytes: Bytes) -> Self {
        Content::Full(Some(bytes).filter(|bytes| !bytes.is_empty())).into()
    }

    /// The request ends with this body, and for as long it counts as activity of its connection.
    pub(super) fn until_end(self, request: RequestGuard) -> Self {
        Self { request: Some(request), ..self }
    }

    pub(super) fn service(
        source: Source,
        slot: Arc<Slot>,
        recorder: VisitRecorder,
        idle: Duration,
        kind: AnswerKind,
    ) -> Self {
        if source.is_end_stream() {
            recorder.ends(VisitEnd::Whole);
            return Content::Full(None).into();
        }
        let patience = Patience::new(Pace::idle(idle));
        let has_length = source.size_hint().exact().is_some();
        let service = FromService {
            source: Some(source),
            slot: Some(slot),
            recorder,
            patience,
            trailers: matches!(kind, AnswerKind::Grpc),
            has_length,
            events: match kind {
                AnswerKind::Events(events) => Some(events),
                AnswerKind::Plain | AnswerKind::Grpc => None,
            },
            unwritten: true,
            broken: None,
        };
        Content::Service(Box::new(service)).into()
    }
}

impl From<Content> for AnswerBody {
    fn from(content: Content) -> Self {
        Self { content, request: None }
    }
}

impl FromService {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        loop {
            if let Some(events) = &mut self.events
                && events.poll_end(cx).is_ready()
            {
                self.end(VisitEnd::Whole);
            }
            let Some(source) = &mut self.source else { return Poll::Ready(self.broken.take().map(Err)) };
            let frame = match next(source, self.slot.as_deref(), cx) {
                Poll::Ready(Some(Err(error))) => {
                    let failure = self.slot.as_ref().and_then(|slot| slot.place().fault());
                    let failure = failure.unwrap_or_else(|| match error {
                        BodyError::GaveWay => Failure::GaveWay,
                        BodyError::Broken(_) | BodyError::Cut(_) | BodyError::Slow | BodyError::TooLong => {
                            source.failure()
                        }
                    });
                    self.end(failure.into());
                    if !self.unwritten {
                        return Poll::Ready(Some(Err(error)));
                    }
                    self.broken = Some(error);
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Poll::Ready(frame) => frame,
                Poll::Pending => {
                    self.unwritten = false;
                    return self.patience.poll_over(cx).map(|()| {
                        self.end(VisitEnd::Failed(Failure::ServiceSilent));
                        Some(Err(BodyError::Slow))
                    });
                }
            };
            let Some(Ok(frame)) = frame else {
                self.end(VisitEnd::Whole);
                return Poll::Ready(None);
            };
            self.unwritten = true;
            let frame = frame.into_data();
            if let Ok(data) = &frame {
                self.recorder.add_down(data.len());
            }
            if source.is_end_stream() {
                self.end(VisitEnd::Whole);
            }
            match frame {
                Ok(data) => {
                    self.patience.moved(data.len());
                    if let Some(events) = &mut self.events {
                        events.passed(&data);
                    }
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
                Err(frame) => {
                    if let Some(trailers) = trailers(frame, self.trailers) {
                        return Poll::Ready(Some(Ok(trailers)));
                    }
                }
            }
        }
    }

    /// There is no more of it, or it is given up.
    fn end(&mut self, end: VisitEnd) {
        self.recorder.let_go(end);
        self.source = None;
        self.slot = None;
        self.events = None;
    }
}

impl Drop for FromService {
    /// Of an answer whose length is known no more is asked for once that much has come, so that its end need not be heard
    /// (an empty frame of HTTP/2).
    fn drop(&mut self) {
        if self.source.as_ref().is_some_and(|source| source.size_hint().exact() == Some(0)) {
            self.recorder.ends(VisitEnd::Whole);
        }
    }
}

/// The next piece of an answer, for as long as it has its place.
fn next(
    source: &mut Source,
    slot: Option<&Slot>,
    cx: &mut Context<'_>,
) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
    let Some(place) = slot.map(Slot::place) else { return source.poll_frame(cx) };
    if place.is_lost() {
        return Poll::Ready(Some(Err(BodyError::GaveWay)));
    }
    let polled = source.poll_frame(cx);
    if polled.is_ready() {
        place.moved();
        polled
    } else {
        place.poll_lost(Part::Answer, cx).map(|()| Some(Err(BodyError::GaveWay)))
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let body = self.get_mut();
        if let Some(request) = &mut body.request {
            request.was_taken();
        }
        let polled = match &mut body.content {
            Content::Full(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Content::Service(service) => service.poll(cx),
        };
        match (&mut body.request, &polled) {
            (Some(request), Poll::Ready(Some(Ok(frame)))) => {
                request.offers(frame.data_ref().map_or(0, Bytes::len));
            }
            (Some(request), Poll::Ready(Some(Err(_)))) if !body.content.has_length() => {
                request.broke_without_length();
            }
            _ => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Full(bytes) => bytes.is_none(),
            Content::Service(service) => {
                service.broken.is_none() && service.source.as_ref().is_none_or(Source::is_end_stream)
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Full(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
            }
            Content::Service(service) => {
                service.source.as_ref().map_or_else(SizeHint::default, Source::size_hint)
            }
        }
    }
}
