//! The visits of one kind to one service, each in a place.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use petit_engine::name::{DeviceId, RegisteredId};
use petit_engine::proto::rate::Rate;
use tokio::time::Instant;

use super::super::failure::Failure;
use super::super::policed::Policed;
use super::member::{Claim, Member, Seated};
use super::place::{Clock, Place};
use super::pool::{PlacePool, Taken};
use super::ranking::Willing;
use super::shortage::{Holder, Scarce};

/// The visits of one kind to one service.
#[derive(Debug)]
pub(crate) struct Room {
    number: u64,
    client: DeviceId,
    service: RegisteredId,
    /// What a visit needs a place of; the narrowest first.
    pools: Vec<Arc<PlacePool>>,
    seats: Mutex<Seats>,
    typical: Typical,
    /// The service's, whichever session serves it.
    rate: Option<Arc<Mutex<Rate>>>,
    clock: Arc<Clock>,
}

#[derive(Debug, Default)]
struct Seats {
    taken: Vec<Seat>,
    /// Places for the visits to come.
    spare: Vec<Arc<Place>>,
    /// Visits so far.
    begun: u64,
}

#[derive(Debug)]
struct Seat {
    place: Arc<Place>,
    visitor: Option<IpAddr>,
    begun: u64,
}

/// Places that are kept for the visits to come, at most.
const SPARE: usize = 64;

impl Room {
    pub(super) fn new(
        number: u64,
        (client, service): (DeviceId, RegisteredId),
        pools: Vec<Arc<PlacePool>>,
        rate: Option<Arc<Mutex<Rate>>>,
        clock: Arc<Clock>,
    ) -> Arc<Self> {
        let room = Arc::new(Self {
            number,
            client,
            service,
            pools,
            seats: Mutex::default(),
            typical: Typical::default(),
            rate,
            clock,
        });
        for pool in &room.pools {
            let member: Weak<Self> = Arc::downgrade(&room);
            pool.add(number, member);
        }
        room
    }

    /// Takes a place for one visit.
    ///
    /// # Errors
    /// [`Failure::TooMany`] beyond the service's rate, [`Failure::Busy`] when no place became free in time and nobody
    /// had to give one up.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(crate) async fn enter(self: &Arc<Self>, claim: Claim) -> Result<Slot, Failure> {
        self.keeps_rate()?;
        let mut entering = Entering { room: self, through: 0, crowded: false };
        if !entering.goes_through() {
            // Boxed, so that who need not wait carries none of it about.
            Box::pin(entering.wait(claim)).await?;
        }
        Ok(entering.seat(claim))
    }

    /// As [`Self::enter`] where there is no memory for one visit more: takes a place from whoever has to give one up,
    /// and none that is free, so that there are never more.
    ///
    /// # Errors
    /// [`Failure::TooMany`], and [`Failure::Busy`] when nobody has to.
    pub(crate) fn enter_instead(self: &Arc<Self>, claim: Claim) -> Result<Slot, Failure> {
        self.keeps_rate()?;
        let mut entering = Entering { room: self, through: 0, crowded: true };
        if entering.replaces(claim) { Ok(entering.seat(claim)) } else { Err(Failure::Busy) }
    }

    /// Counts a visit towards the service's rate.
    fn keeps_rate(&self) -> Result<(), Failure> {
        let Some(rate) = &self.rate else { return Ok(()) };
        let mut rate = rate.lock().unwrap_or_else(PoisonError::into_inner);
        if rate.allow(Instant::now().into_std()) { Ok(()) } else { Err(Failure::TooMany) }
    }

    /// Visits so far.
    pub(crate) fn visits(&self) -> u64 {
        self.seats().begun
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.seats().taken.is_empty()
    }

    /// In use of the narrowest pool.
    #[cfg(test)]
    pub(super) fn used(&self) -> usize {
        self.pools.first().map_or(0, |pool| pool.used())
    }

    /// Waiting for the narrowest pool.
    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        self.pools.first().map_or(0, |pool| pool.waiting())
    }

    fn seats(&self) -> MutexGuard<'_, Seats> {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Member for Room {
    fn typical(&self) -> Duration {
        self.typical.get()
    }

    fn now(&self) -> u32 {
        self.clock.now()
    }

    fn owner_in(&self, pool: Scarce) -> Option<Holder> {
        match pool {
            Scarce::Requests => Some(Holder::Client(self.client)),
            Scarce::Visits(_) | Scarce::WebSockets(_) => Some(Holder::Service(self.service)),
            Scarce::ServiceRequests(_) => None,
        }
    }

    fn for_each(&self, see: &mut dyn FnMut(Seated)) {
        for Seat { place, visitor, begun } in &self.seats().taken {
            see(Seated {
                visitor: *visitor,
                stage: place.stage(),
                begun: *begun,
                begun_at: place.begun_at,
                moved: place.last_moved(),
            });
        }
    }

    fn take_from(&self, visit: &Seated, pool: Scarce) -> bool {
        let mut seats = self.seats();
        let found = seats.taken.iter().position(|seat| seat.begun == visit.begun);
        let Some(index) = found
            .filter(|index| seats.taken.get(*index).is_some_and(|seat| seat.place.stage() == visit.stage))
        else {
            return false;
        };
        let Some(place) = seats.empty(index) else { return false };
        drop(seats);
        place.lose();
        for other in self.pools.iter().filter(|other| other.what() != pool) {
            other.give_back();
        }
        true
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        for pool in &self.pools {
            pool.remove(self.number);
        }
    }
}

