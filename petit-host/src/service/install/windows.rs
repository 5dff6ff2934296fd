//! With the service control manager of Windows: the program in the folder of programs, its config and state in that of
//! data, and an account that is its alone.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use petit_windows::{event_log, folders, privileges, security};
use windows_service::Error;
use windows_service::service::{
    Service as Registered, ServiceAccess, ServiceAction, ServiceActionType, ServiceErrorControl,
    ServiceFailureActions, ServiceFailureResetPeriod, ServiceInfo, ServiceStartType, ServiceType,
};
use windows_service::service_manager::{ServiceManager, ServiceManagerAccess};

use super::access::{self, Kind};
use super::beside::{self, PlaceError};
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
    /// It runs with what it has read before, and would not start again.
    #[error("{0}")]
    Config(String),
    #[error("{0}; what was installed before is in its place again, and runs")]
    TakenBack(Box<InstallError>),
    #[error(transparent)]
    Place(#[from] PlaceError),
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
            Self::Config(_) => format!("nothing was changed; mend it, then type: {program} install"),
            Self::TakenBack(error) => return error.hint(service),
            Self::Place(error) => return error.hint(service),
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
    let is_in_place = service::is_same(&source, &program);
    let with_it = if is_in_place { Vec::new() } else { beside::files(service, &source) };
    if !is_in_place {
        beside::check_place(service, &program)?;
    }
    for file in std::iter::once(&source).chain(&with_it) {
        check_only_administrators_write(file)?;
    }
    make_folders(service, &config)?;
    if config.exists() {
        // Its folder is looked at already; those above it take files from everybody, and keep them apart.
        let who = access::who_else_changes_itself(Kind::File, &config).map_err(failed("look at", &config))?;
        who.map_or(Ok(()), |who| Err(InstallError::OthersWrite { path: config.clone(), who }))?;
    } else {
        files::write_public(&config, (service.config)().as_bytes())?;
    }
    let before = manager::service(&manager, &unit, ServiceAccess::ALL_ACCESS)?;
    let ran = before.as_ref().map_or(Ok(false), manager::runs)?;
    if ran {
        (service.check)(&config).map_err(InstallError::Config)?;
    }
    let new = (!is_in_place).then(|| put_beside(&source, &program)).transpose()?;
    if let Some(left) = new.as_ref().and_then(|_| beside::left_over(service, &source, &program)) {
        files::remove(&left)?;
    }
    for file in &with_it {
        let to = program.with_file_name(file.file_name().unwrap_or_default());
        fs::rename(put_beside(file, &to)?, &to).map_err(failed("write", &to))?;
    }
    // Nothing is left to do but what can be taken back.
    let replacing = Replacing { manager: &manager, service, before: before.as_ref(), unit: &unit };
    match replacing.run(new.as_deref(), &program, &config) {
        Ok(()) => Ok(Installed { program, unit, config, restarted: ran }),
        Err(error) => {
            let runs_again =
                ran && before.as_ref().is_some_and(|before| manager::start_it(before, &unit).is_ok());
            Err(if runs_again { InstallError::TakenBack(Box::new(error)) } else { error })
        }
    }
}

/// A service on its way to another version, or one that is new.
struct Replacing<'a> {
    manager: &'a ServiceManager,
    service: &'a Service,
    before: Option<&'a Registered>,
    unit: &'a str,
}

impl Replacing<'_> {
    /// Where it fails, the program that was there is in its place again, and is not started.
    fn run(&self, new: Option<&Path>, program: &Path, config: &Path) -> Result<(), InstallError> {
        let Self { manager, service, before, unit } = self;
        before.map_or(Ok(Was::Stopped), |before| manager::stop_it(before, unit))?;
        let replaced = new.map(|new| Replaced::by(new, program)).transpose()?;
        let made = || {
            let registered = register(manager, *before, &info(service, unit, program, config))?;
            set_up(&registered, service)?;
            event_log::register(unit, program).map_err(failed("register", Path::new(unit)))?;
            if (service.is_set_up)(config) {
                manager::start_it(&registered, unit)?;
            }
            Ok(())
        };
        match (made(), before) {
            (Ok(()), _) => {
                replaced.map(Replaced::keep);
                Ok(())
            }
            (Err(error), Some(before)) => {
                // It would be started anew meanwhile.
                let _ = before.update_failure_actions(recovery(&[]));
                let _ = manager::stop_it(before, unit);
                replaced.map_or(Ok(()), Replaced::take_back)?;
                set_up(before, service)?;
                Err(error)
            }
            // There is nothing to go back to, and its log says why.
            (Err(error), None) => Err(error),
        }
    }
}

/// A program that another one has taken the place of. One that runs, or has not quite ended, can be renamed, but neither
/// replaced nor deleted.
struct Replaced {
    program: PathBuf,
    /// `None`: there was none.
    aside: Option<PathBuf>,
}

impl Replaced {
    fn by(new: &Path, program: &Path) -> Result<Self, InstallError> {
        let aside = program.with_extension("old");
        if !program.exists() && aside.exists() {
            // The computer has lost its power between the two renames below.
            fs::rename(&aside, program).map_err(failed("put back", program))?;
        }
        let was_there = program.exists();
        let this = Self { program: program.to_owned(), aside: was_there.then_some(aside.clone()) };
        if was_there {
            is_removed(&aside);
            fs::copy(program, &aside).map_err(failed("copy", program))?;
        }
        if fs::rename(new, program).is_ok() {
            return Ok(this);
        }
        is_removed(&aside);
        fs::rename(program, &aside).map_err(failed("put aside", program))?;
        match fs::rename(new, program) {
            Ok(()) => Ok(this),
            Err(error) => {
                let error = failed("write", program)(error);
                let _ = this.take_back();
                Err(error.into())
            }
        }
    }

