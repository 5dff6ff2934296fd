//! `upgrade`: brings this program to the version of a release that lies in a folder, or is fetched into one.
//!
//! The process that does it is of the old version, so a new one that is of no use cannot keep it from going back. From the
//! moment when the new program is in its place, what is to become of it is written down, and the client that runs it watches
//! over it (`petit_client::updates`).

use std::fmt::Display;
use std::fs::File;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use petit_client::updates::{UpdateError, Updates, working};
use petit_client::{config, folder};
use petit_host::brand;
use petit_host::cli::{Failure, chain};
use petit_host::exit::ExitCode;
use petit_host::files;
use petit_host::lock::Lock;
use petit_host::update::{
    Artifact, Bundle, Channel, Consent, Installed, Roots, Situation, StageError, Standing, Step, Target,
    Time, Trial, Verified, Version, decide, verify,
};
use serde::Serialize;
use serde_json::Value;
use tokio::process::Command;

use super::beginning::config_failure;
use super::context::{Context, PROGRAM};
use super::fetching::Fetching;

/// What is asked for.
pub(crate) struct UpgradeOrder<'a> {
    /// The folder of the release; `None`: the server's is fetched.
    pub(crate) from: Option<&'a Path>,
    pub(crate) what: Wanted,
    /// How long the new version may be connected without all that worked before.
    pub(crate) within: Duration,
}

/// How it is done.
struct UpgradeArgs<'a> {
    /// The folder of the release.
    from: &'a Path,
    /// How long the new version may be connected without all that worked before.
    within: Duration,
}

/// What is to be done with a release.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    Install,
    /// Only to be told what there is.
    Check,
}

/// How long a new program may take to say what it is and what it thinks of the config file.
const SELF_TEST: Duration = Duration::from_secs(20);
/// How often it is looked at whether a trial is over.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How much longer than the trial itself its end is waited for.
const PATIENCE: Duration = Duration::from_secs(30);

/// What has come of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Outcome {
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
}

/// What `--json` says.
#[derive(Serialize)]
struct Upgraded<'a> {
    outcome: Outcome,
    before: &'a Version,
    version: &'a Version,
}

pub(crate) async fn upgrade(context: &Context, order: &UpgradeOrder<'_>) -> Result<(), Failure> {
    let (config, _) =
        config::load(&context.folder.config).map_err(|error| config_failure(context, &error))?;
    let program = std::env::current_exe().map_err(|error| Failure::of(&error))?;
    let updates = Updates::of(&context.folder, &program);
    let target = Target::of(PROGRAM, brand::here());
    let fetching = match order.from {
        Some(_) => None,
        None => Some(Fetching::begin(context, &config, target.clone()).await?),
    };
    let from = match (order.from, &fetching) {
        (Some(from), _) => from,
        (None, Some(fetching)) => match fetching.documents().await? {
            Some(from) => from,
            None => {
                fetching.say_nothing_there(&Upgraded {
                    outcome: Outcome::None,
                    before: updates.own(),
                    version: updates.own(),
                });
                return Ok(());
            }
        },
        (None, None) => return Ok(()),
    };
    let verified = verified(context, &updates, from)?;
    // What is typed is the customer's say.
    let (consent, history) =
        (Consent::Given { hours: None }, updates.history().map_err(|error| failure(&error))?);
    let installed = Installed { target, version: updates.own().clone(), owner: updates.place().owner() };
    let situation = Situation {
        installed: &installed,
        channel: Channel::Stable,
        consent: &consent,
        history: &history,
        now: Time::now(),
        minute: 0,
    };
    let advice = decide(&verified, &situation)
        .map_err(|refusal| Failure::of(&refusal).hint(context.hint("cli.upgrade.unchanged")))?;
    let standing = standing(context, &advice.standing);
    let say = |key: &str, outcome: Outcome, version: &Version| {
        let values: [(&str, &dyn Display); 3] = [
            ("version", version),
            ("before", updates.own()),
            ("unit", &petit_host::service::unit(folder::NAME)),
        ];
        let text = format!("{}{standing}", context.texts.format(key, &values));
        context.say(&text, &Upgraded { outcome, before: updates.own(), version });
    };
    match advice.step {
        Step::Nothing => say("cli.upgrade.current", Outcome::Current, updates.own()),
        Step::Tell { version } | Step::Ask { version } | Step::Wait { version, .. } => {
            say("cli.upgrade.packaged", Outcome::Told, &version);
        }
        Step::GivenUp { version } => {
            return Err(context.failed(ExitCode::Failed, "cli.upgrade.given_up", &[("version", &version)]));
        }
        Step::Install(artifact) if context.folder.is_of_service() => {
            say("cli.upgrade.of_service", Outcome::Told, &artifact.version);
        }
        Step::Install(artifact) if order.what == Wanted::Check => {
            say("cli.upgrade.available", Outcome::Available, &artifact.version);
        }
        Step::Install(artifact) => {
            if let Some(fetching) = &fetching {
                fetching.artifact(artifact).await?;
            }
            let args = UpgradeArgs { from, within: order.within };
            let upgrade = Upgrade { context, args: &args, updates: &updates, artifact };
            let (key, outcome) = upgrade.install(&verified).await?;
            if let Some(fetching) = &fetching {
                fetching.clear()?;
            }
            say(key, outcome, &artifact.version);
        }
    }
    Ok(())
}

