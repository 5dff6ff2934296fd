//! Roll-outs: which clients hear of the release that is handed out, and what becomes of it there.
//!
//! A release that was put there is announced to nobody: people can ask for it by hand. A roll-out announces it to one ring of
//! clients after the other, and its [`gate`] halts it when it does not work for too many. Who is in which ring follows from
//! the client's ID and tags, so nothing is kept of that; what clients say is, because a client that does not come back after
//! an update is what matters most.

pub mod gate;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use petit_engine::BoxFuture;
use petit_engine::name::{DeviceId, Tag};
use petit_engine::proto::control::{Fetch, FetchRefusal, FetchedBy, UpdateReport, UpdateState};
use petit_host::cli::chain;
use petit_relay::{ReleaseFile, Releases};
use tokio::sync::{Notify, watch};

use self::gate::{Client, Presence, Tally, Verdict};
use crate::directory::Directory;
use crate::registry::{
    Actor, ReleaseToRollOut, Rings, Rollout, RolloutStep, StoreError, StoreErrorKind, StoredReport, Timestamp,
};
use crate::releases::{HandedOut, Mirror};

/// How often it is looked whether a roll-out goes on, when no client says anything.
const JUDGE_EVERY: Duration = Duration::from_secs(15);
/// What clients say within this is kept together.
const GATHER: Duration = Duration::from_secs(1);
/// How long whoever asks is kept waiting for a server that begins.
const LOADED_WITHIN: Duration = Duration::from_secs(10);

/// The roll-outs of a server. Cheap to clone.
#[derive(Clone)]
pub struct Rollouts {
    mirror: Mirror,
    directory: Directory,
    known: Arc<RwLock<Known>>,
    /// False until what the registry has was read.
    is_loaded: Arc<AtomicBool>,
    /// How often it has changed who is offered what.
    changes: watch::Sender<u64>,
    /// Rung when a client has said something new.
    said: Arc<Notify>,
}

#[derive(Default)]
struct Known {
    rollout: Option<Rollout>,
    reports: HashMap<DeviceId, StoredReport>,
    unsaved: HashSet<DeviceId>,
    /// Who has been there since the last ring was opened.
    seen: Option<(Timestamp, HashSet<DeviceId>)>,
}

/// How a roll-out stands.
#[derive(Clone, Debug)]
pub struct Standing {
    pub handed_out: Option<HandedOut>,
    pub rollout: Option<RolloutStanding>,
}

/// What has become of the roll-out that was started last.
#[derive(Clone, Debug)]
pub struct RolloutStanding {
    pub rollout: Rollout,
    /// Its release is the one that is handed out.
    pub is_of_this_release: bool,
    pub tally: Tally,
    /// While it is running.
    pub verdict: Option<Verdict>,
    /// Those with whom it has gone wrong.
    pub bad: Vec<StoredReport>,
}

impl Rollouts {
    /// Of what is handed out, for the clients that there are.
    pub fn of(mirror: Mirror, directory: Directory) -> Self {
        Self {
            mirror,
            directory,
            known: Arc::default(),
            is_loaded: Arc::default(),
            changes: watch::Sender::new(0),
            said: Arc::default(),
        }
    }

