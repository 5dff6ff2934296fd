//! What is published together: a release key, a manifest, and their signatures, as they were signed. In a folder each is
//! a file that minisign checks.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{MAX_MANIFEST_BYTES, MAX_RELEASE_KEY_BYTES, MAX_ROOT_SIGNATURES, MAX_SIGNATURE_BYTES};
use crate::files::{self, FileError};

/// The file of the release key.
pub const RELEASE_KEY: &str = "release-key.json";
/// The file of the manifest.
pub const MANIFEST: &str = "manifest.json";
/// What the names of signatures end in. Those of root keys are `release-key.json.NAME.minisig`.
pub const SIGNATURE_ENDING: &str = ".minisig";

/// A release key, a manifest, and their signatures. Not looked at yet: see [`verify`](super::verify).
///
/// What a later server adds is not looked at: an older client needs this to become a newer one, and what counts is signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bundle {
    pub release_key: String,
    pub root_signatures: Vec<String>,
    pub manifest: String,
    pub manifest_signature: String,
}

/// Why a folder has no bundle.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    #[error("cannot read {}", path.display())]
    Io {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{} has more than {limit} bytes", path.display())]
    TooLarge { path: PathBuf, limit: usize },
    #[error("there are more than {limit} signatures {RELEASE_KEY}.*{SIGNATURE_ENDING} in {}", folder.display())]
    TooManySignatures { folder: PathBuf, limit: usize },
}

impl Bundle {
    /// Reads the files of a folder.
    ///
    /// # Errors
    /// [`BundleError`].
    pub fn read(folder: &Path) -> Result<Self, BundleError> {
        let (release_key, root_signatures) = Self::read_release_key(folder)?;
        let manifest = read(&folder.join(MANIFEST), MAX_MANIFEST_BYTES)?;
        let manifest_signature = read(&folder.join(manifest_signature_file()), MAX_SIGNATURE_BYTES)?;
        Ok(Self { release_key, root_signatures, manifest, manifest_signature })
    }

    /// Writes it into a folder that has none, as [`read`](Self::read) reads it.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn write(&self, folder: &Path) -> Result<(), FileError> {
        let Self { release_key, root_signatures, manifest, manifest_signature } = self;
        let write = |name: &str, text: &str| files::write_private(&folder.join(name), text.as_bytes());
        write(RELEASE_KEY, release_key)?;
        for (number, signature) in root_signatures.iter().enumerate() {
            write(&format!("{RELEASE_KEY}.{number}{SIGNATURE_ENDING}"), signature)?;
        }
        write(MANIFEST, manifest)?;
        write(&manifest_signature_file(), manifest_signature)
    }

    /// Reads a release key and its signatures.
    ///
    /// # Errors
    /// [`BundleError`].
    pub fn read_release_key(folder: &Path) -> Result<(String, Vec<String>), BundleError> {
        let document = read(&folder.join(RELEASE_KEY), MAX_RELEASE_KEY_BYTES)?;
        let failed = |source| BundleError::Io { path: folder.to_owned(), source };
        let mut paths = Vec::new();
        for entry in fs::read_dir(folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name();
            let name = name.to_str().and_then(|name| name.strip_prefix(RELEASE_KEY));
            let is_signature = |rest: &str| rest.starts_with('.') && rest.ends_with(SIGNATURE_ENDING);
            if name.is_some_and(is_signature) {
                paths.push(entry.path());
            }
        }
        if paths.len() > MAX_ROOT_SIGNATURES {
            let folder = folder.to_owned();
            return Err(BundleError::TooManySignatures { folder, limit: MAX_ROOT_SIGNATURES });
        }
        paths.sort();
        let signatures: Result<_, _> = paths.iter().map(|path| read(path, MAX_SIGNATURE_BYTES)).collect();
        Ok((document, signatures?))
    }
}

/// The file of the manifest's signature.
pub fn manifest_signature_file() -> String {
    format!("{MANIFEST}{SIGNATURE_ENDING}")
}

/// A text that is no longer than it may be.
fn read(path: &Path, limit: usize) -> Result<String, BundleError> {
    let failed = |source| BundleError::Io { path: path.to_owned(), source };
    let most = u64::try_from(limit).unwrap_or(u64::MAX);
    let text = files::read_text(path, most.saturating_add(1)).map_err(failed)?;
    if text.len() > limit {
        return Err(BundleError::TooLarge { path: path.to_owned(), limit });
    }
    Ok(text)
}
