//! One visit: an HTTP request, a WebSocket or a raw TCP connection, from the moment its route is known to its end.
//!
//! Whoever carries a part of a visit (who makes its answer, the answer's body, an upload that goes on behind it, a
//! WebSocket that was joined) holds a [`VisitRecorder`] of it. The visit ends when the last of them lets go, by coming
//! to its end, by being dropped, or in a panic, and then the [`Observer`] is told of it: once, whatever happened.
//! Where nobody observes, nothing is counted, no clock is read, and no memory is taken.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime};

use hyper::{Method, Request, StatusCode, Version};
use petit_engine::mux::{CarryError, Progress, StreamOutcome};
use petit_engine::name::VisitorKeyName;
use petit_engine::proto::RequestId;

use super::failure::{FailedHop, Failure};
use super::places::Place;
use super::route::Route;

/// Who is told of each visit when it is over: access log, usage, metrics.
pub trait Observer: Send + Sync {
    /// A visit is over. Called once for each, in the task that let go of it last: it must not wait.
    fn visit_ended(&self, record: &Record<'_>);
}

/// What a visitor spoke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    Http10,
    Http11,
    Http2,
    /// An HTTP request that asked to become a WebSocket.
    WebSocket,
    /// Raw TCP.
    Tcp,
}

impl Protocol {
    /// That of a request of HTTP.
    pub(super) fn of(version: Version, is_websocket: bool) -> Self {
        match version {
            _ if is_websocket => Self::WebSocket,
            Version::HTTP_09 | Version::HTTP_10 => Self::Http10,
            Version::HTTP_2 => Self::Http2,
            _ => Self::Http11,
        }
    }

    /// As logs name it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http10 => "http/1.0",
            Self::Http11 => "http/1.1",
            Self::Http2 => "h2",
            Self::WebSocket => "websocket",
            Self::Tcp => "tcp",
        }
    }
}

/// How a visit came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VisitEnd {
    /// All of it was carried.
    Whole,
    /// It failed: before the answer, which says so then, or in the middle of it.
    Failed(Failure),
    /// The visitor left before the end.
    VisitorLeft,
    /// Nothing moved on it for as long as may be.
    Idle,
    /// One side of the tunnel is leaving, and it was cut for that.
    Cut,
}

/// A failure, as the end of a visit.
impl From<Failure> for VisitEnd {
    fn from(failure: Failure) -> Self {
        if failure == Failure::Cut { Self::Cut } else { Self::Failed(failure) }
    }
}

impl VisitEnd {
    /// Of bytes that were carried both ways, until one side broke.
    pub(super) fn of_broken(error: &CarryError, outcome: &StreamOutcome) -> Self {
        match error {
            CarryError::Local(_) => Self::VisitorLeft,
            CarryError::Stream(_) => Failure::of_stream_outcome(outcome).into(),
        }
    }

    /// Of an upload of which the service takes no more, behind its answer.
    pub(super) fn of_untaken(outcome: &StreamOutcome) -> Self {
        if outcome.was_lost() { Failure::of_broken(outcome).into() } else { Self::Whole }
    }

    /// As logs name it: a failure by its `Petit-Error`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Whole => "whole",
            Self::Failed(failure) => failure.code(),
            Self::VisitorLeft => "visitor-left",
            Self::Idle => "idle",
            Self::Cut => "cut",
        }
    }

    /// The hop at which it ended before its time; `None` when nothing went wrong.
    pub fn hop(self) -> Option<FailedHop> {
        match self {
            Self::Whole => None,
            Self::Failed(failure) => Some(failure.hop()),
            Self::VisitorLeft => Some(FailedHop::Request),
            Self::Idle => Some(FailedHop::Service),
            Self::Cut => Some(FailedHop::Server),
        }
    }
}

