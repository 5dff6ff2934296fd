//! Roll-outs: how far a release is handed out, who may change that, and what is refused.

use std::time::Duration;

use petit_engine::name::DeviceId;
use petit_engine::proto::control::UpdateState;
use serde::{Deserialize, Serialize};

use super::change::Actor;
use super::change_body::ChangeBody;
use super::error::{Conflict, StoreError};
use super::rings::Rings;
use super::rows::Rows;
use super::rules::Registry;
use super::timestamp::Timestamp;

/// How far a release is handed out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rollout {
    pub release: ReleaseToRollOut,
    pub rings: Rings,
    /// How many of them are open, at least one.
    pub open: usize,
    /// How long a ring is watched at least before the next one is opened.
    pub soak: Duration,
    pub state: RolloutState,
    pub started: Timestamp,
    /// When it was resumed last: whoever did that has seen what had gone wrong by then.
    pub resumed: Option<Timestamp>,
    /// When the last ring was opened, or it was resumed.
    pub opened: Timestamp,
}

/// A release, by what is in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseToRollOut {
    /// SHA-256 of its targets, versions and files: signed anew it is the same release.
    pub release: String,
    /// The number of its manifest when it was started.
    pub counter: u64,
}

/// Where a roll-out stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RolloutState {
    /// Its rings are opened one after the other.
    Running,
    /// Nobody gets the release until it is resumed.
    Halted { reason: String },
    /// All rings were open for long enough; everybody gets it.
    Done,
    /// Nobody gets it any more.
    RolledBack,
}

/// What is done to a roll-out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RolloutStep {
    /// The next ring is opened.
    OpenNext,
    Finish,
    Halt {
        reason: String,
    },
    Resume,
    RollBack,
}

/// What a client has said last of a release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredReport {
    pub device: DeviceId,
    pub counter: u64,
    pub version: String,
    pub state: UpdateState,
    /// When it said so first.
    pub at: Timestamp,
}

impl StoredReport {
    /// True when another one says the same of the same client, whenever.
    pub fn says_as(&self, other: &Self) -> bool {
        let Self { device, counter, version, state, at: _ } = self;
        (device, counter, version, state) == (&other.device, &other.counter, &other.version, &other.state)
    }
}

impl Rollout {
    /// Whether anybody is handed the release by it.
    pub fn hands_out(&self) -> bool {
        matches!(self.state, RolloutState::Running | RolloutState::Done)
    }

    /// Whether it can still come to something else by itself.
    pub fn is_running(&self) -> bool {
        self.state == RolloutState::Running
    }
}

impl<R: Rows> Registry<'_, R> {
    /// Begins to hand a release out to the first ring.
    ///
    /// # Errors
    /// [`StoreError`]; [`Conflict::RolloutThere`] when that release is being rolled out, or was.
    pub async fn start_rollout(
        mut self,
        release: ReleaseToRollOut,
        rings: Rings,
        soak: Duration,
        actor: Actor,
    ) -> Result<Rollout, StoreError> {
        if let Some(known) = self.rows.last_rollout().await?
            && known.release.release == release.release
            && known.state != RolloutState::RolledBack
        {
            return Err(Conflict::RolloutThere.into());
        }
        let body = ChangeBody::RolloutStarted { release: release.clone(), rings: rings.clone() };
        let (started, opened) = (self.now, self.now);
        let (state, resumed) = (RolloutState::Running, None);
        let rollout = Rollout { release, rings, open: 1, soak, state, started, resumed, opened };
        self.rows.put_rollout(&rollout).await?;
        self.record(actor, rollout.release.counter, &body).await?;
        Ok(rollout)
    }

    /// Changes the roll-out that was started last.
    ///
    /// # Errors
    /// [`StoreError`]; [`Conflict::NoRollout`], [`Conflict::RolloutStands`] when that is nothing to do to it now.
    pub async fn step_rollout(mut self, step: RolloutStep, actor: Actor) -> Result<Rollout, StoreError> {
        let mut rollout = self.rows.last_rollout().await?.ok_or(Conflict::NoRollout)?;
        let cannot = |why: &'static str| Err(Conflict::RolloutStands(why).into());
        let body = match (step, &rollout.state) {
            (_, RolloutState::RolledBack) => {
                return cannot("it was rolled back; start one for the next release");
            }
            (RolloutStep::Halt { .. }, RolloutState::Halted { .. }) => return cannot("it is halted already"),
            (RolloutStep::OpenNext, RolloutState::Running) if rollout.open < rollout.rings.len() => {
                rollout.open += 1;
                rollout.opened = self.now;
                ChangeBody::RolloutWidened { open: rollout.open }
            }
            (RolloutStep::OpenNext, RolloutState::Running) => return cannot("all its rings are open"),
            (RolloutStep::OpenNext, RolloutState::Halted { .. }) => {
                return cannot("it is halted; resume it first");
            }
            (RolloutStep::OpenNext | RolloutStep::Finish, RolloutState::Done) => return cannot("it is done"),
            (RolloutStep::Finish, RolloutState::Halted { .. }) => return cannot("it is halted"),
            (RolloutStep::Finish, RolloutState::Running) => {
                rollout.state = RolloutState::Done;
                ChangeBody::RolloutDone {}
            }
            (RolloutStep::Halt { reason }, RolloutState::Running | RolloutState::Done) => {
                rollout.state = RolloutState::Halted { reason: reason.clone() };
                ChangeBody::RolloutHalted { reason }
            }
            (RolloutStep::Resume, RolloutState::Halted { .. }) => {
                rollout.state = RolloutState::Running;
                (rollout.resumed, rollout.opened) = (Some(self.now), self.now);
                ChangeBody::RolloutResumed {}
            }
            (RolloutStep::Resume, RolloutState::Running | RolloutState::Done) => {
                return cannot("it is not halted");
            }
            (
                RolloutStep::RollBack,
                RolloutState::Running | RolloutState::Halted { .. } | RolloutState::Done,
            ) => {
                rollout.state = RolloutState::RolledBack;
                ChangeBody::RolloutRolledBack {}
            }
        };
        self.rows.put_rollout(&rollout).await?;
        self.record(actor, rollout.release.counter, &body).await?;
        Ok(rollout)
    }

    /// Keeps what clients have said; of those that are registered. No change of the registry.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn put_reports(self, reports: &[StoredReport]) -> Result<(), StoreError> {
        for report in reports {
            if self.rows.device(&report.device).await?.is_some() {
                self.rows.put_report(report).await?;
            }
        }
        Ok(())
    }
}
