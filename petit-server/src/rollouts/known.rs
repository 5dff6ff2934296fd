//! What is known of roll-outs and clients, in memory.

use std::collections::{HashMap, HashSet};
use std::time::Instant;

use petit_engine::name::DeviceId;

use super::gate::{Client, Presence};
use crate::registry::{Rollout, StoredReport, TargetVersions};
use crate::releases::HandedOut;

#[derive(Default)]
pub(super) struct Known {
    /// One for each release; the one that was started last is the last.
    pub(super) rollouts: Vec<Rollout>,
    pub(super) reports: HashMap<DeviceId, StoredReport>,
    /// Since when this process knows what a client has said last.
    pub(super) known_since: HashMap<DeviceId, Instant>,
    /// What clients have asked for.
    pub(super) targets: HashMap<DeviceId, String>,
    pub(super) unsaved: HashSet<DeviceId>,
    pub(super) saved: Option<Instant>,
    /// Who has been there since the roll-out was started or resumed.
    pub(super) seen: HashSet<DeviceId>,
}

/// A client and the first ring that it is in.
pub(super) type InRing = (DeviceId, usize);

impl Known {
    pub(super) fn last(&self) -> Option<&Rollout> {
        self.rollouts.last()
    }

    pub(super) fn of(&self, release: &HandedOut) -> Option<&Rollout> {
        self.rollouts.iter().find(|rollout| is_of(rollout, Some(release)))
    }

    /// Takes note of what a client says, or has said.
    pub(super) fn put(&mut self, report: StoredReport) {
        self.known_since.insert(report.device, Instant::now());
        self.reports.insert(report.device, report);
    }

    pub(super) fn set(&mut self, rollout: Rollout) {
        let begins_anew = self.last().is_none_or(|last| {
            (&last.release, last.started, last.resumed)
                != (&rollout.release, rollout.started, rollout.resumed)
        });
        self.rollouts.retain(|known| known.release.release != rollout.release.release);
        self.rollouts.push(rollout);
        if begins_anew {
            self.seen.clear();
        }
    }

    /// Clients as a roll-out looks at them.
    pub(super) fn clients(
        &self,
        all: &[InRing],
        rollout: &Rollout,
        handed_out: Option<&HandedOut>,
        online: &HashSet<DeviceId>,
    ) -> Vec<(DeviceId, Client)> {
        let versions = match handed_out.filter(|_| is_of(rollout, handed_out)) {
            Some(release) => &release.versions,
            None => &rollout.versions,
        };
        let news = News { versions, before: self.before(rollout) };
        let client = |(device, ring): &InRing| {
            let said = self.reports.get(device).filter(|said| news.is_of_this(said));
            let presence = if online.contains(device) {
                Presence::Online
            } else if self.seen.contains(device) {
                Presence::Gone
            } else {
                Presence::Unseen
            };
            let had_before = said.is_some_and(|said| news.is_none_for(said));
            let said = said.map(|said| (said.state, said.at));
            let known_for = self.known_since.get(device).map(Instant::elapsed).unwrap_or_default();
            (*device, Client { ring: *ring, said, known_for, had_before, presence })
        };
        all.iter().map(client).collect()
    }

    /// What everybody was to have before a roll-out.
    fn before(&self, rollout: &Rollout) -> Vec<&TargetVersions> {
        let earlier = self.rollouts.iter().take_while(|earlier| earlier.release != rollout.release);
        earlier.filter(|earlier| earlier.reached_all()).map(|earlier| &earlier.versions).collect()
    }
}

/// What a release brings, and to whom.
struct News<'a> {
    versions: &'a TargetVersions,
    before: Vec<&'a TargetVersions>,
}

impl News<'_> {
    /// The targets for which a client may have said something.
    fn targets<'a>(&'a self, said: &'a StoredReport) -> impl Iterator<Item = &'a String> {
        // A target that the release does not have is one from before it was reinstalled, perhaps.
        let target = said.target.as_ref().filter(|target| self.versions.contains_key(*target));
        let may_be = move |(of, version): &(&String, &String)| {
            **version == said.version && target.is_none_or(|target| target == *of)
        };
        self.versions.iter().filter(may_be).map(|(of, _)| of)
    }

    fn is_of_this(&self, said: &StoredReport) -> bool {
        self.targets(said).next().is_some()
    }

    fn is_none_for(&self, said: &StoredReport) -> bool {
        let had = |target| self.before.iter().any(|before| before.get(target) == Some(&said.version));
        self.is_of_this(said) && self.targets(said).all(had)
    }
}

pub(super) fn is_of(rollout: &Rollout, handed_out: Option<&HandedOut>) -> bool {
    handed_out.is_some_and(|release| release.content == rollout.release.release)
}
