//! Roll-outs: which clients hear of the release that is handed out, and what becomes of it there.
//!
//! A release that was put there is announced to nobody: people can ask for it by hand. A roll-out announces it to one ring of
//! clients after the other, and its [`gate`] halts it when it does not work for too many. Who is in which ring follows from
//! the client's ID and tags, so nothing is kept of that; what clients say is, because a client that does not come back after
//! an update is what matters most.

pub mod gate;
mod handing;
mod known;

#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};

use petit_engine::name::DeviceId;
use petit_host::cli::chain;
use tokio::sync::{Notify, watch};

use self::gate::{Client, Tally, Verdict, Word};
use self::known::{InRing, Known, is_of};
use crate::api::HaltedRollout;
use crate::directory::Directory;
use crate::registry::{
    Actor, Conflict, IfHalted, ReleaseToRollOut, Rings, Rollout, RolloutPlan, RolloutState, RolloutStep,
    StoreError, StoreErrorKind, StoredReport, Timestamp,
};
use crate::releases::{HandedOut, Mirror};
use crate::store::Store;

/// How often it is looked whether a roll-out goes on, when no client says anything.
const JUDGE_EVERY: Duration = Duration::from_secs(15);
/// What clients say within this is kept together.
const GATHER: Duration = Duration::from_secs(1);
/// How often what they say is written down at most.
const SAVE_EVERY: Duration = Duration::from_secs(10);

