//! Customers' lines that are full in both directions for as long as one likes: `cargo xtask soak --home-line`.
//!
//! On each line everything goes on at the same time and without a pause: downloads and uploads, a WebSocket, and one
//! raw TCP connection that lasts from the begin to the end. Whoever receives anything (visitors what services say,
//! services what visitors say) compares each byte with what was sent, and counts: at the end nothing is missing. No
//! session may be given up for being busy.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a tool for people, which ends when something is not as it has to be"
)]

use std::process::ExitCode;

#[cfg(target_os = "linux")]
mod line;

#[cfg(target_os = "linux")]
fn main() -> ExitCode {
    let minutes: u64 = std::env::args().nth(1).and_then(|minutes| minutes.parse().ok()).unwrap_or(5);
    match line::fill(std::time::Duration::from_secs(60 * minutes)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("error: {problem}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(not(target_os = "linux"))]
fn main() -> ExitCode {
    eprintln!("error: a customer's line is made of network namespaces, which only Linux has");
    ExitCode::FAILURE
}