/// What a visit came to.
#[derive(Clone, Debug)]
pub struct Record<'a> {
    /// The name of the request or stream, as in the logs of both ends and in Petit's own answers.
    pub id: RequestId,
    /// The service, and whose it is.
    pub route: &'a Route,
    /// The visitor, behind proxies that are trusted.
    pub visitor: SocketAddr,
    /// The key that was shown, where the service's policy asks for one.
    pub key: Option<&'a VisitorKeyName>,
    /// What it would have been refused for, by a policy that only counts.
    pub would_refuse: Option<Failure>,
    pub protocol: Protocol,
    /// The request's method; `None` for raw TCP.
    pub method: Option<&'a Method>,
    /// The request's path, without its query, cut after a kilobyte; `None` for raw TCP.
    pub path: Option<&'a str>,
    /// The status that the visitor was answered with, by the service or by Petit.
    pub status: Option<u16>,
    pub end: VisitEnd,
    /// When its route was known.
    pub began: SystemTime,
    /// From then until it had a place.
    pub placed_after: Option<Duration>,
    /// From then until the service's answer began; of raw TCP until there was a stream to the service.
    pub answered_after: Option<Duration>,
    /// From then to its end.
    pub took: Duration,
    /// Bytes of bodies that came from the visitor. Of a WebSocket and raw TCP, all bytes that passed on.
    pub bytes_up: u64,
    /// Bytes of bodies that were handed to the visitor's connection.
    pub bytes_down: u64,
    /// It was sent a second time, because a kept connection to the service was gone.
    pub was_retried: bool,
}

/// A visit, as those who serve it know it.
pub(super) struct Visit {
    pub(super) id: RequestId,
    pub(super) route: Route,
    /// The visitor, behind proxies that are trusted.
    pub(super) visitor: SocketAddr,
    pub(super) recorder: VisitRecorder,
}

/// What a request asks for, as far as it is recorded.
pub(super) struct Asked {
    method: Method,
    path: Box<str>,
}

impl Asked {
    /// Of a request. The path is copied: a part of hyper's buffer would keep all of it, with the request's fields, for as
    /// long as the visit lasts.
    pub(super) fn of<B>(request: &Request<B>) -> Self {
        let whole = request.uri().path();
        // Visible ASCII, as heads are checked.
        let path = match whole.get(..RECORDED_PATH_BYTES) {
            Some(begin) if whole.len() > RECORDED_PATH_BYTES => format!("{begin}...").into(),
            _ => whole.into(),
        };
        Self { method: request.method().clone(), path }
    }
}

/// As much of a path is recorded; a longer one ends in `...`. So whoever asks for long ones pushes few lines out of an
/// access log.
const RECORDED_PATH_BYTES: usize = 1024;

impl Visit {
    /// Begins a visit. `asked` is only called where somebody observes.
    pub(super) fn begin(
        observer: Option<&Arc<dyn Observer>>,
        id: RequestId,
        route: Route,
        visitor: SocketAddr,
        asked: impl FnOnce() -> (Protocol, Option<Asked>),
    ) -> Self {
        let observed = observer.map(|observer| {
            let (protocol, asked) = asked();
            Arc::new(Observed {
                observer: Arc::clone(observer),
                id,
                route: route.clone(),
                visitor,
                protocol,
                asked,
                began: SystemTime::now(),
                clock: Instant::now(),
                placed_after: OnceLock::new(),
                answered_after: OnceLock::new(),
                key: OnceLock::new(),
                would_refuse: OnceLock::new(),
                status: AtomicU16::new(0),
                end: OnceLock::new(),
                going_on: AtomicU32::new(0),
                up: AtomicU64::new(0),
                down: AtomicU64::new(0),
                was_retried: AtomicBool::new(false),
            })
        });
        Self { id, route, visitor, recorder: VisitRecorder(observed) }
    }
}

/// Takes note of what becomes of a visit, and keeps it from being over. Cheap to clone.
#[derive(Clone)]
pub(super) struct VisitRecorder(Option<Arc<Observed>>);

impl VisitRecorder {
    /// It has its place.
    pub(super) fn placed(&self) {
        if let Some(observed) = &self.0 {
            let _ = observed.placed_after.set(observed.clock.elapsed());
        }
    }

    /// The service's answer has begun, or the stream to it was opened.
    pub(super) fn answered(&self) {
        if let Some(observed) = &self.0 {
            let _ = observed.answered_after.set(observed.clock.elapsed());
        }
    }

    /// The visitor is answered with this status.
    pub(super) fn set_status(&self, status: StatusCode) {
        if let Some(observed) = &self.0 {
            observed.status.store(status.as_u16(), Ordering::Relaxed);
        }
    }

    /// Its visitor holds this key.
    pub(super) fn set_principal(&self, key: &VisitorKeyName) {
        if let Some(observed) = &self.0 {
            let _ = observed.key.set(key.clone());
        }
    }

    /// It passes although it does not keep its policy, which only counts. What is said first holds.
    pub(super) fn would_refuse(&self, failure: Failure) {
        if let Some(observed) = &self.0 {
            let _ = observed.would_refuse.set(failure);
        }
    }

