//! A lock that is free as soon as its holder is gone, however that came about. No pid files.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

/// Why a lock was not taken.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process holds it.
    #[error("{} is held by another process", path.display())]
    Held {
        /// Which.
        path: PathBuf,
    },
    /// The system said no.
    #[error("cannot lock {}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Held until dropped. The file stays: removing it would let two processes hold two files of one name.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock, without waiting.
    ///
    /// # Errors
    /// [`LockError::Held`] when another process has it.
    pub fn take(path: &Path) -> Result<Self, LockError> {
        let io = |source| LockError::Io { path: path.to_owned(), source };
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(path).map_err(io)?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(std::fs::TryLockError::WouldBlock) => Err(LockError::Held { path: path.to_owned() }),
            Err(std::fs::TryLockError::Error(source)) => Err(io(source)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_holds_it_and_it_is_free_afterwards() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("client.lock");
        let held = Lock::take(&path).unwrap();
        assert!(matches!(Lock::take(&path).unwrap_err(), LockError::Held { .. }));
        drop(held);
        assert!(Lock::take(&path).is_ok(), "a file that is left behind locks nobody out");
    }
}
