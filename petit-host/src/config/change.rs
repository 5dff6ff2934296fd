//! Changing the config file: by one program at a time, whole, with the one before kept.

use std::path::Path;
use std::time::Duration;

use super::{ConfigError, Part, read};
use crate::files::{self, FileError};
use crate::folder::Folder;
use crate::lock::{Lock, LockError};

/// How long another program that is changing the config file is waited for.
const LIMIT: Duration = Duration::from_secs(5);

/// Why the config file was not changed. `E` is why the edit itself could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError<M: std::error::Error + 'static, E: std::error::Error + 'static> {
    /// Another program is changing it, and does not come to an end.
    #[error(transparent)]
    Busy(LockError),
    /// It has a mistake, before the change or with it.
    #[error(transparent)]
    Config(ConfigError<M>),
    /// It cannot be changed in this way.
    #[error(transparent)]
    Edit(E),
    /// It cannot be written.
    #[error(transparent)]
    Write(FileError),
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

/// Changes the config file. What comes out is checked as a whole before it is in place.
///
/// # Errors
/// [`ChangeError`]; the file is as it was then.
///
/// # Cancel safety
/// Cancelling changes nothing, or all.
pub async fn change<P: Part, E: std::error::Error + 'static>(
    folder: &Folder,
    edit: impl FnOnce(&str) -> Result<String, E>,
) -> Result<(), ChangeError<P::Misfit, E>> {
    let _alone = alone(folder).await.map_err(ChangeError::Busy)?;
    let before = read(&folder.config).map_err(ChangeError::Config)?;
    P::parse(&folder.config, &before).map_err(ChangeError::Config)?;
    let after = edit(&before).map_err(ChangeError::Edit)?;
    P::parse(&folder.config, &after).map_err(ChangeError::Config)?;
    put(folder, &after).map_err(ChangeError::Write)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{NoPart, Word};
    use super::*;

    #[tokio::test]
    async fn what_would_be_wrong_is_not_put_in_place_and_the_one_before_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::new(&dir.path().join("config.toml"), "client");
        let said = |path: &Path| std::fs::read_to_string(path).unwrap();
        let change = async |after: Result<&str, NoPart>| {
            change::<Word, NoPart>(&folder, |_| after.map(str::to_owned)).await
        };
        let missing = change(Ok("b")).await;
        assert!(matches!(missing, Err(ChangeError::Config(ConfigError::Missing { .. }))), "{missing:?}");
        std::fs::write(&folder.config, "a").unwrap();
        assert!(matches!(change(Ok("")).await, Err(ChangeError::Config(ConfigError::Part { .. }))));
        assert!(matches!(change(Err(NoPart)).await, Err(ChangeError::Edit(NoPart))));
        assert_eq!(said(&folder.config), "a");
        assert!(!folder.last_good().exists());
        change(Ok("b")).await.unwrap();
        assert_eq!((said(&folder.config), said(&folder.last_good())), ("b".to_owned(), "a".to_owned()));
    }

    #[tokio::test(start_paused = true)]
    async fn one_program_at_a_time_changes_it() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::new(&dir.path().join("config.toml"), "client");
        std::fs::write(&folder.config, "a").unwrap();
        // Each program has locks of its own; the one for changes is the same.
        let other = Folder::new(&folder.config, "server");
        let held = alone(&other).await.unwrap();
        let busy = change::<Word, NoPart>(&folder, |_| Ok("b".to_owned())).await;
        assert!(matches!(busy, Err(ChangeError::Busy(LockError::Held { .. }))), "{busy:?}");
        drop(held);
        change::<Word, NoPart>(&folder, |_| Ok("b".to_owned())).await.unwrap();
    }
}