    /// Begins a roll-out of the release that is handed out; `None` when none is.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn start(
        &self,
        release: &HandedOut,
        (rings, soak): (Rings, Duration),
        actor: Actor,
    ) -> Result<(), StoreError> {
        let release = ReleaseToRollOut { release: release.content.clone(), counter: release.counter };
        let rollout = self.directory.store().start_rollout(release, rings, soak, actor).await?;
        tracing::info!(counter = rollout.release.counter, rings = %rollout.rings, "a roll-out begins");
        self.set(rollout);
        Ok(())
    }

    /// Changes the roll-out that was started last.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn step(&self, step: RolloutStep, actor: Actor) -> Result<(), StoreError> {
        let rollout = self.directory.store().step_rollout(step, actor).await?;
        self.set(rollout);
        Ok(())
    }

    /// How it stands, by what is known now.
    pub fn standing(&self, online: &HashSet<DeviceId>) -> Standing {
        let handed_out = self.mirror.handed_out().borrow().clone();
        let known = self.read();
        let rollout = known.rollout.as_ref().map(|rollout| {
            let clients = self.clients(&known, rollout, handed_out.as_ref(), online);
            let now = Timestamp::now();
            let tally = Tally::of(clients.iter().map(|(_, client)| *client), rollout, now);
            let is_bad = |client: &Client| {
                matches!(client.said, Some((UpdateState::PutBack | UpdateState::Failed, _)))
            };
            let bad = clients.iter().filter(|(_, client)| client.ring < rollout.open && is_bad(client));
            RolloutStanding {
                is_of_this_release: is_of(rollout, handed_out.as_ref()),
                verdict: rollout.is_running().then(|| gate::judge(rollout, &tally, now)),
                tally,
                bad: bad.filter_map(|(device, _)| known.reports.get(device).cloned()).collect(),
                rollout: rollout.clone(),
            }
        });
        Standing { handed_out, rollout }
    }

    /// Keeps what clients say, and opens rings and halts as the gate has it, for as long as the future is polled. Never
    /// ends. `online`: the clients that are there.
    pub async fn watch(&self, online: impl Fn() -> Vec<DeviceId>) {
        while let Err(error) = self.load().await {
            unless_elsewhere(&error, "how releases are rolled out is not known");
            tokio::time::sleep(JUDGE_EVERY).await;
        }
        let mut handed_out = self.mirror.handed_out();
        loop {
            tokio::select! {
                () = tokio::time::sleep(JUDGE_EVERY) => {}
                () = self.said.notified() => tokio::time::sleep(GATHER).await,
                Ok(()) = handed_out.changed() => self.changed(),
            }
            self.save().await;
            self.judge(online().into_iter().collect()).await;
        }
    }

    /// Reads what the registry has, where that was not read yet.
    async fn load(&self) -> Result<(), StoreError> {
        if self.is_loaded.load(Ordering::Acquire) {
            return Ok(());
        }
        let store = Arc::clone(self.directory.store());
        let (rollout, reports) = in_its_own_task(async move { store.rollout().await }).await?;
        {
            let mut known = self.write();
            // Whoever was quicker has read the same, and may have changed it since.
            if self.is_loaded.swap(true, Ordering::AcqRel) {
                return Ok(());
            }
            known.rollout = rollout;
            for report in reports {
                // What was said meanwhile is newer, unless it is the same.
                if known.reports.get(&report.device).is_none_or(|said| said.says_as(&report)) {
                    known.unsaved.remove(&report.device);
                    known.reports.insert(report.device, report);
                }
            }
        }
        self.changed();
        Ok(())
    }

    async fn save(&self) {
        let reports: Vec<StoredReport> = {
            let mut known = self.write();
            let unsaved = std::mem::take(&mut known.unsaved);
            unsaved.iter().filter_map(|device| known.reports.get(device).cloned()).collect()
        };
        if reports.is_empty() {
            return;
        }
        for StoredReport { device, counter, version, state, .. } in &reports {
            tracing::info!(%device, counter, version, ?state, "what has become of a release");
        }
        let (store, saved) = (Arc::clone(self.directory.store()), reports.clone());
        if let Err(error) = in_its_own_task(async move { store.put_reports(saved).await }).await {
            unless_elsewhere(&error, "what clients say of a release was not kept");
            self.write().unsaved.extend(reports.iter().map(|report| report.device));
        }
    }

    async fn judge(&self, online: HashSet<DeviceId>) {
        self.see(&online);
        let Standing { rollout: Some(standing), .. } = self.standing(&online) else { return };
        let RolloutStanding { rollout, is_of_this_release: true, verdict: Some(verdict), .. } = standing
        else {
            return;
        };
        let step = match verdict {
            Verdict::Stay(_) => return,
            Verdict::OpenNext => {
                tracing::info!(
                    counter = rollout.release.counter,
                    open = rollout.open + 1,
                    "the next ring gets the release"
                );
                RolloutStep::OpenNext
            }
            Verdict::Finish => {
                tracing::info!(counter = rollout.release.counter, "the roll-out is done");
                RolloutStep::Finish
            }
            Verdict::Halt(why) => {
                tracing::error!(counter = rollout.release.counter, %why, "the roll-out is halted");
                RolloutStep::Halt { reason: why.to_string() }
            }
        };
        let this = self.clone();
        if let Err(error) = in_its_own_task(async move { this.step(step, Actor::Server).await }).await {
            unless_elsewhere(&error, "the roll-out was not changed");
        }
    }

    /// Takes note of who is there.
    fn see(&self, online: &HashSet<DeviceId>) {
        let mut known = self.write();
        let Some(opened) = known.rollout.as_ref().map(|rollout| rollout.opened) else { return };
        match &mut known.seen {
            Some((since, seen)) if *since == opened => seen.extend(online),
            seen => *seen = Some((opened, online.clone())),
        }
    }

    /// All clients that are registered, as a roll-out looks at them.
    fn clients(
        &self,
        known: &Known,
        rollout: &Rollout,
        handed_out: Option<&HandedOut>,
        online: &HashSet<DeviceId>,
    ) -> Vec<(DeviceId, Client)> {
        let seen = known.seen.as_ref().map(|(_, seen)| seen);
        let versions = handed_out.filter(|_| is_of(rollout, handed_out)).map(|release| &release.versions);
        let mut clients = Vec::new();
        self.directory.each_client(|device, tags| {
            let Some(ring) = rollout.rings.of(&rollout.release.release, device, tags) else { return };
            let said = known.reports.get(device);
            let said = said.filter(|said| versions.is_some_and(|versions| versions.contains(&said.version)));
            let presence = match seen {
                _ if online.contains(device) => Presence::Online,
                Some(seen) if seen.contains(device) => Presence::Gone,
                _ => Presence::Unseen,
            };
            clients.push((*device, Client { ring, said: said.map(|said| (said.state, said.at)), presence }));
        });
        clients
    }

    fn set(&self, rollout: Rollout) {
        self.write().rollout = Some(rollout);
        self.changed();
    }

    fn changed(&self) {
        self.changes.send_modify(|changes| *changes += 1);
    }

    fn read(&self) -> RwLockReadGuard<'_, Known> {
        self.known.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Known> {
        self.known.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a client gets the release that is handed out now.
    fn admits(&self, device: &DeviceId, by: FetchedBy) -> Option<HandedOut> {
        let handed_out = self.mirror.handed_out().borrow().clone()?;
        let known = self.read();
        let of_this = known.rollout.as_ref().filter(|rollout| is_of(rollout, Some(&handed_out)));
        let is_admitted = match (by, of_this) {
            // A person may try it before everybody else does, but not what was seen to be bad.
            (FetchedBy::Hand, rollout) => rollout.is_none_or(Rollout::hands_out),
            (FetchedBy::Itself, None) => false,
            (FetchedBy::Itself, Some(rollout)) => {
                let ring = |tags: &BTreeSet<Tag>| rollout.rings.of(&rollout.release.release, device, tags);
                rollout.hands_out()
                    && self
                        .directory
                        .with_tags(device, ring)
                        .flatten()
                        .is_some_and(|ring| ring < rollout.open)
            }
        };
        is_admitted.then_some(handed_out)
    }
}

