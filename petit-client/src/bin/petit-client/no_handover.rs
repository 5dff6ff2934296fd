//! Where a lock and sockets cannot be handed to another process in safe code: there are no links to other processes.

use petit_host::exit::ExitCode;
use petit_host::shutdown::Urgency;

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
