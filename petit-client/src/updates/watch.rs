//! Watching over the trial of the version that runs: whether it works, and that it really goes when it does not.

use std::collections::BTreeSet;
use std::time::Duration;

use petit_host::cli::chain;
use petit_host::update::{Trial, WayBack};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use super::{UpdateError, Updates, Verdict};
use crate::config::edit;
use crate::daemon::Restart;
use crate::status::{Connection, Light, Status};

/// How long until it is tried again to end what did not end.
const AGAIN: Duration = Duration::from_mins(1);
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
        let Some(trial) = self.own_trial()? else { return Ok(Due::Nothing) };
        let outcome = match trial.is_going_back() {
            true => Outcome::DoesNot,
            false => judge(Watch::new(&trial), statuses.clone(), |name| self.sets_up(name)).await,
        };
        let lock = self.place.lock(PATIENCE).await?;
        let Some(trial) = self.own_trial()? else { return Ok(Due::Nothing) };
        match outcome {
            Outcome::Works => {
                tracing::info!(version = %self.own, "the new version works");
                self.place.end_trial()?;
                Ok(Due::Nothing)
            }
            Outcome::DoesNot => {
                tracing::error!(version = %self.own, "not all that worked before does; going back to the version before");
                let way = self.go_back(&lock, trial, Verdict::DoesNotWork).await?;
                let is_replaced = way == WayBack::Taken || self.place.is_of_this_process() == Some(false);
                Ok(if is_replaced { Due::Restart } else { Due::Nothing })
            }
        }
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
}

impl Watch {
    pub(super) fn new(trial: &Trial) -> Self {
        Self { worked: trial.test.worked.clone(), left: trial.test.within, online_since: None }
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
        let working: BTreeSet<String> = working(status).into_iter().collect();
        // One that was taken out of the config meanwhile says nothing; one that this version does not show does.
        let is_shown = |name: &str| status.services.iter().any(|service| service.name.as_str() == name);
        let is_missed = |name: &String| !working.contains(name) && (is_shown(name) || sets_up(name));
        if is_online && !self.worked.iter().any(is_missed) {
            Some(Outcome::Works)
        } else if self.left.is_zero() {
            Some(Outcome::DoesNot)
        } else {
            None
        }
    }

    /// When the time is over, if the connection lasts.
    pub(super) fn due(&self) -> Option<Instant> {
        self.online_since.map(|since| since + self.left)
    }
}
