//! The packages on machines of their own: a small Debian that systemd has booted.
//!
//! `cargo xtask test systemd` makes packages and machine, and says in `PETIT_PACKAGES` and `PETIT_MACHINE` where they
//! are.

#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may assert by failing"
)]

mod first_day;
mod handed_out;
mod installed;
mod machine;
mod owners;
mod packages;
mod pair;
mod release;
mod rpm;
mod services;
mod trouble;
