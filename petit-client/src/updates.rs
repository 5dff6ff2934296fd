//! A version that this program was updated to, and whether it works here: until it does, the version before it stays
//! beside it, and this one goes back to it by itself.
//!
//! It works when it is connected and every service that worked before works again. It does not when it was connected for
//! as long as it has without that, or when it has crashed three times in ten minutes. One that is not connected for half an
//! hour goes back as well. What is written down of that lies beside the program, which may be that of several clients; what
//! was seen and what did not work is each client's own.

pub mod by_itself;
mod error;
pub mod installer;
mod mending;
mod watch;

use std::path::{Path, PathBuf};
use std::time::Duration;

use petit_host::cli::chain;
use petit_host::lock::{Lock, LockError};
use petit_host::update::{
    Beginning, History, Kept, Place, PlaceLock, Progress, Report, Stage, Start, Test, Time, Trial, Version,
    WayBack,
};
pub use petit_host::update::{KEPT, Verdict};

pub use self::error::UpdateError;
pub use self::watch::working;
use crate::folder::Folder;

/// How long a new version may be connected without all that worked before.
pub const TRIAL: Duration = Duration::from_secs(120);

/// How long somebody is waited for who changes the files beside the program, before they are left alone: whoever updates
/// it holds them for longer, and everybody else for a moment.
const BRIEFLY: Duration = Duration::from_secs(2);

/// What is known of updates of this program, and its files.
#[derive(Clone, Debug)]
pub struct Updates {
    folder: Folder,
    place: Place,
    own: Version,
    means: Means,
}

/// How another version of a program gets here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Means {
    /// By `upgrade` of the program itself, where it is its own.
    Upgrade,
    /// By the installer of that version, which the program fetches and runs: one has put it here.
    Installer,
    /// By whoever has installed this one. The program only tells of it.
    Told,
}

/// What has become of updates when a client begins.
#[derive(Debug)]
pub enum Begun {
    /// Nothing is on trial here, or somebody else is at it.
    Usual,
    /// This version is on trial.
    OnTrial,
    /// The trial of another version is over, and this one is the one before it.
    Back { from: Version },
    /// The version before this one is in its place again, and is to be run. With [`Means::Installer`] its installer is at
    /// it, and ends this process.
    PutBack,
    /// It would be, but is not there.
    NoWayBack,
    /// A client that runs is better than none.
    Unusable(UpdateError),
}

impl Begun {
    /// Says it in the log, which begins later than this.
    pub fn log(&self) {
        match self {
            Self::Usual => {}
            Self::OnTrial => tracing::info!("this version is on trial"),
            Self::Back { from } => {
                tracing::warn!(version = %from, "another version did not stay in this one's place");
            }
            Self::PutBack => tracing::error!("this version has not worked; going back to the one before"),
            Self::NoWayBack => tracing::error!("there is no version to go back to; this one goes on"),
            Self::Unusable(error) => unusable(error),
        }
    }
}

impl Updates {
    /// Of a program, by its own path, that keeps its state in a folder.
    pub fn of(folder: &Folder, program: &Path) -> Self {
        let (place, own) = (Place::of(program), Version::of_this_program());
        Self { folder: folder.clone(), place, own, means: Means::Upgrade }
    }

    /// The same, of a program that another version gets to otherwise than by `upgrade`.
    #[must_use]
    pub fn by(self, means: Means) -> Self {
        Self { means, ..self }
    }

    /// How another version gets here.
    pub fn means(&self) -> Means {
        self.means
    }

    /// The program's files.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// The version that runs.
    pub fn own(&self) -> &Version {
        &self.own
    }

    /// What was seen and tried.
    ///
    /// # Errors
    /// [`UpdateError`].
    pub fn history(&self) -> Result<History, UpdateError> {
        Ok(History::read(&self.folder.updates())?)
    }

    /// Changes what was seen and tried, and nobody else does meanwhile.
    ///
    /// # Errors
    /// [`UpdateError`], as which a refusal of `change` comes back, too; nothing has changed then.
    pub async fn change<R>(&self, change: impl FnOnce(&mut History) -> R) -> Result<R, UpdateError> {
        self.folder.make()?;
        let _lock = Lock::take_within(&self.folder.updates_lock(), BRIEFLY).await?;
        let mut history = self.history()?;
        let before = history.clone();
        let changed = change(&mut history);
        if history != before {
            history.write(&self.folder.updates())?;
        }
        Ok(changed)
    }

    /// What has become of the release that this client heard of last.
    ///
    /// # Errors
    /// [`UpdateError`].
    pub fn progress(&self) -> Result<Progress, UpdateError> {
        Ok(Progress::read(&self.folder.update_progress())?)
    }

    /// The same, as it is said to the server.
    pub fn report(&self) -> Option<Report> {
        self.progress().ok()?.report().cloned()
    }

