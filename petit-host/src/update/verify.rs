//! Who has signed: two root keys the release key, and the release key the manifest. Knows no clock and no file.

use data_encoding::BASE64;
use minisign_verify::{PublicKey, Signature};

use super::artifact::sha256;
use super::bundle::Bundle;
use super::manifest::{Manifest, ReleaseKey};
use super::refusal::{Document, Refusal};
use super::values::Sha256;
use super::{MAX_MANIFEST_BYTES, MAX_RELEASE_KEY_BYTES, MAX_ROOT_SIGNATURES, MAX_SIGNATURE_BYTES};

/// The root keys, of which two have to sign: one that is lost or stolen ends nothing and begins nothing.
#[derive(Clone, Debug)]
pub struct Roots(Vec<PublicKey>);

/// Why a text does not name the root keys.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRoots {
    #[error("line {line} is no public key of minisign's")]
    NoKey { line: usize },
    #[error("the key in line {line} is there twice, so one who holds it would count for two")]
    Twice { line: usize },
    #[error("there are {count} keys, and there have to be {}", Roots::COUNT)]
    Count { count: usize },
}

impl Roots {
    /// How many there are.
    pub const COUNT: usize = 3;
    /// How many have to sign.
    pub const NEEDED: usize = 2;

    /// The keys of a text: minisign's files of three public keys, one behind the other.
    ///
    /// # Errors
    /// [`InvalidRoots`].
    pub fn parse(text: &str) -> Result<Self, InvalidRoots> {
        let mut keys = Vec::new();
        let mut seen = Vec::new();
        for (index, line) in text.lines().map(str::trim).enumerate() {
            let line_number = index + 1;
            if line.is_empty() || line.starts_with('#') || line.starts_with("untrusted comment:") {
                continue;
            }
            let no_key = || InvalidRoots::NoKey { line: line_number };
            keys.push(PublicKey::from_base64(line).map_err(|_| no_key())?);
            // Behind the algorithm and the key's number, which may be any, is the key itself.
            let bytes = BASE64.decode(line.as_bytes()).map_err(|_| no_key())?;
            let key = bytes.get(10..).unwrap_or_default().to_vec();
            if seen.contains(&key) {
                return Err(InvalidRoots::Twice { line: line_number });
            }
            seen.push(key);
        }
        match keys.len() {
            Self::COUNT => Ok(Self(keys)),
            count => Err(InvalidRoots::Count { count }),
        }
    }

    /// The release key of a document, when enough of these have signed it.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn verify(&self, document: &str, signatures: &[String]) -> Result<ReleaseKey, Refusal> {
        within(document, Document::ReleaseKey, MAX_RELEASE_KEY_BYTES)?;
        let (count, limit) = (signatures.len(), MAX_ROOT_SIGNATURES);
        if count > limit {
            return Err(Refusal::TooManySignatures { count, limit });
        }
        let signatures: Result<Vec<Signature>, Refusal> =
            signatures.iter().map(|text| signature(text, Document::RootSignature)).collect();
        let signatures = signatures?;
        // Keys are counted, not signatures: one key may have signed twice.
        let has_signed = |key: &&PublicKey| {
            signatures.iter().any(|signature| key.verify(document.as_bytes(), signature, false).is_ok())
        };
        let good = self.0.iter().filter(has_signed).count();
        if good < Self::NEEDED {
            return Err(Refusal::RootsMissing { good, needed: Self::NEEDED });
        }
        ReleaseKey::parse(document)
    }
}

/// A manifest whose signatures are right. Whether it is in force is another question, for [`decide`](super::decide).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    release_key: ReleaseKey,
    manifest: Manifest,
    sha256: Sha256,
}

impl Verified {
    /// The key that signed it.
    pub fn release_key(&self) -> &ReleaseKey {
        &self.release_key
    }

    /// What it says.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Of the manifest's text.
    pub fn sha256(&self) -> Sha256 {
        self.sha256
    }
}

/// Looks at all signatures of a bundle, and reads it.
///
/// # Errors
/// [`Refusal`].
pub fn verify(bundle: &Bundle, roots: &Roots) -> Result<Verified, Refusal> {
    let Bundle { release_key, root_signatures, manifest, manifest_signature } = bundle;
    let release_key = roots.verify(release_key, root_signatures)?;
    within(manifest, Document::Manifest, MAX_MANIFEST_BYTES)?;
    let signature = signature(manifest_signature, Document::ManifestSignature)?;
    let signed = release_key.public()?.verify(manifest.as_bytes(), &signature, false);
    signed.map_err(|_| Refusal::NotSigned { number: release_key.number })?;
    let sha256 = sha256(manifest.as_bytes());
    Ok(Verified { release_key, manifest: Manifest::parse(manifest)?, sha256 })
}

fn signature(text: &str, document: Document) -> Result<Signature, Refusal> {
    within(text, document, MAX_SIGNATURE_BYTES)?;
    Signature::decode(text).map_err(|_| Refusal::NoSignature { document })
}

fn within(text: &str, document: Document, limit: usize) -> Result<(), Refusal> {
    match text.len() {
        bytes if bytes > limit => Err(Refusal::TooLarge { document, bytes, limit }),
        _ => Ok(()),
    }
}
