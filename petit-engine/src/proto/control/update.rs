//! What has become of a release on a client, as it says in its session.

use serde::{Deserialize, Serialize};

use super::text::Text;

/// The feature of a relay that understands [`super::FromAgent::Update`], and of an agent that says it.
pub const UPDATES: &str = "updates";

/// What has become of the last release that a client knows of, as it says itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UpdateReport {
    /// The number of its manifest.
    pub counter: u64,
    /// The version that it has for the client.
    pub version: Text<40>,
    pub state: UpdateState,
}

/// How far an update is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UpdateState {
    /// It is known, and a person, the hours, a package manager or a "never" stands before it.
    Waiting,
    /// It runs, and has not shown yet that it works.
    OnTrial,
    Works,
    /// It ran and did not work; the version before it runs again.
    PutBack,
    /// It could not be fetched or begun.
    Failed,
    /// One that this version does not know.
    #[serde(other)]
    Other,
}
