//! A lock that is free as soon as its holder is gone, however that came about. No pid files.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Why a lock was not taken.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process holds it.
    #[error("{} is held by {}", path.display(), holder(*pid))]
    Held {
        /// Which.
        path: PathBuf,
        /// By whom, when it has said so.
        pid: Option<u32>,
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

fn holder(pid: Option<u32>) -> String {
    pid.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"))
}

/// Held until dropped. The file stays: removing it would let two processes hold two files of one name.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock, without waiting, and writes this process's number into it.
    ///
    /// # Errors
    /// [`LockError::Held`] when another process has it.
    pub fn take(path: &Path) -> Result<Self, LockError> {
        let io = |source| LockError::Io { path: path.to_owned(), source };
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(path).map_err(io)?;
        match file.try_lock() {
            Ok(()) => {
                // For people only: what counts is the lock.
                let _ = file.set_len(0).and_then(|()| write!(file, "{}", std::process::id()));
                Ok(Self { _file: file })
            }
            Err(std::fs::TryLockError::WouldBlock) => {
                let mut text = String::new();
                let _ = file.read_to_string(&mut text);
                Err(LockError::Held { path: path.to_owned(), pid: text.trim().parse().ok() })
            }
            Err(std::fs::TryLockError::Error(source)) => Err(io(source)),
        }
    }

    /// Takes the lock, waiting for whoever holds it for a moment only.
    ///
    /// # Errors
    /// [`LockError::Held`] when another process still has it after `limit`.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn take_within(path: &Path, limit: Duration) -> Result<Self, LockError> {
        let end = tokio::time::Instant::now() + limit;
        loop {
            match Self::take(path) {
                Err(LockError::Held { .. }) if tokio::time::Instant::now() < end => {
                    // The kernel offers no wait with a limit.
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                other => return other,
            }
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
        let us = Some(std::process::id());
        assert!(matches!(Lock::take(&path).unwrap_err(), LockError::Held { pid, .. } if pid == us));
        drop(held);
        assert!(Lock::take(&path).is_ok(), "a file that is left behind locks nobody out");
    }

    #[tokio::test]
    async fn a_lock_that_is_held_for_a_moment_is_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.lock");
        let held = Lock::take(&path).unwrap();
        let waiting = tokio::spawn({
            let path = path.clone();
            async move { Lock::take_within(&path, Duration::from_secs(30)).await }
        });
        tokio::task::yield_now().await;
        drop(held);
        let second = waiting.await.unwrap().unwrap();
        assert!(Lock::take_within(&path, Duration::ZERO).await.is_err());
        drop(second);
    }
}
