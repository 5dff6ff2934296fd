//! How far this client has come with the release that it heard of last, and when it has tried to install one by itself:
//! kept in a file, so that whichever version runs next says the same of it and tries no oftener. Pure.

use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::form::{self, FORM, HistoryError};
use super::values::{Time, Version};
use crate::files::FileError;

/// Between the first attempt that a client makes by itself and the second; twice as long before the third.
const FIRST_PAUSE: Duration = Duration::from_mins(15);
/// How often it tries in a row, such as within one night.
const IN_A_ROW: u32 = 3;
/// After the first row; twice as long after each further one, up to [`LONGEST_PAUSE`]: what has failed as often does not go
/// away by itself, and each attempt may be a download.
const FIRST_REST: Duration = Duration::from_hours(12);
const LONGEST_PAUSE: Duration = Duration::from_hours(7 * 24);

/// What is known of a release and of attempts to install one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    #[serde(default)]
    form: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    report: Option<Report>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tried: Option<Attempts>,
    /// What a later version has added.
    #[serde(flatten)]
    other: Map<String, Value>,
}

/// What has become of a release here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// That of the manifest.
    pub counter: u64,
    pub version: Version,
    pub state: Stage,
}

/// How far a version has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// A person, the hours, a package manager or the customer's no stands before it.
    Waiting,
    OnTrial,
    Works,
    /// It was tried, and the version before it is back.
    PutBack,
    /// A person wanted the version before it back.
    Declined,
    /// It was not connected for too long, and the version before it has just come back: whether it was at fault shows soon.
    Unconnected,
    /// It could not be had, or not be begun.
    Failed,
    /// One that a later version knows.
    #[serde(untagged)]
    Other(String),
}

/// When this client has tried to install a version by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Attempts {
    version: Version,
    /// How many there were.
    count: u32,
    last: Time,
}

impl Progress {
    /// Reads the file. It holds nothing that a version could not be installed safely without, so one that is damaged is
    /// as good as none.
    ///
    /// # Errors
    /// [`HistoryError::Io`].
    pub fn read(path: &Path) -> Result<Self, HistoryError> {
        match form::read(path) {
            Ok(read) => Ok(read.unwrap_or_default()),
            Err(HistoryError::Damaged { .. }) => Ok(Self::default()),
            Err(error @ HistoryError::Io { .. }) => Err(error),
        }
    }

    /// Writes the file whole.
    ///
    /// # Errors
    /// [`FileError`]; the file is as it was then.
    pub fn write(&self, path: &Path) -> Result<(), FileError> {
        form::write(path, &Self { form: self.form.max(FORM), ..self.clone() })
    }

    /// The last that is known.
    pub fn report(&self) -> Option<&Report> {
        self.report.as_ref()
    }

    /// True when this version is not to stay: it has gone back, or was not tried.
    pub fn has_gone_back(&self, version: &Version) -> bool {
        let gone = [Stage::PutBack, Stage::Declined, Stage::Unconnected, Stage::Failed];
        self.report.as_ref().is_some_and(|it| it.version == *version && gone.contains(&it.state))
    }

    /// A release is there, which has this version for this client. What has become of that version already stays known:
    /// the same one is signed again and again, under higher counters.
    pub fn offered(&mut self, counter: u64, version: &Version, state: Stage) {
        match &mut self.report {
            Some(report) if report.version == *version => report.counter = report.counter.max(counter),
            report => *report = Some(Report { counter, version: version.clone(), state }),
        }
    }

    /// A release has the version that runs, and nobody tries it any more: it works, whatever became of it before, and
    /// whoever has installed it.
    pub fn runs(&mut self, counter: u64, version: &Version) {
        self.offered(counter, version, Stage::Works);
        self.becomes(version, Stage::Works);
    }

    /// Something has become of a version that was [offered](Self::offered) before.
    pub fn becomes(&mut self, version: &Version, state: Stage) {
        if let Some(report) = self.report.as_mut().filter(|report| report.version == *version) {
            report.state = state;
        }
    }

    /// The moment from which on this client may try to install a version by itself; it may have passed.
    pub fn next_attempt(&self, version: &Version, now: Time) -> Time {
        let of_version = self.tried.as_ref().filter(|attempts| attempts.version == *version);
        match of_version {
            // Of a clock that was set back meanwhile nothing can be told.
            Some(attempts) if attempts.last <= now => attempts.last.after(pause(attempts.count)),
            _ => now,
        }
    }

    /// This client begins to install a version by itself. To be written before it does.
    pub fn attempted(&mut self, version: &Version, now: Time) {
        let before = self.tried.take().filter(|attempts| attempts.version == *version);
        let count = before.map_or(0, |attempts| attempts.count).saturating_add(1);
        self.tried = Some(Attempts { version: version.clone(), count, last: now });
    }
}

/// How long it is waited after so many attempts in vain.
fn pause(attempts: u32) -> Duration {
    let (rows, of_row) = (attempts / IN_A_ROW, attempts % IN_A_ROW);
    let doubled = |first: Duration, times: u32| first.saturating_mul(2_u32.saturating_pow(times));
    match of_row.checked_sub(1) {
        Some(before) => doubled(FIRST_PAUSE, before),
        None => doubled(FIRST_REST, rows.saturating_sub(1)).min(LONGEST_PAUSE),
    }
}
