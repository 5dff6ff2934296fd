//! The route by which the server is dialled: through a proxy or not. What the config says counts; otherwise what the
//! environment and the system say (`HTTPS_PROXY`, `ALL_PROXY`, `NO_PROXY`, and the system's own settings where they
//! are told).

use hyper_util::client::proxy::matcher::Matcher;
use petit_engine::name::ServerAddr;
use petit_engine::net::dial::DialRoute;

use crate::config::Config;
use crate::config::proxy::{self, ProxySetting};

/// The route by which `server` is dialled.
pub fn choose(config: &Config, server: &ServerAddr) -> DialRoute {
    let proxy = match &config.proxy {
        ProxySetting::FromSystem => proxy::from(&Matcher::from_system(), server).and_then(Result::ok),
        ProxySetting::None => None,
        ProxySetting::Use(proxy) => Some(proxy.clone()),
    };
    DialRoute { proxy, others: config.addresses.clone(), require_pq: config.require_pq }
}
