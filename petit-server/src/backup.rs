//! Everything that a server cannot do without, in one folder; and back.
//!
//! A backup is made beside a running server, from one state of its registry. Restoring looks at the backup first,
//! and puts what it replaces aside instead of deleting it.

mod aside;
pub mod carried;
pub mod dated;

use std::io;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use petit_engine::secret::{Fingerprint, PrivateKey};
use petit_host::files::{self, FileError};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use self::aside::{Aside, NotAside, NotInPlace, Staged};
use crate::certificate;
use crate::config::{self, Config};
use crate::folder::{Folder, KeyError};
use crate::registry::{
    Actor, IfHalted, ReleaseToRollOut, Rings, Rollout, RolloutPlan, RolloutState, RolloutStep, StoreError,
    StoreErrorAt, Successor,
};
use crate::releases::{HandedOut, Release};
use crate::server::ServerStartError;
use crate::store::Store;
use crate::store::sqlite::SqliteStore;

const REGISTRY: &str = "registry.db";
const KEY: &str = "server.key";
const PIN: &str = "backup.pin";
const CONFIG: &str = "config.toml";
/// As the command line has it by default.
const ROLLOUT_SOAK: Duration = Duration::from_mins(15);

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
    /// It is of a server with another key than the one that the service is given.
    #[error("the backup is of a server with another key than this service has")]
    OtherKey,
    /// The registry.
    #[error(transparent)]
    Store(#[from] StoreErrorAt),
    /// A file.
    #[error(transparent)]
    File(#[from] FileError),
    /// A file, in the middle of it, and what was there before could not all be put back.
    #[error("what was there before is in {} now, and could not be moved back", left.display())]
    HalfDone {
        /// Where it is.
        left: PathBuf,
        source: FileError,
    },
    /// A server runs, or the lock cannot be taken.
    #[error(transparent)]
    Start(#[from] ServerStartError),
}

impl From<NotAside> for BackupError {
    fn from(NotAside { source, left }: NotAside) -> Self {
        match left {
            None => Self::File(source),
            Some(left) => Self::HalfDone { left, source },
        }
    }
}

/// What was put back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    /// Certificate files that the config means and that are not there.
    pub missing: Vec<PathBuf>,
    /// Registered clients and services.
    pub counts: (usize, usize),
    /// Folders in which the files that were replaced are now, each beside where they were, that of the
    /// config's folder first; none when there were none.
    pub aside: Vec<PathBuf>,
    /// The config was put back, too, because there was none.
    pub config: bool,
    /// What nobody gets until the operator says so.
    pub releases: HeldBack,
}

/// What is held back after a backup was put back, because somebody may have halted it since that was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum HeldBack {
    /// The release of this number, which is there to be handed out.
    Release {
        counter: u64,
        /// Its roll-out can be resumed. Where it cannot, it can only be started again.
        can_resume: bool,
    },
    /// No release is there, but roll-outs of others are known, as they stood then.
    Rollouts,
    Nothing,
}

/// Writes a backup into `to`, which must not be there or be empty. Returns the certificate files that are not in it: those
/// that lie outside of the server's folder, where whoever renews them keeps them, and those that may not be read.
///
/// # Errors
/// [`BackupError`]; nothing is left behind then, and a folder that was there is as it was.
///
/// # Cancel safety
/// Cancelling leaves an unfinished folder, which [`restore`] does not take for a backup.
pub async fn backup(
    store: &dyn Store,
    config: &Config,
    folder: &Folder,
    to: &Path,
) -> Result<Vec<PathBuf>, BackupError> {
    let destination = Destination::of(to)?;
    let written = write(store, config, folder, to).await;
    if written.is_err() {
        destination.give_up();
    }
    written
}

/// The folder that a backup is being put into.
struct Destination<'a> {
    folder: &'a Path,
    was_there: bool,
}

impl<'a> Destination<'a> {
    /// A folder that is not there yet, or is empty; nobody but this process's user gets into it.
    ///
    /// # Errors
    /// [`BackupError`]; a folder that is refused is as it was.
    fn of(folder: &'a Path) -> Result<Self, BackupError> {
        let found = std::fs::read_dir(folder).ok();
        let was_there = found.is_some();
        if found.is_some_and(|mut entries| entries.next().is_some()) {
            return Err(BackupError::NotEmpty(folder.to_owned()));
        }
        // One that it refuses is not ours to change.
        files::make_private_dir(folder)?;
        Ok(Self { folder, was_there })
    }

