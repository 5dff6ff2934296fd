//! What a state, a screen and a peer may know of a failure: which one of a known few it was. No sentences, no
//! sources; errors carry those, and `petit-client`'s messages turn a cause into words.

#![warn(clippy::wildcard_enum_match_arm, reason = "what follows from each case is decided here, one by one")]

use serde::{Deserialize, Serialize};

/// Why a client is not online.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// The server's name has no address (or no name server answered).
    NameNotFound,
    /// This computer has no way to the server's network.
    NetworkUnreachable,
    /// This program, or this computer, has as many files and connections open as it may.
    NoDescriptors,
    /// The server's machine answers, but nothing listens there.
    ConnectionRefused,
    /// Nothing came back within the time limit.
    Unanswered,
    /// What answers does not speak Petit's protocol: another program, or something in between.
    NotPetit,
    /// What answers is not the server of the invite: its key is another.
    WrongServer,
    /// Something on the way opens TLS connections: a security program or a company's firewall.
    Inspected,
    /// The proxy that is set up was not reached.
    ProxyUnreachable,
    /// The proxy wants a login, or another one.
    ProxyLogin,
    /// The proxy does not connect to the server.
    ProxyRefused,
    /// The connection is not post-quantum, though that was asked for.
    Classical,
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
    /// The vendor has suspended this client: it is registered, and may come back when the vendor says so.
    Suspended,
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
            | Self::NoDescriptors
            | Self::ConnectionRefused
            | Self::Unanswered
            | Self::NotPetit
            | Self::WrongServer
            | Self::Inspected
            | Self::ProxyUnreachable
            | Self::ProxyLogin
            | Self::ProxyRefused
            | Self::Classical
            | Self::Lost
            | Self::ServerLeaving
            | Self::ServerBusy
            | Self::InUseElsewhere
            | Self::Suspended
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
    /// Its host name leads to an address that no service of a customer has (RFC 3927 link-local, multicast, a
    /// cloud's metadata service).
    Forbidden,
    /// It does not speak TLS.
    NotTls,
    /// Its certificate is not one that was set up to be trusted.
    Untrusted,
    /// It took a request and gave no answer.
    NoAnswer,
    /// It answers, but not in the protocol that was set up.
    NotHttp,
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

/// Why visitors do not get in at a public front, as a probe found that came like a visitor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FrontCause {
    /// The public name has no address.
    NameNotFound,
    /// Nothing listens at the public address and port.
    ConnectionRefused,
    /// What listens there does not agree on TLS, or shows no certificate for the name.
    NoTls,
    /// The certificate is another name's.
    CertificateName,
    /// The certificate has ended, or has not begun.
    CertificateExpired,
    /// The certificate is not signed by anybody whom visitors trust.
    CertificateUntrusted,
    /// Nothing, or nothing whole, came back.
    NoAnswer,
    /// What answers leads visitors elsewhere.
    Redirected,
    /// What answers in front of the server says that it does not reach it (a status of 500 and above).
    Gateway,
    /// What stands in front hands requests on under another host than the visitor asked for.
    OtherHost,
    /// What answers is not this server.
    OtherServer,
    /// The server's own listening socket does not take requests.
    Listener,
}

/// Why it is not known whether visitors get in at a public front.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FrontUntried {
    /// The operator has switched it off.
    SwitchedOff,
    /// The server's name servers do not answer it.
    NoNameServer,
    /// The name leads to a private address that the operator has not allowed.
    PrivateAddress,
    /// The server does not reach its own public address: a router that leads nothing back inside, a firewall.
    Unreachable,
    /// Connections from the server could not be told from a visitor's: the address is another machine's.
    OtherMachine,
    /// The server trusts no authority, so it can judge no certificate.
    NoRoots,
    /// The server is of a version that does not try its public address.
    Unsupported,
}
