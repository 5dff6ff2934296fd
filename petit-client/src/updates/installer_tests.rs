//! A program that an installer has put here, and its way back: the installer of the version before.

use std::fmt::Debug;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use petit_host::update::{KEPT, MAX_CRASHES, MAX_EXCUSES, Stage, Start, Time, Trial, Verdict, Version};
use tokio::sync::{mpsc, watch};
use tracing::field::{Field, Visit};
use tracing::{Event, Metadata, Subscriber, span};

use super::super::tests::{AWAY, ONLINE, status};
use super::super::{Begun, Means, TRIAL, Updates};
use super::BEFORE;
use crate::folder::Folder;

const BEFORE_THIS: &str = "0.0.1";
const NEXT: &str = "9.9.9";

/// A tray app, and what is beside it.
struct Home {
    dir: tempfile::TempDir,
    updates: Updates,
}

impl Home {
    fn new() -> Self {
        // Beside this program, which is its program by another name.
        let own = std::env::current_exe().unwrap();
        let dir = tempfile::tempdir_in(own.parent().unwrap()).unwrap();
        let config = dir.path().join("kept/config.toml");
        let folder = Folder::of(&config);
        folder.make().unwrap();
        std::fs::write(&config, "").unwrap();
        let program = dir.path().join("petit");
        std::fs::hard_link(&own, &program).unwrap();
        let updates = Updates::of(&folder, &program).by(Means::Installer);
        Self { dir, updates }
    }

    /// With the installer of the version before, which writes down how it was called.
    fn with_way_back() -> Self {
        let home = Self::new();
        let before = home.dir.path().join(BEFORE);
        let script = format!("#!/bin/sh\necho \"$@\" >>{}\n", home.called().display());
        std::fs::write(&before, script).unwrap();
        std::fs::set_permissions(&before, std::fs::Permissions::from_mode(0o700)).unwrap();
        home
    }

    fn called(&self) -> PathBuf {
        self.dir.path().join("called")
    }

    async fn until_called(&self) {
        let calls = async {
            while !std::fs::read_to_string(self.called()).is_ok_and(|said| said == "/S /BACK\n") {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), calls).await.unwrap();
    }

    async fn put_on_trial(&self, version: &Version, before: &Version) -> Trial {
        self.updates.progresses(|progress| progress.offered(7, version, Stage::OnTrial)).await;
        let test = self.updates.test(vec!["web".to_owned()], TRIAL, KEPT);
        let trial = Trial::new(version.clone(), before.clone(), test);
        self.updates.place.write_trial(&trial).unwrap();
        trial
    }

    /// This version is on trial.
    async fn on_trial(self) -> Self {
        let own = self.updates.own.clone();
        self.put_on_trial(&own, &BEFORE_THIS.parse().unwrap()).await;
        self
    }

    /// What is known of another version once this one has begun.
    async fn knows_of_next(&self, start: Start) -> (Option<Stage>, bool, bool) {
        let next = NEXT.parse().unwrap();
        self.updates.begin(start).await;
        assert!(self.updates.place.trial().unwrap().is_none(), "its trial is over");
        let history = self.updates.history().unwrap();
        let stage = self.updates.report().map(|report| report.state);
        (stage, history.is_bad(&next), history.is_by_hand(&next))
    }
}

#[tokio::test]
async fn a_version_that_crashes_again_and_again_has_the_installer_of_the_one_before_run() {
    let home = Home::with_way_back().on_trial().await;
    for _ in 0..MAX_CRASHES {
        assert!(matches!(home.updates.begin(Start::Fresh).await, Begun::OnTrial));
    }
    assert!(matches!(home.updates.begin(Start::Fresh).await, Begun::PutBack));
    home.until_called().await;
    let trial = home.updates.place.trial().unwrap().unwrap();
    assert_eq!(trial.goes_back_for(), Some(Verdict::DoesNotWork), "until the one before has begun");
    assert!(home.updates.history().unwrap().is_bad(&home.updates.own));
}

#[tokio::test]
async fn an_installer_that_cannot_be_started_is_tried_again_at_once() {
    let home = Home::with_way_back().on_trial().await;
    let before = home.dir.path().join(BEFORE);
    std::fs::set_permissions(&before, std::fs::Permissions::from_mode(0o600)).unwrap();
    for _ in 0..MAX_CRASHES {
        home.updates.begin(Start::Fresh).await;
    }
    assert!(matches!(home.updates.begin(Start::Fresh).await, Begun::Unusable(_)));
    std::fs::set_permissions(&before, std::fs::Permissions::from_mode(0o700)).unwrap();
    assert!(matches!(home.updates.begin(Start::Fresh).await, Begun::PutBack));
    home.until_called().await;
}

/// What is logged as an error.
#[derive(Clone, Default)]
struct Errors(Arc<Mutex<Vec<String>>>);

impl Subscriber for Errors {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() == tracing::Level::ERROR
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        struct Message(String);

