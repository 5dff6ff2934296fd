//! The folder of a config file, and what both programs keep in it. Each program's own files are named by a folder of
//! its own around this one.

#[cfg(unix)]
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::files::{self, FileError};
use crate::lock::{Lock, LockError};
use crate::service;

/// The folder of a config file, as one of the programs uses it.
#[derive(Clone, Debug)]
pub struct Folder {
    /// The config file itself.
    pub config: PathBuf,
    dir: PathBuf,
    /// What the program's files are called, such as `client`.
    name: &'static str,
    kind: FolderKind,
}

/// Where a program's files are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FolderKind {
    /// Beside the config file, all of the same user.
    Beside,
    /// In the state folder of a service of the system. Only the service itself writes there.
    State,
}

impl Folder {
    /// The folder that `config` is in; for that of a service of the system, the service's state folder. `name`: what
    /// the program's files are called there.
    pub fn new(config: &Path, name: &'static str) -> Self {
        let (dir, kind) = if service::is_config_file(config, name) {
            (service::state_folder(name), FolderKind::State)
        } else {
            (beside(config).to_owned(), FolderKind::Beside)
        };
        Self { config: config.to_owned(), dir, name, kind }
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.dir
    }

    /// True for the files of a service of the system, which has its config in one place and everything else in another.
    pub fn is_of_service(&self) -> bool {
        self.kind == FolderKind::State
    }

    /// True for those of a service of systemd: the journal keeps its log, and root its secrets. On Windows and macOS both
    /// are in the folder.
    pub fn is_of_systemd(&self) -> bool {
        self.is_of_service() && !cfg!(any(windows, target_os = "macos"))
    }

    /// True where this process looks after a service of the system, which its service manager starts and stops.
    pub fn is_managed(&self) -> bool {
        self.is_of_service() && files::is_root()
    }

    /// True where only the service itself may touch the folder: root configures it and talks to it, but nothing that it
    /// has written is followed or replaced with root's rights. On Windows an administrator works on the files: an account
    /// without privileges makes no links to files there.
    pub fn is_out_of_bounds(&self) -> bool {
        self.is_managed() && !cfg!(windows)
    }

    /// For root, who can read everything: refuses the config of a service that its own user cannot read, and which so would
    /// not start.
    ///
    /// # Errors
    /// [`FileError::Unsafe`]; what is not there is fine.
    #[cfg(unix)]
    pub fn check_readable(&self) -> Result<(), FileError> {
        let mode = std::fs::metadata(&self.config).map(|found| found.permissions().mode());
        if self.is_out_of_bounds() && mode.is_ok_and(|mode| mode & 0o004 == 0) {
            let problem = "the service has a user of its own, which cannot read it";
            let remedy = "let everybody read it: chmod 644";
            return Err(FileError::Unsafe { path: self.config.clone(), problem, remedy });
        }
        Ok(())
    }

    /// As on Unix; on Windows the folder's access list says who reads.
    ///
    /// # Errors
    /// None.
    #[cfg(not(unix))]
    pub fn check_readable(&self) -> Result<(), FileError> {
        Ok(())
    }

    /// Takes the lock, without waiting.
    ///
    /// # Errors
    /// [`LockError`]: somebody else has it, or the folder [is not ours to use](Self::is_out_of_bounds).
    pub fn take_lock(&self) -> Result<Lock, LockError> {
        match Lock::holder(&self.lock()) {
            _ if !self.is_out_of_bounds() => Lock::take(&self.lock()),
            Some(holder) => Err(LockError::Held { path: self.lock(), pid: holder.pid }),
            None => Err(LockError::OfService { unit: service::unit(self.name) }),
        }
    }

    /// Held by the running program, and by commands that change what it would use.
    pub fn lock(&self) -> PathBuf {
        self.dir.join(format!("{}.lock", self.name))
    }

    /// The control socket.
    pub fn socket(&self) -> PathBuf {
        self.dir.join(format!("{}.sock", self.name))
    }

