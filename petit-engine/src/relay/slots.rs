//! How many requests are under way: in all, and to one service. A request that finds no room waits for a moment
//! in a short line, and is then told that there is none.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::answer::Failure;
use super::bounds::Bounds;
use crate::limits;
use crate::proto::rate::Rate;

/// The room for requests to one service.
#[derive(Debug)]
pub(super) struct Gate {
    slots: Arc<Semaphore>,
    waiting: AtomicUsize,
    rate: Option<Mutex<Rate>>,
}

/// A request's place, in all and at its service. Free again when dropped.
#[derive(Debug)]
pub(super) struct Slot {
    _service: OwnedSemaphorePermit,
    _all: OwnedSemaphorePermit,
}

impl Gate {
    pub(super) fn new(bounds: &Bounds) -> Self {
        // Half of all at most, so that one service's trouble is never everybody's.
        let most = bounds.requests_per_service.min(bounds.requests / 2).max(1);
        let rate = bounds.requests_per_second.map(|rate| Mutex::new(Rate::new(rate, rate)));
        Self { slots: Arc::new(Semaphore::new(most)), waiting: AtomicUsize::new(0), rate }
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
            if !rate.allow(Instant::now()) {
                return Err(Failure::TooMany);
            }
        }
        let now = || {
            let service = Arc::clone(&self.slots).try_acquire_owned().ok()?;
            let all = Arc::clone(all).try_acquire_owned().ok()?;
            Some(Slot { _service: service, _all: all })
        };
        match now() {
            Some(slot) => Ok(slot),
            None => self.wait(all).await,
        }
    }

    async fn wait(&self, all: &Arc<Semaphore>) -> Result<Slot, Failure> {
        let waiting = Waiting::new(&self.waiting).ok_or(Failure::Busy)?;
        let both = async {
            let service = Arc::clone(&self.slots).acquire_owned().await.ok()?;
            let all = Arc::clone(all).acquire_owned().await.ok()?;
            Some(Slot { _service: service, _all: all })
        };
        let slot = tokio::time::timeout(limits::SLOT_WAIT, both).await;
        drop(waiting);
        slot.ok().flatten().ok_or(Failure::Busy)
    }
}

/// A place in the line.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicUsize) -> Option<Self> {
        let before = count.fetch_add(1, Ordering::Relaxed);
        let waiting = Self(count);
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
        let start = tokio::time::Instant::now();
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
        let start = tokio::time::Instant::now();
        assert_eq!(gate.enter(&all).await.unwrap_err(), Failure::Busy);
        assert_eq!(start.elapsed(), std::time::Duration::ZERO, "whoever finds the line full is told at once");
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
}
