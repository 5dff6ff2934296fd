//! A lock that is free as soon as its holder is gone, however that came about. No pid files.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::file_id::FileId;
use crate::files;

/// More than the number of any process takes.
const MOST_BYTES: u64 = 32;
/// How long at least a file is tried again that [cannot be opened at the moment](LockError::passes). Whoever removes a file
/// closes it next.
const PASSES_WITHIN: Duration = Duration::from_millis(200);

/// Why a lock was not taken.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process holds it.
    #[error("{} is held by {}", path.display(), holder(*pid))]
    Held {
        path: PathBuf,
        /// By whom, when it has said so.
        pid: Option<u32>,
    },
    /// The system said no.
    #[error("cannot lock {}", path.display())]
    Io {
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It belongs to a service of the system, which does not run.
    #[error("{unit} does not run")]
    OfService {
        /// What the service is called.
        unit: String,
    },
}

impl LockError {
    /// True for what passes by itself. Windows may keep the name of a file that is removed until nobody has it open any more,
    /// and says that access is denied (since 1809 the name is free at once on NTFS, as on Unix); what a virus scanner or a
    /// backup looks at is not to be opened meanwhile.
    fn passes(&self) -> bool {
        /// `ERROR_SHARING_VIOLATION`.
        const SHARING_VIOLATION: i32 = 32;
        let Self::Io { source, .. } = self else { return false };
        let is_in_use = source.raw_os_error() == Some(SHARING_VIOLATION);
        cfg!(windows) && (is_in_use || source.kind() == io::ErrorKind::PermissionDenied)
    }
}

fn holder(pid: Option<u32>) -> String {
    pid.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"))
}

/// A process that holds a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Its number, when it has said so.
    pub pid: Option<u32>,
}

/// Held until dropped. The file stays, unless its holder removes it: then whoever has opened it meanwhile finds that it
/// is not the one at its path any more, and begins anew. So no two processes hold two files of one name.
#[derive(Debug)]
pub struct Lock {
    file: File,
}

/// Windows may take its time to free what a file has locked that is closed.
#[cfg(windows)]
impl Drop for Lock {
    fn drop(&mut self) {
        let _ = self.file.unlock();
    }
}

impl Lock {
    /// Takes the lock, without waiting for whoever holds it, and writes this process's number into it.
    ///
    /// # Errors
    /// [`LockError::Held`] when another process has it.
    pub fn take(path: &Path) -> Result<Self, LockError> {
        let end = Instant::now() + PASSES_WITHIN;
        loop {
            match Self::try_take(path) {
                Err(error) if error.passes() && Instant::now() < end => {
                    std::thread::sleep(Duration::from_millis(1));
                }
                taken => return taken,
            }
        }
    }

