//! The service control manager of Windows: has it start and stop a service, and waits until it has.

use std::io;
use std::time::{Duration, Instant};

use windows_service::Error;
use windows_service::service::{Service, ServiceAccess, ServiceExitCode, ServiceState, ServiceStatus};
use windows_service::service_manager::{ServiceManager, ServiceManagerAccess};

/// How long a service may take to start, and to stop, where it does not say itself that it takes longer: its requests get
/// half a minute, and a registry is read.
const LIMIT: Duration = Duration::from_secs(90);
/// How much longer than it has said itself, and how long that may be: the longest drain that a config allows.
const MARGIN: Duration = Duration::from_secs(30);
const LONGEST: Duration = Duration::from_mins(20);
/// The manager offers no wait.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// No service of that name (ERROR_SERVICE_DOES_NOT_EXIST).
const NO_SUCH_SERVICE: i32 = 1060;
/// It runs already (ERROR_SERVICE_ALREADY_RUNNING).
const RUNS_ALREADY: i32 = 1056;
/// It is just starting or ending (ERROR_SERVICE_CANNOT_ACCEPT_CTRL).
const NOT_NOW: i32 = 1061;
/// It does not run (ERROR_SERVICE_NOT_ACTIVE).
const DOES_NOT_RUN: i32 = 1062;

/// Why a service does not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum ManagerError {
    #[error("only an administrator can do this")]
    NotAdministrator,
    #[error("there is no service {0}")]
    NotThere(String),
    #[error("{unit} has ended with {code} as it was started")]
    Ended { unit: String, code: u32 },
    #[error("{unit} takes longer than {limit:?}")]
    Late { unit: String, limit: Duration },
    #[error("the service control manager has refused")]
    Refused(#[source] io::Error),
}

impl From<Error> for ManagerError {
    fn from(error: Error) -> Self {
        match error {
            Error::Winapi(error) if error.kind() == io::ErrorKind::PermissionDenied => Self::NotAdministrator,
            Error::Winapi(error) => Self::Refused(error),
            error => Self::Refused(io::Error::other(error)),
        }
    }
}

/// What `start` and `stop` have found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Was {
    /// It ran.
    Running,
    /// It did not.
    Stopped,
}

/// Opens the manager.
///
/// # Errors
/// [`ManagerError::NotAdministrator`] where more is asked for than this process may.
pub(super) fn open(access: ServiceManagerAccess) -> Result<ServiceManager, ManagerError> {
    Ok(ServiceManager::local_computer(None::<&str>, access)?)
}

/// Opens a service; `None` where there is none of that name.
///
/// # Errors
/// [`ManagerError`].
pub(super) fn service(
    manager: &ServiceManager,
    unit: &str,
    access: ServiceAccess,
) -> Result<Option<Service>, ManagerError> {
    match manager.open_service(unit, access) {
        Ok(service) => Ok(Some(service)),
        Err(Error::Winapi(error)) if error.raw_os_error() == Some(NO_SUCH_SERVICE) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn there(unit: &str, access: ServiceAccess) -> Result<Service, ManagerError> {
    let manager = open(ServiceManagerAccess::CONNECT)?;
    service(&manager, unit, access)?.ok_or_else(|| ManagerError::NotThere(unit.to_owned()))
}

/// Starts a service and waits until it serves. One that runs is left as it is.
///
/// # Errors
/// [`ManagerError`].
pub fn start(unit: &str) -> Result<Was, ManagerError> {
    let service = there(unit, ServiceAccess::START | ServiceAccess::QUERY_STATUS)?;
    start_it(&service, unit)
}

pub(super) fn start_it(service: &Service, unit: &str) -> Result<Was, ManagerError> {
    match service.start::<&str>(&[]) {
        Ok(()) => {}
        Err(Error::Winapi(error)) if error.raw_os_error() == Some(RUNS_ALREADY) => return Ok(Was::Running),
        Err(error) => return Err(error.into()),
    }
    let status =
        until(service, unit, |state| matches!(state, ServiceState::Running | ServiceState::Stopped))?;
    if status.current_state == ServiceState::Running {
        return Ok(Was::Stopped);
    }
    let code = match status.exit_code {
        ServiceExitCode::Win32(code) | ServiceExitCode::ServiceSpecific(code) => code,
    };
    Err(ManagerError::Ended { unit: unit.to_owned(), code })
}

/// Stops a service and waits until it has ended. One that does not run is left as it is.
///
/// # Errors
/// [`ManagerError`].
pub fn stop(unit: &str) -> Result<Was, ManagerError> {
    let service = there(unit, ServiceAccess::STOP | ServiceAccess::QUERY_STATUS)?;
    stop_it(&service, unit)
}

pub(super) fn stop_it(service: &Service, unit: &str) -> Result<Was, ManagerError> {
    let is_asked = |result: Result<_, Error>| match result {
        Ok(_) => Ok(Asked::Yes),
        Err(Error::Winapi(error)) => match error.raw_os_error() {
            Some(DOES_NOT_RUN) => Ok(Asked::Stopped),
            Some(NOT_NOW) => Ok(Asked::Pending),
            _ => Err(ManagerError::from(Error::Winapi(error))),
        },
        Err(error) => Err(error.into()),
    };
    loop {
        match is_asked(service.stop())? {
            Asked::Yes => break,
            Asked::Stopped => return Ok(Was::Stopped),
            Asked::Pending => {
                let is_over = |state| matches!(state, ServiceState::Running | ServiceState::Stopped);
                until(service, unit, is_over)?;
            }
        }
    }
    until(service, unit, |state| state == ServiceState::Stopped)?;
    Ok(Was::Running)
}

/// What has come of asking a service to stop.
enum Asked {
    Yes,
    Stopped,
    /// It starts or ends, and takes no requests meanwhile.
    Pending,
}

/// True while a service runs, or is just starting.
pub(super) fn runs(service: &Service) -> Result<bool, ManagerError> {
    let state = service.query_status()?.current_state;
    Ok(!matches!(state, ServiceState::Stopped | ServiceState::StopPending))
}

/// Waits until a service is in a state that is wanted.
fn until(
    service: &Service,
    unit: &str,
    is_wanted: impl Fn(ServiceState) -> bool,
) -> Result<ServiceStatus, ManagerError> {
    let begun = Instant::now();
    loop {
        let status = service.query_status()?;
        if is_wanted(status.current_state) {
            return Ok(status);
        }
        // One that finishes downloads says how long they may take.
        let limit = LIMIT.max(status.wait_hint.min(LONGEST) + MARGIN);
        if begun.elapsed() > limit {
            return Err(ManagerError::Late { unit: unit.to_owned(), limit });
        }
        std::thread::sleep(LOOK_EVERY);
    }
}
