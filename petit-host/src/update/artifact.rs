//! Whether a file is the artifact of a manifest: its length and its SHA-256, taken while it comes in.

use std::io::{self, Read};

use sha2::Digest;

use super::manifest::Artifact;
use super::values::Sha256;

/// Why a file is not the artifact that the manifest names.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    #[error("it has more than the {expected} bytes that the manifest names")]
    TooLong { expected: u64 },
    #[error("it ends after {bytes} of {expected} bytes")]
    TooShort { bytes: u64, expected: u64 },
    #[error("its SHA-256 is {found}, and the manifest names {expected}")]
    Different { found: Sha256, expected: Sha256 },
}

/// An artifact that comes in piece by piece.
pub struct Intake<'a> {
    artifact: &'a Artifact,
    hasher: sha2::Sha256,
    bytes: u64,
}

impl<'a> Intake<'a> {
    /// Nothing has come in yet.
    pub fn begin(artifact: &'a Artifact) -> Self {
        Self { artifact, hasher: sha2::Sha256::new(), bytes: 0 }
    }

    /// Takes the next piece. To be asked before the piece is written to the disk, which so gets no more than was signed.
    ///
    /// # Errors
    /// [`Unfit::TooLong`].
    pub fn take(&mut self, piece: &[u8]) -> Result<(), Unfit> {
        let bytes = self.bytes.saturating_add(u64::try_from(piece.len()).unwrap_or(u64::MAX));
        if bytes > self.artifact.bytes {
            return Err(Unfit::TooLong { expected: self.artifact.bytes });
        }
        self.bytes = bytes;
        self.hasher.update(piece);
        Ok(())
    }

    /// Says whether it was all, and the right one.
    ///
    /// # Errors
    /// [`Unfit`].
    pub fn finish(self) -> Result<(), Unfit> {
        let (bytes, expected) = (self.bytes, self.artifact.bytes);
        if bytes < expected {
            return Err(Unfit::TooShort { bytes, expected });
        }
        let (found, expected) = (Sha256(self.hasher.finalize().into()), self.artifact.sha256);
        if found == expected { Ok(()) } else { Err(Unfit::Different { found, expected }) }
    }
}

/// What a manifest says of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Measured {
    pub bytes: u64,
    pub sha256: Sha256,
}

impl Measured {
    /// Reads a file to its end.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn of(mut file: impl Read) -> io::Result<Self> {
        let mut hasher = sha2::Sha256::new();
        let mut piece = vec![0; 64 * 1024];
        let mut bytes = 0;
        loop {
            let read = file.read(&mut piece)?;
            let Some(piece) = piece.get(..read).filter(|piece| !piece.is_empty()) else {
                return Ok(Self { bytes, sha256: Sha256(hasher.finalize().into()) });
            };
            hasher.update(piece);
            bytes += u64::try_from(read).unwrap_or(u64::MAX);
        }
    }
}

pub(super) fn sha256(bytes: &[u8]) -> Sha256 {
    Sha256(sha2::Sha256::digest(bytes).into())
}
