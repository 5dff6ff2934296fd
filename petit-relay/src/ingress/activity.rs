//! What a visitor's connection is doing, so that one that does nothing can be closed.
//!
//! hyper's limit for a head of HTTP/1.1 runs between two requests as well, so that one limit would have to be long
//! for idle connections and short for slow heads; HTTP/2 has none at all, and answers to PINGs keep it alive for ever,
//! and a stream whose visitor takes nothing is not noticed by the connection. Here requests count, and what is taken of
//! answers, and nothing else.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use petit_engine::limits;
use petit_engine::timer::LazyTimer;
use tokio::sync::Notify;

use super::h2_flood;

/// The requests of one connection.
#[derive(Debug, Default)]
pub(super) struct Activity {
    begun: AtomicU64,
    under_way: AtomicUsize,
    /// Bytes have come since the last request began.
    reading: AtomicBool,
    /// Answers of which a part was handed out and not asked for more since: the visitor has to take it first.
    offered: AtomicUsize,
    /// Parts that were handed out.
    parts: AtomicU64,
    /// Answers that were given; [`SWITCHED`] once the connection carries no HTTP any more.
    answers: AtomicU64,
    enough: Notify,
    /// Control frames of HTTP/2 that answers have earned the visitor, since that was last asked.
    earned: AtomicU32,
    /// It is of HTTP/2, which says which of its requests were taken before it ends.
    carries_many: AtomicBool,
    /// A request went to a client that has no session for a moment when another process takes this one's place.
    goes_to_older_client: AtomicBool,
    /// The last request came with a body, which may not have been read to its end.
    sending: AtomicBool,
    /// The visitor speaks HTTP/1.0: an answer of unknown length is delimited by the close of the connection (RFC 9112
    /// §6.3).
    close_delimits_answers: AtomicBool,
    /// See [`Activity::timer`].
    timer: Mutex<LazyTimer>,
    /// The connection is to be aborted, so that nobody takes a close-delimited body that was cut for a whole one.
    pub(super) broken: Arc<AtomicBool>,
}

/// See [`Activity::answers`].
const SWITCHED: u64 = u64::MAX;

/// Why a connection is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Over {
    /// It has carried as much as one may.
    Enough,
    /// Nothing is under way on it, and has not been for a while.
    Idle,
    /// There are answers on it, and the visitor takes nothing of any.
    Stalled,
    /// No service was asked for on it, and the room that it takes is wanted by another one.
    Evicted,
}

impl Activity {
    /// Counts a request while the guard lives.
    pub(super) fn enter(activity: &Arc<Self>) -> RequestGuard {
        activity.under_way.fetch_add(1, Ordering::Relaxed);
        activity.reading.store(false, Ordering::Relaxed);
        if activity.begun.fetch_add(1, Ordering::Relaxed) + 1 == limits::REQUESTS_PER_CONNECTION {
            activity.enough.notify_one();
        }
        RequestGuard { activity: Arc::clone(activity), is_offered: false }
    }

    /// A request begins on a connection that carries one at a time.
    pub(super) fn begins(&self, has_body: bool, is_old: bool) {
        self.sending.store(has_body, Ordering::Relaxed);
        self.close_delimits_answers.store(is_old, Ordering::Relaxed);
    }

    /// A request has come on a connection that carries many at a time.
    pub(super) fn carries_many(&self) {
        self.carries_many.store(true, Ordering::Relaxed);
    }

    /// True for a connection that carries one request at a time, or none so far.
    fn carries_one(&self) -> bool {
        !self.carries_many.load(Ordering::Relaxed)
    }

    /// A request goes to a client of a version that does not begin its next session before it leaves this one.
    pub(super) fn goes_to_older_client(&self) {
        self.goes_to_older_client.store(true, Ordering::Relaxed);
    }

    /// True when the connection may wait for its next request while another process takes this one's place: it carries
    /// one at a time, and its clients, as far as they are known, are in reach meanwhile. A visitor who finds an idle
    /// connection closed opens another one, and that process waits for the client; here the request would fail.
    pub(super) fn may_wait(&self) -> bool {
        self.carries_one() && !self.goes_to_older_client.load(Ordering::Relaxed)
    }