impl Seats {
    /// A place for a visit that begins.
    fn next_place(&mut self, clock: &Arc<Clock>, has_body: bool) -> Arc<Place> {
        // One that somebody still looks at goes on telling of the visit before.
        let spare = self.spare.pop().filter(|place| Arc::strong_count(place) == 1);
        let mut place = spare.unwrap_or_else(|| Arc::new(Place::new(Arc::clone(clock))));
        if let Some(place) = Arc::get_mut(&mut place) {
            place.begin(has_body);
        }
        place
    }

    /// Takes out who sits at `index`; the last one moves there.
    fn empty(&mut self, index: usize) -> Option<Arc<Place>> {
        if index >= self.taken.len() {
            return None;
        }
        let Seat { place, .. } = self.taken.swap_remove(index);
        place.seat.store(Place::NONE, Ordering::Relaxed);
        if let Some(moved) = self.taken.get(index) {
            moved.place.seat.store(u32::try_from(index).unwrap_or(Place::NONE), Ordering::Relaxed);
        }
        Some(place)
    }
}

/// A visit on its way in: what it has taken already is given back when it does not get to its seat.
struct Entering<'a> {
    room: &'a Arc<Room>,
    /// Pools that have given it a place.
    through: usize,
    crowded: bool,
}

impl Entering<'_> {
    /// Takes what is free; false when something is not.
    fn goes_through(&mut self) -> bool {
        while let Some(pool) = self.room.pools.get(self.through) {
            let Some(taken) = pool.try_take() else { return false };
            self.crowded |= taken == Taken::Crowded;
            self.through += 1;
        }
        true
    }

    async fn wait(&mut self, claim: Claim) -> Result<(), Failure> {
        while !self.goes_through() {
            let Some(pool) = self.room.pools.get(self.through) else { break };
            pool.wait(self.room.as_ref(), claim).await?;
            self.crowded = true;
            self.through += 1;
        }
        Ok(())
    }

    /// Takes the place of somebody else; false when nobody has to give one up.
    fn replaces(&mut self, claim: Claim) -> bool {
        let mut has_replaced = false;
        while let Some(pool) = self.room.pools.get(self.through) {
            // The last pool is what all visits have in common: whoever has lost a place in it before, or loses one
            // now, makes the room.
            let is_last = self.through + 1 == self.room.pools.len();
            let is_free = (!is_last || has_replaced) && pool.try_take().is_some();
            if !is_free {
                if !pool.take_from_others(self.room.as_ref(), claim, Willing::Fairly) {
                    return false;
                }
                has_replaced = true;
            }
            self.through += 1;
        }
        true
    }

    fn seat(mut self, claim: Claim) -> Slot {
        let room = Arc::clone(self.room);
        let mut seats = room.seats();
        let place = seats.next_place(&room.clock, claim.has_body);
        seats.begun += 1;
        let begun = seats.begun;
        place.seat.store(u32::try_from(seats.taken.len()).unwrap_or(Place::NONE), Ordering::Relaxed);
        seats.taken.push(Seat { place: Arc::clone(&place), visitor: claim.visitor, begun });
        drop(seats);
        self.through = 0; // it is the slot's now
        Slot { since: self.crowded.then(Instant::now), place, room, policed: None }
    }
}

impl Drop for Entering<'_> {
    fn drop(&mut self) {
        for pool in self.room.pools.iter().take(self.through) {
            pool.give_back();
        }
    }
}

/// A visit's place. Free again when dropped, unless it was given to somebody else before.
#[derive(Debug)]
pub(crate) struct Slot {
    room: Arc<Room>,
    place: Arc<Place>,
    /// Since when, if anybody wants to know.
    since: Option<Instant>,
    /// What its policy has let in.
    policed: Option<Arc<Policed>>,
}

impl Slot {
    /// Its visit counts towards the limits of its policy as long as this is held.
    pub(crate) fn hold(&mut self, policed: Option<Arc<Policed>>) {
        self.policed = policed;
    }

    /// What may be known of the visit.
    pub(crate) fn place(&self) -> &Arc<Place> {
        &self.place
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if let Some(since) = self.since {
            self.room.typical.add(since.elapsed());
        }
        let mut seats = self.room.seats();
        let index = self.place.seat.load(Ordering::Relaxed);
        if index == Place::NONE {
            return; // it was given away
        }
        if let Some(place) = seats.empty(index as usize)
            && seats.spare.len() < SPARE
        {
            seats.spare.push(place);
        }
        drop(seats);
        for pool in &self.room.pools {
            pool.give_back();
        }
    }
}

/// How long visits hold their places, as a moving average in microseconds.
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
