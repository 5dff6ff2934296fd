//! Visitors' keys: what a visitor shows, and what is kept of it.

use std::collections::HashMap;
use std::fmt;
use std::time::SystemTime;

use petit_engine::name::{VisitorKeyId, VisitorKeyName};
use petit_engine::secret::{NoRandom, random_bytes, sha256};
use secrecy::{ExposeSecret, SecretString};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// The secret half of a visitor's key: 256 random bits, as 43 characters of base64url. Whoever makes a key shows it
/// once, and keeps its [`KeyHash`].
#[derive(Clone)]
pub struct KeySecret(SecretString);

impl KeySecret {
    /// A new one.
    ///
    /// # Errors
    /// [`NoRandom`] when the system's random source fails.
    pub fn random() -> Result<Self, NoRandom> {
        let bytes = Zeroizing::new(random_bytes::<32>()?);
        Ok(Self(data_encoding::BASE64URL_NOPAD.encode(&*bytes).into()))
    }

    /// What is kept of it.
    pub fn hash(&self) -> KeyHash {
        KeyHash::of(self.0.expose_secret().as_bytes())
    }

    /// The whole key as visitors send it in `Petit-Key`: `<id>.<secret>`. To be shown once.
    pub fn shown(&self, id: VisitorKeyId) -> SecretString {
        SecretString::from(format!("{id}.{}", self.0.expose_secret()))
    }
}

impl fmt::Debug for KeySecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeySecret(…)")
    }
}

/// SHA-256 of the text of a key's secret. A fast hash is right for 256 random bits.
#[derive(Clone, Copy)]
pub struct KeyHash(pub [u8; 32]);

impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyHash(…)")
    }
}

impl KeyHash {
    /// Of a secret's text, as it stands behind the `.` of a key.
    pub fn of(secret: &[u8]) -> Self {
        Self(sha256(secret))
    }
}

impl PartialEq for KeyHash {
    /// In constant time.
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for KeyHash {}

/// A key that some visitor holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VisitorKey {
    /// Which key it is; a visitor sends it before the secret.
    pub id: VisitorKeyId,
    /// What the operator calls it, and what services are told.
    pub name: VisitorKeyName,
    /// Of its secret.
    pub hash: KeyHash,
    /// The secret that it had before, while it is still good.
    pub previous: Option<PreviousSecret>,
}

/// A secret that was replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PreviousSecret {
    /// Of the secret.
    pub hash: KeyHash,
    /// It is good before this moment.
    pub until: SystemTime,
}

impl VisitorKey {
    /// True when `secret` is the key's, or the one before while that is good. Takes the same time for all secrets.
    fn has(&self, secret: &KeyHash, now: SystemTime) -> bool {
        let is_present = self.hash == *secret;
        let is_previous =
            self.previous.is_some_and(|previous| previous.hash == *secret && now < previous.until);
        is_present | is_previous
    }
}

/// The keys that a policy takes, found by their IDs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VisitorKeys(HashMap<VisitorKeyId, VisitorKey>);

impl VisitorKeys {
    /// Of these keys; of two with one ID the later one.
    pub fn new(keys: impl IntoIterator<Item = VisitorKey>) -> Self {
        Self(keys.into_iter().map(|key| (key.id, key)).collect())
    }

    /// The keys, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &VisitorKey> {
        self.0.values()
    }

    /// The key of which a visitor has shown `text`: `<id>.<secret>`. One that is unknown, one with another secret and one
    /// that is no key at all are the same, and take the same time but for the look into a table of IDs, which are no
    /// secrets.
    pub(super) fn holder(&self, text: &[u8], now: SystemTime) -> Option<&VisitorKey> {
        // Neither half has a `.` in it; of a text without one all of it is the secret of no key.
        let dot = text.iter().position(|byte| *byte == b'.');
        let (id, secret) = dot.and_then(|dot| text.split_at_checked(dot)).unwrap_or((b"", text));
        let hash = KeyHash::of(secret.strip_prefix(b".").unwrap_or(secret));
        let id: VisitorKeyId = str::from_utf8(id).ok()?.parse().ok()?;
        self.0.get(&id).filter(|key| key.has(&hash, now))
    }

    /// The key of this name.
    pub(super) fn named(&self, name: &VisitorKeyName) -> Option<&VisitorKey> {
        self.0.values().find(|key| key.name == *name)
    }
}