    /// Changes what is known of that, and nobody else does meanwhile. What cannot be written down is a pity, and keeps
    /// nothing from going on.
    pub async fn progresses(&self, change: impl FnOnce(&mut Progress)) {
        let changed = async {
            self.folder.make()?;
            let _lock = Lock::take_within(&self.folder.updates_lock(), BRIEFLY).await?;
            let before = self.progress()?;
            let mut progress = before.clone();
            change(&mut progress);
            if progress != before {
                progress.write(&self.folder.update_progress())?;
            }
            Ok(())
        };
        changed.await.unwrap_or_else(|error| unusable(&error));
    }

    /// By what a new version is judged in this client.
    pub fn test(&self, worked: Vec<String>, within: Duration, kept: Duration) -> Test {
        Test { config: self.config(), worked, within, kept }
    }

    /// Whether a trial is that of this client. One of a client that is no more is anybody's.
    pub fn is_ours(&self, trial: &Trial) -> bool {
        trial.test.config == self.config() || !trial.test.config.exists()
    }

    /// The config file by one name, whatever it was called.
    fn config(&self) -> PathBuf {
        let config = &self.folder.config;
        config.canonicalize().or_else(|_| std::path::absolute(config)).unwrap_or_else(|_| config.clone())
    }

    /// What this program does first, with the client's lock held. With [`Begun::PutBack`] the version before this one is
    /// in its place.
    pub async fn begin(&self, start: Start) -> Begun {
        self.begins(start).await.unwrap_or_else(Begun::Unusable)
    }

    /// Whether anything is to be done about updates before a client begins.
    pub fn is_trial_on(&self) -> bool {
        self.place.trial().is_ok_and(|trial| trial.is_some())
    }

    async fn begins(&self, start: Start) -> Result<Begun, UpdateError> {
        if self.place.trial()?.is_none() {
            self.look_back().await;
            return Ok(Begun::Usual);
        }
        let lock = match self.place.lock(BRIEFLY).await {
            // Somebody updates the program this very moment, and reckons with the files as they are.
            Err(LockError::Held { .. }) => return Ok(Begun::Usual),
            lock => lock?,
        };
        // This process may be of a program that is not at its path any more.
        let is_in_place = self.place.is_of_this_process() != Some(false);
        let trial = self.place.trial()?.filter(|trial| is_in_place && self.is_concerned(trial));
        let Some(mut trial) = trial else { return Ok(Begun::Usual) };
        let from = trial.version.clone();
        if self.means == Means::Installer && trial.may_still_begin(&self.own, start) {
            // Its installer may be at it, and somebody has started this version meanwhile.
            return Ok(Begun::Usual);
        }
        if self.means == Means::Installer && trial.replaced(&self.own).is_some() {
            // Its installer has given up, and this version is to go back as before, which whoever watches it goes on with.
            self.judged(&from, Verdict::NotTried).await;
            self.end_untried(&trial)?;
            return Ok(Begun::Usual);
        }
        if self.means == Means::Installer && ![&trial.before, &from].contains(&&self.own) {
            // A person has installed another one, whose way back is not this one's; or what was kept was older than that.
            if start == Start::PutBack {
                self.judged(&from, trial.goes_back_for().unwrap_or(Verdict::DoesNotWork)).await;
            }
            self.place.end_trial()?;
            return Ok(Begun::Usual);
        }
        if start == Start::PutBack && self.own == from {
            // What was kept as the way back is this version itself.
            self.judged(&from, trial.goes_back_for().unwrap_or(Verdict::Unknown)).await;
            self.place.end_trial()?;
            return Ok(Begun::NoWayBack);
        }
        match trial.begins(&self.own, start, Time::now()) {
            Beginning::Usual => Ok(Begun::Usual),
            Beginning::OnTrial => {
                self.place.write_trial(&trial)?;
                Ok(Begun::OnTrial)
            }
            Beginning::Over => {
                if self.means == Means::Installer {
                    let verdict = trial.goes_back_for().unwrap_or(trial.came_back_for(start));
                    self.judged(&from, verdict).await;
                }
                self.place.end_trial()?;
                Ok(Begun::Back { from })
            }
            Beginning::PutBack(verdict) => Ok(match self.go_back(&lock, trial, verdict).await? {
                WayBack::Taken => Begun::PutBack,
                WayBack::None => Begun::NoWayBack,
            }),
        }
    }

    /// Nothing has come of a version on trial, with the place's lock held: the trial of the one that it was to replace, where
    /// that has one, is on again.
    pub(crate) fn end_untried(&self, trial: &Trial) -> Result<(), UpdateError> {
        match trial.replaced(&self.own) {
            Some(replaced) => self.place.write_trial(replaced)?,
            None => self.place.end_trial()?,
        }
        Ok(())
    }

