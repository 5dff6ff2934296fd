//! Where sockets cannot be handed to another process in safe code: there is no hand-over.

use std::sync::Arc;
use std::time::Duration;

use petit_host::cli::Failure;
use petit_host::exit::ExitCode;
use petit_host::handover::Trouble;
use petit_host::shutdown::Urgency;
use petit_server::folder::Folder;
use petit_server::server::Server;
use tokio::sync::oneshot;

use super::main_loop::{Beginning, How, Main, Serving, Turn};

/// There are none.
#[derive(Debug, Default)]
pub(crate) struct Predecessors;

/// Nothing.
pub(crate) struct Handover;

/// Nothing ever comes.
pub(crate) enum HandoverEvent {}

impl Handover {
    pub(crate) fn new(_: &Arc<Server>, _: Predecessors) -> Self {
        Self
    }

    pub(crate) async fn next(&mut self) -> HandoverEvent {
        std::future::pending().await
    }

    pub(crate) fn stop_request(heard: &HandoverEvent) -> Option<Urgency> {
        match *heard {}
    }

    pub(crate) fn pass_on(&self, heard: &HandoverEvent) {
        match *heard {}
    }

    pub(crate) fn stopping(&self, _: Urgency) {}

    pub(crate) async fn end(self, _: ExitCode) {}
}

pub(crate) async fn begin(
    _: &mut Main<'_, Handover>,
    _: Duration,
    answer: oneshot::Sender<Result<u32, Trouble>>,
) {
    let message = "sockets cannot be handed over on this system".to_owned();
    let hint = Some("petit-server restart stops and starts it".to_owned());
    let _ = answer.send(Err(Trouble::new(message, hint)));
}

pub(crate) async fn take(_: &mut Main<'_, Handover>, heard: HandoverEvent) -> Turn {
    match heard {}
}

pub(crate) async fn stop(_: &mut Main<'_, Handover>) {}

pub(crate) async fn leave(_: &mut Main<'_, Handover>) -> Option<ExitCode> {
    None
}

pub(crate) async fn succeed(_: &Folder, _: How) -> Result<Beginning<Serving<Predecessors>>, Failure> {
    Err(Failure::new(ExitCode::Failed, "sockets cannot be handed over on this system"))
}
