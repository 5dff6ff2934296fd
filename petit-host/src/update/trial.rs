//! A new version on trial: what is written down while it shows that it works, so that whoever begins next knows what to
//! do, however the process before ended. Pure.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::decision::Standing;
use super::form::FORM;
use super::manifest::Artifact;
use super::values::{Time, Version};

/// How often a version on trial may crash within [`CRASHES_WITHIN`]; with the last of them the version before it comes back.
pub const MAX_CRASHES: usize = 3;
/// Crashes that lie further apart say more of the computer, which is switched off, than of the program.
pub const CRASHES_WITHIN: Duration = Duration::from_mins(10);

/// How often a version on trial may say why it cannot begin. That is no crash, but a version that always has an excuse is of
/// no more use than one that crashes.
pub const MAX_EXCUSES: u32 = 5;
/// How long the version before is kept once the new one has shown that it works: that was one glance, and a crash soon after
/// it is what a way back is for.
pub const KEPT: Duration = Duration::from_mins(5);

/// Between two runs of an installer that puts the version before back.
const TRIES_BACK: Duration = Duration::from_mins(15);

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
    /// It has begun at least once.
    #[serde(default)]
    has_begun: bool,
    #[serde(default)]
    crashes: Vec<Time>,
    /// How often it has said why it cannot begin.
    #[serde(default)]
    excuses: u32,
    /// When the installer of the version before was run last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tried_back: Option<Time>,
    /// When all that worked before has worked again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    works_since: Option<Time>,
    /// Those who make the program do not want the version before to be used any more.
    #[serde(default, skip_serializing_if = "is_false")]
    leaves_unwanted: bool,
    step: TrialStep,
    /// Why it goes back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    verdict: Option<Verdict>,
    /// The trial of the version that this one is to replace, where that one was to go back and could not. It is on again where
    /// nothing comes of this one, and forgotten once this one has begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    replaced: Option<Box<Trial>>,
    /// What a later version has added.
    #[serde(flatten)]
    other: Map<String, Value>,
}

/// Whether a version has itself to blame for not going on here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It did not work, and is not tried again.
    DoesNotWork,
    /// A person wanted the version before back.
    Declined,
    /// It was not tried: something else kept it from that.
    NotTried,
    /// It was not connected for too long. Whether that was its fault shows when the version before is.
    Unconnected,
    /// It did not stay, and nothing says that it is to blame. Also for whatever a later version calls its verdicts.
    #[serde(other)]
    Unknown,
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
    /// How long the version before is kept once it works.
    #[serde(rename = "kept_seconds", with = "seconds", default = "kept")]
    pub kept: Duration,
}

fn kept() -> Duration {
    KEPT
}

fn is_false(it: &bool) -> bool {
    !it
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
    /// By an installer that has put this version back into the place of one that did not run.
    PutBack,
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
    PutBack(Verdict),
}

impl Trial {
    /// Of a version that is to take the place of another one.
    pub fn new(version: Version, before: Version, test: Test) -> Self {
        Self {
            form: FORM,
            version,
            before,
            test,
            is_running: false,
            has_begun: false,
            crashes: Vec::new(),
            excuses: 0,
            tried_back: None,
            works_since: None,
            leaves_unwanted: false,
            step: TrialStep::Trying,
            verdict: None,
            replaced: None,
            other: Map::new(),
        }
    }

    /// As the manifest has it that its version is from. What the vendor's server says of services is no reason to go back to
    /// a version that is not wanted any more: it would undo what was signed against that one.
    pub fn by(mut self, artifact: &Artifact) -> Self {
        self.leaves_unwanted = Standing::of(&self.before, artifact) != Standing::Good;
        self
    }

    /// True where the version before is not to be used any more: back to it goes only a version that crashes, or that a
    /// person does not want.
    pub fn leaves_unwanted(&self) -> bool {
        self.leaves_unwanted
    }

    /// The same, of a version that comes over one that is on trial itself: its way back is that of the other one, and what
    /// worked before that is to work again.
    #[must_use]
    pub fn over(mut self, replaced: &Self) -> Self {
        self.before = replaced.before.clone();
        self.test.worked.extend(replaced.test.worked.iter().cloned());
        self.test.worked.sort();
        self.test.worked.dedup();
        self
    }

