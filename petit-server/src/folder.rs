//! What the server keeps beside its config file.

use std::ops::Deref;
use std::path::{Path, PathBuf};

use petit_engine::secret::{Fingerprint, PrivateKey};
use petit_host::files::{self, FileError};
use petit_host::service;
use secrecy::ExposeSecret;

/// What the server's files are called.
pub const NAME: &str = "server";

/// The server's folder: what both programs have, and the server's own files beside that.
#[derive(Clone, Debug)]
pub struct Folder(petit_host::folder::Folder);

impl Deref for Folder {
    type Target = petit_host::folder::Folder;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

/// Whether a client may have pinned a key of this server's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pinned {
    /// None can: no invite was ever made.
    Never,
    /// It is not known.
    Perhaps,
}

/// Why there is no key to run with.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// There is none, and never was.
    #[error("there is no server key at {}", path.display())]
    Missing {
        /// Where it should be.
        path: PathBuf,
    },
    /// There is none any more: clients have pinned it, so a new one would lock them all out.
    #[error("the server key {} is gone, but clients may have pinned it", path.display())]
    Lost {
        /// Where it should be.
        path: PathBuf,
    },
    /// It is no key.
    #[error("{} is not a key; put the right file back from a backup", path.display())]
    Invalid {
        /// Which file.
        path: PathBuf,
    },
    /// It cannot be read, or must not be.
    #[error(transparent)]
    File(#[from] FileError),
    /// No key could be made.
    #[error("no key could be made: the system's random source gave no bytes")]
    NoRandom,
}

impl Folder {
    /// The folder that `config` is in.
    pub fn of(config: &Path) -> Self {
        Self(petit_host::folder::Folder::new(config, NAME))
    }

    /// The access log.
    pub fn access_log(&self) -> PathBuf {
        self.logs().join("access.log")
    }

    /// Who was connected when the server was stopped.
    pub fn left(&self) -> PathBuf {
        self.path().join("connected-at-stop.json")
    }

    /// Where the log of changes stood from hour to hour, signed. Apart from the log, of which less may be written, and
    /// which others can fill.
    pub fn heads(&self) -> PathBuf {
        self.logs().join("heads.log")
    }

    /// The release that is handed out to clients.
    pub fn releases(&self) -> PathBuf {
        self.path().join("releases")
    }

    /// The key that clients pin.
    pub fn key(&self) -> PathBuf {
        self.secret("server.key")
    }

    /// A second key that clients pin too, to be kept somewhere else for the day when the first is lost.
    pub fn backup_key(&self) -> PathBuf {
        self.secret("backup.key")
    }

    /// The fingerprint of the backup key, which stays when the key itself is taken away.
    pub fn backup_pin(&self) -> PathBuf {
        self.secret("backup.pin")
    }

    /// Beside the config. Those of a service of systemd are root's, and handed in by it: the service itself cannot change
    /// them.
    fn secret(&self, name: &str) -> PathBuf {
        if !self.is_of_systemd() {
            return self.path().join(name);
        }
        let credential = format!("petit-{name}");
        service::credential(&credential).unwrap_or_else(|| service::credential_store(&credential))
    }

    /// Reads one of the secrets; `None` when there is none.
    pub(crate) fn read(&self, path: &Path) -> Result<Option<Vec<u8>>, FileError> {
        if self.is_of_systemd() { files::read_credential(path) } else { files::read_secret(path) }
    }

    /// True when there is a key.
    ///
    /// # Errors
    /// [`KeyError::File`].
    pub fn has_key(&self) -> Result<bool, KeyError> {
        Ok(self.read(&self.key())?.is_some())
    }

    /// Makes the server's keys where there are none. True when they were made.
    ///
    /// # Errors
    /// [`KeyError::Lost`] when something beside the key says that there was one that may have been pinned.
    pub fn make_keys(&self, pinned: Pinned) -> Result<bool, KeyError> {
        self.make()?;
        if self.has_key()? {
            return Ok(false);
        }
        if pinned == Pinned::Perhaps
            && [self.backup_key(), self.backup_pin()].iter().any(|path| path.exists())
        {
            return Err(KeyError::Lost { path: self.key() });
        }
        let generate = || PrivateKey::generate().map_err(|_| KeyError::NoRandom);
        let (key, backup) = (generate()?, generate()?);
        write_key(&self.backup_key(), &backup)?;
        files::write_private(&self.backup_pin(), format!("{}\n", backup.public().fingerprint()).as_bytes())?;
        // The key last: whatever ends this in between, a key that is there has all that belongs to it.
        write_key(&self.key(), &key)?;
        Ok(true)
    }

    /// The server's key.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn read_key(&self) -> Result<PrivateKey, KeyError> {
        let path = self.key();
        let there_was_one = self.backup_key().exists() || self.backup_pin().exists();
        let missing = || match there_was_one {
            true => KeyError::Lost { path: path.clone() },
            false => KeyError::Missing { path: path.clone() },
        };
        let text = self.read(&path)?.ok_or_else(missing)?;
        let text = zeroize::Zeroizing::new(text);
        PrivateKey::from_text(&text).map_err(|_| KeyError::Invalid { path })
    }

    /// What invites pin: the key, and the backup's fingerprint while there is one.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn pins(&self) -> Result<Vec<Fingerprint>, KeyError> {
        let mut pins = vec![self.read_key()?.public().fingerprint()];
        let path = self.backup_pin();
        match self.read(&path)? {
            Some(text) => {
                let text = String::from_utf8_lossy(&text);
                pins.push(text.trim().parse().map_err(|_| KeyError::Invalid { path })?);
            }
            None => {
                tracing::warn!(path = %path.display(), "clients are given no backup key to pin");
            }
        }
        Ok(pins)
    }
}

fn write_key(path: &Path, key: &PrivateKey) -> Result<(), KeyError> {
    Ok(files::write_private(path, key.to_pem().expose_secret().as_bytes())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_made_once_and_pinned_with_their_backup() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::of(&dir.path().join("petit").join("config.toml"));
        assert!(matches!(folder.read_key(), Err(KeyError::Missing { .. })));
        assert!(folder.make_keys(Pinned::Perhaps).unwrap());
        let pins = folder.pins().unwrap();
        assert_eq!(pins.len(), 2);
        assert!(!folder.make_keys(Pinned::Perhaps).unwrap(), "a second init changes nothing");
        assert_eq!(folder.pins().unwrap(), pins);
        let backup = std::fs::read(folder.backup_key()).unwrap();
        // A key that was lost is not replaced in silence, and its backup is not touched.
        std::fs::remove_file(folder.key()).unwrap();
        assert!(matches!(folder.make_keys(Pinned::Perhaps), Err(KeyError::Lost { .. })));
        assert!(matches!(folder.read_key(), Err(KeyError::Lost { .. })));
        assert_eq!(std::fs::read(folder.backup_key()).unwrap(), backup);
        // The backup is the next key, and clients know it already.
        std::fs::rename(folder.backup_key(), folder.key()).unwrap();
        assert_eq!(folder.pins().unwrap()[0], pins[1]);
        std::fs::write(folder.key(), "nonsense").unwrap();
        assert!(matches!(folder.read_key(), Err(KeyError::Invalid { .. })));
    }
}
