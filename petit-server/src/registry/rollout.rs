//! How far a release is handed out, and what clients say of it.

use std::collections::BTreeMap;
use std::time::Duration;

use petit_engine::name::DeviceId;
use petit_engine::proto::control::UpdateState;
use serde::{Deserialize, Serialize};

use super::rings::Rings;
use super::timestamp::Timestamp;

/// How far a release is handed out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rollout {
    pub release: ReleaseToRollOut,
    /// Empty where an earlier version has started it.
    pub versions: TargetVersions,
    pub rings: Rings,
    /// How many of them are open, at least one.
    pub open: usize,
    /// How long a ring is watched at least before the next one is opened.
    pub soak: Duration,
    pub state: RolloutState,
    pub started: Timestamp,
    /// When it was resumed last: whoever did that has seen what had gone wrong by then.
    pub resumed: Option<Timestamp>,
    /// When the last ring was opened, or it was resumed.
    pub opened: Timestamp,
}

/// The version that a release has for each target.
pub type TargetVersions = BTreeMap<String, String>;

/// A roll-out that is to be started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RolloutPlan {
    pub release: ReleaseToRollOut,
    pub versions: TargetVersions,
    pub rings: Rings,
    pub soak: Duration,
    pub if_halted: IfHalted,
}

/// What becomes of a start when an earlier roll-out of the same release was halted or rolled back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IfHalted {
    /// Its operator hears of that, and nothing is started.
    #[default]
    Refuse,
    /// Its operator knows that, and wants it all the same.
    StartAgain,
}

/// A release, by what is in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseToRollOut {
    /// SHA-256 of its targets, versions and files: signed anew it is the same release.
    pub release: String,
    /// The number of its manifest when it was started.
    pub counter: u64,
}

/// Where a roll-out stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RolloutState {
    /// Its rings are opened one after the other.
    Running,
    /// Nobody gets the release until it is resumed.
    Halted {
        reason: String,
        since: Timestamp,
        /// Nobody has asked for it.
        by_itself: bool,
    },
    /// All rings were open for long enough; everybody gets it.
    Done,
    /// Nobody gets it any more.
    RolledBack,
}

/// What is done to a roll-out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RolloutStep {
    /// The next ring is opened.
    OpenNext,
    Finish,
    Halt {
        reason: String,
    },
    Resume,
    RollBack,
}

/// What a client has said last of a release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredReport {
    pub device: DeviceId,
    pub counter: u64,
    pub version: String,
    pub state: UpdateState,
    /// When it said so first.
    pub at: Timestamp,
    /// What it has asked for, where that is known.
    pub target: Option<String>,
}

impl StoredReport {
    /// True when another one says the same of the same client, whenever, and of a release that was signed anew.
    pub fn says_as(&self, other: &Self) -> bool {
        let Self { device, counter: _, version, state, at: _, target: _ } = self;
        (device, version, state) == (&other.device, &other.version, &other.state)
    }
}

impl Rollout {
    /// Whether anybody is handed the release by it.
    pub fn hands_out(&self) -> bool {
        matches!(self.state, RolloutState::Running | RolloutState::Done)
    }

    /// When it was started, or resumed last: what had gone wrong by then counts no more.
    pub fn begun(&self) -> Timestamp {
        self.resumed.unwrap_or(self.started).max(self.started)
    }

    /// When it begins anew: later than all that was said of it until now, also where the clock has gone back.
    pub fn begins_anew(&self, now: Timestamp) -> Timestamp {
        now.max(self.begun() + Duration::from_secs(1))
    }

    /// Whether everybody was to get its release.
    pub fn reached_all(&self) -> bool {
        let is_open = self.is_running() && self.open == self.rings.len();
        is_open || self.state == RolloutState::Done
    }

    /// Whether it can still come to something else by itself.
    pub fn is_running(&self) -> bool {
        self.state == RolloutState::Running
    }
}
