//! Who gives way to whom. Pure.

use std::cmp::Reverse;

/// What one holder has of a pool: the places of the client (or service) that it goes to, and those of the visitor
/// that it comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) owner: usize,
    pub(super) visitor: usize,
    /// Those of the visitor's IPv6 /56, where these are more than a /56 may have; otherwise none.
    pub(super) in_56: usize,
    /// The same of its /48.
    pub(super) in_48: usize,
}

/// Whom a newcomer is compared with. What two have in common is no difference between them, so it is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    /// Everybody in the pool.
    All,
    /// Those who visit the same client, or service.
    SameOwner,
    /// Of these, those of the same /48.
    Same48,
    /// Of these, those of the same /56.
    Same56,
}

/// Places that a holder has at least when it is made to give one up for its share alone. A browser opens six
/// connections.
pub(super) const LEAST_HELD: usize = 8;

/// A visitor's share of a pool is a quarter of its owner's: a quarter, and a sixteenth, of all.
pub(super) const VISITORS_IN_A_SHARE: usize = 4;

/// The same of a /56 that has more than it may have. A /48 weighs as much as an owner.
const PREFIXES_IN_A_SHARE: usize = 2;

/// What a /56 may have of a pool while others wait: an eighth. Most providers give one to each customer (RIPE-690).
pub(super) fn most_in_56(pool: usize) -> usize {
    (pool / 8).max(LEAST_HELD)
}

/// The same of a /48, which may be a company or all the telephones of a town: a quarter.
pub(super) fn most_in_48(pool: usize) -> usize {
    (pool / 4).max(LEAST_HELD)
}

impl Held {
    /// What counts among those of `scope`.
    pub(super) fn within(self, scope: Scope) -> Self {
        let Self { visitor, in_56, .. } = self;
        match scope {
            Scope::All => self,
            Scope::SameOwner => Self { owner: 0, ..self },
            Scope::Same48 => Self { visitor, in_56, ..Self::default() },
            Scope::Same56 => Self { visitor, ..Self::default() },
        }
    }

    /// How far a holder has filled its share, whichever of them it has filled furthest. Only comparisons mean
    /// anything.
    pub(super) fn load(self) -> usize {
        let visitor = self.visitor.saturating_mul(VISITORS_IN_A_SHARE);
        let prefixes = self.in_56.saturating_mul(PREFIXES_IN_A_SHARE).max(self.in_48);
        self.owner.max(visitor).max(prefixes)
    }

    /// True when it has so much that its share alone is a reason to give some up.
    pub(super) fn has_much(self) -> bool {
        self.owner.max(self.visitor).max(self.in_56).max(self.in_48) >= LEAST_HELD
    }

    /// True when a holder with so much has far more than a newcomer would have, who would then have `newcomer`.
    ///
    /// It must be more than twice as much, so that equals take nothing from each other, and what one gave up is not
    /// taken back. Of two places one is given to a visitor who has none, and both have one.
    pub(super) fn outweighs(self, newcomer: Self) -> bool {
        let (load, twice) = (self.load(), newcomer.load().saturating_mul(2));
        load > twice || (load == twice && newcomer.visitor <= 1 && self.visitor >= 2)
    }

    /// True when it gives a place to a newcomer who would then have `newcomer`, whoever else there is: it outweighs
    /// him, and has more than a browser needs.
    pub(super) fn yields_to(self, newcomer: Self) -> bool {
        self.has_much() && self.outweighs(newcomer)
    }
}

/// How far a visit has come; what is lost when it is broken off grows from one to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Nothing of the request's body has come.
    AwaitsBody,
    /// The service has not begun its answer.
    Unanswered,
    /// Bytes flow, or may flow again.
    Flows,
}

/// The order in which the visits of one holder give way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Harm {
    /// The service can have done nothing yet; the one that keeps it waiting longest first.
    NoBody { begun: (u32, u64) },
    /// The service may have begun; the one with the least work in it, the newest, first.
    NoAnswer { begun: Reverse<(u32, u64)> },
    /// The one that has moved nothing for longest first, so that what moves is last.
    Broken { moved: u32 },
}

impl Harm {
    /// `begun` goes up from visit to visit, `moved` from tick to tick.
    pub(super) fn of(stage: Stage, begun: (u32, u64), moved: u32) -> Self {
        match stage {
            Stage::AwaitsBody => Self::NoBody { begun },
            Stage::Unanswered => Self::NoAnswer { begun: Reverse(begun) },
            Stage::Flows => Self::Broken { moved },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(owner: usize, visitor: usize) -> Held {
        Held { owner, visitor, ..Held::default() }
    }

    #[test]
    fn a_client_or_a_visitor_with_much_gives_way_to_one_with_little() {
        let newcomer = held(1, 1);
        assert!(held(8192, 1).yields_to(newcomer), "a client with all");
        assert!(held(10, 8192).yields_to(newcomer), "a visitor with all, over many clients");
        // The visitor of a busy client takes from a visitor that has more, and not from a client that has less.
        assert!(held(80, 8000).yields_to(held(100, 1)));
        assert!(!held(80, 1).yields_to(held(100, 1)));
        // A visitor of a client that has everything takes nothing from a visitor of another.
        assert!(!held(10, 10).yields_to(held(8000, 1)));
    }

    #[test]
    fn equals_and_those_with_little_give_nothing_up() {
        assert!(!held(100, 1).yields_to(held(100, 1)));
        assert!(!held(100, 1).yields_to(held(50, 1)), "twice as much is not more than twice");
        assert!(held(101, 1).yields_to(held(50, 1)));
        assert!(!held(7, 7).yields_to(held(1, 1)), "no browser is cut for another");
        // After it has given one up, it does not get it back.
        for (more, less) in [(100, 1), (40, 10), (21, 10)] {
            assert!(held(0, more).yields_to(held(0, less)));
            assert!(!held(0, less).yields_to(held(0, more)));
        }
    }

    #[test]
    fn what_gives_way_first_is_what_has_the_least_to_lose() {
        let mut all = [
            Harm::of(Stage::Flows, (0, 1), 9),
            Harm::of(Stage::Unanswered, (0, 3), 0),
            Harm::of(Stage::AwaitsBody, (0, 7), 0),
            Harm::of(Stage::Flows, (0, 2), 4),
            Harm::of(Stage::Unanswered, (0, 8), 0),
            Harm::of(Stage::AwaitsBody, (0, 5), 0),
        ];
        all.sort_unstable();
        assert_eq!(
            all,
            [
                Harm::NoBody { begun: (0, 5) },
                Harm::NoBody { begun: (0, 7) },
                Harm::NoAnswer { begun: Reverse((0, 8)) },
                Harm::NoAnswer { begun: Reverse((0, 3)) },
                Harm::Broken { moved: 4 },
                Harm::Broken { moved: 9 },
            ]
        );
    }
}
