//! With the service control manager of Windows: the program in the folder of programs, its config and state in that of
//! data, and an account that is its alone.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use petit_windows::{event_log, folders, security};
use windows_service::Error;
use windows_service::service::{
    Service as Registered, ServiceAccess, ServiceAction, ServiceActionType, ServiceErrorControl,
    ServiceFailureActions, ServiceFailureResetPeriod, ServiceInfo, ServiceStartType, ServiceType,
};
use windows_service::service_manager::{ServiceManager, ServiceManagerAccess};

use super::access;
use super::installed::{Installed, Service, Uninstalled};
use crate::files::{self, FileError, failed};
use crate::service;
use crate::service::manager::{self, ManagerError, Was};

/// How long the system waits at its end for the service to finish what is under way.
const SHUTDOWN_WITHIN: Duration = Duration::from_secs(60);
/// After how long a service that has failed is started anew: the first time, the second, and from then on.
const START_ANEW_AFTER: [Duration; 3] =
    [Duration::from_secs(1), Duration::from_secs(10), Duration::from_secs(60)];
/// After so long without a failure it is the first time again.
const FORGIVEN_AFTER: Duration = Duration::from_secs(24 * 60 * 60);
/// What is asked for is not known to this version of the system (ERROR_INVALID_LEVEL). Wine's knows less than Windows'.
const UNKNOWN_LEVEL: i32 = 124;

/// Why nothing was installed or removed.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    #[error("{unit} is not there")]
    NotThere { unit: String },
    /// A service at boot would run what somebody else has put there.
    #[error("{} can be changed by others than administrators ({who})", path.display())]
    OthersWrite { path: PathBuf, who: String },
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Manager(#[from] ManagerError),
}

impl InstallError {
    /// What to do next.
    pub fn hint(&self, service: &Service) -> Option<String> {
        let Service { program, name, .. } = service;
        Some(match self {
            Self::NotThere { .. } | Self::Manager(ManagerError::NotThere(_)) => {
                format!("install it with: {program} install")
            }
            Self::OthersWrite { path, .. } if path.is_dir() => {
                "somebody else may have made it: look at what is in it, then move it away".to_owned()
            }
            Self::OthersWrite { .. } => {
                "put the program where only administrators write, such as a new folder in that of programs, and install that"
                    .to_owned()
            }
            Self::Manager(ManagerError::NotAdministrator) => {
                format!("open a terminal as administrator, and type: {program} install")
            }
            Self::Manager(ManagerError::Ended { .. } | ManagerError::Late { .. }) => {
                format!("see what happened with: {program} logs, or in the event log under {}", service::unit(name))
            }
            Self::File(_) | Self::Manager(ManagerError::Refused(_)) => return None,
        })
    }
}

/// Where the program is copied to.
fn program_of(service: &Service) -> Result<PathBuf, InstallError> {
    let programs = folders::programs().map_err(failed("find", Path::new("the folder of programs")))?;
    Ok(programs.join("Petit").join(format!("{}.exe", service.program)))
}

