//! The local API: what a running client can be asked over its control socket, and what it answers, as types.
//!
//! There is one struct for each request and each answer. The handler ([`crate::control`]) makes them, and the command
//! line and the tray get them from [`LocalClient`]; nobody reads JSON by path. Other programs read the same JSON, so
//! the names of paths and fields stay; the paths are the original's where it had them.

mod answers;
mod call;
mod request;

pub use self::answers::{
    Checks, ConfigPath, Feature, Listed, LogLevel, Ping, PingOutcome, Pings, Reloaded, Removed, Restarted,
    Shared, Stopped, Switched, Unregistered, Version,
};
pub use self::call::{LocalClient, LocalError, Statuses};
pub use self::request::{LocalRequest, RegisterRequest, UnregisterRequest};
