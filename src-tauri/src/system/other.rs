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

/// Asks where a file is to be saved. The dialog blocks, so it has a thread of its own.
pub(crate) fn ask_where(_: &AppHandle, name: &str, answer: oneshot::Sender<Option<PathBuf>>) {
    let name = name.to_owned();
    let ask = move || drop(answer.send(rfd::FileDialog::new().set_file_name(name).save_file()));
    if let Err(error) = std::thread::Builder::new().spawn(ask) {
        tracing::warn!(%error, "nothing was asked");
    }
}
