//! Where a lock and sockets cannot be handed to another process in safe code: there is no hand-over.

use petit_client::daemon::Restart;
use petit_host::cli::Failure;
use petit_host::exit::ExitCode;
use petit_host::handover::Trouble;
use petit_host::shutdown::Urgency;

use super::context::Context;
use super::lifecycle::{How, Main, Serving, Turn};

/// There are none.
#[derive(Debug, Default)]
pub(crate) struct Predecessors;

/// Nothing.
pub(crate) struct Handover;

/// Nothing ever comes.
pub(crate) enum HandoverEvent {}

impl Handover {
    pub(crate) fn new(_: Predecessors) -> Self {
        Self
    }

    pub(crate) async fn next(&mut self) -> HandoverEvent {
        std::future::pending().await
    }

    pub(crate) fn stop_request(heard: &HandoverEvent) -> Option<Urgency> {
        match *heard {}
    }

    pub(crate) fn stopping(&self, _: Urgency) {}

    pub(crate) async fn end(self, _: ExitCode) {}
}

pub(crate) async fn begin(_: &mut Main<'_>, answer: Restart) {
    let message = "its place cannot be handed over on this system".to_owned();
    let hint = Some("petit-client restart stops and starts it".to_owned());
    let _ = answer.send(Err(Trouble { message, hint }));
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
