//! A future that is polled only when it was woken itself, not each time its task is.
//!
//! A visitor's connection wakes its task twice for each request. What waits beside it (for the connection to grow
//! old, idle or stalled, for the relay to leave) has nothing to do with that, and looking at it costs more than one
//! would think: three timers, a watch and a bell, in three selections.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

/// See the module.
pub(super) struct OnWake<F> {
    future: F,
    bell: Arc<Bell>,
    /// The bell, as the future knows it.
    waker: Waker,
    /// The task's waker, as the bell has it.
    task: Option<Waker>,
}

/// Takes note that the future was woken, and wakes its task.
struct Bell {
    rung: AtomicBool,
    task: Mutex<Option<Waker>>,
}

impl Bell {
    fn task(&self) -> MutexGuard<'_, Option<Waker>> {
        self.task.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.rung.store(true, Ordering::SeqCst);
        let task = self.task().clone();
        if let Some(task) = task {
            task.wake();
        }
    }
}

impl<F: Future + Unpin> OnWake<F> {
    pub(super) fn new(future: F) -> Self {
        // Rung: a future is polled once before it can be woken.
        let bell = Arc::new(Bell { rung: AtomicBool::new(true), task: Mutex::new(None) });
        Self { future, waker: Waker::from(Arc::clone(&bell)), bell, task: None }
    }
}

impl<F: Future + Unpin> Future for OnWake<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.get_mut();
        // The bell knows the task before it is asked whether it was rung: who rings after that wakes this task.
        if !this.task.as_ref().is_some_and(|task| task.will_wake(cx.waker())) {
            this.task = Some(cx.waker().clone());
            this.bell.task().clone_from(&this.task);
        }
        if !this.bell.rung.load(Ordering::SeqCst) {
            return Poll::Pending;
        }
        // Before the future is polled, which sees whatever it was woken for until now.
        this.bell.rung.swap(false, Ordering::SeqCst);
        Pin::new(&mut this.future).poll(&mut Context::from_waker(&this.waker))
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::pin::pin;
    use std::sync::atomic::AtomicUsize;
    use std::time::Duration;

    use tokio::sync::Notify;

    use super::*;

    /// Counts how often it is woken.
    #[derive(Default)]
    struct Counter(AtomicUsize);

    impl Wake for Counter {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn task() -> (Arc<Counter>, Waker) {
        let counter = Arc::new(Counter::default());
        (Arc::clone(&counter), Waker::from(counter))
    }

    fn woken(counter: &Counter) -> usize {
        counter.0.load(Ordering::SeqCst)
    }

    #[test]
    fn it_is_polled_once_and_then_only_when_it_was_woken_itself() {
        let (bell, mut polls) = (Notify::new(), 0);
        let mut rung = pin!(bell.notified());
        let future = poll_fn(|cx| {
            polls += 1;
            rung.as_mut().poll(cx)
        });
        let mut on_wake = OnWake::new(future);
        let (counter, waker) = task();
        let cx = &mut Context::from_waker(&waker);
        for _ in 0..100 {
            assert!(Pin::new(&mut on_wake).poll(cx).is_pending());
        }
        assert_eq!(woken(&counter), 0);
        bell.notify_one();
        assert_eq!(woken(&counter), 1, "its task is woken");
        assert!(Pin::new(&mut on_wake).poll(cx).is_ready());
        drop(on_wake);
        assert_eq!(polls, 2);
    }

    #[test]
    fn whoever_polled_it_last_is_woken_though_that_poll_did_not_reach_it() {
        let bell = Notify::new();
        let rung = pin!(bell.notified());
        let mut on_wake = OnWake::new(rung);
        let ((first, first_waker), (second, second_waker)) = (task(), task());
        assert!(Pin::new(&mut on_wake).poll(&mut Context::from_waker(&first_waker)).is_pending());
        assert!(Pin::new(&mut on_wake).poll(&mut Context::from_waker(&second_waker)).is_pending());
        bell.notify_one();
        assert_eq!((woken(&first), woken(&second)), (0, 1));
        assert!(Pin::new(&mut on_wake).poll(&mut Context::from_waker(&second_waker)).is_ready());
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_waits_several_times_is_woken_each_time() {
        let many = async {
            for _ in 0..100 {
                tokio::time::sleep(Duration::from_millis(10)).await;
                tokio::task::yield_now().await;
            }
        };
        let start = tokio::time::Instant::now();
        OnWake::new(pin!(many)).await;
        assert_eq!(start.elapsed(), Duration::from_secs(1));
    }
}
