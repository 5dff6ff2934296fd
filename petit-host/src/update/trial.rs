//! A new version on trial: what is written down while it shows that it works, so that whoever begins next knows what to
//! do, however the process before ended. Pure.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::form::FORM;
use super::values::{Time, Version};

/// How often a version on trial may crash within [`CRASHES_WITHIN`]; with the last of them the version before it comes back.
pub const MAX_CRASHES: usize = 3;
/// Crashes that lie further apart say more of the computer, which is switched off, than of the program.
pub const CRASHES_WITHIN: Duration = Duration::from_mins(10);

/// A version that has taken the place of another one, and has not shown yet that it works.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trial {
    #[serde(default)]
    form: u32,
    pub version: Version,
    /// The one that is kept beside it meanwhile.
    pub before: Version,
    /// By what it is judged.
    #[serde(flatten)]
    pub test: Test,
    /// It has begun, and has not ended in an orderly way.
    #[serde(default)]
    is_running: bool,
    #[serde(default)]
    crashes: Vec<Time>,
    step: TrialStep,
}

/// By what a version is judged, and in which client: a program may be that of several.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Test {
    /// The client's config file.
    pub config: PathBuf,
    /// The services that worked before.
    pub worked: Vec<String>,
    /// How long it may be online without all of them.
    #[serde(rename = "within_seconds", with = "seconds")]
    pub within: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum TrialStep {
    /// It is not to go on; its files may or may not have been changed back yet.
    GoingBack,
    /// Also for whatever a later version calls its steps.
    #[serde(other)]
    Trying,
}

/// How a process comes to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    Fresh,
    /// By a process whose place it takes, and which goes on when it fails.
    Takeover,
}

/// What a program does that begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beginning {
    /// It has nothing to do with a trial.
    Usual,
    /// It is on trial itself.
    OnTrial,
    /// What was on trial is over, and this is the version before it: what is left of the other is removed.
    Over,
    /// It is to go on no longer: the version before it is to be put back.
    PutBack,
}

impl Trial {
    /// Of a version that is to take the place of another one.
    pub fn new(version: Version, before: Version, test: Test) -> Self {
        let (is_running, crashes, step) = (false, Vec::new(), TrialStep::Trying);
        Self { form: FORM, version, before, test, is_running, crashes, step }
    }

    /// A process of a version begins, which is that of the program at its path. To be written when it is
    /// [`Beginning::OnTrial`].
    pub fn begins(&mut self, own: &Version, start: Start, now: Time) -> Beginning {
        if *own == self.before {
            return Beginning::Over;
        }
        if *own != self.version {
            // The one that was to be replaced while it was on trial itself, or one that somebody has put there.
            *self = Self::new(own.clone(), self.before.clone(), self.test.clone());
        }
        if self.step == TrialStep::GoingBack {
            return Beginning::PutBack;
        }
        // The process before one that takes over has not ended.
        if start == Start::Fresh {
            if self.is_running {
                self.crashes.push(now);
            }
            self.crashes.retain(|at| *at <= now && now < at.after(CRASHES_WITHIN));
            self.is_running = true;
        }
        if self.crashes.len() < MAX_CRASHES { Beginning::OnTrial } else { Beginning::PutBack }
    }

    /// A process of this version has taken over: from here on its end would be a crash.
    pub fn serves(&mut self) {
        self.is_running = true;
    }

    /// It ends in an orderly way, or has said what it cannot begin without: that is no crash.
    pub fn ends(&mut self) {
        self.is_running = false;
    }

    /// The version before it is to be put back.
    pub fn goes_back(&mut self) {
        self.step = TrialStep::GoingBack;
    }

    /// True once it was said that it [goes back](Self::goes_back).
    pub fn is_going_back(&self) -> bool {
        self.step == TrialStep::GoingBack
    }
}

mod seconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(value: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(value.as_secs())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        u64::deserialize(deserializer).map(Duration::from_secs)
    }
}
