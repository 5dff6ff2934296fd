//! What was seen before, so that nobody can put an old manifest in the place of a newer one; which version is on trial, and
//! which ones this computer has come back from.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::refusal::Refusal;
use super::trial::{Beginning, Trial};
use super::values::{Channel, Sha256, Version};
use super::verify::Verified;
use crate::files::{FileError, write_private};

/// Versions that did not work, of which the last are kept: each was offered, tried and given up.
const MAX_BAD: usize = 32;

/// What was seen, and what did not work. Kept in a file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    #[serde(default)]
    seen: Vec<Seen>,
    #[serde(default)]
    bad: Vec<Version>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    trial: Option<Trial>,
}

/// The newest manifest of a channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Seen {
    channel: Channel,
    release_key: u64,
    counter: u64,
    sha256: Sha256,
}

/// Why there is no history.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    #[error("cannot read {}", path.display())]
    Io {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// Going on without it would let an old manifest pass.
    #[error("{} is damaged, so nothing is updated; when it is removed, the next manifest is taken as the first", path.display())]
    Damaged {
        path: PathBuf,
        #[source]
        source: serde_json::Error,
    },
}

impl History {
    /// Reads the file; one that is not there is an empty history.
    ///
    /// # Errors
    /// [`HistoryError`].
    pub fn read(path: &Path) -> Result<Self, HistoryError> {
        match fs::read(path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map_err(|source| HistoryError::Damaged { path: path.to_owned(), source }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(source) => Err(HistoryError::Io { path: path.to_owned(), source }),
        }
    }

    /// Writes the file whole.
    ///
    /// # Errors
    /// [`FileError`]; the file is as it was then.
    pub fn write(&self, path: &Path) -> Result<(), FileError> {
        write_private(path, &serde_json::to_vec_pretty(self).unwrap_or_default())
    }

    /// Whether a manifest is as new as those that were seen.
    ///
    /// A new release key begins a new count: whoever has stolen the one before may have used up its counters.
    ///
    /// # Errors
    /// [`Refusal::KeyReplaced`], [`Refusal::RolledBack`], [`Refusal::Exchanged`].
    pub fn admit(&self, verified: &Verified) -> Result<(), Refusal> {
        let (number, counter) = (verified.release_key().number, verified.manifest().counter);
        // Whichever channel it signed for, a release key that was replaced is replaced.
        let newest = self.seen.iter().map(|seen| seen.release_key).max().unwrap_or_default();
        if number < newest {
            return Err(Refusal::KeyReplaced { number, seen: newest });
        }
        let of_channel = self.seen.iter().find(|seen| seen.channel == verified.manifest().channel);
        match of_channel.filter(|seen| seen.release_key == number) {
            Some(seen) if counter < seen.counter => Err(Refusal::RolledBack { counter, seen: seen.counter }),
            Some(seen) if counter == seen.counter && seen.sha256 != verified.sha256() => {
                Err(Refusal::Exchanged { counter })
            }
            _ => Ok(()),
        }
    }

    /// Takes a manifest for the newest. To be written before anything is done that the manifest says.
    ///
    /// # Errors
    /// As [`admit`](Self::admit); nothing has changed then.
    pub fn remember(&mut self, verified: &Verified) -> Result<(), Refusal> {
        self.admit(verified)?;
        let manifest = verified.manifest();
        self.seen.retain(|seen| seen.channel != manifest.channel);
        self.seen.push(Seen {
            channel: manifest.channel,
            release_key: verified.release_key().number,
            counter: manifest.counter,
            sha256: verified.sha256(),
        });
        Ok(())
    }

    /// True when this computer has come back from a version.
    pub fn is_bad(&self, version: &Version) -> bool {
        self.bad.contains(version)
    }

    /// The version that is on trial.
    pub fn trial(&self) -> Option<&Trial> {
        self.trial.as_ref()
    }

    /// A version is to take the place of another one. To be written before it does.
    pub fn begin_trial(&mut self, trial: Trial) {
        self.trial = Some(trial);
    }

    /// A program of a version begins. To be written unless it is [`Beginning::Usual`].
    pub fn begin(&mut self, own: &Version) -> Beginning {
        self.trial.as_mut().map_or(Beginning::Usual, |trial| trial.begins(own))
    }

    /// A program of a version ends in an orderly way. True when that has changed something.
    pub fn stopped(&mut self, own: &Version) -> bool {
        let trial = self.trial.as_mut().filter(|trial| trial.version == *own);
        trial.map(Trial::ends).is_some()
    }

    /// The version on trial does not work here. To be written before the one before it is put back.
    pub fn go_back(&mut self) {
        if let Some(trial) = &mut self.trial {
            trial.goes_back();
            let version = trial.version.clone();
            self.remember_bad(version);
        }
    }

    /// The trial is over, either way.
    pub fn end_trial(&mut self) {
        self.trial = None;
    }

    /// Remembers that a version did not work here.
    pub fn remember_bad(&mut self, version: Version) {
        self.bad.retain(|bad| *bad != version);
        self.bad.push(version);
        let excess = self.bad.len().saturating_sub(MAX_BAD);
        self.bad.drain(..excess);
    }
}
