//! What a manifest comes to on a computer: by its clock, by what it has seen, and by what the customer says.

use super::*;

/// A computer with version 0.1.0, at noon.
struct Computer {
    installed: Installed,
    consent: Consent,
    history: History,
    now: Time,
    minute: u16,
}

impl Computer {
    fn new() -> Self {
        let installed = Installed { target: target(), version: version("0.1.0"), owner: Owner::Itself };
        let (consent, history) = (Consent::Given { hours: None }, History::default());
        Self { installed, consent, history, now: time(STARTED), minute: 12 * 60 }
    }

    fn situation(&self) -> Situation<'_> {
        let Self { installed, consent, history, now, minute } = self;
        Situation { installed, channel: Channel::Stable, consent, history, now: *now, minute: *minute }
    }

    fn step<'a>(&self, verified: &'a Verified) -> Step<'a> {
        decide(verified, &self.situation()).unwrap().step
    }

    fn refused(&self, release: &Release) -> Refusal {
        decide(&release.verified(), &self.situation()).unwrap_err()
    }
}

#[test]
fn a_newer_version_is_installed_where_the_program_owns_itself_and_may() {
    let (computer, verified) = (Computer::new(), Release::new().verified());
    assert_eq!(computer.step(&verified), Step::Install(&artifact("0.2.0")));
}

#[test]
fn the_customer_decides_and_so_does_whoever_owns_the_files() {
    let (newer, verified) = (version("0.2.0"), Release::new().verified());
    let night = "22:00-05:30".parse().unwrap();
    let asked = |approved: Option<&str>| Consent::Asked { approved: approved.map(version) };
    let install = Step::Install(&verified.manifest().targets[0]);
    for (owner, consent, expected) in [
        (Owner::Itself, Consent::Never, Step::Tell { version: newer.clone() }),
        (Owner::Itself, asked(None), Step::Ask { version: newer.clone() }),
        (Owner::Itself, asked(Some("0.1.9")), Step::Ask { version: newer.clone() }),
        (Owner::Itself, asked(Some("0.2.0")), install.clone()),
        (
            Owner::Itself,
            Consent::Given { hours: Some(night) },
            Step::Wait { version: newer.clone(), hours: night },
        ),
        (Owner::Itself, Consent::Given { hours: None }, install.clone()),
        (Owner::Itself, Consent::Typed, install),
        (Owner::Other, Consent::Never, Step::Tell { version: newer.clone() }),
        (Owner::Other, asked(Some("0.2.0")), Step::Tell { version: newer.clone() }),
        (Owner::Other, Consent::Given { hours: None }, Step::Tell { version: newer }),
    ] {
        let mut computer = Computer::new();
        (computer.installed.owner, computer.consent) = (owner, consent);
        assert_eq!(computer.step(&verified), expected, "{owner:?} {:?}", computer.consent);
    }
    let mut computer = Computer::new();
    computer.consent = Consent::Given { hours: Some(night) };
    computer.minute = 23 * 60;
    assert!(matches!(computer.step(&verified), Step::Install(_)));
}

#[test]
fn neither_a_minimum_nor_a_revocation_beats_the_customers_no() {
    let mut release = Release::new();
    release.manifest.targets[0].minimum = Some(version("0.1.5"));
    release.manifest.targets[0].revoked = vec![version("0.1.6")];
    let verified = release.verified();
    for (installed, standing) in [
        ("0.1.0", Standing::TooOld { minimum: version("0.1.5") }),
        ("0.1.5", Standing::Good),
        ("0.1.6", Standing::Revoked),
    ] {
        let mut computer = Computer::new();
        (computer.installed.version, computer.consent) = (version(installed), Consent::Never);
        let advice = decide(&verified, &computer.situation()).unwrap();
        assert_eq!(advice, Advice { standing, step: Step::Tell { version: version("0.2.0") } });
    }
}

#[test]
fn nothing_goes_back_to_an_older_version() {
    let verified = Release::new().verified();
    for installed in ["0.2.0", "0.2.1", "0.10.0", "1.0.0"] {
        let mut computer = Computer::new();
        computer.installed.version = version(installed);
        assert_eq!(computer.step(&verified), Step::Nothing, "{installed}");
    }
    // What comes before a release is older than it.
    let mut computer = Computer::new();
    computer.installed.version = version("0.2.0-beta.1");
    assert!(matches!(computer.step(&verified), Step::Install(_)));
}

