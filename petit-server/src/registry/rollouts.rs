//! Roll-outs: who may change how far a release is handed out, and what is refused.

use super::change::Actor;
use super::change_body::ChangeBody;
use super::error::{Conflict, HaltBefore, StoreError};
use super::rollout::{IfHalted, Rollout, RolloutPlan, RolloutState, RolloutStep, StoredReport};
use super::rows::Rows;
use super::rules::Registry;

impl<R: Rows> Registry<'_, R> {
    /// Begins to hand a release out to the first ring.
    ///
    /// # Errors
    /// [`StoreError`]; [`Conflict::RolloutThere`] when that release is being rolled out, or was; another conflict when it
    /// was halted or rolled back, unless [`IfHalted::StartAgain`].
    pub async fn start_rollout(mut self, plan: RolloutPlan, actor: Actor) -> Result<Rollout, StoreError> {
        let RolloutPlan { release, versions, rings, soak, if_halted } = plan;
        let mut started = self.now;
        if let Some(known) = self.rows.rollout_of(&release.release).await? {
            started = known.begins_anew(self.now);
            let is_last = self.rows.last_rollout().await?.as_ref() == Some(&known);
            if let Some(conflict) = conflict_with(known, is_last, if_halted) {
                return Err(conflict.into());
            }
        }
        let body = ChangeBody::RolloutStarted {
            release: release.clone(),
            rings: rings.clone(),
            soak_seconds: Some(soak.as_secs()),
        };
        let opened = started;
        let (state, resumed) = (RolloutState::Running, None);
        let rollout = Rollout { release, versions, rings, open: 1, soak, state, started, resumed, opened };
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
                let ring = rollout.rings.get(rollout.open - 1).cloned();
                ChangeBody::RolloutWidened { open: rollout.open, ring }
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
                let (since, by_itself) = (self.now, actor == Actor::Server);
                rollout.state = RolloutState::Halted { reason: reason.clone(), since, by_itself };
                ChangeBody::RolloutHalted { reason }
            }
            (RolloutStep::Resume, RolloutState::Halted { .. }) => {
                rollout.state = RolloutState::Running;
                let resumed = rollout.begins_anew(self.now);
                (rollout.resumed, rollout.opened) = (Some(resumed), resumed);
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

/// Why no roll-out of a release begins that has had one.
fn conflict_with(known: Rollout, is_last: bool, if_halted: IfHalted) -> Option<Conflict> {
    match (known.state, if_halted) {
        (RolloutState::Halted { .. } | RolloutState::RolledBack, IfHalted::StartAgain) => None,
        (RolloutState::Halted { reason, since, by_itself }, IfHalted::Refuse) => {
            let halt = HaltBefore { reason, since, by_itself };
            Some(if is_last { Conflict::RolloutHalted(halt) } else { Conflict::RolloutHaltedBefore(halt) })
        }
        (RolloutState::RolledBack, IfHalted::Refuse) => Some(Conflict::RolloutRolledBack),
        // Before another one it was watched by nobody any more.
        (RolloutState::Running | RolloutState::Done, _) => is_last.then_some(Conflict::RolloutThere),
    }
}
