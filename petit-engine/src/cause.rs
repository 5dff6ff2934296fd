//! What a state, a screen and a peer may know of a failure: which one of a known few it was. No sentences, no
//! sources; errors carry those, and `petit-client`'s messages turn a cause into words.

use serde::{Deserialize, Serialize};

/// Why a client is not online.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// The server's name has no address (or no name server answered).
    NameNotFound,
    /// This computer has no way to the server's network.
    NetworkUnreachable,
    /// The server's machine answers, but nothing listens there.
    ConnectionRefused,
    /// Nothing came back within the time limit.
    Unanswered,
    /// What answers does not speak Petit's protocol: another program, or something in between.
    NotPetit,
    /// What answers is not the server of the invite: its key is another.
    WrongServer,
    /// The connection broke, or fell silent.
    Lost,
    /// The server is being restarted.
    ServerLeaving,
    /// The server has no room at the moment.
    ServerBusy,
    /// The server does not know this device: it was revoked, or never registered there.
    Unknown,
    /// The same registration is in use on another computer.
    InUseElsewhere,
    /// The server and this client have no protocol version in common.
    VersionMismatch,
    /// One side broke the protocol; a fault of Petit.
    Protocol,
}

impl Cause {
    /// True when trying again cannot help before a person has done something.
    pub fn is_final(self) -> bool {
        match self {
            Self::Unknown | Self::VersionMismatch => true,
            Self::NameNotFound
            | Self::NetworkUnreachable
            | Self::ConnectionRefused
            | Self::Unanswered
            | Self::NotPetit
            | Self::WrongServer
            | Self::Lost
            | Self::ServerLeaving
            | Self::ServerBusy
            | Self::InUseElsewhere
            | Self::Protocol => false,
        }
    }
}

/// Why a private service could not be reached, as its client saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ServiceCause {
    /// Nothing listens on its port.
    Refused,
    /// It did not accept within the time limit, or there is no way to its network.
    Unreachable,
    /// Its host name has no address.
    NameNotFound,
}

/// How the local end of a service is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// Not tried yet.
    #[default]
    Untried,
    /// It accepted the last connection.
    Up,
    /// It did not.
    Down(ServiceCause),
}
