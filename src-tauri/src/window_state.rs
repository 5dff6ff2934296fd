//! What the commands of the window are given: the app, and the few things that only a desktop can do.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use petit_app::contract::{LogLine, Opening};
use petit_app::{App, Place};
use petit_host::BoxFuture;
use tokio::sync::{mpsc, watch};

/// What only a desktop can do. A trait, so that the commands are tested without one.
pub(crate) trait Shell: Send + Sync + 'static {
    /// Puts a text on the clipboard.
    fn copy(&self, text: String);

    /// Opens something outside.
    ///
    /// # Errors
    /// Why not.
    fn open(&self, place: &Place) -> Result<(), String>;

    /// Asks where a file is to be saved; `None` when the person thought better of it.
    fn ask_where(&self, name: String) -> BoxFuture<'_, Option<PathBuf>>;

    /// Ends the app.
    fn quit(&self);
}

/// What the commands of the window are given.
pub(crate) struct WindowState {
    pub(crate) app: App,
    pub(crate) shell: Arc<dyn Shell>,
    /// New lines of the log, for the window.
    pub(crate) lines: mpsc::Sender<Vec<LogLine>>,
    /// Where the next window begins.
    opening: Mutex<Opening>,
    /// Set while the window is being closed: what is asked to be shown meanwhile waits for its end.
    closing: Mutex<Closing>,
    /// How often a page has begun; for the smoke test.
    pub(crate) boots: watch::Sender<u32>,
}

/// Whether the window is being closed, and what is to be shown when it has been.
#[derive(Default)]
enum Closing {
    #[default]
    No,
    Yes(Option<Opening>),
}

impl WindowState {
    /// The window is being closed from here on.
    pub(crate) fn begin_closing(&self) {
        let mut closing = self.closing.lock().unwrap_or_else(PoisonError::into_inner);
        if let Closing::No = *closing {
            *closing = Closing::Yes(None);
        }
    }

    /// The window has been closed; returns what was asked to be shown meanwhile.
    pub(crate) fn end_closing(&self) -> Option<Opening> {
        match std::mem::take(&mut *self.closing.lock().unwrap_or_else(PoisonError::into_inner)) {
            Closing::Yes(waiting) => waiting,
            Closing::No => None,
        }
    }

    /// Keeps what is to be shown until the window that is being closed has gone; gives it back when there is none.
    pub(crate) fn show_later(&self, opening: Opening) -> Option<Opening> {
        match &mut *self.closing.lock().unwrap_or_else(PoisonError::into_inner) {
            Closing::Yes(waiting) => {
                *waiting = Some(opening);
                None
            }
            Closing::No => Some(opening),
        }
    }

    pub(crate) fn new(app: App, shell: Arc<dyn Shell>, lines: mpsc::Sender<Vec<LogLine>>) -> Self {
        Self {
            app,
            shell,
            lines,
            opening: Mutex::default(),
            closing: Mutex::default(),
            boots: watch::Sender::new(0),
        }
    }

    /// Where the next window begins.
    pub(crate) fn set_opening(&self, opening: Opening) {
        *self.opening.lock().unwrap_or_else(PoisonError::into_inner) = opening;
    }

    /// Where this window begins; the next one begins at the beginning.
    pub(crate) fn take_opening(&self) -> Opening {
        std::mem::take(&mut *self.opening.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
