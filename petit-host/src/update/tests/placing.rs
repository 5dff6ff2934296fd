//! The files beside a program, and what a program does that begins while a version is on trial.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

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
    place.switch().unwrap();
    assert_eq!(folder.program(), PROGRAM);
    assert_eq!(fs::read(place.previous()).unwrap(), b"the old program");
    assert_eq!(place.put_back().unwrap(), WayBack::Taken);
    assert_eq!(folder.program(), b"the old program");
    // Again, as after a crash: nothing is lost.
    assert_eq!(place.put_back().unwrap(), WayBack::None);
    assert_eq!(folder.program(), b"the old program");
    place.clean().unwrap();
    assert_eq!(folder.files(), [PathBuf::from("petit-client")]);
}

#[cfg(unix)]
#[test]
fn who_may_run_the_old_program_may_run_the_new_one() {
    use std::os::unix::fs::PermissionsExt;

    let folder = Folder::new();
    fs::set_permissions(folder.place.program(), fs::Permissions::from_mode(0o750)).unwrap();
    folder.place.stage(&artifact("0.2.0"), PROGRAM).unwrap();
    assert_eq!(fs::metadata(folder.place.staged()).unwrap().permissions().mode() & 0o777, 0o750);
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

#[test]
fn packages_keep_their_programs() {
    for (program, owner) in [
        ("/usr/bin/petit-client", Owner::Other),
        ("/usr/local/bin/petit-client", Owner::Itself),
        ("/home/ada/bin/petit-client", Owner::Itself),
    ] {
        let expected = if cfg!(unix) { owner } else { Owner::Other };
        assert_eq!(Place::of(program.as_ref()).owner(), expected, "{program}");
    }
}

fn on_trial() -> History {
    let mut history = History::default();
    let (new, old) = (version("0.2.0"), version("0.1.0"));
    history.begin_trial(Trial::new(new, old, vec!["web".to_owned()], Duration::from_secs(120)));
    history
}

#[test]
fn a_version_on_trial_that_ends_three_times_by_itself_is_given_up() {
    let mut history = on_trial();
    let new = version("0.2.0");
    for _ in 0..MAX_STARTS {
        assert_eq!(history.begin(&new), Beginning::OnTrial);
    }
    assert_eq!(history.begin(&new), Beginning::PutBack);
    history.go_back();
    assert!(history.is_bad(&new));
    // Whoever is killed now goes on with it, whichever program it begins with.
    assert_eq!(history.clone().begin(&new), Beginning::PutBack);
    assert_eq!(history.begin(&version("0.1.0")), Beginning::Over);
    history.end_trial();
    assert_eq!(history.begin(&version("0.1.0")), Beginning::Usual);
    assert!(history.is_bad(&new));
}

#[test]
fn a_version_that_is_given_up_is_put_back_by_whoever_begins_it_even_once() {
    let mut history = on_trial();
    let new = version("0.2.0");
    assert_eq!(history.begin(&new), Beginning::OnTrial);
    history.go_back();
    assert!(history.is_bad(&new));
    assert_eq!(history.begin(&new), Beginning::PutBack);
}

#[test]
fn an_orderly_end_is_not_held_against_a_version_on_trial() {
    let mut history = on_trial();
    let new = version("0.2.0");
    for _ in 0..10 {
        assert_eq!(history.begin(&new), Beginning::OnTrial);
        assert!(history.stopped(&new));
    }
    assert!(!history.stopped(&version("0.1.0")));
    assert!(!History::default().stopped(&new));
}

#[test]
fn a_trial_outlives_the_process() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("updates.json");
    let mut history = on_trial();
    let _ = history.begin(&version("0.2.0"));
    history.write(&path).unwrap();
    assert_eq!(History::read(&path).unwrap(), history);
    let trial = history.trial().unwrap();
    assert_eq!(
        (trial.within(), trial.worked.as_slice()),
        (Duration::from_secs(120), &["web".to_owned()][..])
    );
}

#[test]
fn this_program_has_a_version() {
    assert_eq!(Version::of_this_program().to_string(), env!("CARGO_PKG_VERSION"));
}
