//! What is known of roll-outs and clients, in memory.

use std::collections::{HashMap, HashSet};
use std::time::Instant;

use petit_engine::name::DeviceId;
use petit_engine::proto::control::UpdateState;

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
    /// When the roll-out was started or resumed last, where this process has done that.
    begun: Option<Instant>,
    /// Since when those that are there now have been, as far as a roll-out has looked.
    there_since: HashMap<DeviceId, Instant>,
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
            self.begun = Some(Instant::now());
        }
    }

    /// Takes note of who is there.
    pub(super) fn sees(&mut self, online: &HashSet<DeviceId>) {
        self.seen.extend(online);
        self.there_since.retain(|device, _| online.contains(device));
        for device in online {
            self.there_since.entry(*device).or_insert_with(Instant::now);
        }
    }

    /// Who is kept out is not there, and nothing that it has begun goes on: when it is let in again it has its time again.
    pub(super) fn forgets_suspended(&mut self, is_suspended: impl Fn(&DeviceId) -> bool) {
        self.seen.retain(|device| !is_suspended(device));
        self.there_since.retain(|device, _| !is_suspended(device));
        for (device, since) in &mut self.known_since {
            if is_suspended(device) {
                *since = Instant::now();
            }
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
            // What it had before the roll-out was started says nothing of that, and neither does who gets nothing by it.
            let is_old = |said: &StoredReport| said.state == UpdateState::Works && said.at < rollout.started;
            let had_before = match said {
                Some(said) => news.is_none_for(said) || is_old(said),
                None => self.targets.get(device).is_some_and(|target| !versions.contains_key(target)),
            };
            let said = said.map(|said| (said.state, said.at));
            let since = |known: &HashMap<DeviceId, Instant>| known.get(device).map(Instant::elapsed);
            let mut known_for = since(&self.known_since).unwrap_or_default();
            if let Some(begun) = self.begun {
                // Whoever resumes it gives a trial its time again, also where the clock jumps after that.
                known_for = known_for.min(begun.elapsed());
            }
            if presence == Presence::Online {
                // A trial goes on where it was when the client is there again.
                known_for = known_for.min(since(&self.there_since).unwrap_or_default());
            }
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
        let target = said.target.as_ref();
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::registry::{ReleaseToRollOut, RolloutState, Timestamp};

    const START: Timestamp = Timestamp(1_800_000_000);
    const HOUR: Duration = Duration::from_secs(3600);

    fn rollout() -> Rollout {
        let versions = [("client-linux", "0.2.1"), ("client-windows", "0.2.0")];
        Rollout {
            release: ReleaseToRollOut { release: "r".to_owned(), counter: 7 },
            versions: versions.map(|(target, version)| (target.to_owned(), version.to_owned())).into(),
            rings: "100%".parse().unwrap(),
            open: 1,
            soak: HOUR,
            state: RolloutState::Running,
            started: START,
            resumed: None,
            opened: START,
        }
    }

    fn report(target: &str, version: &str, state: UpdateState, at: Timestamp) -> StoredReport {
        let device = DeviceId::random().unwrap();
        StoredReport {
            device,
            counter: 7,
            version: version.to_owned(),
            state,
            at,
            target: Some(target.to_owned()),
        }
    }

    fn client(known: &Known, device: DeviceId, online: &HashSet<DeviceId>) -> Client {
        let clients = known.clients(&[(device, 0)], &rollout(), None, online);
        clients.into_iter().next().unwrap().1
    }

    #[test]
    fn the_time_of_a_trial_goes_on_when_the_client_is_there_again() {
        let mut known = Known::default();
        let trial = report("client-linux", "0.2.1", UpdateState::OnTrial, START);
        let device = trial.device;
        known.put(trial);
        let (now, online) = (Instant::now(), HashSet::from([device]));
        known.known_since.insert(device, now.checked_sub(HOUR * 10).unwrap());
        assert!(client(&known, device, &HashSet::new()).known_for >= HOUR * 10, "it is away");
        known.sees(&online);
        assert!(client(&known, device, &online).known_for < HOUR, "it is there again, for a moment");
        known.there_since.insert(device, now.checked_sub(HOUR).unwrap());
        known.sees(&online);
        assert!(client(&known, device, &online).known_for >= HOUR);
        known.sees(&HashSet::new());
        known.sees(&online);
        assert!(client(&known, device, &online).known_for < HOUR, "and once more");
    }

    #[test]
    fn a_trial_has_its_time_again_from_when_the_roll_out_was_resumed() {
        let mut known = Known::default();
        let trial = report("client-linux", "0.2.1", UpdateState::OnTrial, START);
        let device = trial.device;
        known.put(trial);
        let long_ago = Instant::now().checked_sub(HOUR * 10).unwrap();
        known.known_since.insert(device, long_ago);
        known.set(rollout());
        known.begun = Some(long_ago);
        let halted = RolloutState::Halted { reason: String::new(), since: START, by_itself: true };
        known.set(Rollout { state: halted, ..rollout() });
        assert!(client(&known, device, &HashSet::new()).known_for >= HOUR, "a halt begins nothing");
        known.set(Rollout { resumed: Some(START + HOUR), ..rollout() });
        assert!(client(&known, device, &HashSet::new()).known_for < HOUR);
    }

    #[test]
    fn what_worked_before_a_roll_out_was_started_is_no_news() {
        let mut known = Known::default();
        let device = DeviceId::random().unwrap();
        let works = |at| StoredReport { device, ..report("client-windows", "0.2.0", UpdateState::Works, at) };
        for (at, had_before) in [(Timestamp(START.0 - 1), true), (START, false)] {
            known.put(works(at));
            assert_eq!(client(&known, device, &HashSet::new()).had_before, had_before, "{at}");
        }
        // A program that the release does not have says nothing, whatever its version.
        known.put(StoredReport { device, ..report("client-macos", "0.2.1", UpdateState::Works, START) });
        let found = client(&known, device, &HashSet::new());
        assert_eq!((found.said, found.had_before), (None, false));
        known.targets.insert(device, "client-macos".to_owned());
        assert!(client(&known, device, &HashSet::new()).had_before, "nobody waits for it");
    }
}
