//! Showing notifications. What is worth one is decided in `petit_app::notes`; nobody waits for them.

#[cfg(target_os = "linux")]
mod linux;

use petit_app::notes::Note;
use tokio::sync::mpsc;

use crate::ui_thread::UiThread;

/// Shows notes until there are no more.
#[cfg(target_os = "linux")]
pub(crate) async fn run(notes: mpsc::Receiver<Note>, ui_thread: UiThread) {
    linux::run(notes, ui_thread).await;
}

/// The tray's icon and tooltip say the same; a notification of the system's own needs an installed app here.
#[cfg(not(target_os = "linux"))]
pub(crate) async fn run(mut notes: mpsc::Receiver<Note>, ui_thread: UiThread) {
    let _ = ui_thread;
    while let Some(note) = notes.recv().await {
        tracing::info!(about = ?note.about, "worth a notification");
    }
}
