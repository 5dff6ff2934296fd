//! The two documents that are signed. Each says what it is in its first field, so that a signature under one is none
//! under the other.
//!
//! They are read after their signatures, strictly: a value that is not right is an error, and so is a value twice. A
//! field that this version does not know is left out, so that a later release can say more to later versions; what must
//! not be left out gets a form of a new number.

use minisign_verify::PublicKey;
use serde::{Deserialize, Serialize};

use super::refusal::{Document, Refusal};
use super::values::{Channel, FileName, Sha256, Target, Time, Version};
use super::{MAX_ARTIFACT_BYTES, MAX_REVOKED, MAX_TARGETS};

/// The key that signs manifests, as root keys sign it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseKey {
    format: ReleaseKeyForm,
    /// Each has a higher one than the one before it, which it replaces.
    pub number: u64,
    pub expires: Time,
    /// As minisign writes it, in base64.
    key: String,
}

/// What there is for whom.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    format: ManifestForm,
    pub channel: Channel,
    /// Each has a higher one than the one before it, under the same release key.
    pub counter: u64,
    pub created: Time,
    pub expires: Time,
    pub targets: Vec<Artifact>,
}

/// The version that there is for a target, and the file that it is in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Artifact {
    pub target: Target,
    pub version: Version,
    pub file: FileName,
    pub bytes: u64,
    pub sha256: Sha256,
    /// Older ones should not be in use any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minimum: Option<Version>,
    /// Nor should these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub revoked: Vec<Version>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum ReleaseKeyForm {
    #[serde(rename = "petit-release-key 1")]
    One,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum ManifestForm {
    #[serde(rename = "petit-manifest 1")]
    One,
}

impl ReleaseKey {
    /// A key, in minisign's base64.
    pub fn new(number: u64, expires: Time, key: String) -> Self {
        Self { format: ReleaseKeyForm::One, number, expires, key }
    }

    /// The document of this text.
    ///
    /// # Errors
    /// [`Refusal::Form`], [`Refusal::NewerForm`].
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        let key: Self = read(text, Document::ReleaseKey)?;
        let _ = key.public()?;
        Ok(key)
    }

    /// The text that is signed.
    pub fn to_text(&self) -> String {
        text(self)
    }

    pub(super) fn public(&self) -> Result<PublicKey, Refusal> {
        PublicKey::from_base64(&self.key)
            .map_err(|_| form(Document::ReleaseKey, "its key is none of minisign's"))
    }
}

impl Manifest {
    /// A manifest, to be signed.
    pub fn new(
        channel: Channel,
        counter: u64,
        (created, expires): (Time, Time),
        targets: Vec<Artifact>,
    ) -> Self {
        Self { format: ManifestForm::One, channel, counter, created, expires, targets }
    }

    /// The document of this text.
    ///
    /// # Errors
    /// [`Refusal::Form`], [`Refusal::NewerForm`].
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        let manifest: Self = read(text, Document::Manifest)?;
        manifest.check().map_err(|problem| form(Document::Manifest, problem))?;
        Ok(manifest)
    }

    /// The text that is signed.
    pub fn to_text(&self) -> String {
        text(self)
    }

    /// What there is for a target.
    pub fn artifact(&self, target: &Target) -> Option<&Artifact> {
        self.targets.iter().find(|artifact| artifact.target == *target)
    }

    fn check(&self) -> Result<(), String> {
        if self.expires <= self.created {
            return Err("it expires before it was made".to_owned());
        }
        if self.targets.len() > MAX_TARGETS {
            return Err(format!("it has {} targets, and may have {MAX_TARGETS}", self.targets.len()));
        }
        for (index, artifact) in self.targets.iter().enumerate() {
            let target = &artifact.target;
            if self.targets.iter().skip(index + 1).any(|other| other.target == *target) {
                return Err(format!("{target} is there twice"));
            }
            artifact.check().map_err(|problem| format!("{target}: {problem}"))?;
        }
        Ok(())
    }
}

impl Artifact {
    fn check(&self) -> Result<(), String> {
        let Self { target: _, version, file: _, bytes, sha256: _, minimum, revoked } = self;
        if *bytes == 0 || *bytes > MAX_ARTIFACT_BYTES {
            return Err(format!("a file of {bytes} bytes, and it may have 1 to {MAX_ARTIFACT_BYTES}"));
        }
        if revoked.len() > MAX_REVOKED {
            return Err(format!("{} revoked versions, and there may be {MAX_REVOKED}", revoked.len()));
        }
        if minimum.as_ref().is_some_and(|minimum| minimum > version) || revoked.contains(version) {
            return Err(format!(
                "{version} is revoked, or older than the minimum, and nothing newer is there"
            ));
        }
        Ok(())
    }
}

/// Reads a document, and tells one of a later form from one that is wrong.
fn read<T: for<'a> Deserialize<'a>>(text: &str, document: Document) -> Result<T, Refusal> {
    #[derive(Deserialize)]
    struct Form {
        format: String,
    }
    let kind = match document {
        Document::ReleaseKey | Document::RootSignature => "petit-release-key",
        Document::Manifest | Document::ManifestSignature => "petit-manifest",
    };
    let broken = |error: serde_json::Error| form(document, error.to_string());
    let Form { format } = serde_json::from_str(text).map_err(broken)?;
    let number = format.strip_prefix(kind).and_then(|rest| rest.strip_prefix(' '));
    match number {
        Some("1") => serde_json::from_str(text).map_err(broken),
        Some(number) if !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()) => {
            Err(Refusal::NewerForm { document, form: format.chars().take(40).collect() })
        }
        _ => Err(form(document, format!("it is no {kind}"))),
    }
}

fn form(document: Document, problem: impl Into<String>) -> Refusal {
    Refusal::Form { document, problem: problem.into() }
}

/// As a person reads it, with a line's end at its end.
fn text<T: Serialize>(document: &T) -> String {
    let mut text = serde_json::to_string_pretty(document).unwrap_or_default();
    text.push('\n');
    text
}
