//! Putting a release where clients get it: looked at, copied whole, and then switched to.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use petit_engine::proto::control::BUNDLE_FILE;
use petit_host::files::{self, FileError};
use petit_host::lock::Lock;
use petit_host::update::{
    Artifact, Bundle, Channel, History, Intake, MANIFEST, Manifest, PassError, RELEASE_KEY, Roots,
    SIGNATURE_ENDING, Time, Verified, in_force, verify,
};

use super::release::{CURRENT, Release, ReleaseError, current_name};

/// What has become of a release that was put.
#[derive(Debug)]
pub struct Put {
    pub release: Release,
    /// It was handed out already, and its copy is whole.
    pub was_there: bool,
}

/// Hands a release out that lies in a folder: all of it or, when anything about it is not right, what was handed out
/// before.
///
/// # Errors
/// [`ReleaseError`]; what is handed out has not changed then.
pub fn put(releases: &Path, from: &Path, roots: &Roots, now: Time) -> Result<Put, ReleaseError> {
    let bundle = Bundle::read(from)?;
    let verified = verify(&bundle, roots)?;
    in_force(&verified, now)?;
    let artifacts = &verified.manifest().targets;
    if let Some(named) = artifacts.iter().find(|artifact| is_document(artifact.file.as_str())) {
        return Err(ReleaseError::Name { name: named.file.clone() });
    }
    if verified.manifest().channel != Channel::Stable {
        return Err(ReleaseError::Channel { channel: verified.manifest().channel });
    }
    files::make_private_dir(releases)?;
    let _lock = lock(releases)?;
    let seen = releases.join("seen.json");
    let mut history = History::read(&seen)?;
    history.admit(&verified)?;
    if let Some(release) = whole(releases, &bundle) {
        return Ok(Put { release, was_there: true });
    }
    let new = releases.join(".new");
    remove_folder(&new)?;
    let copied = copy(&bundle, artifacts, from, &new);
    if copied.is_err() {
        let _ = fs::remove_dir_all(&new);
    }
    copied?;
    history.remember(&verified)?;
    history.write(&seen)?;
    // What can fail does so before the switch.
    let opened = Release::open(&new)?;
    let name = free_name(releases, &verified);
    let io = |action, path: &Path, source| FileError::Io { action, path: path.to_owned(), source };
    let folder = releases.join(&name);
    fs::rename(&new, &folder).map_err(|source| io("write", &folder, source))?;
    files::sync_dir(releases).map_err(|source| io("write", releases, source))?;
    let switched = files::write_private(&releases.join(CURRENT), name.as_bytes());
    if !matches!(current_name(releases), Ok(Some(current)) if current == name) {
        switched?;
    }
    remove_others(releases, Some(&name));
    Ok(Put { release: Release { folder, ..opened }, was_there: false })
}

/// The files of a release that lies in a folder: its documents, and what its manifest names. Nothing is verified.
///
/// # Errors
/// [`ReleaseError`]: it has no manifest.
pub fn files(from: &Path) -> Result<Vec<String>, ReleaseError> {
    let manifest = Manifest::parse(&Bundle::read(from)?.manifest)?;
    let entries = fs::read_dir(from).into_iter().flatten().flatten();
    let documents =
        entries.filter_map(|entry| entry.file_name().into_string().ok()).filter(|name| is_document(name));
    let artifacts = manifest.targets.iter().map(|artifact| artifact.file.to_string());
    let all: BTreeSet<String> = documents.chain(artifacts).collect();
    Ok(all.into_iter().collect())
}

/// Hands nothing out any more. False when nothing was.
///
/// # Errors
/// [`ReleaseError`].
pub fn withdraw(releases: &Path) -> Result<bool, ReleaseError> {
    let current = releases.join(CURRENT);
    if !current.exists() {
        return Ok(false);
    }
    let _lock = lock(releases)?;
    // Whatever it says, and for good: a release that is withdrawn must not be back after a power cut.
    files::remove(&current)?;
    let io = |source| FileError::Io { action: "write", path: releases.to_owned(), source };
    files::sync_dir(releases).map_err(io)?;
    remove_others(releases, None);
    Ok(true)
}

/// Held by whoever changes what is handed out.
fn lock(releases: &Path) -> Result<Lock, ReleaseError> {
    Lock::take(&releases.join("lock")).map_err(ReleaseError::Busy)
}

/// The release that is handed out, when it is this one, by the same signatures, and nothing of it is missing.
fn whole(releases: &Path, bundle: &Bundle) -> Option<Release> {
    let release = Release::current(releases).ok().flatten()?;
    // In the order of their files' names; another root key may have signed the same release key since.
    let sorted = |mut bundle: Bundle| {
        bundle.root_signatures.sort();
        bundle
    };
    let is_it = sorted(Bundle::read(&release.folder).ok()?) == sorted(bundle.clone());
    (is_it && release.damage().is_none()).then_some(release)
}

fn copy(bundle: &Bundle, artifacts: &[Artifact], from: &Path, to: &Path) -> Result<(), ReleaseError> {
    files::make_private_dir(to)?;
    bundle.write(to)?;
    for artifact in artifacts {
        let (from, to) = (from.join(artifact.file.as_str()), to.join(artifact.file.as_str()));
        let io = |action, path: &Path, source| FileError::Io { action, path: path.to_owned(), source };
        let file = files::open_regular(&from).map_err(|source| io("read", &from, source))?;
        // Several targets may have one file.
        let mut copy = File::create(&to).map_err(|source| io("write", &to, source))?;
        let unfit = |source| ReleaseError::Unfit { path: from.clone(), source };
        let mut intake = Intake::begin(artifact);
        intake.pass(file, &mut copy).map_err(|error| match error {
            PassError::Read(source) | PassError::Write(source) => io("copy", &from, source).into(),
            PassError::Unfit(source) => unfit(source),
        })?;
        intake.finish().map_err(unfit)?;
        copy.sync_all().map_err(|source| io("write", &to, source))?;
    }
    files::sync_dir(to).map_err(|source| FileError::Io { action: "write", path: to.to_owned(), source })?;
    Ok(())
}

/// True for what the documents of a release are called, here and on the wire.
fn is_document(name: &str) -> bool {
    [MANIFEST, RELEASE_KEY, BUNDLE_FILE].contains(&name) || name.ends_with(SIGNATURE_ENDING)
}

/// A name that says which release it is, and that no folder has or has had, by which a running server sees that it is
/// another one: a damaged copy is replaced, too, and what was withdrawn may come back.
fn free_name(releases: &Path, verified: &Verified) -> String {
    let (key, counter) = (verified.release_key().number, verified.manifest().counter);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    let plain = format!("release-{key}-{counter}-{now}");
    let others = (2_u32..).map(|number| format!("{plain}-{number}"));
    let mut names = std::iter::once(plain.clone()).chain(others);
    names.find(|name| !releases.join(name).exists()).unwrap_or(plain)
}

/// Removes the folders of other releases. What cannot be removed, such as what is being read on Windows, is the next time.
fn remove_others(releases: &Path, except: Option<&str>) {
    for entry in fs::read_dir(releases).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let is_release = name.to_str().is_some_and(|name| name.starts_with("release-"));
        if is_release && name.to_str() != except {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

fn remove_folder(path: &Path) -> Result<(), FileError> {
    match fs::remove_dir_all(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(FileError::Io { action: "remove", path: path.to_owned(), source })
        }
        _ => Ok(()),
    }
}
