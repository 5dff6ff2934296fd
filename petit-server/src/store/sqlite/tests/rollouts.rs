//! Roll-outs and what clients say of them, over a start of the server.

use petit_engine::proto::control::UpdateState;

use super::*;
use crate::registry::RolloutState;

#[tokio::test]
async fn a_roll_out_and_what_clients_say_of_it_are_there_after_a_start() {
    let bed = Bed::new().await;
    let soak = Duration::from_secs(900);
    let release = |name: &str| ReleaseToRollOut { release: name.to_owned(), counter: u64::MAX >> 1 };
    let rings: Rings = "tag:staff,5%,100%".parse().unwrap();
    for name in ["one", "two"] {
        bed.store.start_rollout(release(name), rings.clone(), soak, Actor::Operator).await.unwrap();
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
        let report =
            StoredReport { device, counter: 9, version: "0.2.0".to_owned(), state, at: Timestamp::now() };
        bed.store.put_reports(vec![report.clone()]).await.unwrap();
        let rollout = bed.store.step_rollout(step, Actor::Operator).await.unwrap();
        bed = bed.reopened().await;
        assert_eq!(bed.store.rollout().await.unwrap(), (Some(rollout), vec![report]));
    }
    let (rollout, _) = bed.store.rollout().await.unwrap();
    let rollout = rollout.unwrap();
    assert_eq!((rollout.release, rollout.rings), (release("two"), rings));
    assert_eq!((rollout.state, rollout.open), (RolloutState::RolledBack, 2));
}
