//! The release that is handed out, and why there is none.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use data_encoding::HEXLOWER;
use petit_engine::secret::sha256;
use petit_host::cli::chain;
use petit_host::files::{self, FileError};
use petit_host::lock::LockError;
use petit_host::update::{
    Artifact, Bundle, BundleError, Channel, FileName, HistoryError, Intake, Manifest, Refusal, ReleaseKey,
    Time, Unfit,
};

use crate::registry::TargetVersions;

/// Before its end by this much a release is said to end soon: whoever signs it every week has missed a week then.
pub const ENDS_SOON: Duration = Duration::from_hours(3 * 24);

pub(super) const CURRENT: &str = "current";
/// Longer than any name of a release's folder.
pub(super) const MAX_NAME_BYTES: usize = 64;

/// Why a release cannot be handed out, or not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReleaseError {
    #[error(transparent)]
    Bundle(#[from] BundleError),
    #[error("the release is not one to hand out")]
    Refused(#[from] Refusal),
    #[error("{} is not the file that was signed", path.display())]
    Unfit {
        path: PathBuf,
        #[source]
        source: Unfit,
    },
    #[error("the manifest calls an artifact {name}, which a document of the release is called")]
    Name { name: FileName },
    #[error("the release is of the channel {channel}, and clients take stable ones only")]
    Channel { channel: Channel },
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    History(#[from] HistoryError),
    #[error("another release is being put there")]
    Busy(#[source] LockError),
}

/// The release that is handed out.
#[derive(Debug)]
pub struct Release {
    /// Where its files are.
    pub folder: PathBuf,
    pub release_key: ReleaseKey,
    pub manifest: Manifest,
    /// What is handed out with it, whoever has signed that when.
    pub handed_out: HandedOut,
    /// All signed documents, as clients fetch them.
    pub(super) bundle: Arc<[u8]>,
}

/// A release that is handed out, by what is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HandedOut {
    /// The number of its manifest.
    pub counter: u64,
    /// SHA-256 of its targets, their versions and files, in hex: signed anew it is the same.
    pub content: String,
    /// The version of each target.
    pub versions: TargetVersions,
}

impl HandedOut {
    fn of(manifest: &Manifest) -> Self {
        let targets = manifest.targets.iter();
        let mut lines: Vec<String> = targets
            .clone()
            .map(|it| format!("{} {} {} {}\n", it.target, it.version, it.bytes, it.sha256))
            .collect();
        lines.sort();
        let content = HEXLOWER.encode(&sha256(lines.concat().as_bytes()));
        Self {
            counter: manifest.counter,
            content,
            versions: targets.map(|it| (it.target.to_string(), it.version.to_string())).collect(),
        }
    }
}

/// How long a release is in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InForce {
    /// For longer than [`ENDS_SOON`].
    Yes,
    /// Not for much longer.
    EndsSoon,
    /// Not any more: clients take nothing.
    Over,
}

impl Release {
    /// The one that is handed out; `None` when none is. Its signatures were looked at when it was put there, and are by
    /// every client.
    ///
    /// # Errors
    /// [`ReleaseError`].
    pub fn current(releases: &Path) -> Result<Option<Self>, ReleaseError> {
        match current_name(releases)? {
            Some(name) => Self::open(&releases.join(name)).map(Some),
            None => Ok(None),
        }
    }

    pub(super) fn open(folder: &Path) -> Result<Self, ReleaseError> {
        let bundle = Bundle::read(folder)?;
        let release_key = ReleaseKey::parse(&bundle.release_key)?;
        let manifest = Manifest::parse(&bundle.manifest)?;
        let bundle = serde_json::to_vec(&bundle).unwrap_or_default().into();
        let handed_out = HandedOut::of(&manifest);
        Ok(Self { folder: folder.to_owned(), release_key, manifest, handed_out, bundle })
    }

    /// What is missing of its copy, or is of another length; a look at the folder.
    pub fn missing(&self) -> Option<String> {
        self.manifest.targets.iter().find_map(|artifact| {
            let path = self.folder.join(artifact.file.as_str());
            match fs::metadata(&path) {
                Ok(found) if found.len() == artifact.bytes => None,
                Ok(found) => Some(format!(
                    "{} of the release has {} bytes, and {} were signed",
                    path.display(),
                    found.len(),
                    artifact.bytes
                )),
                Err(error) => Some(format!("{} of the release cannot be read: {error}", path.display())),
            }
        })
    }

    /// What is not as it was signed in its copy; reads all of it.
    pub fn damage(&self) -> Option<String> {
        self.missing().or_else(|| self.manifest.targets.iter().find_map(|artifact| self.damage_of(artifact)))
    }

    fn damage_of(&self, artifact: &Artifact) -> Option<String> {
        let path = self.folder.join(artifact.file.as_str());
        let mut intake = Intake::begin(artifact);
        let passed = fs::File::open(&path)
            .map_err(|error| error.to_string())
            .and_then(|file| intake.pass(file, &mut io::sink()).map_err(|error| error.to_string()));
        let judged = passed.and_then(|_| intake.finish().map_err(|error| error.to_string()));
        judged.err().map(|why| format!("{} is not the file that was signed: {why}", path.display()))
    }

    /// Until when clients take it.
    pub fn expires(&self) -> Time {
        self.manifest.expires.min(self.release_key.expires)
    }

    /// Whether clients take it.
    pub fn in_force(&self, now: Time) -> InForce {
        let expires = self.expires();
        if now >= expires {
            InForce::Over
        } else if now.after(ENDS_SOON) >= expires {
            InForce::EndsSoon
        } else {
            InForce::Yes
        }
    }
}

/// What is wrong with the copy that is handed out; a look at the folder.
pub fn problem(releases: &Path) -> Option<String> {
    match Release::current(releases) {
        Ok(release) => release?.missing(),
        Err(error) => Some(chain(&error)),
    }
}

/// The name of the folder of the release that is handed out.
pub(super) fn current_name(releases: &Path) -> Result<Option<String>, FileError> {
    let path = releases.join(CURRENT);
    // Some bytes more than any name has, so that one that is longer is none.
    let name = match files::read_text(&path, MAX_NAME_BYTES as u64 + 2) {
        Ok(name) => name,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(FileError::Io { action: "read", path, source }),
    };
    let name = name.trim();
    let is_name = (1..=MAX_NAME_BYTES).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if is_name {
        return Ok(Some(name.to_owned()));
    }
    let source = io::Error::new(io::ErrorKind::InvalidData, "it names no release");
    Err(FileError::Io { action: "read", path, source })
}