    /// Takes away what was put into it: otherwise the next try would be told that something is there already.
    fn give_up(&self) {
        let _ = if self.was_there { empty(self.folder) } else { std::fs::remove_dir_all(self.folder) };
    }
}

/// What a config names that a server does not start without: its certificates, and whom its visitors trust.
fn named_files(config: &Config) -> Vec<PathBuf> {
    let mut files = certificate::files(config);
    files.extend(config.fronts.ca.clone().filter(|path| path.exists()));
    files
}

/// Takes out of a folder what was written into it.
fn empty(folder: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            std::fs::remove_dir_all(entry.path())?;
        } else {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

async fn write(
    store: &dyn Store,
    config: &Config,
    folder: &Folder,
    to: &Path,
) -> Result<Vec<PathBuf>, BackupError> {
    copy(&folder.config, &to.join(CONFIG))?;
    match folder.read(&folder.backup_pin())? {
        Some(pin) => files::write_private(&to.join(PIN), &pin)?,
        // One that is missing in a backup may have been lost on the way; an empty one says that there was none.
        None => files::write_private(&to.join(PIN), b"")?,
    }
    let copy_of_registry = to.join(REGISTRY);
    let failed = |error: StoreError| error.at(&copy_of_registry);
    store.backup(copy_of_registry.clone()).await.map_err(failed)?;
    let mut left_out = Vec::new();
    for path in named_files(config) {
        match inside(folder.path(), &path) {
            Some(inside) => match copy_into(&path, &to.join(inside)) {
                // A server serves without what it may not read, and its backup is made without.
                Err(FileError::Io { action: "read", source, .. })
                    if source.kind() == io::ErrorKind::PermissionDenied =>
                {
                    left_out.push(path);
                }
                copied => copied?,
            },
            None => left_out.push(path),
        }
    }
    // Last: without it the folder is no backup.
    let missing = || KeyError::Missing { path: folder.key() };
    let key = folder.read(&folder.key())?.map(Zeroizing::new).ok_or_else(missing);
    files::write_private(&to.join(KEY), &key.map_err(ServerStartError::Key)?)?;
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
/// [`BackupError`]; nothing has changed then.
///
/// # Cancel safety
/// Not cancel safe: some files may have been put back and others not. Doing it again puts all back.
pub async fn restore(config: &Config, folder: &Folder, from: &Path) -> Result<Restored, BackupError> {
    let Checked { key, pin } = check(from).await?;
    check_key(folder, &key, from)?;
    files::make_private_dir(folder.path())?;
    // None may get in between: what is noted in the registry belongs to what is put back.
    let _lock = crate::server::lock(folder).await?;
    let registry_file = behind_link(&config.registry_file)?;
    let needs_config = !folder.config.exists();
    let mut staged = Staged::default();
    if needs_config {
        staged.add(&from.join(CONFIG), &behind_link(&folder.config)?)?;
    }
    let registry = from.join(REGISTRY);
    let copy = staged.add(&registry, &registry_file)?;
    staged.remove_with(SqliteStore::files_at(&copy));
    let Noted { counts, releases } =
        noted(&copy, key, &folder.releases()).await.map_err(|error| error.at(&registry))?;
    let certificates = stage_certificates(&mut staged, folder, from)?;
    if !folder.is_of_systemd() {
        if pin == PinIs::There {
            staged.add(&from.join(PIN), &folder.backup_pin())?;
        }
        // Last: a key that is there has all that belongs to it.
        staged.add(&from.join(KEY), &folder.key())?;
    }
    // From here on nothing can fail but moving files, and they can be moved back.
    let aside = Aside::of(&in_the_way(&registry_file, folder))?;
    let mut aside = match staged.put_in_place() {
        Ok(()) => aside.folders(),
        Err(NotInPlace { source, placed }) => return Err(aside.put_back(source, &placed).into()),
    };
    aside.sort_by_key(|beside| beside.parent() != Some(folder.path()));
    let named =
        [&config.certificate, &config.certificate_key].into_iter().filter(|_| config.certificate_named);
    let has_folder = certificates == CertificatesFolder::Kept;
    let named = named.chain(Some(&config.certificates).filter(|_| has_folder)).chain(&config.fronts.ca);
    let missing = named.filter(|path| !path.exists()).cloned().collect();
    Ok(Restored { missing, counts, aside, config: needs_config, releases })
}

/// The key of a service of the system is handed in, and cannot be put back by the service itself.
fn check_key(folder: &Folder, key: &PrivateKey, from: &Path) -> Result<(), BackupError> {
    if !folder.is_of_systemd() {
        return Ok(());
    }
    let known = folder.read_key().map_err(ServerStartError::Key)?;
    // What invites have told clients to pin as well.
    let (pin, known_pin) = (files::read_secret(&from.join(PIN))?, folder.read(&folder.backup_pin())?);
    let is_same = known.public() == key.public() && pin.unwrap_or_default() == known_pin.unwrap_or_default();
    if is_same { Ok(()) } else { Err(BackupError::OtherKey) }
}

/// What a path leads to, where it is a link: that is replaced, and the link stays.
fn behind_link(path: &Path) -> Result<PathBuf, FileError> {
    let Ok(target) = std::fs::read_link(path) else { return Ok(path.to_owned()) };
    std::fs::canonicalize(path).map_err(|error| {
        // Such as to a disk that is not mounted. What is put back would take the link's place.
        let source = match error.kind() {
            io::ErrorKind::NotFound => {
                io::Error::other(format!("it is a link to {}, which is not there", target.display()))
            }
            _ => error,
        };
        FileError::Io { action: "write", path: path.to_owned(), source }
    })
}

/// What was noted in a registry that is put back.
struct Noted {
    counts: (usize, usize),
    releases: HeldBack,
}

/// Opens a copy of a registry as a server would, and takes note in it that it was put back. `handed_out`: the folder of
/// releases.
async fn noted(copy: &Path, key: PrivateKey, handed_out: &Path) -> Result<Noted, StoreError> {
    let store = SqliteStore::open(copy).await?;
    let tables = store.load().await?;
    store.superseded(Successor::Backup, Actor::Operator, key).await?;
    let releases = hold_back(&store, handed_out).await?;
    store.close().await?;
    Ok(Noted { counts: (tables.devices.len(), tables.services.len()), releases })
}

/// Halts what a registry that is put back would hand out: what clients have said since is not in it, nor that somebody
/// may have halted it, nor which release came after.
async fn hold_back(store: &dyn Store, handed_out: &Path) -> Result<HeldBack, StoreError> {
    let halt = || RolloutStep::Halt { reason: "the registry was restored from a backup".to_owned() };
    let (rollouts, _) = store.rollouts().await?;
    if rollouts.last().is_some_and(Rollout::hands_out) {
        store.step_rollout(halt(), Actor::Server).await?;
    }
    // One that cannot be read no client gets either, until it is put there anew.
    let Ok(Some(release)) = Release::current(handed_out) else {
        return Ok(if rollouts.is_empty() { HeldBack::Nothing } else { HeldBack::Rollouts });
    };
    let HandedOut { counter, content, versions } = release.handed_out;
    let is_last = rollouts.last().is_some_and(|last| last.release.release == content);
    let known = rollouts.iter().find(|rollout| rollout.release.release == content);
    let is_begun = !is_last && known.is_none_or(Rollout::hands_out);
    if is_begun {
        let release = ReleaseToRollOut { release: content, counter };
        let (rings, soak, if_halted) = (Rings::default(), ROLLOUT_SOAK, IfHalted::Refuse);
        let plan = RolloutPlan { release, versions, rings, soak, if_halted };
        // Nobody serves by this registry yet, so none hears of it in between.
        store.start_rollout(plan, Actor::Server).await?;
        store.step_rollout(halt(), Actor::Server).await?;
    }
    // Only the one that was started last, and one that was rolled back not even then.
    let is_rolled_back = known.is_some_and(|known| known.state == RolloutState::RolledBack);
    Ok(HeldBack::Release { counter, can_resume: is_begun || is_last && !is_rolled_back })
}

/// Whether a backup has a folder of certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CertificatesFolder {
    Kept,
    None,
}

/// Gets the certificates of a backup ready that are not there: those that are may be newer.
fn stage_certificates(
    staged: &mut Staged,
    folder: &Folder,
    from: &Path,
) -> Result<CertificatesFolder, FileError> {
    let path = from.join(CONFIG);
    let text = std::fs::read_to_string(&path).unwrap_or_default();
    // As it was: what lay in the server's folder lies in the backup.
    let Ok((mut kept, _)) = config::parse(&path, &text) else { return Ok(CertificatesFolder::None) };
    for named in [&mut kept.certificate, &mut kept.certificate_key, &mut kept.certificates] {
        *named = in_backup(from, named);
    }
    if let Some(authorities) = &mut kept.fronts.ca {
        *authorities = in_backup(from, authorities);
    }
    for path in named_files(&kept) {
        let to = inside(from, &path).map(|inside| folder.path().join(inside));
        if let Some(to) = to.filter(|to| !to.exists()) {
            staged.make_folder(&to)?;
            staged.add(&path, &to)?;
        }
    }
    let has_folder = inside(from, &kept.certificates).is_some() && kept.certificates.is_dir();
    Ok(if has_folder { CertificatesFolder::Kept } else { CertificatesFolder::None })
}

/// Where a backup has what the config named by an absolute path. Of what lay in the server's folder, wherever that was,
/// the end of the path is in it.
fn in_backup(from: &Path, named: &Path) -> PathBuf {
    if inside(from, named).is_some() {
        return named.to_owned();
    }
    let parts: Vec<Component<'_>> =
        named.components().filter(|part| matches!(part, Component::Normal(_))).collect();
    let ends = (1..parts.len()).map(|skip| from.join(parts.iter().skip(skip).collect::<PathBuf>()));
    ends.into_iter().find(|path| path.exists()).unwrap_or_else(|| named.to_owned())
}

/// Whether a server had a backup key for clients to pin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PinIs {
    There,
    None,
}

