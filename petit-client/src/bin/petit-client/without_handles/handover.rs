//! The link to the process that is to follow, where no lock and no socket is handed to another process (Windows). What is
//! heard over it means for the client stands in `restart`. Processes before this one are not heard: they finish alone.

use petit_client::daemon::Restart;
use petit_host::exit::ExitCode;
use petit_host::handover::Started;
use petit_host::handover::steps::PredecessorAction;
use petit_host::shutdown::Urgency;

/// There are none that are heard.
#[derive(Debug, Default)]
pub(crate) struct Predecessors;

/// The process that is to follow, where there is one.
#[derive(Default)]
pub(crate) struct Handover {
    pub(crate) successor: Option<Successor>,
}

pub(crate) struct Successor {
    pub(crate) started: Started,
    /// Who waits to hear of it.
    pub(crate) asked: Option<Restart>,
    /// This process was connected when it was started, so it was to be, too.
    pub(crate) was_online: bool,
}

/// What the successor has come to.
pub(crate) struct HandoverEvent(pub(crate) PredecessorAction);

impl Handover {
    pub(crate) fn new(_: Predecessors) -> Self {
        Self::default()
    }

    /// Waits for the next thing.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(crate) async fn next(&mut self) -> HandoverEvent {
        let successor = self.successor.as_mut().map(|successor| &mut successor.started);
        HandoverEvent(Started::next_of(successor).await)
    }

    pub(crate) fn stop_request(_: &HandoverEvent) -> Option<Urgency> {
        None
    }

    pub(crate) fn stopping(&self, _: Urgency) {}

    pub(crate) async fn end(self, _: ExitCode) {}
}
