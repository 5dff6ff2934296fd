//! The log of changes: one row for each, in the transaction that makes it, chained to the one before by SHA-256.
//!
//! The number of a row is the version of the registry after it; there are no gaps. A row says who did what to whom, and
//! never holds a secret. Rows go by age alone, all up to one, whose hash is kept and signed
//! ([`Checkpoint`](SignedHead)), so that what is left is still chained to something.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use petit_engine::secret::{Fingerprint, InvalidKey, PrivateKey, PublicKey, sha256};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::timestamp::Timestamp;

/// Who made a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Actor {
    /// Whoever may open the control socket, or the registry's file.
    Operator,
    /// A client, by its key.
    Client(Fingerprint),
    /// The server by itself.
    Server,
    /// Nobody had written it down: changes of before there was a log.
    Unrecorded,
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Operator => f.write_str("operator"),
            Self::Client(key) => write!(f, "client {key}"),
            Self::Server => f.write_str("server"),
            Self::Unrecorded => f.write_str("unrecorded"),
        }
    }
}

/// Not an actor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an actor is operator, server, unrecorded, or client with a key's fingerprint")]
pub struct InvalidActor;

impl FromStr for Actor {
    type Err = InvalidActor;

    fn from_str(text: &str) -> Result<Self, InvalidActor> {
        match text {
            "operator" => Ok(Self::Operator),
            "server" => Ok(Self::Server),
            "unrecorded" => Ok(Self::Unrecorded),
            other => {
                let key = other.strip_prefix("client ").and_then(|key| key.parse().ok());
                key.map(Self::Client).ok_or(InvalidActor)
            }
        }
    }
}

/// SHA-256 of a change and all before it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ChangeHash(pub [u8; 32]);

impl ChangeHash {
    /// Of what is before the first change.
    pub const NONE: Self = Self([0; 32]);
}

impl fmt::Display for ChangeHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&data_encoding::HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for ChangeHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Not a hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a hash has 64 hex digits")]
pub struct InvalidHash;

impl FromStr for ChangeHash {
    type Err = InvalidHash;

    fn from_str(text: &str) -> Result<Self, InvalidHash> {
        let bytes = data_encoding::HEXLOWER.decode(text.as_bytes()).map_err(|_| InvalidHash)?;
        bytes.try_into().map(Self).map_err(|_| InvalidHash)
    }
}

/// Where a log stands: its last version, and the hash of that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    pub version: u64,
    pub hash: ChangeHash,
}

/// One row of the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)] // what is not hashed could say anything
pub struct Change {
    /// The registry's version after it.
    pub version: u64,
    /// Seconds since 1970, by the server's clock.
    pub at: Timestamp,
    pub actor: Actor,
    /// What was done, such as `alias-added`.
    pub kind: Cow<'static, str>,
    /// To whom: the ID of a client or an invite, or an alias.
    pub subject: String,
    /// The particulars.
    pub body: Value,
    /// The hash of the change before.
    pub prev: ChangeHash,
    /// The hash of this one, as it is kept. [`Change::computed_hash`] says what it has to be.
    pub hash: ChangeHash,
}

impl Change {
    /// A change after `head`.
    pub fn after(
        head: Head,
        (at, actor): (Timestamp, Actor),
        (kind, subject): (Cow<'static, str>, String),
        body: Value,
    ) -> Self {
        let (version, prev) = (head.version.saturating_add(1), head.hash);
        let mut change = Self { version, at, actor, kind, subject, body, prev, hash: ChangeHash::NONE };
        change.hash = change.computed_hash();
        change
    }

    /// The hash of what it says: each part with its length, so that no two changes have the same bytes.
    pub fn computed_hash(&self) -> ChangeHash {
        let mut bytes = b"petit change 1\0".to_vec();
        bytes.extend(self.prev.0);
        bytes.extend(self.version.to_be_bytes());
        bytes.extend(self.at.0.to_be_bytes());
        for text in [&self.actor.to_string(), &*self.kind, &self.subject, &canonical(&self.body)] {
            bytes.extend((text.len() as u64).to_be_bytes());
            bytes.extend(text.as_bytes());
        }
        ChangeHash(sha256(&bytes))
    }

    /// The log's head when this is the last one.
    pub fn head(&self) -> Head {
        Head { version: self.version, hash: self.hash }
    }
}

/// JSON in the one form that is hashed and kept: no white space, and names in their order (RFC 8785 for what there is in
/// bodies: text, whole numbers, truth values). What writes JSON keeps the order of names or does not, as it was built.
pub fn canonical(value: &Value) -> String {
    match value {
        Value::Object(members) => {
            let mut names: Vec<_> = members.iter().collect();
            names.sort_by_key(|(name, _)| *name);
            let members: Vec<String> = names
                .into_iter()
                .map(|(name, value)| format!("{}:{}", Value::from(name.as_str()), canonical(value)))
                .collect();
            format!("{{{}}}", members.join(","))
        }
        Value::Array(values) => {
            let values: Vec<String> = values.iter().map(canonical).collect();
            format!("[{}]", values.join(","))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.to_string(),
    }
}

/// What a head was signed for. Each use signs other bytes and has another text, so that none can stand in for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignedFor {
    /// The log stood there at that time, and must reach there from then on.
    Standing,
    /// The log was trimmed to there.
    Checkpoint,
    /// The registry was put back from a backup that ends there.
    Restored,
}

impl SignedFor {
    const ALL: [Self; 3] = [Self::Standing, Self::Checkpoint, Self::Restored];