/// What has to be known of a backup that is whole.
struct Checked {
    key: PrivateKey,
    pin: PinIs,
}

/// Looks whether a backup is whole, without changing anything.
async fn check(from: &Path) -> Result<Checked, BackupError> {
    let part = |name: &'static str| {
        let path = from.join(name);
        let missing = || BackupError::NoBackup { folder: from.to_owned(), missing: name };
        Ok::<_, BackupError>((Zeroizing::new(files::read_secret(&path)?.ok_or_else(missing)?), path))
    };
    let (key, path) = part(KEY)?;
    let key = PrivateKey::from_text(&key).map_err(|_| BackupError::Damaged(path))?;
    let (pin, path) = part(PIN)?;
    let pin = String::from_utf8_lossy(&pin);
    let pin_is = if pin.is_empty() { PinIs::None } else { PinIs::There };
    if pin_is == PinIs::There {
        pin.trim().parse::<Fingerprint>().map_err(|_| BackupError::Damaged(path))?;
    }
    part(CONFIG)?;
    let registry = from.join(REGISTRY);
    if !registry.exists() {
        return Err(BackupError::NoBackup { folder: from.to_owned(), missing: REGISTRY });
    }
    SqliteStore::check(&registry).await.map_err(|error| error.at(&registry))?;
    Ok(Checked { key, pin: pin_is })
}

/// All that what is put back takes the place of, the key last.
fn in_the_way(registry: &Path, folder: &Folder) -> Vec<PathBuf> {
    let with = |suffix: &str| {
        let mut name = registry.as_os_str().to_owned();
        name.push(suffix);
        PathBuf::from(name)
    };
    let logs = ["-wal", "-shm", "-journal"].map(with);
    let mut parts = vec![registry.to_owned()];
    parts.extend(logs);
    if !folder.is_of_systemd() {
        parts.extend([folder.backup_pin(), folder.key()]);
    }
    parts.retain(|path| path.exists());
    parts
}

/// As [`copy`], into a folder that is made where there is none.
fn copy_into(from: &Path, to: &Path) -> Result<(), FileError> {
    if let Some(folder) = to.parent() {
        files::make_private_dir(folder)?;
    }
    copy(from, to)
}

/// Copies a file whole and private.
fn copy(from: &Path, to: &Path) -> Result<(), FileError> {
    match std::fs::read(from).map(Zeroizing::new) {
        Ok(content) => files::write_private(to, &content),
        Err(source) => Err(FileError::Io { action: "read", path: from.to_owned(), source }),
    }
}

#[cfg(test)]
mod tests;
