//! Makes this program a service of the system, and takes that back: for a program that no package has installed.
//!
//! A service that starts at boot must not run what a user can change, nor with the rights of whoever looks after the
//! system: the program is copied to where only root or administrators write, and runs with an account of its own.

#[cfg(windows)]
mod access;
#[cfg(any(target_os = "macos", all(test, unix)))]
#[cfg_attr(not(target_os = "macos"), expect(dead_code, reason = "what asks the system is for a Mac alone"))]
mod account;
mod beside;
#[cfg(unix)]
mod copied;
#[cfg(any(target_os = "macos", all(test, unix)))]
#[cfg_attr(not(target_os = "macos"), expect(dead_code, reason = "what asks the system is for a Mac alone"))]
mod daemon;
mod installed;
#[cfg(target_os = "macos")]
mod launchd;
#[cfg(target_os = "linux")]
mod systemd;
#[cfg(windows)]
mod windows;

pub use self::installed::{Branding, Installed, Service, Uninstalled};
#[cfg(target_os = "macos")]
pub use self::launchd::{InstallError, install, uninstall};

/// The file by which launchd knows a service. `name`: what its files are called.
#[cfg(target_os = "macos")]
pub(super) fn description(name: &str) -> std::path::PathBuf {
    daemon::file(name)
}

#[cfg(target_os = "linux")]
pub use self::systemd::{InstallError, install, uninstall};
#[cfg(windows)]
pub use self::windows::{InstallError, install, uninstall};