/// Makes a service of the running program: copies it, makes its folders and a config where there is none, registers and
/// starts it. One that is there is brought to this version; it is away for the moment between its end and the new start.
///
/// # Errors
/// [`InstallError`].
pub fn install(service: &Service) -> Result<Installed, InstallError> {
    let manager = manager::open(ServiceManagerAccess::CONNECT | ServiceManagerAccess::CREATE_SERVICE)?;
    let source = std::env::current_exe().map_err(failed("find", Path::new(service.program)))?;
    let (program, unit) = (program_of(service)?, service::unit(service.name));
    let config = service::config_file(service.name);
    if source != program {
        check_only_administrators_write(&source)?;
    }
    make_folders(service, &config, &unit)?;
    if !config.exists() {
        files::write_public(&config, service.config.as_bytes())?;
    }
    let new = (source != program).then(|| put_beside(&source, &program)).transpose()?;
    let before = manager::service(&manager, &unit, ServiceAccess::ALL_ACCESS)?;
    // Nothing is left to do but what can be taken back.
    let was = before.as_ref().map_or(Ok(Was::Stopped), |before| manager::stop_it(before, &unit))?;
    let placed = new.map_or(Ok(()), |new| fs::rename(&new, &program).map_err(failed("write", &program)));
    let made = placed.map_err(InstallError::from).and_then(|()| {
        let info = info(service, &unit, &program, &config);
        let registered = register(&manager, before.as_ref(), &info)?;
        set_up(&registered, service)?;
        event_log::register(&unit, &program).map_err(failed("register", Path::new(&unit)))?;
        Ok(registered)
    });
    match made {
        Ok(registered) if (service.is_set_up)(&config) => drop(manager::start_it(&registered, &unit)?),
        Ok(_) => {}
        Err(error) => {
            if let (Some(before), Was::Running) = (&before, was) {
                let _ = manager::start_it(before, &unit); // as it was
            }
            return Err(error);
        }
    }
    Ok(Installed { program, unit, config, restarted: was == Was::Running })
}

