//! With systemd: the program, its units, and a link by which it can be typed.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::beside;
use super::installed::{Installed, Service, Uninstalled};
use crate::brand::BrandError;
use crate::files::{self, FileError, failed};
use crate::service;

/// Where the copy goes.
const PROGRAMS: &str = "/usr/local/lib/petit";
/// From where it can be typed.
const COMMANDS: &str = "/usr/local/bin";

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
    /// A service at boot would run what somebody else has put there.
    #[error("{} can be changed by users other than root", .0.display())]
    OthersWrite(PathBuf),
    #[error("{} is {brand}'s", program.display())]
    OtherBrand { program: PathBuf, brand: String },
    #[error(transparent)]
    Brand(#[from] BrandError),
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
            Self::OthersWrite(path) if path.is_dir() => {
                format!(
                    "leave it, and the folders on the way to it, to root: chown root {0}; chmod go-w {0}",
                    path.display()
                )
            }
            Self::OthersWrite(path) => {
                format!(
                    "put it where only root writes, and install that: install {} /usr/local/bin",
                    path.display()
                )
            }
            Self::Config(_) => format!("nothing was changed; mend it, then type: {program} install"),
            Self::OtherBrand { .. } => {
                format!("a computer has one such service; take that one away first: {program} uninstall")
            }
            Self::Brand(_) | Self::File(_) => return None,
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
    let source = std::env::current_exe().map_err(failed("find", Path::new(service.program)))?;
    let program = Path::new(PROGRAMS).join(service.program);
    if source != program {
        put_all(service, &source, &program)?;
    }
    let command = Path::new(COMMANDS).join(service.program);
    if fs::symlink_metadata(&command).is_err() {
        symlink(&program, &command).map_err(failed("write", &command))?;
    }
    if !config.exists() {
        write(&config, &(service.config)())?;
    }
    for (name, text) in service.units {
        let installed =
            text.replace(&format!("/usr/bin/{}", service.program), &program.display().to_string());
        write(&Path::new(service::UNITS).join(name), &installed)?;
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
    let mut removed = Vec::new();
    let program = Path::new(PROGRAMS).join(service.program);
    let command = Path::new(COMMANDS).join(service.program);
    let is_ours = fs::read_link(&command).is_ok_and(|to| to == program);
    let mut paths: Vec<PathBuf> = there.into_iter().map(|(_, path)| path).collect();
    paths.push(program.clone());
    paths.extend(is_ours.then_some(command));
    let mut remove = |path: PathBuf| match fs::remove_file(&path) {
        Ok(()) => {
            removed.push(path);
            Ok(())
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(InstallError::from(failed("remove", &path)(error))),
    };
    paths.into_iter().try_for_each(&mut remove)?;
    beside::to_remove(service, &program).into_iter().try_for_each(&mut remove)?;
    let _ = fs::remove_dir(PROGRAMS); // unless the other program is in it
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

/// Refuses a program that anybody but root could change or put another one in the place of; or a folder.
fn check_only_root_writes(path: &Path) -> Result<(), InstallError> {
    let whole = fs::canonicalize(path).map_err(failed("look at", path))?;
    for path in whole.ancestors() {
        let found = fs::metadata(path).map_err(failed("look at", path))?;
        if found.uid() != 0 || found.mode() & 0o022 != 0 {
            // The folder that it is about, where it is one: a program lies in it.
            let of = if whole.is_dir() { path.to_owned() } else { whole };
            return Err(InstallError::OthersWrite(of));
        }
    }
    Ok(())
}

/// Copies a program, and what lies beside it.
fn put_all(service: &Service, source: &Path, program: &Path) -> Result<(), InstallError> {
    if let Some(brand) = beside::other_brand(service, program)? {
        return Err(InstallError::OtherBrand { program: program.to_owned(), brand });
    }
    let with_it = beside::files(service, source);
    for file in std::iter::once(source).chain(with_it.iter().map(PathBuf::as_path)) {
        check_only_root_writes(file)?;
    }
    if let Some(left) = beside::left_over(service, source, program) {
        files::remove(&left)?;
    }
    for file in &with_it {
        put(file, &program.with_file_name(file.file_name().unwrap_or_default()), 0o644)?;
    }
    put(source, program, 0o755)
}

/// Copies a file; a program that runs goes on with what it was.
fn put(from: &Path, to: &Path, mode: u32) -> Result<(), InstallError> {
    let new = to.with_extension("new");
    let folder = to.parent().unwrap_or(Path::new("/"));
    make_folder(folder)?;
    // Somebody else may have made it: others than root may write in /usr/local on some systems.
    check_only_root_writes(folder)?;
    fs::copy(from, &new).map_err(failed("copy", from))?;
    fs::set_permissions(&new, fs::Permissions::from_mode(mode)).map_err(failed("write", &new))?;
    fs::rename(&new, to).map_err(failed("write", to))?;
    Ok(())
}

/// Makes a folder that the service's own user can enter, whatever root's umask is.
fn make_folder(folder: &Path) -> Result<(), InstallError> {
    if !folder.exists() {
        fs::create_dir_all(folder).map_err(failed("make", folder))?;
        fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).map_err(failed("make", folder))?;
    }
    Ok(())
}

/// Writes what everybody may read.
fn write(path: &Path, text: &str) -> Result<(), InstallError> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    make_folder(folder)?;
    files::write_public(path, text.as_bytes())?;
    Ok(())
}

fn systemctl(verb: &str, more: &[&str]) -> Result<(), InstallError> {
    match service::systemctl(verb, more) {
        Ok(status) if status.success() => Ok(()),
        Ok(_) | Err(_) => Err(InstallError::Systemctl([&[verb], more].concat().join(" "))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_user_could_change_is_no_service() {
        check_only_root_writes(Path::new("/bin/sh")).unwrap();
        // Whoever owns it: others put files into the folder above.
        let dir = tempfile::tempdir_in("/tmp").unwrap();
        let program = dir.path().join("petit-server");
        fs::write(&program, "").unwrap();
        assert!(matches!(check_only_root_writes(&program), Err(InstallError::OthersWrite(_))));
    }
}
