//! Changing the config file: by one program at a time, whole, with the one before kept.

use std::path::Path;
use std::time::Duration;

use petit_host::files::{self, FileError};
use petit_host::lock::{Lock, LockError};

use super::edit::EditError;
use super::{ConfigError, load, parse};
use crate::folder::Folder;

/// How long another program that is changing the config file is waited for.
const LIMIT: Duration = Duration::from_secs(5);

/// Why the config file was not changed.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// Another program is changing it, and does not come to an end.
    #[error(transparent)]
    Busy(#[from] LockError),
    /// It has a mistake, before the change or with it.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// It cannot be changed in this way.
    #[error(transparent)]
    Edit(#[from] EditError),
    /// It cannot be read.
    #[error("cannot read the config file")]
    Read(#[source] std::io::Error),
    /// It cannot be written.
    #[error(transparent)]
    Write(#[from] FileError),
}

/// Held while the config file is read, changed and written, so that two programs at once lose nothing.
///
/// # Errors
/// [`LockError`] when another program does not let go of it in time.
///
/// # Cancel safety
/// Cancel safe.
pub async fn alone(folder: &Folder) -> Result<Lock, LockError> {
    Lock::take_within(&folder.editing(), LIMIT).await
}

/// Puts a text in place and keeps the one before. Call with [`alone`] held.
///
/// # Errors
/// [`FileError`]; the file is as it was then.
pub fn put(folder: &Folder, text: &str) -> Result<(), FileError> {
    let path: &Path = &folder.config;
    if let Ok(before) = std::fs::read(path) {
        files::write_private(&folder.last_good(), &before)?;
    }
    files::write_keeping_rights(path, text.as_bytes())
}

/// Changes the config file, keeping comments and order. What comes out is checked before it is in place.
///
/// # Errors
/// [`ChangeError`]; the file is as it was then.
///
/// # Cancel safety
/// Cancelling changes nothing, or all.
pub async fn change(
    folder: &Folder,
    edit: impl FnOnce(&str) -> Result<String, EditError>,
) -> Result<(), ChangeError> {
    let _alone = alone(folder).await?;
    load(&folder.config)?;
    let before = std::fs::read_to_string(&folder.config).map_err(ChangeError::Read)?;
    let after = edit(&before)?;
    parse(&folder.config, &after)?;
    Ok(put(folder, &after)?)
}
