//! The vendor's side: config, registry, admin socket, and the relay put together.
//!
//! The program `petit-server` is a thin command line over this library, so that tests can hold a whole server in
//! their own process.

#![cfg_attr(
    test,
    allow(
        clippy::indexing_slicing,
        clippy::unwrap_used,
        clippy::panic,
        reason = "a test may assert by failing"
    )
)]

pub mod access_log;
pub mod admin;
pub mod api;
pub mod audit;
pub mod backup;
pub mod capacity;
pub mod certificate;
pub mod config;
pub mod directory;
pub mod explain;
pub mod folder;
pub mod fronts;
pub mod load;
pub mod memory;
pub mod metrics;
pub mod registry;
pub mod releases;
pub mod rollouts;
pub mod server;
pub mod store;
pub mod visit_counters;

/// Program and version, as clients and operators see it.
pub const SOFTWARE: &str = concat!("petit-server ", env!("CARGO_PKG_VERSION"));

/// Seconds since 1970, for programs; the command line makes a date of it.
pub fn seconds(time: std::time::SystemTime) -> u64 {
    time.duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
