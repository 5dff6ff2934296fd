//! Where the device key is kept: the keychain of the operating system, or, when that was chosen, a file that
//! only its owner can read. Never one silently for the other.
//!
//! Keychains may ask the user for a password and take as long as that takes, so they are spoken to on a thread
//! of its own that is not waited for beyond a limit. (A blocked call inside the runtime would keep the program
//! from ending, and the D-Bus library must not be called from inside one at all.)

use std::path::Path;
use std::time::Duration;

use petit_engine::secret::{Fingerprint, InvalidKey, PrivateKey};
use petit_host::files::{self, FileError};
use secrecy::ExposeSecret;
use zeroize::Zeroizing;

use crate::config::KeyStore;
use crate::folder::Folder;

/// How long a keychain may take before the user is told that it waits for them.
pub const KEYCHAIN_LIMIT: Duration = Duration::from_secs(60);
/// A keychain that refuses faster than this has asked nobody: it is locked. One that refuses later has asked.
const ASKED: Duration = Duration::from_secs(2);
/// What the entries are called in the keychain.
const SERVICE: &str = "petit";

/// Why a key could not be kept or read.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// There is no keychain on this computer, or none that runs.
    #[error("there is no keychain on this computer, or it is not running")]
    NoKeychain,
    /// The keychain is locked and was not unlocked.
    #[error("the keychain is locked")]
    Locked,
    /// The keychain asked its user, who said no.
    #[error("access to the keychain was denied")]
    Denied,
    /// The keychain has not answered; most likely it is asking for its password.
    #[error("the keychain has not answered within {0:?}; is it asking for its password?")]
    Unanswered(Duration),
    /// The keychain failed in another way.
    #[error("the keychain failed: {0}")]
    Failed(String),
    /// The file cannot be read or written, or must not be used.
    #[error(transparent)]
    File(#[from] FileError),
    /// What was found is no key.
    #[error("what is kept as the device key is not a key")]
    NotAKey(#[from] InvalidKey),
}

/// Keeps the keys of a folder.
#[derive(Clone, Debug)]
pub enum Vault {
    /// The keychain of the operating system.
    Keychain,
    /// Files in the folder: one key, and a second one while a registration takes the place of another.
    File(Folder),
}

impl Vault {
    /// The vault of a kind.
    pub fn of(kind: KeyStore, folder: &Folder) -> Self {
        match kind {
            KeyStore::Keychain => Self::Keychain,
            KeyStore::File => Self::File(folder.clone()),
        }
    }

    /// Keeps a key, under its fingerprint, beside the one with the fingerprint `beside`.
    ///
    /// # Errors
    /// [`VaultError`]; the key is not kept then.
    ///
    /// # Cancel safety
    /// Cancelling leaves it open whether the key is kept.
    pub async fn store(&self, key: &PrivateKey, beside: Option<&Fingerprint>) -> Result<(), VaultError> {
        match self {
            Self::File(folder) => {
                let is_taken = beside.is_some_and(
                    |other| matches!(fingerprint_in(&folder.key()), Ok(Some(found)) if found == *other),
                );
                let path =
                    if is_taken { folder.second_key(&key.public().fingerprint()) } else { folder.key() };
                Ok(files::write_private(&path, key.to_pem().expose_secret().as_bytes())?)
            }
            Self::Keychain => {
                let name = entry_name(&key.public().fingerprint());
                let text = key.to_base64();
                on_thread(move || keychain::store(&name, text.expose_secret())).await
            }
        }
    }

    /// Looks whether keys can be kept here, before anything depends on it.
    ///
    /// # Errors
    /// [`VaultError`]; a keychain that is merely locked is fine, because it is unlocked when it is needed.
    pub async fn check(&self) -> Result<(), VaultError> {
        match self {
            Self::File(_) => Ok(()),
            Self::Keychain => match on_thread(|| keychain::load("no such entry")).await {
                Ok(_) | Err(VaultError::Locked) => Ok(()),
                Err(error) => Err(error),
            },
        }
    }

    /// The key with a fingerprint; `None` when it is not there.
    ///
    /// # Errors
    /// [`VaultError`].
    pub async fn load(&self, fingerprint: &Fingerprint) -> Result<Option<PrivateKey>, VaultError> {
        let text = match self {
            Self::File(folder) => {
                let second = folder.second_key(fingerprint);
                let path = if second.exists() { second } else { folder.key() };
                files::read_secret(&path)?.map(Zeroizing::new)
            }
            Self::Keychain => {
                let name = entry_name(fingerprint);
                on_thread(move || keychain::load(&name)).await?
            }
        };
        let Some(text) = text else { return Ok(None) };
        let key = PrivateKey::from_text(&text)?;
        // Another key than the one that was registered is as good as none.
        Ok((key.public().fingerprint() == *fingerprint).then_some(key))
    }

    /// Forgets the key with a fingerprint.
    ///
    /// # Errors
    /// [`VaultError`].
    pub async fn remove(&self, fingerprint: &Fingerprint) -> Result<(), VaultError> {
        match self {
            Self::File(folder) => {
                files::remove(&folder.second_key(fingerprint))?;
                // What is damaged is nobody's key.
                match fingerprint_in(&folder.key()) {
                    Ok(Some(other)) if other != *fingerprint => Ok(()),
                    _ => Ok(files::remove(&folder.key())?),
                }
            }
            Self::Keychain => {
                let name = entry_name(fingerprint);
                on_thread(move || keychain::remove(&name)).await
            }
        }
    }
}

/// Whose key is in a file; `None` when there is no file.
fn fingerprint_in(path: &Path) -> Result<Option<Fingerprint>, VaultError> {
    let Some(text) = files::read_secret(path)?.map(Zeroizing::new) else { return Ok(None) };
    Ok(Some(PrivateKey::from_text(&text)?.public().fingerprint()))
}

/// The keychain's entry for a key. The fingerprint is public.
fn entry_name(fingerprint: &Fingerprint) -> String {
    format!("device key {fingerprint}")
}

/// Runs a blocking call on a thread that nobody joins.
async fn on_thread<T: Send + 'static>(
    call: impl FnOnce() -> Result<T, VaultError> + Send + 'static,
) -> Result<T, VaultError> {
    let (answer, asked) = tokio::sync::oneshot::channel();
    let run = move || {
        let begin = std::time::Instant::now();
        let result = match call() {
            Err(VaultError::Locked) if begin.elapsed() >= ASKED => Err(VaultError::Denied),
            result => result,
        };
        let _ = answer.send(result);
    };
    let failed = |what: String| VaultError::Failed(what);
    std::thread::Builder::new()
        .name("keychain".to_owned())
        .spawn(run)
        .map_err(|error| failed(error.to_string()))?;
    match tokio::time::timeout(KEYCHAIN_LIMIT, asked).await {
        Ok(Ok(result)) => result,
        Ok(Err(_)) => Err(failed("it ended without an answer".to_owned())),
        Err(_) => Err(VaultError::Unanswered(KEYCHAIN_LIMIT)),
    }
}

