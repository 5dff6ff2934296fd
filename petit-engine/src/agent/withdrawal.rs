//! How visits end whose service is not offered any more.
//!
//! The relay may keep a stream for request after request, so a service that is withheld would stay reachable for as
//! long as somebody keeps one open. From the moment of its withdrawal nothing more is passed on to it but the rest of
//! what it has not begun to answer; a visit ends when nothing has moved in it for [`limits::WITHDRAWN_QUIET`] and no
//! answer is due, and after [`limits::WITHDRAWN_GRACE`] in any case.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use tokio::sync::Notify;
use tokio::time::{Instant, Sleep};

use crate::limits;

/// A target that is on offer, as its visits know it.
#[derive(Debug, Default)]
pub struct Offering {
    withdrawn: AtomicBool,
    told: Notify,
}

impl Offering {
    /// It is not offered any more, or leads elsewhere now.
    pub(super) fn withdraw(&self) {
        self.withdrawn.store(true, Ordering::Release);
        self.told.notify_waiters();
    }

    /// True from its withdrawal on.
    pub fn is_withdrawn(&self) -> bool {
        self.withdrawn.load(Ordering::Acquire)
    }

    /// Waits for its withdrawal.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn withdrawn(&self) {
        let told = self.told.notified();
        if !self.is_withdrawn() {
            told.await;
        }
    }
}

/// What moves in a visit, as far as the end of it needs to know.
#[derive(Debug)]
pub(super) struct Activity {
    offering: Arc<Offering>,
    /// Something has moved since this was looked at.
    moved: AtomicBool,
    /// Something was asked, and nothing of its answer has come.
    asked: AtomicBool,
}

impl Activity {
    pub(super) fn new(offering: Arc<Offering>) -> Self {
        Self { offering, moved: AtomicBool::new(false), asked: AtomicBool::new(false) }
    }

    /// Bytes have been passed on to the service.
    pub(super) fn asked(&self) {
        self.moved.store(true, Ordering::Relaxed);
        self.asked.store(true, Ordering::Relaxed);
    }

    /// Bytes of the service have been passed on.
    pub(super) fn answered(&self) {
        self.moved.store(true, Ordering::Relaxed);
        self.asked.store(false, Ordering::Relaxed);
    }

    /// There may be more of an answer, whose visitor takes nothing just now.
    pub(super) fn held_up(&self) {
        self.moved.store(true, Ordering::Relaxed);
    }

    /// True when bytes may be passed on to the service: while it is offered, and after that the rest of what it has
    /// not begun to answer.
    pub(super) fn may_ask(&self) -> bool {
        !self.offering.is_withdrawn() || self.asked.load(Ordering::Relaxed)
    }

    /// Whether nothing has moved since the last call, and no answer is due.
    fn take_flow(&self) -> Flow {
        let moved = self.moved.swap(false, Ordering::Relaxed);
        if moved || self.asked.load(Ordering::Relaxed) { Flow::Busy } else { Flow::Quiet }
    }

