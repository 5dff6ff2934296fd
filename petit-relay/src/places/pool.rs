//! A number of places that several services, or one, have in common, and the queue for them.
//!
//! The queue's timeout is adaptive, as in CoDel (Nichols and Jacobson, "Controlling Queue Delay", 2012). The queue is for
//! a burst: when it has not been empty for longer than one lasts, more comes than can be served, and a long queue would
//! only make everybody late; whoever comes then waits no longer than a request usually takes.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use petit_engine::limits;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::super::failure::Failure;
use super::counters::Counters;
use super::member::{Claim, Member};
use super::ranking::{Ranking, Willing, census};
use super::shortage::{Holder, Scarce, Shortage};

/// Holders that a shortage names, of each kind.
const NAMED: usize = 5;

/// A number of places.
#[derive(Debug)]
pub(super) struct PlacePool {
    what: Scarce,
    most: usize,
    used: AtomicUsize,
    waiting: AtomicUsize,
    /// Since when the line has not been empty; of no meaning while it is.
    line_since: Mutex<Instant>,
    /// Rung for each place that becomes free while somebody waits.
    bell: Notify,
    members: Mutex<HashMap<u64, Weak<dyn Member>>>,
    ranking: Mutex<Ranking>,
    counters: Arc<Counters>,
}

/// Whether a pool that gave a place has become short of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    WithRoom,
    /// Half of all are in use.
    Crowded,
}

impl PlacePool {
    pub(super) fn new(what: Scarce, most: usize, counters: &Arc<Counters>) -> Arc<Self> {
        Arc::new(Self {
            what,
            most,
            used: AtomicUsize::new(0),
            waiting: AtomicUsize::new(0),
            line_since: Mutex::new(Instant::now()),
            bell: Notify::new(),
            members: Mutex::default(),
            ranking: Mutex::default(),
            counters: Arc::clone(counters),
        })
    }

    /// What there are so many of.
    pub(super) fn what(&self) -> Scarce {
        self.what
    }

    /// How many there are.
    pub(super) fn most(&self) -> usize {
        self.most
    }

    /// What one visitor may have of them while others wait: a quarter of a service's, a sixteenth where several
    /// services share.
    fn share_of_a_visitor(&self) -> usize {
        match self.what {
            Scarce::ServiceRequests(_) => self.most / 4,
            Scarce::Requests | Scarce::Visits(_) | Scarce::WebSockets(_) => self.most / 16,
        }
    }

    /// How many are in use, and by whom.
    pub(super) fn shortage(&self) -> Shortage {
        let census = census(self.what, self.most, &self.members());
        let most_of = |mut holders: Vec<(Holder, usize)>| {
            holders.sort_unstable_by_key(|(_, held)| std::cmp::Reverse(*held));
            holders.truncate(NAMED);
            holders
        };
        let mut holders = most_of(census.owners.all().filter(|(_, held)| *held > 0).collect());
        let visitors = census.visitors.all().map(|(visitor, held)| (Holder::Visitor(visitor), held));
        let exempt = (census.exempt > 0).then_some((Holder::Exempt, census.exempt));
        holders.extend(most_of(visitors.chain(exempt).collect()));
        Shortage { what: self.what, used: self.used(), most: self.most, holders }
    }

    /// How many are in use.
    pub(super) fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// The rooms that share it.
    pub(super) fn members(&self) -> Vec<Arc<dyn Member>> {
        self.table().values().filter_map(Weak::upgrade).collect()
    }

    pub(super) fn add(&self, number: u64, room: Weak<dyn Member>) {
        self.table().insert(number, room);
    }

    pub(super) fn remove(&self, number: u64) {
        self.table().remove(&number);
    }

    fn table(&self) -> MutexGuard<'_, HashMap<u64, Weak<dyn Member>>> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a place if there is one and nobody waits for it.
    pub(super) fn try_take(&self) -> Option<Taken> {
        if self.waiting.load(Ordering::SeqCst) > 0 { None } else { self.take_free() }
    }

    fn take_free(&self) -> Option<Taken> {
        let more = |used: usize| (used < self.most).then_some(used + 1);
        let before = self.used.fetch_update(Ordering::SeqCst, Ordering::Relaxed, more).ok()?;
        Some(if (before + 1) * 2 >= self.most { Taken::Crowded } else { Taken::WithRoom })
    }

    /// A place is free again.
    pub(super) fn give_back(&self) {
        self.used.fetch_sub(1, Ordering::SeqCst);
        if self.waiting.load(Ordering::SeqCst) > 0 {
            self.bell.notify_one();
        }
    }

