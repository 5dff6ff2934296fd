//! Where the visitors of one service are carried to: today the session of its client. Whoever carries a visitor asks
//! here, and does not see what is behind it, so that it can be something else as well.

use std::sync::Arc;

use petit_engine::limits;
use petit_engine::mux::{OpenError, Stream};
use petit_engine::proto::RequestId;
use petit_engine::proto::control::{Options, ServiceKind};
use petit_engine::proto::frame::{Open, Purpose};

use super::ingress::StreamPool;
use super::places::Rooms;
use super::session::{Served, Session};

/// The way to one service, as long as it is there. Cheap to clone.
#[derive(Clone)]
pub(super) struct Upstream {
    session: Arc<Session>,
    served: Arc<Served>,
}

impl Upstream {
    pub(super) fn new(session: Arc<Session>, served: Arc<Served>) -> Self {
        Self { session, served }
    }

    /// Opens a stream to the service, which answers the visitor, or for a probe its client.
    ///
    /// # Errors
    /// [`OpenError`] when the session takes no stream more.
    pub(super) fn open(
        &self,
        purpose: Purpose,
        id: RequestId,
        visitor: std::net::SocketAddr,
    ) -> Result<Stream, OpenError> {
        self.session.mux.open(Open {
            service: self.served.number,
            purpose,
            window: limits::INITIAL_WINDOW_BYTES,
            visitor,
            id,
        })
    }

    /// Connections to services that are kept, among them to this one.
    pub(super) fn pool(&self) -> &StreamPool {
        &self.session.pool
    }

    /// What the service is called in the pool.
    pub(super) fn number(&self) -> u16 {
        self.served.number
    }

    /// What it speaks.
    pub(super) fn kind(&self) -> ServiceKind {
        self.served.kind
    }

    /// What its client has said of it.
    pub(super) fn options(&self) -> &Options {
        &self.served.options
    }

    /// Where its visits have their places.
    pub(super) fn rooms(&self) -> &Rooms {
        &self.served.rooms
    }

    /// The shard in which its streams live.
    pub(super) fn shard(&self) -> usize {
        self.session.shard
    }

    /// True when its client begins its next session before it leaves this one.
    pub(super) fn moves_in_time(&self) -> bool {
        self.session.moves
    }

    /// Takes one of the log lines that failed requests may have; false when there is none left.
    pub(super) fn take_failure_log_permit(&self) -> bool {
        self.served.take_failure_log_permit()
    }

    /// Waits until WebSockets and event streams are told to go because the client leaves; for ever while it stays.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(super) fn goodbye(&self) -> impl Future<Output = ()> + Send + use<> {
        self.session.goodbye()
    }
}
