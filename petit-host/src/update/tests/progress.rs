//! What is kept of a release and of attempts, whichever version runs next.

use std::time::Duration;

use super::*;

fn at(minutes: u64) -> Time {
    time(STARTED).after(Duration::from_mins(minutes))
}

#[test]
fn what_has_become_of_a_version_stays_known_when_it_is_signed_again() {
    let (new, newer) = (version("0.2.0"), version("0.3.0"));
    let mut progress = Progress::default();
    let said = |progress: &Progress| progress.report().map(|it| (it.counter, it.state.clone())).unwrap();
    progress.becomes(&new, Stage::PutBack);
    assert_eq!(progress.report(), None, "nothing was heard of it");
    progress.offered(7, &new, Stage::Waiting);
    progress.becomes(&new, Stage::PutBack);
    progress.becomes(&newer, Stage::Works);
    progress.offered(8, &new, Stage::Waiting);
    assert_eq!(said(&progress), (8, Stage::PutBack));
    progress.offered(9, &newer, Stage::Waiting);
    assert_eq!(said(&progress), (9, Stage::Waiting));
    // Somebody else has installed it.
    progress.becomes(&newer, Stage::Failed);
    progress.runs(9, &newer);
    assert_eq!(said(&progress), (9, Stage::Works));
}

#[test]
fn attempts_come_after_growing_pauses_three_times_a_night_and_ever_less_often() {
    const HOUR: u64 = 60;
    let new = version("0.2.0");
    let mut progress = Progress::default();
    assert_eq!(progress.next_attempt(&new, at(0)), at(0));
    let mut now = 0;
    let pauses =
        [15, 30, 12 * HOUR, 15, 30, 24 * HOUR, 15, 30, 48 * HOUR, 15, 30, 96 * HOUR, 15, 30, 7 * 24 * HOUR];
    for pause in pauses {
        progress.attempted(&new, at(now));
        assert_eq!(progress.next_attempt(&new, at(now)), at(now + pause), "after {now}");
        now += pause;
    }
    for _ in 0..1000 {
        progress.attempted(&new, at(now));
        let next = progress.next_attempt(&new, at(now));
        assert!(
            (at(now + 15)..=at(now + 7 * 24 * HOUR)).contains(&next),
            "never at once, and never not at all"
        );
        now += 15;
    }
    assert_eq!(progress.next_attempt(&version("0.3.0"), at(now)), at(now), "another one");
    // A clock that was set back holds up nothing.
    assert_eq!(progress.next_attempt(&new, time("2026-11-01T00:00:00Z")), time("2026-11-01T00:00:00Z"));
}

#[test]
fn progress_is_written_as_it_is_read_and_what_a_later_version_has_added_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("updates.progress.json");
    assert_eq!(Progress::read(&path).unwrap(), Progress::default());
    let mut progress = Progress::default();
    progress.offered(7, &version("0.2.0"), Stage::OnTrial);
    progress.attempted(&version("0.2.0"), at(0));
    progress.write(&path).unwrap();
    let read = Progress::read(&path).unwrap();
    assert_eq!((read.report(), read.next_attempt(&version("0.2.0"), at(1))), (progress.report(), at(15)));
    let text = std::fs::read_to_string(&path).unwrap();
    let later = text.replace("\"form\": 1", "\"form\": 2, \"ring\": 3").replace("on_trial", "half_way");
    std::fs::write(&path, later).unwrap();
    let mut read = Progress::read(&path).unwrap();
    assert_eq!(read.report().map(|it| it.state.clone()), Some(Stage::Other("half_way".to_owned())));
    read.attempted(&version("0.2.0"), at(1));
    read.write(&path).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    for kept in ["\"form\": 2", "\"ring\": 3", "half_way"] {
        assert!(text.contains(kept), "{kept} in {text}");
    }
    // Nothing depends on it that could not be learned again.
    std::fs::write(&path, "{").unwrap();
    assert_eq!(Progress::read(&path).unwrap(), Progress::default());
}

#[test]
fn what_a_later_version_has_seen_is_kept_by_the_one_before_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("updates.json");
    let mut history = History::default();
    history.remember(&Release::new().verified()).unwrap();
    history.write(&path).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    let later = text
        .replace("\"form\": 1", "\"form\": 2, \"weather\": \"fine\"")
        .replace("\"seen\": [", "\"seen\": [{\"channel\": \"nightly\", \"counter\": 3},")
        .replace("\"bad\": []", "\"bad\": [\"0.2.0\", {\"version\": \"0.2.1\", \"why\": \"slow\"}]");
    assert_ne!(later, text);
    std::fs::write(&path, later).unwrap();
    let mut history = History::read(&path).unwrap();
    assert!(history.is_bad(&version("0.2.0")));
    history.remember_bad(version("0.3.0"));
    history.forgive(&version("0.2.0"));
    history.write(&path).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    for kept in ["\"form\": 2", "\"weather\": \"fine\"", "\"nightly\"", "\"why\": \"slow\"", "0.3.0"] {
        assert!(text.contains(kept), "{kept} in {text}");
    }
    assert!(!text.contains("\"0.2.0\""), "{text}");
}

#[test]
fn what_is_left_to_people_is_kept_whatever_else_is_learned_of_a_version() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("updates.json");
    let (new, newer) = (version("0.2.0"), version("0.3.0"));
    let mut history = History::default();
    history.leave_to_people(new.clone());
    history.leave_to_people(newer.clone());
    history.remember_bad(newer.clone());
    history.write(&path).unwrap();
    let mut history = History::read(&path).unwrap();
    assert!(history.is_by_hand(&new) && !history.is_bad(&new) && history.is_bad(&newer));
    history.forgive(&newer);
    assert!(history.is_by_hand(&new) && !history.is_by_hand(&newer) && !history.is_bad(&newer));
}
