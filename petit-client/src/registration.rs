//! Where this device is registered, and with which key. Written by Petit, not by people; holds no secret.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use petit_engine::invite::Invite;
use petit_engine::name::{DeviceId, ServerAddr, ServiceName, VendorName};
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
    /// What the vendor calls itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vendor: Option<VendorName>,
    /// The id of the invite that it was made with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invite: Option<String>,
    /// When it was made; seconds since 1970. Unknown for one that an older version made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<u64>,
    /// Services of the config that were there before and were not chosen for this vendor.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub withheld: BTreeSet<ServiceName>,
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

/// What is remembered of a registration that has ended: what was chosen for its vendor, without saying who that was.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Chosen {
    /// The keys that the server had.
    pub pins: Vec<Fingerprint>,
    /// The services that the vendor reached; `None` when the config could not be read.
    pub shared: Option<BTreeSet<ServiceName>>,
    /// The services that were withheld from it.
    pub withheld: BTreeSet<ServiceName>,
    /// What the original's `[client.local]` was called.
    pub service: ServiceName,
}

/// Why a file of Petit's own cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RegistrationError {
    /// It cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// It does not hold what Petit writes.
    #[error("{} is damaged; put it back from a backup, or remove it and register again", path.display())]
    Damaged { path: std::path::PathBuf },
}

/// All that is written down of registrations, when another one is wanted.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Known {
    /// The one that is in force.
    pub in_force: Option<Registration>,
    /// What was chosen for the one before, when there is none in force.
    pub chosen: Option<Chosen>,
    /// There is one, or was one, that cannot be read: nobody knows what was chosen for whom.
    pub is_damaged: bool,
}

impl Known {
    /// Reads it. What is damaged is not an error here.
    ///
    /// # Errors
    /// [`RegistrationError::File`].
    pub fn load(folder: &Folder) -> Result<Self, RegistrationError> {
        let is_aside = folder.damaged().exists();
        let (in_force, is_damaged) = match load(folder) {
            Ok(in_force) => (in_force, is_aside),
            Err(RegistrationError::Damaged { .. }) => (None, true),
            Err(error @ RegistrationError::File(_)) => return Err(error),
        };
        let (chosen, is_damaged) = match read(&folder.chosen()) {
            Ok(chosen) => (chosen, is_damaged),
            Err(RegistrationError::Damaged { .. }) => (None, true),
            Err(error @ RegistrationError::File(_)) => return Err(error),
        };
        Ok(Self { in_force, chosen, is_damaged })
    }

    /// What the original's `[client.local]` is called as long as no invite has named it anew.
    pub fn first_service(&self) -> ServiceName {
        let in_force = self.in_force.as_ref().map(|known| &known.service);
        let service = in_force.or(self.chosen.as_ref().map(|chosen| &chosen.service));
        service.cloned().unwrap_or_else(ServiceName::first)
    }
}

impl Registration {
    /// Puts in the place of settings that count for the next registration what this one goes by.
    pub fn overrule(&self, config: &mut Config) {
        config.key_store = self.key_store;
        let server = self.server.host();
        if let Some(host) = config.host.as_mut().filter(|host| !host.eq_ignore_ascii_case(server)) {
            server.clone_into(host);
        }
    }

    /// The service that the invite was made for, unless `config` has one of its name.
    pub fn not_set_up(&self, config: &Config) -> Option<&ServiceName> {
        let is_set_up = config.specs(&self.service).iter().any(|spec| spec.name == self.service);
        (!is_set_up).then_some(&self.service)
    }

    /// True when it was made with this very invite, so that the invite leads nowhere else. The number alone does not
    /// say so: another vendor could have copied it, and must not be shown the key.
    pub fn is_of(&self, invite: &Invite) -> bool {
        self.invite.as_ref() == Some(&invite.id.to_string())
            && self.server == invite.server
            && self.pins == invite.pins
    }

    /// What an enrolment came to.
    pub fn new(invite: &Invite, device: DeviceId, service: ServiceName, pending: &Pending) -> Self {
        Self {
            server: invite.server.clone(),
            pins: invite.pins.clone(),
            device,
            key: pending.key,
            key_store: pending.key_store,
            service,
            vendor: invite.vendor.clone(),
            invite: Some(invite.id.to_string()),
            since: SystemTime::now().duration_since(UNIX_EPOCH).ok().map(|since| since.as_secs()),
            withheld: BTreeSet::new(),
        }
    }
}

