//! Roll-outs and what clients say of them, over a start of the server.

use petit_engine::proto::control::UpdateState;

use super::*;
use crate::registry::{IfHalted, ReleaseToRollOut, Rings, RolloutState, TargetVersions};

#[tokio::test]
async fn a_roll_out_and_what_clients_say_of_it_are_there_after_a_start() {
    let bed = Bed::new().await;
    let soak = Duration::from_secs(900);
    let release = |name: &str| ReleaseToRollOut { release: name.to_owned(), counter: u64::MAX >> 1 };
    let rings: Rings = "tag:staff,5%,100%".parse().unwrap();
    let versions: TargetVersions = [("t".to_owned(), "0.2.0".to_owned())].into();
    for name in ["one", "two"] {
        let (versions, rings) = (versions.clone(), rings.clone());
        let plan = RolloutPlan { release: release(name), versions, rings, soak, if_halted: IfHalted::Refuse };
        bed.store.start_rollout(plan, Actor::Operator).await.unwrap();
    }
    let device = bed.enrolled().await.device;
    let states = [
        UpdateState::Waiting,
        UpdateState::OnTrial,
        UpdateState::Works,
        UpdateState::PutBack,
        UpdateState::Failed,
    ];
    let mut bed = bed;
    let steps = [
        RolloutStep::Halt { reason: "calls from \"customers\"".to_owned() },
        RolloutStep::Resume,
        RolloutStep::OpenNext,
        RolloutStep::Finish,
        RolloutStep::RollBack,
    ];
    for (state, step) in states.into_iter().zip(steps) {
        let target = (state != UpdateState::Waiting).then(|| "t".to_owned());
        let (version, at) = ("0.2.0".to_owned(), Timestamp::now());
        let report = StoredReport { device, counter: 9, version, state, at, target };
        bed.store.put_reports(vec![report.clone()]).await.unwrap();
        let rollout = bed.store.step_rollout(step, Actor::Operator).await.unwrap();
        bed = bed.reopened().await;
        let (rollouts, reports) = bed.store.rollouts().await.unwrap();
        assert_eq!((rollouts.len(), rollouts.last(), reports), (2, Some(&rollout), vec![report]));
    }
    let (rollouts, _) = bed.store.rollouts().await.unwrap();
    let rollout = rollouts.into_iter().next_back().unwrap();
    assert_eq!((rollout.release, rollout.versions, rollout.rings), (release("two"), versions, rings));
    assert_eq!((rollout.state, rollout.open), (RolloutState::RolledBack, 2));
}

#[tokio::test]
async fn the_last_roll_out_is_the_one_that_was_started_last_whatever_the_clock_said() {
    let mut bed = Bed::new().await;
    let release = |name: &str| ReleaseToRollOut { release: name.to_owned(), counter: 1 };
    for name in ["one", "two", "one", "three"] {
        let (rings, versions) = (Rings::default(), TargetVersions::new());
        let plan = RolloutPlan {
            release: release(name),
            versions,
            rings,
            soak: Duration::ZERO,
            if_halted: IfHalted::Refuse,
        };
        let result = bed.store.start_rollout(plan, Actor::Operator).await;
        result.unwrap();
        // As if the clock had gone back meanwhile.
        let mut held = bed.store.writer.lock().await;
        let earlier = "UPDATE rollouts SET started_at = started_at + 1000000 * (4 - rowid)";
        sqlx::query(earlier).execute(held.as_mut().unwrap()).await.unwrap();
    }
    bed = bed.reopened().await;
    let halt = RolloutStep::Halt { reason: "calls".to_owned() };
    let halted = bed.store.step_rollout(halt, Actor::Server).await.unwrap();
    assert_eq!(halted.release, release("three"));
    // It is known of each release how its own roll-out ended.
    let plan = |name: &str| RolloutPlan {
        release: release(name),
        versions: TargetVersions::new(),
        rings: Rings::default(),
        soak: Duration::ZERO,
        if_halted: IfHalted::Refuse,
    };
    bed.store.start_rollout(plan("one"), Actor::Operator).await.unwrap();
    let refused = bed.store.start_rollout(plan("three"), Actor::Operator).await.unwrap_err();
    assert!(refused.to_string().contains("was halted by itself at "), "{refused}");
    let (rollouts, _) = bed.store.rollouts().await.unwrap();
    let names: Vec<&str> = rollouts.iter().map(|rollout| rollout.release.release.as_str()).collect();
    assert_eq!(names, ["two", "three", "one"]);
}
