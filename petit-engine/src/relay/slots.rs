//! How many requests are under way: in all, and to one service. A request that finds no room waits for a moment
//! in a short line, and is then told that there is none.
//!
//! The line is for a burst. When it has not been empty for longer than one lasts, more comes than can be served, and a long line would only make everybody late: whoever comes then waits no longer than a request
//! usually takes (after Nichols and Jacobson, "Controlling Queue Delay", 2012).

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::answer::Failure;
use super::bounds::Bounds;
use crate::limits;
use crate::proto::rate::Rate;

/// The room for requests to one service.
#[derive(Debug)]
pub(super) struct Gate {
    slots: Arc<Semaphore>,
    waiting: AtomicUsize,
    /// Since when the line has not been empty; of no meaning while it is.
    line_since: Mutex<Instant>,
    typical: Arc<Typical>,
    rate: Option<Mutex<Rate>>,
}

/// How long requests hold their places, as a moving average in microseconds.
#[derive(Debug, Default)]
struct Typical(AtomicU64);

impl Typical {
    fn add(&self, took: Duration) {
        let took = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let before = self.0.load(Ordering::Relaxed);
        // Of two at once one may be lost; an average does not mind.
        self.0.store(before - before / 8 + took / 8, Ordering::Relaxed);
    }

    fn get(&self) -> Duration {
        Duration::from_micros(self.0.load(Ordering::Relaxed))
    }
}

/// A request's place, in all and at its service. Free again when dropped.
#[derive(Debug)]
pub(super) struct Slot {
    _service: OwnedSemaphorePermit,
    _all: OwnedSemaphorePermit,
    since: Instant,
    typical: Arc<Typical>,
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.typical.add(self.since.elapsed());
    }
}

impl Gate {
    pub(super) fn new(bounds: &Bounds) -> Self {
        // Half of all at most, so that one service's trouble is never everybody's.
        let most = bounds.requests_per_service.min(bounds.requests / 2).max(1);
        let rate = bounds.requests_per_second.map(|rate| Mutex::new(Rate::new(rate, rate)));
        Self {
            slots: Arc::new(Semaphore::new(most)),
            waiting: AtomicUsize::new(0),
            line_since: Mutex::new(Instant::now()),
            typical: Arc::default(),
            rate,
        }
    }

    /// Takes a place for one request.
    ///
    /// # Errors
    /// [`Failure::TooMany`] beyond the service's rate, [`Failure::Busy`] when no place became free in time.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(super) async fn enter(&self, all: &Arc<Semaphore>) -> Result<Slot, Failure> {
        if let Some(rate) = &self.rate {
            let mut rate = rate.lock().unwrap_or_else(PoisonError::into_inner);
            if !rate.allow(Instant::now().into_std()) {
                return Err(Failure::TooMany);
            }
        }
        let now = || {
            let service = Arc::clone(&self.slots).try_acquire_owned().ok()?;
            let all = Arc::clone(all).try_acquire_owned().ok()?;
            Some(self.slot(service, all))
        };
        match now() {
            Some(slot) => Ok(slot),
            None => self.wait(all).await,
        }
    }

    async fn wait(&self, all: &Arc<Semaphore>) -> Result<Slot, Failure> {
        let waiting = Waiting::new(self).ok_or(Failure::Busy)?;
        let both = async {
            let service = Arc::clone(&self.slots).acquire_owned().await.ok()?;
            let all = Arc::clone(all).acquire_owned().await.ok()?;
            Some(self.slot(service, all))
        };
        let slot = tokio::time::timeout(self.patience(), both).await;
        drop(waiting);
        slot.ok().flatten().ok_or(Failure::Busy)
    }

    fn slot(&self, service: OwnedSemaphorePermit, all: OwnedSemaphorePermit) -> Slot {
        Slot { _service: service, _all: all, since: Instant::now(), typical: Arc::clone(&self.typical) }
    }

    /// How long one may wait who joins the line now.
    fn patience(&self) -> Duration {
        let line_since = *self.line_since.lock().unwrap_or_else(PoisonError::into_inner);
        if line_since.elapsed() < limits::BURST {
            limits::SLOT_WAIT
        } else {
            self.typical.get().clamp(limits::SLOT_WAIT_LEAST, limits::SLOT_WAIT)
        }
    }
}

