//! Where the program cannot make itself a service of the system.

use petit_host::cli::Failure;
use petit_host::exit::ExitCode;
use petit_host::terminal::Ask;

use super::context::Context;

fn failure(context: &Context) -> Failure {
    context
        .failed(ExitCode::Failed, "cli.install.not_here", &[])
        .hint(context.hint("cli.install.not_here.hint"))
}

pub(crate) fn install(context: &Context) -> Result<(), Failure> {
    Err(failure(context))
}

pub(crate) fn uninstall(context: &Context, _: Ask) -> Result<(), Failure> {
    Err(failure(context))
}
