//! A new version on trial: what is written down while it shows that it works, so that whoever begins next knows what to
//! do, however the process before ended. Pure.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::values::Version;

/// How often a version on trial may be begun without having ended in an orderly way; the next begin is that of the version
/// before it.
pub const MAX_STARTS: u32 = 3;

/// A version that has taken the place of another one, and has not shown yet that it works.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trial {
    pub version: Version,
    /// The one that is kept beside it meanwhile.
    pub before: Version,
    /// The services that worked before.
    pub worked: Vec<String>,
    within_seconds: u64,
    starts: u32,
    step: TrialStep,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum TrialStep {
    Trying,
    /// It did not work; its files may or may not have been changed back yet.
    GoingBack,
}

/// What a program does that begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beginning {
    /// Nothing is on trial.
    Usual,
    /// It is on trial itself.
    OnTrial,
    /// What was on trial is over, and this is the version before it: what is left of the other is removed.
    Over,
    /// It has not worked: the version before it is to be put back.
    PutBack,
}

impl Trial {
    /// Of a version that is to take the place of another one.
    pub fn new(version: Version, before: Version, worked: Vec<String>, within: Duration) -> Self {
        let within_seconds = within.as_secs();
        Self { version, before, worked, within_seconds, starts: 0, step: TrialStep::Trying }
    }

    /// How long it may be online without all that worked before.
    pub fn within(&self) -> Duration {
        Duration::from_secs(self.within_seconds)
    }

    /// A program begins, of this version.
    pub(super) fn begins(&mut self, own: &Version) -> Beginning {
        if *own != self.version {
            return Beginning::Over;
        }
        self.starts = self.starts.saturating_add(1);
        match self.step {
            TrialStep::Trying if self.starts <= MAX_STARTS => Beginning::OnTrial,
            TrialStep::Trying | TrialStep::GoingBack => Beginning::PutBack,
        }
    }

    /// The program ends as it should: nothing is held against it.
    pub(super) fn ends(&mut self) {
        self.starts = 0;
    }

    pub(super) fn goes_back(&mut self) {
        self.step = TrialStep::GoingBack;
    }
}
