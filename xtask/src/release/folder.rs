//! The folder of a release: artifacts, the manifest, the release key, and their signatures, as it is handed out.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use petit_host::cli::chain;
use petit_host::files;
use petit_host::update::{
    Artifact, MANIFEST, Measured, RELEASE_KEY, ReleaseKey, SIGNATURE_ENDING, manifest_signature_file,
};

use super::arguments::Made;
use crate::run::Outcome;

/// The release key that is to sign next, until it is signed by enough root keys and has signed a manifest.
pub(super) const NEXT_KEY: &str = "release-key.next.json";

pub(super) struct Folder(PathBuf);

/// A release key, and the signatures of root keys.
type SignedText = (String, Vec<String>);

/// A program that is to be in the release.
pub(super) struct Taken {
    pub(super) artifact: Artifact,
    from: PathBuf,
}

impl Folder {
    /// A folder; made when it is not there.
    pub(super) fn of(path: &Path) -> Result<Self, String> {
        fs::create_dir_all(path).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Self(path.to_owned()))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// The manifest of the release before, and its signature, when there is one.
    pub(super) fn signed_manifest(&self) -> Result<Option<(String, String)>, String> {
        let Some(manifest) = self.text(MANIFEST)? else { return Ok(None) };
        let signature = self.text(&manifest_signature_file())?.unwrap_or_default();
        Ok(Some((manifest, signature)))
    }

    /// The release key that signs here now.
    pub(super) fn release_key(&self) -> Result<Option<ReleaseKey>, String> {
        let text = self.text(RELEASE_KEY)?;
        text.map(|text| ReleaseKey::parse(&text).map_err(|error| format!("{}: {error}", self.0.display())))
            .transpose()
    }

    /// With the signatures of root keys.
    pub(super) fn signed_key(&self) -> Result<Option<SignedText>, String> {
        self.signed(RELEASE_KEY)
    }

    /// The release key that is to sign next.
    pub(super) fn signed_next_key(&self) -> Result<Option<SignedText>, String> {
        self.signed(NEXT_KEY)
    }

    fn signed(&self, name: &str) -> Result<Option<SignedText>, String> {
        let Some(document) = self.text(name)? else { return Ok(None) };
        let paths = self.signatures(name)?;
        let read =
            |path: &PathBuf| fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()));
        Ok(Some((document, paths.iter().map(read).collect::<Result<_, _>>()?)))
    }

    /// The files with signatures of a release key.
    fn signatures(&self, name: &str) -> Result<Vec<PathBuf>, String> {
        let failed = |error: io::Error| format!("{}: {error}", self.0.display());
        let mut paths = Vec::new();
        for entry in fs::read_dir(&self.0).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            let file = path.file_name().unwrap_or_default().to_string_lossy();
            if file.starts_with(&format!("{name}.")) && file.ends_with(SIGNATURE_ENDING) {
                paths.push(path);
            }
        }
        paths.sort();
        Ok(paths)
    }

    fn text(&self, name: &str) -> Result<Option<String>, String> {
        let path = self.0.join(name);
        match fs::read_to_string(&path) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(format!("{}: {error}", path.display())),
        }
    }

    /// What a program would be in a release. One that is there under the same name is the same, or somebody has it already.
    pub(super) fn look_at(&self, made: &Made) -> Result<Taken, String> {
        let file = made.file_name()?;
        let Measured { bytes, sha256 } = measure(&made.file)?;
        let place = self.0.join(file.as_str());
        if place.exists() && measure(&place)? != (Measured { bytes, sha256 }) {
            return Err(format!(
                "{} is there with other bytes, and may be installed somewhere: a new program has a new version",
                place.display()
            ));
        }
        let (target, version) = (made.target.clone(), made.version.clone());
        let artifact = Artifact { target, version, file, bytes, sha256, minimum: None, revoked: Vec::new() };
        Ok(Taken { artifact, from: made.file.clone() })
    }

    /// Copies it into the folder, where it is not there yet.
    pub(super) fn take(&self, taken: &Taken) -> Outcome {
        let Taken { artifact, from } = taken;
        let place = self.0.join(artifact.file.as_str());
        if !place.exists() {
            let content = fs::read(from).map_err(|error| format!("{}: {error}", from.display()))?;
            files::write_public(&place, &content).map_err(|error| chain(&error))?;
        }
        // What was signed is what was looked at before.
        self.check(artifact)
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

    /// Puts a release key there that is to be signed, without the signatures of another one. What is handed out stays.
    pub(super) fn put_next_key(&self, document: &str) -> Outcome {
        remove(&self.signatures(NEXT_KEY)?)?;
        self.put(NEXT_KEY, document)
    }

    /// Hands the next release key out, when a manifest was signed with it. Whoever is stopped on the way does the rest
    /// with the next manifest.
    pub(super) fn promote_next_key(&self, document: &str) -> Outcome {
        let Some((next, signatures)) = self.signed_next_key()?.filter(|(next, _)| next == document) else {
            return Ok(());
        };
        let (before, of_next) = (self.signatures(RELEASE_KEY)?, self.signatures(NEXT_KEY)?);
        remove(&before)?;
        for (path, text) in of_next.iter().zip(&signatures) {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            self.put(&name.replacen(NEXT_KEY, RELEASE_KEY, 1), text)?;
        }
        self.put(RELEASE_KEY, &next)?;
        remove(&[self.0.join(NEXT_KEY)])?;
        remove(&of_next)
    }

    fn put(&self, name: &str, text: &str) -> Outcome {
        files::write_public(&self.0.join(name), text.as_bytes()).map_err(|error| chain(&error))
    }
}

fn remove(paths: &[PathBuf]) -> Outcome {
    paths.iter().try_for_each(|path| files::remove(path).map_err(|error| chain(&error)))
}

fn measure(path: &Path) -> Result<Measured, String> {
    File::open(path).and_then(Measured::of).map_err(|error| format!("{}: {error}", path.display()))
}
