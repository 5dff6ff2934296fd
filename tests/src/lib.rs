//! The bed: a whole Petit in one process, on ports that the system chooses, with throw-away keys; private
//! services to expose, visitors to send, and the real programs as processes.
//!
//! It asserts nothing by itself. Whatever a test waits for is waited for by name (a status, a line, a closed
//! connection), never by the clock; a limit only ends a test that would hang.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may assert by failing"
)]

pub mod authority;
pub mod bed;
pub mod chaos;
pub mod conformance;
pub mod crowd;
pub mod figures;
pub mod forms;
pub mod front;
#[cfg(target_os = "linux")]
pub mod home_line;
pub mod logs;
pub mod netns;
pub mod passing;
pub mod pattern;
pub mod process;
pub mod program;
pub mod raw;
pub mod recorded;
pub mod release;
pub mod rogue;
pub mod scripted;
pub mod service;
pub mod steady;
#[cfg(target_os = "linux")]
pub mod stranger;
pub mod trace;
pub mod untried;
pub mod visitor;

use std::future::Future;
use std::time::Duration;

/// No test waits longer than this for one thing; a machine that is busy with other things takes its time.
pub const PATIENCE: Duration = Duration::from_secs(120);

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

/// Writes what Petit logs in this process to the output of the test, when `PETIT_TEST_LOG` says which of it (as in
/// `PETIT_TEST_LOG=petit_engine=debug cargo test …`).
pub fn show_logs() {
    if let Ok(filter) = std::env::var("PETIT_TEST_LOG") {
        // Another test of this process may have been first.
        let _ = tracing_subscriber::fmt().with_env_filter(filter).with_test_writer().try_init();
    }
}
