//! A release, and what is decided of it here; whoever does something about it says what has come of that by this.

use std::fmt::Display;
use std::path::Path;
use std::time::Duration;

use petit_client::updates::{UpdateError, Updates, by_itself};
use petit_client::{config, folder};
use petit_engine::proto::control::FetchedBy;
use petit_host::cli::Failure;
use petit_host::exit::ExitCode;
use petit_host::lock::LockError;
use petit_host::update::{
    Advice, Artifact, Channel, Consent, HistoryError, Installed, PlaceLock, Refusal, Situation, Stage,
    Standing, Time, Verified, Version, decide,
};
use serde::Serialize;

use super::super::beginning::config_failure;
use super::super::context::Context;
use super::super::fetching::Fetching;

/// How it is done.
pub(super) struct UpgradeArgs<'a> {
    /// The folder of the release.
    pub(super) from: &'a Path,
    /// How long the new version may be connected without all that worked before.
    pub(super) within: Duration,
    /// How long the old one is kept once the new one works.
    pub(super) kept: Duration,
    /// Whether somebody has typed it.
    pub(super) by: FetchedBy,
}

/// What has come of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Outcome {
    /// There is nothing newer.
    Current,
    /// The server has no release for this computer.
    None,
    /// There is something newer.
    Available,
    /// It is for somebody else to install it.
    Told,
    /// It runs, and all that worked before works.
    Works,
    /// It is in its place, and begins with the next start.
    NextStart,
    /// It runs, and is on trial still.
    OnTrial,
    /// The version before it is in its place again.
    Back,
}

/// What `--json` says.
#[derive(Serialize)]
pub(super) struct Upgraded<'a> {
    pub(super) outcome: Outcome,
    pub(super) before: &'a Version,
    pub(super) version: &'a Version,
    /// What those who make the program say of the version before; there when it is not to be used any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) standing: Option<&'static str>,
}

/// A release, and what it is to come to here.
pub(super) struct Request<'a> {
    pub(super) context: &'a Context,
    pub(super) args: &'a UpgradeArgs<'a>,
    pub(super) updates: &'a Updates,
    pub(super) verified: &'a Verified,
    pub(super) installed: &'a Installed,
    /// Where the artifact is to come from, when it does not lie in the folder.
    pub(super) fetching: Option<&'a Fetching<'a>>,
}

