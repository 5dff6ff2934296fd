//! What is kept of updates, in files that outlive the version that wrote them: the one before it reads them when it comes
//! back.
//!
//! So a form is only ever added to. Which one a file has is written in it, and a version that does not know it reads what
//! it knows.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::files::{self, FileError, open_itself, sync_dir, write_private};

/// The form that this version writes.
pub(super) const FORM: u32 = 1;

/// More than any of these files takes.
const MAX_BYTES: u64 = 1024 * 1024;

/// Why there is nothing to go by.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    #[error("cannot read {}", path.display())]
    Io {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// Going on without it would let an old manifest pass, or lose the way back.
    #[error("{} is damaged, so nothing is updated", path.display())]
    Damaged {
        path: PathBuf,
        #[source]
        source: serde_json::Error,
    },
}

/// Reads a file; `None` when there is none.
pub(super) fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, HistoryError> {
    let failed = |source| HistoryError::Io { path: path.to_owned(), source };
    let file = match open_itself(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(failed(source)),
    };
    let mut bytes = Vec::new();
    file.take(MAX_BYTES).read_to_end(&mut bytes).map_err(failed)?;
    let read = serde_json::from_slice(&bytes).map(Some);
    read.map_err(|source| HistoryError::Damaged { path: path.to_owned(), source })
}

/// Writes a file whole.
pub(super) fn write<T: Serialize>(path: &Path, value: &T) -> Result<(), FileError> {
    write_private(path, &serde_json::to_vec_pretty(value).unwrap_or_default())
}

/// An element of a list. What this version does not understand is written back as it was read: the version that has written
/// it may come back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub(super) enum Entry<T> {
    Known(T),
    Later(Value),
}

impl<T> Entry<T> {
    pub(super) fn known(&self) -> Option<&T> {
        match self {
            Self::Known(known) => Some(known),
            Self::Later(_) => None,
        }
    }
}

/// The elements of a list. Where no later version has written it each has to be understood.
pub(super) fn entries<T: DeserializeOwned>(
    form: u32,
    list: Vec<Value>,
) -> Result<Vec<Entry<T>>, serde_json::Error> {
    let read = list.into_iter().map(|element| match T::deserialize(&element) {
        Ok(known) => Ok(Entry::Known(known)),
        Err(_) if form > FORM => Ok(Entry::Later(element)),
        Err(error) => Err(error),
    });
    read.collect()
}

/// Removes a file, as [`files::remove`], and sees to it that it is gone after a power cut.
pub(super) fn remove(path: &Path) -> Result<(), FileError> {
    files::remove(path)?;
    // What comes back with a power cut is dealt with as after a crash at that moment.
    let _ = sync_dir(path.parent().unwrap_or(Path::new(".")));
    Ok(())
}