/// The release of a folder, signed by those whose keys are named beside the program.
fn verified(context: &Context, updates: &Updates, from: &Path) -> Result<Verified, Failure> {
    let path = updates.place().roots();
    let known = files::check_not_writable_by_others(&path).map_err(|error| Failure::of(&error));
    let roots = known.and_then(|()| {
        std::fs::read_to_string(&path).map_err(|error| {
            context
                .failed(
                    ExitCode::Failed,
                    "cli.upgrade.no_roots",
                    &[("path", &path.display()), ("why", &error)],
                )
                .hint(context.hint("cli.upgrade.no_roots.hint"))
        })
    })?;
    let roots = Roots::parse(&roots)
        .map_err(|error| Failure::new(ExitCode::Failed, format!("{}: {error}", path.display())))?;
    let bundle = Bundle::read(from).map_err(|error| Failure::of(&error))?;
    verify(&bundle, &roots)
        .map_err(|refusal| Failure::of(&refusal).hint(context.hint("cli.upgrade.unchanged")))
}

/// What is to be known of the version that runs.
fn standing(context: &Context, standing: &Standing) -> String {
    let said = match standing {
        Standing::Good => return String::new(),
        Standing::Revoked => context.texts.get("cli.upgrade.revoked"),
        Standing::TooOld { minimum } => context.texts.format("cli.upgrade.too_old", &[("minimum", minimum)]),
    };
    format!("\n{said}")
}

/// A version that is to take this one's place.
struct Upgrade<'a> {
    context: &'a Context,
    args: &'a UpgradeArgs<'a>,
    updates: &'a Updates,
    artifact: &'a Artifact,
}

