//! Putting a version into its place, and back where it does not get ready there.

use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use petit_client::api::LocalError;
use petit_client::daemon;
use petit_client::updates::{Verdict, working};
use petit_engine::proto::control::FetchedBy;
use petit_host::cli::{Failure, chain};
use petit_host::control::client::CallError;
use petit_host::exit::ExitCode;
use petit_host::files;
use petit_host::lock::Lock;
use petit_host::update::{
    Artifact, Kept, Measured, PlaceLock, Stage, StageError, Step, Trial, Version, WayBack,
};
use serde_json::Value;
use tokio::process::Command;

use super::request::{Outcome, Request, failure, lock_within};
use super::running::{self, LOOK_EVERY, name};

/// How long a new program may take to say what it is and what it thinks of the config file.
const SELF_TEST: Duration = Duration::from_secs(20);
/// How much longer than the trial itself its end is waited for.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long the client may take to serve again after whatever has happened to it.
const SERVES: Duration = Duration::from_secs(10);

/// What is said of an installation.
type Said = (&'static str, Outcome);

/// A version that is to take this one's place.
pub(super) struct Upgrade<'a> {
    pub(super) request: &'a Request<'a>,
    pub(super) artifact: &'a Artifact,
}

impl Upgrade<'_> {
    /// Returns what is said of it.
    pub(super) async fn install(&self, lock: PlaceLock) -> Result<Said, Failure> {
        let Request { context, args, updates, .. } = self.request;
        let place = updates.place();
        // Before any program is run: that of another client is left alone for as long.
        self.is_nobody_elses_trial()?;
        // Before anything is removed: whoever held the lock before may have switched to another version.
        self.is_of_this_version().await?;
        let replaced = self.replaced_trial()?;
        let running = running::of_program(context, place).await?;
        if running.is_none() && args.by == FetchedBy::Itself {
            // It was stopped meanwhile, and whoever has done that has not asked for another version.
            return Err(context.failure(LocalError::Call(CallError::NotRunning)));
        }
        if let Err(failure) = self.prepare().await {
            return Err(self.request.failed(&self.artifact.version, failure).await);
        }
        let is_running = running.is_some();
        let worked = match running {
            Some(status) => working(&running::settled(context, status).await),
            None => Vec::new(),
        };
        let test = updates.test(worked, args.within, args.kept);
        let mut trial = Trial::new(self.artifact.version.clone(), updates.own().clone(), test);
        if let Some(replaced) = &replaced {
            trial = trial.over(replaced);
        }
        let trial = trial.by(self.artifact);
        let is_nothing_known = trial.test.worked.is_empty();
        if args.by == FetchedBy::Itself
            && let Err(failure) = self.is_wanted_still().await
        {
            let _ = files::remove(&place.staged());
            return Err(failure);
        }
        if let Err(failure) = self.switch(&trial, replaced.as_ref()) {
            return Err(self.request.failed(&self.artifact.version, failure).await);
        }
        updates.progresses(|progress| progress.becomes(&self.artifact.version, Stage::OnTrial)).await;
        drop(lock);
        // Somebody may have started it meanwhile.
        let is_running = is_running || running::of_program(context, place).await.is_ok_and(|it| it.is_some());
        if !is_running {
            return Ok(("cli.upgrade.next_start", Outcome::NextStart));
        }
        let said = self.restart(replaced).await?;
        Ok(if is_nothing_known && said.1 == Outcome::Works {
            ("cli.upgrade.works.connected", Outcome::Works)
        } else {
            said
        })
    }

    /// Lays the new program beside the old one and tests it. Nothing is left of one that does not pass.
    async fn prepare(&self) -> Result<(), Failure> {
        let Request { context, updates, .. } = self.request;
        self.stage()?;
        let Err(why) = self.self_test().await else { return Ok(()) };
        // The way back may be that of another version, which is on trial.
        let _ = files::remove(&updates.place().staged());
        let values: [(&str, &dyn Display); 2] = [("version", &self.artifact.version), ("why", &why)];
        Err(context.failed(ExitCode::Failed, "cli.upgrade.self_test", &values))
    }

    /// To test a program, and to see what works, takes its time: the client may have been stopped meanwhile, and its config
    /// have changed.
    async fn is_wanted_still(&self) -> Result<(), Failure> {
        let Request { context, updates, .. } = self.request;
        if running::of_program(context, updates.place()).await?.is_none() {
            return Err(context.failure(LocalError::Call(CallError::NotRunning)));
        }
        match self.request.advice().await?.step {
            Step::Install(_) => Ok(()),
            _ => Err(context.failed(ExitCode::Failed, "cli.upgrade.allowed_no_more", &[])),
        }
    }

    /// The program at its path may be another one by now than that of this process.
    async fn is_of_this_version(&self) -> Result<(), Failure> {
        let Request { context, updates, .. } = self.request;
        let found = software(updates.place().program()).await.unwrap_or_else(|why| why);
        if found == name(updates.own()) {
            return Ok(());
        }
        Err(context.failed(ExitCode::Failed, "cli.upgrade.changed", &[("found", &found)]))
    }

    fn is_nobody_elses_trial(&self) -> Result<(), Failure> {
        let Request { context, updates, .. } = self.request;
        let trial = updates.place().trial().map_err(|error| failure(context, &error.into()))?;
        let Some(trial) = trial.filter(|trial| !updates.is_ours(trial)) else { return Ok(()) };
        let values: [(&str, &dyn Display); 2] =
            [("version", &trial.version), ("config", &trial.test.config.display())];
        let hint = context.texts.format("cli.upgrade.busy.hint", &values);
        Err(context.failed(ExitCode::Failed, "cli.upgrade.busy", &values).hint(hint))
    }

    /// The trial that is on here, when the version on trial is the one that is to be replaced: the way back stays that
    /// which it had. What is left of another one is removed.
    fn replaced_trial(&self) -> Result<Option<Trial>, Failure> {
        let Request { context, updates, .. } = self.request;
        let trial = updates.place().trial().map_err(|error| failure(context, &error.into()))?;
        match trial {
            // What has worked is what a new version goes back to; its own way back is there until the switch.
            Some(trial) if trial.version == *updates.own() && trial.has_worked() => Ok(None),
            Some(trial) if trial.version == *updates.own() => {
                Ok(Some(trial).filter(|_| updates.place().previous().exists()))
            }
            Some(_) => {
                let ended = updates.place().end_trial();
                ended.map(|()| None).map_err(|error| Failure::of(&error))
            }
            None => Ok(None),
        }
    }

    fn path(&self) -> PathBuf {
        self.request.args.from.join(self.artifact.file.as_str())
    }

    fn stage(&self) -> Result<(), Failure> {
        let staged = files::open_regular(&self.path()).map_err(StageError::Read);
        let staged = staged.and_then(|file| self.request.updates.place().stage(self.artifact, file));
        staged.map_err(|error| match error {
            StageError::Write(error) => Failure::of(&error),
            StageError::Read(why) => self.not_installed("cli.upgrade.unreadable", &why),
            StageError::Unfit(why) => self.not_installed("cli.upgrade.unfit", &why),
        })
    }

    /// Whether the artifact is the one that was signed, for somebody else who is to install it.
    pub(super) fn measure(&self) -> Result<(), Failure> {
        let measured = files::open_regular(&self.path()).and_then(Measured::of);
        let measured = measured.map_err(|why| self.not_installed("cli.upgrade.unreadable", &why))?;
        let Artifact { bytes, sha256, .. } = *self.artifact;
        if measured == (Measured { bytes, sha256 }) {
            return Ok(());
        }
        let why = format!("SHA-256 {}", measured.sha256);
        Err(self.not_installed("cli.upgrade.unfit", &why))
    }

    fn not_installed(&self, key: &str, why: &dyn Display) -> Failure {
        let context = self.request.context;
        let path = self.path();
        let values: [(&str, &dyn Display); 2] = [("path", &path.display()), ("why", why)];
        context.failed(ExitCode::Failed, key, &values).hint(context.hint("cli.upgrade.unchanged"))
    }

    /// Whether the new program says that it is what it is to be, and can use the config file.
    async fn self_test(&self) -> Result<(), String> {
        let Request { context, updates, .. } = self.request;
        let staged = updates.place().staged();
        let found = software(&staged).await?;
        if found != name(&self.artifact.version) {
            return Err(format!("it says that it is {found}"));
        }
        let config = context.folder.config.display().to_string();
        run(&staged, &["config", "check", "--config", &config]).await.map(drop)
    }

    /// Writes the trial down and puts the new program into its place; leaves everything as it was where that fails.
    fn switch(&self, trial: &Trial, replaced: Option<&Trial>) -> Result<(), Failure> {
        let Request { context, updates, .. } = self.request;
        let place = updates.place();
        let kept = if replaced.is_some() { Kept::Replaced } else { Kept::Previous };
        let switched = place.write_trial(trial).and_then(|()| place.switch(kept));
        switched.map_err(|error| {
            let _ = self.undo(replaced);
            Failure::of(&error).hint(context.hint("cli.upgrade.unchanged"))
        })
    }

    /// The program from before is in its place: what was written down for the new one goes.
    fn undo(&self, replaced: Option<&Trial>) -> Result<(), files::FileError> {
        let place = self.request.updates.place();
        match replaced {
            Some(trial) => {
                place.write_trial(trial)?;
                files::remove(&place.staged())?;
                files::remove(&place.replaced())
            }
            None => place.end_trial(),
        }
    }

    async fn restart(&self, replaced: Option<Trial>) -> Result<Said, Failure> {
        let Request { context, args, updates, .. } = self.request;
        let version = &self.artifact.version;
        let error = match context.client().restart().await {
            Ok(_) => return self.ending().await,
            Err(error) => error,
        };
        let verdict = match &error {
            LocalError::Call(CallError::Refused(problem)) if problem.code == daemon::NOT_READY => {
                Verdict::DoesNotWork
            }
            LocalError::Call(CallError::Refused(problem)) if problem.code != daemon::BUSY => {
                Verdict::NotTried
            }
            // Whoever was asked is gone, or does not answer, or does it for somebody else. What is there now decides.
            _ => match running::software(context, &name(version), SERVES).await {
                Some(software) if software == name(version) => return self.ending().await,
                // One is there that does not answer yet.
                None if Lock::holder(&context.folder.lock()).is_some() => return self.ending().await,
                // It was stopped meanwhile, and whoever has done that has not asked for another version.
                None if args.by == FetchedBy::Itself => Verdict::NotTried,
                None => return Ok(("cli.upgrade.next_start", Outcome::NextStart)),
                Some(_) => Verdict::NotTried,
            },
        };
        let why = context.failure(error).message;
        let back = self.back(verdict, replaced).await;
        back.map_err(|failure| Failure { message: format!("{}; {why}", failure.message), ..failure })?;
        let before = updates.own();
        Err(self.is_back(verdict, before, &why).await)
    }

    /// Puts the version of this process back, which runs still.
    async fn back(&self, verdict: Verdict, replaced: Option<Trial>) -> Result<(), Failure> {
        let Request { context, updates, .. } = self.request;
        let place = updates.place();
        let failed = |error| failure(context, &error);
        let lock = lock_within(context, updates, PATIENCE).await?;
        let trial = place.trial().map_err(|error| failed(error.into()))?;
        // Somebody else has ended it meanwhile, one way or the other.
        let Some(trial) = trial.filter(|trial| trial.version == self.artifact.version) else { return Ok(()) };
        let version = trial.version.clone();
        match &replaced {
            None => {
                let way = updates.go_back(&lock, trial, verdict).await.map_err(failed);
                way.and_then(|_| self.undo(None).map_err(|error| Failure::of(&error)))
            }
            Some(before) => match place.put_back(Kept::Replaced) {
                Ok(WayBack::Taken) => {
                    updates.judged(&version, verdict).await;
                    self.undo(Some(before)).map_err(|error| Failure::of(&error))
                }
                Ok(WayBack::None) => updates.go_back(&lock, trial, verdict).await.map(drop).map_err(failed),
                Err(error) => Err(Failure::of(&error)),
            },
        }
    }

    /// What is said of a version that is not in its place any more.
    async fn is_back(&self, verdict: Verdict, before: &Version, why: &dyn Display) -> Failure {
        let context = self.request.context;
        let found = running::software(context, &name(before), PATIENCE).await;
        let is_there = found.as_deref() == Some(&name(before));
        let key = match verdict {
            _ if !is_there => "cli.upgrade.not_back",
            Verdict::DoesNotWork => "cli.upgrade.back",
            Verdict::Unknown | Verdict::NotTried | Verdict::Declined | Verdict::Unconnected => {
                "cli.upgrade.not_now"
            }
        };
        let found = found.unwrap_or_else(|| context.texts.get("cli.upgrade.nothing_runs"));
        let values: [(&str, &dyn Display); 4] =
            [("version", &self.artifact.version), ("before", before), ("why", why), ("found", &found)];
        context.failed(ExitCode::Failed, key, &values)
    }

    /// Waits for the end of the trial, which the client that runs decides.
    async fn ending(&self) -> Result<Said, Failure> {
        let Request { context, args, updates, .. } = self.request;
        let version = &self.artifact.version;
        let mut before = updates.own().clone();
        let ended = async {
            loop {
                match updates.place().trial() {
                    Ok(Some(trial)) if trial.version == *version && !trial.has_worked() => {
                        before = trial.before;
                    }
                    Ok(_) => return,
                    Err(_) => {}
                }
                tokio::time::sleep(LOOK_EVERY).await;
            }
        };
        let is_over = tokio::time::timeout(args.within + PATIENCE, ended).await.is_ok();
        // Before what runs is asked for: a version that goes back answers until another one does.
        if updates.history().is_ok_and(|history| history.is_bad(version)) {
            let why = context.texts.get("cli.upgrade.back.missed");
            return Err(self.is_back(Verdict::DoesNotWork, &before, &why).await);
        }
        match running::software(context, &name(version), SERVES).await {
            Some(found) if found == name(version) && is_over => Ok(("cli.upgrade.works", Outcome::Works)),
            Some(found) if found == name(version) => Ok(("cli.upgrade.on_trial", Outcome::OnTrial)),
            found => {
                let found = found.unwrap_or_else(|| context.texts.get("cli.upgrade.nothing_runs"));
                let values: [(&str, &dyn Display); 2] = [("version", version), ("found", &found)];
                Err(context.failed(ExitCode::Failed, "cli.upgrade.elsewhere", &values))
            }
        }
    }
}

/// What a program says that it is.
async fn software(program: &Path) -> Result<String, String> {
    let said = run(program, &["version", "--json"]).await?;
    let said: Value = serde_json::from_str(&said).map_err(|error| format!("version --json: {error}"))?;
    Ok(said.get("software").and_then(Value::as_str).unwrap_or("nothing").to_owned())
}

/// Runs a program to its end; returns what it has printed.
async fn run(program: &Path, arguments: &[&str]) -> Result<String, String> {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).kill_on_drop(true);
    let said = arguments.join(" ");
    let output = match tokio::time::timeout(SELF_TEST, command.output()).await {
        Ok(output) => output.map_err(|error| format!("{said}: {}", chain(&error)))?,
        Err(_) => return Err(format!("{said}: it did not end within {} s", SELF_TEST.as_secs())),
    };
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let words = String::from_utf8_lossy(&output.stderr);
    Err(format!("{said}: {}, {}", output.status, words.lines().next().unwrap_or_default()))
}
