//! Linux: GTK, which Tauri brings.

use std::path::PathBuf;

use gtk::prelude::*;
use tauri::{AppHandle, Manager, WebviewWindow};
use tokio::sync::oneshot;

/// Gets GTK going. WebKit and GTK read their variables when they are loaded into a running process for the first
/// time, so nothing has to be set before; those that a user has set are theirs.
///
/// # Errors
/// When there is no display after all.
pub(crate) fn prepare() -> Result<(), String> {
    gtk::init().map_err(|error| error.to_string())
}

/// True when the process runs as root.
pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// What lets a window of this start come to the front on Wayland.
pub(crate) fn activation_token() -> Option<String> {
    std::env::var("XDG_ACTIVATION_TOKEN").ok().filter(|token| !token.is_empty())
}

/// Whether the desktop is dark; `None` when it does not say.
pub(crate) fn is_dark() -> Option<bool> {
    let settings = gtk::Settings::default()?;
    let name = settings.gtk_theme_name().map(|name| name.to_lowercase()).unwrap_or_default();
    Some(settings.is_gtk_application_prefer_dark_theme() || name.ends_with("-dark"))
}

/// Puts a text on the clipboard. It is there for as long as the app is, and longer where a manager keeps it.
pub(crate) fn copy(text: &str) {
    let clipboard = gtk::Clipboard::get(&gtk::gdk::SELECTION_CLIPBOARD);
    clipboard.set_text(text);
    clipboard.store();
}

/// Brings a window to the front.
pub(crate) fn present(window: &WebviewWindow, token: Option<&str>) {
    if let Ok(window) = window.gtk_window() {
        if let Some(token) = token {
            window.set_startup_id(token);
        }
        window.present();
    }
}

/// Asks where a file is to be saved.
pub(crate) fn ask_where(app: &AppHandle, name: &str, answer: oneshot::Sender<Option<PathBuf>>) {
    let parent = app.get_webview_window("main").and_then(|window| window.gtk_window().ok());
    let dialog = gtk::FileChooserNative::new(None, parent.as_ref(), gtk::FileChooserAction::Save, None, None);
    dialog.set_current_name(name);
    dialog.set_do_overwrite_confirmation(true);
    let answer = std::cell::Cell::new(Some(answer));
    // The dialog keeps itself while it is on the screen.
    let kept = std::cell::RefCell::new(Some(dialog.clone()));
    dialog.connect_response(move |dialog, response| {
        let path = (response == gtk::ResponseType::Accept).then(|| dialog.filename()).flatten();
        if let Some(answer) = answer.take() {
            let _ = answer.send(path);
        }
        dialog.hide();
        kept.borrow_mut().take();
    });
    dialog.show();
}
