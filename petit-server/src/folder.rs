//! What the server keeps beside its config file.

use std::path::{Path, PathBuf};

use petit_engine::secret::{Fingerprint, PrivateKey};
use petit_host::files::{self, FileError};
use secrecy::ExposeSecret;

/// The folder of a config file.
#[derive(Clone, Debug)]
pub struct Folder {
    /// The config file itself.
    pub config: PathBuf,
    dir: PathBuf,
}

/// Why there is no key to run with.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// There is none.
    #[error("there is no server key at {}; make one with: petit-server init", path.display())]
    Missing {
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
        let dir = config.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
        Self { config: config.to_owned(), dir: dir.to_owned() }
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.dir
    }

    /// Held by the running server.
    pub fn lock(&self) -> PathBuf {
        self.dir.join("server.lock")
    }

    /// The control socket.
    pub fn socket(&self) -> PathBuf {
        self.dir.join("server.sock")
    }

    /// The log.
    pub fn log(&self) -> PathBuf {
        self.dir.join("logs").join("server.log")
    }

    /// The key that clients pin.
    pub fn key(&self) -> PathBuf {
        self.dir.join("server.key")
    }

    /// A second key that clients pin too, to be kept somewhere else for the day when the first is lost.
    pub fn backup_key(&self) -> PathBuf {
        self.dir.join("backup.key")
    }

    /// The fingerprint of the backup key, which stays when the key itself is taken away.
    pub fn backup_pin(&self) -> PathBuf {
        self.dir.join("backup.pin")
    }

    /// Makes what is missing: the folder, the keys. True when a key was made.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn make(&self) -> Result<bool, KeyError> {
        files::make_private_dir(&self.dir)?;
        files::make_private_dir(&self.dir.join("logs"))?;
        if files::read_secret(&self.key())?.is_some() {
            return Ok(false);
        }
        let generate = || PrivateKey::generate().map_err(|_| KeyError::NoRandom);
        let (key, backup) = (generate()?, generate()?);
        write_key(&self.backup_key(), &backup)?;
        files::write_private(&self.backup_pin(), format!("{}\n", backup.public().fingerprint()).as_bytes())?;
        // Last, because its presence says that all is there.
        write_key(&self.key(), &key)?;
        Ok(true)
    }

    /// The server's key.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn read_key(&self) -> Result<PrivateKey, KeyError> {
        let path = self.key();
        let text = files::read_secret(&path)?.ok_or_else(|| KeyError::Missing { path: path.clone() })?;
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
        if let Ok(text) = std::fs::read_to_string(&path) {
            pins.push(text.trim().parse().map_err(|_| KeyError::Invalid { path })?);
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
        assert!(folder.make().unwrap());
        let pins = folder.pins().unwrap();
        assert_eq!(pins.len(), 2);
        assert!(!folder.make().unwrap(), "a second init changes nothing");
        assert_eq!(folder.pins().unwrap(), pins);
        std::fs::remove_file(folder.backup_key()).unwrap();
        assert_eq!(folder.pins().unwrap(), pins, "the backup key may be taken away");
        std::fs::write(folder.key(), "nonsense").unwrap();
        assert!(matches!(folder.read_key(), Err(KeyError::Invalid { .. })));
    }
}
