//! The bodies that pass: a visitor's on its way to a service, an answer's on its way back.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::HeaderMap;
use hyper::body::{Body, Frame, Incoming, SizeHint};

use super::super::failure::Failure;
use super::super::places::{Place, Slot};
use super::super::visit::{VisitEnd, VisitRecorder};
use super::events::EventStream;
use super::pace::{Pace, Patience};
use super::pool::Lease;
use super::{head, http1};

/// Why a body did not come to its end.
#[derive(Debug)]
pub(crate) enum BodyError {
    /// Its sender broke off, or broke the rules of HTTP.
    Broken(hyper::Error),
    /// It ended before its end, or in a way that no body ends.
    Cut(&'static str),
    /// Its sender made no progress.
    Slow,
    /// There is more of it than the service takes.
    TooLong,
    /// Its place was given to somebody else.
    GaveWay,
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Broken(error) => write!(f, "the body broke: {error}"),
            Self::Cut(how) => write!(f, "the body broke: {how}"),
            Self::Slow => f.write_str("the body came too slowly"),
            Self::TooLong => f.write_str("the body is too long"),
            Self::GaveWay => f.write_str("its place was needed for others"),
        }
    }
}

impl std::error::Error for BodyError {}

/// A visitor's body.
pub(crate) enum VisitorBody {
    /// There is none.
    Empty,
    /// As it comes in.
    Streaming(Box<Streaming>),
}

/// What a visitor's body may be like.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// The longest pause once the service has answered.
    pub(super) idle: Duration,
    /// The most bytes.
    pub(super) most: Option<u64>,
    /// It is a gRPC call, of which both sides may be silent for long from the start, and whose trailers pass.
    pub(super) is_grpc: bool,
}

/// A visitor's body as it comes in.
pub(crate) struct Streaming {
    body: Incoming,
    place: Arc<Place>,
    recorder: VisitRecorder,
    patience: Patience,
    /// What the pace becomes once the service has answered.
    later: Option<Duration>,
    left: Option<u64>,
    trailers: bool,
}

impl Streaming {
    /// A body that is passed on as it comes: at a visitor's pace, then, once the service has answered, with
    /// pauses as long as `limits` allow.
    pub(super) fn new(
        body: Incoming,
        place: Arc<Place>,
        recorder: VisitRecorder,
        limits: Limits,
    ) -> Box<Self> {
        let Limits { idle, most, is_grpc } = limits;
        // Both sides of a gRPC call may be silent for long from the start.
        let pace = if is_grpc { Pace::idle(idle) } else { Pace::BODY };
        Box::new(Self {
            body,
            place,
            recorder,
            patience: Patience::new(pace),
            later: (!is_grpc).then_some(idle),
            left: most,
            trailers: is_grpc,
        })
    }

    /// Takes note of why there is no more of it.
    fn give_up(&self, error: BodyError) -> BodyError {
        self.place.set_fault(failure(&error));
        error
    }

