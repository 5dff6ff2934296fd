//! What packages are made of, and for what.

use std::path::Path;

use crate::made::{Build, Clock, RootKeys};

/// The other processor that there are packages for.
pub(super) const ARM64: &str = "aarch64-unknown-linux-gnu";

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

    /// What the compiler calls it, and the system with it.
    pub(super) fn triple(self) -> &'static str {
        match self {
            Self::Amd64 => "x86_64-unknown-linux-gnu",
            Self::Arm64 => ARM64,
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
    /// By which the programs know their updates, where they are to.
    pub(super) roots: Option<&'a RootKeys>,
    pub(super) build: Build,
    pub(super) architecture: Architecture,
    pub(super) clock: Clock,
    /// As Semantic Versioning has it.
    pub(super) version: &'a str,
}

impl Making<'_> {
    /// As package managers sort versions: what comes before a release is older.
    pub(super) fn package_version(&self) -> String {
        self.version.replace('-', "~")
    }
}

/// Whose package manager it is for.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Flavour {
    Deb,
    Rpm,
}