        impl Visit for Message {
            fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
                if field.name() == "message" {
                    self.0 = format!("{value:?}");
                }
            }
        }

        let mut message = Message(String::new());
        event.record(&mut message);
        self.0.lock().unwrap().push(message.0);
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

#[tokio::test(start_paused = true)]
async fn that_a_version_goes_back_is_logged_once_and_so_is_what_keeps_it_from_that() {
    let (goes_back, fails) = ("going back to the version before", "a trial cannot be looked after");
    for (mode, times) in [(0o700, [1, 0]), (0o600, [1, 1])] {
        let home = Home::with_way_back().on_trial().await;
        let before = home.dir.path().join(BEFORE);
        std::fs::set_permissions(&before, std::fs::Permissions::from_mode(mode)).unwrap();
        let (_statuses, statuses) = watch::channel(status(&AWAY, &[]));
        let (restart, _restarts) = mpsc::channel(1);
        let errors = Errors::default();
        let _logged = tracing::subscriber::set_default(errors.clone());
        let watching = home.updates.watch(statuses, &restart);
        // For half an hour it is waited for the connection.
        assert!(tokio::time::timeout(Duration::from_mins(40), watching).await.is_err());
        let logged = errors.0.lock().unwrap();
        let said = |what: &str| logged.iter().filter(|line| *line == what).count();
        assert_eq!([said(goes_back), said(fails)], times, "{mode:o}: {logged:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_version_that_did_not_work_before_is_forgiven_once_it_works() {
    let home = Home::new().on_trial().await;
    let own = home.updates.own.clone();
    home.updates.change(|history| history.remember_bad(own.clone())).await.unwrap();
    assert!(matches!(home.updates.begin(Start::Fresh).await, Begun::OnTrial));
    assert!(home.updates.history().unwrap().is_bad(&own), "it has shown nothing yet");
    let (_statuses, statuses) = watch::channel(status(&ONLINE, &[("web", "green")]));
    let (restart, _restarts) = mpsc::channel(1);
    let watching = home.updates.watch(statuses, &restart);
    assert!(tokio::time::timeout(Duration::from_mins(1), watching).await.is_err());
    assert!(!home.updates.history().unwrap().is_bad(&own));
}

#[tokio::test]
async fn without_the_installer_of_the_one_before_a_version_goes_on() {
    let home = Home::new().on_trial().await;
    for _ in 0..MAX_CRASHES {
        home.updates.begin(Start::Fresh).await;
    }
    assert!(matches!(home.updates.begin(Start::Fresh).await, Begun::NoWayBack));
    assert!(matches!(home.updates.begin(Start::Fresh).await, Begun::Usual));
}

#[tokio::test]
async fn a_version_that_never_has_a_client_goes_back_and_is_left_to_people() {
    let home = Home::with_way_back().on_trial().await;
    // One process that tries again and again.
    assert!(matches!(home.updates.begin(Start::Fresh).await, Begun::OnTrial));
    home.updates.excused().await;
    for _ in 1..MAX_EXCUSES {
        assert!(matches!(home.updates.begin(Start::Takeover).await, Begun::OnTrial));
        home.updates.excused().await;
    }
    assert!(matches!(home.updates.begin(Start::Takeover).await, Begun::PutBack));
    home.until_called().await;
    let history = home.updates.history().unwrap();
    assert!(history.is_by_hand(&home.updates.own) && !history.is_bad(&home.updates.own));
    // The installer is at it, and is not run at each begin.
    assert!(matches!(home.updates.begin(Start::Fresh).await, Begun::PutBack));
    let mut trial = home.updates.place.trial().unwrap().unwrap();
    assert!(!trial.takes_try(Time::now()));
    assert!(trial.takes_try(Time::now().after(Duration::from_mins(15))));
}

#[tokio::test]
async fn what_is_put_back_and_is_the_version_that_was_to_go_stays() {
    let home = Home::with_way_back().on_trial().await;
    let mut trial = home.updates.place.trial().unwrap().unwrap();
    trial.goes_back(Verdict::DoesNotWork);
    home.updates.place.write_trial(&trial).unwrap();
    assert!(matches!(home.updates.begin(Start::PutBack).await, Begun::NoWayBack));
    assert!(matches!(home.updates.begin(Start::Fresh).await, Begun::Usual));
    assert!(!home.called().exists());
}

#[tokio::test]
async fn the_version_before_knows_why_it_is_there_again() {
    let next: Version = NEXT.parse().unwrap();
    // The installer has given up before it changed anything, and taken the trial with it.
    let home = Home::new();
    let own = home.updates.own.clone();
    home.put_on_trial(&next, &own).await;
    home.updates.place.end_trial().unwrap();
    assert_eq!(home.knows_of_next(Start::Fresh).await, (Some(Stage::Failed), false, false));

    // It is at it, and somebody has started this version meanwhile.
    let trial = home.put_on_trial(&next, &own).await;
    assert!(matches!(home.updates.begin(Start::Fresh).await, Begun::Usual));
    assert_eq!(home.updates.place.trial().unwrap(), Some(trial));

    // It has died before it could say a word.
    home.put_on_trial(&next, &own).await;
    assert_eq!(home.knows_of_next(Start::PutBack).await, (Some(Stage::PutBack), true, false));

    // It was there, has ended in an orderly way, and a person has run the other installer.
    let home = Home::new();
    let mut trial = home.put_on_trial(&next, &own).await;
    trial.begins(&next, Start::Fresh, Time::now());
    trial.ends();
    home.updates.place.write_trial(&trial).unwrap();
    assert_eq!(home.knows_of_next(Start::Fresh).await, (Some(Stage::Declined), false, true));

    // What it has said itself counts.
    let home = Home::new();
    let mut trial = home.put_on_trial(&next, &own).await;
    trial.goes_back(Verdict::Unconnected);
    home.updates.place.write_trial(&trial).unwrap();
    assert_eq!(home.knows_of_next(Start::PutBack).await, (Some(Stage::Unconnected), false, false));
}

#[tokio::test]
async fn a_version_that_comes_over_one_which_is_to_go_back_and_cannot_goes_back_to_the_one_before_both() {
    let home = Home::with_way_back();
    let own = home.updates.own.clone();
    let test = home.updates.test(vec![], TRIAL, KEPT);
    let mut bad = Trial::new("0.0.2".parse().unwrap(), BEFORE_THIS.parse().unwrap(), test.clone());
    bad.test.worked = vec!["web".to_owned()];
    bad.goes_back(Verdict::DoesNotWork);
    let trial = Trial::new(own.clone(), bad.version.clone(), test).in_place_of(bad);
    assert_eq!(
        (trial.before.to_string(), &trial.test.worked[..]),
        (BEFORE_THIS.to_owned(), &["web".to_owned()][..])
    );
    home.updates.place.write_trial(&trial).unwrap();
    for _ in 0..MAX_CRASHES {
        assert!(matches!(home.updates.begin(Start::Fresh).await, Begun::OnTrial));
    }
    assert!(matches!(home.updates.begin(Start::Fresh).await, Begun::PutBack));
    home.until_called().await;
    assert!(home.updates.history().unwrap().is_bad(&own));
}

#[tokio::test]
async fn the_trial_of_a_version_that_is_to_go_back_is_on_again_where_nothing_comes_of_the_next_one() {
    let next: Version = NEXT.parse().unwrap();
    let home = Home::with_way_back().on_trial().await;
    let mut own = home.updates.place.trial().unwrap().unwrap();
    own.goes_back(Verdict::Unconnected);
    home.updates.progresses(|progress| progress.offered(8, &next, Stage::OnTrial)).await;
    let test = home.updates.test(vec![], TRIAL, KEPT);
    let trial = Trial::new(next.clone(), own.version.clone(), test).in_place_of(own.clone());
    home.updates.place.write_trial(&trial).unwrap();

    // Its installer may be at it, and somebody has started this version meanwhile.
    assert!(matches!(home.updates.begin(Start::Fresh).await, Begun::Usual));
    assert_eq!(home.updates.place.trial().unwrap(), Some(trial.clone()));

    // It has given up, and started this version again.
    assert!(matches!(home.updates.begin(Start::PutBack).await, Begun::Usual));
    assert_eq!(home.updates.place.trial().unwrap(), Some(own));
    assert_eq!(
        home.updates.report().map(|report| (report.version, report.state)),
        Some((next.clone(), Stage::Failed))
    );
    let history = home.updates.history().unwrap();
    assert!(!history.is_bad(&next) && !history.is_by_hand(&next));
    assert!(matches!(home.updates.begin(Start::Fresh).await, Begun::PutBack));
    home.until_called().await;

    // The next one has begun, and a person has installed this one again: what was kept is none of its own.
    let mut begun = trial;
    begun.begins(&next, Start::Fresh, Time::now());
    home.updates.place.write_trial(&begun).unwrap();
    assert!(matches!(home.updates.begin(Start::Fresh).await, Begun::Usual));
    assert_eq!(home.updates.place.trial().unwrap(), None);
}

#[tokio::test]
async fn what_a_person_has_put_back_long_after_its_trial_stays() {
    let next: Version = NEXT.parse().unwrap();
    let home = Home::new();
    home.updates.progresses(|progress| progress.offered(7, &next, Stage::Works)).await;
    assert_eq!(home.knows_of_next(Start::Fresh).await, (Some(Stage::Declined), false, true));
    // One that only waits for its hours is no other one's matter.
    let home = Home::new();
    home.updates.progresses(|progress| progress.offered(7, &next, Stage::Waiting)).await;
    assert_eq!(home.knows_of_next(Start::Fresh).await, (Some(Stage::Waiting), false, false));
}

#[tokio::test]
async fn a_third_version_that_a_person_has_installed_is_on_no_trial() {
    let home = Home::with_way_back();
    home.put_on_trial(&NEXT.parse().unwrap(), &BEFORE_THIS.parse().unwrap()).await;
    assert!(matches!(home.updates.begin(Start::Fresh).await, Begun::Usual));
    assert!(home.updates.place.trial().unwrap().is_none() && !home.called().exists());
}
