//! The folder of a config file, and what both programs keep in it. Each program's own files are named by a folder of
//! its own around this one.

use std::path::{Path, PathBuf};

use crate::files::{self, FileError};

/// The folder of a config file, as one of the programs uses it.
#[derive(Clone, Debug)]
pub struct Folder {
    /// The config file itself.
    pub config: PathBuf,
    dir: PathBuf,
    /// What the program's files are called, such as `client`.
    name: &'static str,
}

impl Folder {
    /// The folder that `config` is in. `name`: what the program's files are called there.
    pub fn new(config: &Path, name: &'static str) -> Self {
        let dir = config.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
        Self { config: config.to_owned(), dir: dir.to_owned(), name }
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.dir
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
        self.dir.join("config.lock")
    }

    /// The config as it was before Petit last changed it.
    pub fn last_good(&self) -> PathBuf {
        self.dir.join("config.last-good.toml")
    }

    /// Refuses a folder of another user's, before anything in it is believed.
    ///
    /// # Errors
    /// [`FileError::Unsafe`].
    pub fn check_owner(&self) -> Result<(), FileError> {
        files::check_owner(&self.dir)
    }

    /// Makes the folder and the one for logs, where they are not there.
    ///
    /// # Errors
    /// [`FileError`], also when others could put files into it.
    pub fn make(&self) -> Result<(), FileError> {
        files::make_private_dir(&self.dir)?;
        files::make_private_dir(&self.logs())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