#[test]
fn a_version_that_did_not_work_is_not_tried_again_and_the_next_one_is() {
    let mut release = Release::new();
    let mut computer = Computer::new();
    computer.history.remember_bad(version("0.2.0"));
    assert_eq!(computer.step(&release.verified()), Step::GivenUp { version: version("0.2.0") });
    release.manifest.targets = vec![artifact("0.2.1")];
    assert!(matches!(computer.step(&release.verified()), Step::Install(_)));
}

#[test]
fn a_version_that_a_person_has_put_back_is_for_a_person_to_install() {
    let verified = Release::new().verified();
    let mut computer = Computer::new();
    computer.history.leave_to_people(version("0.2.0"));
    for consent in
        [Consent::Given { hours: None }, Consent::Given { hours: Some("22:00-05:30".parse().unwrap()) }]
    {
        computer.consent = consent;
        assert_eq!(computer.step(&verified), Step::Ask { version: version("0.2.0") });
    }
    computer.consent = Consent::Typed;
    assert!(matches!(computer.step(&verified), Step::Install(_)));
}

#[test]
fn what_has_expired_is_refused_and_so_is_what_a_clock_cannot_tell_about() {
    let release = Release::new();
    let (created, expires) = (release.manifest.created, release.manifest.expires);
    let key_expires = release.release_key.expires;
    let expired = |document, expires, now| Refusal::Expired { document, expires, now };
    for (now, refusal) in [
        ("2026-12-12T09:59:59Z", None),
        ("2026-12-12T10:00:00Z", Some(expired(Document::Manifest, expires, expires))),
        (
            "2036-01-01T00:00:00Z",
            Some(expired(Document::ReleaseKey, key_expires, time("2036-01-01T00:00:00Z"))),
        ),
        // A day behind is tolerated.
        ("2026-11-27T10:00:00Z", None),
        ("2026-11-27T09:59:59Z", Some(Refusal::ClockBehind { created, now: time("2026-11-27T09:59:59Z") })),
        ("1970-01-01T00:00:00Z", Some(Refusal::ClockBehind { created, now: time("1970-01-01T00:00:00Z") })),
    ] {
        let mut computer = Computer::new();
        computer.now = time(now);
        let verified = release.verified();
        let decided = decide(&verified, &computer.situation());
        assert_eq!(decided.err(), refusal, "{now}");
    }
    let mut ending = Release::new();
    ending.release_key = ReleaseKey::new(1, time(STARTED), ending.key.public());
    let refusal = Computer::new().refused(&ending);
    assert_eq!(refusal, expired(Document::ReleaseKey, time(STARTED), time(STARTED)));
    let said = refusal.to_string();
    assert!(
        said.contains("the release key expired at 2026-11-28T12:00:00Z") && said.contains("clock"),
        "{said}"
    );
}

#[test]
fn an_old_manifest_is_not_put_in_the_place_of_a_newer_one() {
    let mut release = Release::new();
    let mut computer = Computer::new();
    let old = release.verified();
    release.manifest.counter = 8;
    computer.history.remember(&release.verified()).unwrap();
    // The same again is fine, however often.
    computer.history.remember(&release.verified()).unwrap();
    let rolled_back = Refusal::RolledBack { counter: 7, seen: 8 };
    assert_eq!(decide(&old, &computer.situation()).unwrap_err(), rolled_back);
    let before = computer.history.clone();
    assert_eq!(computer.history.remember(&old), Err(rolled_back));
    assert_eq!(computer.history, before);
    // Another one under the same number.
    release.manifest.targets = vec![artifact("0.3.0")];
    assert_eq!(computer.refused(&release), Refusal::Exchanged { counter: 8 });
    // Another channel counts for itself, and is not this computer's.
    release.manifest.channel = Channel::Beta;
    release.manifest.counter = 1;
    assert_eq!(computer.history.admit(&release.verified()), Ok(()));
    let other = Refusal::OtherChannel { offered: Channel::Beta, own: Channel::Stable };
    assert_eq!(computer.refused(&release), other);
}

