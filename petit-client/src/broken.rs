//! The first hop on the way to a service that is broken: which, why, and since when.

use petit_engine::cause::{Cause, FrontCause, ServiceCause};
use petit_engine::proto::control::{GrantRefusal, Hop};
use serde::{Deserialize, Serialize};

/// The first broken hop on the way to a service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Broken {
    /// Which, and why.
    pub at: BrokenAt,
    /// Seconds since 1970; `None` when it is not known.
    pub since: Option<u64>,
}

/// Which hop is broken, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BrokenAt {
    /// The computer is not registered.
    Registration,
    /// The server's public side.
    Front(FrontCause),
    /// The server lets nobody in: its operator has not opened the service's port.
    Shut,
    /// The connection to the server.
    Connection(Cause),
    /// The server did not register the service.
    Server(GrantRefusal),
    /// Server and client do not agree on what is offered.
    Client,
    /// Bytes do not come through the tunnel.
    Tunnel,
    /// The service itself.
    Service(ServiceCause),
}

impl From<Hop> for BrokenAt {
    fn from(hop: Hop) -> Self {
        match hop {
            // A probe begins at the server's own front.
            Hop::Front => Self::Front(FrontCause::Listener),
            Hop::Tunnel => Self::Tunnel,
            Hop::Client => Self::Client,
            Hop::Service(cause) => Self::Service(cause),
        }
    }
}
