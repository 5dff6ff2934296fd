//! A desktop of a test's own: display, session bus, window manager, panel and keychain, and the real tray app in it.
//!
//! Nothing here touches the desktop of whoever runs the tests. What a test waits for it waits for by name, as in
//! `petit-tests`; a limit only ends a test that would hang.

#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may assert by failing"
)]

pub mod app;
pub mod driver;
pub mod notices;
pub mod panel;
pub mod session;