/// The keychain, through keyring-core. A new connection for each call: they are rare, and a keychain that was
/// restarted in between is found again.
#[cfg(any(target_os = "linux", target_os = "macos", windows))]
mod keychain {
    use keyring_core::api::CredentialStoreApi;
    use keyring_core::{Entry, Error};
    use zeroize::Zeroizing;

    use super::{SERVICE, VaultError};

    fn entry(name: &str) -> Result<Entry, VaultError> {
        let store = store_of_system().map_err(|error| meaning(&error))?;
        store.build(SERVICE, name, None).map_err(|error| meaning(&error))
    }

    #[cfg(target_os = "linux")]
    fn store_of_system() -> Result<impl std::ops::Deref<Target: CredentialStoreApi>, Error> {
        zbus_secret_service_keyring_store::Store::new()
    }

    #[cfg(target_os = "macos")]
    fn store_of_system() -> Result<impl std::ops::Deref<Target: CredentialStoreApi>, Error> {
        apple_native_keyring_store::keychain::Store::new()
    }

    #[cfg(windows)]
    fn store_of_system() -> Result<impl std::ops::Deref<Target: CredentialStoreApi>, Error> {
        windows_native_keyring_store::Store::new()
    }

    pub(super) fn store(name: &str, text: &str) -> Result<(), VaultError> {
        // As bytes, as it is read: Windows keeps passwords in UTF-16 and gives them back so.
        entry(name)?.set_secret(text.as_bytes()).map_err(|error| meaning(&error))
    }

    pub(super) fn load(name: &str) -> Result<Option<Zeroizing<Vec<u8>>>, VaultError> {
        let found = match entry(name)?.get_secret() {
            // Two entries of one name: both were written by us, for one key.
            Err(Error::Ambiguous(entries)) => match entries.last() {
                Some(entry) => entry.get_secret(),
                None => Err(Error::NoEntry),
            },
            found => found,
        };
        match found {
            Ok(bytes) => Ok(Some(Zeroizing::new(bytes))),
            Err(Error::NoEntry) => Ok(None),
            Err(error) => Err(meaning(&error)),
        }
    }

