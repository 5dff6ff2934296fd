use petit_engine::cause::{Cause, FrontCause};
use petit_host::handover::Trouble;
use petit_host::update::MAX_CRASHES;
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::watch::{Outcome, Watch, judge, lasts};
use super::*;
use crate::daemon::{NotRestarted, Restart};
use crate::status::{Broken, BrokenAt, Connection, Status};

/// A client with services, each with its light.
pub(super) fn status(connection: &Connection, services: &[(&str, &str)]) -> Status {
    let service = |(name, light): &(&str, &str)| {
        json!({
            "name": name, "kind": "http", "target": "localhost:3000", "id": null, "url": null, "aliases": [],
            "light": light, "broken": null, "proved": null, "visits": 0, "active": 0, "to_service_bytes": 0,
            "from_service_bytes": 0,
        })
    };
    let services: Vec<Value> = services.iter().map(service).collect();
    let status = json!({
        "software": "petit-client 0.2.0", "pid": 1, "config": "/c", "config_problem": null, "registered": null,
        "connection": connection, "server_software": null, "services": services, "streams": 0,
        "round_trip_us": null, "key_exchange": null, "post_quantum": null, "inspected_by": null,
    });
    serde_json::from_value(status).unwrap()
}

pub(super) const ONLINE: Connection = Connection::Online { since: 0 };
pub(super) const AWAY: Connection = Connection::Waiting { cause: Cause::Lost, retry_in_ms: 1000 };

fn watch_of(worked: &[&str]) -> Watch {
    let worked = worked.iter().map(|name| (*name).to_owned()).collect();
    let test = Test { config: "/c".into(), worked, within: Duration::from_secs(120), kept: KEPT };
    Watch::new(&Trial::new("0.2.0".parse().unwrap(), "0.1.0".parse().unwrap(), test))
}

/// The config file, which an old service was taken out of.
fn sets_up(service: &str) -> bool {
    service != "old"
}

#[test]
fn it_works_when_it_is_connected_and_all_that_worked_before_works() {
    let now = Instant::now();
    for (worked, services, verdict) in [
        (vec!["web"], vec![("web", "green"), ("db", "red")], Some(Outcome::Works)),
        (vec!["web"], vec![("web", "up_to_server")], Some(Outcome::Works)),
        (vec!["web", "db"], vec![("web", "green"), ("db", "checking")], None),
        (vec!["web", "db"], vec![("web", "green"), ("db", "red")], None),
        // Removed from the config meanwhile.
        (vec!["web", "old"], vec![("web", "green")], Some(Outcome::Works)),
        // Not shown by this version, for whatever reason.
        (vec!["web", "db"], vec![("web", "green")], None),
        (vec![], vec![("web", "red")], Some(Outcome::Works)),
    ] {
        assert_eq!(
            watch_of(&worked).see(&status(&ONLINE, &services), now, sets_up),
            verdict,
            "{worked:?} {services:?}"
        );
        assert_eq!(watch_of(&worked).see(&status(&AWAY, &services), now, sets_up), None, "away");
    }
}

#[test]
fn what_the_server_says_of_its_own_front_counts_against_no_version() {
    let mut said = status(&ONLINE, &[("web", "red")]);
    let broken = |at: BrokenAt| Some(Broken { at, since: None });
    said.services[0].broken = broken(BrokenAt::Front(FrontCause::ConnectionRefused));
    assert_eq!(watch_of(&["web"]).see(&said, Instant::now(), sets_up), Some(Outcome::Works));
    said.services[0].broken = broken(BrokenAt::Shut);
    assert_eq!(watch_of(&["web"]).see(&said, Instant::now(), sets_up), None);
}