/// A place in the line.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(gate: &'a Gate) -> Option<Self> {
        let before = gate.waiting.fetch_add(1, Ordering::Relaxed);
        if before == 0 {
            *gate.line_since.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        }
        let waiting = Self(&gate.waiting);
        (before < limits::SLOT_LINE).then_some(waiting)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bounds(requests: usize, per_service: usize) -> Bounds {
        Bounds { requests, requests_per_service: per_service, ..Bounds::default() }
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_service_makes_requests_wait_for_a_moment_and_then_says_so() {
        let bounds = bounds(100, 2);
        let (gate, all) = (Gate::new(&bounds), Arc::new(Semaphore::new(bounds.requests)));
        let first = gate.enter(&all).await.unwrap();
        let _second = gate.enter(&all).await.unwrap();
        let start = Instant::now();
        assert_eq!(gate.enter(&all).await.unwrap_err(), Failure::Busy);
        assert_eq!(start.elapsed(), limits::SLOT_WAIT);
        let gate = Arc::new(gate);
        let waiting = tokio::spawn({
            let (gate, all) = (Arc::clone(&gate), Arc::clone(&all));
            async move { gate.enter(&all).await.is_ok() }
        });
        tokio::task::yield_now().await;
        drop(first);
        assert!(waiting.await.unwrap(), "a place that becomes free is taken");
    }

    #[tokio::test(start_paused = true)]
    async fn one_service_never_holds_more_than_half_of_all() {
        let bounds = bounds(10, 1000);
        let (gate, all) = (Gate::new(&bounds), Arc::new(Semaphore::new(bounds.requests)));
        let mut held = Vec::new();
        while let Ok(slot) = gate.enter(&all).await {
            held.push(slot);
        }
        assert_eq!(held.len(), 5);
        assert!(Gate::new(&bounds).enter(&all).await.is_ok(), "another service has room");
    }

    #[tokio::test(start_paused = true)]
    async fn the_line_is_short() {
        let bounds = bounds(10, 1);
        let (gate, all) = (Arc::new(Gate::new(&bounds)), Arc::new(Semaphore::new(10)));
        let _held = gate.enter(&all).await.unwrap();
        let mut line = tokio::task::JoinSet::new();
        for _ in 0..limits::SLOT_LINE {
            let (gate, all) = (Arc::clone(&gate), Arc::clone(&all));
            line.spawn(async move { gate.enter(&all).await.is_ok() });
        }
        while gate.waiting.load(Ordering::Relaxed) < limits::SLOT_LINE {
            tokio::task::yield_now().await;
        }
        let start = Instant::now();
        assert_eq!(gate.enter(&all).await.unwrap_err(), Failure::Busy);
        assert_eq!(start.elapsed(), Duration::ZERO, "whoever finds the line full is told at once");
        while line.join_next().await.is_some() {}
    }

    #[tokio::test]
    async fn a_rate_that_is_set_is_kept() {
        let bounds = Bounds { requests_per_second: Some(5), ..Bounds::default() };
        let (gate, all) = (Gate::new(&bounds), Arc::new(Semaphore::new(bounds.requests)));
        let mut passed = 0;
        for _ in 0..50 {
            passed += usize::from(gate.enter(&all).await.is_ok());
        }
        assert!((5..8).contains(&passed), "{passed}");
        assert_eq!(gate.enter(&all).await.unwrap_err(), Failure::TooMany);
    }

    #[tokio::test(start_paused = true)]
    async fn while_more_comes_than_can_be_served_nobody_waits_longer_than_a_request_takes() {
        let bounds = bounds(10, 1);
        let (gate, all) = (Arc::new(Gate::new(&bounds)), Arc::new(Semaphore::new(10)));
        let serve = |took: Duration| {
            let (gate, all) = (Arc::clone(&gate), Arc::clone(&all));
            async move {
                let slot = gate.enter(&all).await?;
                tokio::time::sleep(took).await;
                drop(slot);
                Ok::<_, Failure>(())
            }
        };
        let took = Duration::from_millis(40);
        for _ in 0..100 {
            serve(took).await.unwrap();
        }
        // Twice as many as can be served, for five seconds.
        let mut crowd = tokio::task::JoinSet::new();
        for number in 0..250 {
            let serve = serve(took);
            crowd.spawn(async move {
                tokio::time::sleep(took / 2 * number).await;
                let start = Instant::now();
                serve.await.map(|()| (number, start.elapsed())).map_err(|_| (number, start.elapsed()))
            });
        }
        let outcomes = crowd.join_all().await;
        let served = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
        assert!(served >= 120, "{served} of the 125 that were possible");
        // After the first second, the line is short.
        let late = outcomes.iter().filter_map(|outcome| outcome.ok()).filter(|(number, _)| *number > 50);
        let longest = late.map(|(_, waited)| waited).max().unwrap();
        assert!(longest <= 3 * took, "{longest:?}");
        let refused = outcomes.iter().filter_map(|outcome| outcome.err()).filter(|(number, _)| *number > 50);
        assert!(refused.map(|(_, waited)| waited).max().unwrap() <= 2 * took, "refused soon");
        // Once the crowd has gone, a burst may wait again.
        let burst: tokio::task::JoinSet<_> = (0..20).map(|_| serve(took)).collect();
        assert!(burst.join_all().await.iter().all(Result::is_ok));
    }
}
