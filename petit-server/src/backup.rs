//! Everything that a server cannot do without, in one folder; and back.
//!
//! A backup is made beside a running server, from one state of its registry. Restoring looks at the backup first,
//! and puts what it replaces aside instead of deleting it.

use std::path::{Component, Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use petit_engine::secret::{Fingerprint, PrivateKey};
use petit_host::files::{self, FileError};
use zeroize::Zeroizing;

use crate::certificate;
use crate::config::{self, Config};
use crate::folder::Folder;
use crate::registry::{Actor, StoreError, StoreErrorAt, Successor};
use crate::server::{Offline, ServerStartError};
use crate::store::Store;
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
    Store(#[from] StoreErrorAt),
    /// A file.
    #[error(transparent)]
    File(#[from] FileError),
    /// A server runs, or the lock cannot be taken.
    #[error(transparent)]
    Start(#[from] ServerStartError),
}

/// What was put back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    /// Certificate files that the config means and that are not there.
    pub missing: Vec<PathBuf>,
    /// Registered clients and services.
    pub counts: (usize, usize),
    /// Where the files that were replaced are now; `None` when there were none.
    pub aside: Option<PathBuf>,
    /// The config was put back, too, because there was none.
    pub config: bool,
}

/// Writes a backup into `to`, which must not be there or be empty. Returns the certificate files that are not in it,
/// because they lie outside of the server's folder: whoever renews them there keeps them.
///
/// # Errors
/// [`BackupError`]; nothing is left behind then.
///
/// # Cancel safety
/// Cancelling leaves an unfinished folder, which [`restore`] does not take for a backup.
pub async fn backup(
    store: &dyn Store,
    config: &Config,
    folder: &Folder,
    to: &Path,
) -> Result<Vec<PathBuf>, BackupError> {
    let found = std::fs::read_dir(to).ok();
    let was_there = found.is_some();
    if found.is_some_and(|mut entries| entries.next().is_some()) {
        return Err(BackupError::NotEmpty(to.to_owned()));
    }
    let written = write(store, config, folder, to).await;
    if written.is_err() {
        // Otherwise the next try would be told that something is there already.
        let _ = std::fs::remove_dir_all(to);
        if was_there {
            let _ = files::make_private_dir(to);
        }
    }
    written
}

async fn write(
    store: &dyn Store,
    config: &Config,
    folder: &Folder,
    to: &Path,
) -> Result<Vec<PathBuf>, BackupError> {
    files::make_private_dir(to)?;
    copy(&folder.config, &to.join(CONFIG))?;
    copy(&folder.backup_pin(), &to.join(PIN))?;
    let copy_of_registry = to.join(REGISTRY);
    let failed = |error: StoreError| error.at(&copy_of_registry);
    store.backup(copy_of_registry.clone()).await.map_err(failed)?;
    let mut left_out = Vec::new();
    for path in certificate::files(config) {
        match inside(folder.path(), &path) {
            Some(inside) => copy_into(&path, &to.join(inside))?,
            None => left_out.push(path),
        }
    }
    // Last: without it the folder is no backup.
    copy(&folder.key(), &to.join(KEY))?;
    let parent = to.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    files::sync_dir(parent).map_err(|source| FileError::Io {
        action: "flush",
        path: to.to_owned(),
        source,
    })?;
    Ok(left_out)
}

/// Where in a folder a file lies, if it does.
fn inside<'a>(folder: &Path, path: &'a Path) -> Option<&'a Path> {
    let inside = path.strip_prefix(folder).ok()?;
    inside.components().all(|part| matches!(part, Component::Normal(_))).then_some(inside)
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
    let missing = put_certificates_back(config, folder, from)?;
    // As a server would find it. None may get in between: the note that follows belongs to what was put back.
    let offline = Offline::under(lock, config).await?;
    let counts = offline.directory.counts();
    let key = folder.read_key().map_err(ServerStartError::from)?;
    let noted = offline.directory.store().superseded(Successor::Backup, Actor::Operator, key).await;
    noted.map_err(|error| error.at(&config.registry_file))?;
    offline.close().await;
    Ok(Restored { missing, counts, aside, config: needs_config })
}

/// Puts back the certificates of a backup that are not there: those that are may be newer. Returns the files that the
/// config names and that are nowhere.
fn put_certificates_back(config: &Config, folder: &Folder, from: &Path) -> Result<Vec<PathBuf>, BackupError> {
    let path = from.join(CONFIG);
    let text = std::fs::read_to_string(&path).unwrap_or_default();
    // As it was: what lay in the server's folder lies in the backup.
    if let Ok((kept, _)) = config::parse(&path, &text) {
        for path in certificate::files(&kept) {
            let to = inside(from, &path).map(|inside| folder.path().join(inside));
            if let Some(to) = to.filter(|to| !to.exists()) {
                copy_into(&path, &to)?;
            }
        }
    }
    let named = [&config.certificate, &config.certificate_key];
    let missing = named.into_iter().filter(|path| config.certificate_named && !path.exists());
    Ok(missing.cloned().collect())
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
    Ok(SqliteStore::check(&registry).await.map_err(|error| error.at(&registry))?)
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

/// As [`copy`], into a folder that is made where there is none.
fn copy_into(from: &Path, to: &Path) -> Result<(), FileError> {
    if let Some(folder) = to.parent() {
        files::make_private_dir(folder)?;
    }
    copy(from, to)
}

/// Copies a file whole and private; one that is not there is not copied.
fn copy(from: &Path, to: &Path) -> Result<(), FileError> {
    match std::fs::read(from).map(Zeroizing::new) {
        Ok(content) => files::write_private(to, &content),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(source) => Err(FileError::Io { action: "read", path: from.to_owned(), source }),
    }
}