#[test]
fn only_the_time_that_it_is_connected_counts_against_it() {
    let begin = Instant::now();
    let at = |seconds: u64| begin + Duration::from_secs(seconds);
    let (online, away) = (status(&ONLINE, &[("web", "red")]), status(&AWAY, &[("web", "red")]));
    let mut watch = watch_of(&["web"]);
    assert_eq!(watch.see(&away, at(0), sets_up), None);
    assert_eq!(watch.due(), Some(at(30 * 60)), "one that is never connected goes back in the end");
    assert_eq!(watch_of(&["web"]).see(&away, at(0), sets_up), None);
    assert_eq!(watch.see(&online, at(1000), sets_up), None);
    assert_eq!(watch.due(), Some(at(1120)));
    assert_eq!(watch.see(&away, at(1100), sets_up), None);
    assert_eq!(watch.due(), Some(at(1100 + 30 * 60)), "nor does one stay that loses its line");
    assert_eq!(watch.see(&online, at(2000), sets_up), None);
    assert_eq!(watch.due(), Some(at(2020)));
    assert_eq!(watch.see(&online, at(2019), sets_up), None);
    let mut lost = watch_of(&["web"]);
    assert_eq!(lost.see(&online, at(0), sets_up), None);
    for seconds in (10..30 * 60 + 10).step_by(60) {
        assert_eq!(lost.see(&away, at(seconds), sets_up), None, "{seconds}");
    }
    assert_eq!(lost.see(&away, at(30 * 60 + 9), sets_up), None);
    assert_eq!(lost.see(&away, at(30 * 60 + 10), sets_up), Some(Outcome::Unconnected));
    assert_eq!(watch.see(&online, at(2020), sets_up), Some(Outcome::DoesNot));
}

#[test]
fn while_it_is_switched_off_nothing_counts_against_it() {
    let begin = Instant::now();
    let at = |seconds: u64| begin + Duration::from_secs(seconds);
    let off = status(&Connection::Off, &[("web", "red")]);
    let mut watch = watch_of(&["web"]);
    assert_eq!(watch.see(&status(&ONLINE, &[("web", "red")]), at(0), sets_up), None);
    assert_eq!(watch.see(&off, at(60), sets_up), None);
    assert_eq!((watch.see(&off, at(100_000), sets_up), watch.due()), (None, None));
    assert_eq!(watch.see(&status(&AWAY, &[("web", "red")]), at(200_000), sets_up), None);
    assert_eq!(watch.see(&status(&ONLINE, &[("web", "red")]), at(200_001), sets_up), None);
    assert_eq!(watch.due(), Some(at(200_061)), "as much as it had left");
}

#[test]
fn no_version_is_to_blame_for_the_time_that_the_computer_slept() {
    let begin = Instant::now();
    let at = |seconds: u64| begin + Duration::from_secs(seconds);
    let (online, away) = (status(&ONLINE, &[("web", "red")]), status(&AWAY, &[("web", "red")]));
    let mut watch = watch_of(&["web"]);
    assert_eq!(watch.see(&online, at(0), sets_up), None);
    // For hours, with a clock that goes on.
    assert_eq!(watch.see(&online, at(10_000), sets_up), None);
    assert_eq!(watch.due(), Some(at(10_120)));
    let mut watch = watch_of(&["web"]);
    assert_eq!(watch.see(&away, at(0), sets_up), None);
    assert_eq!(watch.see(&away, at(10_000), sets_up), None);
    assert_eq!(watch.due(), Some(at(10_000 + 30 * 60)));
}

