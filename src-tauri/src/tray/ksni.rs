//! The tray on Linux: StatusNotifierItem over D-Bus, without GTK.
//!
//! The item registers when a panel comes, however late, and again when the panel was restarted. There is nothing
//! that only a left click reaches, because GNOME has none.

use std::sync::Arc;

use ksni::menu::{CheckmarkItem, StandardItem, SubMenu};
use ksni::{Category, Handle, MenuItem, OfflineReason, Status, ToolTip, TrayMethods};
use petit_app::Shown;
use petit_app::contract::Page;
use petit_app::tray::{Action, Item, TrayModel};
use tokio::sync::{mpsc, watch};

use super::backend::{self, Backend, Click};
use super::icons;

pub(super) async fn run(
    shown: watch::Receiver<Arc<Shown>>,
    clicks: mpsc::Sender<Click>,
    hosts: mpsc::Sender<bool>,
) {
    let model = shown.borrow().tray.clone();
    let tray = Tray { model, clicks, hosts: hosts.clone() };
    match tray.assume_sni_available(true).spawn().await {
        Ok(handle) => backend::follow(shown, handle).await,
        Err(error) => {
            tracing::warn!(%error, "there is no tray");
            let _ = hosts.send(false).await;
            std::future::pending::<()>().await;
        }
    }
}

impl Backend for Handle<Tray> {
    async fn draw(&mut self, model: TrayModel) {
        if self.update(|tray| tray.model = model).await.is_none() {
            tracing::warn!("the tray has ended");
        }
    }
}

struct Tray {
    model: TrayModel,
    clicks: mpsc::Sender<Click>,
    hosts: mpsc::Sender<bool>,
}

impl Tray {
    fn click(&self, action: Action) {
        let click = Click { action, token: ksni::current_xdg_activation_token() };
        // D-Bus is not kept waiting.
        if self.clicks.try_send(click).is_err() {
            tracing::warn!("a click came too fast");
        }
    }

    fn item(item: &Item) -> MenuItem<Self> {
        match item.clone() {
            Item::Separator => MenuItem::Separator,
            Item::Line(text) => {
                StandardItem { label: label(&text), enabled: false, ..Default::default() }.into()
            }
            Item::Entry { text, action } => StandardItem {
                label: label(&text),
                activate: Box::new(move |tray: &mut Self| tray.click(action.clone())),
                ..Default::default()
            }
            .into(),
            Item::Check { text, checked, action } => CheckmarkItem {
                label: label(&text),
                checked,
                activate: Box::new(move |tray: &mut Self| tray.click(action.clone())),
                ..Default::default()
            }
            .into(),
            Item::Menu { text, items } => SubMenu {
                label: label(&text),
                submenu: items.iter().map(Self::item).collect(),
                ..Default::default()
            }
            .into(),
        }
    }
}

/// In a label an underscore marks a key; two are one.
fn label(text: &str) -> String {
    text.replace('_', "__")
}

impl ksni::Tray for Tray {
    fn id(&self) -> String {
        "petit".to_owned()
    }

    fn title(&self) -> String {
        petit_host::brand::here().name().to_owned()
    }

    fn category(&self) -> Category {
        Category::Communications
    }

    fn status(&self) -> Status {
        if self.model.attention { Status::NeedsAttention } else { Status::Active }
    }

    fn icon_pixmap(&self) -> Vec<ksni::Icon> {
        pixmaps(&self.model)
    }

    fn attention_icon_pixmap(&self) -> Vec<ksni::Icon> {
        pixmaps(&self.model)
    }

    fn tool_tip(&self) -> ToolTip {
        ToolTip {
            title: petit_host::brand::here().name().to_owned(),
            description: self.model.line.clone(),
            ..Default::default()
        }
    }

    fn menu(&self) -> Vec<MenuItem<Self>> {
        self.model.items.iter().map(Self::item).collect()
    }

    fn activate(&mut self, _: i32, _: i32) {
        self.click(Action::Open(Page::Overview));
    }

    fn secondary_activate(&mut self, _: i32, _: i32) {
        self.click(Action::Open(Page::Overview));
    }

    fn watcher_online(&self) {
        let _ = self.hosts.try_send(true);
    }

    fn watcher_offline(&self, reason: OfflineReason) -> bool {
        tracing::info!("no panel shows the icon at the moment");
        tracing::debug!(?reason, "why");
        let _ = self.hosts.try_send(false);
        true // it may come back
    }
}

/// The icon as D-Bus carries it: ARGB, most significant byte first.
fn pixmaps(model: &TrayModel) -> Vec<ksni::Icon> {
    let pixmap = |picture: tauri::image::Image<'_>| {
        let mut data = picture.rgba().to_vec();
        for element in data.chunks_exact_mut(4) {
            element.rotate_right(1);
        }
        let side = |side: u32| i32::try_from(side).unwrap_or(i32::MAX);
        ksni::Icon { width: side(picture.width()), height: side(picture.height()), data }
    };
    icons::pictures(model.icon).into_iter().map(pixmap).collect()
}