/// Stops the service and removes what [`install`] has made. Config and state stay.
///
/// # Errors
/// [`InstallError`].
pub fn uninstall(service: &Service) -> Result<Uninstalled, InstallError> {
    let unit = service::unit(service.name);
    let manager = manager::open(ServiceManagerAccess::CONNECT | ServiceManagerAccess::CREATE_SERVICE)?;
    let Some(registered) = manager::service(&manager, &unit, ServiceAccess::ALL_ACCESS)? else {
        return Err(InstallError::NotThere { unit });
    };
    manager::stop_it(&registered, &unit)?;
    registered.delete().map_err(ManagerError::from)?;
    // What is not there is gone.
    let _ = event_log::unregister(&unit);
    let program = program_of(service)?;
    let (mut removed, mut kept) = (Vec::new(), Vec::new());
    match fs::remove_file(&program) {
        Ok(()) => removed.push(program.clone()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        // A program that runs cannot be removed, and this may be it.
        Err(_) if std::env::current_exe().is_ok_and(|this| this == program) => kept.push(program.clone()),
        Err(error) => return Err(failed("remove", &program)(error).into()),
    }
    let _ = program.parent().map(fs::remove_dir); // unless the other program is in it
    kept.extend([service::config_file(service.name), service::state_folder(service.name)]);
    kept.retain(|path| path.exists());
    Ok(Uninstalled { unit, removed, kept, instead: None })
}

/// Refuses a program that anybody but an administrator could change or put another one in the place of: the copy of an
/// installer for one user, for one.
fn check_only_administrators_write(program: &Path) -> Result<(), InstallError> {
    match access::who_else_changes(program).map_err(failed("look at", program))? {
        Some(who) => Err(InstallError::OthersWrite { path: program.to_owned(), who }),
        None => Ok(()),
    }
}

/// Copies a program beside its place, from where it is put there in one step; the folder's access list is that of all
/// programs. Returns where it is.
fn put_beside(from: &Path, to: &Path) -> Result<PathBuf, InstallError> {
    let new = to.with_extension("new");
    let folder = to.parent().unwrap_or(Path::new(r"C:\"));
    fs::create_dir_all(folder).map_err(failed("make", folder))?;
    check_folder(folder)?;
    fs::copy(from, &new).map_err(failed("copy", from))?;
    Ok(new)
}

fn check_folder(folder: &Path) -> Result<(), InstallError> {
    match access::who_else_changes_folder(folder).map_err(failed("look at", folder))? {
        Some(who) => Err(InstallError::OthersWrite { path: folder.to_owned(), who }),
        None => Ok(()),
    }
}

/// Makes the folder of configs, which everybody may read, and that of the service's state, which nobody may but the service
/// and administrators. Everybody may make folders in that of data, so what somebody else has made there is not taken.
fn make_folders(service: &Service, config: &Path, unit: &str) -> Result<(), InstallError> {
    const ADMINISTRATORS: &str = "D:P(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)";
    let account = account_id(unit);
    let state = service::state_folder(service.name);
    let configs = config.parent().unwrap_or(Path::new(r"C:\"));
    for (folder, access) in [
        (configs, format!("{ADMINISTRATORS}(A;OICI;0x1200a9;;;BU)")),
        (state.as_path(), format!("{ADMINISTRATORS}(A;OICI;0x1301bf;;;{account})")),
    ] {
        if folder.exists() && folder == configs {
            check_folder(folder)?;
        }
        security::make_folder(folder, &access).map_err(failed("make", folder))?;
    }
    Ok(())
}

/// The account of a service, which nobody can log in with, and which exists because the service does.
fn account(unit: &str) -> String {
    format!(r"NT SERVICE\{unit}")
}

/// Its security identifier, which follows from the service's name ("Service SID": the SHA-1 of the name in capitals).
fn account_id(unit: &str) -> String {
    let name: Vec<u8> = unit.to_uppercase().encode_utf16().flat_map(u16::to_le_bytes).collect();
    let hash = digest(&SHA1_FOR_LEGACY_USE_ONLY, &name);
    let parts =
        hash.as_ref().chunks_exact(4).filter_map(|part| Some(u32::from_le_bytes(part.try_into().ok()?)));
    parts.fold("S-1-5-80".to_owned(), |id, part| format!("{id}-{part}"))
}

fn info(service: &Service, unit: &str, program: &Path, config: &Path) -> ServiceInfo {
    let arguments = ["run", "--service", "--config"].map(OsString::from);
    ServiceInfo {
        name: unit.into(),
        display_name: service.title.into(),
        service_type: ServiceType::OWN_PROCESS,
        start_type: ServiceStartType::AutoStart,
        error_control: ServiceErrorControl::Normal,
        executable_path: program.to_owned(),
        launch_arguments: arguments.into_iter().chain([config.into()]).collect(),
        dependencies: Vec::new(),
        account_name: Some(account(unit).into()),
        account_password: None,
    }
}

/// Registers the service; one that is there is brought to what is to be registered.
fn register(
    manager: &ServiceManager,
    before: Option<&Registered>,
    info: &ServiceInfo,
) -> Result<Registered, ManagerError> {
    Ok(match before {
        Some(before) => {
            before.change_config(info)?;
            manager.open_service(&info.name, ServiceAccess::ALL_ACCESS)?
        }
        None => manager.create_service(info, ServiceAccess::ALL_ACCESS)?,
    })
}

/// What the manager does with it later.
fn set_up(registered: &Registered, service: &Service) -> Result<(), InstallError> {
    let actions =
        START_ANEW_AFTER.map(|delay| ServiceAction { action_type: ServiceActionType::Restart, delay });
    let recovery = ServiceFailureActions {
        reset_period: ServiceFailureResetPeriod::After(FORGIVEN_AFTER),
        reboot_msg: None,
        command: None,
        actions: Some(actions.to_vec()),
    };
    for done in [
        registered.set_description(service.about),
        registered.update_failure_actions(recovery),
        // An end with an exit code is a failure too.
        registered.set_failure_actions_on_non_crash_failures(true),
        registered.set_preshutdown_timeout(SHUTDOWN_WITHIN),
    ] {
        match done {
            Err(Error::Winapi(error)) if error.raw_os_error() == Some(UNKNOWN_LEVEL) => {}
            done => done.map_err(ManagerError::from)?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_account_of_a_service_is_known_as_windows_knows_it() {
        // The one whose identifier is written down everywhere.
        let installer = "S-1-5-80-956008885-3418522649-1831038044-1853292631-2271478464";
        assert_eq!(account_id("TrustedInstaller"), installer);
        assert_eq!(account("petit-client"), r"NT SERVICE\petit-client");
    }
}
