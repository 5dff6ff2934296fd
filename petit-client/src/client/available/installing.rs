//! Another version by its installer: fetched, verified, run, and what comes of it shown.

use std::time::Duration;

use petit_engine::proto::control::FetchedBy;
use petit_host::cli::chain;
use petit_host::update::{Artifact, Bundle, Stage, Step, Time, Trial, Version, verify};

use super::{Available, Watching, by_itself};
use crate::client::Client;
use crate::config::{UpdateMode, UpdateSettings};
use crate::releases::{Fetcher, ReleaseError};
use crate::status::{UpdatePlan, VersionStanding};
use crate::updates::installer::{self, GoesBackTo, InstallError};
use crate::updates::{KEPT, TRIAL, UpdateError, working};

/// How long somebody is waited for who changes the files beside the program.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often it is shown how much has come.
const SHOWN_EVERY: Duration = Duration::from_secs(1);

impl Client {
    /// A person wants the version that is there. What becomes of it is in the status.
    pub fn install_update(&self) {
        self.shared.update_wanted.notify_one();
    }
}

impl Watching<'_> {
    /// Has the installer of a version put it here. Where that succeeds this process is asked to end meanwhile.
    pub(super) async fn install_by_installer(
        &mut self,
        version: &Version,
        standing: Option<VersionStanding>,
    ) {
        self.failed = None;
        // Whoever clicks need not wait; what goes on by itself afterwards does.
        if !self.is_attempt_noted(version).await && !self.wanted {
            return tracing::warn!(%version, "another version is not installed, as that cannot be written down");
        }
        tracing::info!(%version, "installing another version");
        // On the heap: it is large, and hardly ever there.
        let error = Box::pin(self.by_installer(version, standing)).await;
        tracing::warn!(%version, error = %chain(&error), "another version was not installed");
        self.failed = error.fault().map(|fault| (version.clone(), fault));
        let stage = if self.failed.is_some() { Stage::Failed } else { Stage::Waiting };
        self.updates.progresses(|progress| progress.becomes(version, stage)).await;
    }

    /// Writes down that this client tries by itself: what is not written down would be tried again and again.
    async fn is_attempt_noted(&self, version: &Version) -> bool {
        let now = Time::now();
        self.updates.progresses(|progress| progress.attempted(version, now)).await;
        self.updates.progress().is_ok_and(|progress| progress.next_attempt(version, now) > now)
    }

    /// Returns why nothing has come of it.
    async fn by_installer(&self, version: &Version, standing: Option<VersionStanding>) -> InstallError {
        let (fetcher, artifact) = match self.fetch_installer(version, standing).await {
            Ok(fetched) => fetched,
            Err(error) => return error,
        };
        let way = match self.put_on_trial(&artifact).await {
            Ok(way) => way,
            Err(error) => return error.into(),
        };
        let installer = fetcher.place_of(&artifact);
        let error = installer::run(self.updates.place(), &installer, &artifact, way).await;
        // First what is known of it: without a trial whoever begins next would not know what this one has seen.
        self.updates.progresses(|progress| progress.becomes(version, Stage::Failed)).await;
        if let Err(error) = self.end_of_trial(version).await {
            tracing::warn!(error = %chain(&error), "what is known of the trial cannot be removed");
        }
        error
    }

    /// Writes down that a version is on trial, before its installer ends this process: it may be one that cannot.
    /// Returns which one it goes back to: not the one that runs, where that is to go back itself and cannot.
    async fn put_on_trial(&self, artifact: &Artifact) -> Result<GoesBackTo, UpdateError> {
        let version = &artifact.version;
        let worked = working(&self.client.status().await);
        let test = self.updates.test(worked, TRIAL, KEPT);
        let (place, own) = (self.updates.place(), self.updates.own());
        let trial = Trial::new(version.clone(), own.clone(), test);
        let way = {
            let _lock = place.lock(PATIENCE).await?;
            let goes_back = |it: &Trial| it.version == *own && it.goes_back_for().is_some();
            let (trial, way) = match place.trial()?.filter(goes_back) {
                Some(replaced) => (trial.in_place_of(replaced), GoesBackTo::Former),
                None => (trial, GoesBackTo::This),
            };
            place.write_trial(&trial.by(artifact))?;
            way
        };
        self.updates.progresses(|progress| progress.becomes(version, Stage::OnTrial)).await;
        // The one before says it: what it has not said by its end nobody says where the new one does not run.
        self.report().await;
        Ok(way)
    }

    /// Nothing has come of the trial of a version: this one goes on.
    async fn end_of_trial(&self, version: &Version) -> Result<(), UpdateError> {
        let place = self.updates.place();
        let _lock = place.lock(PATIENCE).await?;
        let is_its = |trial: &Trial| trial.version == *version && trial.is_to_replace(self.updates.own());
        match place.trial()?.filter(is_its) {
            Some(trial) => self.updates.end_untried(&trial),
            None => Ok(()),
        }
    }

    /// Fetches the installer of a version and shows how much of it has come.
    async fn fetch_installer(
        &self,
        version: &Version,
        standing: Option<VersionStanding>,
    ) -> Result<(Fetcher, Artifact), InstallError> {
        let source = self.client.shared.inner.lock().await.agent.as_ref().map(|agent| agent.source());
        let source = source.ok_or(ReleaseError::Unregistered)?;
        let roots = self.updates.place().read_roots()?.ok_or(InstallError::NotAnyMore)?;
        let fetcher =
            Fetcher::with(self.client.folder(), source, self.target.clone(), FetchedBy::Itself).await?;
        let documents = fetcher.documents().await?.ok_or(InstallError::NotAnyMore)?;
        let verified = verify(&Bundle::read(documents)?, &roots)?;
        // Whether it may be now was asked before, and is asked again.
        let allowed = UpdateSettings { mode: UpdateMode::Automatic, hours: None };
        let mut history = self.updates.history()?;
        if self.wanted {
            // Only for this decision: what did not work here is held against it until it works.
            history.forgive(version);
        }
        let advice = self.decide_by(&history, &verified, allowed)?;
        let artifact = match advice.step {
            Step::Install(artifact) if artifact.version == *version => artifact,
            _ => return Err(InstallError::NotAnyMore),
        };
        let shown = |fetched| Available {
            version: Some(version.clone()),
            plan: Some(UpdatePlan::Now { fetched }),
            standing: standing.clone(),
        };
        let mut fetching = Box::pin(fetcher.artifact(artifact));
        loop {
            self.show(shown(Some(fetcher.fetched(artifact)))).await;
            if let Ok(fetched) = tokio::time::timeout(SHOWN_EVERY, &mut fetching).await {
                fetched?;
                break;
            }
        }
        if !self.may_be_installed_now().await {
            return Err(InstallError::NotAnyMore);
        }
        self.show(shown(None)).await;
        let artifact = artifact.clone();
        drop(fetching);
        Ok((fetcher, artifact))
    }

    /// The customer's say, which may have changed while it was fetched.
    async fn may_be_installed_now(&self) -> bool {
        let settings = self.client.shared.inner.lock().await.config.updates;
        match settings.mode {
            UpdateMode::Never => false,
            UpdateMode::Ask => self.wanted,
            UpdateMode::Automatic => {
                let minute = by_itself::minute_of_the_day();
                self.wanted || settings.hours.is_none_or(|hours| hours.contains(minute))
            }
        }
    }
}
