//! Showing notifications. What is worth one is decided in `petit_app::notes`; nobody waits for them.

#[cfg(target_os = "linux")]
mod linux;
#[cfg_attr(not(windows), allow(dead_code, reason = "shown on Windows alone, and tested on every system"))]
mod toast;
#[cfg(windows)]
mod windows;

use petit_app::notes::Note;
use tokio::sync::mpsc;

use crate::ui_thread::UiThread;

/// Shows notes until there are no more.
#[cfg(target_os = "linux")]
pub(crate) async fn run(notes: mpsc::Receiver<Note>, ui_thread: UiThread) {
    linux::run(notes, ui_thread).await;
}

/// Shows notes until there are no more.
#[cfg(windows)]
pub(crate) async fn run(notes: mpsc::Receiver<Note>, ui_thread: UiThread) {
    windows::run(notes, ui_thread).await;
}

/// The menu bar's icon says the same; a notification of the system's own needs a bundle that is signed.
#[cfg(not(any(target_os = "linux", windows)))]
pub(crate) async fn run(mut notes: mpsc::Receiver<Note>, ui_thread: UiThread) {
    let _ = ui_thread;
    while let Some(note) = notes.recv().await {
        tracing::info!(about = ?note.about, "worth a notification");
    }
}
