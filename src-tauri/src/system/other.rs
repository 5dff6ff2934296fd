//! Windows and macOS.

use std::path::PathBuf;

use tauri::{AppHandle, WebviewWindow};
use tokio::sync::oneshot;

/// Nothing has to be prepared.
///
/// # Errors
/// None.
pub(crate) fn prepare() -> Result<(), String> {
    Ok(())
}

/// Not a question here.
pub(crate) fn is_root() -> bool {
    false
}

/// There are none here.
pub(crate) fn activation_token() -> Option<String> {
    None
}

/// The window follows the system by itself.
pub(crate) fn is_dark() -> Option<bool> {
    None
}

/// Puts a text on the clipboard.
pub(crate) fn copy(text: &str) {
    let copied = arboard::Clipboard::new().and_then(|mut clipboard| clipboard.set_text(text));
    if let Err(error) = copied {
        tracing::warn!(%error, "nothing was copied");
    }
}

/// Tauri's own focus is enough here.
pub(crate) fn present(_: &WebviewWindow, _: Option<&str>) {}

/// Says something in a box of the system's own, for when there is no window to say it in. One at a time: whoever clicks
/// again has not seen another problem. It blocks, so it has a thread of its own.
#[cfg(windows)]
pub(crate) fn say(title: String, text: String) {
    use std::sync::atomic::{AtomicBool, Ordering};
    static SAYING: AtomicBool = AtomicBool::new(false);
    if SAYING.swap(true, Ordering::AcqRel) {
        return;
    }
    let show = move || {
        let dialog = rfd::MessageDialog::new().set_level(rfd::MessageLevel::Warning);
        dialog.set_title(title).set_description(text).show();
        SAYING.store(false, Ordering::Release);
    };
    if let Err(error) = std::thread::Builder::new().spawn(show) {
        SAYING.store(false, Ordering::Release);
        tracing::warn!(%error, "nothing was said");
    }
}

/// Asks where a file is to be saved. The dialog blocks, so it has a thread of its own.
pub(crate) fn ask_where(_: &AppHandle, name: &str, answer: oneshot::Sender<Option<PathBuf>>) {
    let name = name.to_owned();
    let ask = move || drop(answer.send(rfd::FileDialog::new().set_file_name(name).save_file()));
    if let Err(error) = std::thread::Builder::new().spawn(ask) {
        tracing::warn!(%error, "nothing was asked");
    }
}
