//! What comes out of the controller, and what it is given of the computer.

use std::sync::Arc;
use std::time::SystemTime;

use super::contract::{Prefs, View};
use super::texts::Texts;
use super::tray::TrayModel;

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
