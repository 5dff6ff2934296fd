//! The files beside a program, and what a program does that begins while a version is on trial.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use super::retry::Retry;
use super::*;

struct Folder {
    dir: tempfile::TempDir,
    place: Place,
}

impl Folder {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join("petit-client");
        fs::write(&program, "the old program").unwrap();
        Self { place: Place::of(&program), dir }
    }

    fn program(&self) -> Vec<u8> {
        fs::read(self.place.program()).unwrap()
    }

    fn files(&self) -> Vec<PathBuf> {
        let mut files: Vec<PathBuf> =
            fs::read_dir(self.dir.path()).unwrap().map(|entry| entry.unwrap().file_name().into()).collect();
        files.sort();
        files
    }
}

#[test]
fn a_new_program_takes_its_place_and_the_old_one_can_come_back() {
    let folder = Folder::new();
    let place = &folder.place;
    place.stage(&artifact("0.2.0"), PROGRAM).unwrap();
    assert_eq!(folder.program(), b"the old program");
    place.switch(Kept::Previous).unwrap();
    assert_eq!(folder.program(), PROGRAM);
    assert_eq!(fs::read(place.previous()).unwrap(), b"the old program");
    assert_eq!(place.put_back(Kept::Previous).unwrap(), WayBack::Taken);
    assert_eq!(folder.program(), b"the old program");
    // Again, as after a crash: nothing is lost.
    assert_eq!(place.put_back(Kept::Previous).unwrap(), WayBack::None);
    assert_eq!(folder.program(), b"the old program");
    place.end_trial().unwrap();
    assert_eq!(folder.files(), [PathBuf::from("petit-client")]);
}

#[cfg(unix)]
#[test]
fn who_may_run_the_old_program_may_run_the_new_one() {
    use std::os::unix::fs::PermissionsExt;

    let folder = Folder::new();
    fs::set_permissions(folder.place.program(), fs::Permissions::from_mode(0o4772)).unwrap();
    folder.place.stage(&artifact("0.2.0"), PROGRAM).unwrap();
    assert_eq!(fs::metadata(folder.place.staged()).unwrap().permissions().mode() & 0o7777, 0o750);
}

#[cfg(unix)]
#[test]
fn what_somebody_else_has_put_beside_the_program_counts_for_nothing() {
    use std::os::unix::fs::{PermissionsExt, chown, symlink};

    if !rustix::process::geteuid().is_root() {
        return; // nobody else can give a file away
    }
    let folder = Folder::new();
    let place = &folder.place;
    place.write_trial(&on_trial()).unwrap();
    fs::write(place.previous(), "somebody else's").unwrap();
    let files = [place.beside("trial"), place.previous()];
    let is_taken = || {
        let way = place.put_back(Kept::Previous).unwrap();
        (place.trial().unwrap().is_some(), way == WayBack::Taken)
    };
    for path in &files {
        chown(path, Some(12_345), None).unwrap();
    }
    assert_eq!(is_taken(), (false, false));
    // Nor is it the last program that there is.
    let aside = folder.dir.path().join("aside");
    fs::rename(place.program(), &aside).unwrap();
    assert!(!place.is_torn());
    fs::rename(&aside, place.program()).unwrap();
    for path in &files {
        chown(path, Some(0), None).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o666)).unwrap();
    }
    assert_eq!(is_taken(), (false, false), "everybody could change it");
    let away = folder.dir.path().join("away");
    fs::rename(&files[1], &away).unwrap();
    symlink(&away, &files[1]).unwrap();
    assert_eq!(is_taken(), (false, false), "a link");
    assert_eq!(folder.program(), b"the old program");
    // Whose the program is may put it there.
    fs::rename(&away, &files[1]).unwrap();
    for path in files.iter().map(PathBuf::as_path).chain([place.program()]) {
        chown(path, Some(12_345), None).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o700)).unwrap();
    }
    assert_eq!(is_taken(), (true, true));
}

