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
mod facts;
mod form;
mod found;
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
mod refusal;
mod settings;
mod shown;
pub mod single;
#[cfg(test)]
mod testing;
pub mod texts;
mod told;
mod traffic;
pub mod tray;
mod update;
mod view;
mod words;

pub use self::controller::Inputs;
pub use self::facts::{Owner, Trouble, TroubleKind};
pub use self::handle::{App, Place, start};
pub use self::shown::{LoginItem, Shown, WallClock};
