//! Who holds what of a pool, and in which order it is given up. Made only when a pool is short, and good for a moment,
//! so that a crowd that is turned away does not cost a look at everything each.

use std::cmp::{Ordering, Reverse};
use std::collections::binary_heap::PeekMut;
use std::collections::{BinaryHeap, HashMap};
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Arc, Weak};

use ipnet::Ipv6Net;
use petit_engine::limits;
use tokio::time::Instant;

use super::super::networks::prefixes;
use super::member::{Claim, Member, Seated};
use super::place::Clock;
use super::share::{Harm, Held, LEAST_HELD, Scope, Stage, most_in_48, most_in_56};
use super::shortage::{Holder, Scarce};

/// What a holder is to give up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Willing {
    /// Only what no service has been able to begin.
    WithoutHarm,
    /// What it holds beyond its share.
    Fairly,
}

/// How many places each holder has. Holders have numbers, so that each visit's are looked up once.
#[derive(Debug, Default)]
pub(super) struct Census {
    pub(super) owners: Counts<Holder>,
    pub(super) visitors: Counts<IpAddr>,
    /// The /56s and /48s of IPv6 visitors.
    prefixes: Counts<Ipv6Net>,
    /// The numbers of these, by the visitor's number.
    prefixes_of: Vec<Option<[usize; 2]>>,
    /// Places of visitors that have no share.
    pub(super) exempt: usize,
    /// Places that there are.
    most: usize,
}

/// How many places each of some kind has.
#[derive(Debug)]
pub(super) struct Counts<K> {
    numbers: HashMap<K, usize>,
    held: Vec<usize>,
}

impl<K> Default for Counts<K> {
    fn default() -> Self {
        Self { numbers: HashMap::new(), held: Vec::new() }
    }
}

impl<K: Copy + Eq + Hash> Counts<K> {
    fn number(&mut self, key: K) -> usize {
        let next = self.held.len();
        let number = *self.numbers.entry(key).or_insert(next);
        if number == next {
            self.held.push(0);
        }
        number
    }

    fn get(&self, number: usize) -> usize {
        self.held.get(number).copied().unwrap_or_default()
    }

    fn change(&mut self, number: usize, change: impl FnOnce(usize) -> usize) {
        if let Some(held) = self.held.get_mut(number) {
            *held = change(*held);
        }
    }

    /// All of them, with what they have.
    pub(super) fn all(&self) -> impl Iterator<Item = (K, usize)> {
        self.numbers.iter().map(|(key, number)| (*key, self.get(*number)))
    }
}

/// Who somebody is, as far as places are concerned: the numbers of a census.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Who {
    owner: Option<usize>,
    /// `None` when it has no share of its own.
    visitor: Option<usize>,
}

impl Census {
    fn owner(&mut self, owner: Option<Holder>) -> Option<usize> {
        owner.map(|owner| self.owners.number(owner))
    }

    fn visitor(&mut self, visitor: Option<IpAddr>) -> Option<usize> {
        let visitor = visitor?;
        let number = self.visitors.number(visitor);
        if number == self.prefixes_of.len() {
            let prefixes = prefixes(visitor).map(|all| all.map(|prefix| self.prefixes.number(prefix)));
            self.prefixes_of.push(prefixes);
        }
        Some(number)
    }

    /// The /56 and the /48 that somebody is of, where there are such.
    fn prefixes(&self, who: Who) -> Option<[usize; 2]> {
        who.visitor.and_then(|visitor| self.prefixes_of.get(visitor).copied().flatten())
    }

    /// Somebody has more, or less.
    fn change(&mut self, who: Who, change: impl Fn(usize) -> usize) {
        if let Some(owner) = who.owner {
            self.owners.change(owner, &change);
        }
        if let Some(visitor) = who.visitor {
            self.visitors.change(visitor, &change);
        }
        for prefix in self.prefixes(who).into_iter().flatten() {
            self.prefixes.change(prefix, &change);
        }
    }

    fn add(&mut self, who: Who, places: usize) {
        self.change(who, |held| held + places);
        self.exempt += if who.visitor.is_none() { places } else { 0 };
    }

    /// A holder has one less.
    fn discount(&mut self, who: Who) {
        self.change(who, |held| held.saturating_sub(1));
    }

    /// What a holder has.
    fn held(&self, who: Who) -> Held {
        self.held_and(who, 0)
    }

    /// What a newcomer would have. Visitors without a share are many behind one address: together they claim no more
    /// than the share of one.
    fn with(&self, who: Who, share: usize) -> Held {
        let held = self.held_and(who, 1);
        let visitor = if who.visitor.is_some() { held.visitor } else { (self.exempt + 1).min(share) };
        Held { visitor, ..held }
    }

    /// What somebody would have with so many more.
    fn held_and(&self, who: Who, more: usize) -> Held {
        let beyond = |prefix: usize, most: usize| {
            let held = self.prefixes.get(prefix) + more;
            if held > most { held } else { 0 }
        };
        let (in_56, in_48) = self.prefixes(who).map_or((0, 0), |[in_56, in_48]| {
            (beyond(in_56, most_in_56(self.most)), beyond(in_48, most_in_48(self.most)))
        });
        Held {
            owner: who.owner.map_or(0, |owner| self.owners.get(owner) + more),
            visitor: who.visitor.map_or(0, |visitor| self.visitors.get(visitor) + more),
            in_56,
            in_48,
        }
    }
}

