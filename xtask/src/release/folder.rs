//! The folder of a release: artifacts, the manifest, the release key, and their signatures, as it is handed out.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use petit_host::cli::chain;
use petit_host::files;
use petit_host::update::{
    Artifact, MANIFEST, Manifest, Measured, RELEASE_KEY, SIGNATURE_ENDING, manifest_signature_file,
};

use super::arguments::Made;
use crate::run::Outcome;

pub(super) struct Folder(PathBuf);

impl Folder {
    /// A folder; made when it is not there.
    pub(super) fn of(path: &Path) -> Result<Self, String> {
        fs::create_dir_all(path).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Self(path.to_owned()))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// The manifest of the release before.
    pub(super) fn manifest(&self) -> Result<Option<Manifest>, String> {
        let path = self.0.join(MANIFEST);
        match fs::read_to_string(&path) {
            Ok(text) => {
                Manifest::parse(&text).map(Some).map_err(|error| format!("{}: {error}", path.display()))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(format!("{}: {error}", path.display())),
        }
    }

    /// Copies a program into the folder. One that is there under the same name is the same, or somebody has it already.
    pub(super) fn take(&self, made: &Made) -> Result<Artifact, String> {
        let file = made.file_name()?;
        let Measured { bytes, sha256 } = measure(&made.file)?;
        let place = self.0.join(file.as_str());
        if place.exists() {
            if measure(&place)? != (Measured { bytes, sha256 }) {
                return Err(format!(
                    "{} is there with other bytes, and may be installed somewhere: a new program has a new version",
                    place.display()
                ));
            }
        } else {
            let content =
                fs::read(&made.file).map_err(|error| format!("{}: {error}", made.file.display()))?;
            files::write_public(&place, &content).map_err(|error| chain(&error))?;
        }
        let (target, version) = (made.target.clone(), made.version.clone());
        Ok(Artifact { target, version, file, bytes, sha256, minimum: None, revoked: Vec::new() })
    }

    /// Fails when the file of an artifact is not the one that the manifest names.
    pub(super) fn check(&self, artifact: &Artifact) -> Outcome {
        let path = self.0.join(artifact.file.as_str());
        let Measured { bytes, sha256 } = measure(&path)?;
        if bytes == artifact.bytes && sha256 == artifact.sha256 {
            Ok(())
        } else {
            Err(format!("{} is not the file that was signed: its SHA-256 is {sha256}", path.display()))
        }
    }

    pub(super) fn put_manifest(&self, manifest: &str, signature: &str) -> Outcome {
        // Between the two, what lies here is refused, and what was read before goes on being used.
        self.put(&manifest_signature_file(), signature)?;
        self.put(MANIFEST, manifest)
    }

    /// Puts a release key in its place, without the signatures of the one before.
    pub(super) fn put_release_key(&self, document: &str) -> Outcome {
        let failed = |error: io::Error| format!("{}: {error}", self.0.display());
        for entry in fs::read_dir(&self.0).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with(&format!("{RELEASE_KEY}.")) && name.ends_with(SIGNATURE_ENDING) {
                fs::remove_file(entry.path()).map_err(failed)?;
            }
        }
        self.put(RELEASE_KEY, document)
    }

    fn put(&self, name: &str, text: &str) -> Outcome {
        files::write_public(&self.0.join(name), text.as_bytes()).map_err(|error| chain(&error))
    }
}

fn measure(path: &Path) -> Result<Measured, String> {
    File::open(path).and_then(Measured::of).map_err(|error| format!("{}: {error}", path.display()))
}