/// The settings that are ignored while this registration is in force.
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

/// Writes the registration down, in place of the one that there is; what had begun is over.
///
/// # Errors
/// [`RegistrationError`].
pub fn save(folder: &Folder, registration: &Registration) -> Result<(), RegistrationError> {
    write(&folder.registration(), registration)?;
    files::remove(&folder.damaged())?;
    files::remove(&folder.chosen())?;
    remove_pending(folder)
}

/// Sets a registration that cannot be read aside.
///
/// # Errors
/// [`RegistrationError`].
pub fn set_aside(folder: &Folder) -> Result<(), RegistrationError> {
    let path = folder.registration();
    let failed = |source| FileError::Io { action: "set aside", path: path.clone(), source };
    Ok(std::fs::rename(&path, folder.damaged()).map_err(failed)?)
}

/// Writes down what was chosen for the vendor of a registration that ends.
///
/// # Errors
/// [`RegistrationError`].
pub fn save_chosen(folder: &Folder, chosen: &Chosen) -> Result<(), RegistrationError> {
    write(&folder.chosen(), chosen)
}

/// The registration that one with `invite` takes the place of; where that has happened already, the one whose server
/// is still to be told. `None` when there is none.
///
/// # Errors
/// [`RegistrationError::File`].
pub fn replaced_by(folder: &Folder, invite: &Invite) -> Result<Option<Registration>, RegistrationError> {
    match Known::load(folder)?.in_force {
        Some(in_force) if in_force.is_of(invite) => load_former(folder),
        in_force => Ok(in_force),
    }
}

/// A registration that is over, as long as its server is still to be told; `None` when there is none. What is
/// damaged is as good as told.
///
/// # Errors
/// [`RegistrationError::File`].
pub fn load_former(folder: &Folder) -> Result<Option<Registration>, RegistrationError> {
    match read(&folder.former()) {
        Err(RegistrationError::Damaged { .. }) => Ok(None),
        former => former,
    }
}

/// Writes down that the server of a registration is to be told that it is over.
///
/// # Errors
/// [`RegistrationError`].
pub fn save_former(folder: &Folder, former: &Registration) -> Result<(), RegistrationError> {
    write(&folder.former(), former)
}

/// There is nobody to be told any more.
///
/// # Errors
/// [`RegistrationError`].
pub fn remove_former(folder: &Folder) -> Result<(), RegistrationError> {
    Ok(files::remove(&folder.former())?)
}

/// Writes down that a registration has begun.
///
/// # Errors
/// [`RegistrationError`].
pub fn save_pending(folder: &Folder, pending: &Pending) -> Result<(), RegistrationError> {
    write(&folder.pending(), pending)
}

/// Forgets a registration that has begun.
///
/// # Errors
/// [`RegistrationError`].
pub fn remove_pending(folder: &Folder) -> Result<(), RegistrationError> {
    Ok(files::remove(&folder.pending())?)
}

/// Forgets the registration, finished or not, and what would be said to its server of updates.
///
/// # Errors
/// [`RegistrationError`].
pub fn remove(folder: &Folder) -> Result<(), RegistrationError> {
    remove_pending(folder)?;
    forget_update_report(folder)?;
    Ok(files::remove(&folder.registration())?)
}

/// Forgets what has become of a vendor's release here: it is nothing to say to the next one. What this computer knows of
/// versions stays, so that one that has failed is not tried again.
///
/// # Errors
/// [`RegistrationError`].
pub fn forget_update_report(folder: &Folder) -> Result<(), RegistrationError> {
    Ok(files::remove(&folder.update_progress())?)
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
            vendor: Some("Nordlicht".parse().unwrap()),
            invite: Some("00".into()),
            since: Some(1_800_000_000),
            withheld: BTreeSet::from(["db".parse().unwrap()]),
        }
    }

    #[test]
    fn what_an_older_version_wrote_down_is_in_force() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::of(&dir.path().join("config.toml"));
        let old = r#"{ "server": "tunnel.example.com:8453", "pins": ["SHA256:AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE"],
            "device": "abcdefghijklmnopqrstuvwxyz", "key": "SHA256:BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc",
            "key_store": "file", "service": "web" }"#;
        files::write_private(&folder.registration(), old.as_bytes()).unwrap();
        let read = load(&folder).unwrap().unwrap();
        assert_eq!((read.vendor, read.since, read.withheld.len()), (None, None, 0));
    }

    #[test]
    fn settings_that_are_ignored_are_named() {
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
