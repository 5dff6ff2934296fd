//! The bed: a whole Petit in one process, on ports that the system chooses, with throw-away keys; private
//! services to expose, visitors to send, and the real programs as processes.
//!
//! It asserts nothing by itself. Whatever a test waits for is waited for by name (a status, a line, a closed
//! connection), never by the clock; a limit only ends a test that would hang.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

pub mod authority;
pub mod bed;
pub mod chaos;
pub mod conformance;
pub mod figures;
#[cfg(target_os = "linux")]
pub mod home_line;
pub mod netns;
pub mod pattern;
pub mod process;
pub mod program;
pub mod raw;
pub mod rogue;
pub mod scripted;
pub mod service;
pub mod visitor;

use std::future::Future;
use std::time::Duration;

/// No test waits longer than this for one thing.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Waits for something that must happen.
///
/// # Panics
/// When it does not within [`PATIENCE`].
pub async fn soon<T>(what: &str, it: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, it).await {
        Ok(value) => value,
        Err(_) => panic!("waited in vain for {what}"),
    }
}
