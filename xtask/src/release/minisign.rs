//! Signatures, made by minisign (<https://jedisct1.github.io/minisign/>). It asks for the password of a key itself.

use std::fs;
use std::path::Path;
use std::process::Command;

use petit_host::update::{Bundle, MANIFEST, Manifest, manifest_signature_file};

use super::folder::Folder;
use crate::run::{Outcome, succeed};
use crate::setup::Needed;

pub(super) const NEEDED: &[Needed] =
    &[("minisign", "minisign", "signs releases, and checks what was signed")];

/// The key in a file of minisign's.
pub(super) fn public_key(file: &Path) -> Result<String, String> {
    let text = fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
    let mut lines = text.lines();
    let is_public = lines.next().is_some_and(|comment| comment.starts_with("untrusted comment:"));
    let key = lines.next().filter(|_| is_public).map(|key| key.trim().to_owned());
    key.ok_or_else(|| format!("{} is no public key of minisign's", file.display()))
}

/// A manifest that is signed, and not in its place yet.
pub(super) struct Signed<'a> {
    folder: &'a Folder,
    manifest: String,
    signature: String,
}

impl<'a> Signed<'a> {
    /// minisign reads what it signs after it has asked for the password, so that lies where only this user can change it, and
    /// its signature is given to nobody before it is known to be one of that.
    pub(super) fn make(folder: &'a Folder, manifest: &Manifest, key: &Path) -> Result<Self, String> {
        let failed = |error: std::io::Error| format!("a folder for what is signed: {error}");
        let work = tempfile::tempdir().map_err(failed)?;
        let (document, signature) = (work.path().join(MANIFEST), work.path().join(manifest_signature_file()));
        let text = manifest.to_text();
        fs::write(&document, &text).map_err(failed)?;
        let comment = format!("Petit, {}, manifest {}", manifest.channel, manifest.counter);
        let mut command = Command::new("minisign");
        command.arg("-S").arg("-s").arg(key).arg("-m").arg(&document).arg("-x").arg(&signature);
        succeed(command.args(["-t", &comment]))?;
        let signature = fs::read_to_string(&signature).map_err(failed)?;
        Ok(Self { folder, manifest: text, signature })
    }

    /// With the release key that it was signed with.
    pub(super) fn bundle(&self, release_key: String, root_signatures: Vec<String>) -> Bundle {
        let (manifest, manifest_signature) = (self.manifest.clone(), self.signature.clone());
        Bundle { release_key, root_signatures, manifest, manifest_signature }
    }

    /// Puts it in its place.
    pub(super) fn put(self) -> Outcome {
        self.folder.put_manifest(&self.manifest, &self.signature)
    }
}
