//! A visitor's body on its way to a service.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::HeaderMap;
use hyper::body::{Body, Frame, SizeHint};
use tokio::sync::oneshot;

use super::super::failure::Failure;
use super::super::places::Place;
use super::super::policed::{BodyCount, EnforcedBody};
use super::super::visit::VisitRecorder;
use super::head;
use super::pace::{Pace, Patience};
use super::unread::RequestBody;

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
pub(super) struct Limits {
    /// The longest pause once the service has answered.
    pub(super) idle: Duration,
    /// The most bytes.
    pub(super) most: Option<u64>,
    /// Hears of more than the service's policy allows.
    pub(super) enforced: Option<EnforcedBody>,
    /// Takes note of more than a policy would like.
    pub(super) counted: Option<Box<BodyCount>>,
    /// It is a gRPC call, of which both sides may be silent for long from the start, and whose trailers pass.
    pub(super) is_grpc: bool,
}

/// A visitor's body as it comes in.
pub(crate) struct Streaming {
    body: RequestBody,
    place: Arc<Place>,
    recorder: VisitRecorder,
    patience: Patience,
    /// What the pace becomes once the service has answered.
    later: Option<Duration>,
    most: Option<u64>,
    left: Option<u64>,
    enforced: Option<EnforcedBody>,
    counted: Option<Box<BodyCount>>,
    trailers: bool,
    watched: Option<Watched>,
}

/// A visitor's body that hyper sends, and somebody else watches over.
struct Watched {
    /// Says by being dropped that it is over.
    _over: oneshot::Sender<()>,
    given_up: Arc<AtomicBool>,
}

/// Says when a visitor's body that hyper sends is over.
pub(super) struct UploadOver {
    over: oneshot::Receiver<()>,
    given_up: Arc<AtomicBool>,
}

impl UploadOver {
    /// This, unless it is.
    pub(super) fn unless_over(mut self) -> Option<Self> {
        matches!(self.over.try_recv(), Err(oneshot::error::TryRecvError::Empty)).then_some(self)
    }

    /// Waits until it is.
    ///
    /// # Cancel safety
    /// Cancel safe, until it has been.
    pub(super) async fn wait(&mut self) {
        let _ = (&mut self.over).await;
    }

    /// No more of it is wanted: it breaks when the service gives window for more.
    pub(super) fn give_up(&self) {
        self.given_up.store(true, Ordering::Relaxed);
    }
}

impl Streaming {
    /// A body that is passed on as it comes: at a visitor's pace, then, once the service has answered, with
    /// pauses as long as `limits` allow.
    pub(super) fn new(
        body: RequestBody,
        place: Arc<Place>,
        recorder: VisitRecorder,
        limits: Limits,
    ) -> Box<Self> {
        let Limits { idle, most, enforced, counted, is_grpc } = limits;
        // Both sides of a gRPC call may be silent for long from the start.
        let pace = if is_grpc { Pace::idle(idle) } else { Pace::BODY };
        Box::new(Self {
            body,
            place,
            recorder,
            patience: Patience::new(pace),
            later: (!is_grpc).then_some(idle),
            most,
            left: most,
            enforced,
            counted,
            trailers: is_grpc,
            watched: None,
        })
    }

    /// What says when it is over.
    pub(super) fn over(&mut self) -> UploadOver {
        let ((_over, over), given_up) = (oneshot::channel(), Arc::<AtomicBool>::default());
        self.watched = Some(Watched { _over, given_up: Arc::clone(&given_up) });
        UploadOver { over, given_up }
    }

    /// Takes note of why there is no more of it.
    pub(super) fn give_up(&self, error: BodyError) -> BodyError {
        self.place.set_fault(failure(&error));
        error
    }

    /// The next piece.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if self.place.is_lost() {
            return Poll::Ready(Some(Err(self.give_up(BodyError::GaveWay))));
        }
        if self.watched.as_ref().is_some_and(|watched| watched.given_up.load(Ordering::Relaxed)) {
            return Poll::Ready(Some(Err(self.give_up(BodyError::Slow))));
        }
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
                    if let Some(counted) = &mut self.counted {
                        counted.add(length);
                    }
                    if let Some(left) = &mut self.left {
                        match left.checked_sub(length as u64) {
                            Some(rest) => *left = rest,
                            None => {
                                if let Some((enforced, most)) = self.enforced.take().zip(self.most) {
                                    enforced.was_too_long(most);
                                }
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
pub(super) fn trailers(frame: Frame<Bytes>, wanted: bool) -> Option<Frame<Bytes>> {
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