#[test]
fn what_is_not_the_signed_program_leaves_nothing_beside_the_old_one() {
    let folder = Folder::new();
    let stage = |content: &[u8]| folder.place.stage(&artifact("0.2.0"), content);
    let mut other = PROGRAM.to_vec();
    other[3] ^= 1;
    assert!(matches!(stage(&other), Err(StageError::Unfit(Unfit::Different { .. }))));
    assert!(matches!(stage(&PROGRAM[1..]), Err(StageError::Unfit(Unfit::TooShort { .. }))));
    assert!(matches!(stage(&[PROGRAM, PROGRAM].concat()), Err(StageError::Unfit(Unfit::TooLong { .. }))));
    assert_eq!(folder.files(), [PathBuf::from("petit-client")]);
    // What somebody who was killed has left is no hindrance.
    fs::write(folder.place.staged(), "half of a pro").unwrap();
    stage(PROGRAM).unwrap();
    assert_eq!(fs::read(folder.place.staged()).unwrap(), PROGRAM);
}

#[cfg(unix)]
#[test]
fn a_pipe_in_the_place_of_a_manifest_is_not_waited_for() {
    let folder = Folder::new();
    let path = folder.dir.path().join(RELEASE_KEY);
    rustix::fs::mkfifoat(rustix::fs::CWD, &path, rustix::fs::Mode::RUSR).unwrap();
    assert!(matches!(Bundle::read(folder.dir.path()), Err(BundleError::Io { .. })));
}

#[test]
fn packages_keep_their_programs() {
    for (program, owner) in [
        ("/usr/bin/petit-client", Owner::Other),
        ("/usr/local/bin/petit-client", Owner::Itself),
        ("/home/ada/bin/petit-client", Owner::Itself),
    ] {
        let expected = if cfg!(unix) { owner } else { Owner::Itself };
        assert_eq!(Place::of(program.as_ref()).owner(), expected, "{program}");
    }
}

/// Whatever the system, as Windows has to.
#[test]
fn a_program_is_exchanged_in_two_steps_where_one_that_runs_cannot_be_overwritten() {
    let folder = Folder::new();
    let place = &folder.place;
    place.stage(&artifact("0.2.0"), PROGRAM).unwrap();
    place.switch_in_two(Kept::Previous).unwrap();
    assert_eq!(folder.program(), PROGRAM);
    assert_eq!(fs::read(place.previous()).unwrap(), b"the old program");
    fs::write(place.staged(), "the next program").unwrap();
    place.switch_in_two(Kept::Replaced).unwrap();
    assert_eq!(fs::read(place.replaced()).unwrap(), PROGRAM);
    assert_eq!(place.put_back_in_two(Kept::Replaced).unwrap(), WayBack::Taken);
    assert_eq!(folder.program(), PROGRAM);
    assert_eq!(place.put_back_in_two(Kept::Previous).unwrap(), WayBack::Taken);
    assert_eq!(place.put_back_in_two(Kept::Previous).unwrap(), WayBack::None);
    assert_eq!(folder.program(), b"the old program");
    // Without a new one the old one stays where it is.
    assert!(place.switch_in_two(Kept::Previous).is_err());
    assert_eq!(folder.program(), b"the old program");
    assert!(place.sweep());
    assert_eq!(folder.files().len(), 1, "{:?}", folder.files());
}

#[test]
fn a_file_that_another_program_has_open_is_waited_for_by_nobody_with_a_tunnel() {
    let program = "petit-client.exe".as_ref();
    let renamed = |place: &Place| {
        let mut tries = 0;
        let is_renamed = place.retry.rename(|| {
            tries += 1;
            if tries == 1 { Err(std::io::ErrorKind::PermissionDenied.into()) } else { Ok(()) }
        });
        (is_renamed.is_ok(), tries)
    };
    let waits = Place { retry: Retry::Soon, ..Place::of(program) };
    assert_eq!(renamed(&waits), (true, 2));
    assert_eq!(renamed(&waits.without_waiting()), (false, 1));
}

