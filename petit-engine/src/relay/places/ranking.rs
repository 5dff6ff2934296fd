//! Who holds what of a pool, and in which order it is given up. Made only when a pool is short, and good for a moment,
//! so that a crowd that is turned away does not cost a look at everything each.

use std::cmp::{Ordering, Reverse};
use std::collections::{BinaryHeap, HashMap};
use std::net::IpAddr;
use std::sync::{Arc, Weak};

use tokio::time::Instant;

use super::Holder;
use super::place::Clock;
use super::pool::Pool;
use super::room::{Claim, Room, Seated};
use super::share::{Harm, Held, Stage};
use crate::limits;

/// What a holder is to give up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Willing {
    /// Only what no service has been able to begin.
    WithoutHarm,
    /// What it holds beyond its share.
    Fairly,
}

/// How many places each holder has.
#[derive(Debug, Default)]
pub(super) struct Census {
    pub(super) owners: HashMap<Holder, usize>,
    pub(super) visitors: HashMap<IpAddr, usize>,
    /// Places of visitors that have no share.
    pub(super) exempt: usize,
}

impl Census {
    fn owns(&mut self, owner: Option<Holder>, places: usize) {
        if let Some(owner) = owner {
            *self.owners.entry(owner).or_default() += places;
        }
    }

    fn visits(&mut self, visitor: Option<IpAddr>) {
        match visitor {
            Some(visitor) => *self.visitors.entry(visitor).or_default() += 1,
            None => self.exempt += 1,
        }
    }

    /// A holder has one less.
    fn discount(&mut self, owner: Option<Holder>, visitor: Option<IpAddr>) {
        let owned = owner.and_then(|owner| self.owners.get_mut(&owner));
        let visited = visitor.and_then(|visitor| self.visitors.get_mut(&visitor));
        for count in owned.into_iter().chain(visited) {
            *count = count.saturating_sub(1);
        }
    }

    /// What a holder has.
    fn held(&self, owner: Option<Holder>, visitor: Option<IpAddr>) -> Held {
        let owner = owner.and_then(|owner| self.owners.get(&owner)).copied().unwrap_or_default();
        let visitor = visitor.and_then(|visitor| self.visitors.get(&visitor)).copied().unwrap_or_default();
        Held { owner, visitor }
    }

    /// What a newcomer would have. Visitors without a share are many behind one address: together they claim no more
    /// than the share of one.
    fn with(&self, owner: Option<Holder>, visitor: Option<IpAddr>, share: usize) -> Held {
        let held = self.held(owner, visitor);
        let visited = if visitor.is_some() { held.visitor + 1 } else { (self.exempt + 1).min(share) };
        Held { owner: held.owner + usize::from(owner.is_some()), visitor: visited }
    }
}

/// A visit that might give way.
#[derive(Debug)]
struct Candidate {
    /// It has been waiting for a body for so long that it counts as holding nothing.
    is_stale: bool,
    load: usize,
    harm: Harm,
    /// Where it is among the ranking's rooms.
    room: usize,
    seated: Seated,
}

impl Candidate {
    /// The greatest is the next to give way.
    fn order(&self) -> impl Ord {
        (self.is_stale, self.load, Reverse(self.harm))
    }
}

impl PartialEq for Candidate {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Candidate {}

impl PartialOrd for Candidate {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Candidate {
    fn cmp(&self, other: &Self) -> Ordering {
        self.order().cmp(&other.order())
    }
}

#[derive(Debug, Default)]
pub(super) struct Ranking {
    made: Option<Instant>,
    census: Census,
    rooms: Vec<(Weak<Room>, Option<Holder>)>,
    /// Visits that wait for a request's body.
    bodiless: BinaryHeap<Candidate>,
    others: BinaryHeap<Candidate>,
}

impl Ranking {
    /// Counts anew what is too old.
    pub(super) fn refresh(&mut self, pool: &Pool) {
        let now = Instant::now();
        if self.made.is_some_and(|made| now.duration_since(made) < limits::RANKING_FRESH) {
            return;
        }
        self.made = Some(now);
        self.census = Census::default();
        self.rooms.clear();
        let mut bodiless = std::mem::take(&mut self.bodiless).into_vec();
        let mut others = std::mem::take(&mut self.others).into_vec();
        bodiless.clear();
        others.clear();
        for room in pool.rooms() {
            let owner = room.owner_in(pool);
            let tick = room.clock().now();
            let before = bodiless.len() + others.len();
            room.for_each(|seated| {
                self.census.visits(seated.visitor);
                let is_bodiless = seated.stage == Stage::AwaitsBody;
                let waited = Clock::TICK * tick.saturating_sub(seated.begun_at);
                let candidate = Candidate {
                    is_stale: is_bodiless && waited >= limits::BODY_YIELDS_AFTER,
                    load: 0,
                    harm: Harm::of(seated.stage, (seated.begun_at, seated.begun), seated.moved),
                    room: self.rooms.len(),
                    seated,
                };
                if is_bodiless { bodiless.push(candidate) } else { others.push(candidate) }
            });
            self.census.owns(owner, bodiless.len() + others.len() - before);
            self.rooms.push((Arc::downgrade(&room), owner));
        }
        let owned: Vec<usize> =
            self.rooms.iter().map(|(_, owner)| self.census.held(*owner, None).owner).collect();
        for candidate in bodiless.iter_mut().chain(&mut others) {
            let owner = owned.get(candidate.room).copied().unwrap_or_default();
            candidate.load = Held { owner, ..self.census.held(None, candidate.seated.visitor) }.load();
        }
        (self.bodiless, self.others) = (bodiless.into(), others.into());
    }

    /// Takes a place from who is next to give one up to this newcomer, and says how far that visit had come.
    pub(super) fn give_way(
        &mut self,
        pool: &Pool,
        room: &Room,
        claim: Claim,
        willing: Willing,
    ) -> Option<Stage> {
        let owner = room.owner_in(pool);
        let newcomer = self.census.with(owner, claim.visitor, pool.share_of_a_visitor());
        let stage = self.next_below(newcomer, pool, willing)?;
        self.census.owns(owner, 1);
        self.census.visits(claim.visitor);
        Some(stage)
    }

    fn next_below(&mut self, newcomer: Held, pool: &Pool, willing: Willing) -> Option<Stage> {
        let Self { census, rooms, bodiless, others, .. } = self;
        let others = (willing == Willing::Fairly).then_some(others);
        for list in std::iter::once(bodiless).chain(others) {
            while let Some(next) = list.peek() {
                let (room, owner) = rooms.get(next.room)?;
                let held = census.held(*owner, next.seated.visitor);
                if !next.is_stale && !held.yields_to(newcomer) {
                    break;
                }
                let next = list.pop()?;
                census.discount(*owner, next.seated.visitor);
                if room.upgrade().is_some_and(|holder| holder.take_from(&next.seated, pool)) {
                    return Some(next.seated.stage);
                }
            }
        }
        None
    }
}

/// Counts who holds what of a pool.
pub(super) fn census(pool: &Pool) -> Census {
    let mut census = Census::default();
    for room in pool.rooms() {
        let mut places = 0;
        room.for_each(|seated| {
            census.visits(seated.visitor);
            places += 1;
        });
        census.owns(room.owner_in(pool), places);
    }
    census
}
