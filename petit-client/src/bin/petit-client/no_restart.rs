//! Where a lock and sockets cannot be handed to another process in safe code: there is no hand-over.

use petit_client::daemon::{NotRestarted, Restart};
use petit_host::cli::Failure;
use petit_host::exit::ExitCode;

use super::beginning::How;
use super::context::Context;
use super::handover::HandoverEvent;
use super::serving::{Main, Serving, Turn};

pub(crate) async fn begin(_: &mut Main<'_>, answer: Restart) {
    let message = "its place cannot be handed over on this system; petit-client restart stops and starts it";
    let _ = answer.send(Err(NotRestarted::NotRun(message.to_owned())));
}

pub(crate) async fn take(_: &mut Main<'_>, heard: HandoverEvent) -> Turn {
    match heard {}
}

pub(crate) async fn stop(_: &mut Main<'_>) {}

pub(crate) async fn leave(_: &mut Main<'_>) -> Option<ExitCode> {
    None
}

pub(crate) async fn succeed(_: &Context, _: How) -> Result<Serving, Failure> {
    Err(Failure::new(ExitCode::Failed, "its place cannot be handed over on this system"))
}
