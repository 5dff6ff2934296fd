//! Roll-outs.

use std::collections::BTreeSet;

use petit_engine::name::DeviceId;
use petit_engine::proto::control::UpdateState;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::ApiRequest;
use crate::registry::{Ring, Rings, RolloutState, Timestamp};
use crate::releases::HandedOut;
use crate::rollouts::gate::{Stay, Tally, Verdict};

/// How far the release is handed out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GetRollout;

impl ApiRequest for GetRollout {
    type Answer = RolloutStatus;

    fn target(&self) -> (&'static str, String) {
        ("GET", "/rollout".to_owned())
    }
}

/// Begin to hand the release out that there is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StartRollout {
    /// Who gets it first, and then.
    pub rings: Rings,
    /// How long a ring is watched at least.
    pub soak_seconds: u64,
    /// Also where an earlier roll-out of the same release was halted or rolled back.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub again: bool,
}

impl ApiRequest for StartRollout {
    type Answer = RolloutStatus;

    fn target(&self) -> (&'static str, String) {
        ("POST", "/rollout".to_owned())
    }

    fn body(&self) -> Result<Option<Value>, serde_json::Error> {
        serde_json::to_value(self).map(Some)
    }
}

/// Hand it out to nobody for now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HaltRollout {
    pub reason: String,
}

impl ApiRequest for HaltRollout {
    type Answer = RolloutStatus;

    fn target(&self) -> (&'static str, String) {
        ("POST", "/rollout/halt".to_owned())
    }

    fn body(&self) -> Result<Option<Value>, serde_json::Error> {
        serde_json::to_value(self).map(Some)
    }
}

/// Hand it out again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResumeRollout;

impl ApiRequest for ResumeRollout {
    type Answer = RolloutStatus;

    fn target(&self) -> (&'static str, String) {
        ("POST", "/rollout/resume".to_owned())
    }
}

/// Open the next ring, whatever this one has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WidenRollout;

impl ApiRequest for WidenRollout {
    type Answer = RolloutStatus;

    fn target(&self) -> (&'static str, String) {
        ("POST", "/rollout/next".to_owned())
    }
}

/// Hand it out to nobody any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RollBack;

impl ApiRequest for RollBack {
    type Answer = RolloutStatus;

    fn target(&self) -> (&'static str, String) {
        ("POST", "/rollout/rollback".to_owned())
    }
}

/// What is handed out, and how far.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RolloutStatus {
    /// The release that there is.
    pub release: Option<HandedOutView>,
    /// The roll-out that was started last.
    pub rollout: Option<RolloutView>,
}

/// A release that is handed out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HandedOutView {
    pub counter: u64,
    /// Of its targets; mostly one.
    pub versions: BTreeSet<String>,
}

impl From<HandedOut> for HandedOutView {
    fn from(release: HandedOut) -> Self {
        Self { counter: release.counter, versions: release.versions.into_values().collect() }
    }
}

/// A roll-out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RolloutView {
    /// Clients with whom it has gone wrong: up to [`BAD_CLIENTS_SHOWN`] of them.
    pub bad: Vec<BadClient>,
    pub counts: RolloutCounts,
    /// The number of the manifest with which it was started.
    pub counter: u64,
    /// False when another release has been put there since.
    pub is_of_this_release: bool,
    /// How many of the rings are open.
    pub open: usize,
    /// When the last of them was opened.
    pub opened: Timestamp,
    pub rings: Vec<RingView>,
    pub soak_seconds: u64,
    pub started: Timestamp,
    pub state: RolloutState,
    /// While it is running: why it does not go on yet.
    pub waits_for: Option<RolloutWait>,
}

/// A ring, and how many clients it is of which no ring before is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RingView {
    pub clients: usize,
    pub ring: Ring,
}

/// How many clients of the open rings are how far.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RolloutCounts {
    pub clients: usize,
    /// It has gone wrong with them before it was resumed.
    pub excused: usize,
    pub failed: usize,
    /// They had its version before, because the release before has brought that.
    pub had: usize,
    pub on_trial: usize,
    pub put_back: usize,
    /// On trial for longer than that takes.
    pub stuck: usize,
    /// A person, hours, a package manager or a "never" stands before it.
    pub waiting: usize,
    pub works: usize,
}

impl From<Tally> for RolloutCounts {
    fn from(tally: Tally) -> Self {
        let Tally { clients, works, had, on_trial, waiting, put_back, failed, stuck, lost, excused, .. } =
            tally;
        Self { clients, excused, failed, had, on_trial, put_back, stuck: stuck + lost, waiting, works }
    }
}

/// Why a roll-out does not go on yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RolloutWait {
    /// The ring is watched for so long.
    Time {
        left_seconds: u64,
    },
    Trials {
        clients: usize,
    },
    /// Too few of the ring that was opened last have it yet.
    Clients {
        more: usize,
    },
    /// No client is registered yet.
    Nobody {},
}

impl RolloutWait {
    pub(crate) fn of(verdict: &Verdict) -> Option<Self> {
        match *verdict {
            Verdict::Stay(Stay::Soaking { left }) => Some(Self::Time { left_seconds: left.as_secs() }),
            Verdict::Stay(Stay::OnTrial { clients }) => Some(Self::Trials { clients }),
            Verdict::Stay(Stay::TooFew { more }) => Some(Self::Clients { more }),
            Verdict::Stay(Stay::Nobody) => Some(Self::Nobody {}),
            Verdict::OpenNext | Verdict::Finish | Verdict::Halt(_) => None,
        }
    }
}

/// A client with whom a release has gone wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BadClient {
    pub at: Timestamp,
    pub client: DeviceId,
    /// What the customer calls it.
    pub name: String,
    pub state: UpdateState,
    pub version: String,
}

/// Bad clients that are named.
pub const BAD_CLIENTS_SHOWN: usize = 20;
