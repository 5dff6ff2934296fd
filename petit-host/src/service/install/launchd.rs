//! With launchd, which runs the client of a Mac from boot on: the program, the description that launchd reads, an account
//! that is the service's alone, and its state folder.
//!
//! No Mac has run it yet: see `docs/manual-checks.md`.

use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use super::account::{self, Account};
use super::copied::{self, CopyError};
use super::daemon::{self, domain};
use super::installed::{Installed, Service, Uninstalled};
use crate::files::{self, FileError, failed};
use crate::service;

/// Why nothing was installed or removed.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    #[error("only root can make a service of the system")]
    NotRoot,
    #[error("{unit} is not there")]
    NotThere { unit: String },
    /// It runs with what it has read before, and would not start again.
    #[error("{0}")]
    Config(String),
    #[error("no account can be made for the service: {0}")]
    Account(String),
    #[error(transparent)]
    Copy(#[from] CopyError),
    #[error(transparent)]
    File(#[from] FileError),
    #[error("launchctl {0} failed")]
    Launchctl(String),
}

impl InstallError {
    /// What to do next.
    pub fn hint(&self, service: &Service) -> Option<String> {
        let program = service.program;
        Some(match self {
            Self::NotRoot => format!("type: sudo {program} install"),
            Self::NotThere { .. } => format!("install it with: sudo {program} install"),
            Self::Config(_) => format!("nothing was changed; mend it, then type: sudo {program} install"),
            Self::Copy(error) => return error.hint(service),
            Self::Account(_) | Self::File(_) => return None,
            Self::Launchctl(_) => {
                format!("see what it says of the service: launchctl print {}", domain(service.name))
            }
        })
    }
}

/// Makes a service of the running program: copies it, makes its account, its state folder, its description and a config
/// where there is none, and starts it. One that is there is brought to this version, and hands over.
///
/// # Errors
/// [`InstallError`].
pub fn install(service: &Service) -> Result<Installed, InstallError> {
    may()?;
    let (config, unit) = (service::config_file(service.name), service::unit(service.name));
    let ran = is_loaded(service);
    if ran {
        (service.check)(&config).map_err(InstallError::Config)?;
    }
    let account = account::find_or_make(service).map_err(InstallError::Account)?;
    make_state_folder(service, &account)?;
    let program = copied::put_running(service)?;
    if !config.exists() {
        copied::write(&config, &(service.config)())?;
    }
    let description = daemon::file(service.name);
    let text = daemon::text(service, &account.name, &program);
    let is_as_before = fs::read_to_string(&description).is_ok_and(|before| before == text);
    copied::write(&description, &text)?;
    // No request fails. Where that is not possible it is stopped and started.
    let hands_over = || {
        let restart = Command::new(&program).arg("restart").arg("--config").arg(&config).status();
        restart.is_ok_and(|status| status.success())
    };
    if !(ran && is_as_before && hands_over()) {
        if ran {
            launchctl(&["bootout", &domain(service.name)])?;
        }
        // Somebody may have switched it off, and would wait for it in vain.
        launchctl(&["enable", &domain(service.name)])?;
        launchctl(&["bootstrap", daemon::SYSTEM, &description.to_string_lossy()])?;
    }
    Ok(Installed { program, unit, config, restarted: ran })
}

/// Stops the service and removes what [`install`] has made. Config and state stay, and so does the account, which the
/// state belongs to.
///
/// # Errors
/// [`InstallError`].
pub fn uninstall(service: &Service) -> Result<Uninstalled, InstallError> {
    may()?;
    let unit = service::unit(service.name);
    let description = daemon::file(service.name);
    if !description.exists() {
        return Err(InstallError::NotThere { unit });
    }
    if is_loaded(service) {
        launchctl(&["bootout", &domain(service.name)])?;
    }
    let paths = [description].into_iter().chain(copied::to_remove(service));
    let removed = copied::remove(service, paths.collect())?;
    let kept = [service::config_file(service.name), service::state_folder(service.name)];
    let kept = kept.into_iter().filter(|path| path.exists()).collect();
    Ok(Uninstalled { unit, removed, kept, instead: None })
}

fn may() -> Result<(), InstallError> {
    if files::is_root() { Ok(()) } else { Err(InstallError::NotRoot) }
}

/// Its folder, which nobody else enters. What is in one that is there belongs to the account already.
fn make_state_folder(service: &Service, account: &Account) -> Result<(), InstallError> {
    let folder: PathBuf = service::state_folder(service.name);
    let make = |error| failed("make", &folder)(error);
    match fs::create_dir(&folder) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
        Err(error) => return Err(make(error).into()),
    }
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o700))
        .and_then(|()| chown(&folder, Some(account.id), Some(account.id)))
        .map_err(make)?;
    Ok(())
}

/// True where launchd knows it, whether it runs or waits to be started anew.
fn is_loaded(service: &Service) -> bool {
    let mut ask = Command::new("launchctl");
    ask.arg("print").arg(domain(service.name)).stdout(Stdio::null()).stderr(Stdio::null());
    ask.status().is_ok_and(|status| status.success())
}

fn launchctl(words: &[&str]) -> Result<(), InstallError> {
    match service::launchctl(words) {
        Ok(status) if status.success() => Ok(()),
        Ok(_) | Err(_) => Err(InstallError::Launchctl(words.join(" "))),
    }
}
