//! The tray on Windows and macOS: Tauri's own, which lives on the main thread.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use petit_app::Shown;
use petit_app::contract::Page;
use petit_app::tray::{Action, Item, TrayModel};
use tauri::menu::{CheckMenuItem, IsMenuItem, Menu, MenuItem, PredefinedMenuItem, Submenu};
use tauri::tray::{MouseButton, MouseButtonState, TrayIcon, TrayIconBuilder, TrayIconEvent};
use tauri::{AppHandle, Wry};
use tokio::sync::{mpsc, oneshot, watch};

use super::backend::{self, Backend, Click};
use super::icons;

/// What the entries of the present menu do, by their ids.
type Actions = Arc<Mutex<HashMap<String, Action>>>;

/// The handle of the app, once its loop runs.
static APP: Mutex<Option<oneshot::Sender<AppHandle>>> = Mutex::new(None);

/// The loop runs: the tray may be made.
pub(crate) fn start(app: &AppHandle) {
    if let Some(waiting) = APP.lock().unwrap_or_else(PoisonError::into_inner).take() {
        let _ = waiting.send(app.clone());
    }
}

pub(super) async fn run(shown: watch::Receiver<Arc<Shown>>, clicks: mpsc::Sender<Click>) {
    let (ready, is_ready) = oneshot::channel();
    *APP.lock().unwrap_or_else(PoisonError::into_inner) = Some(ready);
    let Ok(app) = is_ready.await else { return };
    let actions = Actions::default();
    match build(&app, &actions, clicks) {
        Ok(icon) => backend::follow(shown, Native { app, icon, actions }).await,
        Err(error) => tracing::error!(%error, "there is no tray"),
    }
}

fn build(app: &AppHandle, actions: &Actions, clicks: mpsc::Sender<Click>) -> tauri::Result<TrayIcon> {
    let (by_menu, by_icon) = (clicks.clone(), clicks);
    let actions = Arc::clone(actions);
    TrayIconBuilder::with_id("petit")
        // Left shows the window where menus belong to the right button.
        .show_menu_on_left_click(cfg!(target_os = "macos"))
        // The menu bar gives icons its own colour there.
        .icon_as_template(cfg!(target_os = "macos"))
        .on_menu_event(move |_, event| {
            let action =
                actions.lock().unwrap_or_else(PoisonError::into_inner).get(event.id().as_ref()).cloned();
            if let Some(action) = action {
                let _ = by_menu.try_send(Click { action, token: None });
            }
        })
        .on_tray_icon_event(move |_, event| {
            if let TrayIconEvent::Click {
                button: MouseButton::Left, button_state: MouseButtonState::Up, ..
            } = event
                && !cfg!(target_os = "macos")
            {
                let _ = by_icon.try_send(Click { action: Action::Open(Page::Overview), token: None });
            }
        })
        .build(app)
}

struct Native {
    app: AppHandle,
    icon: TrayIcon,
    actions: Actions,
}

impl Backend for Native {
    async fn draw(&mut self, model: TrayModel) {
        let (app, icon, actions) = (self.app.clone(), self.icon.clone(), Arc::clone(&self.actions));
        let drawn = self.app.run_on_main_thread(move || {
            if let Err(error) = draw(&app, &icon, &actions, &model) {
                tracing::warn!(%error, "the tray was not drawn");
            }
        });
        if let Err(error) = drawn {
            tracing::warn!(%error, "the tray was not drawn");
        }
    }
}

fn draw(app: &AppHandle, icon: &TrayIcon, actions: &Actions, model: &TrayModel) -> tauri::Result<()> {
    let mut found = HashMap::new();
    let menu = Menu::new(app)?;
    for item in &model.items {
        menu.append(&*entry(app, item, &mut found)?)?;
    }
    *actions.lock().unwrap_or_else(PoisonError::into_inner) = found;
    #[cfg(target_os = "macos")]
    let mut pictures = icons::templates(model.icon);
    #[cfg(not(target_os = "macos"))]
    let mut pictures = icons::pictures(model.icon);
    // The sharpest that these systems scale well.
    icon.set_icon(pictures.pop())?;
    icon.set_tooltip(Some(format!("{}: {}", petit_host::brand::here().name(), model.line)))?;
    icon.set_menu(Some(menu))
}

fn entry(
    app: &AppHandle,
    item: &Item,
    actions: &mut HashMap<String, Action>,
) -> tauri::Result<Box<dyn IsMenuItem<Wry>>> {
    let mut id = |action: &Action| {
        let id = format!("entry-{}", actions.len());
        actions.insert(id.clone(), action.clone());
        id
    };
    Ok(match item {
        Item::Separator => Box::new(PredefinedMenuItem::separator(app)?),
        Item::Line(text) => Box::new(MenuItem::new(app, text, false, None::<&str>)?),
        Item::Entry { text, action } => {
            Box::new(MenuItem::with_id(app, id(action), text, true, None::<&str>)?)
        }
        Item::Check { text, checked, action } => {
            Box::new(CheckMenuItem::with_id(app, id(action), text, true, *checked, None::<&str>)?)
        }
        Item::Menu { text, items } => {
            let menu = Submenu::new(app, text, true)?;
            for item in items {
                menu.append(&*entry(app, item, actions)?)?;
            }
            Box::new(menu)
        }
    })
}
