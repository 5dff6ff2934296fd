//! The registry without a server around it: for commands while none runs, and for `init`, which makes all that a
//! server cannot do without or leaves everything as it was.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnet::{IpNet, Ipv4Net};
use petit_engine::name::{PolicyName, VisitorKeyName};
use petit_host::lock::Lock;
use secrecy::SecretString;
use tokio::sync::watch;

use super::{ServerStartError, directory, lock, service_limits};
use crate::config::Config;
use crate::directory::Directory;
use crate::folder::{Folder, KeyError, Pinned};
use crate::registry::{
    Actor, Edit, PolicyEdit, PolicyTarget, StoreError, StoreErrorAt, StoreErrorKind, Successor,
};
use crate::store::Store;
use crate::store::sqlite::SqliteStore;

/// The registry without a server around it, for commands while none runs.
pub struct Offline {
    /// The registry.
    pub directory: Directory,
    _lock: Lock,
}

impl Offline {
    /// Opens the registry while no server runs.
    ///
    /// # Errors
    /// [`ServerStartError`].
    pub async fn open(config: &Config, folder: &Folder) -> Result<Self, ServerStartError> {
        Self::under(lock(folder).await?, config).await
    }

    /// As [`Offline::open`], for whoever has the lock already.
    ///
    /// # Errors
    /// [`ServerStartError`].
    pub(crate) async fn under(lock: Lock, config: &Config) -> Result<Self, ServerStartError> {
        let (_, limits) = watch::channel(service_limits(config));
        Ok(Self { directory: directory(config, limits).await?, _lock: lock })
    }

    /// Closes the registry's file.
    pub async fn close(self) {
        let _ = self.directory.store().close().await;
    }
}

/// What `init` does about a registry that is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LostRegistry {
    /// There never was one: its key was made just now.
    NeverWas,
    /// It is refused: clients rely on what was in it.
    Refused,
    /// An empty one is made; the operator has asked for that.
    MadeAnew,
}

/// Whether a config file is about to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigIs {
    New,
    There,
}

/// What a server cannot do without: it is there, and opens. What was made of it can still be taken back.
pub struct Begun {
    /// Keys were made.
    pub made_keys: bool,
    /// Where the logs of a registry are now that is gone.
    pub stale_logs: Vec<PathBuf>,
    directory: Directory,
    made: Made,
}

impl Begun {
    /// Makes what a server cannot do without, where there never was any of it: the registry, then the keys. What a call
    /// that was killed has left behind is taken up by the next one.
    ///
    /// # Errors
    /// [`ServerStartError`]; everything is as it was before. A part that is gone is not made anew, because clients
    /// may rely on it.
    pub async fn new(config: &Config, folder: &Folder, lost: LostRegistry) -> Result<Self, ServerStartError> {
        let mut made = Made::before(config, folder).await?;
        match Self::make(config, folder, lost, &mut made.begun).await {
            Ok((directory, made_keys)) => {
                let stale_logs = std::mem::take(&mut made.begun.stale_logs);
                Ok(Self { made_keys, stale_logs, directory, made })
            }
            Err(error) => {
                made.take_back();
                Err(error)
            }
        }
    }

    async fn make(
        config: &Config,
        folder: &Folder,
        lost: LostRegistry,
        begun: &mut Parts,
    ) -> Result<(Directory, bool), ServerStartError> {
        let path = &config.registry_file;
        let at = |error: StoreError| error.at(path);
        let made_keys = !folder.has_key()? && {
            let pinned = match SqliteStore::open(path).await {
                // Invites say what is to be pinned, so without one nobody has pinned anything.
                Ok(store) if store.is_untouched().await.map_err(at)? => {
                    store.close().await.map_err(at)?;
                    Pinned::Never
                }
                Ok(store) => {
                    // Before its process ends: what SQLite has under way stands in files beside it.
                    store.close().await.map_err(at)?;
                    return Err(KeyError::Lost { path: folder.key() }.into());
                }
                Err(error) if *error.kind() == StoreErrorKind::Missing => Pinned::Perhaps,
                Err(error) => return Err(at(error).into()),
            };
            if pinned == Pinned::Perhaps {
                if folder.backup_key().exists() || folder.backup_pin().exists() {
                    return Err(KeyError::Lost { path: folder.key() }.into());
                }
                begun.registry = true;
                begun.stale_logs.extend(create(path).await.map_err(at)?);
            }
            begun.keys = true;
            folder.make_keys(pinned)?
        };
        // The key is made last, so one without a registry is a registry that was lost, or a disk that is not there.
        if lost != LostRegistry::Refused {
            begun.registry |= !is_there(path);
            begun.stale_logs.extend(create(path).await.map_err(at)?);
        }
        let (_, limits) = watch::channel(service_limits(config));
        let directory = directory(config, limits).await?;
        // The key may have signed where the log of the lost one stood. Also after a call that was killed in between.
        if lost == LostRegistry::MadeAnew && !made_keys && is_without_changes(&directory).await.map_err(at)? {
            let key = folder.read_key()?;
            directory.store().superseded(Successor::Empty, Actor::Operator, key).await.map_err(at)?;
        }
        Ok((directory, made_keys))
    }