    /// What a text begins with that was signed for it.
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::Standing => "petit-head-1.",
            Self::Checkpoint => "petit-checkpoint-1.",
            Self::Restored => "petit-restored-1.",
        }
    }
}

/// A head that the server has signed. Its text is one word, for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedHead {
    /// What for.
    pub signed_for: SignedFor,
    pub head: Head,
    /// When it was signed.
    pub at: Timestamp,
    /// Whose signature it is.
    pub key: PublicKey,
    signature: Vec<u8>,
}

impl SignedHead {
    /// Signs a head.
    ///
    /// # Errors
    /// [`InvalidKey`] when the key cannot sign.
    pub fn sign(
        signed_for: SignedFor,
        head: Head,
        at: Timestamp,
        key: &PrivateKey,
    ) -> Result<Self, InvalidKey> {
        let signature = key.sign(&Self::message(signed_for, head, at))?;
        Ok(Self { signed_for, head, at, key: key.public().clone(), signature })
    }

    fn message(signed_for: SignedFor, head: Head, at: Timestamp) -> Vec<u8> {
        let mut message = signed_for.prefix().as_bytes().to_vec();
        message.extend(head.version.to_be_bytes());
        message.extend(at.0.to_be_bytes());
        message.extend(head.hash.0);
        message
    }

    /// True when it was signed for this, and the signature is that of its key, and that one of `keys`.
    pub fn is_signed(&self, signed_for: SignedFor, keys: &[Fingerprint]) -> bool {
        self.signed_for == signed_for
            && keys.contains(&self.key.fingerprint())
            && self.key.has_signed(&Self::message(signed_for, self.head, self.at), &self.signature)
    }
}

impl fmt::Display for SignedHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Head { version, hash }, Timestamp(at)) = (self.head, self.at);
        let base64 = |bytes| data_encoding::BASE64URL_NOPAD.encode(bytes);
        let (key, signature) = (base64(self.key.as_bytes()), base64(&self.signature));
        write!(f, "{}{version}.{at}.{hash}.{key}.{signature}", self.signed_for.prefix())
    }
}

/// Not a signed head.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a signed head looks like petit-head-1.VERSION.TIME.HASH.KEY.SIGNATURE, as the server's log has it")]
pub struct InvalidHead;

impl FromStr for SignedHead {
    type Err = InvalidHead;

    fn from_str(text: &str) -> Result<Self, InvalidHead> {
        let of = |signed_for: SignedFor| Some((signed_for, text.strip_prefix(signed_for.prefix())?));
        let (signed_for, rest) = SignedFor::ALL.into_iter().find_map(of).ok_or(InvalidHead)?;
        let mut parts = rest.split('.');
        let mut part = || parts.next().ok_or(InvalidHead);
        let version = part()?.parse().map_err(|_| InvalidHead)?;
        let at = Timestamp(part()?.parse().map_err(|_| InvalidHead)?);
        let hash = part()?.parse().map_err(|_| InvalidHead)?;
        let base64 =
            |text: &str| data_encoding::BASE64URL_NOPAD.decode(text.as_bytes()).map_err(|_| InvalidHead);
        let key = PublicKey::parse(&base64(part()?)?).map_err(|_| InvalidHead)?;
        let signature = base64(part()?)?;
        match parts.next() {
            None => Ok(Self { signed_for, head: Head { version, hash }, at, key, signature }),
            Some(_) => Err(InvalidHead),
        }
    }
}

as_text!(Actor, ChangeHash, SignedHead);

/// A part of the log, from its beginning or after some version.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ChangePage {
    /// Where the whole log stands.
    pub head: Head,
    /// What the log was trimmed to; `None` while it holds everything.
    pub checkpoint: Option<SignedHead>,
    /// In their order.
    pub changes: Vec<Change>,
}

/// The kinds of the changes that say that the registry is another one from there on: of a backup, or a new one.
pub const SUPERSEDED: [&str; 2] = ["registry-restored", "registry-made-anew"];