/// A visit that might give way.
#[derive(Debug)]
struct Candidate {
    /// It has been waiting for a body for so long that it counts as holding nothing.
    is_stale: bool,
    harm: Harm,
    /// Where it is among the ranking's rooms.
    room: usize,
    seated: Seated,
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
    /// The greatest is the next to give way.
    fn cmp(&self, other: &Self) -> Ordering {
        (self.is_stale, Reverse(self.harm)).cmp(&(other.is_stale, Reverse(other.harm)))
    }
}

/// The visits of one visitor to one owner, of one kind.
#[derive(Debug)]
struct Group {
    who: Who,
    kind: VisitKind,
    /// One of them is no burst any more.
    is_settled: bool,
    visits: BinaryHeap<Candidate>,
}

/// What a visit does, as far as it matters who gives way first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum VisitKind {
    /// It waits for a request's body.
    Bodiless,
    Other,
}

/// A group in the order in which they give way: the greatest is next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Turn {
    is_stale: bool,
    may_yield: bool,
    load: usize,
    harm: Reverse<Harm>,
    /// What it weighs for what it has in common with others. It sinks for all of these at once, so it is looked at
    /// again only when it decides: otherwise one that gave up little harm would stand behind one with much.
    common: usize,
    group: usize,
}

/// Those who are asked for a place together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Among {
    All,
    Owner(usize),
    In48(Option<usize>, usize),
    In56(Option<usize>, usize),
}

