//! A panel: the watcher that tray icons register with, and a reader of what they show.

use std::collections::HashMap;

use petit_tests::soon;
use tokio::sync::watch;
use zbus::object_server::SignalEmitter;
use zbus::zvariant::{OwnedValue, Value};
use zbus::{Connection, Proxy, interface};

const WATCHER: &str = "org.kde.StatusNotifierWatcher";

mod watcher {
    use super::*;

    /// Takes registrations, as KDE's and GNOME's panels do.
    pub(super) struct Watcher {
        pub(super) items: watch::Sender<Vec<String>>,
    }

    #[interface(name = "org.kde.StatusNotifierWatcher")]
    impl Watcher {
        async fn register_status_notifier_item(
            &mut self,
            service: String,
            #[zbus(header)] header: zbus::message::Header<'_>,
            #[zbus(signal_emitter)] emitter: SignalEmitter<'_>,
        ) {
            let sender = header.sender().map(ToString::to_string).unwrap_or_default();
            let item = if service.starts_with('/') { sender } else { service };
            self.items.send_modify(|items| items.push(item.clone()));
            let _ = Self::status_notifier_item_registered(&emitter, &item).await;
        }

        async fn register_status_notifier_host(&self, _service: String) {}

        #[zbus(property)]
        fn registered_status_notifier_items(&self) -> Vec<String> {
            self.items.borrow().clone()
        }

        #[zbus(property)]
        fn is_status_notifier_host_registered(&self) -> bool {
            true
        }

        #[zbus(property)]
        fn protocol_version(&self) -> i32 {
            0
        }

        #[zbus(signal)]
        async fn status_notifier_item_registered(emitter: &SignalEmitter<'_>, item: &str)
        -> zbus::Result<()>;
    }
}

use watcher::Watcher;

/// A panel on a bus; gone when dropped.
pub struct Panel {
    connection: Connection,
    items: watch::Receiver<Vec<String>>,
}

/// An entry of a menu as the panel sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    id: i32,
    /// Its text.
    pub label: String,
    /// Whether it can be clicked.
    pub enabled: bool,
    /// Whether it is ticked.
    pub ticked: bool,
}

impl Panel {
    /// A panel on the bus at an address.
    pub async fn start(bus: &str) -> Self {
        let (sender, items) = watch::channel(Vec::new());
        let builder = zbus::connection::Builder::address(bus).unwrap();
        let builder = builder.serve_at("/StatusNotifierWatcher", Watcher { items: sender }).unwrap();
        let connection = builder.name(WATCHER).unwrap().build().await.unwrap();
        Self { connection, items }
    }

    /// Waits until an icon has registered, and returns it.
    pub async fn icon(&self) -> Icon {
        let mut items = self.items.clone();
        let registered = soon("an icon", items.wait_for(|items| !items.is_empty())).await.unwrap();
        Icon { connection: self.connection.clone(), name: registered.last().unwrap().clone() }
    }

    /// Waits for an icon beyond the first `count` registrations.
    pub async fn icon_after(&self, count: usize) -> Icon {
        let mut items = self.items.clone();
        let registered = soon("a new icon", items.wait_for(|items| items.len() > count)).await.unwrap();
        Icon { connection: self.connection.clone(), name: registered.last().unwrap().clone() }
    }

    /// How many registrations there were.
    pub fn registrations(&self) -> usize {
        self.items.borrow().len()
    }
}

/// A tray icon.
pub struct Icon {
    connection: Connection,
    name: String,
}

type Layout = (i32, HashMap<String, OwnedValue>, Vec<OwnedValue>);

impl Icon {
    async fn proxy(&self, path: &'static str, interface: &'static str) -> Proxy<'_> {
        let builder = zbus::proxy::Builder::new(&self.connection);
        let builder: zbus::proxy::Builder<'_, Proxy<'_>> = builder;
        let builder = builder.destination(self.name.clone()).unwrap().path(path).unwrap();
        let builder = builder.interface(interface).unwrap();
        builder.cache_properties(zbus::proxy::CacheProperties::No).build().await.unwrap()
    }

    async fn item(&self) -> Proxy<'_> {
        self.proxy("/StatusNotifierItem", "org.kde.StatusNotifierItem").await
    }

    /// Its pictures: width, height, ARGB.
    pub async fn pictures(&self) -> Vec<(i32, i32, Vec<u8>)> {
        self.item().await.get_property("IconPixmap").await.unwrap()
    }

    /// `Active` or `NeedsAttention`.
    pub async fn status(&self) -> String {
        self.item().await.get_property("Status").await.unwrap()
    }

    /// A left click where left does not open the menu.
    pub async fn activate(&self) {
        self.item().await.call_method("Activate", &(0, 0)).await.unwrap();
    }

    /// The menu, submenus included, as one list.
    pub async fn menu(&self) -> Vec<Entry> {
        self.try_menu().await.unwrap()
    }

    async fn try_menu(&self) -> zbus::Result<Vec<Entry>> {
        let menu = self.proxy("/MenuBar", "com.canonical.dbusmenu").await;
        let names: [&str; 0] = [];
        let (_, layout): (u32, Layout) = menu.call("GetLayout", &(0, -1, &names[..])).await?;
        let mut entries = Vec::new();
        collect(layout, &mut entries);
        Ok(entries)
    }

    /// How many entries the first level has, separators included.
    pub async fn first_level(&self) -> usize {
        let menu = self.proxy("/MenuBar", "com.canonical.dbusmenu").await;
        let names: [&str; 0] = [];
        let (_, layout): (u32, Layout) = menu.call("GetLayout", &(0, 1, &names[..])).await.unwrap();
        layout.2.len()
    }

    /// Clicks the entry with a text, once the menu has it and it can be clicked.
    pub async fn click(&self, label: &str) {
        soon(&format!("{label:?} to be clicked"), async {
            loop {
                let entry = self.menu().await.into_iter().find(|entry| entry.label == label && entry.enabled);
                if let Some(entry) = entry {
                    let menu = self.proxy("/MenuBar", "com.canonical.dbusmenu").await;
                    let event = (entry.id, "clicked", Value::I32(0), 0_u32);
                    // The menu may have changed since it was read; its entries have other numbers then.
                    if menu.call_method("Event", &event).await.is_ok() {
                        return;
                    }
                }
                tokio::task::yield_now().await;
            }
        })
        .await;
    }

    /// Waits until the first line of the menu is as wanted, and returns it.
    pub async fn until_line(&self, what: &str, is_it: impl Fn(&str) -> bool) -> String {
        soon(what, async {
            loop {
                let line = self.menu().await.first().map(|entry| entry.label.clone()).unwrap_or_default();
                if is_it(&line) {
                    return line;
                }
                tokio::task::yield_now().await;
            }
        })
        .await
    }

    /// Waits until its program has gone.
    pub async fn until_gone(&self) {
        soon("the icon to go", async {
            while self.try_menu().await.is_ok() {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
}

fn collect((id, properties, children): Layout, entries: &mut Vec<Entry>) {
    let text = |name: &str| properties.get(name).and_then(|value| value.downcast_ref::<&str>().ok());
    let flag = |name: &str| properties.get(name).and_then(|value| value.downcast_ref::<bool>().ok());
    let state = properties.get("toggle-state").and_then(|value| value.downcast_ref::<i32>().ok());
    if id != 0 {
        entries.push(Entry {
            id,
            label: text("label").unwrap_or_default().replace("__", "_"),
            enabled: flag("enabled").unwrap_or(true),
            ticked: state == Some(1),
        });
    }
    for child in children {
        let layout: Layout = child.try_into().unwrap();
        collect(layout, entries);
    }
}