    /// Takes a place where there was none: in turn when one becomes free, or from who has much more.
    ///
    /// # Errors
    /// [`Failure::Busy`].
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(super) async fn wait(&self, room: &dyn Member, claim: Claim) -> Result<(), Failure> {
        if self.most == 0 {
            return Err(Failure::Busy);
        }
        if self.take_over(room, claim, Willing::WithoutHarm) {
            return Ok(());
        }
        let Some(waiting) = Waiting::new(self) else {
            // Whoever holds everything can fill the line as well.
            let found = self.take_over(room, claim, Willing::Fairly);
            return if found { Ok(()) } else { Err(Failure::Busy) };
        };
        let (now, patience) = (Instant::now(), self.patience(room.typical()));
        let end = now + patience;
        let mut look = now + patience.min(limits::GIVE_WAY_AFTER);
        loop {
            let mut rung = pin!(self.bell.notified());
            // From here on a ring is heard. Whoever is first in the line looks once more, because nobody was rung for
            // what became free before; the others leave it to the first.
            rung.as_mut().enable();
            if waiting.is_first && self.take_free().is_some() {
                return Ok(());
            }
            while tokio::time::timeout_at(look, rung.as_mut()).await.is_err() {
                // The bell keeps one ring only: of two places that became free before anybody listened, one may be
                // left that nobody was rung for.
                if self.take_free().is_some() || self.take_over(room, claim, Willing::Fairly) {
                    return Ok(());
                }
                if look >= end {
                    return Err(Failure::Busy);
                }
                look = end.min(look + limits::GIVE_WAY_AFTER);
            }
            if self.take_free().is_some() {
                return Ok(());
            }
        }
    }

    /// Takes a place from who is to give one up. It changes hands, so nobody else gets in between.
    fn take_over(&self, room: &dyn Member, claim: Claim, willing: Willing) -> bool {
        // One that is free is for whoever is first in the line.
        self.used() >= self.most && self.take_from_others(room, claim, willing)
    }

    /// As [`Self::take_over`], also where some are free.
    pub(super) fn take_from_others(&self, room: &dyn Member, claim: Claim, willing: Willing) -> bool {
        let mut ranking = self.ranking.lock().unwrap_or_else(PoisonError::into_inner);
        ranking.refresh(self.what, self.most, || self.members());
        let found = ranking.give_way(room.owner_in(self.what), claim, self.share_of_a_visitor(), willing);
        drop(ranking);
        if let Some(stage) = found {
            self.counters.gave_way(stage, || self.shortage());
        }
        found.is_some()
    }

    /// How long one may wait who joins the line now.
    fn patience(&self, typical: Duration) -> Duration {
        let line_since = *self.line_since.lock().unwrap_or_else(PoisonError::into_inner);
        if line_since.elapsed() < limits::BURST {
            limits::SLOT_WAIT
        } else {
            typical.clamp(limits::SLOT_WAIT_LEAST, limits::SLOT_WAIT)
        }
    }

    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::SeqCst)
    }
}

/// Somebody in the line.
struct Waiting<'a> {
    pool: &'a PlacePool,
    /// Nobody was in the line before.
    is_first: bool,
}

impl<'a> Waiting<'a> {
    /// `None` when the line is as long as it may be.
    fn new(pool: &'a PlacePool) -> Option<Self> {
        let before = pool.waiting.fetch_add(1, Ordering::SeqCst);
        if before == 0 {
            *pool.line_since.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        }
        let waiting = Self { pool, is_first: before == 0 };
        (before < limits::SLOT_LINE).then_some(waiting)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.pool.waiting.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use petit_engine::name::{DeviceId, RegisteredId};

    use super::super::{LimitsConfig, Places, VisitKind};
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_place_that_nobody_was_rung_for_is_found_though_the_line_is_not_empty() {
        let places = Places::new(&LimitsConfig::default(), Vec::new());
        let room =
            places.room(VisitKind::Request, DeviceId::random().unwrap(), RegisteredId::random().unwrap());
        let pool = PlacePool::new(Scarce::Requests, 1, &Arc::default());
        let first = Waiting::new(&pool).unwrap();
        assert!(first.is_first);
        let start = Instant::now();
        let claim = Claim { visitor: None, has_body: false };
        pool.wait(room.as_ref(), claim).await.unwrap();
        assert!(start.elapsed() <= limits::GIVE_WAY_AFTER, "{:?}", start.elapsed());
        assert_eq!((pool.used(), pool.waiting()), (1, 1));
    }
}