/// The roll-outs of a server. Cheap to clone.
#[derive(Clone)]
pub struct Rollouts {
    mirror: Mirror,
    directory: Directory,
    known: Arc<RwLock<Known>>,
    /// Held from a step's begin to its place in what is known, so that both see steps in one order.
    turn: Arc<tokio::sync::Mutex<()>>,
    /// False until what the registry has was read.
    is_loaded: Arc<AtomicBool>,
    /// How often it has changed who is offered what.
    changes: watch::Sender<u64>,
    /// Rung when a client has said something new.
    said: Arc<Notify>,
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
    /// How many clients each ring has.
    pub rings: Vec<usize>,
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
            turn: Arc::default(),
            is_loaded: Arc::default(),
            changes: watch::Sender::new(0),
            said: Arc::default(),
        }
    }

    /// Begins a roll-out of the release that is handed out.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn start(
        &self,
        release: &HandedOut,
        (rings, soak, if_halted): (Rings, Duration, IfHalted),
        actor: Actor,
    ) -> Result<(), StoreError> {
        let versions = release.versions.clone();
        let release = ReleaseToRollOut { release: release.content.clone(), counter: release.counter };
        let plan = RolloutPlan { release, versions, rings, soak, if_halted };
        let work = move |store: Arc<dyn Store>| async move { store.start_rollout(plan, actor).await };
        self.in_turn(|_| true, work).await
    }

    /// Changes the roll-out that was started last.
    ///
    /// # Errors
    /// [`StoreError`]; [`Conflict::RolloutOfAnother`] when that would be a roll-out of a release that is not handed out.
    pub async fn step(&self, step: RolloutStep, actor: Actor) -> Result<(), StoreError> {
        let handed_out = self.mirror.handed_out().borrow().clone();
        let hands_out = matches!(step, RolloutStep::OpenNext | RolloutStep::Resume);
        self.load().await?;
        if hands_out && self.read().last().is_some_and(|last| !is_of(last, handed_out.as_ref())) {
            return Err(Conflict::RolloutOfAnother.into());
        }
        let work = move |store: Arc<dyn Store>| async move { store.step_rollout(step, actor).await };
        self.in_turn(|_| true, work).await
    }

    /// Changes a roll-out in the store and then here, one step after the other: in a task of its own, as whoever has asked
    /// may hang up. `is_still`: whether that is still to be done.
    async fn in_turn<R>(
        &self,
        is_still: impl FnOnce(Option<&Rollout>) -> bool + Send + 'static,
        work: impl FnOnce(Arc<dyn Store>) -> R + Send + 'static,
    ) -> Result<(), StoreError>
    where
        R: Future<Output = Result<Rollout, StoreError>> + Send,
    {
        let this = self.clone();
        in_its_own_task(async move {
            this.load().await?;
            let _turn = this.turn.lock().await;
            if !is_still(this.read().last()) {
                return Ok(());
            }
            let rollout = work(Arc::clone(this.directory.store())).await?;
            let Rollout { release, open, state, .. } = &rollout;
            tracing::info!(counter = release.counter, open, ?state, "a roll-out goes its way");
            this.write().set(rollout);
            this.changed();
            Ok(())
        })
        .await
    }

    /// Reads anew how releases are rolled out: another process may have changed that, and has ended.
    ///
    /// # Errors
    /// [`StoreError`]; clients get nothing until it can be read.
    pub async fn reload(&self) -> Result<(), StoreError> {
        self.is_loaded.store(false, Ordering::Release);
        self.changed();
        self.load().await
    }

    /// How it stands, by what is known now.
    ///
    /// # Errors
    /// [`StoreError`], when that was not read yet and cannot be.
    pub async fn standing(&self, online: &HashSet<DeviceId>) -> Result<Standing, StoreError> {
        self.load().await?;
        let handed_out = self.mirror.handed_out().borrow().clone();
        let Some(rollout) = self.read().last().cloned() else {
            return Ok(Standing { handed_out, rollout: None });
        };
        let all = self.in_rings(&rollout);
        let (known, rollout) = (self.read(), &rollout);
        let clients = known.clients(&all, rollout, handed_out.as_ref(), online);
        let now = Timestamp::now();
        let mut rings = vec![0; rollout.rings.len()];
        for (_, client) in &clients {
            if let Some(ring) = rings.get_mut(client.ring) {
                *ring += 1;
            }
        }
        let tally = Tally::of(clients.iter().map(|(_, client)| *client), rollout, now);
        let is_bad = |client: &Client| gate::word(client, rollout, now).is_some_and(Word::is_bad);
        let bad = clients.iter().filter(|(_, client)| client.ring < rollout.open && is_bad(client));
        let rollout = RolloutStanding {
            is_of_this_release: is_of(rollout, handed_out.as_ref()),
            verdict: rollout.is_running().then(|| gate::judge(rollout, &tally, now)),
            tally,
            rings,
            bad: bad.filter_map(|(device, _)| known.reports.get(device).cloned()).collect(),
            rollout: rollout.clone(),
        };
        Ok(Standing { handed_out, rollout: Some(rollout) })
    }

    /// The roll-out of the release that is handed out, when it is halted.
    pub fn halted(&self) -> Option<HaltedRollout> {
        let handed_out = self.mirror.handed_out().borrow().clone();
        let known = self.read();
        let rollout = known.last().filter(|last| is_of(last, handed_out.as_ref()))?;
        let RolloutState::Halted { reason, since, by_itself } = rollout.state.clone() else { return None };
        Some(HaltedRollout { by_itself, counter: rollout.release.counter, reason, since })
    }

    /// Keeps what clients say, and opens rings and halts as the gate has it, for as long as the future is polled. Never
    /// ends. `online`: the clients that are there.
    pub async fn watch(&self, online: impl Fn() -> Vec<DeviceId>) {
        let mut handed_out = self.mirror.handed_out();
        while let Err(error) = self.load().await {
            unless_elsewhere(&error, "how releases are rolled out is not known");
            tokio::time::sleep(JUDGE_EVERY).await;
        }
        loop {
            tokio::select! {
                () = tokio::time::sleep(JUDGE_EVERY) => {}
                () = self.said.notified() => tokio::time::sleep(GATHER).await,
                Ok(()) = handed_out.changed() => self.changed(),
            }
            if let Err(error) = self.load().await {
                unless_elsewhere(&error, "how releases are rolled out is not known");
                continue;
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
        let this = self.clone();
        in_its_own_task(async move {
            let _turn = this.turn.lock().await;
            if this.is_loaded.load(Ordering::Acquire) {
                return Ok(());
            }
            let (rollouts, reports) = this.directory.store().rollouts().await?;
            {
                let mut known = this.write();
                known.rollouts = rollouts;
                for report in reports {
                    if let (false, Some(target)) =
                        (known.targets.contains_key(&report.device), &report.target)
                    {
                        known.targets.insert(report.device, target.clone());
                    }
                    // What was said meanwhile is newer, unless it is the same.
                    if known.reports.get(&report.device).is_none_or(|said| said.says_as(&report)) {
                        known.unsaved.remove(&report.device);
                        known.put(report);
                    }
                }
            }
            this.is_loaded.store(true, Ordering::Release);
            this.changed();
            Ok(())
        })
        .await
    }

    async fn save(&self) {
        let reports: Vec<StoredReport> = {
            let mut known = self.write();
            // A client may say something else each second.
            if known.saved.is_some_and(|saved| saved.elapsed() < SAVE_EVERY) {
                return;
            }
            let unsaved = std::mem::take(&mut known.unsaved);
            unsaved.iter().filter_map(|device| known.reports.get(device).cloned()).collect()
        };
        if reports.is_empty() {
            return;
        }
        self.write().saved = Some(Instant::now());
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
        let handed_out = self.mirror.handed_out().borrow().clone();
        let rollout = {
            let mut known = self.write();
            let last = known.last().filter(|last| last.is_running() && is_of(last, handed_out.as_ref()));
            let Some(rollout) = last.cloned() else { return };
            known.sees(&online);
            rollout
        };
        let now = Timestamp::now();
        let suspended = self.directory.suspended_clients();
        if !suspended.is_empty() {
            self.write().forgets_suspended(|device| suspended.contains(device));
        }
        let all = self.in_rings(&rollout);
        let clients = self.read().clients(&all, &rollout, handed_out.as_ref(), &online);
        let tally = Tally::of(clients.iter().map(|(_, client)| *client), &rollout, now);
        let step = match gate::judge(&rollout, &tally, now) {
            Verdict::Stay(_) => return,
            Verdict::OpenNext => RolloutStep::OpenNext,
            Verdict::Finish => RolloutStep::Finish,
            Verdict::Halt(why) => {
                tracing::error!(counter = rollout.release.counter, %why, "the roll-out is halted");
                RolloutStep::Halt { reason: why.to_string() }
            }
        };
        // Its operator may have done something else meanwhile.
        let is_still = move |last: Option<&Rollout>| last == Some(&rollout);
        let work = move |store: Arc<dyn Store>| async move { store.step_rollout(step, Actor::Server).await };
        if let Err(error) = self.in_turn(is_still, work).await {
            unless_elsewhere(&error, "the roll-out was not changed");
        }
    }

    /// All clients that are registered. Drawing their shares takes a while, which no lock is held for.
    fn in_rings(&self, rollout: &Rollout) -> Vec<InRing> {
        let mut all = Vec::new();
        self.directory.each_client(|device, tags| all.push((*device, tags.clone())));
        let ring =
            |(device, tags)| Some((device, rollout.rings.of(&rollout.release.release, &device, &tags)?));
        all.into_iter().filter_map(ring).collect()
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
