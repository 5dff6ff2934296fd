//! What the client keeps beside its config file.

use std::path::{Path, PathBuf};

use petit_engine::secret::Fingerprint;

/// The folder of a config file.
#[derive(Clone, Debug)]
pub struct Folder {
    /// The config file itself.
    pub config: PathBuf,
    dir: PathBuf,
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

    /// Held by the running client, and by commands that change what it would use.
    pub fn lock(&self) -> PathBuf {
        self.dir.join("client.lock")
    }

    /// Held while a command changes the config file.
    pub fn editing(&self) -> PathBuf {
        self.dir.join("config.lock")
    }

    /// The control socket.
    pub fn socket(&self) -> PathBuf {
        self.dir.join("client.sock")
    }

    /// The log.
    pub fn log(&self) -> PathBuf {
        self.dir.join("logs").join("client.log")
    }

    /// Where this device is registered.
    pub fn registration(&self) -> PathBuf {
        self.dir.join("registration.json")
    }

    /// A registration that has begun: which key it uses.
    pub fn pending(&self) -> PathBuf {
        self.dir.join("registration.pending.json")
    }

    /// What was chosen for the vendor that this computer was registered with last.
    pub fn chosen(&self) -> PathBuf {
        self.dir.join("consent.json")
    }

    /// A registration that is over, until its server has been told so.
    pub fn former(&self) -> PathBuf {
        self.dir.join("registration.former.json")
    }

    /// A registration that could not be read, set aside so that there can be another one.
    pub fn damaged(&self) -> PathBuf {
        self.dir.join("registration.damaged.json")
    }

    /// The device key, when it is kept in a file.
    pub fn key(&self) -> PathBuf {
        self.dir.join("device.key")
    }

    /// A device key beside another one, while a registration takes the place of one that is in force.
    pub fn second_key(&self, fingerprint: &Fingerprint) -> PathBuf {
        let begin: String = data_encoding::HEXLOWER.encode(&fingerprint.0).chars().take(16).collect();
        self.dir.join(format!("device-{begin}.key"))
    }

    /// The config as it was before Petit last changed it.
    pub fn last_good(&self) -> PathBuf {
        self.dir.join("config.last-good.toml")
    }

    /// The public address of the first service, for other programs.
    pub fn endpoint(&self) -> PathBuf {
        self.dir.join("endpoint")
    }

    /// The public address of a service, for other programs.
    pub fn endpoint_of(&self, service: &str) -> PathBuf {
        self.dir.join(format!("endpoint-{service}"))
    }

    /// Makes the folder when it is not there.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn make(&self) -> Result<(), petit_host::files::FileError> {
        petit_host::files::make_private_dir(&self.dir)?;
        petit_host::files::make_private_dir(&self.dir.join("logs"))
    }
}
