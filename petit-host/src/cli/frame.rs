//! How a command begins and ends, whichever program it is of.

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode as ProcessExit;

use super::{Failure, exit, fail_as};
use crate::brand::Brand;
use crate::config::{FoundBy, Place};
use crate::exit::ExitCode;
use crate::harden;

/// Where the config file is.
///
/// # Errors
/// Without a home folder to look in.
pub fn config_place(option: Option<&Path>, brand: &Brand) -> Result<Place, Failure> {
    Place::find(option, brand).ok_or_else(no_home)
}

/// As [`config_place`], of a program that may be a service of the system; see [`Place::find_with_service`].
///
/// # Errors
/// Without a home folder to look in.
pub fn config_place_with_service(
    option: Option<&Path>,
    brand: &Brand,
    name: &'static str,
) -> Result<Place, Failure> {
    Place::find_with_service(option, brand, name).ok_or_else(no_home)
}

/// Says, of what [`Place::passed_by`] has found, how the service of the system is asked.
pub fn passed_by(json: bool, place: &Place, name: &str, say: impl FnOnce(&Path) -> String) {
    if let Some(config) = place.passed_by(name).filter(|_| !json) {
        let _ = writeln!(io::stderr(), "{}", say(&config));
    }
}

fn no_home() -> Failure {
    Failure::new(ExitCode::Failed, "this user has no home folder").hint("name a config file with -c FILE")
}

/// What is said where a config file that somebody has named is not there.
pub fn leads_nowhere(place: &Place, program: &str) -> Failure {
    let look = match place.found_by {
        FoundBy::Option => "check what is written behind -c",
        FoundBy::Environment => "check what PETIT_CONFIG in the environment says",
        FoundBy::Service | FoundBy::Default => "check whether it was removed",
    };
    Failure::new(ExitCode::Failed, format!("there is no config file at {}", place.path.display()))
        .hint(format!("{look}; to make a new one there: {program} init"))
}

/// Runs a command on a runtime of this thread, and says what became of it. `word` stands before a failure.
pub fn run(json: bool, word: &str, command: impl Future<Output = Result<ExitCode, Failure>>) -> ProcessExit {
    match outcome(command) {
        Ok(code) => exit(code),
        Err(failure) => fail_as(word, json, &failure),
    }
}

/// Runs a command on a runtime of this thread.
///
/// # Errors
/// That of the command.
pub fn outcome(command: impl Future<Output = Result<ExitCode, Failure>>) -> Result<ExitCode, Failure> {
    harden::no_core_dumps();
    match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => {
            let result = runtime.block_on(command);
            // What blocks (a name look-up, a disk) is not waited for.
            runtime.shutdown_background();
            result
        }
        Err(error) => Err(Failure::of(&error)),
    }
}

/// Runs a command as the service that the service control manager has started this process for. What becomes of it is told
/// to that, and written into the event log.
#[cfg(windows)]
pub fn run_as_service(
    unit: &str,
    command: impl FnOnce() -> Result<ExitCode, Failure> + Send + 'static,
) -> ProcessExit {
    use petit_windows::event_log::Event;

    use crate::service::log_event;

    let name = unit.to_owned();
    let ran = petit_windows::service::run(unit.to_owned(), move || match command() {
        Ok(code) => {
            log_event(&name, Event::Stopped, "It has ended, as it was asked to.");
            u32::from(code as u8)
        }
        Err(Failure { exit, message, hint }) => {
            let hint = hint.map(|hint| format!("\n{hint}")).unwrap_or_default();
            log_event(&name, Event::Failed, &format!("It has ended: {message}{hint}"));
            u32::from(exit as u8)
        }
    });
    match ran {
        Ok(0) => ProcessExit::SUCCESS,
        Ok(_) => ProcessExit::FAILURE,
        Err(error) => {
            let problem = format!("Windows has not started this process as a service: {error}");
            let failure =
                Failure::new(ExitCode::Failed, problem).hint(format!("start it with: {unit} start"));
            fail_as(super::ERROR, false, &failure)
        }
    }
}

/// Only Windows starts a program so.
#[cfg(not(windows))]
pub fn run_as_service(
    unit: &str,
    _: impl FnOnce() -> Result<ExitCode, Failure> + Send + 'static,
) -> ProcessExit {
    let failure = Failure::new(ExitCode::Usage, "--service is for Windows, which starts services with it");
    fail_as(super::ERROR, false, &failure.hint(format!("start it with: systemctl start {unit}")))
}