#[tokio::test]
async fn a_program_that_was_taken_away_and_not_replaced_is_there_again_for_whoever_comes_next() {
    let folder = Folder::new();
    let place = &folder.place;
    let [new, old] = ["0.2.0", "0.1.0"].map(|version| version.parse().unwrap());
    let test = Test {
        config: "client.toml".into(),
        worked: Vec::new(),
        within: Duration::from_secs(2),
        kept: Duration::ZERO,
    };
    let mut trial = Trial::new(new, old, test);
    place.write_trial(&trial).unwrap();
    // On its way in, on its way in over one that is on trial, and on its way back.
    fs::rename(place.program(), place.previous()).unwrap();
    fs::write(place.staged(), "the new program").unwrap();
    assert!(place.is_torn() && place.end_trial().is_err() && place.switch_in_two(Kept::Previous).is_err());
    drop(place.lock(Duration::ZERO).await.unwrap());
    assert_eq!(folder.program(), b"the old program");
    fs::write(place.previous(), "the one before").unwrap();
    fs::rename(place.program(), place.replaced()).unwrap();
    drop(place.lock(Duration::ZERO).await.unwrap());
    assert_eq!(folder.program(), b"the old program");
    fs::rename(place.program(), place.replaced()).unwrap();
    trial.goes_back(Verdict::DoesNotWork);
    place.write_trial(&trial).unwrap();
    drop(place.lock(Duration::ZERO).await.unwrap());
    assert_eq!(folder.program(), b"the one before");
    assert!(!place.is_torn());
    place.end_trial().unwrap();
    assert_eq!(folder.files(), [PathBuf::from("petit-client")]);
}

#[test]
fn what_lies_beside_a_program_of_windows_is_a_program_there_too() {
    let place = Place::of("folder/petit-client.exe".as_ref());
    assert_eq!(place.previous(), PathBuf::from("folder/.petit-client.previous.exe"));
    assert_eq!(
        Place::of("folder/petit-client".as_ref()).staged(),
        PathBuf::from("folder/.petit-client.staged")
    );
}

#[test]
fn a_process_knows_whether_its_program_is_at_its_path() {
    let own = std::env::current_exe().unwrap();
    assert_eq!(Place::of(&own).is_of_this_process(), Some(true));
    let folder = Folder::new();
    assert_eq!(folder.place.is_of_this_process(), Some(false));
    fs::remove_file(folder.place.program()).unwrap();
    assert_eq!(folder.place.is_of_this_process(), Some(false));
}

#[test]
fn a_version_that_replaces_one_on_trial_leaves_the_way_back_as_it_is() {
    let folder = Folder::new();
    let place = &folder.place;
    place.stage(&artifact("0.2.0"), PROGRAM).unwrap();
    place.switch(Kept::Previous).unwrap();
    fs::write(place.staged(), "the next program").unwrap();
    place.switch(Kept::Replaced).unwrap();
    assert_eq!(fs::read(place.previous()).unwrap(), b"the old program");
    assert_eq!(folder.program(), b"the next program");
    assert_eq!(place.put_back(Kept::Replaced).unwrap(), WayBack::Taken);
    assert_eq!(folder.program(), PROGRAM);
    assert_eq!(place.put_back(Kept::Previous).unwrap(), WayBack::Taken);
    assert_eq!(folder.program(), b"the old program");
}

/// As on a file system without second names.
#[test]
fn a_copy_of_the_old_program_is_whole_before_it_has_its_name() {
    let folder = Folder::new();
    let place = &folder.place;
    fs::write(place.previous(), "what somebody has left").unwrap();
    place.copy(&place.previous()).unwrap();
    assert_eq!(fs::read(place.previous()).unwrap(), b"the old program");
    assert_eq!(folder.files(), [".petit-client.previous", "petit-client"].map(PathBuf::from));
    // A folder in its way: nothing half done is left.
    fs::create_dir(place.replaced()).unwrap();
    fs::write(place.replaced().join("file"), "").unwrap();
    place.copy(&place.replaced()).unwrap_err();
    let expected = [".petit-client.previous", ".petit-client.replaced", "petit-client"];
    assert_eq!(folder.files(), expected.map(PathBuf::from));
}