    /// The same, without waiting for anything.
    fn try_take(path: &Path) -> Result<Self, LockError> {
        let io = |source| LockError::Io { path: path.to_owned(), source };
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        #[cfg(unix)]
        {
            use std::os::unix::fs::OpenOptionsExt;
            // Whoever may write into the folder must not choose which file gets this process's number.
            options.mode(0o600).custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed());
        }
        // Some network file systems tell another number of the same file each time; whoever has removed it is done soon.
        for _ in 0..1000_u32 {
            let mut file = options.open(path).map_err(io)?;
            match file.try_lock() {
                Ok(()) if !is_at(&file, path).map_err(io)? => {}
                Ok(()) => {
                    let lock = Self { file };
                    lock.sign();
                    return Ok(lock);
                }
                Err(std::fs::TryLockError::WouldBlock) => {
                    let mut text = String::new();
                    let _ = file.read_to_string(&mut text);
                    return Err(LockError::Held { path: path.to_owned(), pid: text.trim().parse().ok() });
                }
                Err(std::fs::TryLockError::Error(source)) => return Err(io(source)),
            }
        }
        Err(io(io::Error::other("the file at this path is another one each time it is looked at")))
    }

    /// Removes the file and gives the lock up, as if it had never been taken. `path` is where it was taken.
    pub fn remove(self, path: &Path) {
        let _ = std::fs::remove_file(path);
    }

    /// Writes this process's number into it. For people only: what counts is the lock.
    pub fn sign(&self) {
        let write = |mut file: &File| {
            file.set_len(0)?;
            file.rewind()?;
            write!(file, "{}", std::process::id())
        };
        let _ = write(&self.file);
    }

    /// A copy for another process, which holds the same lock from then on: it is free when both have let go.
    ///
    /// # Errors
    /// When the process is out of descriptors.
    #[cfg(unix)]
    pub fn copy(&self) -> io::Result<std::os::fd::OwnedFd> {
        self.file.try_clone().map(Into::into)
    }

    /// The lock that another process holds and has given a copy of.
    ///
    /// # Errors
    /// [`LockError::Held`] when that is a lock of something else.
    #[cfg(unix)]
    pub fn inherit(path: &Path, copy: std::os::fd::OwnedFd) -> Result<Self, LockError> {
        let io = |source| LockError::Io { path: path.to_owned(), source };
        let file = File::from(copy);
        let same = is_at(&file, path).map_err(io)?;
        // To a lock that is held by way of this very description, this changes nothing.
        if same && file.try_lock().is_ok() { Ok(Self { file }) } else { Self::take(path) }
    }

    /// Who holds a lock, as far as that is known: `None` when it is free.
    pub fn holder(path: &Path) -> Option<Holder> {
        // Root looks into folders of others, too.
        let file = files::open_itself(path).ok()?;
        if !file.metadata().is_ok_and(|found| found.is_file()) {
            return None;
        }
        if !matches!(file.try_lock_shared(), Err(std::fs::TryLockError::WouldBlock)) {
            return None;
        }
        let mut text = String::new();
        let _ = file.take(MOST_BYTES).read_to_string(&mut text);
        Some(Holder { pid: text.trim().parse().ok() })
    }

    /// Takes the lock, waiting for whoever holds it, or keeps its file from being opened, for a moment only.
    ///
    /// # Errors
    /// [`LockError::Held`] when another process still has it after `limit`.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn take_within(path: &Path, limit: Duration) -> Result<Self, LockError> {
        let begun = tokio::time::Instant::now();
        loop {
            let taken = Self::try_take(path);
            let limit = match &taken {
                Err(LockError::Held { .. }) => limit,
                Err(error) if error.passes() => limit.max(PASSES_WITHIN),
                _ => return taken,
            };
            if begun.elapsed() >= limit {
                return taken;
            }
            // The kernel offers no wait with a limit.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// True when a file is the one that stands at a path.
fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    match FileId::at(path) {
        Ok(found) => Ok(found == FileId::of(file)?),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_whose_holder_removes_it_is_still_held_by_one_at_a_time() {
        use std::sync::atomic::{AtomicU32, Ordering};
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("server.lock");
        let (holders, held) = (AtomicU32::new(0), AtomicU32::new(0));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    while held.load(Ordering::SeqCst) < 50 {
                        let Ok(lock) = Lock::take(&path) else { continue };
                        assert_eq!(holders.fetch_add(1, Ordering::SeqCst), 0);
                        held.fetch_add(1, Ordering::SeqCst);
                        // Time for others to have opened the file that is about to go.
                        std::thread::yield_now();
                        holders.fetch_sub(1, Ordering::SeqCst);
                        lock.remove(&path);
                    }
                });
            }
        });
        assert!(!path.exists());
    }

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

    #[cfg(unix)]
    #[test]
    fn a_copy_holds_the_same_lock() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("server.lock");
        assert_eq!(Lock::holder(&path), None);
        let first = Lock::take(&path).unwrap();
        let copy = Lock::inherit(&path, first.copy().unwrap()).unwrap();
        assert_eq!(Lock::holder(&path), Some(Holder { pid: Some(std::process::id()) }));
        drop(first);
        assert!(Lock::take(&path).is_err(), "it was never free in between");
        copy.sign();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), std::process::id().to_string());
        drop(copy);
        assert_eq!(Lock::holder(&path), None);
        // A copy of something else is no lock of this.
        let other = Lock::take(&dir.path().join("other.lock")).unwrap();
        let held = Lock::take(&path).unwrap();
        assert!(Lock::inherit(&path, other.copy().unwrap()).is_err());
        drop(held);
    }

    #[cfg(unix)]
    #[test]
    fn a_link_in_the_place_of_a_lock_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let (victim, path) = (dir.path().join("victim"), dir.path().join("client.lock"));
        std::fs::write(&victim, "precious").unwrap();
        std::os::unix::fs::symlink(&victim, &path).unwrap();
        assert!(matches!(Lock::take(&path), Err(LockError::Io { .. })));
        assert_eq!(std::fs::read_to_string(&victim).unwrap(), "precious");
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

    #[cfg(windows)]
    #[tokio::test(start_paused = true)]
    async fn a_lock_whose_file_a_virus_scanner_has_open_is_waited_for() {
        use std::os::windows::fs::OpenOptionsExt;

        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("client.lock");
        let waiting = || {
            let path = path.clone();
            tokio::spawn(async move { Lock::take_within(&path, Duration::from_secs(30)).await })
        };
        let a_while = || tokio::time::sleep(Duration::from_secs(10));
        let mut options = OpenOptions::new();
        let alone = options.write(true).create(true).truncate(true).share_mode(0).open(&path).unwrap();
        let first = waiting();
        a_while().await;
        drop(alone);
        drop(first.await.unwrap().unwrap());
        // The same where access is denied, as it is to a file that is to be removed, and to a folder.
        std::fs::remove_file(&path).unwrap();
        std::fs::create_dir(&path).unwrap();
        let second = waiting();
        a_while().await;
        std::fs::remove_dir(&path).unwrap();
        second.await.unwrap().unwrap();
    }
}
