//! Watching over the trial of the version that runs: whether it works, and that it really goes when it does not.

use std::time::Duration;

use petit_engine::cause::Cause;
use petit_host::cli::chain;
use petit_host::update::{Stage, Start, Time, Trial, WayBack};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use super::{Means, UpdateError, Updates, Verdict, unusable};
use crate::config::edit;
use crate::daemon::Restart;
use crate::status::{Broken, BrokenAt, Connection, Light, Status};

/// How long until it is tried again to end what did not end.
const AGAIN: Duration = Duration::from_mins(1);
/// How often it is looked whether another version that takes this one's place has come to stay.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// How long a new version may go without being connected, before the one before it tries: a server that is away is so for
/// both, but what keeps a version from connecting may be the version.
const UNCONNECTED: Duration = Duration::from_mins(30);
/// How long whoever puts a version in place may take to begin it: a hand-over has 30 s, and a client that has to stop first as
/// long as what is under way.
const BEGINS_WITHIN: Duration = Duration::from_mins(2);
/// How soon the version before is connected where a new one was not and the line is not the reason.
const CONNECTS_WITHIN: Duration = Duration::from_mins(2);
/// How long an installer may be at it: it is ended then, and a new one that was not begun by it is not begun any more.
const INSTALLS_WITHIN: Duration = Duration::from_mins(12);
/// How often a version on trial is looked at where nothing changes.
const LOOKS: Duration = Duration::from_mins(1);
/// A look that comes later than that after the one before: the computer has slept, which no version is to blame for. The clock
/// goes on meanwhile on Windows.
const SLEPT: Duration = Duration::from_secs(150);
/// How long somebody is waited for who updates the program, before it is tried again.
const PATIENCE: Duration = Duration::from_secs(10);

impl Updates {
    /// Watches over trials, that of this version and that of one that is to take its place. What is not to go on goes back,
    /// and where the program at its path is not the one that runs, though it is to be, a restart is asked for, again and
    /// again: nobody else would. Never ends.
    ///
    /// # Cancel safety
    /// Cancel safe; the time that it was connected is counted anew then.
    pub async fn watch(&self, statuses: watch::Receiver<Status>, restart: &mpsc::Sender<Restart>) {
        tokio::join!(self.watch_trials(&statuses, restart), self.judge_unconnected(&statuses));
    }

    async fn watch_trials(&self, statuses: &watch::Receiver<Status>, restart: &mpsc::Sender<Restart>) {
        let (mut left_over, mut is_to_go) = (LeftOver::default(), false);
        let mut trouble = Trouble::default();
        loop {
            // Somebody may have put this one's program back meanwhile.
            is_to_go &= self.place.is_of_this_process() != Some(true);
            let settled = match is_to_go {
                true => Ok(Due::Restart),
                false => self.settle(statuses, &mut left_over).await,
            };
            trouble.log(settled.as_ref().err());
            let pause = match settled {
                Ok(Due::Look) => LOOK_EVERY,
                Ok(Due::Installer) => AGAIN,
                Ok(Due::Restart) => {
                    is_to_go = true;
                    ask(restart).await;
                    AGAIN
                }
                Err(_) => AGAIN,
            };
            tokio::time::sleep(pause).await;
        }
    }

    /// A version that was not connected for too long has gone, and this is the one before it: where this one is connected
    /// soon, that was the other one's fault.
    async fn judge_unconnected(&self, statuses: &watch::Receiver<Status>) {
        let unconnected = self.report().filter(|report| report.state == Stage::Unconnected);
        let Some(report) = unconnected.filter(|report| report.version != self.own) else { return };
        let mut statuses = statuses.clone();
        let online = statuses.wait_for(|status| matches!(status.connection, Connection::Online { .. }));
        let is_online = tokio::time::timeout(CONNECTS_WITHIN, online).await.map(|online| online.is_ok());
        match is_online {
            Ok(true) => self.judged(&report.version, Verdict::Unknown).await,
            Ok(false) => {}
            Err(_) => self.judged(&report.version, Verdict::NotTried).await,
        }
    }