    /// What an installer has put here is changed by people, too: where the version that worked here last is a later one,
    /// somebody has put this one back, and it stays. One whose installer has given up has taken its trial with it.
    async fn look_back(&self) {
        if self.means != Means::Installer {
            return;
        }
        let Some(report) = self.report().filter(|report| report.version > self.own) else { return };
        let verdict = match report.state {
            Stage::Works => Verdict::Declined,
            Stage::OnTrial => Verdict::NotTried,
            _ => return,
        };
        self.judged(&report.version, verdict).await;
    }

    /// Each client judges for itself; what is to go back goes back whoever begins it.
    fn is_concerned(&self, trial: &Trial) -> bool {
        self.is_ours(trial) || trial.goes_back_for().is_some()
    }

    /// This program has taken another process's place: from here on it could crash.
    pub async fn serves(&self) {
        self.note(Trial::serves).await;
    }

    /// This program ends in an orderly way.
    pub async fn stopped(&self) {
        self.note(Trial::ends).await;
    }

    /// This program has said why it cannot begin, which is not held against it; but where it always does, the version before
    /// it is tried again.
    pub async fn excused(&self) {
        self.note(Trial::excuses_itself).await;
    }

    async fn note(&self, note: impl FnOnce(&mut Trial)) {
        let noted = async {
            let Some(_) = self.own_trial()? else { return Ok(()) };
            let _lock = self.place.lock(BRIEFLY).await?;
            let Some(mut trial) = self.own_trial()? else { return Ok(()) };
            note(&mut trial);
            Ok(self.place.write_trial(&trial)?)
        };
        if let Err(error) = noted.await {
            unusable(&error);
        }
    }

    /// The trial that this version is on, in this client.
    fn own_trial(&self) -> Result<Option<Trial>, UpdateError> {
        let trial = self.place.trial()?;
        Ok(trial.filter(|trial| trial.version == self.own && self.is_ours(trial)))
    }

    /// Has the installer of the version before run, unless that was tried a moment ago.
    fn has_put_back(&self, trial: &mut Trial) -> Result<WayBack, UpdateError> {
        if !trial.takes_try(Time::now()) {
            return Ok(WayBack::Taken);
        }
        self.place.write_trial(trial).unwrap_or_else(|error| unusable(&error.into()));
        installer::put_back(&self.place).inspect_err(|_| {
            trial.try_failed();
            self.place.write_trial(trial).unwrap_or_else(|error| unusable(&error.into()));
        })
    }

    /// Puts the version before the one on trial into its place, or begins that where its installer does it, and remembers
    /// that this one did not work here where it did not. Where that version is not there any more the trial is over, or the
    /// same program would begin again and again.
    ///
    /// # Errors
    /// [`UpdateError`], when it is not in its place.
    pub async fn go_back(
        &self,
        _: &PlaceLock,
        mut trial: Trial,
        verdict: Verdict,
    ) -> Result<WayBack, UpdateError> {
        // Whoever has said it first is right, such as a person.
        let verdict = trial.goes_back_for().unwrap_or(verdict);
        // First, so that whoever begins after a crash goes on with it. The rename needs no room on the disk, so it is tried
        // however this ends.
        self.judged(&trial.version, verdict).await;
        trial.goes_back(verdict);
        self.place.write_trial(&trial).unwrap_or_else(|error| unusable(&error.into()));
        let way = match self.means {
            Means::Installer => self.has_put_back(&mut trial)?,
            Means::Upgrade | Means::Told => self.place.put_back(Kept::Previous)?,
        };
        if way == WayBack::None && self.place.is_of_this_process() != Some(false) {
            self.place.end_trial()?;
        }
        Ok(way)
    }
}

impl Updates {
    /// Remembers what has become of a version that does not stay.
    pub async fn judged(&self, version: &Version, verdict: Verdict) {
        let stage = match verdict {
            Verdict::DoesNotWork | Verdict::Unknown => Stage::PutBack,
            Verdict::Declined => Stage::Declined,
            Verdict::Unconnected => Stage::Unconnected,
            Verdict::NotTried => Stage::Failed,
        };
        let known = version.clone();
        let judged = match verdict {
            Verdict::DoesNotWork => self.change(|history| history.remember_bad(known)).await,
            Verdict::Unknown | Verdict::Declined => {
                self.change(|history| history.leave_to_people(known)).await
            }
            Verdict::Unconnected | Verdict::NotTried => Ok(()),
        };
        judged.unwrap_or_else(|error| unusable(&error));
        self.progresses(|progress| progress.becomes(version, stage)).await;
    }
}

fn unusable(error: &UpdateError) {
    tracing::warn!(error = %chain(error), "what is known of updates is of no use");
}

#[cfg(test)]
mod tests;
