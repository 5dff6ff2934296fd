//! Whose connection it is.

use std::net::{IpAddr, SocketAddr};

/// Who is at the other end of a visitor's connection, and how it came in.
#[derive(Clone, Debug)]
pub(crate) struct Visitor {
    /// The connection's far end.
    pub(crate) peer: SocketAddr,
    pub(crate) transport: Transport,
    /// The port it came in on.
    pub(crate) port: u16,
}

/// What carries a visitor's connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    Plain,
    /// With the server name of the ClientHello, when it had one.
    Tls {
        sni: Option<String>,
    },
}

impl Transport {
    pub(crate) fn is_tls(&self) -> bool {
        matches!(self, Self::Tls { .. })
    }
}

/// An IPv4 visitor of a dual-stack listener as what it is.
pub(crate) fn canonical(peer: SocketAddr) -> SocketAddr {
    let ip: IpAddr = peer.ip().to_canonical();
    SocketAddr::new(ip, peer.port())
}
