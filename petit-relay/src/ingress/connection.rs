//! A visitor's connection, as its requests know it.

use std::sync::{Arc, Mutex, PoisonError};

use super::super::admission::{Admission, Ticket};
use super::activity::Activity;
use super::visitor::Visitor;

/// A visitor's connection.
pub(super) struct Connection {
    pub(super) visitor: Visitor,
    pub(super) admission: Arc<Admission>,
    pub(super) activity: Arc<Activity>,
    /// What it counts as, until it ends or becomes a WebSocket, which goes on without it.
    ticket: Mutex<Option<Ticket>>,
}

impl Connection {
    pub(super) fn new(visitor: Visitor, ticket: Ticket) -> Self {
        let admission = Arc::clone(ticket.admission());
        Self { visitor, admission, activity: Arc::default(), ticket: Mutex::new(Some(ticket)) }
    }

    /// Hands its ticket to whoever keeps its socket; nothing when that has been done.
    pub(super) fn take_ticket(&self) -> Option<Ticket> {
        self.ticket.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}
