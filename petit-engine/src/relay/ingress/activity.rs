//! What a visitor's connection is doing, so that one that does nothing can be closed.
//!
//! HTTP/1.1 has a limit for every head, but none before the first byte; HTTP/2 has none at all, and answers to
//! PINGs keep it alive for ever. Here requests count, and nothing else.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::sync::Notify;

use super::AnswerBody;
use super::body::BodyError;
use crate::limits;

/// The requests of one connection.
#[derive(Debug, Default)]
pub(super) struct Activity {
    begun: AtomicU64,
    under_way: AtomicUsize,
    enough: Notify,
}

impl Activity {
    /// Counts a request while the guard lives.
    pub(super) fn enter(activity: &Arc<Self>) -> UnderWay {
        activity.under_way.fetch_add(1, Ordering::Relaxed);
        if activity.begun.fetch_add(1, Ordering::Relaxed) + 1 == limits::REQUESTS_PER_CONNECTION {
            activity.enough.notify_one();
        }
        UnderWay(Arc::clone(activity))
    }

    /// Waits until the connection has carried as much as one may, or has carried nothing for a while.
    ///
    /// It looks in intervals, so a connection ends one to two of them after its last request; that way a request
    /// costs no timer.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(super) async fn over(&self) {
        let mut interval = limits::HEAD;
        let mut begun = 0;
        loop {
            tokio::select! {
                () = self.enough.notified() => return,
                () = tokio::time::sleep(interval) => {}
            }
            let now = self.begun.load(Ordering::Relaxed);
            if now == begun && self.under_way.load(Ordering::Relaxed) == 0 {
                return;
            }
            begun = now;
            interval = limits::VISITOR_IDLE;
        }
    }
}

/// A request that is under way.
#[derive(Debug)]
pub(super) struct UnderWay(Arc<Activity>);

impl UnderWay {
    /// The request ends with the body of its answer.
    pub(super) fn until_end_of(self, body: AnswerBody) -> Counted {
        Counted { body, _under_way: self }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

/// An answer's body that counts as activity of its connection.
pub(super) struct Counted {
    body: AnswerBody,
    _under_way: UnderWay,
}

impl Body for Counted {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_connection_without_a_request_is_over_soon_and_one_with_one_is_not() {
        let start = tokio::time::Instant::now();
        Activity::default().over().await;
        assert_eq!(start.elapsed(), limits::HEAD);

        let activity = Arc::new(Activity::default());
        let long = Activity::enter(&activity);
        let waited = tokio::time::timeout(100 * limits::VISITOR_IDLE, activity.over()).await;
        assert!(waited.is_err(), "a request that lasts keeps its connection");
        drop(long);
        let start = tokio::time::Instant::now();
        activity.over().await;
        assert!(start.elapsed() <= 2 * limits::VISITOR_IDLE);
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_has_carried_enough_is_over() {
        let activity = Arc::new(Activity::default());
        for _ in 0..limits::REQUESTS_PER_CONNECTION {
            drop(Activity::enter(&activity));
        }
        let start = tokio::time::Instant::now();
        activity.over().await;
        assert_eq!(start.elapsed(), std::time::Duration::ZERO);
    }
}
