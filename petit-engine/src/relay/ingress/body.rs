//! The bodies that pass: a visitor's on its way to a service, an answer's on its way back.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::HeaderMap;
use hyper::body::{Body, Frame, Incoming, SizeHint};

use super::super::answer::Failure;
use super::super::slots::Slot;
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
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Broken(error) => write!(f, "the body broke: {error}"),
            Self::Cut(how) => write!(f, "the body broke: {how}"),
            Self::Slow => f.write_str("the body came too slowly"),
            Self::TooLong => f.write_str("the body is too long"),
        }
    }
}

impl std::error::Error for BodyError {}

/// What may be known of a visitor's body while somebody else reads it.
#[derive(Debug, Default)]
pub(super) struct Passing {
    /// Bytes passed on, so that waiting for an answer can tell a slow upload from a silent service.
    bytes: AtomicU64,
    /// The answer's head has come: from here on both sides may talk for as long as they like.
    answered: AtomicBool,
    /// 0, or why the body was given up.
    fault: AtomicU8,
}

impl Passing {
    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    pub(super) fn answered(&self) {
        self.answered.store(true, Ordering::Relaxed);
    }

    /// What the visitor is to be told of a body that was given up.
    pub(super) fn fault(&self) -> Option<Failure> {
        match self.fault.load(Ordering::Relaxed) {
            1 => Some(Failure::SlowBody),
            2 => Some(Failure::BodyTooLong),
            3 => Some(Failure::BadRequest),
            _ => None,
        }
    }

    fn give_up(&self, error: BodyError) -> BodyError {
        let fault = match error {
            BodyError::Slow => 1,
            BodyError::TooLong => 2,
            BodyError::Broken(_) | BodyError::Cut(_) => 3,
        };
        self.fault.store(fault, Ordering::Relaxed);
        error
    }
}

/// A visitor's body.
pub(crate) enum VisitorBody {
    /// There is none.
    Empty,
    /// As it comes in.
    Streaming(Box<Streaming>),
}

/// A visitor's body as it comes in.
pub(crate) struct Streaming {
    body: Incoming,
    passing: Arc<Passing>,
    patience: Patience,
    /// What the pace becomes once the service has answered.
    later: Option<Duration>,
    left: Option<u64>,
    trailers: bool,
}

impl Streaming {
    /// A body that is passed on as it comes: at a visitor's pace, then, once the service has answered, with
    /// pauses of up to `idle`; at most `most` bytes of it.
    pub(super) fn new(
        body: Incoming,
        passing: Arc<Passing>,
        idle: Duration,
        most: Option<u64>,
        is_grpc: bool,
    ) -> Box<Self> {
        // Both sides of a gRPC call may be silent for long from the start.
        let pace = if is_grpc { Pace::idle(idle) } else { Pace::BODY };
        Box::new(Self {
            body,
            passing,
            patience: Patience::new(pace),
            later: (!is_grpc).then_some(idle),
            left: most,
            trailers: is_grpc,
        })
    }

    /// The next piece.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        loop {
            let frame = match Pin::new(&mut self.body).poll_frame(cx) {
                Poll::Ready(frame) => frame,
                Poll::Pending => {
                    if self.later.is_some() && self.passing.answered.load(Ordering::Relaxed) {
                        self.patience.set(Pace::idle(self.later.take().unwrap_or_default()));
                    }
                    return self
                        .patience
                        .poll_over(cx)
                        .map(|()| Some(Err(self.passing.give_up(BodyError::Slow))));
                }
            };
            let Some(frame) = frame else { return Poll::Ready(None) };
            let frame = match frame {
                Ok(frame) => frame,
                Err(error) => {
                    let error = self.passing.give_up(BodyError::Broken(error));
                    return Poll::Ready(Some(Err(error)));
                }
            };
            match frame.into_data() {
                Ok(data) => {
                    let length = data.len();
                    self.patience.moved(length);
                    self.passing.bytes.fetch_add(length as u64, Ordering::Relaxed);
                    if let Some(left) = &mut self.left {
                        match left.checked_sub(length as u64) {
                            Some(rest) => *left = rest,
                            None => {
                                let error = self.passing.give_up(BodyError::TooLong);
                                return Poll::Ready(Some(Err(error)));
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
    Hyper { body: Incoming, _lease: Lease },
}

impl Source {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self {
            Self::Http1(body) => body.poll_frame(cx),
            Self::Hyper { body, .. } => Pin::new(body).poll_frame(cx).map_err(BodyError::Broken),
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

    pub(super) fn service(source: Source, slot: Slot, idle: Duration, kind: AnswerKind) -> Self {
        if source.is_end_stream() {
            return Self::Full(None);
        }
        let patience = Patience::new(Pace::idle(idle));
        Self::Service(Box::new(FromService {
            source: Some(source),
            slot: Some(slot),
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
                self.end();
            }
            let Some(source) = &mut self.source else { return Poll::Ready(self.broken.take().map(Err)) };
            let frame = match source.poll_frame(cx) {
                Poll::Ready(Some(Err(error))) => {
                    self.end();
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
                        self.end();
                        Some(Err(BodyError::Slow))
                    });
                }
            };
            let Some(Ok(frame)) = frame else {
                self.end();
                return Poll::Ready(None);
            };
            self.unwritten = true;
            if source.is_end_stream() {
                self.end();
            }
            match frame.into_data() {
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
    fn end(&mut self) {
        self.source = None;
        self.slot = None;
        self.events = None;
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
