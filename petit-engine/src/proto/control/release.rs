//! Fetching a file of a release: one request, one answer, and the file's bytes behind it; and the hint, in a session, that
//! there is one.

use serde::{Deserialize, Serialize};

use super::{ControlError, Message, Text};

/// The feature of an agent that understands [`super::FromRelay::Release`].
pub const RELEASE: &str = "release";

/// The file of a release that all signed documents are in. No artifact is called so.
pub const BUNDLE_FILE: &str = "bundle.json";

/// Device to relay on `petit-release/1`: the only message of such a connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum FromFetcher {
    /// Asks for a file.
    Fetch(Fetch),
}

/// The file that is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fetch {
    /// Program, system, processor and brand, as manifests write them.
    pub target: Text<80>,
    /// [`BUNDLE_FILE`], or what the manifest calls the target's artifact.
    pub file: Text<120>,
    /// How many of its bytes are there already.
    pub from: u64,
    /// Left out where it is a person, as relays of before this field have it.
    #[serde(default, skip_serializing_if = "FetchedBy::is_hand")]
    pub by: FetchedBy,
}

/// Who wants a release: a roll-out decides about programs, and not about people.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FetchedBy {
    /// A person who has asked for it.
    #[default]
    Hand,
    /// The program.
    Itself,
}

impl FetchedBy {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference in")]
    fn is_hand(&self) -> bool {
        *self == Self::Hand
    }
}

/// The relay's answer to [`FromFetcher`]. Fields and causes of a later version are not looked at: an older agent needs this
/// to become a newer one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum FetchAnswer {
    /// Its bytes follow, from where they were asked for to the end; then the connection ends.
    File {
        /// Of the whole file.
        length: u64,
    },
    /// There is no release for this device now.
    Nothing {},
    /// It is not handed out.
    Refused { cause: FetchRefusal },
}

/// Why a file is not handed out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum FetchRefusal {
    /// The release that there is now has no such file for the target, or none so long.
    #[error("the release that the server hands out now has no such file")]
    NotThere,
    /// Too many are fetching.
    #[error("the server hands out as many files as it can")]
    Busy,
    /// The server cannot read it.
    #[error("the server cannot read its own copy of the file")]
    Unreadable,
    /// The request broke the protocol.
    #[error("the server did not understand the request")]
    Protocol,
    /// One that this version does not know.
    #[error("the server hands it out no more, for a reason that this version does not know")]
    #[serde(other)]
    Other,
}

impl Message for FromFetcher {
    fn check(&self) -> Result<(), ControlError> {
        Ok(())
    }
}

impl Message for FetchAnswer {
    fn check(&self) -> Result<(), ControlError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_later_relay_says_is_understood_as_far_as_it_goes() {
        let answer = |text: &str| FetchAnswer::decode(text.as_bytes()).unwrap();
        let later = r#"{"type":"file","length":7,"sha256":"…"}"#;
        assert_eq!(answer(later), FetchAnswer::File { length: 7 });
        let later = r#"{"type":"refused","cause":"too_hot","for_s":60}"#;
        assert_eq!(answer(later), FetchAnswer::Refused { cause: FetchRefusal::Other });
    }
}
