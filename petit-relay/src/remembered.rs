//! A table of whoever has come by lately. It forgets by itself those that have been quiet, a whole table at a time
//! and so rarely that each newcomer pays the same, however many are remembered.

use std::collections::HashMap;
use std::hash::Hash;

use petit_engine::limits;

/// What is remembered of each key.
#[derive(Debug)]
pub(super) struct Remembered<K, V> {
    table: HashMap<K, V>,
    /// The size at which room is made.
    full_at: usize,
}

/// How much room is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    /// Those are to go that have been quiet.
    Some,
    /// Those have not been enough: all are to go that can be done without.
    More,
}

impl<K, V> Default for Remembered<K, V> {
    fn default() -> Self {
        Self { table: HashMap::new(), full_at: limits::ADDRESSES }
    }
}

impl<K: Eq + Hash, V> Remembered<K, V> {
    /// What is remembered of a key, made anew for one that is not. When the table is full, room is made first, by
    /// asking `keep` of each entry.
    pub(super) fn entry(
        &mut self,
        key: K,
        keep: impl Fn(&V, Need) -> bool,
        new: impl FnOnce() -> V,
    ) -> &mut V {
        self.entry_of(key, |_| (), keep, new)
    }

    /// As [`Self::entry`], of keys that belong to groups: where those that have been quiet are not enough, room is made
    /// in the groups that have more than an equal share, so that no crowd of one makes others be forgotten.
    pub(super) fn entry_of<G: Eq + Hash>(
        &mut self,
        key: K,
        group: impl Fn(&K) -> G,
        keep: impl Fn(&V, Need) -> bool,
        new: impl FnOnce() -> V,
    ) -> &mut V {
        if self.table.len() >= self.full_at && !self.table.contains_key(&key) {
            self.make_room(group, keep);
        }
        self.table.entry(key).or_insert_with(new)
    }

    pub(super) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.table.get_mut(key)
    }

    pub(super) fn remove(&mut self, key: &K) {
        self.table.remove(key);
    }

    /// Doubling makes it amortised: between two walks over n entries at least n newcomers come.
    fn make_room<G: Eq + Hash>(&mut self, group: impl Fn(&K) -> G, keep: impl Fn(&V, Need) -> bool) {
        self.table.retain(|_, value| keep(value, Need::Some));
        if self.table.len() > self.full_at / 2 {
            let mut sizes = HashMap::<G, usize>::new();
            self.table.keys().for_each(|key| *sizes.entry(group(key)).or_default() += 1);
            let share = self.full_at / 2 / sizes.len().max(1);
            let is_large = |key: &K| sizes.get(&group(key)).is_some_and(|size| *size > share);
            self.table.retain(|key, value| !is_large(key) || keep(value, Need::More));
        }
        self.full_at = (2 * self.table.len()).max(limits::ADDRESSES);
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.table.len()
    }

    #[cfg(test)]
    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = &mut V> {
        self.table.values_mut()
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn a_newcomer_costs_the_same_however_many_are_remembered() {
        let mut table = Remembered::default();
        let asked = Cell::new(0_usize);
        let keep = |_: &(), _| {
            asked.set(asked.get() + 1);
            true // each has something open
        };
        let newcomers = 30 * limits::ADDRESSES;
        for number in 0..newcomers {
            table.entry(number, keep, || ());
        }
        assert_eq!(table.len(), newcomers, "what must be kept is kept");
        assert!(asked.get() < 4 * newcomers, "{} looks for {newcomers} newcomers", asked.get());
        let before = asked.get();
        for number in 0..newcomers {
            table.entry(number, keep, || ());
        }
        assert_eq!(asked.get(), before, "one that is known is no newcomer");
    }

    #[test]
    fn those_who_have_been_quiet_go_first_and_others_when_that_is_not_enough() {
        let mut table = Remembered::default();
        // Of three, one is quiet and one has something open.
        let keep = |value: &usize, need| match (value % 3, need) {
            (0, _) => false,
            (1, need) => need == Need::Some,
            _ => true,
        };
        for number in 0..=limits::ADDRESSES {
            table.entry(number, keep, || number);
        }
        let kept: Vec<usize> = table.values_mut().map(|value| *value % 3).collect();
        assert!(kept.len() <= limits::ADDRESSES / 3 + 1, "{}", kept.len());
        assert!(!kept.iter().any(|it| *it == 1 && limits::ADDRESSES % 3 != 1));
    }
}