    pub(super) fn remove(name: &str) -> Result<(), VaultError> {
        match entry(name)?.delete_credential() {
            Ok(()) | Err(Error::NoEntry) => Ok(()),
            Err(Error::Ambiguous(entries)) => {
                entries.iter().try_for_each(Entry::delete_credential).map_err(|error| meaning(&error))
            }
            Err(error) => Err(meaning(&error)),
        }
    }

    /// What an error means to the user. Its own text may hold what was read, so only known kinds are repeated.
    fn meaning(error: &Error) -> VaultError {
        match error {
            Error::PlatformFailure(_) | Error::NoDefaultStore => VaultError::NoKeychain,
            Error::NoStorageAccess(_) => VaultError::Locked,
            Error::TooLong(what, limit) => VaultError::Failed(format!("{what} may have {limit} characters")),
            Error::Invalid(what, why) => VaultError::Failed(format!("{what} is {why}")),
            Error::NotSupportedByStore(what) => VaultError::Failed(what.clone()),
            _ => VaultError::Failed("its entry cannot be used".to_owned()),
        }
    }
}

#[cfg(not(any(target_os = "linux", target_os = "macos", windows)))]
mod keychain {
    use zeroize::Zeroizing;

    use super::VaultError;

    pub(super) fn store(_: &str, _: &str) -> Result<(), VaultError> {
        Err(VaultError::NoKeychain)
    }

    pub(super) fn load(_: &str) -> Result<Option<Zeroizing<Vec<u8>>>, VaultError> {
        Err(VaultError::NoKeychain)
    }

    pub(super) fn remove(_: &str) -> Result<(), VaultError> {
        Err(VaultError::NoKeychain)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_key_in_a_file_is_read_back_and_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let vault = Vault::of(KeyStore::File, &Folder::of(&dir.path().join("config.toml")));
        let key = PrivateKey::generate().unwrap();
        let fingerprint = key.public().fingerprint();
        assert!(vault.load(&fingerprint).await.unwrap().is_none());
        vault.store(&key, None).await.unwrap();
        assert_eq!(vault.load(&fingerprint).await.unwrap().unwrap().public(), key.public());
        let other = PrivateKey::generate().unwrap().public().fingerprint();
        assert!(vault.load(&other).await.unwrap().is_none(), "another key is not the one asked for");
        vault.remove(&fingerprint).await.unwrap();
        assert!(vault.load(&fingerprint).await.unwrap().is_none());
    }

    #[tokio::test]
    async fn two_keys_lie_side_by_side_and_each_is_found_and_forgotten_by_its_own_fingerprint() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::of(&dir.path().join("config.toml"));
        let vault = Vault::of(KeyStore::File, &folder);
        let [old, new, third] = [(); 3].map(|()| PrivateKey::generate().unwrap());
        let of = |key: &PrivateKey| key.public().fingerprint();
        vault.store(&old, None).await.unwrap();
        vault.store(&new, Some(&of(&old))).await.unwrap();
        for key in [&old, &new] {
            assert_eq!(of(&vault.load(&of(key)).await.unwrap().unwrap()), of(key));
        }
        assert!(vault.load(&of(&third)).await.unwrap().is_none());
        vault.remove(&of(&old)).await.unwrap();
        assert!(vault.load(&of(&old)).await.unwrap().is_none());
        assert!(vault.load(&of(&new)).await.unwrap().is_some());
        // The usual place is free again.
        vault.store(&third, Some(&of(&new))).await.unwrap();
        assert!(vault.load(&of(&new)).await.unwrap().is_some());
        vault.remove(&of(&new)).await.unwrap();
        assert!(vault.load(&of(&third)).await.unwrap().is_some());
        std::fs::write(folder.key(), "no key").unwrap();
        vault.remove(&of(&third)).await.unwrap();
        assert!(!folder.key().exists(), "what is damaged is nobody's");
    }

    #[tokio::test(start_paused = true)]
    async fn a_keychain_that_waits_for_its_user_is_not_waited_for_for_ever() {
        let (_hold, held) = std::sync::mpsc::channel::<()>();
        let error = on_thread(move || {
            let _ = held.recv();
            Ok(())
        })
        .await
        .unwrap_err();
        assert!(matches!(error, VaultError::Unanswered(KEYCHAIN_LIMIT)));
    }
}
