//! A version that this program was updated to, and whether it works here: until it does, the version before it stays
//! beside it, and this one goes back to it by itself.
//!
//! It works when it is connected and every service that worked before works again. It does not when it was connected for
//! as long as it has without that, or when it has ended three times otherwise than by a stop.

use std::path::{Path, PathBuf};
use std::time::Duration;

use petit_host::cli::chain;
use petit_host::files::FileError;
use petit_host::update::{Beginning, History, HistoryError, Place, Trial, Version, WayBack};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use crate::daemon::Restart;
use crate::folder::Folder;
use crate::status::{Connection, Light, Status};

/// How long a new version may be connected without all that worked before.
pub const TRIAL: Duration = Duration::from_secs(120);

/// What is known of updates of this program, and its files.
#[derive(Clone, Debug)]
pub struct Updates {
    history: PathBuf,
    place: Place,
    own: Version,
}

/// Why what is known of updates cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum UpdateError {
    #[error(transparent)]
    History(#[from] HistoryError),
    #[error(transparent)]
    File(#[from] FileError),
}

impl Updates {
    /// Of a program, by its own path, that keeps its state in a folder.
    pub fn of(folder: &Folder, program: &Path) -> Self {
        Self { history: folder.updates(), place: Place::of(program), own: Version::of_this_program() }
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
        Ok(History::read(&self.history)?)
    }

    /// Keeps it.
    ///
    /// # Errors
    /// [`UpdateError`].
    pub fn keep(&self, history: &History) -> Result<(), UpdateError> {
        Ok(history.write(&self.history)?)
    }

    /// What this program does first, with its lock held. When it is to be the version before, that is in its place.
    ///
    /// What cannot be read or written is told in the log: a client that runs is better than none.
    pub fn begin(&self) -> Beginning {
        match self.begins() {
            Ok(Beginning::PutBack) => {
                tracing::error!(version = %self.own, "this version has not worked; going back to the one before");
                Beginning::PutBack
            }
            Ok(beginning) => beginning,
            Err(error) => {
                tracing::warn!(error = %chain(&error), "what is known of updates is of no use");
                Beginning::Usual
            }
        }
    }

    fn begins(&self) -> Result<Beginning, UpdateError> {
        let mut history = self.history()?;
        let beginning = history.begin(&self.own);
        match beginning {
            Beginning::Usual => {}
            Beginning::OnTrial => self.keep(&history)?,
            Beginning::Over => self.end(history)?,
            Beginning::PutBack if self.go_back(history)? == WayBack::None => return Ok(Beginning::Usual),
            Beginning::PutBack => {}
        }
        Ok(beginning)
    }

    /// This program ends in an orderly way, which is not held against it.
    pub fn stopped(&self) {
        let stopped = self.history().and_then(|mut history| match history.stopped(&self.own) {
            true => self.keep(&history),
            false => Ok(()),
        });
        if let Err(error) = stopped {
            tracing::warn!(error = %chain(&error), "what is known of updates is of no use");
        }
    }

    /// Ends a trial: what was left for the way back is removed.
    ///
    /// # Errors
    /// [`UpdateError`].
    pub fn end(&self, mut history: History) -> Result<(), UpdateError> {
        history.end_trial();
        self.keep(&history)?;
        Ok(self.place.clean()?)
    }

    /// Remembers that the version on trial does not work here, and puts the one before into its place. Where that is not
    /// there any more the trial is over, or the same program would begin again and again.
    ///
    /// # Errors
    /// [`UpdateError`].
    pub fn go_back(&self, mut history: History) -> Result<WayBack, UpdateError> {
        // First, so that whoever begins after a crash goes on with it.
        history.go_back();
        self.keep(&history)?;
        let way = self.place.put_back()?;
        if way == WayBack::None {
            tracing::error!(version = %self.own, "there is no version to go back to; this one goes on");
            self.end(history)?;
        }
        Ok(way)
    }

    /// Watches over the trial that this version is on, to its end. Asks for a restart when it is not to go on.
    ///
    /// # Cancel safety
    /// Cancel safe; the time that it was connected is counted anew then.
    pub async fn watch(&self, statuses: watch::Receiver<Status>, restart: &mpsc::Sender<Restart>) {
        let trial = self.history().ok().and_then(|history| history.trial().cloned());
        let Some(trial) = trial.filter(|trial| trial.version == self.own) else { return };
        let verdict = judge(Watch::new(&trial), statuses).await;
        let done = self.history().and_then(|history| match verdict {
            Verdict::Works => {
                tracing::info!(version = %self.own, "the new version works");
                self.end(history).map(|()| WayBack::None)
            }
            Verdict::DoesNot => {
                tracing::error!(version = %self.own, "not all that worked before does; going back to the version before");
                self.go_back(history)
            }
        });
        match done {
            Err(error) => tracing::error!(error = %chain(&error), "the trial of the new version goes on"),
            Ok(WayBack::Taken) => {
                let (answer, _) = oneshot::channel();
                let _ = restart.send(answer).await;
            }
            Ok(WayBack::None) => {}
        }
    }
}

/// The services that work, by name.
pub fn working(status: &Status) -> Vec<String> {
    let works = |light: Light| matches!(light, Light::Green | Light::UpToServer);
    let working = status.services.iter().filter(|service| works(service.light));
    working.map(|service| service.name.to_string()).collect()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Works,
    DoesNot,
}

async fn judge(mut watch: Watch, mut statuses: watch::Receiver<Status>) -> Verdict {
    loop {
        let verdict = watch.see(&statuses.borrow_and_update(), Instant::now());
        if let Some(verdict) = verdict {
            return verdict;
        }
        let due = async {
            match watch.due() {
                Some(due) => tokio::time::sleep_until(due).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            changed = statuses.changed() => if changed.is_err() {
                return std::future::pending().await;
            },
            () = due => {}
        }
    }
}

/// What a trial has come to so far. Pure: times come in with the call.
#[derive(Debug)]
struct Watch {
    worked: Vec<String>,
    /// How much longer it may be connected.
    left: Duration,
    online_since: Option<Instant>,
}

impl Watch {
    fn new(trial: &Trial) -> Self {
        Self { worked: trial.worked.clone(), left: trial.within(), online_since: None }
    }

    fn see(&mut self, status: &Status, now: Instant) -> Option<Verdict> {
        if let Some(since) = self.online_since {
            self.left = self.left.saturating_sub(now.saturating_duration_since(since));
        }
        let is_online = matches!(status.connection, Connection::Online { .. });
        self.online_since = is_online.then_some(now);
        let working = working(status);
        // One that was removed meanwhile says nothing.
        let is_missed = |name: &String| {
            let is_there = status.services.iter().any(|service| service.name.as_str() == name);
            is_there && !working.contains(name)
        };
        if is_online && !self.worked.iter().any(is_missed) {
            Some(Verdict::Works)
        } else if self.left.is_zero() {
            Some(Verdict::DoesNot)
        } else {
            None
        }
    }

    /// When the time is over, if the connection lasts.
    fn due(&self) -> Option<Instant> {
        self.online_since.map(|since| since + self.left)
    }
}

#[cfg(test)]
mod tests;
