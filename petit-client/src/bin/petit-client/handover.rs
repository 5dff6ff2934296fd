//! The links to the processes before and after this one, and what is heard from them. What that means for the client is
//! in `restart`.

use petit_client::daemon::Restart;
use petit_host::exit::ExitCode;
use petit_host::handover::{ElderEvent, Elders, Started, StartedEvent};
use petit_host::shutdown::Urgency;

/// The links to processes before this one.
pub(crate) type Predecessors = Elders;

/// The hand-over, in both directions: processes before this one that have not ended, and the one that is to follow.
pub(crate) struct Handover {
    pub(crate) elders: Elders,
    pub(crate) successor: Option<Successor>,
}

/// The process that is to follow.
pub(crate) struct Successor {
    pub(crate) started: Started,
    /// Who waits to hear of it.
    pub(crate) asked: Option<Restart>,
    /// This process was connected when it was started, so it was to be, too.
    pub(crate) was_online: bool,
}

/// What the main loop hears of other processes.
pub(crate) enum HandoverEvent {
    Elder(ElderEvent),
    Successor(StartedEvent),
}

impl Handover {
    pub(crate) fn new(elders: Elders) -> Self {
        Self { elders, successor: None }
    }

    /// Waits for the next thing.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(crate) async fn next(&mut self) -> HandoverEvent {
        let successor = Started::next_of(self.successor.as_mut().map(|successor| &mut successor.started));
        tokio::select! {
            told = self.elders.next() => HandoverEvent::Elder(told),
            news = successor => HandoverEvent::Successor(news),
        }
    }

    /// How urgent a process before this one says that a stop is, when it passes one on.
    pub(crate) fn stop_request(heard: &HandoverEvent) -> Option<Urgency> {
        match heard {
            HandoverEvent::Elder(told) => told.stop_request(),
            _ => None,
        }
    }

    /// Tells the processes before this one that nobody takes their place any more.
    pub(crate) fn stopping(&self, urgency: Urgency) {
        self.elders.say_stopping(urgency);
    }

    /// Tells them how this one ends.
    pub(crate) async fn end(self, exit: ExitCode) {
        self.elders.close(exit as u8).await;
    }
}
