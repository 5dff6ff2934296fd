//! How something stands, and what is to be said of it.

use serde::Serialize;

/// How something stands, for its shape and colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Tone {
    /// All is well.
    Good,
    /// Being worked at.
    Busy,
    /// Works, but not all of it.
    Warn,
    /// Does not work.
    Bad,
    /// Switched off, or not known.
    Off,
}

/// What is the matter, and what to do about it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Words {
    /// What is the matter.
    pub what: String,
    /// What to do; empty when there is nothing to do but wait.
    pub todo: String,
}
