//! A timer for deadlines that nearly never come.
//!
//! An answer comes long before its limit, and a session's next PING is ten seconds away while thousands of frames
//! pass. Setting one of the runtime's timers for each of them, and looking at it each time, costs more than what it
//! watches. This one is set once and left alone while it fires early enough; only when it fires is it set to the
//! deadline of that moment.

use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use tokio::time::{Instant, Sleep};

/// See the module. It is for waits one after the other.
#[derive(Debug, Default)]
pub struct LazyTimer(Option<Set>);

#[derive(Debug)]
struct Set {
    timer: Pin<Box<Sleep>>,
    /// Whom it wakes.
    task: Waker,
}

impl LazyTimer {
    /// Ready at `deadline`, which may be another one at each call. The task is woken then, and perhaps before.
    pub fn poll_until(&mut self, deadline: Instant, cx: &mut Context<'_>) -> Poll<()> {
        let set = match &mut self.0 {
            Some(set) if set.is_in_time(deadline, cx) => return Poll::Pending,
            Some(set) => {
                set.task.clone_from(cx.waker());
                set
            }
            none => none.insert(Set {
                timer: Box::pin(tokio::time::sleep_until(deadline)),
                task: cx.waker().clone(),
            }),
        };
        if set.timer.deadline() != deadline {
            set.timer.as_mut().reset(deadline);
        }
        // Whatever the task has done in this turn: a timer that is not looked at because its budget is used up does not
        // know whom to wake, and would not be looked at again before its time.
        let mut timer = tokio::task::unconstrained(set.timer.as_mut());
        Pin::new(&mut timer).poll(cx)
    }
}

impl Set {
    /// True when the task is woken in time as it is.
    fn is_in_time(&self, deadline: Instant, cx: &Context<'_>) -> bool {
        self.timer.deadline() <= deadline && !self.timer.is_elapsed() && self.task.will_wake(cx.waker())
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::time::Duration;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    async fn until(timer: &mut LazyTimer, deadline: Instant) {
        poll_fn(|cx| timer.poll_until(deadline, cx)).await;
    }

    /// Begins to wait for `deadline`, and is answered at once.
    async fn in_vain(timer: &mut LazyTimer, deadline: Instant) {
        assert!(poll_fn(|cx| Poll::Ready(timer.poll_until(deadline, cx))).await.is_pending());
    }

    #[tokio::test(start_paused = true)]
    async fn each_wait_ends_at_its_own_time_whatever_was_waited_for_before() {
        let (mut timer, start) = (LazyTimer::default(), Instant::now());
        for seconds in [5, 3, 20, 4, 30] {
            in_vain(&mut timer, Instant::now() + 10 * SECOND).await;
            let deadline = Instant::now() + seconds * SECOND;
            until(&mut timer, deadline).await;
            assert_eq!(Instant::now(), deadline);
        }
        // One whose time has passed.
        until(&mut timer, start).await;
        assert_eq!(start.elapsed(), 62 * SECOND);
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_left_alone_while_it_fires_early_enough() {
        let (mut timer, start) = (LazyTimer::default(), Instant::now());
        for _ in 0..100 {
            in_vain(&mut timer, Instant::now() + 120 * SECOND).await;
            assert_eq!(timer.0.as_ref().unwrap().timer.deadline(), start + 120 * SECOND);
            tokio::time::sleep(SECOND).await;
        }
        // Woken early, it waits on.
        until(&mut timer, start + 200 * SECOND).await;
        assert_eq!(start.elapsed(), 200 * SECOND);
    }

    #[tokio::test(start_paused = true)]
    async fn another_task_is_woken_too() {
        let (mut timer, start) = (LazyTimer::default(), Instant::now());
        in_vain(&mut timer, start + SECOND).await;
        let waiting = poll_fn(move |cx| timer.poll_until(start + 10 * SECOND, cx));
        tokio::spawn(waiting).await.unwrap();
        assert_eq!(start.elapsed(), 10 * SECOND);
    }

    /// Uses up what a task may do before it has to let others (tokio's cooperative budget).
    async fn use_up_the_turn() {
        let (_sender, mut receiver) = {
            let (sender, receiver) = tokio::sync::mpsc::unbounded_channel();
            (0..1000).for_each(|number| sender.send(number).unwrap());
            (sender, receiver)
        };
        poll_fn(|cx| {
            while receiver.poll_recv(cx).is_ready() {}
            Poll::Ready(())
        })
        .await;
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_done_much_in_a_turn_is_woken_all_the_same() {
        let mut timer = LazyTimer::default();
        for _ in 0..2 {
            let deadline = Instant::now() + SECOND;
            let mut begun = false;
            let waited = async {
                let mut spent = Box::pin(use_up_the_turn());
                poll_fn(|cx| {
                    if !begun {
                        begun = true;
                        assert!(spent.as_mut().poll(cx).is_ready());
                    }
                    timer.poll_until(deadline, cx)
                })
                .await;
            };
            tokio::time::timeout(10 * SECOND, waited).await.expect("it is woken");
            assert_eq!(Instant::now(), deadline);
        }
    }
}
