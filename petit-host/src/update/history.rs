//! What was seen before, so that nobody can put an old manifest in the place of a newer one; and which versions this
//! computer has come back from.

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::form::{self, Entry, FORM, HistoryError};
use super::refusal::Refusal;
use super::values::{Channel, Sha256, Time, Version};
use super::verify::Verified;
use crate::files::FileError;

/// Versions that did not work, of which the last are kept: each was offered, tried and given up.
const MAX_BAD: usize = 32;

/// What was seen, and what did not work. Kept in a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "HistoryForm")]
pub struct History {
    form: u32,
    seen: Vec<Entry<Seen>>,
    bad: Vec<Entry<Version>>,
    /// They have gone back, and nothing says that they do not work.
    by_hand: Vec<Entry<Version>>,
    /// What a later version has added.
    #[serde(flatten)]
    other: Map<String, Value>,
}

/// As it stands in the file.
#[derive(Deserialize)]
struct HistoryForm {
    #[serde(default)]
    form: u32,
    #[serde(default)]
    seen: Vec<Value>,
    #[serde(default)]
    bad: Vec<Value>,
    #[serde(default)]
    by_hand: Vec<Value>,
    #[serde(flatten)]
    other: Map<String, Value>,
}

impl TryFrom<HistoryForm> for History {
    type Error = serde_json::Error;

    fn try_from(read: HistoryForm) -> Result<Self, serde_json::Error> {
        let HistoryForm { form, seen, bad, by_hand, other } = read;
        let (seen, bad) = (form::entries(form, seen)?, form::entries(form, bad)?);
        let by_hand = form::entries(form, by_hand)?;
        // A later form stays what it is: the version that wrote it reads it again.
        Ok(Self { form: form.max(FORM), seen, bad, by_hand, other })
    }
}

impl Default for History {
    fn default() -> Self {
        Self { form: FORM, seen: Vec::new(), bad: Vec::new(), by_hand: Vec::new(), other: Map::new() }
    }
}

/// The newest manifest of a channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Seen {
    channel: Channel,
    release_key: u64,
    counter: u64,
    sha256: Sha256,
    /// When it was made: a clock that says less than that is behind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    created: Option<Time>,
    /// What a later version has added.
    #[serde(flatten)]
    other: Map<String, Value>,
}

impl History {
    /// Reads the file; one that is not there is an empty history.
    ///
    /// # Errors
    /// [`HistoryError`].
    pub fn read(path: &Path) -> Result<Self, HistoryError> {
        Ok(form::read(path)?.unwrap_or_default())
    }

    /// Writes the file whole.
    ///
    /// # Errors
    /// [`FileError`]; the file is as it was then.
    pub fn write(&self, path: &Path) -> Result<(), FileError> {
        form::write(path, self)
    }

    /// The time, by a clock that may have been set back: it is not before anything that was made already.
    pub(super) fn time(&self, now: Time) -> Time {
        self.seen().filter_map(|seen| seen.created).fold(now, Time::max)
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
        let newest = self.seen().map(|seen| seen.release_key).max().unwrap_or_default();
        if number < newest {
            return Err(Refusal::KeyReplaced { number, seen: newest });
        }
        let of_channel = self.seen().find(|seen| seen.channel == verified.manifest().channel);
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
        self.seen.retain(|seen| seen.known().is_none_or(|seen| seen.channel != manifest.channel));
        self.seen.push(Entry::Known(Seen {
            channel: manifest.channel,
            release_key: verified.release_key().number,
            counter: manifest.counter,
            sha256: verified.sha256(),
            created: Some(manifest.created),
            other: Map::new(),
        }));
        Ok(())
    }

    /// True when this computer has come back from a version.
    pub fn is_bad(&self, version: &Version) -> bool {
        self.bad.iter().any(|bad| bad.known() == Some(version))
    }

    /// Remembers that a version did not work here.
    pub fn remember_bad(&mut self, version: Version) {
        self.bad.retain(|bad| bad.known() != Some(&version));
        self.bad.push(Entry::Known(version));
        let excess = self.bad.len().saturating_sub(MAX_BAD);
        self.bad.drain(..excess);
    }

    /// True when only a person installs a version here.
    pub fn is_by_hand(&self, version: &Version) -> bool {
        self.by_hand.iter().any(|kept| kept.known() == Some(version))
    }

    /// Leaves a version to people: it has gone back here, and nothing says that it does not work.
    pub fn leave_to_people(&mut self, version: Version) {
        self.by_hand.retain(|kept| kept.known() != Some(&version));
        self.by_hand.push(Entry::Known(version));
        let excess = self.by_hand.len().saturating_sub(MAX_BAD);
        self.by_hand.drain(..excess);
    }

    /// Nothing is held against a version any more.
    pub fn forgive(&mut self, version: &Version) {
        self.bad.retain(|bad| bad.known() != Some(version));
        self.by_hand.retain(|kept| kept.known() != Some(version));
    }

    fn seen(&self) -> impl Iterator<Item = &Seen> {
        self.seen.iter().filter_map(Entry::known)
    }
}
