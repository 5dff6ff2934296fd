//! How a relay is told to try its public fronts.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use petit_engine::BoxFuture;
use rustls::RootCertStore;

/// How a relay tries its public fronts.
#[derive(Clone)]
pub struct FrontSettings {
    /// Whether it does.
    pub probing: FrontProbing,
    /// Networks that are no part of the public internet and in which fronts may be all the same.
    pub networks: Vec<IpNet>,
    /// Who may vouch for the certificates of fronts.
    pub roots: RootCertStore,
    /// Whom to ask for the addresses of names.
    pub resolver: Arc<dyn Resolver>,
}

impl std::fmt::Debug for FrontSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { probing, networks, roots, resolver: _ } = self;
        let roots = roots.len();
        f.debug_struct("FrontSettings")
            .field("probing", probing)
            .field("networks", networks)
            .field("roots", &roots)
            .finish_non_exhaustive()
    }
}

/// Whether public addresses are tried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FrontProbing {
    /// They are.
    #[default]
    Public,
    /// Only this process's own sockets.
    OwnSockets,
}

/// Looks names up, as the system does.
pub trait Resolver: Send + Sync {
    /// The addresses of a host name.
    ///
    /// # Errors
    /// [`Unresolved`].
    fn resolve(&self, host: &str) -> BoxFuture<'_, Result<Vec<IpAddr>, Unresolved>>;
}

/// Why a name has led nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unresolved {
    /// It has no address.
    #[error("the name has no address")]
    NoAddress,
    /// Nobody who knows has answered.
    #[error("no name server answers")]
    NoNameServer,
}
