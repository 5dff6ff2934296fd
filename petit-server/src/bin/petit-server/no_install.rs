//! Where the program cannot make itself a service of the system.

use petit_host::cli::Failure;
use petit_host::exit::ExitCode;
use petit_host::terminal::Ask;

fn failure() -> Failure {
    let problem = "the server makes itself a service of Linux with systemd, and of Windows, alone";
    Failure::new(ExitCode::Failed, problem).hint("have what starts services here run: petit-server run")
}

pub(crate) fn install(_: bool) -> Result<(), Failure> {
    Err(failure())
}

pub(crate) fn uninstall(_: bool, _: Ask) -> Result<(), Failure> {
    Err(failure())
}
