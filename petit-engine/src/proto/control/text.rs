//! Texts of peers, held to what can be shown.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A text from a peer with at most `MAX` bytes, and without characters that would change how a terminal or a window
/// shows what stands around it.
#[derive(Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Text<const MAX: usize>(String);

impl<const MAX: usize> Text<MAX> {
    /// Keeps of `text` what fits: characters that are not allowed become spaces, what is too long is cut.
    pub fn lossy(text: &str) -> Self {
        let mut out = String::with_capacity(text.len().min(MAX));
        for c in text.chars() {
            let c = if is_harmless(c) { c } else { ' ' };
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
        if text.len() > MAX || !text.chars().all(is_harmless) {
            return Err(serde::de::Error::custom("text too long or with characters that are not shown"));
        }
        Ok(Self(text))
    }
}

/// No control character, and none of Unicode's that turn the direction of a text round or are not to be seen.
pub fn is_harmless(c: char) -> bool {
    !c.is_control()
        && !matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}')
        && !matches!(c, '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// Where visitors reach a service: an `http`, `https` or `tcp` URL of visible ASCII. It is shown, opened in a browser
/// and copied, so a server must not be able to make it anything else.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct PublicUrl(String);

impl PublicUrl {
    const MAX_BYTES: usize = 300;

    /// One that this side has made itself; whoever receives it checks it.
    pub fn own(url: String) -> Self {
        Self(url)
    }

    /// The URL.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for PublicUrl {
    type Error = InvalidUrl;

    fn try_from(text: String) -> Result<Self, InvalidUrl> {
        let (scheme, rest) = text.split_once("://").ok_or(InvalidUrl)?;
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-:[]/_~%".contains(&byte);
        let known = matches!(scheme, "http" | "https" | "tcp");
        if known && !rest.is_empty() && text.len() <= Self::MAX_BYTES && rest.bytes().all(is_plain) {
            Ok(Self(text))
        } else {
            Err(InvalidUrl)
        }
    }
}

impl fmt::Display for PublicUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// A text that is no [`PublicUrl`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no public address of a service")]
pub struct InvalidUrl;

/// The one secret that a message carries. Wiped when dropped; its `Debug` says nothing.
#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SecretText(zeroize::Zeroizing<String>);

impl SecretText {
    pub(crate) fn from_hex(bytes: &[u8]) -> Self {
        Self(zeroize::Zeroizing::new(data_encoding::HEXLOWER.encode(bytes)))
    }

    /// The secret itself; `None` when it is not `N` bytes in hexadecimal.
    pub fn to_bytes<const N: usize>(&self) -> Option<[u8; N]> {
        let bytes = zeroize::Zeroizing::new(data_encoding::HEXLOWER.decode(self.0.as_bytes()).ok()?);
        bytes.as_slice().try_into().ok()
    }
}
