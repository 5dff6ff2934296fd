//! What both of Petit's programs need from the computer they run on: a config file and its folder, TOML read with line
//! and column, whole-file writes, a lock that the kernel frees, log files that stay small, a local control socket, a
//! watch on the config file, a start in the background, updates, and the frame of their command lines.
//!
//! It knows nothing of tunnels; the engine knows nothing of it.

#![cfg_attr(
    test,
    allow(
        clippy::indexing_slicing,
        clippy::unwrap_used,
        clippy::panic,
        reason = "a test may assert by failing"
    )
)]

pub mod background;
pub mod brand;
pub mod cli;
pub mod colour;
pub mod config;
pub mod control;
pub mod exit;
pub mod file_id;
pub mod files;
pub mod folder;
pub mod handover;
pub mod harden;
pub mod lock;
pub mod logs;
pub mod service;
pub mod settings;
pub mod shutdown;
pub mod terminal;
pub mod toml_file;
pub mod update;
pub mod watch;

/// A future on the heap whose type is erased: what a trait object's method returns.
pub type BoxFuture<'a, T> = std::pin::Pin<Box<dyn Future<Output = T> + Send + 'a>>;
