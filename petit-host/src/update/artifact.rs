//! Whether a file is the artifact of a manifest: its length and its SHA-256, taken while it comes in.

use std::io::{self, Read, Write};

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

/// Why a file was not passed on.
#[derive(Debug, thiserror::Error)]
pub enum PassError {
    #[error("it cannot be read")]
    Read(#[source] io::Error),
    #[error("it cannot be written")]
    Write(#[source] io::Error),
    #[error(transparent)]
    Unfit(#[from] Unfit),
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

    /// Takes a file to its end, and writes each piece, no byte more than was signed; returns how many it had.
    ///
    /// # Errors
    /// [`PassError`]; of what was signed some may be written then.
    pub fn pass(&mut self, from: impl Read, to: &mut impl Write) -> Result<u64, PassError> {
        let mut bytes = 0;
        each_piece(from, PassError::Read, |piece| {
            self.take(piece)?;
            to.write_all(piece).map_err(PassError::Write)?;
            bytes += u64::try_from(piece.len()).unwrap_or(u64::MAX);
            Ok(())
        })?;
        Ok(bytes)
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
    pub fn of(file: impl Read) -> io::Result<Self> {
        let mut hasher = sha2::Sha256::new();
        let mut bytes = 0;
        each_piece(
            file,
            |error| error,
            |piece| {
                hasher.update(piece);
                bytes += u64::try_from(piece.len()).unwrap_or(u64::MAX);
                Ok(())
            },
        )?;
        Ok(Self { bytes, sha256: Sha256(hasher.finalize().into()) })
    }
}

/// Reads to the end.
fn each_piece<E>(
    mut from: impl Read,
    unread: impl FnOnce(io::Error) -> E,
    mut each: impl FnMut(&[u8]) -> Result<(), E>,
) -> Result<(), E> {
    let mut piece = vec![0; 64 * 1024];
    loop {
        let read = match from.read(&mut piece) {
            Ok(read) => read,
            Err(error) => return Err(unread(error)),
        };
        match piece.get(..read).filter(|piece| !piece.is_empty()) {
            Some(piece) => each(piece)?,
            None => return Ok(()),
        }
    }
}

pub(super) fn sha256(bytes: &[u8]) -> Sha256 {
    Sha256(sha2::Sha256::digest(bytes).into())
}