    /// It is sent a second time.
    pub(super) fn retried(&self) {
        if let Some(observed) = &self.0 {
            observed.was_retried.store(true, Ordering::Relaxed);
        }
    }

    /// Bytes have come from the visitor.
    pub(super) fn add_up(&self, bytes: usize) {
        if let Some(observed) = &self.0 {
            observed.up.fetch_add(bytes as u64, Ordering::Relaxed);
        }
    }

    /// Bytes were handed to the visitor.
    pub(super) fn add_down(&self, bytes: usize) {
        if let Some(observed) = &self.0 {
            observed.down.fetch_add(bytes as u64, Ordering::Relaxed);
        }
    }

    /// A part of it goes on behind another, and says its own end: the visit is whole only when both are.
    pub(super) fn goes_on(&self) {
        if let Some(observed) = &self.0 {
            observed.going_on.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// It has come to this end; what is said first holds, and whole is what all parts say that go on. Who lets go of it without a word has been dropped: its visitor
    /// has left, or there was a panic.
    pub(super) fn ends(&self, end: VisitEnd) {
        if let Some(observed) = &self.0 {
            let is_last = end != VisitEnd::Whole || observed.is_last_part();
            if is_last {
                let _ = observed.end.set(end);
            }
        }
    }

    /// As [`Self::ends`], and this recorder lets go of it.
    pub(super) fn let_go(&mut self, end: VisitEnd) {
        self.ends(end);
        self.0 = None;
    }
}

impl Drop for VisitRecorder {
    /// Whoever is dropped by a panic says so, also where others still carry a part of the visit.
    fn drop(&mut self) {
        if self.0.is_some() && std::thread::panicking() {
            self.ends(VisitEnd::Failed(Failure::Internal));
        }
    }
}

/// What is observed of a visit.
struct Observed {
    observer: Arc<dyn Observer>,
    id: RequestId,
    route: Route,
    visitor: SocketAddr,
    protocol: Protocol,
    asked: Option<Asked>,
    began: SystemTime,
    clock: Instant,
    placed_after: OnceLock<Duration>,
    answered_after: OnceLock<Duration>,
    key: OnceLock<VisitorKeyName>,
    would_refuse: OnceLock<Failure>,
    /// 0: none was given.
    status: AtomicU16,
    end: OnceLock<VisitEnd>,
    /// Parts that go on behind the answer, or the answer behind them: only when all are whole is the visit.
    going_on: AtomicU32,
    up: AtomicU64,
    down: AtomicU64,
    was_retried: AtomicBool,
}

impl Observed {
    /// Takes note that a part is whole; true when no other goes on.
    fn is_last_part(&self) -> bool {
        let one_less = |going_on: u32| going_on.checked_sub(1);
        self.going_on.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less).is_err()
    }
}

impl Drop for Observed {
    fn drop(&mut self) {
        let end = self.end.get().copied().unwrap_or(VisitEnd::VisitorLeft);
        let status = match *self.status.get_mut() {
            // What a visitor is told whose request has failed within.
            0 if end == VisitEnd::Failed(Failure::Internal) && self.asked.is_some() => {
                StatusCode::INTERNAL_SERVER_ERROR.as_u16()
            }
            status => status,
        };
        let record = Record {
            id: self.id,
            route: &self.route,
            visitor: self.visitor,
            key: self.key.get(),
            would_refuse: self.would_refuse.get().copied(),
            protocol: self.protocol,
            method: self.asked.as_ref().map(|asked| &asked.method),
            path: self.asked.as_ref().map(|asked| &*asked.path),
            status: (status != 0).then_some(status),
            end,
            began: self.began,
            placed_after: self.placed_after.get().copied(),
            answered_after: self.answered_after.get().copied(),
            took: self.clock.elapsed(),
            bytes_up: *self.up.get_mut(),
            bytes_down: *self.down.get_mut(),
            was_retried: *self.was_retried.get_mut(),
        };
        self.observer.visit_ended(&record);
    }
}

/// Whatever is carried both ways for a visitor of raw TCP.
pub(super) struct Carried<'a> {
    pub(super) recorder: &'a VisitRecorder,
    pub(super) place: &'a Place,
}

impl Progress for Carried<'_> {
    fn to_local(&mut self, bytes: usize) {
        self.place.moved();
        self.recorder.add_down(bytes);
    }

    fn to_stream(&mut self, bytes: &[u8]) {
        self.place.moved();
        self.recorder.add_up(bytes.len());
    }
}

#[cfg(test)]
mod tests;
