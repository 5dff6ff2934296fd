//! Roll-outs, as the operator asks for them.

use std::collections::HashSet;
use std::time::Duration;

use petit_host::control::ApiProblem;

use super::{Admin, Running};
use crate::api::{
    BAD_CLIENTS_SHOWN, BadClient, HaltRollout, RingView, RolloutStatus, RolloutView, RolloutWait,
    StartRollout,
};
use crate::registry::{Actor, IfHalted, RolloutStep, StoredReport};
use crate::rollouts::{RolloutStanding, Standing};

type Answered<T> = Result<T, ApiProblem>;

/// Longer than anybody watches a ring.
const SOAK_MAX: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// Bytes of a reason.
const REASON_MAX: usize = 200;

impl Admin {
    pub(super) async fn rollout(&self) -> Answered<RolloutStatus> {
        let running = self.running()?;
        // What somebody has put there a moment ago counts.
        let _ = running.server.releases.look().await;
        self.rollout_status(running).await
    }

    pub(super) async fn start_rollout(&self, asked: StartRollout, actor: Actor) -> Answered<RolloutStatus> {
        let running = self.running()?;
        let soak = Duration::from_secs(asked.soak_seconds);
        if soak > SOAK_MAX {
            return Err(ApiProblem::new(400, "too_long", "a ring is watched for 30 days at most"));
        }
        let release = running.server.releases.look().await;
        let release =
            release.map_err(|error| ApiProblem::new(500, "release", petit_host::cli::chain(&error)))?;
        let release = release.ok_or_else(|| {
            let problem = "no release is handed out; hand one out with: petit-server release put FOLDER";
            ApiProblem::new(409, "no_release", problem)
        })?;
        let rollouts = &running.server.rollouts;
        let if_halted = if asked.again { IfHalted::StartAgain } else { IfHalted::Refuse };
        let started = rollouts.start(&release.handed_out, (asked.rings, soak, if_halted), actor).await;
        started.map_err(self.problem())?;
        self.rollout_status(running).await
    }

    pub(super) async fn halt_rollout(&self, asked: HaltRollout, actor: Actor) -> Answered<RolloutStatus> {
        let HaltRollout { reason } = asked;
        if reason.len() > REASON_MAX || reason.chars().any(char::is_control) {
            let problem = format!("a reason is one line of {REASON_MAX} bytes at most");
            return Err(ApiProblem::new(400, "reason", problem));
        }
        self.step_rollout(RolloutStep::Halt { reason }, actor).await
    }

    pub(super) async fn step_rollout(&self, step: RolloutStep, actor: Actor) -> Answered<RolloutStatus> {
        let running = self.running()?;
        running.server.rollouts.step(step, actor).await.map_err(self.problem())?;
        self.rollout_status(running).await
    }

    async fn rollout_status(&self, running: &Running) -> Answered<RolloutStatus> {
        let online: HashSet<_> = running.server.relay.connected().into_iter().collect();
        let standing = running.server.rollouts.standing(&online).await;
        let Standing { handed_out, rollout } = standing.map_err(self.problem())?;
        let rollout = rollout.map(|it| self.rollout_view(it));
        Ok(RolloutStatus { release: handed_out.map(Into::into), rollout })
    }

    fn rollout_view(&self, standing: RolloutStanding) -> RolloutView {
        let RolloutStanding { rollout, is_of_this_release, tally, rings, verdict, mut bad } = standing;
        bad.sort_by_key(|report| report.at);
        let bad = bad.into_iter().take(BAD_CLIENTS_SHOWN).map(
            |StoredReport { device, version, state, at, .. }| {
                let name = self.directory.name_of(&device).unwrap_or_default();
                BadClient { at, client: device, name, state, version }
            },
        );
        let ring = |(number, clients)| Some(RingView { clients, ring: rollout.rings.get(number)?.clone() });
        let rings = rings.into_iter().enumerate().filter_map(ring).collect();
        RolloutView {
            bad: bad.collect(),
            counts: tally.into(),
            counter: rollout.release.counter,
            is_of_this_release,
            open: rollout.open,
            opened: rollout.opened,
            rings,
            soak_seconds: rollout.soak.as_secs(),
            started: rollout.started,
            waits_for: verdict.filter(|_| is_of_this_release).and_then(|verdict| RolloutWait::of(&verdict)),
            state: rollout.state,
        }
    }
}
