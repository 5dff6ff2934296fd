//! Relays whose public fronts no test asks about.

use std::net::IpAddr;
use std::sync::Arc;

use petit_engine::BoxFuture;
use petit_engine::name::Endpoint;
use petit_engine::proto::control::{Text, Vitae};
use petit_engine::secret::PrivateKey;
use petit_relay::{FrontProbing, FrontSettings, LimitsConfig, RelayConfig, Resolver, Unresolved};
use rustls::RootCertStore;

/// Knows no name; those under `localhost` need none.
struct Nobody;

impl Resolver for Nobody {
    fn resolve(&self, _: &str) -> BoxFuture<'_, Result<Vec<IpAddr>, Unresolved>> {
        Box::pin(async { Err(Unresolved::NoAddress) })
    }
}

/// What a relay of a test's own is started with. Its fronts are tried without a name server and without an authority.
pub fn relay(key: PrivateKey, endpoint: Endpoint) -> RelayConfig {
    RelayConfig {
        key,
        endpoint,
        tcp_bind: IpAddr::from([127, 0, 0, 1]),
        tcp_host: "localhost".into(),
        trusted_proxies: Vec::new(),
        legacy_errors: false,
        limits: LimitsConfig::default(),
        software: Text::lossy("test"),
        vitae: Vitae::new(),
        fronts: FrontSettings {
            probing: FrontProbing::Public,
            networks: Vec::new(),
            roots: RootCertStore::empty(),
            resolver: Arc::new(Nobody),
        },
    }
}
