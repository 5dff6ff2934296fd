//! Texts in messages: short, without control characters, and the one that is a secret.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A text from a peer with at most `MAX` bytes and no control characters.
#[derive(Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Text<const MAX: usize>(String);

impl<const MAX: usize> Text<MAX> {
    /// Keeps of `text` what fits: control characters become spaces, what is too long is cut.
    pub fn lossy(text: &str) -> Self {
        let mut out = String::with_capacity(text.len().min(MAX));
        for c in text.chars() {
            let c = if c.is_control() { ' ' } else { c };
            if out.len() + c.len_utf8() > MAX {
                break;
            }
            out.push(c);
        }
        Self(out)
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<const MAX: usize> fmt::Display for Text<MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl<const MAX: usize> fmt::Debug for Text<MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl<'de, const MAX: usize> Deserialize<'de> for Text<MAX> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text.len() > MAX || text.chars().any(char::is_control) {
            return Err(serde::de::Error::custom("text too long or with control characters"));
        }
        Ok(Self(text))
    }
}

/// The one secret that a message carries. Wiped when dropped; its `Debug` says nothing.
#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SecretText(zeroize::Zeroizing<String>);

impl SecretText {
    pub(crate) fn from_hex(bytes: &[u8]) -> Self {
        Self(zeroize::Zeroizing::new(data_encoding::HEXLOWER.encode(bytes)))
    }

    pub(crate) fn to_bytes<const N: usize>(&self) -> Option<[u8; N]> {
        let bytes = zeroize::Zeroizing::new(data_encoding::HEXLOWER.decode(self.0.as_bytes()).ok()?);
        bytes.as_slice().try_into().ok()
    }
}
