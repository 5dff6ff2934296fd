//! The link to the process that is to follow, where no lock and no socket is handed to another process (Windows). What is
//! heard over it means for the client stands in `restart`. Processes before this one are not heard: they finish alone.

use std::path::{Path, PathBuf};
use std::time::Duration;

use petit_client::daemon::Restart;
use petit_host::exit::ExitCode;
use petit_host::handover::Started;
use petit_host::handover::steps::PredecessorAction;
use petit_host::lock::{Lock, LockError};
use petit_host::shutdown::Urgency;
use tokio::time::{Interval, MissedTickBehavior};

/// How long the lock may take to be free once whoever held it has let go, or is dead.
pub(crate) const FREE: Duration = Duration::from_secs(5);
/// How often a client that goes on without its lock tries for it.
const TRY_EVERY: Duration = Duration::from_secs(5);

/// There are none that are heard.
#[derive(Debug, Default)]
pub(crate) struct Predecessors;

/// The process that is to follow, where there is one.
#[derive(Default)]
pub(crate) struct Handover {
    pub(crate) successor: Option<Successor>,
    /// Where this process goes on without the client's lock.
    pub(crate) unlocked: Option<Unlocked>,
}

pub(crate) struct Successor {
    pub(crate) started: Started,
    /// Who waits to hear of it.
    pub(crate) asked: Option<Restart>,
    /// This process was connected when it was started, so it was to be, too.
    pub(crate) was_online: bool,
}

/// A lock that could not be taken again, and is tried for until it is held.
pub(crate) struct Unlocked {
    path: PathBuf,
    tries: Interval,
}

impl Unlocked {
    pub(crate) fn new(path: &Path) -> Self {
        let mut tries = tokio::time::interval(TRY_EVERY);
        tries.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { path: path.to_owned(), tries }
    }

    /// Waits for what becomes of the next try; for ever when the lock is held.
    ///
    /// # Cancel safety
    /// Cancel safe.
    async fn next_of(unlocked: Option<&mut Self>) -> Result<Lock, LockError> {
        match unlocked {
            Some(Self { path, tries }) => {
                tries.tick().await;
                Lock::take_within(path, FREE).await
            }
            None => std::future::pending().await,
        }
    }
}

pub(crate) enum HandoverEvent {
    /// What the successor has come to.
    Successor(PredecessorAction),
    /// What has become of a try for the lock that this process goes on without.
    Lock(Result<Lock, LockError>),
}

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
        tokio::select! {
            deed = Started::next_of(successor) => HandoverEvent::Successor(deed),
            taken = Unlocked::next_of(self.unlocked.as_mut()) => HandoverEvent::Lock(taken),
        }
    }

    pub(crate) fn stop_request(_: &HandoverEvent) -> Option<Urgency> {
        None
    }

    pub(crate) fn stopping(&self, _: Urgency) {}

    pub(crate) async fn end(self, _: ExitCode) {}
}
