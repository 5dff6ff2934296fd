//! The customer's side without a window: config, vault, enrolment, the running client and its control socket.
//!
//! The program `petit-client` is a thin command line over this library; the tray app is another front end
//! of it, in `petit-app`. The tunnel itself is in `petit-engine`.

#![cfg_attr(
    test,
    allow(
        clippy::indexing_slicing,
        clippy::unwrap_used,
        clippy::panic,
        reason = "a test may assert by failing"
    )
)]

pub mod api;
pub mod broken;
mod capacity;
pub mod client;
pub mod clock;
pub mod config;
pub mod consent;
pub mod control;
pub mod daemon;
pub mod dial_route;
pub mod doctor;
pub mod enrol;
pub mod folder;
pub mod hops;
pub mod messages;
pub mod registering;
pub mod registration;
pub mod releases;
pub mod status;
pub mod texts;
pub mod updates;
pub mod vault;
pub mod wake;

/// Program and version, as servers and people see it.
pub const SOFTWARE: &str = concat!("petit-client ", env!("CARGO_PKG_VERSION"));
