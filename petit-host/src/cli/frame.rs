//! How a command begins and ends, whichever program it is of.

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
    harden::no_core_dumps();
    let result = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => {
            let result = runtime.block_on(command);
            // What blocks (a name look-up, a disk) is not waited for.
            runtime.shutdown_background();
            result
        }
        Err(error) => Err(Failure::of(&error)),
    };
    match result {
        Ok(code) => exit(code),
        Err(failure) => fail_as(word, json, &failure),
    }
}