    /// What ends the waits for answers, of a connection that carries one request at a time.
    pub(super) fn timer(&self) -> Option<&Mutex<LazyTimer>> {
        self.carries_one().then_some(&self.timer)
    }

    /// An answer is given, by which the connection may switch to something that is no HTTP.
    pub(super) fn answers(&self, switches: bool) {
        if switches {
            self.answers.store(SWITCHED, Ordering::Relaxed);
        } else {
            self.answers.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How many answers were given, while none is under way on a connection that carries HTTP.
    pub(super) fn answers_given(&self) -> Option<u64> {
        let answers = self.answers.load(Ordering::Relaxed);
        (answers != SWITCHED && self.under_way.load(Ordering::Relaxed) == 0).then_some(answers)
    }

    /// How many control frames of HTTP/2 answers have earned the visitor since this was last asked.
    pub(super) fn take_earned(&self) -> u32 {
        self.earned.swap(0, Ordering::Relaxed)
    }

    /// Ends the connection gracefully, after what is under way.
    pub(super) fn request_close(&self) {
        self.enough.notify_one();
    }

    /// Bytes have come from the visitor.
    pub(super) fn heard(&self) {
        if self.under_way.load(Ordering::Relaxed) == 0 {
            self.reading.store(true, Ordering::Relaxed);
        }
    }

    /// True while the head of a request has begun on a connection that carries one at a time.
    fn awaits_head(&self) -> bool {
        self.reading.load(Ordering::Relaxed) && self.carries_one()
    }

    /// True when the visitor may not have finished sending.
    pub(super) fn may_be_sending(&self) -> bool {
        self.sending.load(Ordering::Relaxed)
    }

    /// Waits until the connection is to end: when it has carried nothing for `limit`, a head has not come to its end
    /// within [`limits::HEAD`], or nothing is taken of what it carries.
    ///
    /// It looks in intervals of [`limits::HEAD`], so that a request costs no timer: what it finds has lasted for
    /// up to one interval longer than the limit.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(super) async fn over(&self, limit: Duration) -> Over {
        let (mut begun, mut idle) = (0, limit); // one that says nothing at first has no such time
        let mut awaited = false;
        let (mut parts, mut stalled) = (0, Duration::ZERO);
        loop {
            tokio::select! {
                () = self.enough.notified() => return Over::Enough,
                () = tokio::time::sleep(limits::HEAD) => {}
            }
            let now = self.begun.load(Ordering::Relaxed);
            if now != begun || self.under_way.load(Ordering::Relaxed) > 0 {
                (begun, idle, awaited) = (now, Duration::ZERO, self.awaits_head());
            } else if idle >= limit || (awaited && self.awaits_head()) {
                return Over::Idle;
            } else {
                idle += limits::HEAD;
                awaited = self.awaits_head();
            }
            let now = self.parts.load(Ordering::Relaxed);
            if now != parts || self.offered.load(Ordering::Relaxed) == 0 {
                (parts, stalled) = (now, Duration::ZERO);
            } else if stalled >= limits::WRITE_IDLE {
                return Over::Stalled;
            } else {
                stalled += limits::HEAD;
            }
        }
    }
}

/// A request that is under way, until the body of its answer has ended.
#[derive(Debug)]
pub(super) struct RequestGuard {
    activity: Arc<Activity>,
    /// A part of the answer was handed out, and not asked for more since.
    is_offered: bool,
}

impl RequestGuard {
    /// The visitor asks for more of the answer, so what was handed out is taken.
    pub(super) fn was_taken(&mut self) {
        if std::mem::take(&mut self.is_offered) {
            self.activity.offered.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// A part of the answer with so many bytes of its body is handed out.
    pub(super) fn offers(&mut self, bytes: usize) {
        let activity = &self.activity;
        if !activity.carries_one() {
            activity.earned.fetch_add(h2_flood::earned(bytes), Ordering::Relaxed);
        }
        activity.offered.fetch_add(1, Ordering::Relaxed);
        activity.parts.fetch_add(1, Ordering::Relaxed);
        self.is_offered = true;
    }

    /// An answer broke of which no length had been told.
    pub(super) fn broke_without_length(&self) {
        if self.activity.close_delimits_answers.load(Ordering::Relaxed) {
            self.activity.broken.store(true, Ordering::Relaxed);
        }
    }
}

impl Drop for RequestGuard {
    fn drop(&mut self) {
        self.was_taken();
        self.activity.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http_body_util::BodyExt;
    use tokio::time::Instant;

    use super::super::body::AnswerBody;
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_connection_without_a_request_is_over_soon_and_one_with_one_is_not() {
        let start = Instant::now();
        assert_eq!(Activity::default().over(limits::VISITOR_IDLE).await, Over::Idle);
        assert_eq!(start.elapsed(), limits::HEAD);

        let activity = Arc::new(Activity::default());
        let long = Activity::enter(&activity);
        let waited =
            tokio::time::timeout(100 * limits::VISITOR_IDLE, activity.over(limits::VISITOR_IDLE)).await;
        assert!(waited.is_err(), "a request that lasts keeps its connection");
        drop(long);
        let start = Instant::now();
        assert_eq!(activity.over(limits::VISITOR_IDLE).await, Over::Idle);
        assert!(start.elapsed() >= limits::VISITOR_IDLE && start.elapsed() <= 2 * limits::VISITOR_IDLE);
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_that_does_not_come_to_its_end_is_not_waited_for_as_an_idle_connection_is() {
        let activity = Arc::new(Activity::default());
        drop(Activity::enter(&activity));
        tokio::time::timeout(limits::HEAD + Duration::from_secs(1), activity.over(limits::VISITOR_IDLE))
            .await
            .unwrap_err();
        let start = Instant::now();
        activity.heard();
        // However long the next one takes to come.
        let mut every = tokio::time::interval(Duration::from_secs(4));
        let trickle = async {
            loop {
                every.tick().await;
                activity.heard();
            }
        };
        tokio::select! {
            over = activity.over(limits::VISITOR_IDLE) => assert_eq!(over, Over::Idle),
            () = trickle => {}
        }
        assert!(start.elapsed() <= 2 * limits::HEAD, "{:?}", start.elapsed());
        // On a connection of HTTP/2 it may be an answer to a PING, and its first request may be long past.
        let activity = Arc::new(Activity::default());
        activity.carries_many();
        drop(Activity::enter(&activity));
        activity.heard();
        let start = Instant::now();
        assert_eq!(activity.over(limits::VISITOR_IDLE).await, Over::Idle);
        assert!(start.elapsed() >= limits::VISITOR_IDLE);
        // What comes while a request is under way is its body.
        let activity = Arc::new(Activity::default());
        let under_way = Activity::enter(&activity);
        activity.heard();
        drop(under_way);
        assert!(!activity.awaits_head());
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_has_carried_enough_is_over() {
        let activity = Arc::new(Activity::default());
        for _ in 0..limits::REQUESTS_PER_CONNECTION {
            drop(Activity::enter(&activity));
        }
        let start = Instant::now();
        assert_eq!(activity.over(limits::VISITOR_IDLE).await, Over::Enough);
        assert_eq!(start.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_is_not_taken_ends_its_connection_unless_another_one_is() {
        let activity = Arc::new(Activity::default());
        let body = || AnswerBody::full(Bytes::from_static(b"x")).until_end(Activity::enter(&activity));
        let mut stalled = body();
        stalled.frame().await.unwrap().unwrap();
        // Others on the same connection are taken: it goes on.
        let others = async {
            loop {
                body().collect().await.unwrap();
                tokio::time::sleep(Duration::from_secs(10)).await;
            }
        };
        tokio::select! {
            over = activity.over(limits::VISITOR_IDLE) => panic!("{over:?}"),
            _ = tokio::time::timeout(10 * limits::WRITE_IDLE, others) => {}
        }
        let start = Instant::now();
        assert_eq!(activity.over(limits::VISITOR_IDLE).await, Over::Stalled);
        assert!(start.elapsed() >= limits::WRITE_IDLE && start.elapsed() <= 2 * limits::WRITE_IDLE);
        // One that waits for its service is not the visitor's fault.
        let activity = Arc::new(Activity::default());
        let _waits = Activity::enter(&activity);
        assert!(
            tokio::time::timeout(10 * limits::WRITE_IDLE, activity.over(limits::VISITOR_IDLE)).await.is_err()
        );
    }
}