    async fn settle(
        &self,
        statuses: &watch::Receiver<Status>,
        left_over: &mut LeftOver,
    ) -> Result<Due, UpdateError> {
        let in_place = self.place.is_of_this_process();
        let trial = self.place.trial()?.filter(|trial| self.is_ours(trial));
        if let Some(trial) = trial.as_ref().filter(|trial| trial.is_to_replace(&self.own)) {
            let within = if self.means == Means::Installer { INSTALLS_WITHIN } else { BEGINS_WITHIN };
            if left_over.is_due(trial, within, Instant::now()) {
                self.end_of_nobodys(in_place).await?;
            }
            return Ok(Due::Look);
        }
        *left_over = LeftOver::default();
        // As when the process that has taken this one's place has died soon.
        if in_place == Some(false) && self.means != Means::Installer && self.has_gone_back() {
            return Ok(Due::Restart);
        }
        let Some(trial) = trial.filter(|trial| trial.version == self.own) else { return Ok(Due::Look) };
        let verdict = match trial.goes_back_for() {
            Some(verdict) => verdict,
            None if trial.has_worked() => return self.prove(&trial, statuses).await,
            None => match judge(Watch::new(&trial), statuses.clone(), |name| self.sets_up(name)).await {
                Outcome::Works => return self.works(statuses).await,
                Outcome::DoesNot => {
                    tracing::error!(version = %self.own, "not all that worked before does");
                    Verdict::DoesNotWork
                }
                Outcome::Unconnected => self.unconnected(),
            },
        };
        self.leaves(verdict).await
    }

    /// This version does not go on.
    async fn leaves(&self, verdict: Verdict) -> Result<Due, UpdateError> {
        let lock = self.place.lock(PATIENCE).await?;
        let Some(trial) = self.own_trial()? else { return Ok(Due::Look) };
        if trial.leaves_unwanted() && trial.goes_back_for().is_none() {
            tracing::error!("the version before is not to be used any more, so this one stays");
            self.place.end_trial()?;
            return Ok(Due::Look);
        }
        if trial.goes_back_for().is_none() {
            // It is tried again and again.
            tracing::error!("going back to the version before");
        }
        let way = self.go_back(&lock, trial, verdict).await?;
        if self.means == Means::Installer {
            return Ok(if way == WayBack::Taken { Due::Installer } else { Due::Look });
        }
        let is_replaced = way == WayBack::Taken || self.place.is_of_this_process() == Some(false);
        Ok(if is_replaced { Due::Restart } else { Due::Look })
    }

    fn unconnected(&self) -> Verdict {
        tracing::error!(version = %self.own, "this version has not been connected for too long");
        Verdict::Unconnected
    }

    /// True when this version was put back, and goes on because the one before it does not run. A way back needs nothing
    /// that is written down.
    fn has_gone_back(&self) -> bool {
        self.history().is_ok_and(|history| history.is_bad(&self.own))
            || self.progress().is_ok_and(|progress| progress.has_gone_back(&self.own))
    }

    /// This version runs on, though another one was to take its place: whoever was at it was ended before that began, or the
    /// other one has died and this one has taken its place back. It would begin some day with nobody there, so this one's
    /// program comes back.
    async fn end_of_nobodys(&self, in_place: Option<bool>) -> Result<(), UpdateError> {
        let lock = self.place.lock(PATIENCE).await?;
        let trial = self.place.trial()?.filter(|trial| self.is_ours(trial) && trial.is_to_replace(&self.own));
        let Some(trial) = trial else { return Ok(()) };
        let verdict = if trial.is_running() { Verdict::Unknown } else { Verdict::NotTried };
        match in_place {
            // An installer has left everything as it was.
            _ if self.means == Means::Installer => {
                let said = trial.goes_back_for();
                self.judged(&trial.version, said.unwrap_or(trial.came_back_for(Start::Fresh))).await;
                return self.end_untried(&trial);
            }
            // It never came to the switch.
            Some(true) => self.judged(&trial.version, verdict).await,
            Some(false) if self.place.previous().exists() => {
                tracing::warn!(version = %trial.version, "another version was put in place and does not run; it is taken away");
                if self.go_back(&lock, trial, verdict).await? == WayBack::None {
                    return Ok(());
                }
            }
            // There is nothing to go back to, or the system does not tell which one is in place.
            Some(false) | None => return Ok(()),
        }
        Ok(self.place.end_trial()?)
    }