    /// Makes the policies of a new server, by which visitors have to show a key, and raw TCP services, which have no room
    /// for one, let in this computer alone. Returns the key, as visitors send it.
    ///
    /// `None`, and nothing is changed, where the server is not new or its config has policies of its own. What a call that
    /// was killed has made is made anew: nobody has seen its key.
    ///
    /// # Errors
    /// [`StoreErrorAt`].
    pub async fn default_policies(
        &self,
        config: &Config,
        config_is: ConfigIs,
    ) -> Result<Option<SecretString>, StoreErrorAt> {
        let is_new = self.made_keys || self.made.begun.registry || config_is == ConfigIs::New;
        if !is_new || !config.policies.list.is_empty() {
            return Ok(None);
        }
        let made = async {
            let store = self.directory.store();
            if !store.invites().await?.is_empty() || !store.devices().await?.is_empty() {
                return Ok(None); // it was served before, with another config
            }
            self.make_default_policies().await.map(Some)
        };
        made.await.map_err(|error: StoreError| error.at(&config.registry_file))
    }

    async fn make_default_policies(&self) -> Result<SecretString, StoreError> {
        let (directory, by) = (&self.directory, Actor::Operator);
        let name = VisitorKeyName::first();
        let is_there = directory.visitor_keys().iter().any(|key| key.name == name && key.revoked.is_none());
        let key = match is_there {
            true => directory.rotate_key(name.clone(), Duration::ZERO, by).await?.0,
            false => directory.create_key(name.clone(), by).await?,
        };
        let http = PolicyEdit {
            services: Some(vec![PolicyTarget::Default]),
            keys: Edit::To(vec![name]),
            ..PolicyEdit::of(PolicyName::default_http())
        };
        let tcp = PolicyEdit {
            services: Some(vec![PolicyTarget::DefaultTcp]),
            from: Edit::To(loopback()),
            ..PolicyEdit::of(PolicyName::default_tcp())
        };
        for edit in [http, tcp] {
            directory.set_policy(edit, by).await?;
        }
        Ok(key)
    }

    /// Closes the registry's file, and keeps everything.
    pub async fn finish(self) {
        let _ = self.directory.store().close().await;
    }

    /// Closes the registry's file, and leaves everything as it was before.
    pub async fn take_back(self) {
        let Self { directory, made, made_keys: _, stale_logs: _ } = self;
        let _ = directory.store().close().await;
        made.take_back();
    }
}

/// This computer.
fn loopback() -> Vec<IpNet> {
    let v4 = Ipv4Net::new_assert(Ipv4Addr::new(127, 0, 0, 0), 8);
    vec![v4.into(), IpNet::from(IpAddr::from(Ipv6Addr::LOCALHOST))]
}

/// True of a registry that nothing was ever written into.
async fn is_without_changes(directory: &Directory) -> Result<bool, StoreError> {
    Ok(directory.store().changes(0, 1).await?.head.version == 0)
}

async fn create(path: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let (store, stale_logs) = SqliteStore::create_beside_logs(path).await?;
    store.close().await?;
    Ok(stale_logs)
}

/// What has been begun to be made. A file that was not there at first and comes while nothing was begun, such as on a
/// disk that is mounted meanwhile, is somebody's.
#[derive(Debug, Default)]
struct Parts {
    keys: bool,
    registry: bool,
    /// Where they are now.
    stale_logs: Vec<PathBuf>,
}

/// What was not there before, with the lock under which it is made.
struct Made {
    lock: Lock,
    lock_path: PathBuf,
    had_lock: bool,
    begun: Parts,
    keys: Vec<PathBuf>,
    /// None of it where the registry itself is there: what lies beside it belongs to it.
    registry: Vec<PathBuf>,
    /// The innermost first.
    folders: Vec<PathBuf>,
}

impl Made {
    /// Looks what is not there, makes the folder and takes its lock.
    async fn before(config: &Config, folder: &Folder) -> Result<Self, ServerStartError> {
        let folders = missing_folders(&folder.logs());
        let had_lock = folder.lock().exists();
        let taken = async {
            folder.make().map_err(KeyError::File)?;
            lock(folder).await
        };
        let lock = taken.await.inspect_err(|_| remove_folders(&folders))?;
        let mut keys = vec![folder.key(), folder.backup_key(), folder.backup_pin()];
        keys.retain(|path| !is_there(path));
        let mut registry = Vec::new();
        if !is_there(&config.registry_file) {
            registry = SqliteStore::files_at(&config.registry_file);
            registry.retain(|path| !is_there(path));
        }
        let begun = Parts::default();
        Ok(Self { lock, lock_path: folder.lock(), had_lock, begun, keys, registry, folders })
    }

    fn take_back(self) {
        // The keys first: a key that is there has all that belongs to it.
        let keys = self.keys.iter().filter(|_| self.begun.keys);
        for path in keys.chain(self.registry.iter().filter(|_| self.begun.registry)) {
            let _ = std::fs::remove_file(path);
        }
        if !self.had_lock {
            self.lock.remove(&self.lock_path);
        }
        remove_folders(&self.folders);
    }
}

/// True also for a link that leads nowhere, such as to a disk that is not mounted: it is not ours to remove.
fn is_there(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok()
}

/// A folder that is not there, and all above it that are not.
fn missing_folders(path: &Path) -> Vec<PathBuf> {
    let is_missing = |path: &&Path| !path.as_os_str().is_empty() && !path.exists();
    path.ancestors().take_while(is_missing).map(Path::to_owned).collect()
}

/// Removes folders as far as nobody has put anything into them.
fn remove_folders(folders: &[PathBuf]) {
    for path in folders {
        let _ = std::fs::remove_dir(path);
    }
}