    /// The folder for logs.
    pub fn logs(&self) -> PathBuf {
        self.dir.join("logs")
    }

    /// The log.
    pub fn log(&self) -> PathBuf {
        self.logs().join(format!("{}.log", self.name))
    }

    /// Held while a command changes the config file, whichever program it is of.
    pub fn editing(&self) -> PathBuf {
        match self.kind {
            FolderKind::Beside => self.dir.join("config.lock"),
            FolderKind::State => beside(&self.config).join(format!("{}.lock", self.name)),
        }
    }

    /// How a config is written where there is none: a service reads what root has written, and others' is theirs alone.
    pub fn first_config(&self) -> fn(&Path, &[u8]) -> Result<(), FileError> {
        if self.is_of_service() { files::write_public } else { files::write_private }
    }

    /// The config as it was before Petit last changed it.
    pub fn last_good(&self) -> PathBuf {
        match self.kind {
            FolderKind::Beside => self.dir.join("config.last-good.toml"),
            FolderKind::State => beside(&self.config).join(format!("{}.last-good.toml", self.name)),
        }
    }

    /// Refuses a folder of another user's, before anything in it is believed.
    ///
    /// # Errors
    /// [`FileError::Unsafe`].
    pub fn check_owner(&self) -> Result<(), FileError> {
        if self.is_out_of_bounds() { Ok(()) } else { files::check_owner(&self.dir) }
    }

    /// Makes the folder and the one for logs, where they are not there. That of a service is made by who starts it.
    ///
    /// # Errors
    /// [`FileError`], also when others could put files into it.
    pub fn make(&self) -> Result<(), FileError> {
        if self.is_out_of_bounds() {
            return Ok(());
        }
        files::make_private_dir(&self.dir)?;
        files::make_private_dir(&self.logs())
    }
}

/// The folder that a file is in.
fn beside(file: &Path) -> &Path {
    file.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn a_service_of_the_system_has_its_config_in_etc_and_the_rest_in_its_state_folder() {
        let server = Folder::new(Path::new("/etc/petit/server.toml"), "server");
        assert_eq!(server.lock(), Path::new("/var/lib/petit-server/server.lock"));
        assert_eq!(server.log(), Path::new("/var/lib/petit-server/logs/server.log"));
        assert_eq!(server.editing(), Path::new("/etc/petit/server.lock"));
        assert_eq!(server.last_good(), Path::new("/etc/petit/server.last-good.toml"));
        assert!(server.is_of_service());
        for other in ["/etc/petit/client.toml", "/etc/petit.toml", "/home/a/.petit/server.toml"] {
            assert!(!Folder::new(Path::new(other), "server").is_of_service(), "{other}");
        }
    }

    #[test]
    fn each_program_has_files_of_its_own_beside_one_config() {
        let folders = ["client", "server"].map(|name| Folder::new(Path::new("/p/config.toml"), name));
        let [client, server] = &folders;
        assert_eq!((client.path(), client.logs()), (server.path(), server.logs()));
        assert_eq!((client.editing(), client.last_good()), (server.editing(), server.last_good()));
        assert_eq!(client.lock(), Path::new("/p/client.lock"));
        assert_eq!(server.socket(), Path::new("/p/server.sock"));
        assert_eq!(server.log(), Path::new("/p/logs/server.log"));
        assert_eq!(Folder::new(Path::new("config.toml"), "client").lock(), Path::new("./client.lock"));
    }

    #[cfg(unix)]
    #[test]
    fn the_folder_is_made_for_its_owner_alone() {
        use std::os::unix::fs::PermissionsExt;

        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::new(&dir.path().join("petit").join("config.toml"), "client");
        folder.make().unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(folder.path()), mode(&folder.logs())), (0o700, 0o700));
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o722)).unwrap();
        assert!(matches!(folder.make(), Err(FileError::Unsafe { .. })));
    }
}
