//! Watching over the trial of the version that runs: whether it works, and that it really goes when it does not.

use std::collections::BTreeSet;
use std::time::Duration;

use petit_host::cli::chain;
use petit_host::update::{Stage, Time, Trial, WayBack};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use super::{UpdateError, Updates, Verdict};
use crate::config::edit;
use crate::daemon::Restart;
use crate::status::{Connection, Light, Status};

/// How long until it is tried again to end what did not end.
const AGAIN: Duration = Duration::from_mins(1);
/// How often it is looked whether another version that takes this one's place has come to stay.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// How long a new version may go without having been connected at all, before the one before it tries: a server that is away
/// is so for both, but what keeps a version from connecting may be the version.
const UNCONNECTED: Duration = Duration::from_mins(30);
/// How long somebody is waited for who updates the program, before it is tried again.
const PATIENCE: Duration = Duration::from_secs(10);

impl Updates {
    /// Watches over the trial that this version is on, to its end. When it is not to go on, asks for a restart, again and
    /// again: nobody else would.
    ///
    /// # Cancel safety
    /// Cancel safe; the time that it was connected is counted anew then.
    pub async fn watch(&self, statuses: watch::Receiver<Status>, restart: &mpsc::Sender<Restart>) {
        let mut due = None;
        loop {
            let settled = match due {
                Some(due) => Ok(due),
                None => self.settle(&statuses).await,
            };
            match settled {
                Ok(Due::Nothing) => return,
                Ok(Due::Restart) => {
                    due = Some(Due::Restart);
                    ask(restart).await;
                }
                Ok(Due::Look) => {
                    tokio::time::sleep(LOOK_EVERY).await;
                    continue;
                }
                Err(error) => {
                    tracing::error!(error = %chain(&error), "the trial of this version is not over");
                }
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    async fn settle(&self, statuses: &watch::Receiver<Status>) -> Result<Due, UpdateError> {
        // As when the process that has taken this one's place has died soon.
        if self.place.is_of_this_process() == Some(false) && self.history()?.is_bad(&self.own) {
            return Ok(Due::Restart);
        }
        let trial = match self.place.trial()?.filter(|trial| self.is_ours(trial)) {
            None => return Ok(Due::Nothing),
            // It may come to nothing, and this version is on trial again then.
            Some(trial) if trial.version != self.own => return Ok(Due::Look),
            Some(trial) => trial,
        };
        let verdict = match trial.goes_back_for() {
            Some(verdict) => verdict,
            None if trial.has_worked() => return self.prove(&trial).await,
            None => match judge(Watch::new(&trial), statuses.clone(), |name| self.sets_up(name)).await {
                Outcome::Works => return self.works().await,
                Outcome::DoesNot => {
                    tracing::error!(version = %self.own, "not all that worked before does");
                    Verdict::DoesNotWork
                }
                Outcome::Unconnected => {
                    tracing::error!(version = %self.own, "this version has not been connected at all");
                    Verdict::Unknown
                }
            },
        };
        let lock = self.place.lock(PATIENCE).await?;
        let Some(trial) = self.own_trial()? else { return Ok(Due::Look) };
        tracing::error!("going back to the version before");
        let way = self.go_back(&lock, trial, verdict).await?;
        let is_replaced = way == WayBack::Taken || self.place.is_of_this_process() == Some(false);
        Ok(if is_replaced { Due::Restart } else { Due::Nothing })
    }

    /// Writes down that this version works. The one before it is kept a while longer, for the case of crashes.
    async fn works(&self) -> Result<Due, UpdateError> {
        let lock = self.place.lock(PATIENCE).await?;
        let Some(mut trial) = self.own_trial()? else { return Ok(Due::Look) };
        tracing::info!(version = %self.own, "the new version works");
        let is_kept = !trial.test.kept.is_zero();
        if is_kept {
            trial.works(Time::now());
            self.place.write_trial(&trial)?;
        } else {
            self.place.end_trial()?;
        }
        drop(lock);
        self.progresses(|progress| progress.becomes(&self.own, Stage::Works)).await;
        if is_kept { self.prove(&trial).await } else { Ok(Due::Look) }
    }

    /// Ends the trial of a version that has worked, when it has not crashed for a while either.
    async fn prove(&self, trial: &Trial) -> Result<Due, UpdateError> {
        tokio::time::sleep(trial.test.kept).await;
        let _lock = self.place.lock(PATIENCE).await?;
        let Some(trial) = self.own_trial()? else { return Ok(Due::Look) };
        if trial.goes_back_for().is_none() {
            tracing::info!(version = %self.own, "the trial of this version is over");
            self.place.end_trial()?;
        }
        // Somebody has put the version before into its place, or there is nothing left to do.
        Ok(Due::Look)
    }

    /// Whether the config file sets up a service. It is read here without what this version knows of its form: that may
    /// be what is wrong with it.
    fn sets_up(&self, service: &str) -> bool {
        std::fs::read_to_string(&self.folder.config).is_ok_and(|text| edit::names_service(&text, service))
    }
}

/// What is still to be done about a trial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Due {
    Nothing,
    /// Something may come of another version.
    Look,
    /// Another program is in its place, and is to run.
    Restart,
}

/// Has the program at its path run. Returns when that has not come about.
async fn ask(restart: &mpsc::Sender<Restart>) {
    let (answer, answered) = oneshot::channel();
    if restart.send(answer).await.is_err() {
        return std::future::pending().await;
    }
    match answered.await {
        // This process ends as soon as nothing is under way any more.
        Ok(Ok(_)) => {}
        Ok(Err(why)) => tracing::error!(%why, "the version before is in its place, and does not run yet"),
        Err(_) => tracing::error!("the version before is in its place, and does not run yet"),
    }
}

/// The services that work, by name.
pub fn working(status: &Status) -> Vec<String> {
    let works = |light: Light| matches!(light, Light::Green | Light::UpToServer);
    let working = status.services.iter().filter(|service| works(service.light));
    working.map(|service| service.name.to_string()).collect()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Works,
    DoesNot,
    /// It was never connected, so nothing can be told.
    Unconnected,
}

/// `sets_up`: whether the config file sets up a service.
pub(super) async fn judge(
    mut watch: Watch,
    mut statuses: watch::Receiver<Status>,
    sets_up: impl Fn(&str) -> bool,
) -> Outcome {
    loop {
        let outcome = watch.see(&statuses.borrow_and_update(), Instant::now(), &sets_up);
        if let Some(outcome) = outcome {
            return outcome;
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

/// What a trial has come to so far. Times come in with the call.
#[derive(Debug)]
pub(super) struct Watch {
    worked: Vec<String>,
    /// How much longer it may be connected.
    left: Duration,
    online_since: Option<Instant>,
    contact: Contact,
}

/// Whether a version on trial has been connected already.
#[derive(Debug)]
enum Contact {
    /// Since when it is waited for.
    Awaited {
        since: Option<Instant>,
    },
    Made,
}

impl Watch {
    pub(super) fn new(trial: &Trial) -> Self {
        Self {
            worked: trial.test.worked.clone(),
            left: trial.test.within,
            online_since: None,
            contact: Contact::Awaited { since: None },
        }
    }

    pub(super) fn see(
        &mut self,
        status: &Status,
        now: Instant,
        sets_up: impl Fn(&str) -> bool,
    ) -> Option<Outcome> {
        if let Some(since) = self.online_since {
            self.left = self.left.saturating_sub(now.saturating_duration_since(since));
        }
        let is_online = matches!(status.connection, Connection::Online { .. });
        self.online_since = is_online.then_some(now);
        if is_online {
            self.contact = Contact::Made;
        } else if let Contact::Awaited { since } = &mut self.contact {
            since.get_or_insert(now);
        }
        let working: BTreeSet<String> = working(status).into_iter().collect();
        // One that was taken out of the config meanwhile says nothing; one that this version does not show does.
        let is_shown = |name: &str| status.services.iter().any(|service| service.name.as_str() == name);
        let is_missed = |name: &String| !working.contains(name) && (is_shown(name) || sets_up(name));
        if is_online && !self.worked.iter().any(is_missed) {
            Some(Outcome::Works)
        } else if self.left.is_zero() {
            Some(Outcome::DoesNot)
        } else if self.give_up_at().is_some_and(|at| at <= now) {
            Some(Outcome::Unconnected)
        } else {
            None
        }
    }

    /// When the time is over, if the connection lasts, or does not come about.
    pub(super) fn due(&self) -> Option<Instant> {
        self.online_since.map(|since| since + self.left).or_else(|| self.give_up_at())
    }

    fn give_up_at(&self) -> Option<Instant> {
        match self.contact {
            Contact::Awaited { since } => since.map(|since| since + UNCONNECTED),
            Contact::Made => None,
        }
    }
}