    /// Writes down that this version works. The one before it is kept a while longer: that was one glance.
    async fn works(&self, statuses: &watch::Receiver<Status>) -> Result<Due, UpdateError> {
        let lock = self.place.lock(PATIENCE).await?;
        let trial = self.own_trial()?.filter(|trial| trial.goes_back_for().is_none());
        let Some(mut trial) = trial else { return Ok(Due::Look) };
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
        // It may not have worked before, and a person has tried it again.
        let forgiven = self.change(|history| history.forgive(&self.own)).await;
        forgiven.unwrap_or_else(|error| unusable(&error));
        if is_kept { self.prove(&trial, statuses).await } else { Ok(Due::Look) }
    }

    /// Ends the trial of a version that has worked, when it has not crashed for a while either and is connected then. That
    /// a service has stopped meanwhile is what services do.
    async fn prove(&self, trial: &Trial, statuses: &watch::Receiver<Status>) -> Result<Due, UpdateError> {
        if !lasts(trial.test.kept, statuses.clone()).await {
            let verdict = self.unconnected();
            return self.leaves(verdict).await;
        }
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
    /// Nothing, or something may come of another version.
    Look,
    /// Another program is in its place, and is to run.
    Restart,
    /// An installer is at it, and ends this process.
    Installer,
}

/// Why a trial could not be looked after the last time.
#[derive(Debug, Default)]
struct Trouble(Option<String>);

impl Trouble {
    /// Says it in the log, once for each cause.
    fn log(&mut self, error: Option<&UpdateError>) {
        let cause = error.map(|error| chain(error));
        if let Some(error) = cause.as_ref().filter(|cause| self.0.as_ref() != Some(*cause)) {
            tracing::error!(error, "a trial cannot be looked after");
        }
        self.0 = cause;
    }
}

/// Since when a version has been in place of this one that nobody begins.
#[derive(Debug, Default)]
pub(super) struct LeftOver {
    of: Option<(Trial, Instant)>,
}

impl LeftOver {
    /// Whether it has been so for longer than whoever puts it there takes to begin it. Each change begins anew.
    pub(super) fn is_due(&mut self, trial: &Trial, within: Duration, now: Instant) -> bool {
        match &self.of {
            Some((of, since)) if of == trial => now.saturating_duration_since(*since) >= within,
            _ => {
                self.of = Some((trial.clone(), now));
                false
            }
        }
    }
}

/// True where whoever has switched the client off, ended its registration, or suspended it, keeps it from being connected:
/// that says nothing of the version, which has been let as far as that.
fn says_nothing(connection: &Connection) -> bool {
    matches!(
        connection,
        Connection::Off | Connection::Unregistered | Connection::Waiting { cause: Cause::Suspended, .. }
    )
}

/// Waits until a version has been there for a while, and is connected. False when it was not connected for too long; while it
/// is switched off nothing is told by that.
pub(super) async fn lasts(kept: Duration, mut statuses: watch::Receiver<Status>) -> bool {
    let mut until = Instant::now() + kept;
    let (mut away_since, mut looked, mut was_off) = (None, Instant::now(), false);
    loop {
        let now = Instant::now();
        let passed = now.saturating_duration_since(looked);
        if passed >= SLEPT {
            away_since = None;
        }
        // In neither could it have crashed.
        if passed >= SLEPT || was_off {
            until += passed;
        }
        looked = now;
        let connection = statuses.borrow_and_update().connection.clone();
        let is_off = says_nothing(&connection);
        let is_online = matches!(connection, Connection::Online { .. });
        was_off = is_off;
        away_since = if is_online || is_off { None } else { Some(away_since.unwrap_or(now)) };
        let due = match away_since {
            None if is_off => now + LOOKS,
            None if now >= until => return true,
            None => until,
            Some(since) if now >= since + UNCONNECTED => return false,
            Some(since) => since + UNCONNECTED,
        };
        tokio::select! {
            changed = statuses.changed() => if changed.is_err() {
                return std::future::pending().await;
            },
            () = tokio::time::sleep_until(due.min(now + LOOKS)) => {}
        }
    }
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

fn works(light: Light) -> bool {
    matches!(light, Light::Green | Light::UpToServer)
}

/// The services that work, by name.
pub fn working(status: &Status) -> Vec<String> {
    let working = status.services.iter().filter(|service| works(service.light));
    working.map(|service| service.name.to_string()).collect()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Works,
    DoesNot,
    /// It has not been connected for so long that nothing can be told.
    Unconnected,
}

/// `sets_up`: whether the config file sets up a service.
pub(super) async fn judge(
    mut watch: Watch,
    mut statuses: watch::Receiver<Status>,
    sets_up: impl Fn(&str) -> bool,
) -> Outcome {
    loop {
        let now = Instant::now();
        let outcome = watch.see(&statuses.borrow_and_update(), now, &sets_up);
        if let Some(outcome) = outcome {
            return outcome;
        }
        let due = async {
            match watch.due() {
                Some(due) => tokio::time::sleep_until(due.min(now + LOOKS)).await,
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
    contact: Option<Contact>,
    looked: Option<Instant>,
}

/// Whether it is connected, and since when.
#[derive(Clone, Copy, Debug)]
enum Contact {
    Online(Instant),
    Away(Instant),
}

impl Watch {
    pub(super) fn new(trial: &Trial) -> Self {
        Self { worked: trial.test.worked.clone(), left: trial.test.within, contact: None, looked: None }
    }

    pub(super) fn see(
        &mut self,
        status: &Status,
        now: Instant,
        sets_up: impl Fn(&str) -> bool,
    ) -> Option<Outcome> {
        if self.looked.is_some_and(|looked| now >= looked + SLEPT) {
            self.contact = None;
        }
        self.looked = Some(now);
        if let Some(Contact::Online(since)) = self.contact {
            self.left = self.left.saturating_sub(now.saturating_duration_since(since));
        }
        if says_nothing(&status.connection) {
            self.contact = None;
            return None;
        }
        let is_online = matches!(status.connection, Connection::Online { .. });
        self.contact = Some(match self.contact {
            _ if is_online => Contact::Online(now),
            Some(Contact::Away(since)) => Contact::Away(since),
            _ => Contact::Away(now),
        });
        // Whether visitors get in at the server is the server's own affair, and it alone says so.
        let is_fronts = |broken: &Broken| matches!(broken.at, BrokenAt::Front(_));
        let is_missed = |name: &String| {
            match status.services.iter().find(|service| service.name.as_str() == name) {
                Some(service) => !works(service.light) && !service.broken.as_ref().is_some_and(is_fronts),
                // One that was taken out of the config meanwhile says nothing; one that this version does not show does.
                None => sets_up(name),
            }
        };
        if is_online && !self.worked.iter().any(is_missed) {
            Some(Outcome::Works)
        } else if self.left.is_zero() {
            Some(Outcome::DoesNot)
        } else if !is_online && self.due().is_some_and(|at| at <= now) {
            Some(Outcome::Unconnected)
        } else {
            None
        }
    }

    /// When the time is over, if nothing changes.
    pub(super) fn due(&self) -> Option<Instant> {
        self.contact.map(|contact| match contact {
            Contact::Online(since) => since + self.left,
            Contact::Away(since) => since + UNCONNECTED,
        })
    }
}