    /// The next piece.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        loop {
            let frame = match Pin::new(&mut self.body).poll_frame(cx) {
                Poll::Ready(frame) => frame,
                Poll::Pending => {
                    if self.later.is_some() && self.place.is_answered() {
                        self.patience.set(Pace::idle(self.later.take().unwrap_or_default()));
                    }
                    return self.patience.poll_over(cx).map(|()| Some(Err(self.give_up(BodyError::Slow))));
                }
            };
            let Some(frame) = frame else { return Poll::Ready(None) };
            let frame = match frame {
                Ok(frame) => frame,
                Err(error) => {
                    return Poll::Ready(Some(Err(self.give_up(BodyError::Broken(error)))));
                }
            };
            match frame.into_data() {
                Ok(data) => {
                    let length = data.len();
                    self.patience.moved(length);
                    self.place.passed(length);
                    self.recorder.add_up(length);
                    if let Some(left) = &mut self.left {
                        match left.checked_sub(length as u64) {
                            Some(rest) => *left = rest,
                            None => {
                                return Poll::Ready(Some(Err(self.give_up(BodyError::TooLong))));
                            }
                        }
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
}

/// What a visitor is told whose body was given up.
fn failure(error: &BodyError) -> Failure {
    match error {
        BodyError::Slow => Failure::SlowBody,
        BodyError::TooLong => Failure::BodyTooLong,
        BodyError::GaveWay => Failure::GaveWay,
        BodyError::Broken(_) | BodyError::Cut(_) => Failure::BadRequest,
    }
}

/// Trailers that may pass: of gRPC, which is lost without them, and even there none that frames, routes or
/// authorises. Elsewhere servers read them as they like, or not at all.
fn trailers(frame: Frame<Bytes>, wanted: bool) -> Option<Frame<Bytes>> {
    let trailers: HeaderMap = frame.into_trailers().ok()?;
    wanted.then(|| Frame::trailers(head::trailers(trailers)))
}

impl Body for VisitorBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.get_mut() {
            Self::Empty => Poll::Ready(None),
            Self::Streaming(streaming) => streaming.poll(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Streaming(streaming) => streaming.body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Streaming(streaming) => streaming.body.size_hint(),
        }
    }
}

/// The body of an answer.
pub(crate) enum AnswerBody {
    /// Petit's own.
    Full(Option<Bytes>),
    /// The service's, streamed.
    Service(Box<FromService>),
}

/// A service's body on its way to a visitor. Its stream goes back to the pool when it has come to its end, and is
/// dropped, and with it the local connection, when the visitor leaves before that.
pub(crate) struct FromService {
    source: Option<Source>,
    slot: Option<Slot>,
    recorder: VisitRecorder,
    patience: Patience,
    trailers: bool,
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
            Self::Hyper { lease, .. } if lease.is_lost() => Failure::TunnelLost,
            Self::Hyper { .. } => Failure::ServiceBroke,
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

impl AnswerBody {
    pub(crate) fn full(bytes: Bytes) -> Self {
        Self::Full(Some(bytes).filter(|bytes| !bytes.is_empty()))
    }

    pub(super) fn service(
        source: Source,
        slot: Slot,
        recorder: VisitRecorder,
        idle: Duration,
        kind: AnswerKind,
    ) -> Self {
        if source.is_end_stream() {
            recorder.ends(VisitEnd::Whole);
            return Self::Full(None);
        }
        let patience = Patience::new(Pace::idle(idle));
        Self::Service(Box::new(FromService {
            source: Some(source),
            slot: Some(slot),
            recorder,
            patience,
            trailers: matches!(kind, AnswerKind::Grpc),
            events: match kind {
                AnswerKind::Events(events) => Some(events),
                AnswerKind::Plain | AnswerKind::Grpc => None,
            },
            unwritten: true,
            broken: None,
        }))
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
            let frame = match next(source, self.slot.as_ref(), cx) {
                Poll::Ready(Some(Err(error))) => {
                    let failure = self.slot.as_ref().and_then(|slot| slot.place().fault());
                    let failure = failure.unwrap_or_else(|| match error {
                        BodyError::GaveWay => Failure::GaveWay,
                        BodyError::Broken(_) | BodyError::Cut(_) | BodyError::Slow | BodyError::TooLong => {
                            source.failure()
                        }
                    });
                    self.end(VisitEnd::Failed(failure));
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
        place.poll_lost(cx).map(|()| Some(Err(BodyError::GaveWay)))
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.get_mut() {
            Self::Full(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Service(service) => service.poll(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Full(bytes) => bytes.is_none(),
            Self::Service(service) => {
                service.broken.is_none() && service.source.as_ref().is_none_or(Source::is_end_stream)
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Full(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Self::Service(service) => {
                service.source.as_ref().map_or_else(SizeHint::default, Source::size_hint)
            }
        }
    }
}
