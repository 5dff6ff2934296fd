//! What everything that is handed out has in common: how it is compiled, and at what time it was made.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use petit_host::update::Roots;

use crate::run::{Outcome, root};

/// How programs are compiled, and so how hard what they are in is pressed.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Build {
    Release,
    /// As the tests use them.
    Debug,
}

impl Build {
    /// Tells cargo; returns the folder that it puts the programs into.
    pub(crate) fn set(self, cargo: &mut Command) -> &'static str {
        if self == Self::Release {
            cargo.arg("--release");
        }
        self.folder()
    }

    /// The folder that cargo puts such programs into.
    pub(crate) fn folder(self) -> &'static str {
        match self {
            Self::Release => "release",
            Self::Debug => "debug",
        }
    }
}

/// A file with the public halves of the root keys, by which programs know what they may update themselves to.
#[derive(Clone)]
pub(crate) struct RootKeys(PathBuf);

impl RootKeys {
    /// Looks at it: a program that is handed out with another file would be told of nothing.
    pub(crate) fn read(file: &Path) -> Result<Self, String> {
        let text = fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
        Roots::parse(&text).map_err(|error| format!("{}: {error}", file.display()))?;
        Ok(Self(file.to_owned()))
    }

    pub(crate) fn file(&self) -> &Path {
        &self.0
    }
}

/// Copies a file that is to be handed out.
pub(crate) fn copy(from: &Path, to: &Path) -> Outcome {
    fs::copy(from, to).map(drop).map_err(|error| format!("cannot copy {}: {error}", from.display()))
}

/// Packages are made where there is dpkg-deb.
#[cfg(unix)]
pub(crate) fn set_mode(path: &Path, mode: u32) -> std::io::Result<()> {
    fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode))
}

#[cfg(not(unix))]
pub(crate) fn set_mode(_: &Path, _: u32) -> std::io::Result<()> {
    Ok(())
}

/// The time that everything in a package, an image or an installer has: the same source gives the same bytes.
#[derive(Clone, Copy)]
pub(crate) struct Clock {
    seconds: u64,
}

impl Clock {
    /// `SOURCE_DATE_EPOCH`, as reproducible builds have it, else when the source was changed last.
    pub(crate) fn of_the_source() -> Result<Self, String> {
        let said = match std::env::var("SOURCE_DATE_EPOCH") {
            Ok(said) => Some(said),
            Err(_) => said_by_git(&["log", "-1", "--format=%ct"]),
        };
        let seconds = said.and_then(|said| said.trim().parse().ok()).ok_or(
            "nothing says what time the files have that are made: set SOURCE_DATE_EPOCH to seconds since 1970",
        )?;
        Ok(Self { seconds })
    }

    /// In seconds since 1970.
    pub(crate) fn seconds(self) -> u64 {
        self.seconds
    }

    pub(crate) fn time(self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(self.seconds)
    }

    /// Tells a program.
    pub(crate) fn set(self, command: &mut Command) -> &mut Command {
        command.env("SOURCE_DATE_EPOCH", self.seconds.to_string())
    }
}

/// The commit that is checked out; `None` where this is no checkout.
pub(crate) fn revision() -> Option<String> {
    said_by_git(&["rev-parse", "HEAD"])
}

fn said_by_git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").arg("-C").arg(root()).args(arguments).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