#[tokio::test]
async fn one_at_a_time_changes_the_files_and_leaves_no_lock_behind() {
    let folder = Folder::new();
    let held = folder.place.lock(Duration::ZERO).await.unwrap();
    assert!(folder.place.lock(Duration::ZERO).await.is_err());
    drop(held);
    drop(folder.place.lock(Duration::ZERO).await.unwrap());
    assert_eq!(folder.files(), [PathBuf::from("petit-client")]);
}

fn on_trial() -> Trial {
    let test = Test {
        config: "/home/ada/.petit/config.toml".into(),
        worked: vec!["web".to_owned()],
        within: Duration::from_secs(120),
        kept: KEPT,
    };
    Trial::new(version("0.2.0"), version("0.1.0"), test)
}

/// Some seconds after the first start.
fn at(seconds: u64) -> Time {
    time(STARTED).after(Duration::from_secs(seconds))
}

#[test]
fn a_version_on_trial_that_crashes_three_times_in_ten_minutes_is_given_up() {
    let new = version("0.2.0");
    let starts = |times: &[u64]| -> Vec<Beginning> {
        let mut trial = on_trial();
        times.iter().map(|seconds| trial.begins(&new, Start::Fresh, at(*seconds))).collect()
    };
    use Beginning::OnTrial;
    const PUT_BACK: Beginning = Beginning::PutBack(Verdict::DoesNotWork);
    assert_eq!(starts(&[0, 100, 200, 300]), [OnTrial, OnTrial, OnTrial, PUT_BACK]);
    assert_eq!(starts(&[0, 100, 200, 699]), [OnTrial, OnTrial, OnTrial, PUT_BACK]);
    assert_eq!(starts(&[0, 100, 200, 700]), [OnTrial; 4], "the first one was ten minutes ago");
    assert_eq!(starts(&[0, 100_000, 200_000, 300_000, 400_000]), [OnTrial; 5], "switched off");
    assert_eq!(
        starts(&[300, 200, 100, 0, 0]),
        [OnTrial; 5],
        "a clock that goes back holds nothing against it"
    );
}

#[test]
fn an_orderly_end_is_no_crash_and_forgives_none() {
    let new = version("0.2.0");
    let mut trial = on_trial();
    for _ in 0..10 {
        assert_eq!(trial.begins(&new, Start::Fresh, at(0)), Beginning::OnTrial);
        trial.ends();
    }
    let put_back = Beginning::PutBack(Verdict::DoesNotWork);
    for (crash, expected) in [(1, Beginning::OnTrial), (2, Beginning::OnTrial), (3, put_back)] {
        let _ = trial.begins(&new, Start::Fresh, at(0));
        assert_eq!(trial.begins(&new, Start::Fresh, at(0)), expected, "crash {crash}");
        trial.ends();
    }
}

#[test]
fn a_hand_over_is_no_crash_and_the_one_after_it_is_one() {
    let new = version("0.2.0");
    let mut trial = on_trial();
    for _ in 0..10 {
        assert_eq!(trial.begins(&new, Start::Takeover, at(0)), Beginning::OnTrial);
        trial.serves();
    }
    let put_back = Beginning::PutBack(Verdict::DoesNotWork);
    for expected in [Beginning::OnTrial, Beginning::OnTrial, put_back] {
        assert_eq!(trial.begins(&new, Start::Fresh, at(0)), expected);
    }
}

