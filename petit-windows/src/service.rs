//! A program that the service control manager has started: its entry, what it is asked, and what it says of itself.

use std::ffi::OsString;
use std::io;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use windows_service::service::{
    ServiceControl, ServiceControlAccept, ServiceExitCode, ServiceState, ServiceStatus, ServiceType,
};
use windows_service::service_control_handler::{self, ServiceControlHandlerResult, ServiceStatusHandle};
use windows_service::{define_windows_service, service_dispatcher};

/// How long a start may take before whoever waits for it takes it for hung.
const START_WITHIN: Duration = Duration::from_secs(60);
/// The same of a stop, until the program has said how long it needs.
const STOP_WITHIN: Duration = Duration::from_secs(60);

/// What a program does as a service; gives back how it has ended: 0 is well.
type Body = Box<dyn FnOnce() -> u32 + Send>;

struct Service {
    name: String,
    body: Mutex<Option<Body>>,
    ended: Mutex<u32>,
}

static SERVICE: OnceLock<Service> = OnceLock::new();
static STATUS: OnceLock<ServiceStatusHandle> = OnceLock::new();
static STOP: Notify = Notify::const_new();

define_windows_service!(entry, service_main);

/// Runs `body` as the service of this name, on a thread of the service control manager's; returns how it has ended. To be
/// called once in a process.
///
/// # Errors
/// When this process was not started by the service control manager.
pub fn run(name: String, body: impl FnOnce() -> u32 + Send + 'static) -> io::Result<u32> {
    let service = Service { name, body: Mutex::new(Some(Box::new(body))), ended: Mutex::new(0) };
    let service = SERVICE.get_or_init(|| service);
    match service_dispatcher::start(&service.name, entry) {
        Ok(()) => Ok(*service.ended.lock().unwrap_or_else(PoisonError::into_inner)),
        Err(windows_service::Error::Winapi(error)) => Err(error),
        Err(error) => Err(io::Error::other(error)),
    }
}

/// The name of the service that this process is; `None` where the service control manager has not started it.
pub fn name() -> Option<&'static str> {
    STATUS.get()?;
    SERVICE.get().map(|service| service.name.as_str())
}

/// Says that the service serves.
pub fn serves() {
    tell(ServiceState::Running, Duration::ZERO, 0);
}

/// Says that the service ends, and how long that may take.
pub fn stopping(within: Duration) {
    tell(ServiceState::StopPending, within, 0);
}

/// Waits until the service control manager wants the service to end.
///
/// # Cancel safety
/// Cancel safe; for one waiter.
pub async fn stop_requested() {
    STOP.notified().await;
}

fn service_main(_: Vec<OsString>) {
    let Some(service) = SERVICE.get() else { return };
    let Ok(status) = service_control_handler::register(&service.name, asked) else { return };
    let _ = STATUS.set(status);
    tell(ServiceState::StartPending, START_WITHIN, 0);
    let body = service.body.lock().unwrap_or_else(PoisonError::into_inner).take();
    let ended = body.map_or(0, |body| body());
    *service.ended.lock().unwrap_or_else(PoisonError::into_inner) = ended;
    tell(ServiceState::Stopped, Duration::ZERO, ended);
}

fn asked(control: ServiceControl) -> ServiceControlHandlerResult {
    match control {
        ServiceControl::Stop | ServiceControl::Preshutdown => {
            // Here and now: a service that ends is asked nothing any more, and this handler is given back when it returns.
            stopping(STOP_WITHIN);
            STOP.notify_one();
            ServiceControlHandlerResult::NoError
        }
        ServiceControl::Interrogate => ServiceControlHandlerResult::NoError,
        _ => ServiceControlHandlerResult::NotImplemented,
    }
}

/// The end of the system is told by Preshutdown: it leaves the time that is asked for, where Shutdown leaves five seconds.
fn tell(state: ServiceState, within: Duration, ended: u32) {
    let Some(status) = STATUS.get() else { return };
    let accepted = match state {
        ServiceState::Running => ServiceControlAccept::STOP | ServiceControlAccept::PRESHUTDOWN,
        _ => ServiceControlAccept::empty(),
    };
    let exit_code = match ended {
        0 => ServiceExitCode::NO_ERROR,
        ended => ServiceExitCode::ServiceSpecific(ended),
    };
    // Nobody would hear of an error.
    let _ = status.set_service_status(ServiceStatus {
        service_type: ServiceType::OWN_PROCESS,
        current_state: state,
        controls_accepted: accepted,
        exit_code,
        checkpoint: 0,
        wait_hint: within,
        process_id: None,
    });
}
