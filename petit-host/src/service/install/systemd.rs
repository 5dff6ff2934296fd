//! With systemd: the program, its units, and a link by which it can be typed.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::copied::{self, CopyError};
use super::installed::{Installed, Service, Uninstalled};
use crate::files::{self, FileError};
use crate::service;

/// Why nothing was installed or removed.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    #[error("only root can make a service of the system")]
    NotRoot,
    #[error("this system is not run by systemd")]
    NoSystemd,
    #[error("{} was installed by a package, which sees to the service", .0.display())]
    Packaged(PathBuf),
    #[error("{unit} is not there")]
    NotThere { unit: &'static str },
    #[error(transparent)]
    Copy(#[from] CopyError),
    #[error(transparent)]
    File(#[from] FileError),
    /// It runs with what it has read before, and would not start again.
    #[error("{0}")]
    Config(String),
    #[error("systemctl {0} failed")]
    Systemctl(String),
}

impl InstallError {
    /// What to do next.
    pub fn hint(&self, service: &Service) -> Option<String> {
        let program = service.program;
        Some(match self {
            Self::NotRoot => format!("type: sudo {program} install"),
            Self::NoSystemd => format!("have what starts services here run: {program} run"),
            Self::Packaged(_) => {
                format!("start it with: {program} start; remove it with the package manager")
            }
            Self::NotThere { .. } => format!("install it with: {program} install"),
            Self::Config(_) => format!("nothing was changed; mend it, then type: {program} install"),
            Self::Copy(error) => return error.hint(service),
            Self::File(_) => return None,
            Self::Systemctl(_) => {
                format!("see what happened with: journalctl --unit {}", service::unit(service.name))
            }
        })
    }
}

/// Makes a service of the running program: copies it, writes its units and a config where there is none, enables and
/// starts it. One that is there is brought to this version, and hands over.
///
/// # Errors
/// [`InstallError`].
pub fn install(service: &Service) -> Result<Installed, InstallError> {
    may()?;
    if let Some(packaged) = service::packaged(service.name) {
        return Err(InstallError::Packaged(packaged));
    }
    let (config, unit) = (service::config_file(service.name), service::unit(service.name));
    let ran = service::systemctl("is-active", &["--quiet", &unit]).is_ok_and(|status| status.success());
    if ran {
        (service.check)(&config).map_err(InstallError::Config)?;
    }
    let program = copied::put_running(service)?;
    if !config.exists() {
        copied::write(&config, &(service.config)())?;
    }
    for (name, text) in service.units {
        let installed =
            text.replace(&format!("/usr/bin/{}", service.program), &program.display().to_string());
        copied::write(&Path::new(service::UNITS).join(name), &installed)?;
    }
    systemctl("daemon-reload", &[])?;
    systemctl("enable", &["--quiet", &unit])?;
    if ran {
        // No request fails. Where that is not possible it is stopped and started.
        let handed_over = Command::new(&program).arg("restart").arg("--config").arg(&config).status();
        if !handed_over.is_ok_and(|status| status.success()) {
            systemctl("restart", &[&unit])?;
        }
    } else {
        systemctl("start", &[&unit])?;
    }
    // Enabled, they wait for the next boot otherwise.
    let timers = service.units.iter().map(|(name, _)| *name).filter(|name| name.ends_with(".timer"));
    for timer in timers {
        systemctl("start", &[timer])?;
    }
    Ok(Installed { program, unit, config, restarted: ran })
}

/// Stops the service and removes what [`install`] has made. Config and state stay. Where a package has come later, its
/// service takes the place.
///
/// # Errors
/// [`InstallError`].
pub fn uninstall(service: &Service) -> Result<Uninstalled, InstallError> {
    may()?;
    let instead = service::packaged(service.name);
    let unit = service::unit(service.name);
    let units = service.units.iter().map(|(name, _)| (*name, Path::new(service::UNITS).join(name)));
    let there: Vec<(&str, PathBuf)> = units.filter(|(_, path)| path.exists()).collect();
    let Some((first, _)) = service.units.first() else { return Err(InstallError::NotThere { unit: "" }) };
    if !there.iter().any(|(name, _)| name == first) {
        return Err(instead.map_or(InstallError::NotThere { unit: first }, InstallError::Packaged));
    }
    let ran = service::systemctl("is-active", &["--quiet", first]).is_ok_and(|status| status.success());
    for (name, _) in &there {
        // One that cannot be enabled by itself is only stopped.
        let _ = service::systemctl("disable", &["--quiet", name]);
    }
    // In one go, sockets first: one that still listens would start its service again.
    let (sockets, others): (Vec<&str>, Vec<&str>) =
        there.iter().map(|(name, _)| *name).partition(|name| name.ends_with(".socket"));
    systemctl("stop", &[sockets, others].concat())?;
    let units = there.into_iter().map(|(_, path)| path);
    let removed = copied::remove(service, units.chain(copied::to_remove(service)).collect())?;
    systemctl("daemon-reload", &[])?;
    if instead.is_some() {
        for (name, _) in service.units {
            // One that cannot be enabled by itself is there all the same.
            let _ = service::systemctl("enable", &["--quiet", name]);
        }
        let timers = service.units.iter().map(|(name, _)| *name).filter(|name| name.ends_with(".timer"));
        for unit in timers.chain(ran.then_some(*first)) {
            systemctl("start", &[unit])?;
        }
    }
    let kept = [service::config_file(service.name), service::state_folder(service.name)];
    let secrets = service.secrets.iter().map(|secret| service::credential_store(secret));
    let kept = kept.into_iter().chain(secrets).filter(|path| path.exists()).collect();
    Ok(Uninstalled { unit, removed, kept, instead })
}

fn may() -> Result<(), InstallError> {
    if !files::is_root() {
        return Err(InstallError::NotRoot);
    }
    // sd_booted(3)
    if !Path::new("/run/systemd/system").is_dir() {
        return Err(InstallError::NoSystemd);
    }
    Ok(())
}

fn systemctl(verb: &str, more: &[&str]) -> Result<(), InstallError> {
    match service::systemctl(verb, more) {
        Ok(status) if status.success() => Ok(()),
        Ok(_) | Err(_) => Err(InstallError::Systemctl([&[verb], more].concat().join(" "))),
    }
}