impl Releases for Rollouts {
    fn open(
        &self,
        device: DeviceId,
        wanted: Fetch,
    ) -> BoxFuture<'_, Result<Option<Arc<dyn ReleaseFile>>, FetchRefusal>> {
        Box::pin(async move {
            // "Nothing" would mean to the client that there is none any more.
            let loaded = tokio::time::timeout(LOADED_WITHIN, self.load()).await;
            if !loaded.is_ok_and(|loaded| loaded.is_ok()) {
                return Err(FetchRefusal::Busy);
            }
            // Somebody may have put another one there a moment ago.
            let _ = self.mirror.look().await;
            if self.admits(&device, wanted.by).is_none() {
                return Ok(None);
            }
            self.mirror.open(wanted).await
        })
    }

    fn offered(&self, device: &DeviceId) -> Option<u64> {
        self.admits(device, FetchedBy::Itself).map(|release| release.counter)
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    fn reported(&self, device: DeviceId, report: UpdateReport) {
        let UpdateReport { counter, version, state } = report;
        let version = version.to_string();
        let report = StoredReport { device, counter, version, state, at: Timestamp::now() };
        let mut known = self.write();
        let is_known = known.reports.get(&device).is_some_and(|known| known.says_as(&report));
        if is_known || state == UpdateState::Other {
            return;
        }
        known.unsaved.insert(device);
        known.reports.insert(device, report);
        drop(known);
        self.said.notify_one();
    }
}

fn is_of(rollout: &Rollout, handed_out: Option<&HandedOut>) -> bool {
    handed_out.is_some_and(|release| release.content == rollout.release.release)
}

/// Whoever keeps the registry now looks after it.
fn unless_elsewhere(error: &StoreError, what: &'static str) {
    if !matches!(error.kind(), StoreErrorKind::Elsewhere | StoreErrorKind::Closed) {
        tracing::warn!(error = %chain(error), what);
    }
}

/// A server that stops, or hands its registry over, polls no watcher meanwhile, and would wait for ever for what one of them
/// holds of the store.
async fn in_its_own_task<T: Send + 'static>(
    work: impl Future<Output = Result<T, StoreError>> + Send + 'static,
) -> Result<T, StoreError> {
    let failed = |error| StoreError::new(StoreErrorKind::Failed, error);
    tokio::spawn(work).await.unwrap_or_else(|error| Err(failed(error)))
}
