//! How many connections to private services there may be at once, over all sessions.
//!
//! What one session carries is bounded by the protocol. That is no bound on a server that begins the next session
//! while visits of the one before still go on.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// As many connections as a client may have.
#[derive(Debug)]
pub(super) struct Connections(Arc<Semaphore>);

impl Connections {
    pub(super) fn new(most: usize) -> Self {
        Self(Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS))))
    }

    /// The right to one of them, unless there are as many as there may be.
    pub(super) fn take(&self) -> Option<Connection> {
        Arc::clone(&self.0).try_acquire_owned().ok().map(Connection)
    }
}

/// The right to one connection to a private service. Others get it when it is dropped.
#[derive(Debug)]
pub struct Connection(OwnedSemaphorePermit);

impl Connection {
    /// Where the right to a further one comes from: two addresses of a service may be tried side by side.
    pub(super) fn more(&self) -> &Arc<Semaphore> {
        self.0.semaphore()
    }
}