    fn take_back(self) -> Result<(), InstallError> {
        let Some(aside) = self.aside else { return Ok(()) };
        let away = self.program.with_extension("bad");
        let _ = fs::rename(&self.program, &away);
        fs::rename(&aside, &self.program).map_err(failed("put back", &self.program))?;
        is_removed(&away);
        Ok(())
    }

    /// Where it has not quite ended, the next installation removes it.
    fn keep(self) {
        self.aside.map(|aside| is_removed(&aside));
    }
}

/// Removes a file, once the process that runs it has ended, which the service manager says a moment before: for 5 seconds.
/// False when it is still there.
fn is_removed(path: &Path) -> bool {
    (0..50).any(|_| match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            std::thread::sleep(Duration::from_millis(100));
            false
        }
        _ => true,
    })
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
    let is_there = program.exists();
    // A program that runs cannot be removed, and this may be it.
    let is_this = std::env::current_exe().is_ok_and(|this| service::is_same(&this, &program));
    if is_this || !is_removed(&program) {
        kept.push(program.clone());
    } else if is_there {
        removed.push(program.clone());
    }
    is_removed(&program.with_extension("old"));
    for file in beside::to_remove(service, &program) {
        if is_removed(&file) {
            removed.push(file);
        }
    }
    let _ = program.parent().map(fs::remove_dir); // unless the other program is in it
    kept.extend([service::config_file(service.name), service::state_folder(service.name)]);
    kept.retain(|path| path.exists());
    Ok(Uninstalled { unit, removed, kept, instead: None })
}

/// Refuses a file that anybody but an administrator could change or put another one in the place of: the copy of an
/// installer for one user, for one, as a program.
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
    match access::who_else_changes_itself(Kind::Folder, folder).map_err(failed("look at", folder))? {
        Some(who) => Err(InstallError::OthersWrite { path: folder.to_owned(), who }),
        None => Ok(()),
    }
}

/// Makes the folder of configs, and that of the service's state, which only the service and administrators reach. The other
/// service may read the first: whoever may open a file may hold it against those who are to write it. Everybody may make
/// folders in that of data, and links to folders, so what somebody else has made there is not taken.
fn make_folders(service: &Service, config: &Path) -> Result<(), InstallError> {
    let state = service::state_folder(service.name);
    let configs = config.parent().unwrap_or(Path::new(r"C:\"));
    for (folder, access) in [(configs, access_of_configs()), (state.as_path(), access_of_state(service.name))]
    {
        if security::make_folder(folder, &access).map_err(failed("make", folder))? {
            continue;
        }
        let found = fs::symlink_metadata(folder).map_err(failed("look at", folder))?;
        if !found.is_dir() {
            return Err(InstallError::OthersWrite {
                path: folder.to_owned(),
                who: "it is a link".to_owned(),
            });
        }
        if folder == configs {
            check_folder(folder)?;
        }
        security::give_access(folder, &access).map_err(failed("protect", folder))?;
    }
    Ok(())
}

/// Nobody but the system and administrators, by a list that takes nothing over from the folder above.
const ADMINISTRATORS: &str = "D:P(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)";

/// The services read their configs, and change none.
fn access_of_configs() -> String {
    let entries =
        ["client", "server"].map(|name| format!("(A;OICI;0x1200a9;;;{})", account_id(&service::unit(name))));
    format!("{ADMINISTRATORS}{}", entries.concat())
}

/// A service's state is its own.
fn access_of_state(name: &str) -> String {
    format!("{ADMINISTRATORS}(A;OICI;0x1301bf;;;{})", account_id(&service::unit(name)))
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

/// When a service that has failed is started anew.
fn recovery(after: &[Duration]) -> ServiceFailureActions {
    let action = |delay: &Duration| ServiceAction { action_type: ServiceActionType::Restart, delay: *delay };
    ServiceFailureActions {
        reset_period: ServiceFailureResetPeriod::After(FORGIVEN_AFTER),
        reboot_msg: None,
        command: None,
        actions: Some(after.iter().map(action).collect()),
    }
}

/// What the manager does with it later.
fn set_up(registered: &Registered, service: &Service) -> Result<(), InstallError> {
    // Every user has it: on the way to a file, folders are passed that may not be listed.
    let privileges = privileges::leave(registered, &["SeChangeNotifyPrivilege"]).map_err(Error::Winapi);
    for done in [
        privileges,
        registered.set_description(service.about),
        registered.update_failure_actions(recovery(&START_ANEW_AFTER)),
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

    #[test]
    fn nobody_but_administrators_and_the_services_reaches_their_folders() {
        let (client, server) = (account_id("petit-client"), account_id("petit-server"));
        let who = |access: &str| -> Vec<String> {
            assert!(access.starts_with("D:P("), "nothing comes from the folder above: {access}");
            let entries = access.split('(').skip(1).filter_map(|entry| entry.strip_suffix(')'));
            entries.filter_map(|entry| Some(entry.rsplit(';').next()?.to_owned())).collect()
        };
        assert_eq!(who(&access_of_configs()), ["SY", "BA", &client, &server]);
        assert_eq!(who(&access_of_state("client")), ["SY", "BA", &client]);
        let described = format!("O:BAG:BA{}", access_of_configs());
        assert_eq!(access::who_else(Kind::Folder, &described), None, "the services change none");
        let described = format!("O:BAG:BA{}", access_of_state("server"));
        assert_eq!(access::who_else(Kind::Folder, &described), Some(server));
    }
}