#[test]
fn a_new_release_key_ends_the_one_before_and_the_counters_that_its_thief_has_used_up() {
    let mut release = Release::new();
    let mut computer = Computer::new();
    release.manifest.counter = u64::MAX;
    let stolen = release.verified();
    computer.history.remember(&stolen).unwrap();
    release.key = Key::new();
    release.release_key = ReleaseKey::new(2, release.release_key.expires, release.key.public());
    release.manifest.counter = 1;
    let next = release.verified();
    assert!(matches!(computer.step(&next), Step::Install(_)));
    computer.history.remember(&next).unwrap();
    let replaced = Refusal::KeyReplaced { number: 1, seen: 2 };
    assert_eq!(decide(&stolen, &computer.situation()).unwrap_err(), replaced);
}

#[test]
fn a_target_that_the_manifest_does_not_name_is_not_guessed() {
    let mut computer = Computer::new();
    for other in ["petit-client-linux-aarch64", "petit-client-linux-x86_64-north", "petit-client"] {
        computer.installed.target = other.parse().unwrap();
        let refused = computer.refused(&Release::new());
        assert_eq!(refused, Refusal::NoTarget { target: other.parse().unwrap() });
    }
}

#[test]
fn what_was_seen_outlives_the_process_and_a_damaged_file_is_no_fresh_begin() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("updates.json");
    assert_eq!(History::read(&path).unwrap(), History::default());
    let mut release = Release::new();
    let old = release.verified();
    release.manifest.counter = 8;
    let mut history = History::default();
    history.remember(&release.verified()).unwrap();
    for patch in 0..40 {
        history.remember_bad(version(&format!("0.2.{patch}")));
    }
    history.write(&path).unwrap();
    let read = History::read(&path).unwrap();
    assert_eq!(read, history);
    assert_eq!(read.admit(&old), Err(Refusal::RolledBack { counter: 7, seen: 8 }));
    assert!(read.is_bad(&version("0.2.39")) && !read.is_bad(&version("0.2.7")), "the last 32");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, &text[..text.len() / 2]).unwrap();
    assert!(matches!(History::read(&path), Err(HistoryError::Damaged { .. })));
}

#[test]
fn what_a_later_version_has_added_to_the_history_does_not_keep_this_one_from_reading_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("updates.json");
    let mut history = History::default();
    history.remember(&Release::new().verified()).unwrap();
    history.write(&path).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    let stranger = text.replacen("\"seen\": [", "\"seen\": [{ \"channel\": \"nightly\" },", 1);
    assert_ne!(text, stranger);
    std::fs::write(&path, &stranger).unwrap();
    assert!(matches!(History::read(&path), Err(HistoryError::Damaged { .. })), "of this form it is damaged");
    std::fs::write(&path, stranger.replace("\"form\": 1", "\"form\": 2, \"weather\": \"fine\"")).unwrap();
    let read = History::read(&path).unwrap();
    let mut older = Release::new();
    older.manifest.counter -= 1;
    let refused = Err(Refusal::RolledBack { counter: 6, seen: 7 });
    assert_eq!((read.admit(&older.verified()), history.admit(&older.verified())), (refused.clone(), refused));
    // One from before forms had a number.
    std::fs::write(&path, text.replace("\"form\": 1,", "")).unwrap();
    assert_eq!(History::read(&path).unwrap(), history);
}

#[test]
fn a_clock_that_is_set_back_behind_what_was_seen_brings_nothing_expired_back() {
    let mut release = Release::new();
    let mut computer = Computer::new();
    // A new key begins a new count, and was seen when this manifest of it was over.
    release.manifest.created = time("2026-12-20T10:00:00Z");
    release.manifest.expires = time("2027-01-03T10:00:00Z");
    computer.history.remember(&release.verified()).unwrap();
    let old = Release::new();
    computer.history.remember(&release.verified()).unwrap();
    release.manifest.created = old.manifest.created;
    release.manifest.expires = old.manifest.expires;
    release.manifest.counter = 8;
    let (expires, now) = (old.manifest.expires, time("2026-12-20T10:00:00Z"));
    let expected = Refusal::Expired { document: Document::Manifest, expires, now };
    assert_eq!(computer.refused(&release), expected);
}
