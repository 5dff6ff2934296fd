//! Why a manifest is not followed, in words that say what to do where something can be done.

use std::fmt;

use super::values::{Channel, Target, Time};

/// Why a manifest is not followed. Nothing but updates stops by it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("{document} has {bytes} bytes, and may have {limit}")]
    TooLarge { document: Document, bytes: usize, limit: usize },
    #[error("{count} signatures of root keys, and there may be {limit}")]
    TooManySignatures { count: usize, limit: usize },
    #[error("{document} cannot be read: it is cut off, or none of minisign's")]
    NoSignature { document: Document },
    #[error(
        "the release key is signed by {good} of the root keys that this program knows, and has to be by \
         {needed}: the document was changed, or is not from where this program is from"
    )]
    RootsMissing { good: usize, needed: usize },
    #[error(
        "the manifest is not signed by release key {number}: it was changed, or belongs to another release key"
    )]
    NotSigned { number: u64 },
    #[error("{document} cannot be understood: {problem}")]
    Form { document: Document, problem: String },
    #[error(
        "{document} has the form {form:?}, which this version does not know: a newer one is installed by hand"
    )]
    NewerForm { document: Document, form: String },
    #[error("{document} expired at {expires}, and this computer's clock says {now}: is the clock right?")]
    Expired { document: Document, expires: Time, now: Time },
    #[error("the manifest was made at {created}, and this computer's clock says {now}: the clock is behind")]
    ClockBehind { created: Time, now: Time },
    #[error("the manifest is for the channel {offered}, and this installation follows {own}")]
    OtherChannel { offered: Channel, own: Channel },
    #[error("release key {number} was replaced by {seen}")]
    KeyReplaced { number: u64, seen: u64 },
    #[error(
        "the manifest has the number {counter}, and number {seen} was seen before: an old one was put back"
    )]
    RolledBack { counter: u64, seen: u64 },
    #[error("manifest {counter} is another one than the manifest {counter} that was seen before")]
    Exchanged { counter: u64 },
    #[error("the manifest says nothing about {target}")]
    NoTarget { target: Target },
}

/// What of a bundle is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Document {
    ReleaseKey,
    RootSignature,
    Manifest,
    ManifestSignature,
}

impl fmt::Display for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ReleaseKey => "the release key",
            Self::RootSignature => "a root key's signature",
            Self::Manifest => "the manifest",
            Self::ManifestSignature => "the manifest's signature",
        })
    }
}