impl Request<'_> {
    /// What is to be done with the release, by what is known now. From then on it counts as seen, whatever it comes to:
    /// nothing older is taken any more.
    pub(super) async fn advice(&self) -> Result<Advice<'_>, Failure> {
        let Self { context, updates, verified, installed, .. } = self;
        let history = updates.history().map_err(|error| failure(context, &error))?;
        let consent = self.consent()?;
        let situation = Situation {
            installed,
            channel: Channel::Stable,
            consent: &consent,
            history: &history,
            now: Time::now(),
            minute: by_itself::minute_of_the_day(),
        };
        let decided = decide(verified, &situation);
        // It is in force though it says nothing about this program.
        if matches!(decided, Ok(_) | Err(Refusal::NoTarget { .. })) && !context.folder.is_out_of_bounds() {
            let remembered = updates.change(|history| history.remember(verified)).await;
            let remembered = remembered.map_err(|error| failure(context, &error))?;
            remembered.map_err(|refusal| refused(context, &refusal))?;
        }
        decided.map_err(|refusal| refused(context, &refusal))
    }

    /// What is typed is the customer's say. Without anybody it is the file, as it is now: a download takes its time.
    fn consent(&self) -> Result<Consent, Failure> {
        match self.args.by {
            FetchedBy::Hand => Ok(Consent::Typed),
            FetchedBy::Itself => {
                let (config, _) = config::load(&self.context.folder.config)
                    .map_err(|error| config_failure(self.context, &error))?;
                Ok(config.updates.consent())
            }
        }
    }

    /// Removes what was fetched: something has come of it, or nothing will.
    pub(super) fn clear(&self) {
        if let Some(fetching) = self.fetching {
            fetching.clear();
        }
    }

    /// True when a version was seen not to work here.
    pub(super) fn is_bad(&self, version: &Version) -> bool {
        self.updates.history().is_ok_and(|history| history.is_bad(version))
    }

    /// Nothing is held against a version any more.
    pub(super) async fn forgive(&self, version: &Version) -> Result<(), Failure> {
        let forgiven = self.updates.change(|history| history.forgive(version)).await;
        forgiven.map_err(|error| failure(self.context, &error))
    }

    /// Somebody begins to install it. What is done without anybody, and could not be written down, would be tried again and
    /// again.
    pub(super) async fn begin(&self, artifact: &Artifact) -> Result<(), Failure> {
        let Self { context, args, updates, verified, .. } = self;
        let (counter, version, now) = (verified.manifest().counter, &artifact.version, Time::now());
        let is_by_itself = args.by == FetchedBy::Itself;
        updates
            .progresses(|progress| {
                progress.offered(counter, version, Stage::Waiting);
                if is_by_itself {
                    progress.attempted(version, now);
                }
            })
            .await;
        let is_noted = updates.progress().is_ok_and(|progress| progress.next_attempt(version, now) > now);
        if is_by_itself && !is_noted {
            return Err(context.failed(ExitCode::Failed, "cli.upgrade.not_noted", &[]));
        }
        if !is_by_itself && updates.history().is_ok_and(|history| history.is_by_hand(version)) {
            return self.forgive(version).await;
        }
        Ok(())
    }

    /// It could not be had, or not be begun.
    pub(super) async fn failed(&self, version: &Version, failure: Failure) -> Failure {
        self.updates.progresses(|progress| progress.becomes(version, Stage::Failed)).await;
        failure
    }

    pub(super) fn say(&self, key: &str, outcome: Outcome, version: &Version, standing: &Standing) {
        let Self { context, updates, args, verified, installed, .. } = self;
        let artifact = verified.manifest().artifact(&installed.target);
        let (file, sha256) = artifact
            .map(|artifact| (artifact.file.to_string(), artifact.sha256.to_string()))
            .unwrap_or_default();
        let path = args.from.join(file);
        let values: [(&str, &dyn Display); 5] = [
            ("version", version),
            ("before", updates.own()),
            ("unit", &petit_host::service::unit(folder::NAME)),
            ("path", &path.display()),
            ("sha256", &sha256),
        ];
        let mut text = context.texts.format(key, &values);
        let said = words(context, standing);
        if let Some((_, said)) = &said {
            text.push_str(&format!("\n{said}"));
        }
        let standing = said.map(|(name, _)| name);
        context.say(&text, &Upgraded { outcome, before: updates.own(), version, standing });
    }

    pub(super) fn given_up(&self, version: &Version, standing: &Standing) -> Failure {
        let failed = self.context.failed(ExitCode::Failed, "cli.upgrade.given_up", &[("version", version)]);
        self.with(standing, failed.hint(self.context.hint("cli.upgrade.given_up.hint")))
    }

    /// A failure that leaves a version that is not to be used any more.
    pub(super) fn with(&self, standing: &Standing, mut failure: Failure) -> Failure {
        if let Some((_, said)) = words(self.context, standing) {
            failure.message.push_str(&format!("\n{said}"));
        }
        failure
    }

    /// Has the artifact in the folder.
    pub(super) async fn fetch(&self, artifact: &Artifact) -> Result<(), Failure> {
        match self.fetching {
            Some(fetching) => fetching.artifact(artifact).await,
            None => Ok(()),
        }
    }
}

pub(super) fn refused(context: &Context, refusal: &Refusal) -> Failure {
    Failure::of(refusal).hint(context.hint("cli.upgrade.unchanged"))
}

/// Keeps everybody else from the files beside the program.
pub(super) async fn lock(context: &Context, updates: &Updates) -> Result<PlaceLock, Failure> {
    /// Clients hold it for a moment when they begin and end.
    const A_MOMENT: Duration = Duration::from_secs(2);
    lock_within(context, updates, A_MOMENT).await
}

/// The same, of somebody who has to wait for longer.
pub(super) async fn lock_within(
    context: &Context,
    updates: &Updates,
    limit: Duration,
) -> Result<PlaceLock, Failure> {
    updates.place().lock(limit).await.map_err(|error| match error {
        LockError::Held { pid, .. } => {
            let pid = pid.map_or_else(|| "?".to_owned(), |pid| pid.to_string());
            let failure = context.failed(ExitCode::Failed, "cli.upgrade.locked", &[("pid", &pid)]);
            failure.hint(context.hint("cli.upgrade.locked.hint"))
        }
        LockError::Io { .. } | LockError::OfService { .. } => Failure::of(&error),
    })
}

/// What is to be known of the version that runs: its name for programs, and words for people.
pub(super) fn words(context: &Context, standing: &Standing) -> Option<(&'static str, String)> {
    match standing {
        Standing::Good => None,
        Standing::Revoked => Some(("revoked", context.texts.get("cli.upgrade.revoked"))),
        Standing::TooOld { minimum } => {
            Some(("too_old", context.texts.format("cli.upgrade.too_old", &[("minimum", minimum)])))
        }
    }
}

pub(super) fn failure(context: &Context, error: &UpdateError) -> Failure {
    let failure = Failure::of(error);
    match error {
        UpdateError::History(HistoryError::Damaged { .. }) => {
            failure.hint(context.hint("cli.upgrade.damaged.hint"))
        }
        _ => failure,
    }
}
