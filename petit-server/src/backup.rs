//! Everything that a server cannot do without, in one folder; and back.
//!
//! A backup is made beside a running server, from one state of its registry. Restoring looks at the backup first,
//! and puts what it replaces aside instead of deleting it.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use petit_engine::secret::{Fingerprint, PrivateKey};
use petit_host::files::{self, FileError};
use zeroize::Zeroizing;

use crate::config::Config;
use crate::folder::Folder;
use crate::server::{Offline, StartError};
use crate::store::StoreError;
use crate::store::sqlite::SqliteStore;

const REGISTRY: &str = "registry.db";
const KEY: &str = "server.key";
const PIN: &str = "backup.pin";
const CONFIG: &str = "config.toml";

/// Why there is no backup, or nothing was put back.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// Something is there already.
    #[error("{} is there already, and is not empty", .0.display())]
    NotEmpty(PathBuf),
    /// A part is missing, or is not what it should be.
    #[error("{} is no backup of a server: {missing} is missing in it", folder.display())]
    NoBackup {
        /// Where it was looked for.
        folder: PathBuf,
        /// Which part.
        missing: &'static str,
    },
    /// A key or pin in it cannot be used.
    #[error("{} cannot be used; the backup is damaged", .0.display())]
    Damaged(PathBuf),
    /// The registry.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A file.
    #[error(transparent)]
    File(#[from] FileError),
    /// A server runs, or the lock cannot be taken.
    #[error(transparent)]
    Start(#[from] StartError),
}

/// What was put back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    /// Registered clients and services.
    pub counts: (usize, usize),
    /// Where the files that were replaced are now; `None` when there were none.
    pub aside: Option<PathBuf>,
    /// The config was put back, too, because there was none.
    pub config: bool,
}

/// Writes a backup into `to`, which must not be there or be empty. A server may run meanwhile.
///
/// # Errors
/// [`BackupError`].
///
/// # Cancel safety
/// Cancelling leaves an unfinished folder, which [`restore`] does not take for a backup.
pub async fn backup(config: &Config, folder: &Folder, to: &Path) -> Result<(), BackupError> {
    if std::fs::read_dir(to).is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(BackupError::NotEmpty(to.to_owned()));
    }
    files::make_private_dir(to)?;
    copy(&folder.config, &to.join(CONFIG))?;
    copy(&folder.backup_pin(), &to.join(PIN))?;
    SqliteStore::backup(&config.registry_file, &to.join(REGISTRY)).await?;
    // Last: without it the folder is no backup.
    copy(&folder.key(), &to.join(KEY))?;
    Ok(())
}

/// Puts a backup back. No server may run.
///
/// # Errors
/// [`BackupError`]; with an error of the backup itself nothing has changed.
///
/// # Cancel safety
/// Not cancel safe: some files may have been put back and others not. Doing it again puts all back.
pub async fn restore(config: &Config, folder: &Folder, from: &Path) -> Result<Restored, BackupError> {
    check(from).await?;
    files::make_private_dir(folder.path())?;
    let lock = crate::server::lock(folder).await?;
    let aside = aside(config, folder)?;
    for (name, to) in
        [(KEY, folder.key()), (PIN, folder.backup_pin()), (REGISTRY, config.registry_file.clone())]
    {
        copy(&from.join(name), &to)?;
    }
    let needs_config = !folder.config.exists();
    if needs_config {
        copy(&from.join(CONFIG), &folder.config)?;
    }
    drop(lock);
    // As a server would find it.
    let offline = Offline::open(config, folder).await?;
    let counts = offline.directory.counts();
    offline.close().await;
    Ok(Restored { counts, aside, config: needs_config })
}

/// Looks whether a backup is whole, without changing anything.
async fn check(from: &Path) -> Result<(), BackupError> {
    let part = |name: &'static str| {
        let path = from.join(name);
        let missing = || BackupError::NoBackup { folder: from.to_owned(), missing: name };
        Ok::<_, BackupError>((Zeroizing::new(files::read_secret(&path)?.ok_or_else(missing)?), path))
    };
    let (key, path) = part(KEY)?;
    PrivateKey::from_text(&key).map_err(|_| BackupError::Damaged(path))?;
    let (pin, path) = part(PIN)?;
    let pin = String::from_utf8_lossy(&pin);
    pin.trim().parse::<Fingerprint>().map_err(|_| BackupError::Damaged(path))?;
    part(CONFIG)?;
    let registry = from.join(REGISTRY);
    if !registry.exists() {
        return Err(BackupError::NoBackup { folder: from.to_owned(), missing: REGISTRY });
    }
    SqliteStore::check(&registry).await?;
    Ok(())
}

/// Moves what is in the way into a folder of its own.
fn aside(config: &Config, folder: &Folder) -> Result<Option<PathBuf>, BackupError> {
    let registry = &config.registry_file;
    let with = |suffix: &str| {
        let mut name = registry.as_os_str().to_owned();
        name.push(suffix);
        PathBuf::from(name)
    };
    let parts = [folder.key(), folder.backup_pin(), registry.clone(), with("-wal"), with("-shm")];
    let there: Vec<&PathBuf> = parts.iter().filter(|path| path.exists()).collect();
    if there.is_empty() {
        return Ok(None);
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let aside = folder.path().join(format!("before-restore-{now}"));
    files::make_private_dir(&aside)?;
    for path in there {
        let to = aside.join(path.file_name().unwrap_or_default());
        std::fs::rename(path, &to).map_err(|source| FileError::Io {
            action: "move aside",
            path: path.clone(),
            source,
        })?;
    }
    // What is put aside must be there before anything takes its place.
    let flushed = files::sync_dir(&aside).and_then(|()| files::sync_dir(folder.path()));
    flushed.map_err(|source| FileError::Io { action: "flush", path: aside.clone(), source })?;
    Ok(Some(aside))
}

/// Copies a file whole and private; one that is not there is not copied.
fn copy(from: &Path, to: &Path) -> Result<(), FileError> {
    match std::fs::read(from).map(Zeroizing::new) {
        Ok(content) => files::write_private(to, &content),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(source) => Err(FileError::Io { action: "read", path: from.to_owned(), source }),
    }
}
