//! Domains of customers' own: as many as there are aliases that are whole domains, so they take turns at a bounded
//! pace. A domain is known here once an operator has made it an alias and its service is offered; it is forgotten
//! when that is no longer so.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Instant, SystemTime};

use petit_engine::name::Alias;
use petit_engine::proto::control::FrontState;
use tokio::sync::Notify;

use super::track::Track;
use super::view::{FrontKind, FrontView, view};

/// What is known of the domains.
#[derive(Debug, Default)]
pub(super) struct Domains {
    table: Mutex<Table>,
    pub(super) added: Notify,
}

#[derive(Debug, Default)]
pub(super) struct Table {
    pub(super) tracks: HashMap<Alias, Track>,
    /// The one that was tried the longest ago comes first.
    turns: VecDeque<Alias>,
}

impl Domains {
    pub(super) fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn add(&self, name: &Alias) {
        let mut table = self.table();
        let table = &mut *table;
        table.tracks.entry(name.clone()).or_insert_with(|| {
            table.turns.push_front(name.clone());
            self.added.notify_one();
            Track::new(Instant::now())
        });
    }

    pub(super) fn forget(&self, name: &Alias) {
        let mut table = self.table();
        table.tracks.remove(name);
        table.turns.retain(|turn| turn != name);
    }

    /// Forgets what was found of all of them; each is tried when it is its turn.
    pub(super) fn begin_anew(&self) {
        let now = Instant::now();
        self.table().tracks.values_mut().for_each(|track| *track = Track::new(now));
    }

    /// How a domain is, and since when; `None` while it is not tried.
    pub(super) fn state(&self, name: &Alias) -> Option<(FrontState, Instant)> {
        self.table().tracks.get(name).map(|track| (track.state(), track.since()))
    }

    pub(super) fn views(&self, now: (Instant, SystemTime)) -> Vec<FrontView> {
        let table = self.table();
        let view = |(name, track): (&Alias, &Track)| view(FrontKind::Domain(name.clone()), track, now);
        let mut views: Vec<FrontView> = table.tracks.iter().map(view).collect();
        views.sort_by(|one, other| one.front.cmp(&other.front));
        views
    }

    /// Takes the domain whose turn it is. It is handed to the end of the line.
    pub(super) fn next(&self, now: Instant) -> Option<Alias> {
        let mut table = self.table();
        let name = table.turns.front()?.clone();
        if !table.tracks.get_mut(&name)?.begin(now) {
            return None;
        }
        table.turns.rotate_left(1);
        Some(name)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.table().turns.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use petit_engine::limits;

    use super::*;

    #[test]
    fn an_attempt_that_takes_long_is_not_begun_again_meanwhile() {
        let (domains, start) = (Domains::default(), Instant::now());
        let names: Vec<Alias> =
            ["one.example.com", "two.example.com"].map(|name| name.parse().unwrap()).into();
        names.iter().for_each(|name| domains.add(name));
        // Nothing is recorded: none of the attempts has come to its end.
        let until = |end| {
            let moments = (0..end).map(|tick| start + tick * limits::FRONT_NAMES_PACE);
            moments.filter_map(|now| domains.next(now)).collect::<Vec<_>>()
        };
        let pace = (limits::FRONT_EVERY.as_secs() / limits::FRONT_NAMES_PACE.as_secs()) as u32;
        let mut begun = until(pace);
        begun.sort();
        assert_eq!(begun, names, "each of them once");
        let again: Vec<_> = (pace..2 * pace)
            .filter_map(|tick| domains.next(start + tick * limits::FRONT_NAMES_PACE))
            .collect();
        assert_eq!(again.len(), 2, "and when it is due: {again:?}");
    }
}
