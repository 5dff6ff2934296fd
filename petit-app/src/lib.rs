//! Everything that the tray app decides, without a window: tested with fakes and paused time.
//!
//! The `controller` is the one owner of the desired state, of preferences and of what is shown. It takes
//! intents, statuses of the client that holds the connection (in this process, or another: [`link`]), and what the
//! system says; out comes one [`Shown`] value that tray, window and notifications are drawn from. [`App`] is its
//! handle; it also does what needs no owner: reading an invite, looking who listens, editing the config file.
//!
//! What the client does is in `petit-client`, and windows and trays are drawn in `src-tauri`; nothing here knows Tauri.

#![cfg_attr(
    test,
    allow(
        clippy::indexing_slicing,
        clippy::unwrap_used,
        clippy::panic,
        reason = "a test may assert by failing"
    )
)]

mod actions;
pub mod args;
pub mod autostart;
pub mod bundle;
mod checks;
pub mod contract;
mod controller;
pub mod deeplink;
#[cfg(test)]
mod examples;
mod handle;
pub mod link;
pub mod listening;
mod logs;
mod mistakes;
pub mod notes;
mod offered;
mod path;
pub mod prefs;
pub mod redact;
mod settings;
pub mod single;
#[cfg(test)]
mod testing;
pub mod texts;
mod told;
mod traffic;
pub mod tray;
mod view;
mod words;

use std::sync::Arc;
use std::time::SystemTime;

pub use self::controller::{Inputs, start};
pub use self::handle::{App, Place};
pub use self::view::{Owner, Trouble, TroubleKind};
use contract::{Prefs, View};
use texts::Texts;
use tray::TrayModel;

/// What tray and window are drawn from.
#[derive(Clone, Debug)]
pub struct Shown {
    /// The window's.
    pub view: View,
    /// The tray's.
    pub tray: TrayModel,
    /// The preferences in force.
    pub prefs: Prefs,
    /// The language.
    pub texts: Texts,
}

/// Starting when the user logs in.
pub trait LoginItem: Send + Sync + 'static {
    /// Whether it is set up, and would work.
    fn is_on(&self) -> bool;

    /// Sets it up, or takes it away.
    ///
    /// # Errors
    /// Why not.
    fn set(&self, on: bool) -> Result<(), String>;
}

/// The clock on the wall, which goes on while the computer sleeps.
pub type WallClock = Arc<dyn Fn() -> SystemTime + Send + Sync>;