    /// As [`over`](Self::over) one which is to go back and cannot: that is on trial again where nothing comes of this one.
    #[must_use]
    pub fn in_place_of(mut self, replaced: Self) -> Self {
        self = self.over(&replaced);
        self.replaced = Some(Box::new(Self { replaced: None, ..replaced }));
        self
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
        self.replaced = None;
        if let Some(verdict) = self.goes_back_for() {
            return Beginning::PutBack(verdict);
        }
        self.has_begun = true;
        // The process before one that takes over has not ended.
        if start != Start::Takeover {
            if self.is_running {
                self.crashes.push(now);
            }
            self.crashes.retain(|at| *at <= now && now < at.after(CRASHES_WITHIN));
            self.is_running = true;
        }
        if self.crashes.len() >= MAX_CRASHES {
            Beginning::PutBack(Verdict::DoesNotWork)
        } else if self.excuses >= MAX_EXCUSES {
            // Where the computer is at fault the version before cannot begin either, and nothing is lost.
            Beginning::PutBack(Verdict::Unknown)
        } else {
            Beginning::OnTrial
        }
    }

    /// A process of this version has taken over: from here on its end would be a crash.
    pub fn serves(&mut self) {
        self.is_running = true;
    }

    /// True when a process of this version has begun, and has not ended in an orderly way.
    pub fn is_running(&self) -> bool {
        self.is_running
    }

    /// True when a process of this version has begun, however it ended.
    pub fn has_begun(&self) -> bool {
        self.has_begun
    }

    /// True of a version that runs on where nothing comes of this one: the one before, or one that was to go back to that and
    /// could not.
    pub fn is_to_replace(&self, own: &Version) -> bool {
        let replaced = self.replaced.as_ref().is_some_and(|replaced| replaced.version == *own);
        *own != self.version && (*own == self.before || replaced)
    }

    /// The trial of a version that was to go back and could not, where this one was to replace it and nothing came of that.
    pub fn replaced(&self, own: &Version) -> Option<&Self> {
        self.replaced.as_deref().filter(|replaced| replaced.version == *own)
    }

    /// True when a version begins that this one [is to replace](Self::is_to_replace), and may yet: nothing says that it was put
    /// in its place, nor that it is not to be.
    pub fn may_still_begin(&self, own: &Version, start: Start) -> bool {
        self.is_to_replace(own)
            && start != Start::PutBack
            && !self.has_begun
            && self.goes_back_for().is_none()
    }

    /// True when the installer of the version before is to be run, which was not for a while. To be written then: each try
    /// ends the version that runs.
    pub fn takes_try(&mut self, now: Time) -> bool {
        // Of a clock that was set back nothing can be told.
        let is_due = self.tried_back.is_none_or(|last| last > now || now >= last.after(TRIES_BACK));
        if is_due {
            self.tried_back = Some(now);
        }
        is_due
    }

    /// That installer could not be started, so it has ended nothing: the next try need not wait.
    pub fn try_failed(&mut self) {
        self.tried_back = None;
    }

    /// Why the version before is there again where this one has not said that it [goes back](Self::goes_back): the one
    /// before was begun in this way.
    pub fn came_back_for(&self, start: Start) -> Verdict {
        match start {
            Start::PutBack => Verdict::DoesNotWork,
            // It ran, so its installer was done: whoever put the one before there wanted it.
            Start::Fresh | Start::Takeover if self.has_begun => Verdict::Declined,
            Start::Fresh | Start::Takeover => Verdict::NotTried,
        }
    }

    /// It ends in an orderly way: that is no crash.
    pub fn ends(&mut self) {
        self.is_running = false;
    }

    /// It ends because it cannot begin, and has said why.
    pub fn excuses_itself(&mut self) {
        self.is_running = false;
        self.excuses = self.excuses.saturating_add(1);
    }

    /// All that worked before works again.
    pub fn works(&mut self, now: Time) {
        self.works_since.get_or_insert(now);
        self.excuses = 0;
    }

    /// True once it was said that it [works](Self::works): the version before is kept a while longer.
    pub fn has_worked(&self) -> bool {
        self.works_since.is_some()
    }

    /// The version before it is to be put back.
    pub fn goes_back(&mut self, verdict: Verdict) {
        self.step = TrialStep::GoingBack;
        self.verdict.get_or_insert(verdict);
    }

    /// Why, once it was said that it [goes back](Self::goes_back).
    pub fn goes_back_for(&self) -> Option<Verdict> {
        // A version that did not write it down went back for no other reason.
        (self.step == TrialStep::GoingBack).then(|| self.verdict.unwrap_or(Verdict::DoesNotWork))
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