impl Among {
    fn scope(self) -> Scope {
        match self {
            Self::All => Scope::All,
            Self::Owner(_) => Scope::SameOwner,
            Self::In48(..) => Scope::Same48,
            Self::In56(..) => Scope::Same56,
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Ranking {
    good_until: Option<Instant>,
    census: Census,
    /// So many hold something that nobody is spared for holding little.
    are_many: bool,
    /// Of which pool it is.
    pool: Option<Scarce>,
    rooms: Vec<Weak<dyn Member>>,
    groups: Vec<Group>,
    by_owner: HashMap<Option<usize>, Vec<usize>>,
    /// Made when they are asked for.
    turns: HashMap<(Among, VisitKind), BinaryHeap<Turn>>,
    /// So often turns may be put right until the next count, so that no crowd costs more than a count does.
    amends: usize,
}

impl Ranking {
    /// Counts anew what is too old. `pool` has `most` places, and is shared by `members`.
    pub(super) fn refresh(
        &mut self,
        pool: Scarce,
        most: usize,
        members: impl FnOnce() -> Vec<Arc<dyn Member>>,
    ) {
        let now = Instant::now();
        if self.good_until.is_some_and(|until| now < until) {
            return;
        }
        *self = Self { pool: Some(pool), ..Self::default() };
        self.census.most = most;
        let mut found: HashMap<(Who, VisitKind), usize> = HashMap::new();
        for room in members() {
            let owner = self.census.owner(room.owner_in(pool));
            let tick = room.now();
            room.for_each(&mut |seated| {
                let who = Who { owner, visitor: self.census.visitor(seated.visitor) };
                let kind =
                    if seated.stage == Stage::AwaitsBody { VisitKind::Bodiless } else { VisitKind::Other };
                let index = *found.entry((who, kind)).or_insert(self.groups.len());
                if index == self.groups.len() {
                    let visits = BinaryHeap::with_capacity(1);
                    self.groups.push(Group { who, kind, is_settled: false, visits });
                    self.by_owner.entry(owner).or_default().push(index);
                }
                let lasted = Clock::TICK * tick.saturating_sub(seated.begun_at);
                if let Some(group) = self.groups.get_mut(index) {
                    group.is_settled |= lasted >= limits::SPARED_FOR;
                    group.visits.push(Candidate {
                        is_stale: kind == VisitKind::Bodiless && lasted >= limits::BODY_YIELDS_AFTER,
                        harm: Harm::of(seated.stage, (seated.begun_at, seated.begun), seated.moved),
                        room: self.rooms.len(),
                        seated,
                    });
                }
            });
            self.rooms.push(Arc::downgrade(&room));
        }
        for group in &self.groups {
            self.census.add(group.who, group.visits.len());
        }
        self.are_many = self.census.visitors.held.len() >= LEAST_HELD;
        self.amends = self.groups.len();
        let end = Instant::now();
        let rest = end.duration_since(now) * limits::RANKING_REST;
        self.good_until = Some(end + rest.max(limits::RANKING_FRESH));
    }

    /// Takes a place from who is next to give one up to this newcomer, and says how far that visit had come.
    pub(super) fn give_way(
        &mut self,
        owner: Option<Holder>,
        claim: Claim,
        share_of_a_visitor: usize,
        willing: Willing,
    ) -> Option<Stage> {
        let owner = self.census.owner(owner);
        let who = Who { owner, visitor: self.census.visitor(claim.visitor) };
        let newcomer = self.census.with(who, share_of_a_visitor);
        let stage = self.next_below(who, newcomer, willing)?;
        self.census.add(who, 1);
        Some(stage)
    }

    /// Asks everybody, and then those who have more and more in common with the newcomer.
    fn next_below(&mut self, who: Who, newcomer: Held, willing: Willing) -> Option<Stage> {
        // A prefix with no more than its share weighs nothing that could be left out.
        let prefixes = self.census.prefixes(who);
        let among = [
            Some(Among::All),
            who.owner.map(Among::Owner),
            prefixes.filter(|_| newcomer.in_48 > 0).map(|[_, in_48]| Among::In48(who.owner, in_48)),
            prefixes.filter(|_| newcomer.in_56 > 0).map(|[in_56, _]| Among::In56(who.owner, in_56)),
        ];
        let others = (willing == Willing::Fairly).then_some(VisitKind::Other);
        for kind in std::iter::once(VisitKind::Bodiless).chain(others) {
            for among in among.into_iter().flatten() {
                if let Some(stage) = self.next_among(among, kind, newcomer) {
                    return Some(stage);
                }
            }
        }
        None
    }

    fn next_among(&mut self, among: Among, kind: VisitKind, newcomer: Held) -> Option<Stage> {
        let scope = among.scope();
        let newcomer = newcomer.within(scope);
        self.make_turns(among, kind);
        let Self { census, are_many, pool, rooms, groups, turns, amends, .. } = self;
        let pool = (*pool)?;
        let turns = turns.get_mut(&(among, kind))?;
        while let Some(mut turn) = turns.peek_mut() {
            let group = groups.get_mut(turn.group)?;
            let Some(next) = group.visits.peek() else {
                PeekMut::pop(turn);
                continue;
            };
            let held = census.held(group.who).within(scope);
            let is_spared = !*are_many && !group.is_settled;
            let yields = if is_spared { held.yields_to(newcomer) } else { held.outweighs(newcomer) };
            if !next.is_stale && !yields {
                let amended = Turn::of(turn.group, group, held, *are_many);
                if *amends == 0 || amended.is_none_or(|amended| amended >= *turn) {
                    return None; // and nobody below weighs more
                }
                *amends -= 1;
                if let Some(amended) = amended {
                    *turn = amended;
                }
                continue;
            }
            let visit = group.visits.pop()?;
            census.discount(group.who);
            let held = census.held(group.who).within(scope);
            match Turn::of(turn.group, group, held, *are_many) {
                Some(after) => {
                    let load = Held { visitor: held.visitor, ..Held::default() }.load().max(turn.common);
                    *turn = Turn { load, common: turn.common, ..after };
                    drop(turn);
                }
                None => drop(PeekMut::pop(turn)),
            }
            let room = rooms.get(visit.room).and_then(Weak::upgrade);
            if room.is_some_and(|room| room.take_from(&visit.seated, pool)) {
                return Some(visit.seated.stage);
            }
        }
        None
    }

    /// Puts groups into their order, unless they are in it.
    fn make_turns(&mut self, among: Among, kind: VisitKind) {
        let Self { census, are_many, groups, by_owner, turns, .. } = self;
        turns.entry((among, kind)).or_insert_with(|| {
            let turn = |index: usize| {
                let group = groups.get(index).filter(|group| group.kind == kind)?;
                if let Among::In48(_, prefix) | Among::In56(_, prefix) = among
                    && !census.prefixes(group.who).is_some_and(|prefixes| prefixes.contains(&prefix))
                {
                    return None;
                }
                Turn::of(index, group, census.held(group.who).within(among.scope()), *are_many)
            };
            let of = |owner| by_owner.get(&owner).into_iter().flatten().copied().filter_map(turn).collect();
            match among {
                Among::All => (0..groups.len()).filter_map(turn).collect(),
                Among::Owner(owner) => of(Some(owner)),
                Among::In48(owner, _) | Among::In56(owner, _) => of(owner),
            }
        });
    }
}

impl Turn {
    /// When it is the turn of a group that has so much; `None` when it has no visits.
    fn of(index: usize, group: &Group, held: Held, are_many: bool) -> Option<Self> {
        let next = group.visits.peek()?;
        Some(Self {
            is_stale: next.is_stale,
            may_yield: are_many || group.is_settled || held.has_much(),
            load: held.load(),
            harm: Reverse(next.harm),
            common: Held { visitor: 0, ..held }.load(),
            group: index,
        })
    }
}

/// Counts who holds what of a pool of `most` places that `members` share.
pub(super) fn census(pool: Scarce, most: usize, members: &[Arc<dyn Member>]) -> Census {
    let mut census = Census { most, ..Census::default() };
    for room in members {
        let owner = census.owner(room.owner_in(pool));
        room.for_each(&mut |seated| {
            let visitor = census.visitor(seated.visitor);
            census.add(Who { owner, visitor }, 1);
        });
    }
    census
}
