//! Whether the server hands out another version of this program, and what becomes of it: looked at when the server says so,
//! and once in a while. The signed documents are fetched; what they come to is said in the status and to the server, and
//! where the customer allows it the version is installed by a process of its own (`updates::by_itself`).

mod installing;
mod looks;
mod turns;

use std::sync::OnceLock;

use petit_engine::agent::{Agent, AgentState};
use petit_engine::name::{DeviceId, ServerAddr};
use petit_engine::proto::control::{FetchedBy, Text, UpdateReport, UpdateState};
use petit_host::cli::chain;
use petit_host::update::{
    Advice, Bundle, BundleError, Channel, History, Installed, Owner, Progress, Refusal, Report, RootsError,
    Situation, Stage, Standing, Step, Target, Time, Verified, Version, decide, verify,
};
use tokio::time::Instant;

use self::looks::{HINT_EVERY, Looks, NONE_ANY_MORE};
use self::turns::Turns;
use super::Client;
use super::inner::Available;
use crate::config::{UpdateMode, UpdateSettings};
use crate::releases::{Fetcher, ReleaseError};
use crate::status::{UpdateFault, UpdatePlan, VersionStanding};
use crate::updates::by_itself::Deed;
use crate::updates::{Means, UpdateError, Updates, by_itself};

