//! What is made a service, and what that has come to.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// A program, and what makes it a service.
#[derive(Clone, Copy, Debug)]
pub struct Service {
    /// Such as `petit-server`.
    pub program: &'static str,
    /// What its files are called, such as `server`.
    pub name: &'static str,
    /// What people read in Windows' list of services.
    pub title: &'static str,
    /// A sentence for the same list.
    pub about: &'static str,
    pub branding: Branding,
    /// Its units of systemd: name and text, the one that is enabled and started first.
    pub units: &'static [(&'static str, &'static str)],
    /// Its secrets in root's store, where systemd hands them in.
    pub secrets: &'static [&'static str],
    /// What stands in a config file that is not there yet.
    pub config: fn() -> String,
    /// Whether it can run with this config file already. systemd asks that itself, by the unit's conditions.
    pub is_set_up: fn(&Path) -> bool,
    /// What is wrong with this config file: a service that runs is not replaced by one that would not start.
    pub check: fn(&Path) -> Result<(), String>,
}

/// Whether a program may be a vendor's own (`crate::brand`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Branding {
    /// It is Petit's, whatever lies beside it.
    None,
    ByFile,
}

/// What `install` has made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Installed {
    pub program: PathBuf,
    pub unit: String,
    pub config: PathBuf,
    /// It was there, and ran, and another process has taken over.
    pub restarted: bool,
}

/// What `uninstall` has left.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Uninstalled {
    pub unit: String,
    pub removed: Vec<PathBuf>,
    /// Config and state, which nobody has asked to lose.
    pub kept: Vec<PathBuf>,
    /// The unit of a package, which counts from now on.
    pub instead: Option<PathBuf>,
}
