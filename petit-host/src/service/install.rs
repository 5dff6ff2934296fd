//! Makes this program a service of the system, and takes that back: for a program that no package has installed.
//!
//! A service that starts at boot must not run what a user can change, nor with the rights of whoever looks after the
//! system: the program is copied to where only root or administrators write, and runs with an account of its own.

#[cfg(windows)]
mod access;
#[cfg(any(target_os = "linux", windows))]
mod beside;
mod installed;
#[cfg(target_os = "linux")]
mod systemd;
#[cfg(windows)]
mod windows;

pub use self::installed::{Branding, Installed, Service, Uninstalled};
#[cfg(target_os = "linux")]
pub use self::systemd::{InstallError, install, uninstall};
#[cfg(windows)]
pub use self::windows::{InstallError, install, uninstall};
