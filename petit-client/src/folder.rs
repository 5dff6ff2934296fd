//! What the client keeps beside its config file.

use std::ops::Deref;
use std::path::{Path, PathBuf};

use petit_engine::secret::Fingerprint;

/// What the client's files are called.
pub const NAME: &str = "client";

/// The client's folder: what both programs have, and the client's own files beside that.
#[derive(Clone, Debug)]
pub struct Folder(petit_host::folder::Folder);

impl Deref for Folder {
    type Target = petit_host::folder::Folder;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl Folder {
    /// The folder that `config` is in.
    pub fn of(config: &Path) -> Self {
        Self(petit_host::folder::Folder::new(config, NAME))
    }

    /// Where this device is registered.
    pub fn registration(&self) -> PathBuf {
        self.path().join("registration.json")
    }

    /// A registration that has begun: which key it uses.
    pub fn pending(&self) -> PathBuf {
        self.path().join("registration.pending.json")
    }

    /// What was chosen for the vendor that this computer was registered with last.
    pub fn chosen(&self) -> PathBuf {
        self.path().join("consent.json")
    }

    /// A registration that is over, until its server has been told so.
    pub fn former(&self) -> PathBuf {
        self.path().join("registration.former.json")
    }

    /// A registration that could not be read, set aside so that there can be another one.
    pub fn damaged(&self) -> PathBuf {
        self.path().join("registration.damaged.json")
    }

    /// What is known of updates: manifests that were seen, versions that were tried.
    pub fn updates(&self) -> PathBuf {
        self.path().join("updates.json")
    }

    /// What has become of the release that was heard of last.
    pub fn update_progress(&self) -> PathBuf {
        self.path().join("updates.progress.json")
    }

    /// Held by whoever updates the program.
    pub fn updates_lock(&self) -> PathBuf {
        self.path().join("updates.lock")
    }

    /// What was fetched of a release.
    pub fn release(&self) -> PathBuf {
        self.path().join("release")
    }

    /// The device key, when it is kept in a file.
    pub fn key(&self) -> PathBuf {
        self.path().join("device.key")
    }

    /// A device key beside another one, while a registration takes the place of one that is in force.
    pub fn second_key(&self, fingerprint: &Fingerprint) -> PathBuf {
        let begin: String = data_encoding::HEXLOWER.encode(&fingerprint.0).chars().take(16).collect();
        self.path().join(format!("device-{begin}.key"))
    }

    /// The public address of the first service, for other programs.
    pub fn endpoint(&self) -> PathBuf {
        self.path().join("endpoint")
    }

    /// The public address of a service, for other programs.
    pub fn endpoint_of(&self, service: &str) -> PathBuf {
        self.path().join(format!("endpoint-{service}"))
    }
}
