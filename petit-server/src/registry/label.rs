//! What the operator writes down of clients and invites, so as to find them again: tags, and a note.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use petit_engine::limits;
use petit_engine::name::Tag;
use serde::{Deserialize, Serialize};

use super::error::Conflict;

/// One line about a client. It may be empty: then there is none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Note(String);

/// A text is no note.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidNote {
    #[error("a note has {max} characters at most, this one has {length}", max = limits::NOTE_CHARS)]
    TooLong { length: usize },
    #[error("a note is one line, without control characters")]
    Control,
}

impl Note {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Takes what of a text may stand in a note.
    pub fn lossy(text: &str) -> Self {
        Self(text.chars().filter(|c| !c.is_control()).take(limits::NOTE_CHARS).collect())
    }
}

impl FromStr for Note {
    type Err = InvalidNote;

    fn from_str(text: &str) -> Result<Self, InvalidNote> {
        let length = text.chars().count();
        if length > limits::NOTE_CHARS {
            return Err(InvalidNote::TooLong { length });
        }
        if text.chars().any(char::is_control) {
            return Err(InvalidNote::Control);
        }
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for Note {
    type Error = InvalidNote;

    fn try_from(text: String) -> Result<Self, InvalidNote> {
        text.parse()
    }
}

impl From<Note> for String {
    fn from(note: Note) -> Self {
        note.0
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What is to become of a client's tags and note.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabelEdit {
    /// Tags that it gets.
    pub add: BTreeSet<Tag>,
    /// Tags that it loses.
    pub remove: BTreeSet<Tag>,
    /// Its note; `None` leaves it as it is.
    pub note: Option<Note>,
}

/// A client's tags and note.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Labels {
    pub tags: BTreeSet<Tag>,
    pub note: Note,
}

impl LabelEdit {
    /// The tags of a client that has these.
    pub fn tags_after(&self, tags: &BTreeSet<Tag>) -> BTreeSet<Tag> {
        tags.difference(&self.remove).chain(&self.add).cloned().collect()
    }

    /// The labels after the edit.
    pub(super) fn applied_to(self, labels: &Labels) -> Labels {
        let tags = self.tags_after(&labels.tags);
        Labels { tags, note: self.note.unwrap_or_else(|| labels.note.clone()) }
    }
}

/// Refuses more tags than there may be.
pub(super) fn check_tags(tags: &BTreeSet<Tag>) -> Result<(), Conflict> {
    if tags.len() > limits::MAX_TAGS { Err(Conflict::TooManyTags { count: tags.len() }) } else { Ok(()) }
}
