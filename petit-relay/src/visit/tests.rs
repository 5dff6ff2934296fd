//! Visits that end in every way that there is.

use std::panic::AssertUnwindSafe;
use std::sync::{Mutex, PoisonError};

use hyper::StatusCode;
use petit_engine::name::{DeviceId, RegisteredId};
use petit_engine::proto::control::ServiceKind;
use proptest::prelude::*;

use super::*;

/// What is left of a record when its visit is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Heard {
    end: VisitEnd,
    status: Option<u16>,
    path: Option<String>,
    up: u64,
    down: u64,
}

#[derive(Default)]
struct Listener(Mutex<Vec<Heard>>);

impl Listener {
    fn heard(&self) -> Vec<Heard> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Observer for Listener {
    fn visit_ended(&self, record: &Record<'_>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(Heard {
            end: record.end,
            status: record.status,
            path: record.path.map(str::to_owned),
            up: record.bytes_up,
            down: record.bytes_down,
        });
    }
}

fn route() -> Route {
    Route {
        id: RegisteredId::random().unwrap(),
        device: DeviceId::random().unwrap(),
        name: "web".parse().unwrap(),
        kind: ServiceKind::Http,
        policy: None,
        is_suspended: false,
    }
}

fn begin(listener: &Arc<Listener>) -> Visit {
    let observer: Arc<dyn Observer> = Arc::clone(listener) as _;
    let request = Request::get("/a/b?token=secret").body(()).unwrap();
    let asked = || (Protocol::Http11, Some(Asked::of(&request)));
    Visit::begin(Some(&observer), RequestId([7; 16]), route(), ([192, 0, 2, 1], 5).into(), asked)
}

/// What one who carries a part of a visit does with it.
#[derive(Clone, Copy, Debug)]
enum Step {
    Up(usize),
    Down(usize),
    Share,
    LetGo,
    GoesOn,
    End(VisitEnd),
    Status,
    Panic,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let end = prop_oneof![
        Just(VisitEnd::Whole),
        Just(VisitEnd::Failed(Failure::ServiceBroke)),
        Just(VisitEnd::Failed(Failure::TunnelLost)),
        Just(VisitEnd::Idle),
        Just(VisitEnd::Cut),
    ];
    let step = prop_oneof![
        4 => (0..9999usize).prop_map(Step::Up),
        4 => (0..9999usize).prop_map(Step::Down),
        2 => Just(Step::Share),
        2 => Just(Step::LetGo),
        1 => Just(Step::GoesOn),
        2 => end.prop_map(Step::End),
        1 => Just(Step::Status),
        1 => Just(Step::Panic),
    ];
    prop::collection::vec(step, 0..30)
}

proptest! {
    #[test]
    fn whatever_becomes_of_a_visit_its_observer_hears_of_it_once_and_rightly(
        steps in steps(),
        is_shared in any::<bool>(),
    ) {
        let listener = Arc::new(Listener::default());
        let visit = begin(&listener);
        let path = Some("/a/b".to_owned());
        let mut expected =
            Heard { end: VisitEnd::VisitorLeft, status: None, path, up: 0, down: 0 };
        let mut said = false;
        let mut going_on = 0;
        // Another task, which no panic in the first one touches.
        let elsewhere = is_shared.then(|| visit.recorder.clone());
        // Whoever carries it holds it in what unwinds when there is a panic, as a task does.
        let carried = std::panic::catch_unwind(AssertUnwindSafe(|| {
            let mut held = vec![visit.recorder.clone()];
            drop(visit);
            for step in steps {
                let Some(recorder) = held.last() else { break };
                match step {
                    Step::Up(bytes) => {
                        recorder.add_up(bytes);
                        expected.up += bytes as u64;
                    }
                    Step::Down(bytes) => {
                        recorder.add_down(bytes);
                        expected.down += bytes as u64;
                    }
                    Step::Share => held.push(recorder.clone()),
                    Step::LetGo => drop(held.pop()),
                    Step::GoesOn => {
                        recorder.goes_on();
                        going_on += 1;
                    }
                    // One part of several is.
                    Step::End(VisitEnd::Whole) if going_on > 0 => {
                        recorder.ends(VisitEnd::Whole);
                        going_on -= 1;
                    }
                    Step::End(end) => {
                        recorder.ends(end);
                        if !std::mem::replace(&mut said, true) {
                            expected.end = end;
                        }
                    }
                    Step::Status => {
                        recorder.set_status(StatusCode::OK);
                        expected.status = Some(200);
                    }
                    Step::Panic => {
                        if !said {
                            expected.end = VisitEnd::Failed(Failure::Internal);
                            expected.status.get_or_insert(500);
                        }
                        std::panic::resume_unwind(Box::new("a fault within"));
                    }
                }
                let is_held = !held.is_empty() || is_shared;
                assert_eq!(listener.heard().is_empty(), is_held, "told when the last one lets go");
            }
        }));
        drop(carried);
        drop(elsewhere);
        prop_assert_eq!(listener.heard(), [expected]);
    }
}

#[test]
fn where_nobody_observes_nothing_is_kept() {
    let visit = Visit::begin(None, RequestId([7; 16]), route(), ([192, 0, 2, 1], 5).into(), || {
        panic!("nobody wants to know what was asked for")
    });
    visit.recorder.add_up(1);
    assert!(visit.recorder.0.is_none());
}

#[test]
fn each_end_leads_to_its_hop() {
    assert_eq!(VisitEnd::Whole.hop(), None);
    assert_eq!(VisitEnd::VisitorLeft.hop(), Some(FailedHop::Request));
    for failure in Failure::ALL {
        assert_eq!(VisitEnd::Failed(failure).hop(), Some(failure.hop()));
    }
}
