//! Where this device is registered, and with which key. Written by Petit, not by people; holds no secret.

use std::path::Path;

use petit_engine::invite::Invite;
use petit_engine::name::{DeviceId, ServerAddr, ServiceName};
use petit_engine::secret::Fingerprint;
use petit_host::files::{self, FileError};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::config::{Config, KeyStore};
use crate::folder::Folder;

/// A registration that is in force.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Registration {
    /// Where to connect.
    pub server: ServerAddr,
    /// Keys that the server may have.
    pub pins: Vec<Fingerprint>,
    /// The server's name for this device.
    pub device: DeviceId,
    /// The device key's fingerprint.
    pub key: Fingerprint,
    /// Where the key is kept.
    pub key_store: KeyStore,
    /// What the invite calls the service that it was made for.
    pub service: ServiceName,
}

/// A registration that has begun. Its key is the one to go on with, so that an answer that was lost is given
/// again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pending {
    /// The new key's fingerprint.
    pub key: Fingerprint,
    /// Where it is kept.
    pub key_store: KeyStore,
}

/// Why a file of Petit's own cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RegistrationError {
    /// It cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// It does not hold what Petit writes.
    #[error("{} is damaged; put it back from a backup, or remove it and register again", path.display())]
    Damaged {
        /// Which.
        path: std::path::PathBuf,
    },
}

impl Registration {
    /// What an enrolment came to.
    pub fn new(invite: &Invite, device: DeviceId, service: ServiceName, pending: &Pending) -> Self {
        Self {
            server: invite.server.clone(),
            pins: invite.pins.clone(),
            device,
            key: pending.key,
            key_store: pending.key_store,
            service,
        }
    }
}

/// What the config says in vain while this registration is in force.
pub fn notes(config: &Config, registration: &Registration) -> Vec<String> {
    let mut notes = Vec::new();
    if config.key_store != registration.key_store {
        notes.push(format!(
            "key_store = \"{}\" counts for the next registration; the key of this one is in the {}",
            config.key_store, registration.key_store
        ));
    }
    let server = registration.server.host();
    if let Some(host) = config.host.as_ref().filter(|host| !host.eq_ignore_ascii_case(server)) {
        notes.push(format!(
            "host = {host:?} counts for the next registration; this computer is registered with {server}"
        ));
    }
    notes
}

/// The registration in force; `None` when there is none.
///
/// # Errors
/// [`RegistrationError`].
pub fn load(folder: &Folder) -> Result<Option<Registration>, RegistrationError> {
    read(&folder.registration())
}

/// The registration that has begun; `None` when there is none.
///
/// # Errors
/// [`RegistrationError`].
pub fn load_pending(folder: &Folder) -> Result<Option<Pending>, RegistrationError> {
    read(&folder.pending())
}

/// Writes the registration down; the one that had begun is over.
///
/// # Errors
/// [`RegistrationError`].
pub fn save(folder: &Folder, registration: &Registration) -> Result<(), RegistrationError> {
    write(&folder.registration(), registration)?;
    Ok(files::remove(&folder.pending())?)
}

/// Writes down that a registration has begun.
///
/// # Errors
/// [`RegistrationError`].
pub fn save_pending(folder: &Folder, pending: &Pending) -> Result<(), RegistrationError> {
    write(&folder.pending(), pending)
}

/// Forgets the registration, finished or not.
///
/// # Errors
/// [`RegistrationError`].
pub fn remove(folder: &Folder) -> Result<(), RegistrationError> {
    files::remove(&folder.pending())?;
    Ok(files::remove(&folder.registration())?)
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, RegistrationError> {
    let Some(text) = files::read_secret(path)? else { return Ok(None) };
    serde_json::from_slice(&text).map(Some).map_err(|_| RegistrationError::Damaged { path: path.to_owned() })
}

fn write(path: &Path, value: &impl Serialize) -> Result<(), RegistrationError> {
    let mut text = serde_json::to_string_pretty(value).unwrap_or_default();
    text.push('\n');
    Ok(files::write_private(path, text.as_bytes())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn registration() -> Registration {
        Registration {
            server: "tunnel.example.com:8453".parse().unwrap(),
            pins: vec![Fingerprint([1; 32])],
            device: DeviceId::random().unwrap(),
            key: Fingerprint([7; 32]),
            key_store: KeyStore::File,
            service: ServiceName::first(),
        }
    }

    #[test]
    fn what_the_config_says_in_vain_is_named() {
        let file = Config { key_store: KeyStore::File, ..Config::default() };
        let notes_of = |config: &Config| notes(config, &registration()).join("\n");
        assert_eq!(notes_of(&file), "");
        let host = Config { host: Some("Tunnel.example.com".into()), ..file.clone() };
        assert_eq!(notes_of(&host), "");
        let other = Config { host: Some("other.example".into()), ..file };
        assert!(notes_of(&other).starts_with("host = \"other.example\" counts for the next registration"));
        assert!(notes_of(&Config::default()).ends_with("the key of this one is in the file"));
    }

    #[test]
    fn a_registration_survives_and_ends_what_had_begun() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::of(&dir.path().join("config.toml"));
        assert!(load(&folder).unwrap().is_none());
        let pending = Pending { key: Fingerprint([7; 32]), key_store: KeyStore::File };
        save_pending(&folder, &pending).unwrap();
        assert_eq!(load_pending(&folder).unwrap(), Some(pending));
        let registration = registration();
        save(&folder, &registration).unwrap();
        assert_eq!(load(&folder).unwrap(), Some(registration));
        assert!(load_pending(&folder).unwrap().is_none());
        std::fs::write(folder.registration(), "{").unwrap();
        assert!(matches!(load(&folder), Err(RegistrationError::Damaged { .. })));
        remove(&folder).unwrap();
        assert!(load(&folder).unwrap().is_none());
    }
}
