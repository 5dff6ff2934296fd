//! What a relay is started with, and why it cannot.

use std::net::IpAddr;

use ipnet::IpNet;
use petit_engine::name::Endpoint;
use petit_engine::proto::control::{Text, Vitae};
use petit_engine::secret::{NoRandom, PrivateKey};

use super::front_probe::FrontSettings;
use super::limits_config::LimitsConfig;

/// What a relay is started with.
#[derive(Debug)]
pub struct RelayConfig {
    /// The key that clients have pinned.
    pub key: PrivateKey,
    /// How public addresses are made.
    pub endpoint: Endpoint,
    /// Where raw TCP services listen.
    pub tcp_bind: IpAddr,
    /// The host that raw TCP services are reached by.
    pub tcp_host: String,
    /// Proxies whose forwarding headers are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Answer errors with the original's body.
    pub legacy_errors: bool,
    pub limits: LimitsConfig,
    /// Program and version, for clients.
    pub software: Text<64>,
    /// What clients may know of this server.
    pub vitae: Vitae,
    /// How public fronts are tried.
    pub fronts: FrontSettings,
}

/// Why a relay cannot start.
#[derive(Debug, thiserror::Error)]
pub enum RelayError {
    /// The server's key cannot be used.
    #[error("the server's key cannot be used for TLS")]
    Key(#[from] rustls::Error),
    /// No random bytes.
    #[error(transparent)]
    NoRandom(#[from] NoRandom),
    /// No thread for each processor.
    #[error("the system gives no more threads")]
    NoThread(#[source] std::io::Error),
}
