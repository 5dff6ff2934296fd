//! Roll-outs: what may be done to one in which state.

use petit_engine::proto::control::UpdateState;

use super::*;

const SOAK: Duration = Duration::from_secs(900);

fn release(name: &str) -> ReleaseToRollOut {
    ReleaseToRollOut { release: name.to_owned(), counter: 7 }
}

impl Bed {
    async fn start(&mut self, name: &str) -> Result<Rollout, StoreError> {
        self.start_if(name, IfHalted::Refuse).await
    }

    async fn start_if(&mut self, name: &str, if_halted: IfHalted) -> Result<Rollout, StoreError> {
        let versions = [("t".to_owned(), "0.2.0".to_owned())].into();
        let rings = "5%,100%".parse().unwrap();
        let plan = RolloutPlan { release: release(name), versions, rings, soak: SOAK, if_halted };
        self.rules().start_rollout(plan, Actor::Operator).await
    }

    async fn step(&mut self, step: RolloutStep) -> Result<Rollout, Conflict> {
        self.now = self.now + SECOND;
        self.rules()
            .step_rollout(step, Actor::Server)
            .await
            .map_err(|error| conflict::<()>(Err(error)).unwrap_err())
    }
}

fn halt() -> RolloutStep {
    RolloutStep::Halt { reason: "calls".to_owned() }
}

#[tokio::test]
async fn a_roll_out_goes_its_way_and_what_it_cannot_do_changes_nothing() {
    let mut bed = Bed::new();
    assert_eq!(bed.step(RolloutStep::Resume).await.unwrap_err(), Conflict::NoRollout);
    let started = bed.start("one").await.unwrap();
    assert_eq!((started.open, &started.state), (1, &RolloutState::Running));
    assert_eq!(conflict(bed.start("one").await).unwrap_err(), Conflict::RolloutThere);
    let refused = |result: Result<Rollout, Conflict>| {
        assert!(matches!(result, Err(Conflict::RolloutStands(_))), "{result:?}");
    };
    let written = bed.rows.written;
    refused(bed.step(RolloutStep::Resume).await);
    assert_eq!(bed.rows.written, written);

    let halted = bed.step(halt()).await.unwrap();
    let (reason, since) = ("calls".to_owned(), bed.now);
    assert_eq!(halted.state, RolloutState::Halted { reason, since, by_itself: true });
    assert!(!halted.hands_out());
    for step in [halt(), RolloutStep::OpenNext, RolloutStep::Finish] {
        refused(bed.step(step).await);
    }
    let resumed = bed.step(RolloutStep::Resume).await.unwrap();
    assert_eq!((resumed.resumed, resumed.opened, resumed.open), (Some(bed.now), bed.now, 1));
    let widened = bed.step(RolloutStep::OpenNext).await.unwrap();
    assert_eq!((widened.open, widened.opened), (2, bed.now));
    refused(bed.step(RolloutStep::OpenNext).await);
    let done = bed.step(RolloutStep::Finish).await.unwrap();
    assert!(done.hands_out() && !done.is_running());
    for step in [RolloutStep::OpenNext, RolloutStep::Finish, RolloutStep::Resume] {
        refused(bed.step(step).await);
    }
    // It can still turn out to be bad.
    bed.step(halt()).await.unwrap();
    let back = bed.step(RolloutStep::RollBack).await.unwrap();
    assert_eq!(back.state, RolloutState::RolledBack);
    for step in
        [RolloutStep::OpenNext, RolloutStep::Finish, RolloutStep::Resume, halt(), RolloutStep::RollBack]
    {
        refused(bed.step(step).await);
    }
    assert_eq!(conflict(bed.start("one").await).unwrap_err(), Conflict::RolloutRolledBack);
    // Somebody may have thought better of it.
    let anew = bed.start_if("one", IfHalted::StartAgain).await.unwrap();
    assert_eq!((anew.open, anew.resumed), (1, None));
    bed.start("two").await.unwrap();

    let kinds: Vec<&str> = bed.rows.changes.iter().map(|change| &*change.kind).collect();
    let expected = [
        "rollout-started",
        "rollout-halted",
        "rollout-resumed",
        "rollout-widened",
        "rollout-done",
        "rollout-halted",
        "rollout-rolled-back",
        "rollout-started",
        "rollout-started",
    ];
    assert_eq!(kinds, expected);
    assert_eq!(bed.rows.changes[1].actor, Actor::Server);
}

#[tokio::test]
async fn a_release_that_was_halted_begins_again_only_when_that_is_asked_for() {
    let mut bed = Bed::new();
    let first = bed.start("one").await.unwrap();
    bed.step(halt()).await.unwrap();
    let refused = conflict(bed.start("one").await).unwrap_err();
    let halted = format!(
        "is halted by itself since {}: calls; to go on with it: petit-server rollout resume",
        bed.now
    );
    assert!(refused.to_string().contains(&halted), "{refused}");
    // Another one does not make that forgotten.
    bed.start("two").await.unwrap();
    let refused = conflict(bed.start("one").await).unwrap_err();
    let halted = format!("an earlier roll-out of this release was halted by itself at {}: calls;", bed.now);
    let said = refused.to_string();
    assert!(
        said.starts_with(&halted) && said.contains("start --again") && !said.contains("resume"),
        "{said}"
    );
    let written = bed.rows.written;
    assert_eq!(conflict(bed.start("one").await).unwrap_err(), refused);
    assert_eq!(bed.rows.written, written);
    bed.now = first.started;
    let again = bed.start_if("one", IfHalted::StartAgain).await.unwrap();
    // Nothing that was said of the one before counts, not even in the same second.
    let begun = first.started + Duration::from_secs(1);
    assert_eq!((again.open, again.begun(), &again.state), (1, begun, &RolloutState::Running));
    // One that runs is none that was halted.
    let refused = bed.start_if("one", IfHalted::StartAgain).await;
    assert_eq!(conflict(refused).unwrap_err(), Conflict::RolloutThere);
    // One that was good is there to come back to.
    bed.step(RolloutStep::OpenNext).await.unwrap();
    bed.step(RolloutStep::Finish).await.unwrap();
    assert_eq!(conflict(bed.start("one").await).unwrap_err(), Conflict::RolloutThere);
    bed.start("three").await.unwrap();
    bed.start("one").await.unwrap();
}

#[tokio::test]
async fn what_clients_say_is_kept_of_those_that_there_are_and_is_no_change() {
    let mut bed = Bed::new();
    let device = bed.enrolled().await.device;
    let changes = bed.rows.changes.len();
    let report = |device, state| StoredReport {
        device,
        counter: 7,
        version: "0.2.0".to_owned(),
        state,
        at: Timestamp(1_800_000_000),
        target: Some("t".to_owned()),
    };
    let reports =
        [report(device, UpdateState::OnTrial), report(DeviceId::random().unwrap(), UpdateState::Works)];
    bed.rules().put_reports(&reports).await.unwrap();
    bed.rules().put_reports(&[report(device, UpdateState::PutBack)]).await.unwrap();
    assert_eq!(bed.rows.reports, [report(device, UpdateState::PutBack)]);
    assert_eq!(bed.rows.changes.len(), changes);
}