#[test]
fn a_version_that_is_given_up_is_put_back_by_whoever_begins_it_and_the_one_before_ends_the_trial() {
    for verdict in [Verdict::DoesNotWork, Verdict::Unknown] {
        let folder = Folder::new();
        let mut trial = on_trial();
        trial.goes_back(verdict);
        folder.place.write_trial(&trial).unwrap();
        let trial = folder.place.trial().unwrap().unwrap();
        assert_eq!(trial.goes_back_for(), Some(verdict));
        for start in [Start::Fresh, Start::Takeover] {
            let mut begun = trial.clone();
            assert_eq!(begun.begins(&version("0.2.0"), start, at(0)), Beginning::PutBack(verdict));
            assert_eq!(begun.begins(&version("0.1.0"), start, at(0)), Beginning::Over);
        }
    }
}

#[test]
fn a_version_that_always_says_why_it_cannot_begin_goes_back_and_nothing_is_held_against_it() {
    let new = version("0.2.0");
    let mut trial = on_trial();
    for _ in 0..MAX_EXCUSES {
        assert_eq!(trial.begins(&new, Start::Fresh, at(0)), Beginning::OnTrial);
        trial.excuses_itself();
    }
    assert_eq!(trial.begins(&new, Start::Fresh, at(0)), Beginning::PutBack(Verdict::Unknown));
    // What it has said before it worked is forgotten then, and it may not begin anew with it for ever.
    trial.works(at(0));
    for _ in 0..MAX_EXCUSES {
        assert_eq!(trial.begins(&new, Start::Fresh, at(0)), Beginning::OnTrial);
        trial.excuses_itself();
    }
    assert_eq!(trial.begins(&new, Start::Fresh, at(0)), Beginning::PutBack(Verdict::Unknown));
}

#[test]
fn a_version_that_has_worked_still_goes_back_when_it_crashes_again_and_again() {
    let new = version("0.2.0");
    let mut trial = on_trial();
    trial.works(at(0));
    let _ = trial.begins(&new, Start::Fresh, at(0));
    for _ in 1..MAX_CRASHES {
        assert_eq!(trial.begins(&new, Start::Fresh, at(0)), Beginning::OnTrial);
    }
    assert_eq!(trial.begins(&new, Start::Fresh, at(0)), Beginning::PutBack(Verdict::DoesNotWork));
}

/// Somebody was killed who was about to replace it by the version that is written down.
#[test]
fn a_version_that_was_on_trial_before_another_one_is_so_again() {
    let mut trial = on_trial();
    assert_eq!(trial.begins(&version("0.1.9"), Start::Fresh, at(0)), Beginning::OnTrial);
    assert_eq!((trial.version, trial.before), (version("0.1.9"), version("0.1.0")));
}

#[test]
fn a_trial_outlives_the_process_and_a_later_version_may_write_it() {
    let folder = Folder::new();
    let place = &folder.place;
    assert_eq!(place.trial().unwrap(), None);
    let mut trial = on_trial();
    let _ = trial.begins(&version("0.2.0"), Start::Fresh, at(0));
    let _ = trial.begins(&version("0.2.0"), Start::Fresh, at(1));
    place.write_trial(&trial).unwrap();
    assert_eq!(place.trial().unwrap().as_ref(), Some(&trial));
    let path = folder.dir.path().join(".petit-client.trial");
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains("\"within_seconds\": 120") && text.contains("\"form\": 1"), "{text}");
    let later =
        text.replace("\"form\": 1", "\"form\": 2, \"weather\": \"fine\"").replace("trying", "resting");
    fs::write(&path, later).unwrap();
    let read = place.trial().unwrap().unwrap();
    assert_eq!(read.version, version("0.2.0"));
    place.write_trial(&read).unwrap();
    assert!(fs::read_to_string(&path).unwrap().contains("\"weather\": \"fine\""), "what it added is kept");
    fs::write(&path, &text[..text.len() / 2]).unwrap();
    assert!(matches!(place.trial(), Err(HistoryError::Damaged { .. })));
    place.end_trial().unwrap();
    assert_eq!(place.trial().unwrap(), None);
}

#[test]
fn this_program_has_a_version() {
    assert_eq!(Version::of_this_program().to_string(), env!("CARGO_PKG_VERSION"));
}
