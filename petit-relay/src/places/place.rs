//! One visit's place: what the visit and the table know of each other.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::super::failure::Failure;
use super::share::Stage;

/// A coarse clock: reading it costs next to nothing, so every byte that moves can be given its time.
#[derive(Debug, Default)]
pub(super) struct Clock(AtomicU32);

impl Clock {
    /// How long a tick is.
    pub(super) const TICK: Duration = Duration::from_millis(500);

    pub(super) fn now(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }

    pub(super) fn tick(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// What may be known of a visit while others carry it.
#[derive(Debug)]
pub(crate) struct Place {
    clock: Arc<Clock>,
    /// Where it stands in its room; `Place::NONE` when it stands nowhere. Changed under the room's lock only.
    pub(super) seat: AtomicU32,
    /// A body was announced.
    pub(super) has_body: bool,
    pub(super) begun_at: u32,
    /// Bytes of the request's body that were passed on, so that waiting for an answer can tell a slow upload from a
    /// silent service.
    bytes: AtomicU64,
    /// The answer's head has come: from here on both sides may talk for as long as they like.
    answered: AtomicBool,
    /// Why the request's body was given up.
    fault: Mutex<Option<Failure>>,
    /// When anything last moved.
    moved: AtomicU32,
    /// It belongs to somebody else now.
    lost: AtomicBool,
    /// Whom to wake then: whoever waits for the answer or carries it, and whoever carries an upload that goes on behind it.
    wakers: Mutex<Wakers>,
}

/// Whom to wake, for each [`Part`].
#[derive(Debug, Default)]
struct Wakers {
    answer: Option<Waker>,
    upload: Option<Waker>,
}

/// A part of a visit that waits for the loss of its place.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Part {
    /// Whoever waits for the answer, or carries it. A raw TCP connection and a WebSocket have this one alone.
    Answer,
    /// Whoever carries an upload that is not over when its answer has begun.
    Upload,
}

impl Place {
    /// No seat.
    pub(super) const NONE: u32 = u32::MAX;

    pub(super) fn new(clock: Arc<Clock>) -> Self {
        Self {
            clock,
            seat: AtomicU32::new(Self::NONE),
            has_body: false,
            begun_at: 0,
            bytes: AtomicU64::new(0),
            answered: AtomicBool::new(false),
            fault: Mutex::new(None),
            moved: AtomicU32::new(0),
            lost: AtomicBool::new(false),
            wakers: Mutex::default(),
        }
    }

    /// Makes it good for another visit.
    pub(super) fn begin(&mut self, has_body: bool) {
        let now = self.clock.now();
        (self.has_body, self.begun_at) = (has_body, now);
        *self.bytes.get_mut() = 0;
        *self.answered.get_mut() = false;
        *self.fault.get_mut().unwrap_or_else(PoisonError::into_inner) = None;
        *self.moved.get_mut() = now;
        *self.lost.get_mut() = false;
    }

    /// How far the visit has come.
    pub(super) fn stage(&self) -> Stage {
        if self.answered.load(Ordering::Relaxed) {
            Stage::Flows
        } else if self.has_body && self.bytes() == 0 {
            Stage::AwaitsBody
        } else {
            Stage::Unanswered
        }
    }

    /// The tick in which anything last moved.
    pub(super) fn last_moved(&self) -> u32 {
        self.moved.load(Ordering::Relaxed)
    }

    /// Something has moved, either way.
    pub(crate) fn moved(&self) {
        self.moved.store(self.clock.now(), Ordering::Relaxed);
    }

    /// Bytes of the request's body were passed on.
    pub(crate) fn passed(&self, bytes: usize) {
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        self.moved();
    }

    /// How many bytes of the request's body were passed on.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// The service has begun its answer.
    pub(crate) fn answered(&self) {
        self.answered.store(true, Ordering::Relaxed);
        self.moved();
    }

    /// True when the service has begun its answer.
    pub(crate) fn is_answered(&self) -> bool {
        self.answered.load(Ordering::Relaxed)
    }

    /// Takes note of why the request's body was given up.
    pub(crate) fn set_fault(&self, fault: Failure) {
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner) = Some(fault);
    }

    /// What the visitor is to be told of a body that was given up.
    pub(crate) fn fault(&self) -> Option<Failure> {
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The place is somebody else's from now on, and its visit is to end.
    pub(super) fn lose(&self) {
        self.lost.store(true, Ordering::SeqCst);
        let wakers = std::mem::take(&mut *self.wakers());
        [wakers.answer, wakers.upload].into_iter().flatten().for_each(Waker::wake);
    }

    /// Ready when the place was given to somebody else.
    pub(crate) fn poll_lost(&self, part: Part, cx: &mut Context<'_>) -> Poll<()> {
        if self.is_lost() {
            return Poll::Ready(());
        }
        let mut wakers = self.wakers();
        let waker = match part {
            Part::Answer => &mut wakers.answer,
            Part::Upload => &mut wakers.upload,
        };
        if !waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            *waker = Some(cx.waker().clone());
        }
        drop(wakers);
        if self.is_lost() { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Waits until the place is given to somebody else.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(crate) async fn lost(&self) {
        std::future::poll_fn(|cx| self.poll_lost(Part::Answer, cx)).await;
    }

    /// Waits until nothing has moved for so long, or up to twice that.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(crate) async fn still_for(&self, idle: Duration) {
        let mut seen = self.last_moved();
        loop {
            tokio::time::sleep(idle).await;
            let now = self.last_moved();
            if now == seen {
                return;
            }
            seen = now;
        }
    }

    /// True when the place was given to somebody else.
    pub(crate) fn is_lost(&self) -> bool {
        self.lost.load(Ordering::SeqCst)
    }

    fn wakers(&self) -> MutexGuard<'_, Wakers> {
        self.wakers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