    /// Runs `visit` to its end, or until its service has been withdrawn and it has had its time: `None`.
    ///
    /// # Cancel safety
    /// As that of `visit`.
    pub(super) async fn while_offered<F: Future>(&self, visit: F) -> Option<F::Output> {
        let mut visit = pin!(visit);
        let mut withdrawn = pin!(self.offering.withdrawn());
        let mut waits = false;
        let mut grace = None;
        poll_fn(|cx| {
            if let Poll::Ready(end) = visit.as_mut().poll(cx) {
                return Poll::Ready(Some(end));
            }
            // Once is enough: a task has the same waker all its life. This is on the path of every request.
            if !std::mem::replace(&mut waits, true) {
                let _ = withdrawn.as_mut().poll(cx);
            }
            if !self.offering.is_withdrawn() {
                return Poll::Pending;
            }
            grace.get_or_insert_with(|| Grace::begin(self)).poll_over(self, cx).map(|()| None)
        })
        .await
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flow {
    Quiet,
    Busy,
}

/// The time that a visit has after the withdrawal of its service.
struct Grace {
    until: Instant,
    check: Pin<Box<Sleep>>,
}

impl Grace {
    fn begin(activity: &Activity) -> Self {
        activity.take_flow(); // what moved before does not count
        let now = Instant::now();
        let check = Box::pin(tokio::time::sleep_until(now + limits::WITHDRAWN_QUIET));
        Self { until: now + limits::WITHDRAWN_GRACE, check }
    }

    fn poll_over(&mut self, activity: &Activity, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            ready!(self.check.as_mut().poll(cx));
            let now = Instant::now();
            if activity.take_flow() == Flow::Quiet || now >= self.until {
                return Poll::Ready(());
            }
            self.check.as_mut().reset(self.until.min(now + limits::WITHDRAWN_QUIET));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const MOMENT: Duration = Duration::from_millis(100);

    /// How long a visit without an end of its own lasts after its withdrawal, in which `step` happens every 100 ms.
    async fn lasts(begin: impl FnOnce(&Activity), mut step: impl FnMut(&Activity)) -> Duration {
        let offering = Arc::new(Offering::default());
        let activity = Activity::new(Arc::clone(&offering));
        begin(&activity);
        let visit = async {
            loop {
                tokio::time::sleep(MOMENT).await;
                step(&activity);
            }
        };
        let (ended, withdrawn) = tokio::join!(
            async {
                let visit = activity.while_offered(visit);
                let ended = tokio::time::timeout(30 * limits::WITHDRAWN_GRACE, visit).await;
                let none: Option<()> = ended.expect("it ends");
                assert_eq!(none, None);
                Instant::now()
            },
            async {
                tokio::time::sleep(10 * limits::WITHDRAWN_GRACE).await;
                offering.withdraw();
                Instant::now()
            }
        );
        ended - withdrawn
    }

    #[tokio::test(start_paused = true)]
    async fn a_withdrawn_visit_ends_when_it_is_quiet_and_at_the_latest_after_its_grace() {
        let near = |took: Duration, expected: Duration| took >= expected && took <= expected + MOMENT;
        let took = lasts(Activity::answered, |_| {}).await;
        assert!(near(took, limits::WITHDRAWN_QUIET), "idle: {took:?}");
        let took = lasts(Activity::asked, |_| {}).await;
        assert!(near(took, limits::WITHDRAWN_GRACE), "an answer is due: {took:?}");
        let took = lasts(|_| {}, Activity::answered).await;
        assert!(near(took, limits::WITHDRAWN_GRACE), "an answer without end: {took:?}");
        let grace = (limits::WITHDRAWN_GRACE.as_millis() / MOMENT.as_millis()) as usize;
        let mut steps = 0;
        let ends_half_way = |activity: &Activity| {
            steps += 1;
            if steps < 10 * grace + grace / 2 {
                activity.answered();
            }
        };
        let took = lasts(|_| {}, ends_half_way).await;
        let half = limits::WITHDRAWN_GRACE / 2;
        assert!(took > half && took <= half + 2 * limits::WITHDRAWN_QUIET, "an answer that ends: {took:?}");
    }

    #[test]
    fn after_a_withdrawal_only_the_rest_of_what_is_not_answered_may_be_asked() {
        let offering = Arc::new(Offering::default());
        let activity = Activity::new(Arc::clone(&offering));
        assert!(activity.may_ask());
        activity.asked();
        offering.withdraw();
        assert!(activity.may_ask(), "the rest of a body");
        activity.answered();
        assert!(!activity.may_ask(), "another request");
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_waits_for_a_withdrawal_hears_of_it_also_afterwards() {
        let offering = Arc::new(Offering::default());
        let waiting = tokio::spawn({
            let offering = Arc::clone(&offering);
            async move { offering.withdrawn().await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        offering.withdraw();
        let told = tokio::time::timeout(limits::WITHDRAWN_GRACE, waiting).await;
        told.expect("it is told").unwrap();
        offering.withdrawn().await;
    }
}