#[tokio::test(start_paused = true)]
async fn a_version_that_is_switched_off_keeps_its_way_back_until_it_is_connected() {
    let (sender, statuses) = watch::channel(status(&Connection::Off, &[]));
    let lasts = tokio::spawn(lasts(KEPT, statuses));
    tokio::time::sleep(Duration::from_hours(1)).await;
    assert!(!lasts.is_finished());
    sender.send(status(&ONLINE, &[])).unwrap();
    let begin = Instant::now();
    assert!(lasts.await.unwrap());
    let took = begin.elapsed();
    assert!(took >= KEPT && took < KEPT * 2, "the time that it was off proves nothing: {took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_light_that_comes_back_in_time_ends_the_trial_and_silence_ends_it_later() {
    let (sender, statuses) = watch::channel(status(&ONLINE, &[("web", "red")]));
    let judged = tokio::spawn(judge(watch_of(&["web"]), statuses.clone(), sets_up));
    tokio::time::sleep(Duration::from_secs(119)).await;
    sender.send(status(&ONLINE, &[("web", "green")])).unwrap();
    assert_eq!(judged.await.unwrap(), Outcome::Works);
    sender.send(status(&ONLINE, &[("web", "red")])).unwrap();
    let begin = Instant::now();
    assert_eq!(judge(watch_of(&["web"]), statuses, sets_up).await, Outcome::DoesNot);
    assert_eq!(begin.elapsed().as_secs(), 120);
}

/// A client that runs the program of this very test, and what is beside that.
struct Home {
    dir: tempfile::TempDir,
    updates: Updates,
}

const BEFORE: &str = "0.0.1";

impl Home {
    fn new() -> Self {
        let own = std::env::current_exe().unwrap();
        // Where it can have a second name.
        let dir = tempfile::tempdir_in(own.parent().unwrap()).unwrap();
        let program = dir.path().join("petit-client");
        std::fs::hard_link(own, &program).unwrap();
        let updates = Updates::of(&Self::folder(&dir, "a"), &program);
        Self { dir, updates }
    }

    /// With this version on trial.
    fn on_trial() -> Self {
        let home = Self::new();
        std::fs::write(home.updates.place.previous(), "the old program").unwrap();
        home.write(&Trial::new(home.updates.own.clone(), BEFORE.parse().unwrap(), home.test()));
        home
    }

    fn folder(dir: &tempfile::TempDir, client: &str) -> Folder {
        let config = dir.path().join(client).join("config.toml");
        let folder = Folder::of(&config);
        folder.make().unwrap();
        std::fs::write(config, "").unwrap();
        folder
    }

    /// Another client that runs the same program.
    fn other(&self) -> Updates {
        Updates::of(&Self::folder(&self.dir, "b"), self.updates.place.program())
    }

    fn test(&self) -> Test {
        self.updates.test(vec!["web".to_owned()], TRIAL, KEPT)
    }

    fn write(&self, trial: &Trial) {
        self.updates.place.write_trial(trial).unwrap();
    }

    fn trial(&self) -> Option<Trial> {
        self.updates.place.trial().unwrap()
    }

    fn is_bad(&self) -> bool {
        self.updates.history().unwrap().is_bad(&self.updates.own)
    }

    fn is_the_old_program(&self) -> bool {
        std::fs::read(self.updates.place.program()).unwrap() == b"the old program"
    }
}

#[tokio::test]
async fn without_a_version_to_go_back_to_it_goes_on_as_it_is() {
    let home = Home::on_trial();
    std::fs::remove_file(home.updates.place.previous()).unwrap();
    for _ in 0..MAX_CRASHES {
        assert!(matches!(home.updates.begin(Start::Fresh).await, Begun::OnTrial));
    }
    assert!(matches!(home.updates.begin(Start::Fresh).await, Begun::NoWayBack));
    assert!(home.trial().is_none() && !home.is_the_old_program());
    assert!(matches!(home.updates.begin(Start::Fresh).await, Begun::Usual));
}

#[tokio::test]
async fn three_crashes_bring_the_old_version_back() {
    let home = Home::on_trial();
    for _ in 0..MAX_CRASHES {
        assert!(matches!(home.updates.begin(Start::Fresh).await, Begun::OnTrial));
    }
    assert!(matches!(home.updates.begin(Start::Fresh).await, Begun::PutBack));
    assert!(home.is_bad() && home.is_the_old_program());
}

#[tokio::test]
async fn neither_a_hand_over_nor_a_stop_nor_a_start_that_says_what_is_missing_is_a_crash() {
    let home = Home::on_trial();
    assert!(matches!(home.updates.begin(Start::Fresh).await, Begun::OnTrial));
    for _ in 0..10 {
        assert!(matches!(home.updates.begin(Start::Takeover).await, Begun::OnTrial));
        home.updates.serves().await;
    }
    for _ in 0..10 {
        home.updates.stopped().await;
        assert!(matches!(home.updates.begin(Start::Fresh).await, Begun::OnTrial));
    }
    // One that was taken over from the old version counts from when it serves.
    let home = Home::on_trial();
    assert!(matches!(home.updates.begin(Start::Takeover).await, Begun::OnTrial));
    home.updates.serves().await;
    for _ in 1..MAX_CRASHES {
        assert!(matches!(home.updates.begin(Start::Fresh).await, Begun::OnTrial));
    }
    assert!(matches!(home.updates.begin(Start::Fresh).await, Begun::PutBack));
}

#[tokio::test]
async fn whoever_begins_while_the_program_is_updated_leaves_everything_alone() {
    let home = Home::new();
    // As between the moment when the trial is written down and the rename: this is the version before.
    let trial = Trial::new("9.9.9".parse().unwrap(), home.updates.own.clone(), home.test());
    home.write(&trial);
    std::fs::write(home.updates.place.staged(), "the new program").unwrap();
    let lock = home.updates.place.lock(Duration::ZERO).await.unwrap();
    assert!(matches!(home.updates.begin(Start::Fresh).await, Begun::Usual));
    assert_eq!(home.trial(), Some(trial));
    assert!(home.updates.place.staged().exists());
    // When it is free, whoever was at it was killed.
    drop(lock);
    assert!(matches!(home.updates.begin(Start::Fresh).await, Begun::Back { .. }));
    assert!(home.trial().is_none() && !home.updates.place.staged().exists());
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_process_whose_program_is_not_at_its_path_any_more_keeps_the_way_back() {
    let home = Home::new();
    let place = &home.updates.place;
    let trial = Trial::new("9.9.9".parse().unwrap(), home.updates.own.clone(), home.test());
    home.write(&trial);
    std::fs::write(place.staged(), "the new program").unwrap();
    place.switch(Kept::Previous).unwrap();
    assert!(matches!(home.updates.begin(Start::Fresh).await, Begun::Usual));
    assert_eq!(home.trial(), Some(trial));
    assert!(place.previous().exists());
}

#[tokio::test(start_paused = true)]
async fn each_client_of_a_program_judges_for_itself_and_what_goes_back_goes_back_for_all() {
    let home = Home::on_trial();
    let other = home.other();
    let before = home.trial();
    for _ in 0..2 * MAX_CRASHES {
        assert!(matches!(other.begin(Start::Fresh).await, Begun::Usual));
    }
    other.stopped().await;
    assert_eq!(home.trial(), before);
    let (_sender, statuses) = watch::channel(status(&ONLINE, &[]));
    let (restart, _restarts) = mpsc::channel(1);
    let watched = tokio::time::timeout(Duration::from_hours(1), other.watch(statuses, &restart)).await;
    assert!(watched.is_err(), "it never ends");
    assert_eq!(home.trial(), before, "that nothing of its own is missing says nothing");
    let mut trial = before.unwrap();
    trial.goes_back(Verdict::DoesNotWork);
    home.write(&trial);
    assert!(matches!(other.begin(Start::Fresh).await, Begun::PutBack));
    assert!(home.is_the_old_program());
    // Nobody waits for a client that is no more.
    let home = Home::on_trial();
    let other = home.other();
    std::fs::remove_dir_all(home.dir.path().join("a")).unwrap();
    assert!(matches!(other.begin(Start::Fresh).await, Begun::OnTrial));
}

#[tokio::test]
async fn a_history_that_cannot_be_written_does_not_keep_a_version_from_going_back() {
    let home = Home::on_trial();
    std::fs::create_dir(home.updates.folder.updates()).unwrap();
    let lock = home.updates.place.lock(Duration::ZERO).await.unwrap();
    let way = home.updates.go_back(&lock, home.trial().unwrap(), Verdict::DoesNotWork).await;
    assert_eq!(way.unwrap(), WayBack::Taken);
    assert!(home.is_the_old_program());
}

#[tokio::test]
async fn a_version_that_was_put_back_by_hand_is_not_bad() {
    let home = Home::on_trial();
    let lock = home.updates.place.lock(Duration::ZERO).await.unwrap();
    let own = home.updates.own.clone();
    home.updates.progresses(|progress| progress.offered(7, &own, Stage::Works)).await;
    home.updates.go_back(&lock, home.trial().unwrap(), Verdict::Declined).await.unwrap();
    assert!(home.is_the_old_program() && !home.is_bad());
    assert_eq!(home.updates.report().map(|report| report.state), Some(Stage::Declined));
    assert!(home.updates.history().unwrap().is_by_hand(&own), "it is for a person to install it again");
}

/// Refuses to restart so often, then does it. Returns how long that took.
async fn until_restarted(restarts: &mut mpsc::Receiver<Restart>, refusals: &[NotRestarted]) -> Duration {
    let begin = Instant::now();
    for refusal in refusals {
        restarts.recv().await.unwrap().send(Err(refusal.clone())).unwrap();
    }
    restarts.recv().await.unwrap().send(Ok(1)).unwrap();
    begin.elapsed()
}

#[cfg(target_os = "linux")]
#[tokio::test(start_paused = true)]
async fn a_version_that_is_never_connected_goes_back_and_nothing_is_held_against_it() {
    let home = Home::on_trial();
    let (_sender, statuses) = watch::channel(status(&AWAY, &[("web", "red")]));
    let (restart, mut restarts) = mpsc::channel(1);
    let updates = home.updates.clone();
    let watching = tokio::spawn(async move { updates.watch(statuses, &restart).await });
    assert_eq!(until_restarted(&mut restarts, &[]).await, Duration::from_mins(30));
    watching.abort();
    assert!(home.is_the_old_program() && !home.is_bad());
}

#[cfg(target_os = "linux")]
#[tokio::test(start_paused = true)]
async fn nothing_that_the_server_can_bring_about_leads_back_to_a_version_that_is_not_to_be_used_any_more() {
    for said in [status(&ONLINE, &[("web", "red")]), status(&AWAY, &[("web", "red")])] {
        let home = Home::on_trial();
        let mut trial = serde_json::to_value(home.trial().unwrap()).unwrap();
        trial["leaves_unwanted"] = true.into();
        home.write(&serde_json::from_value(trial).unwrap());
        tokio::time::timeout(Duration::from_hours(2), home.until_no_trial(said)).await.unwrap();
        assert!(!home.is_the_old_program() && !home.is_bad());
    }
}

#[tokio::test(start_paused = true)]
async fn the_version_before_is_kept_until_the_new_one_has_worked_for_a_while() {
    let home = Home::on_trial();
    let own = home.updates.own.clone();
    home.updates.progresses(|progress| progress.offered(7, &own, Stage::OnTrial)).await;
    let (_sender, statuses) = watch::channel(status(&ONLINE, &[("web", "green")]));
    let (restart, _restarts) = mpsc::channel(1);
    let updates = home.updates.clone();
    let watching = tokio::spawn(async move { updates.watch(statuses, &restart).await });
    while !home.trial().unwrap().has_worked() {
        tokio::task::yield_now().await;
    }
    let begin = Instant::now();
    tokio::time::sleep(KEPT - Duration::from_secs(1)).await;
    assert_eq!(home.updates.report().map(|report| report.state), Some(Stage::Works), "it is said at once");
    assert!(home.updates.place.previous().exists() && home.trial().is_some());
    while home.trial().is_some() {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert!(!home.updates.place.previous().exists());
    assert!(begin.elapsed() < KEPT + Duration::from_mins(1), "{:?}", begin.elapsed());
    watching.abort();
}

#[tokio::test(start_paused = true)]
async fn the_way_back_stays_for_as_long_as_a_version_that_has_worked_is_not_connected() {
    let minutes = Duration::from_mins;
    let (sender, statuses) = watch::channel(status(&AWAY, &[]));
    let begin = Instant::now();
    let lasting = tokio::spawn(lasts(KEPT, statuses.clone()));
    tokio::time::sleep(minutes(29)).await;
    assert!(!lasting.is_finished(), "five minutes are over, and nothing is shown by that");
    sender.send(status(&ONLINE, &[("web", "red")])).unwrap();
    assert!(lasting.await.unwrap(), "that a service has stopped is not its fault");
    assert_eq!(begin.elapsed(), minutes(29));
    // Each time that it is away counts by itself.
    let lasting = tokio::spawn(lasts(minutes(60), statuses.clone()));
    for connection in [&AWAY, &ONLINE, &AWAY, &ONLINE] {
        sender.send(status(connection, &[])).unwrap();
        tokio::time::sleep(minutes(20)).await;
    }
    assert!(lasting.await.unwrap());
    sender.send(status(&AWAY, &[])).unwrap();
    let begin = Instant::now();
    assert!(!lasts(KEPT, statuses).await);
    assert_eq!(begin.elapsed(), minutes(30));
}

/// Another version than this one.
const OTHER: &str = "9.9.9";

#[cfg(target_os = "linux")]
impl Home {
    /// Somebody is about to put another version in this one's place.
    async fn with_another_on_trial(&self) -> Trial {
        let new = OTHER.parse::<Version>().unwrap();
        self.updates.progresses(|progress| progress.offered(7, &new, Stage::Waiting)).await;
        self.updates.progresses(|progress| progress.becomes(&new, Stage::OnTrial)).await;
        let trial = Trial::new(new, self.updates.own.clone(), self.test());
        self.write(&trial);
        std::fs::write(self.updates.place.staged(), "the new program").unwrap();
        trial
    }

    /// Watches over trials with this status, until the one that is on is over. Returns how long that took.
    async fn until_no_trial(&self, status: Status) -> Duration {
        let (_sender, statuses) = watch::channel(status);
        let (restart, _restarts) = mpsc::channel(1);
        let begin = Instant::now();
        let until = async {
            while self.trial().is_some() {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        };
        tokio::select! {
            () = self.updates.watch(statuses, &restart) => unreachable!("it never ends"),
            () = until => begin.elapsed(),
        }
    }

    fn stage(&self) -> Option<Stage> {
        self.updates.report().map(|report| report.state)
    }
}

/// Another version was put in this one's place, and this one runs.
#[cfg(target_os = "linux")]
async fn left_over(prepare: impl FnOnce(&mut Trial)) -> (Home, Duration) {
    let home = Home::new();
    let mut trial = home.with_another_on_trial().await;
    prepare(&mut trial);
    home.write(&trial);
    home.updates.place.switch(Kept::Previous).unwrap();
    let took = home.until_no_trial(status(&ONLINE, &[("web", "green")])).await;
    (home, took)
}

#[cfg(target_os = "linux")]
#[tokio::test(start_paused = true)]
async fn a_second_try_has_as_much_time_to_begin_as_the_first() {
    let home = Home::new();
    let place = &home.updates.place;
    let (_sender, statuses) = watch::channel(status(&ONLINE, &[("web", "green")]));
    let (restart, _restarts) = mpsc::channel(1);
    let tries = async {
        for _ in 0..3 {
            let trial = home.with_another_on_trial().await;
            place.switch(Kept::Previous).unwrap();
            // As long as a hand-over may take.
            tokio::time::sleep(Duration::from_mins(1)).await;
            assert_eq!(home.trial().as_ref(), Some(&trial), "it was taken away while it got ready");
            place.put_back(Kept::Previous).unwrap();
            place.end_trial().unwrap();
            tokio::time::sleep(Duration::from_mins(15)).await;
        }
    };
    tokio::select! {
        () = home.updates.watch(statuses, &restart) => unreachable!("it never ends"),
        () = tries => {}
    }
}

#[cfg(target_os = "linux")]
#[tokio::test(start_paused = true)]
async fn an_updater_that_ended_before_the_switch_does_not_end_updates() {
    let home = Home::new();
    home.with_another_on_trial().await;
    let took = home.until_no_trial(status(&ONLINE, &[("web", "green")])).await;
    assert!((Duration::from_mins(2)..Duration::from_mins(3)).contains(&took), "{took:?}");
    assert!(!home.updates.place.staged().exists());
    assert_eq!(home.stage(), Some(Stage::Failed), "it may be tried again");
}

#[tokio::test]
async fn what_a_person_has_said_is_not_turned_round_by_what_is_seen_later() {
    let home = Home::on_trial();
    let lock = home.updates.place.lock(Duration::ZERO).await.unwrap();
    let mut trial = home.trial().unwrap();
    trial.goes_back(Verdict::Declined);
    home.updates.go_back(&lock, trial, Verdict::DoesNotWork).await.unwrap();
    assert!(!home.is_bad());
    assert!(home.updates.history().unwrap().is_by_hand(&home.updates.own));
}

/// This version is the one before another one, which was not connected for too long.
#[cfg(target_os = "linux")]
async fn after_an_unconnected_one(status: Status) -> (Option<Stage>, bool) {
    let home = Home::new();
    home.with_another_on_trial().await;
    home.updates.place.end_trial().unwrap();
    let new: Version = OTHER.parse().unwrap();
    home.updates.judged(&new, Verdict::Unconnected).await;
    let (_sender, statuses) = watch::channel(status);
    let (restart, _restarts) = mpsc::channel(1);
    let watched = tokio::time::timeout(Duration::from_mins(5), home.updates.watch(statuses, &restart)).await;
    assert!(watched.is_err(), "it never ends");
    (home.stage(), home.updates.history().unwrap().is_by_hand(&new))
}

#[cfg(target_os = "linux")]
#[tokio::test(start_paused = true)]
async fn that_a_version_was_not_connected_is_its_fault_only_where_the_one_before_is_soon() {
    assert_eq!(after_an_unconnected_one(status(&ONLINE, &[])).await, (Some(Stage::PutBack), true));
    assert_eq!(after_an_unconnected_one(status(&AWAY, &[])).await, (Some(Stage::Failed), false));
}

#[cfg(target_os = "linux")]
#[tokio::test(start_paused = true)]
async fn a_version_that_has_worked_and_loses_its_line_for_long_goes_back() {
    let home = Home::on_trial();
    let own = home.updates.own.clone();
    home.updates.progresses(|progress| progress.offered(7, &own, Stage::OnTrial)).await;
    let (sender, statuses) = watch::channel(status(&ONLINE, &[("web", "green")]));
    let (restart, mut restarts) = mpsc::channel(1);
    let updates = home.updates.clone();
    let watching = tokio::spawn(async move { updates.watch(statuses, &restart).await });
    while !home.trial().unwrap().has_worked() {
        tokio::task::yield_now().await;
    }
    sender.send(status(&AWAY, &[("web", "green")])).unwrap();
    assert_eq!(until_restarted(&mut restarts, &[]).await, Duration::from_mins(30));
    watching.abort();
    assert!(home.is_the_old_program() && !home.is_bad());
    assert_eq!(home.stage(), Some(Stage::Unconnected));
}

#[cfg(target_os = "linux")]
#[tokio::test(start_paused = true)]
async fn a_version_that_was_put_in_place_and_never_began_is_taken_away_again() {
    let (home, took) = left_over(|_| {}).await;
    assert!((Duration::from_mins(2)..Duration::from_mins(3)).contains(&took), "{took:?}");
    assert_eq!(home.updates.place.is_of_this_process(), Some(true));
    assert_eq!(
        home.updates.report().map(|report| report.state),
        Some(Stage::Failed),
        "it may be tried again"
    );
    // One that had taken over has died.
    let (home, _) = left_over(Trial::serves).await;
    assert_eq!(home.updates.place.is_of_this_process(), Some(true));
    assert_eq!(home.updates.report().map(|report| report.state), Some(Stage::PutBack));
}

#[tokio::test]
async fn why_a_version_goes_back_is_known_to_whoever_goes_on_with_it() {
    let home = Home::on_trial();
    let mut trial = home.trial().unwrap();
    trial.goes_back(Verdict::Unknown);
    home.write(&trial);
    assert!(matches!(home.updates.begin(Start::Fresh).await, Begun::PutBack));
    assert!(home.is_the_old_program() && !home.is_bad());
}

#[cfg(target_os = "linux")]
#[tokio::test(start_paused = true)]
async fn a_version_that_does_not_work_asks_again_until_the_one_before_runs() {
    let home = Home::on_trial();
    let (sender, statuses) = watch::channel(status(&ONLINE, &[("web", "red")]));
    let (restart, mut restarts) = mpsc::channel(1);
    let watching = tokio::spawn({
        let (updates, statuses) = (home.updates.clone(), statuses.clone());
        async move { updates.watch(statuses, &restart).await }
    });
    let trouble = Trouble::new("not ready".to_owned(), None);
    let took = until_restarted(&mut restarts, &[NotRestarted::Busy, NotRestarted::NotReady(trouble)]).await;
    assert_eq!(took.as_secs(), 120 + 2 * 60);
    watching.abort();
    assert!(home.is_bad() && home.is_the_old_program());
    // The old version has begun and ended the trial, and has died soon: this process serves again.
    home.updates.place.end_trial().unwrap();
    let (restart, mut restarts) = mpsc::channel(1);
    let updates = home.updates.clone();
    let watching = tokio::spawn(async move { updates.watch(statuses, &restart).await });
    assert_eq!(until_restarted(&mut restarts, &[]).await, Duration::ZERO);
    watching.abort();
    drop(sender);
}
