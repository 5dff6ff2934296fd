//! Releases made with throw-away keys, by the tool that the real ones are made with.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may assert by failing")]

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use petit_host::update::{
    Bundle, Channel, Consent, History, Installed, Owner, Roots, Situation, Step, Time, Verified, Version,
    decide, verify,
};

use super::arguments::SignArguments;
use super::folder::NEXT_KEY;
use super::{run, sign};
use crate::run::{is_installed, succeed};

const TARGET: &str = "petit-client-linux-x86_64";

/// Keys, a release, and a program to be released.
struct Workshop(tempfile::TempDir);

impl Workshop {
    /// With three root keys, and a release key that two of them have signed.
    fn new() -> Self {
        assert!(is_installed("minisign"), "minisign is missing: cargo xtask setup installs it");
        let workshop = Self(tempfile::tempdir().unwrap());
        let roots: String = ["ada", "bob", "eve"].map(|name| workshop.make_key(name)).concat();
        fs::write(workshop.at("roots.pub"), roots).unwrap();
        workshop.replace_key("release", 1);
        workshop
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn word(&self, name: &str) -> String {
        self.at(name).display().to_string()
    }

    fn release(&self) -> PathBuf {
        self.at("release")
    }

    /// Makes a pair of keys without a password; returns the file of the public one.
    fn make_key(&self, name: &str) -> String {
        let public = self.at(&format!("{name}.pub"));
        let mut command = Command::new("minisign");
        command.args(["-G", "-W", "-p"]).arg(&public).arg("-s").arg(self.at(&format!("{name}.key")));
        assert!(command.output().unwrap().status.success());
        fs::read_to_string(public).unwrap()
    }

    /// A release key that Ada and Eve have signed.
    fn replace_key(&self, name: &str, number: u64) {
        self.make_key(name);
        let (public, number, into) =
            (self.word(&format!("{name}.pub")), number.to_string(), self.word("release"));
        let arguments = ["key", "--public", &public, "--number", &number, "--into", &into];
        run(&arguments.map(str::to_owned)).unwrap();
        for root in ["ada", "eve"] {
            self.sign_release_key(root);
        }
    }

    fn sign_release_key(&self, root: &str) {
        let document = self.release().join(NEXT_KEY);
        let mut command = Command::new("minisign");
        command.arg("-S").arg("-s").arg(self.at(&format!("{root}.key"))).arg("-m").arg(&document);
        succeed(command.arg("-x").arg(format!("{}.{root}.minisig", document.display()))).unwrap();
    }

    /// Signs with a key, with more arguments, some of which are `VERSION: program`.
    fn sign(&self, key: &str, more: &[&str]) -> Result<String, String> {
        let (roots, key, into) =
            (self.word("roots.pub"), self.word(&format!("{key}.key")), self.word("release"));
        let usual = ["--roots", &roots, "--key", &key, "--into", &into];
        let arguments: Vec<String> = usual.iter().chain(more).map(|word| (*word).to_owned()).collect();
        sign(&SignArguments::parse(&arguments)?, Time::now())
    }

    /// Signs a version of the program, whose bytes are other ones in each.
    fn sign_version(&self, version: &str, more: &[&str]) -> Result<String, String> {
        let program = self.at("program");
        fs::write(&program, format!("program {version}")).unwrap();
        let artifact = format!("{TARGET}={}", program.display());
        self.sign("release", &[&["--version", version, &artifact], more].concat())
    }

    fn verified(&self) -> Verified {
        let roots = Roots::parse(&fs::read_to_string(self.at("roots.pub")).unwrap()).unwrap();
        verify(&Bundle::read(&self.release()).unwrap(), &roots).unwrap()
    }

    fn files(&self) -> Vec<String> {
        let entries = fs::read_dir(self.release()).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

#[test]
fn a_release_is_one_that_a_client_installs_and_that_minisign_checks() {
    let workshop = Workshop::new();
    workshop.sign_version("0.2.0", &["--minimum", "0.1.5", "--revoke", "0.1.7"]).unwrap();
    let verified = workshop.verified();
    let installed =
        Installed { target: TARGET.parse().unwrap(), version: version("0.1.9"), owner: Owner::Itself };
    let situation = Situation {
        installed: &installed,
        channel: Channel::Stable,
        consent: &Consent::Given { hours: None },
        history: &History::default(),
        now: Time::now(),
        minute: 0,
    };
    let Step::Install(artifact) = decide(&verified, &situation).unwrap().step else {
        panic!("not installed")
    };
    let program = workshop.release().join(artifact.file.as_str());
    assert_eq!(fs::read_to_string(program).unwrap(), "program 0.2.0");
    assert_eq!((&artifact.minimum, &artifact.revoked), (&Some(version("0.1.5")), &vec![version("0.1.7")]));
    // By hand, as docs/releasing.md says it.
    let check = |public: &str, document: &str, signature: &str| {
        let mut command = Command::new("minisign");
        command.arg("-V").arg("-p").arg(workshop.at(public)).arg("-m").arg(workshop.release().join(document));
        command.arg("-x").arg(workshop.release().join(signature)).output().unwrap()
    };
    assert!(check("ada.pub", "release-key.json", "release-key.json.ada.minisig").status.success());
    let checked = check("release.pub", "manifest.json", "manifest.json.minisig");
    let said = String::from_utf8_lossy(&checked.stdout).into_owned();
    assert!(checked.status.success() && said.contains("Petit, stable, manifest 1"), "{said}");
    assert!(!check("ada.pub", "manifest.json", "manifest.json.minisig").status.success());
}

#[test]
fn each_manifest_has_the_next_number_and_what_was_said_before_stays() {
    let workshop = Workshop::new();
    workshop.sign_version("0.2.0", &["--revoke", "0.1.7", "--channel", "beta"]).unwrap();
    workshop.sign_version("0.3.0", &["--revoke", "0.2.0"]).unwrap();
    let signed = workshop.verified();
    // Without programs it is the same for another fortnight.
    workshop.sign("release", &["--days", "20"]).unwrap();
    let renewed = workshop.verified();
    assert_eq!(renewed.manifest().counter, 3);
    assert_eq!(renewed.manifest().channel, Channel::Beta);
    assert_eq!(renewed.manifest().targets, signed.manifest().targets);
    assert!(renewed.manifest().expires > signed.manifest().expires);
    assert_eq!(renewed.manifest().targets[0].revoked, [version("0.1.7"), version("0.2.0")]);
    let mut expected = vec![
        "manifest.json".to_owned(),
        "manifest.json.minisig".to_owned(),
        format!("{TARGET}-0.2.0"),
        format!("{TARGET}-0.3.0"),
    ];
    let key = ["release-key.json", "release-key.json.ada.minisig", "release-key.json.eve.minisig"];
    expected.extend(key.map(str::to_owned));
    assert_eq!(workshop.files(), expected);
}

#[test]
fn what_no_client_would_take_is_not_signed_and_the_release_stays_as_it_is() {
    let workshop = Workshop::new();
    workshop.sign_version("0.2.0", &[]).unwrap();
    let before = Bundle::read(&workshop.release()).unwrap();
    let refused = |result: Result<String, String>, said: &str| {
        let error = result.unwrap_err();
        assert!(error.contains(said), "{error}");
        assert_eq!(Bundle::read(&workshop.release()).unwrap(), before, "{said}");
        assert!(!workshop.release().join(".signing").exists());
    };
    refused(workshop.sign_version("0.1.9", &[]), "no installation goes back");
    refused(workshop.sign_version("0.2.0", &["--minimum", "0.2.1"]), "older than the minimum");
    refused(workshop.sign_version("0.3.0", &["--channel", "beta"]), "one of its own");
    refused(workshop.sign_version("0.3.0", &["--days", "300"]), "the release key ends at");
    refused(workshop.sign("release", &["--minimum", "0.1.0"]), "name them as TARGET=FILE");
    refused(workshop.sign("release", &["petit-client"]), "TARGET=FILE");
    refused(workshop.sign("release", &["--sign"]), "there is no --sign here");
    // Another key than the one that root keys have signed.
    refused(workshop.sign("ada", &[]), "not signed by release key 1");
    // A program that changes under a version that somebody may have.
    fs::write(workshop.at("program"), "another program").unwrap();
    let artifact = format!("{TARGET}={}", workshop.word("program"));
    refused(workshop.sign("release", &["--version", "0.2.0", &artifact]), "a new program has a new version");
    fs::write(workshop.release().join(format!("{TARGET}-0.2.0")), "changed").unwrap();
    refused(workshop.sign("release", &[]), "is not the file that was signed");
}

#[test]
fn a_release_key_counts_with_two_roots_and_is_replaced_by_a_higher_one_only() {
    let workshop = Workshop::new();
    workshop.sign_version("0.2.0", &[]).unwrap();
    workshop.make_key("next");
    let (public, into) = (workshop.word("next.pub"), workshop.word("release"));
    let key = |number: &str| {
        run(&["key", "--public", &public, "--number", number, "--into", &into].map(str::to_owned))
    };
    assert!(key("1").unwrap_err().contains("has a higher number"));
    key("2").unwrap();
    workshop.sign_release_key("bob");
    // What is handed out stays good, and is signed anew, until two have signed.
    assert_eq!(workshop.verified().release_key().number, 1);
    workshop.sign("release", &[]).unwrap();
    assert_eq!(workshop.verified().manifest().counter, 2);
    let error = workshop.sign("next", &[]).unwrap_err();
    assert!(error.contains("not signed by release key 1"), "{error}");
    assert!(error.contains("release-key.next.json does not count yet"), "{error}");
    assert!(error.contains("signed by 1 of the root keys"), "{error}");
    // Written anew it is another one, which nobody has signed.
    key("3").unwrap();
    assert!(
        !workshop.files().iter().any(|name| name.starts_with(&format!("{NEXT_KEY}."))),
        "signatures of key 2"
    );
    key("2").unwrap();
    for root in ["bob", "ada"] {
        workshop.sign_release_key(root);
    }
    assert!(workshop.sign("release", &[]).unwrap_err().contains("not signed by release key 2"));
    assert_eq!(workshop.verified().release_key().number, 1);
    workshop.sign("next", &[]).unwrap();
    let verified = workshop.verified();
    assert_eq!((verified.release_key().number, verified.manifest().counter), (2, 3));
    assert!(workshop.sign("release", &[]).unwrap_err().contains("not signed by release key 2"));
    let left: Vec<_> = workshop.files().into_iter().filter(|name| name.contains("key")).collect();
    assert_eq!(left, ["release-key.json", "release-key.json.ada.minisig", "release-key.json.bob.minisig"]);
    // One that cannot be read is not one that is not there.
    fs::write(workshop.release().join("release-key.json"), [0xff]).unwrap();
    assert!(key("3").unwrap_err().contains("release-key.json"));
}

/// Whoever can write into the folder that is handed out waits for the next signature.
#[test]
fn what_somebody_has_changed_in_the_folder_is_not_signed() {
    let workshop = Workshop::new();
    workshop.sign_version("0.2.0", &[]).unwrap();
    let manifest = workshop.release().join("manifest.json");
    let text = fs::read_to_string(&manifest).unwrap();
    let changed = text.replacen("0.2.0", "9.9.9", 1);
    assert_ne!(changed, text);
    for (changed, more) in [(changed.as_str(), None), (changed.as_str(), Some("0.3.0")), ("{}", None)] {
        fs::write(&manifest, changed).unwrap();
        let signed = match more {
            Some(version) => workshop.sign_version(version, &[]),
            None => workshop.sign("release", &[]),
        };
        let error = signed.unwrap_err();
        assert!(error.contains("manifest.json is not as it was signed"), "{error}");
        assert_eq!(fs::read_to_string(&manifest).unwrap(), changed);
    }
    fs::write(&manifest, text).unwrap();
    workshop.sign("release", &[]).unwrap();
}

#[test]
fn a_sign_that_fails_leaves_no_program_behind() {
    let workshop = Workshop::new();
    workshop.sign_version("0.2.0", &[]).unwrap();
    let before = workshop.files();
    workshop.sign_version("0.3.0", &["--minimum", "0.3.1"]).unwrap_err();
    assert_eq!(workshop.files(), before);
    // So it can be built anew, and be signed.
    let program = workshop.at("program");
    fs::write(&program, "program 0.3.0, built anew").unwrap();
    let artifact = format!("{TARGET}={}", program.display());
    workshop.sign("release", &["--version", "0.3.0", &artifact]).unwrap();
}

fn version(text: &str) -> Version {
    text.parse().unwrap()
}

/// Each command of the page that is ours knows the options that it is written with.
#[test]
fn the_page_on_releasing_names_options_that_there_are() {
    let page = fs::read_to_string(crate::run::root().join("docs/releasing.md")).unwrap();
    let joined = page.replace("\\\n", " ");
    let commands: Vec<&str> =
        joined.lines().filter_map(|line| line.trim().strip_prefix("cargo xtask release ")).collect();
    for command in &commands {
        let words: Vec<String> = command.split_whitespace().map(str::to_owned).collect();
        let (what, rest) = words.split_first().unwrap();
        let parsed = match what.as_str() {
            "build" => super::arguments::BuildArguments::parse(rest).map(drop),
            "key" => super::arguments::KeyArguments::parse(rest).map(drop),
            "sign" => SignArguments::parse(rest).map(drop),
            other => Err(format!("there is no release {other}")),
        };
        assert_eq!(parsed, Ok(()), "{command}");
    }
    assert!(commands.len() > 2, "{commands:?}");
}