impl Upgrade<'_> {
    /// Returns what is said of it.
    async fn install(&self, verified: &Verified) -> Result<(&'static str, Outcome), Failure> {
        let Self { context, args, updates, artifact } = self;
        let version = &artifact.version;
        context.folder.make().map_err(|error| Failure::of(&error))?;
        // One at a time.
        let _lock = Lock::take(&context.folder.updates_lock()).map_err(|error| Failure::of(&error))?;
        let mut history = updates.history().map_err(|error| failure(&error))?;
        if let Some(trial) = history.trial().filter(|trial| trial.version == *updates.own()) {
            return Err(context.failed(ExitCode::Failed, "cli.upgrade.busy", &[("version", &trial.version)]));
        }
        history.remember(verified).map_err(|refusal| Failure::of(&refusal))?;
        updates.keep(&history).map_err(|error| failure(&error))?;
        self.stage()?;
        if let Err(why) = self.self_test().await {
            // The way back may be another one's, who has this program, too.
            files::remove(&updates.place().staged()).map_err(|error| Failure::of(&error))?;
            let values: [(&str, &dyn Display); 2] = [("version", version), ("why", &why)];
            return Err(context.failed(ExitCode::Failed, "cli.upgrade.self_test", &values));
        }
        let running = context.if_running(context.client().status().await)?;
        let worked = running.as_ref().map(working).unwrap_or_default();
        history.begin_trial(Trial::new(version.clone(), updates.own().clone(), worked, args.within));
        updates.keep(&history).map_err(|error| failure(&error))?;
        updates.place().switch().map_err(|error| Failure::of(&error))?;
        if running.is_none() {
            return Ok(("cli.upgrade.next_start", Outcome::NextStart));
        }
        if let Err(error) = context.client().restart().await {
            let why = context.failure(error).message;
            return Err(self.back(&why));
        }
        self.ending().await
    }

    fn stage(&self) -> Result<(), Failure> {
        let path = self.args.from.join(self.artifact.file.as_str());
        let staged = File::open(&path).map_err(StageError::Read);
        let staged = staged.and_then(|file| self.updates.place().stage(self.artifact, file));
        staged.map_err(|error| match error {
            StageError::Write(error) => Failure::of(&error),
            StageError::Read(_) | StageError::Unfit(_) => {
                let values: [(&str, &dyn Display); 2] = [("path", &path.display()), ("why", &chain(&error))];
                let failure = self.context.failed(ExitCode::Failed, "cli.upgrade.unfit", &values);
                failure.hint(self.context.hint("cli.upgrade.unchanged"))
            }
        })
    }

    /// Whether the new program says that it is what it is to be, and can use the config file.
    async fn self_test(&self) -> Result<(), String> {
        let said = self.run(&["version", "--json"]).await?;
        let said: Value = serde_json::from_str(&said).map_err(|error| format!("version --json: {error}"))?;
        let expected = format!("{PROGRAM} {}", self.artifact.version);
        match said.get("software").and_then(Value::as_str) {
            Some(software) if software == expected => {}
            other => return Err(format!("it says that it is {}", other.unwrap_or("nothing"))),
        }
        let config = self.context.folder.config.display().to_string();
        self.run(&["config", "check", "--config", &config]).await.map(drop)
    }

    /// Runs the new program before it is in its place; returns what it has printed.
    async fn run(&self, arguments: &[&str]) -> Result<String, String> {
        let mut command = Command::new(self.updates.place().staged());
        command.args(arguments).stdin(Stdio::null()).kill_on_drop(true);
        let said = arguments.join(" ");
        let output = match tokio::time::timeout(SELF_TEST, command.output()).await {
            Ok(output) => output.map_err(|error| format!("{said}: {error}"))?,
            Err(_) => return Err(format!("{said}: it did not end within {} s", SELF_TEST.as_secs())),
        };
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let words = String::from_utf8_lossy(&output.stderr);
        Err(format!("{said}: {}, {}", output.status, words.lines().next().unwrap_or_default()))
    }

    /// Puts this version back, because the other one has not got ready to take over.
    fn back(&self, why: &str) -> Failure {
        let Self { context, updates, artifact, .. } = self;
        let version = &artifact.version;
        let back = updates.history().and_then(|history| updates.go_back(history));
        let back = back.and_then(|_| updates.end(updates.history()?));
        match back {
            Ok(()) => {
                let values: [(&str, &dyn Display); 3] =
                    [("version", version), ("before", updates.own()), ("why", &why)];
                context.failed(ExitCode::Failed, "cli.upgrade.back", &values)
            }
            Err(error) => failure(&error),
        }
    }

    /// Waits for the end of the trial, which the client that runs decides.
    async fn ending(&self) -> Result<(&'static str, Outcome), Failure> {
        let Self { context, args, updates, artifact } = self;
        let version = &artifact.version;
        let ended = async {
            loop {
                match updates.history() {
                    Ok(history) if history.trial().is_none() => return history.is_bad(version),
                    _ => tokio::time::sleep(LOOK_EVERY).await,
                }
            }
        };
        match tokio::time::timeout(args.within + PATIENCE, ended).await {
            Ok(false) => Ok(("cli.upgrade.works", Outcome::Works)),
            Err(_) => Ok(("cli.upgrade.on_trial", Outcome::OnTrial)),
            Ok(true) => {
                let why = context.texts.get("cli.upgrade.back.missed");
                let values: [(&str, &dyn Display); 3] =
                    [("version", version), ("before", updates.own()), ("why", &why)];
                Err(context.failed(ExitCode::Failed, "cli.upgrade.back", &values))
            }
        }
    }
}

fn failure(error: &UpdateError) -> Failure {
    Failure::of(error)
}
