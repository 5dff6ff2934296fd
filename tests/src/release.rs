//! Releases with throw-away keys, signed by minisign as real ones are.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::process::programs;
use petit_host::brand::Brand;
use petit_host::update::{
    Artifact, Channel, MANIFEST, Manifest, Measured, RELEASE_KEY, ReleaseKey, Target, Time,
};

/// The keys of somebody who releases, and the folder of the release.
pub struct Release {
    dir: tempfile::TempDir,
    counter: u64,
    /// The artifact's name.
    file: &'static str,
}

impl Default for Release {
    fn default() -> Self {
        Self::new()
    }
}

impl Release {
    /// With a release key that two of three root keys have signed.
    pub fn new() -> Self {
        let mut release = Self { dir: tempfile::tempdir().unwrap(), counter: 0, file: FILE };
        std::fs::create_dir(release.folder()).unwrap();
        let roots: String = ["ada", "bob", "eve"].map(|name| release.make_key(name)).concat();
        std::fs::write(release.at("roots.pub"), roots).unwrap();
        release.replace_key(1);
        release
    }

    /// Another release key, under which manifests are counted anew.
    pub fn replace_key(&mut self, number: u64) {
        for old in ["release.pub", "release.key"] {
            let _ = std::fs::remove_file(self.at(old));
        }
        let public = self.make_key("release");
        let public = public.lines().nth(1).unwrap().to_owned();
        let expires = Time::now().after(Duration::from_hours(24 * 100));
        let document = self.folder().join(RELEASE_KEY);
        std::fs::write(&document, ReleaseKey::new(number, expires, public).to_text()).unwrap();
        for root in ["ada", "bob"] {
            self.sign(root, &document, &format!("{}.{root}.minisig", document.display()));
        }
        self.counter = 0;
    }

    /// Where it is.
    pub fn folder(&self) -> PathBuf {
        self.at("release")
    }

    /// The file that names the root keys.
    pub fn roots(&self) -> PathBuf {
        self.at("roots.pub")
    }

    /// The artifact of the last manifest.
    pub fn artifact(&self) -> PathBuf {
        self.folder().join(self.file)
    }

    /// Releases a program as a version, for this computer.
    pub fn put(&mut self, version: &str, program: &[u8]) {
        self.put_until(version, program, Time::now().after(Duration::from_hours(24 * 14)));
    }

    /// The same, with a manifest that expires then.
    pub fn put_until(&mut self, version: &str, program: &[u8], expires: Time) {
        self.put_as(&Target::of("petit-client", &Brand::petit()), version, program, expires);
    }

    /// Releases the client for Windows as a version.
    pub fn put_for_windows(&mut self, version: &str, program: &[u8]) {
        let expires = Time::now().after(Duration::from_hours(24 * 14));
        self.put_as(&"petit-client-windows-x86_64".parse().unwrap(), version, program, expires);
    }

    /// Releases nothing but a program for somebody else.
    pub fn put_for(&mut self, target: &str, version: &str) {
        let expires = Time::now().after(Duration::from_hours(24 * 14));
        self.put_as(&target.parse().unwrap(), version, b"another program", expires);
    }

    /// Releases what brings a tray app to a version, for a target.
    pub fn put_installer(&mut self, target: &Target, version: &str, installer: &[u8]) {
        self.file = "petit-setup.exe";
        self.put_as(target, version, installer, Time::now().after(Duration::from_hours(24 * 14)));
    }

    fn put_as(&mut self, target: &Target, version: &str, program: &[u8], expires: Time) {
        self.counter += 1;
        std::fs::write(self.artifact(), program).unwrap();
        let Measured { bytes, sha256 } = Measured::of(program).unwrap();
        let artifact = Artifact {
            target: target.clone(),
            version: version.parse().unwrap(),
            file: self.file.parse().unwrap(),
            bytes,
            sha256,
            minimum: None,
            revoked: Vec::new(),
        };
        let created = Time::new(std::time::SystemTime::now() - Duration::from_hours(24 * 30));
        let manifest = Manifest::new(Channel::Stable, self.counter, (created, expires), vec![artifact]);
        let document = self.folder().join(MANIFEST);
        std::fs::write(&document, manifest.to_text()).unwrap();
        self.sign("release", &document, &format!("{}.minisig", document.display()));
    }

    /// Copies what is there into another folder, as somebody does who keeps an old release.
    pub fn copy(&self) -> PathBuf {
        let copy = self.at(&format!("copy-{}", self.counter));
        let copied = Command::new("cp").arg("-r").arg(self.folder()).arg(&copy).status();
        assert!(copied.unwrap().success());
        copy
    }

    fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn make_key(&self, name: &str) -> String {
        let public = self.at(&format!("{name}.pub"));
        let mut command = Command::new("minisign");
        command.args(["-G", "-W", "-p"]).arg(&public).arg("-s").arg(self.at(&format!("{name}.key")));
        assert!(command.output().unwrap().status.success(), "minisign");
        std::fs::read_to_string(public).unwrap()
    }

    fn sign(&self, key: &str, document: &Path, signature: &str) {
        let mut command = Command::new("minisign");
        command.arg("-S").arg("-s").arg(self.at(&format!("{key}.key"))).arg("-m").arg(document);
        assert!(command.args(["-x", signature]).output().unwrap().status.success(), "minisign");
    }
}

/// What the artifact is called.
pub const FILE: &str = "petit-client";

/// The program as it is, but of another version, whose number is as long.
pub fn of_version(version: &str) -> Vec<u8> {
    renumbered(&programs().join("petit-client"), version)
}

/// The same of any program.
pub fn renumbered(program: &Path, version: &str) -> Vec<u8> {
    let own = env!("CARGO_PKG_VERSION");
    assert_eq!(own.len(), version.len());
    let mut program = std::fs::read(program).unwrap();
    let places: Vec<usize> = program
        .windows(own.len())
        .enumerate()
        .filter(|(_, at)| *at == own.as_bytes())
        .map(|(at, _)| at)
        .collect();
    for at in places {
        program[at..at + own.len()].copy_from_slice(version.as_bytes());
    }
    program
}

/// A program that says it is of a version and likes every config file, and does this when it is to run.
pub fn script(version: &str, run: &str) -> Vec<u8> {
    format!(
        "#!/bin/sh\ncase $1 in\nversion) echo '{{\"software\": \"petit-client {version}\"}}';;\nconfig) ;;\n*) {run};;\nesac\n"
    )
    .into_bytes()
}