/// Why it is not known whether there is another version.
#[derive(Debug, thiserror::Error)]
enum Unknown {
    #[error(transparent)]
    Release(#[from] ReleaseError),
    #[error(transparent)]
    Bundle(#[from] BundleError),
    #[error(transparent)]
    Roots(#[from] RootsError),
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error(transparent)]
    Update(#[from] UpdateError),
}

impl Client {
    /// Keeps the status up to date about another version that the server hands out for `target`, says what becomes of it to
    /// the server, and has it installed where the customer allows that, for as long as the future is polled. Never ends.
    ///
    /// # Cancel safety
    /// Cancelling leaves a process that installs a version at it: it is what takes this one's place.
    pub async fn watch_available(&self, updates: &Updates, target: &Target) {
        let looks = Looks::new(Instant::now());
        let turns = Turns::default();
        let mut watching = Watching {
            client: self,
            updates,
            target,
            looks,
            known: None,
            of: None,
            turns,
            told: String::new(),
            may_write: OnceLock::new(),
            wanted: false,
            failed: None,
        };
        loop {
            let wanted = self.shared.update_wanted.notified();
            watching.wanted = tokio::time::timeout(HINT_EVERY, wanted).await.is_ok();
            watching.look_when_due().await;
            watching.follow().await;
            watching.report().await;
        }
    }
}

struct Watching<'a> {
    client: &'a Client,
    updates: &'a Updates,
    target: &'a Target,
    looks: Looks,
    /// The release as it was last looked at.
    known: Option<Verified>,
    /// With whom this computer was registered then.
    of: Option<(ServerAddr, DeviceId)>,
    /// When this client installs a version by itself.
    turns: Turns,
    /// Why the release that is known is of no use, as it was said last.
    told: String,
    /// Whether this process can write beside its program, once that was tried.
    may_write: OnceLock<bool>,
    /// A person wants the version that is there, now.
    wanted: bool,
    /// Why it was not installed when that was tried.
    failed: Option<(Version, UpdateFault)>,
}

impl Watching<'_> {
    /// Looks at the release of the server where that is due. Only a client that is connected does.
    async fn look_when_due(&mut self) {
        let (source, hint) = {
            let inner = self.client.shared.inner.lock().await;
            let online = inner.agent.as_ref().filter(|agent| is_online(agent));
            let Some(agent) = online else { return };
            (agent.source(), agent.view().borrow().release)
        };
        let now = Instant::now();
        self.looks.hear(hint, now);
        if hint == Some(NONE_ANY_MORE) {
            self.known = None;
        }
        if !self.looks.take(now) {
            return;
        }
        let found = async {
            let Some(roots) = self.updates.place().read_roots()? else { return Ok(None) };
            let fetcher =
                Fetcher::with(self.client.folder(), source, self.target.clone(), FetchedBy::Itself).await?;
            let Some(documents) = fetcher.documents().await? else { return Ok(None) };
            let verified = verify(&Bundle::read(documents)?, &roots)?;
            match self.decide(&verified, UpdateSettings::default()).await {
                // In force, though it says nothing about this program. It counts as seen all the same: an older one, or one
                // under a key that was replaced, is refused from now on, by `upgrade` as well.
                Ok(_) | Err(Unknown::Refused(Refusal::NoTarget { .. })) => {}
                Err(error) => return Err(error),
            }
            self.updates.change(|history| history.remember(&verified)).await.map_err(Unknown::from)??;
            Ok(Some(verified))
        };
        let found: Result<Option<Verified>, Unknown> = found.await;
        match found {
            Ok(found) => {
                self.looks.succeeded(Instant::now());
                self.known = found;
            }
            Err(error) => {
                self.looks.failed(Instant::now());
                tracing::info!(error = %chain(&error), "it is not known whether there is another version");
            }
        }
    }

    /// What a release comes to, now, with these settings.
    async fn decide<'a>(
        &self,
        verified: &'a Verified,
        settings: UpdateSettings,
    ) -> Result<Advice<'a>, Unknown> {
        Ok(self.decide_by(&self.updates.history()?, verified, settings)?)
    }

    /// The same, by what is known of versions that were tried.
    fn decide_by<'a>(
        &self,
        history: &History,
        verified: &'a Verified,
        settings: UpdateSettings,
    ) -> Result<Advice<'a>, Refusal> {
        let installed = Installed {
            target: self.target.clone(),
            version: self.updates.own().clone(),
            owner: self.owner(),
        };
        let situation = Situation {
            installed: &installed,
            channel: Channel::Stable,
            consent: &settings.consent(),
            history,
            now: Time::now(),
            minute: by_itself::minute_of_the_day(),
        };
        decide(verified, &situation)
    }

    /// Who changes the program, as far as this process goes: a service of the system, and whoever may not write beside the
    /// program, do not.
    fn owner(&self) -> Owner {
        let place = self.updates.place();
        let may_write = || *self.may_write.get_or_init(|| place.is_writable());
        let is_anothers = match self.updates.means() {
            Means::Told => true,
            Means::Installer => return Owner::Itself,
            Means::Upgrade => self.client.folder().is_of_service() || !may_write(),
        };
        if is_anothers { Owner::Other } else { place.owner() }
    }

    /// Does what is to be done with the release that is known: says it, or has it installed.
    async fn follow(&mut self) {
        let (settings, is_online, of) = {
            let inner = self.client.shared.inner.lock().await;
            let of = inner.registration.as_ref().map(|it| (it.server.clone(), it.device));
            (inner.config.updates, inner.agent.as_ref().is_some_and(is_online), of)
        };
        if self.of != of {
            // What another vendor has said is nothing to this one.
            self.known = None;
            self.of = of;
        }
        let advice = match &self.known {
            None => {
                self.turns.put_off();
                return self.show(Available::default()).await;
            }
            Some(verified) => self.decide(verified, settings).await,
        };
        let advice = match advice {
            Ok(advice) => advice,
            Err(error) => {
                self.turns.put_off();
                self.tell_of_no_use(chain(&error));
                if matches!(error, Unknown::Refused(_)) {
                    // Not in force any more: the next look may find another one.
                    self.known = None;
                }
                return self.show(Available::default()).await;
            }
        };
        self.told.clear();
        let counter = self.known.as_ref().map(|verified| verified.manifest().counter).unwrap_or_default();
        let standing = VersionStanding::of(&advice.standing);
        if let Some(version) = self.wanted_of(&advice.step) {
            self.offered(counter, &version).await;
            self.turns.put_off();
            self.install_by_installer(&version, standing).await;
            return self.turns.in_vain(&version, Instant::now());
        }
        let (version, plan) = match advice.step {
            Step::Nothing => {
                self.works_already(counter).await;
                self.turns.put_off();
                return self.show(Available { standing, ..Available::default() }).await;
            }
            Step::GivenUp { version } => {
                // A person may have tried it again.
                let plan = self.failure(&version).unwrap_or(UpdatePlan::GivenUp);
                (version, plan)
            }
            Step::Tell { version } => (version, self.left_to(settings)),
            Step::Ask { version } => {
                let plan = self.by_hand(&version);
                (version, plan)
            }
            Step::Wait { version, hours } => (version, UpdatePlan::Itself { hours: Some(hours) }),
            Step::Install(artifact) => {
                let version = artifact.version.clone();
                let plan = self.plan(&version);
                let installs = plan.is_none() && is_online;
                self.offered(counter, &version).await;
                let plan = match self.failure(&version) {
                    Some(failed) if plan == Some(UpdatePlan::Later) => failed,
                    _ => plan.unwrap_or(UpdatePlan::Itself { hours: settings.hours }),
                };
                let shown = Available { version: Some(version.clone()), plan: Some(plan), standing };
                self.show(shown.clone()).await;
                return match installs {
                    true => self.install_in_turn(&version, settings, shown.standing).await,
                    false => self.turns.put_off(),
                };
            }
        };
        self.offered(counter, &version).await;
        self.turns.put_off();
        self.show(Available { version: Some(version), plan: Some(plan), standing }).await;
    }

    /// Says why the release that is known is of no use, once.
    fn tell_of_no_use(&mut self, why: String) {
        if self.told != why {
            tracing::warn!(error = why, "the release that is known is of no use now");
            self.told = why;
        }
    }

    /// The version that a person wants now, where it can be had in this way and nobody has said no.
    fn wanted_of(&self, step: &Step<'_>) -> Option<Version> {
        let can_be_wanted = self.wanted && self.updates.means() == Means::Installer && !self.is_after_trial();
        match step {
            _ if !can_be_wanted => None,
            Step::Ask { version } | Step::Wait { version, .. } => Some(version.clone()),
            // Whoever wants to try again what did not work here may.
            Step::GivenUp { version } => Some(version.clone()),
            Step::Install(artifact) => Some(artifact.version.clone()),
            Step::Nothing | Step::Tell { .. } => None,
        }
    }

    /// How a person installs it.
    fn by_hand(&self, version: &Version) -> UpdatePlan {
        match self.updates.means() {
            Means::Upgrade | Means::Told => UpdatePlan::Hand,
            Means::Installer if self.is_after_trial() => UpdatePlan::AfterTrial,
            Means::Installer => self.failure(version).unwrap_or(UpdatePlan::Window),
        }
    }

    /// A version is on trial, which others wait for. Not for one that is to go and cannot: the next one may be what mends it.
    fn is_after_trial(&self) -> bool {
        let trial = self.updates.place().trial();
        let may_go_back = self.updates.means() == Means::Installer;
        trial.is_ok_and(|trial| trial.is_some_and(|it| !may_go_back || it.goes_back_for().is_none()))
    }

    /// What has become of a version when it was to be installed last, where that was nothing.
    fn failure(&self, version: &Version) -> Option<UpdatePlan> {
        let (_, why) = self.failed.as_ref().filter(|(of, _)| of == version)?;
        Some(UpdatePlan::Failed { why: *why })
    }

    /// Who installs what this process does not.
    fn left_to(&self, settings: UpdateSettings) -> UpdatePlan {
        match (self.owner(), settings.mode) {
            (Owner::Other, _) => UpdatePlan::Other,
            (Owner::Itself, UpdateMode::Never) => UpdatePlan::Nobody,
            (Owner::Itself, UpdateMode::Ask | UpdateMode::Automatic) => UpdatePlan::Hand,
        }
    }

    /// Why this process does not install a version now that it may install; `None` when it does.
    fn plan(&self, version: &Version) -> Option<UpdatePlan> {
        let now = Time::now();
        let may_now =
            self.updates.progress().is_ok_and(|progress| progress.next_attempt(version, now) <= now);
        if !may_now || self.turns.rests(version, Instant::now()) {
            Some(UpdatePlan::Later)
        } else if self.is_after_trial() {
            // One after the other: the version before is kept until the one that runs has shown that it works.
            Some(UpdatePlan::AfterTrial)
        } else {
            None
        }
    }

    /// Installs a version as `upgrade` does, or its installer, when it is this client's turn. Where that succeeds another
    /// process takes this one's place meanwhile.
    async fn install_in_turn(
        &mut self,
        version: &Version,
        settings: UpdateSettings,
        standing: Option<VersionStanding>,
    ) {
        let spread = by_itself::spread(settings.hours, by_itself::minute_of_the_day());
        if !self.turns.take(version, spread, Instant::now()) {
            return;
        }
        if self.updates.means() == Means::Installer {
            self.install_by_installer(version, standing).await;
            return self.turns.in_vain(version, Instant::now());
        }
        let outcome = match self.deed(version).await {
            Some(deed) => {
                tracing::info!(%version, "installing another version");
                by_itself::run(self.updates.place(), &self.client.folder().config, deed).await
            }
            None => Err("what is in this program's place is none that this client would install".to_owned()),
        };
        match outcome {
            Ok(said) => {
                tracing::info!(%version, said, "the process that installs another version has ended");
            }
            Err(why) => tracing::warn!(%version, why, "another version was not installed"),
        }
        self.turns.in_vain(version, Instant::now());
    }

    /// What is to be done to have a version. Where another client of this program has brought it to a new one, this one has
    /// but to begin anew. `None` where what lies there is not to be run.
    async fn deed(&self, version: &Version) -> Option<Deed> {
        let (place, own) = (self.updates.place(), self.updates.own());
        if place.is_of_this_process() != Some(false) {
            return Some(Deed::Upgrade);
        }
        let there = by_itself::version_of(place.program()).await?;
        if there == *own {
            return Some(Deed::Upgrade);
        }
        let is_left_alone = self
            .updates
            .history()
            .map_or(true, |history| history.is_bad(&there) || history.is_by_hand(&there));
        if there < *own || is_left_alone {
            return None;
        }
        let now = Time::now();
        self.updates.progresses(|progress| progress.attempted(version, now)).await;
        let is_noted =
            self.updates.progress().is_ok_and(|progress| progress.next_attempt(version, now) > now);
        is_noted.then_some(Deed::Restart)
    }

    /// The release has the version that runs already, and nothing is known of a trial of it.
    async fn works_already(&self, counter: u64) {
        let own = self.updates.own();
        let verified = self.known.as_ref();
        let offered = verified.and_then(|verified| verified.manifest().artifact(self.target));
        let is_own = offered.is_some_and(|artifact| artifact.version == *own);
        if !is_own || self.updates.is_trial_on() {
            return;
        }
        let in_place = self.updates.place().is_of_this_process();
        let is_bad = self.updates.history().map_or(true, |history| history.is_bad(own));
        if is_bad && in_place == Some(true) {
            // Somebody has put it there all the same, and it runs.
            let forgiven = self.updates.change(|history| history.forgive(own)).await;
            forgiven.unwrap_or_else(|error| tracing::debug!(error = %chain(&error), "it is not forgiven"));
        } else if !is_bad && in_place != Some(false) {
            // One that goes back may run on until the version before it serves.
            self.progresses(|progress| progress.runs(counter, own)).await;
        }
    }

    async fn offered(&self, counter: u64, version: &Version) {
        self.progresses(|progress| progress.offered(counter, version, Stage::Waiting)).await;
    }

    /// Writes down what is another thing than what is known: this is asked every few seconds.
    async fn progresses(&self, change: impl Fn(&mut Progress)) {
        let Ok(before) = self.updates.progress() else { return };
        let mut after = before.clone();
        change(&mut after);
        if after != before {
            self.updates.progresses(change).await;
        }
    }

    async fn show(&self, available: Available) {
        let mut inner = self.client.shared.inner.lock().await;
        if inner.available != available {
            if let Some(version) = available.version.as_ref().filter(|_| inner.available.version.is_none()) {
                tracing::info!(%version, "the server hands out another version");
            }
            inner.available = available;
            self.client.publish(&inner);
        }
    }

    /// Says to the server what was written down last, by this process or by one that installs a version.
    async fn report(&self) {
        let report = self.updates.report().and_then(|report| said(&report));
        if let Some(agent) = &self.client.shared.inner.lock().await.agent {
            agent.report_update(report).await;
        }
    }
}

fn is_online(agent: &Agent) -> bool {
    matches!(agent.view().borrow().state, AgentState::Online { .. })
}

/// As it goes over the wire; nothing where only a later version knows what it means.
fn said(report: &Report) -> Option<UpdateReport> {
    let state = match report.state {
        // A person stands before it.
        Stage::Waiting | Stage::Declined => UpdateState::Waiting,
        Stage::OnTrial => UpdateState::OnTrial,
        Stage::Works => UpdateState::Works,
        Stage::PutBack => UpdateState::PutBack,
        Stage::Failed | Stage::Unconnected => UpdateState::Failed,
        Stage::Other(_) => return None,
    };
    let version = Text::lossy(&report.version.to_string());
    Some(UpdateReport { counter: report.counter, version, state })
}

impl VersionStanding {
    fn of(standing: &Standing) -> Option<Self> {
        match standing {
            Standing::Good => None,
            Standing::Revoked => Some(Self::Revoked),
            Standing::TooOld { minimum } => Some(Self::TooOld { minimum: minimum.clone() }),
        }
    }
}
