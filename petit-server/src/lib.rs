//! The vendor's side: config, registry, admin socket, and the relay put together.
//!
//! The program `petit-server` is a thin command line over this library, so that tests can hold a whole server in
//! their own process.

#![cfg_attr(test, allow(clippy::indexing_slicing, clippy::unwrap_used, clippy::panic))]

pub mod admin;
pub mod backup;
pub mod certificate;
pub mod config;
pub mod directory;
pub mod folder;
pub mod memory;
pub mod server;
pub mod store;

/// Program and version, as clients and operators see it.
pub const SOFTWARE: &str = concat!("petit-server ", env!("CARGO_PKG_VERSION"));
