//! What packages are made of, and for what.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

use crate::run::root;

/// How the programs are compiled, and how hard packages are pressed.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Build {
    Release,
    Debug,
}

/// Kinds of processors that there are packages for.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Architecture {
    Amd64,
    Arm64,
}

impl Architecture {
    /// This machine's.
    pub(super) fn own() -> Result<Self, String> {
        match std::env::consts::ARCH {
            "x86_64" => Ok(Self::Amd64),
            "aarch64" => Ok(Self::Arm64),
            other => Err(format!("there are no packages for {other}")),
        }
    }

    /// What Debian calls it.
    pub(super) fn deb(self) -> &'static str {
        match self {
            Self::Amd64 => "amd64",
            Self::Arm64 => "arm64",
        }
    }

    /// What RPM calls it.
    pub(super) fn rpm(self) -> &'static str {
        match self {
            Self::Amd64 => "x86_64",
            Self::Arm64 => "aarch64",
        }
    }

    pub(super) fn strip(self) -> Result<&'static str, String> {
        Ok(if self == Self::own()? { "strip" } else { "aarch64-linux-gnu-strip" })
    }
}

/// What packages are made of, and where they go.
pub(super) struct Making<'a> {
    pub(super) programs: &'a Path,
    /// Programs that run here, which write their manual pages.
    pub(super) runnable: &'a Path,
    pub(super) dist: &'a Path,
    pub(super) build: Build,
    pub(super) architecture: Architecture,
    pub(super) clock: Clock,
}

/// Whose package manager it is for.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Flavour {
    Deb,
    Rpm,
}

/// The time that everything in a package has.
#[derive(Clone, Copy)]
pub(super) struct Clock {
    seconds: u64,
}

impl Clock {
    /// `SOURCE_DATE_EPOCH`, as reproducible builds have it, else when the source was changed last.
    pub(super) fn of_the_source() -> Result<Self, String> {
        let said = if let Ok(said) = std::env::var("SOURCE_DATE_EPOCH") {
            said
        } else {
            let mut git = Command::new("git");
            let output = git.args(["log", "-1", "--format=%ct"]).current_dir(root()).output();
            let output = output.map_err(|error| format!("cannot run git: {error}"))?;
            String::from_utf8_lossy(&output.stdout).into_owned()
        };
        let seconds = said.trim().parse().map_err(|_| {
            "nothing says what time the files of a package have: set SOURCE_DATE_EPOCH to seconds since 1970"
        })?;
        Ok(Self { seconds })
    }

    /// Tells a program.
    pub(super) fn set(self, command: &mut Command) -> &mut Command {
        command.env("SOURCE_DATE_EPOCH", self.seconds.to_string())
    }

    pub(super) fn time(self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(self.seconds)
    }
}
