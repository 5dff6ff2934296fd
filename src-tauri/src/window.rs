//! The one window: built when it is wanted, destroyed when it is closed.

use std::sync::Arc;

use petit_app::contract::{Opening, Theme};
use serde::Serialize;
use tauri::webview::NewWindowResponse;
use tauri::window::Color;
use tauri::{AppHandle, Emitter, Manager, Url, WebviewUrl, WebviewWindow, WebviewWindowBuilder, WindowEvent};

use crate::system;
use crate::window_state::WindowState;

/// The window's name; its permissions hang on it.
const LABEL: &str = "main";
const SIZE: (u32, u32) = (960, 680);
const SMALLEST: (f64, f64) = (400.0, 420.0);

/// Shows the window at a page: builds it, or brings it to the front and tells its page.
pub(crate) fn show(app: &AppHandle, state: &Arc<WindowState>, opening: Opening, token: Option<&str>) {
    if let Some(window) = app.get_webview_window(LABEL) {
        if let Some(opening) = state.show_later(opening) {
            tell(app, "open", &opening);
            ui_thread(&window, token);
        }
        return;
    }
    state.set_opening(opening);
    match build(app, state) {
        Ok(window) => {
            ui_thread(&window, token);
            let app = state.app.clone();
            tauri::async_runtime::spawn(async move { app.window(true, None).await });
        }
        Err(error) => {
            tracing::error!(%error, "the window cannot be shown");
            #[cfg(windows)]
            {
                let texts = &state.app.shown().borrow().texts.clone();
                system::say(texts.get("window.missing.title"), texts.get("window.missing.text"));
            }
        }
    }
}

fn build(app: &AppHandle, state: &Arc<WindowState>) -> tauri::Result<WebviewWindow> {
    let shown = state.app.shown().borrow().clone();
    let (theme, ground) = match shown.prefs.theme {
        Theme::Light => (Some(tauri::Theme::Light), Some(LIGHT)),
        Theme::Dark => (Some(tauri::Theme::Dark), Some(DARK)),
        Theme::System => (None, system::is_dark().map(|dark| if dark { DARK } else { LIGHT })),
    };
    let (width, height) = state.app.window_size().unwrap_or(SIZE);
    let mut builder = WebviewWindowBuilder::new(app, LABEL, WebviewUrl::App("index.html".into()))
        .title(petit_host::brand::here().name())
        .inner_size(f64::from(width), f64::from(height))
        .min_inner_size(SMALLEST.0, SMALLEST.1)
        .theme(theme)
        .devtools(false)
        // The page may go nowhere else and open nothing.
        .on_navigation(is_ours)
        .on_new_window(|_, _| NewWindowResponse::Deny);
    if let Some(ground) = ground {
        // Otherwise the window is white until its page is drawn.
        builder = builder.background_color(ground);
    }
    if let Some(icon) = app.default_window_icon() {
        builder = builder.icon(icon.clone())?;
    }
    builder.build()
}

const LIGHT: Color = Color(0xf6, 0xf6, 0xf8, 0xff);
const DARK: Color = Color(0x13, 0x14, 0x17, 0xff);

fn is_ours(url: &Url) -> bool {
    match url.scheme() {
        "tauri" => true,
        // How Tauri serves the page on Windows.
        "http" | "https" => url.host_str() == Some("tauri.localhost"),
        _ => false,
    }
}

fn ui_thread(window: &WebviewWindow, token: Option<&str>) {
    let _ = window.unminimize();
    let _ = window.show();
    system::present(window, token);
    let _ = window.set_focus();
}

/// Closes the window.
pub(crate) fn close(app: &AppHandle, state: &WindowState) {
    if let Some(window) = app.get_webview_window(LABEL) {
        state.begin_closing();
        let _ = window.close();
    }
}

/// Tells the page something, when there is one.
pub(crate) fn tell<T: Serialize + Clone>(app: &AppHandle, event: &str, value: &T) {
    if app.get_webview_window(LABEL).is_some()
        && let Err(error) = app.emit_to(LABEL, event, value.clone())
    {
        tracing::warn!(%error, event, "the window was not told");
    }
}

/// Takes note of the window's end.
pub(crate) fn on_event(app: &AppHandle, state: &Arc<WindowState>, event: &WindowEvent) {
    match event {
        WindowEvent::CloseRequested { .. } => {
            state.begin_closing();
            let size = app.get_webview_window(LABEL).and_then(|window| {
                let size = window.inner_size().ok()?.to_logical::<u32>(window.scale_factor().ok()?);
                Some((size.width, size.height))
            });
            let _ = state.app.logs(None); // nobody reads along any more
            let app = state.app.clone();
            tauri::async_runtime::spawn(async move { app.window(false, size).await });
        }
        WindowEvent::Destroyed => {
            if let Some(opening) = state.end_closing() {
                // Once the old window's name is free, which it is when this event has been dealt with.
                let (handle, state) = (app.clone(), Arc::clone(state));
                tauri::async_runtime::spawn(async move {
                    let again = handle.clone();
                    let _ = handle.run_on_main_thread(move || show(&again, &state, opening, None));
                });
                return;
            }
            let app = state.app.clone();
            tauri::async_runtime::spawn(async move { app.window(false, None).await });
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_page_may_be_shown() {
        for (url, ours) in [
            ("tauri://localhost/index.html", true),
            ("http://tauri.localhost/", true),
            ("https://example.com/", false),
            ("http://localhost/", false),
            ("file:///etc/passwd", false),
            ("data:text/html,x", false),
        ] {
            assert_eq!(is_ours(&Url::parse(url).unwrap()), ours, "{url}");
        }
    }
}
