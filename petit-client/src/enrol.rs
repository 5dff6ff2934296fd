//! From an invite to a registration, step by step. Each step can be repeated: whatever ends the program in
//! between, trying again with the same invite ends registered, once, with a key that works.
//!
//! 1. A key is made and put into the vault.
//! 2. That it is the one to go on with is written down.
//! 3. The server registers it.
//! 4. The registration is written down.
//!
//! A second try begins where the first one ended.

use petit_engine::agent::{self, EnrolError, Registered};
use petit_engine::invite::Invite;
use petit_engine::proto::control::{EnrolRefusal, Text};
use petit_engine::secret::{InvalidKey, PrivateKey};
use petit_host::files;

use crate::SOFTWARE;
use crate::config::{Config, KeyStore};
use crate::folder::Folder;
use crate::registration::{self, Pending, Registration, RegistrationError};
use crate::vault::{Vault, VaultError};
use crate::way;

/// Why this device was not registered.
#[derive(Debug, thiserror::Error)]
pub enum RegisterError {
    /// It is registered already.
    #[error("this computer is registered with {} already", .0.server)]
    Registered(Box<Registration>),
    /// The config names another server than the invite.
    #[error("the invite is for {invite}, but the config file accepts only {config}")]
    OtherServer {
        /// The invite's.
        invite: String,
        /// The config's.
        config: String,
    },
    /// The server was not reached, or refused.
    #[error(transparent)]
    Enrol(#[from] EnrolError),
    /// The key cannot be kept.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// No key could be made.
    #[error(transparent)]
    Key(#[from] InvalidKey),
    /// The registration cannot be written down.
    #[error(transparent)]
    Registration(#[from] RegistrationError),
}

/// Registers this device. Call with the client's lock held.
///
/// # Errors
/// [`RegisterError`]; trying again is safe.
///
/// # Cancel safety
/// Cancelling leaves it open whether the server has registered the device; try again with the same invite.
pub async fn register(
    folder: &Folder,
    config: &Config,
    invite: &Invite,
    key_store: KeyStore,
) -> Result<(Registration, Registered), RegisterError> {
    if let Some(registration) = registration::load(folder)? {
        return Err(RegisterError::Registered(Box::new(registration)));
    }
    if let Some(host) = &config.host
        && !host.eq_ignore_ascii_case(invite.server.host())
    {
        return Err(RegisterError::OtherServer {
            invite: invite.server.host().to_owned(),
            config: host.clone(),
        });
    }
    let name = config.device_name.as_ref().map_or_else(host_name, |name| name.as_str().to_owned());
    let (mut pending, mut key) = begin(folder, key_store).await?;
    let way = way::way(config, &invite.server);
    let mut result = agent::enrol(invite, &way, &key, &name, &Text::lossy(SOFTWARE)).await;
    if let Err(EnrolError::Refused { refusal: EnrolRefusal::Revoked, .. }) = &result {
        // This key was registered once and revoked. The invite is for a new one.
        registration::remove(folder)?;
        Vault::of(pending.key_store, folder).remove(&pending.key).await?;
        (pending, key) = begin(folder, key_store).await?;
        result = agent::enrol(invite, &way, &key, &name, &Text::lossy(SOFTWARE)).await;
    }
    let registered = result?;
    let registration = Registration::new(invite, registered.device, registered.service.clone(), &pending);
    registration::save(folder, &registration)?;
    tracing::info!(server = %registration.server, device = %registration.device, "registered");
    Ok((registration, registered))
}

/// The key to register with: the one of an earlier try, or a new one.
async fn begin(folder: &Folder, key_store: KeyStore) -> Result<(Pending, PrivateKey), RegisterError> {
    if let Some(pending) = registration::load_pending(folder)?
        && pending.key_store == key_store
        && let Some(key) = Vault::of(key_store, folder).load(&pending.key).await?
    {
        return Ok((pending, key));
    }
    let key = PrivateKey::generate()?;
    let pending = Pending { key: key.public().fingerprint(), key_store };
    Vault::of(key_store, folder).store(&key).await?;
    registration::save_pending(folder, &pending)?;
    Ok((pending, key))
}

/// Forgets the registration and its key on this computer. Call with the client's lock held.
///
/// # Errors
/// [`RegisterError`].
pub async fn forget(folder: &Folder) -> Result<(), RegisterError> {
    let keys = [
        registration::load(folder)?.map(|registration| (registration.key, registration.key_store)),
        registration::load_pending(folder)?.map(|pending| (pending.key, pending.key_store)),
    ];
    registration::remove(folder)?;
    remove_addresses(folder)?;
    for (key, key_store) in keys.into_iter().flatten() {
        Vault::of(key_store, folder).remove(&key).await?;
    }
    Ok(())
}

/// Removes the files with public addresses: they lead nowhere any more.
fn remove_addresses(folder: &Folder) -> Result<(), RegistrationError> {
    for entry in std::fs::read_dir(folder.path()).into_iter().flatten().flatten() {
        let name = entry.file_name();
        if name == "endpoint" || name.to_string_lossy().starts_with("endpoint-") {
            files::remove(&entry.path())?;
        }
    }
    Ok(())
}

/// What this computer is called.
pub fn host_name() -> String {
    #[cfg(unix)]
    {
        rustix::system::uname().nodename().to_string_lossy().into_owned()
    }
    #[cfg(not(unix))]
    {
        std::env::var("COMPUTERNAME").unwrap_or_default()
    }
}
