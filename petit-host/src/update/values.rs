//! The values that a manifest is made of: each can be made from right text only, and is written as it was read.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime};

use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};

use crate::brand::Brand;

/// Why a text is not the value that it should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not {expected}")]
pub struct InvalidValue {
    text: String,
    expected: &'static str,
}

/// Makes the error; of a text that goes on for ever only its begin is told.
fn invalid(text: &str, expected: &'static str) -> InvalidValue {
    InvalidValue { text: text.chars().take(80).collect(), expected }
}

/// From text and to text, as serde wants it.
macro_rules! as_text {
    ($($name:ident),+) => {$(
        impl TryFrom<String> for $name {
            type Error = InvalidValue;

            fn try_from(text: String) -> Result<Self, InvalidValue> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> Self {
                value.to_string()
            }
        }
    )+};
}

as_text!(Version, Target, FileName, Sha256, Time, Hours);

/// The version of a program, by the rules of Semantic Versioning 2.0.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Version(semver::Version);

impl Version {
    /// Of this very program.
    pub fn of_this_program() -> Self {
        Self(semver::Version::parse(env!("CARGO_PKG_VERSION")).unwrap_or(semver::Version::new(0, 0, 0)))
    }
}

impl FromStr for Version {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let parsed = semver::Version::parse(text).ok().filter(|_| text.len() <= 40);
        // Which of two builds of one version is newer, Semantic Versioning does not say (item 10).
        let parsed = parsed.filter(|version| version.build.is_empty());
        parsed.map(Self).ok_or_else(|| invalid(text, "a version such as 1.2.3"))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What an artifact runs on and whose it is: `petit-client-linux-x86_64`, and with a brand
/// `petit-client-linux-x86_64-north`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Target(String);

impl Target {
    /// That of a program on this computer, of a brand.
    pub fn of(program: &str, brand: &Brand) -> Self {
        let (system, processor) = (std::env::consts::OS, std::env::consts::ARCH);
        let plain = format!("{program}-{system}-{processor}");
        Self(brand.id().map_or_else(|| plain.clone(), |id| format!("{plain}-{id}")))
    }

    /// As it stands in a manifest.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Target {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let is_right = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_".contains(c);
        if (1..=80).contains(&text.len()) && text.chars().all(is_right) {
            Ok(Self(text.to_owned()))
        } else {
            Err(invalid(text, "a target such as petit-client-linux-x86_64"))
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The name of a file, which leads into no other folder on any system.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FileName(String);

impl FileName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for FileName {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let is_right = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        let is_plain = text.starts_with(|c: char| c.is_ascii_alphanumeric()) && !text.ends_with('.');
        if text.len() <= 120 && is_plain && text.chars().all(is_right) {
            Ok(Self(text.to_owned()))
        } else {
            Err(invalid(text, "the name of a file, of letters, digits and -_."))
        }
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A SHA-256, written as 64 hex digits in lower case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Sha256(pub(super) [u8; 32]);

impl FromStr for Sha256 {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let bytes = HEXLOWER.decode(text.as_bytes()).ok();
        let bytes = bytes.and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
        bytes.map(Self).ok_or_else(|| invalid(text, "a SHA-256 of 64 hex digits in lower case"))
    }
}

impl fmt::Display for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

/// A moment, written as RFC 3339 has it, in UTC and whole seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Time(SystemTime);

impl Time {
    /// A moment. One that four digits cannot say the year of, or before 1970, is the nearest that can be said.
    pub fn new(at: SystemTime) -> Self {
        /// The last second of 9999, since 1970.
        const LAST: u64 = 253_402_300_799;
        let since = at.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
        Self(SystemTime::UNIX_EPOCH + Duration::from_secs(since.min(LAST)))
    }

    /// Now, by this computer's clock.
    pub fn now() -> Self {
        Self::new(SystemTime::now())
    }

    /// So much later.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        Self::new(self.0.checked_add(duration).unwrap_or(self.0))
    }
}

impl FromStr for Time {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let parsed = humantime::parse_rfc3339(text).ok().map(Self::new);
        // Whole seconds, so that what is read is what was written.
        let parsed = parsed.filter(|time| time.to_string() == text);
        parsed.ok_or_else(|| invalid(text, "a time such as 2026-11-28T00:00:00Z"))
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_rfc3339_seconds(self.0).fmt(f)
    }
}

/// Which kind of versions an installation follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Channel {
    Stable,
    Beta,
}

impl FromStr for Channel {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        match text {
            "stable" => Ok(Self::Stable),
            "beta" => Ok(Self::Beta),
            other => Err(invalid(other, "stable or beta")),
        }
    }
}

impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stable => "stable",
            Self::Beta => "beta",
        })
    }
}

/// Hours of the day in which a version may be installed, by the computer's own time: `22:00-05:30`. The end is not part
/// of them, and may be on the next day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Hours {
    /// Minutes since midnight.
    from: u16,
    until: u16,
}

impl Hours {
    /// How long they go on from a minute of the day that is one of them.
    pub fn left(self, minute: u16) -> Duration {
        const DAY: u16 = 24 * 60;
        let minutes = (self.until + DAY - minute % DAY) % DAY;
        Duration::from_mins(u64::from(minutes))
    }

    /// When they begin and end, as they are written.
    pub fn ends(self) -> (String, String) {
        let said = self.to_string();
        let (from, until) = said.split_once('-').unwrap_or_default();
        (from.to_owned(), until.to_owned())
    }

    /// True when a minute of the day is one of them.
    pub fn contains(self, minute: u16) -> bool {
        if self.from < self.until {
            (self.from..self.until).contains(&minute)
        } else {
            minute >= self.from || minute < self.until
        }
    }
}

impl FromStr for Hours {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let two = |text: &str| {
            let is_right = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
            is_right.then(|| text.parse::<u16>().ok()).flatten()
        };
        let minute = |text: &str| {
            let (hour, minute) = text.split_once(':')?;
            let (hour, minute) = (two(hour).filter(|it| *it < 24)?, two(minute).filter(|it| *it < 60)?);
            Some(hour * 60 + minute)
        };
        let hours = text.split_once('-').and_then(|(from, until)| {
            let (from, until) = (minute(from)?, minute(until)?);
            (from != until).then_some(Self { from, until })
        });
        hours.ok_or_else(|| invalid(text, "hours such as 22:00-05:30"))
    }
}

impl fmt::Display for Hours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { from, until } = self;
        write!(f, "{:02}:{:02}-{:02}:{:02}", from / 60, from % 60, until / 60, until % 60)
    }
}
