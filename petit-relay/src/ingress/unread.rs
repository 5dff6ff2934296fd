//! A visitor's body, and what becomes of the rest of it when nobody wants that any more.
//!
//! In HTTP/2 whoever lets go of a body before its end resets its stream as soon as the answer is out (RFC 9113 §8.1,
//! NO_ERROR). Clients are to keep the answer all the same, and some do not: curl 7.88 takes a reset that it reads along
//! with the answer for a failure. So the rest is taken and thrown away for a while, beside the answer. Most visitors have
//! sent it, or have stopped because of the answer, before that is over; only then is there a reset.
//!
//! Nobody gains by it. The stream counts among those of its connection, and the connection among those of its visitor,
//! until it is over; no place of a service is held; the windows are those of every request, and what has come is freed
//! at once. It ends after [`limits::LISTEN_ON`] or [`limits::UNREAD_BYTES`], or with its connection. In HTTP/1.1 the end
//! of the connection is listened to instead (see `closing`).

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::Version;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use petit_engine::limits;
use tokio::runtime::Handle;
use tokio_util::task::TaskTracker;

/// The body of a visitor's request. Dropped before its end, what is left of it is read and thrown away for a moment.
pub(crate) struct RequestBody {
    /// `None` only while it is dropped.
    body: Option<Incoming>,
    /// Who reads what is left; `None` where the connection does that.
    tasks: Option<TaskTracker>,
}

impl RequestBody {
    /// That of a request of this version.
    pub(super) fn new(body: Incoming, version: Version, tasks: &TaskTracker) -> Self {
        let tasks = (version == Version::HTTP_2 && !body.is_end_stream()).then(|| tasks.clone());
        Self { body: Some(body), tasks }
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        let (Some(body), Some(tasks)) = (self.body.take(), self.tasks.take()) else { return };
        // Without a runtime the process ends.
        if !body.is_end_stream()
            && let Ok(runtime) = Handle::try_current()
        {
            tasks.spawn_on(discard(body), &runtime);
        }
    }
}

/// Takes what is left of a body, for a while.
async fn discard<B: Body<Data = Bytes> + Unpin>(mut body: B) {
    let rest = async {
        let mut left = limits::UNREAD_BYTES;
        while let Some(Ok(frame)) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
            let bytes = frame.data_ref().map_or(0, Bytes::len);
            match left.checked_sub(bytes) {
                Some(rest) => left = rest,
                None => break,
            }
        }
    };
    let _ = tokio::time::timeout(limits::LISTEN_ON, rest).await;
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match &mut self.body {
            Some(body) => Pin::new(body).poll_frame(cx),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Incoming::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), Incoming::size_hint)
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::time::Instant;

    use super::*;

    /// A body of pieces of a kilobyte, so many of them; then it says nothing more.
    struct Pieces {
        left: usize,
        taken: Arc<AtomicUsize>,
    }

    impl Body for Pieces {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            let Some(left) = self.left.checked_sub(1) else { return Poll::Pending };
            self.left = left;
            self.taken.fetch_add(1024, Ordering::Relaxed);
            Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&[0; 1024])))))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_left_of_a_body_is_taken_up_to_a_number_of_bytes_and_for_so_long() {
        let taken = Arc::<AtomicUsize>::default();
        let start = Instant::now();
        discard(Pieces { left: usize::MAX, taken: Arc::clone(&taken) }).await;
        assert_eq!(taken.swap(0, Ordering::Relaxed), limits::UNREAD_BYTES + 1024);
        assert_eq!(start.elapsed(), std::time::Duration::ZERO);

        discard(Pieces { left: 3, taken: Arc::clone(&taken) }).await;
        assert_eq!(taken.load(Ordering::Relaxed), 3 * 1024);
        assert_eq!(start.elapsed(), limits::LISTEN_ON);
    }
}
