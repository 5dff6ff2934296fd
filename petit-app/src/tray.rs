//! The tray as a value: what the icon is, what the menu holds. Backends draw it and compare it with what they drew
//! last, so that nothing is sent for nothing.

use petit_client::status::Light;

use super::contract::{ActionName, Page, PauseFor, Registered, Service, StateKind, Tone, View};
use super::texts::Texts;

/// Most entries of the first level; GNOME draws submenus inline, and long menus do not fit.
pub const MOST_ITEMS: usize = 12;
/// Most characters of a line.
const MOST_CHARACTERS: usize = 80;

/// The icon: one shape for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Icon {
    Unregistered,
    Off,
    Paused,
    Connecting,
    Online,
    /// Connected, but not everything works.
    Partly,
    Waiting,
    Stopped,
    Locked,
    Broken,
}

impl Icon {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Unregistered,
        Self::Off,
        Self::Paused,
        Self::Connecting,
        Self::Online,
        Self::Partly,
        Self::Waiting,
        Self::Stopped,
        Self::Locked,
        Self::Broken,
    ];

    /// The name of its file.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unregistered => "unregistered",
            Self::Off => "off",
            Self::Paused => "paused",
            Self::Connecting => "connecting",
            Self::Online => "online",
            Self::Partly => "partly",
            Self::Waiting => "waiting",
            Self::Stopped => "stopped",
            Self::Locked => "locked",
            Self::Broken => "broken",
        }
    }
}

/// What an entry does.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Goes online.
    Start,
    /// Goes offline.
    Stop,
    /// Goes offline for a while.
    Pause(PauseFor),
    /// Asks the keychain again.
    Unlock,
    /// Copies a text.
    Copy(String),
    /// Shows the window.
    Open(Page),
    /// Starts, or does not start, when the user logs in.
    StartOnLogin(bool),
    /// Ends.
    Quit,
}

/// An entry of the menu.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// Text to read.
    Line(String),
    /// A line between groups.
    Separator,
    /// Something to do.
    Entry {
        /// What it says.
        text: String,
        /// What it does.
        action: Action,
    },
    /// Something that is so or not.
    Check {
        /// What it says.
        text: String,
        /// Whether it is so.
        checked: bool,
        /// What it does.
        action: Action,
    },
    /// A menu of its own.
    Menu {
        /// What it says.
        text: String,
        /// What is in it.
        items: Vec<Item>,
    },
}

/// The tray.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrayModel {
    /// The icon.
    pub icon: Icon,
    /// The user has to act.
    pub attention: bool,
    /// The state in one line.
    pub line: String,
    /// The menu.
    pub items: Vec<Item>,
}

/// The tray for a view.
pub fn model(view: &View, texts: &Texts, start_on_login: bool) -> TrayModel {
    let line = line(view, texts);
    TrayModel {
        icon: icon(view),
        attention: matches!(view.state.kind, StateKind::Stopped | StateKind::Locked | StateKind::Broken)
            && view.headline.tone == Tone::Bad,
        items: items(view, texts, &line, start_on_login),
        line,
    }
}

fn icon(view: &View) -> Icon {
    match view.state.kind {
        StateKind::Unregistered => Icon::Unregistered,
        StateKind::Off => Icon::Off,
        StateKind::Paused => Icon::Paused,
        StateKind::Connecting => Icon::Connecting,
        StateKind::Online if matches!(view.headline.tone, Tone::Warn | Tone::Bad) => Icon::Partly,
        StateKind::Online => Icon::Online,
        StateKind::Waiting => Icon::Waiting,
        StateKind::Stopped => Icon::Stopped,
        StateKind::Locked => Icon::Locked,
        StateKind::Broken => Icon::Broken,
    }
}

/// What is exposed to whom, and whether it works. It says nothing that changes by itself every second.
fn line(view: &View, texts: &Texts) -> String {
    let what = [("what", view.headline.detail.as_str())];
    let vendor = view.registered.as_ref().map(vendor).unwrap_or_default();
    let vendor = ("vendor", vendor.as_str());
    let text = match view.state.kind {
        StateKind::Unregistered => texts.get("tray.unregistered"),
        StateKind::Off => texts.get("tray.off"),
        StateKind::Paused => {
            let until = view.state.until.unwrap_or_default();
            let time = super::view::clock(until, std::time::SystemTime::now(), &jiff::tz::TimeZone::system());
            texts.fill("tray.paused", &[("time", &time)])
        }
        StateKind::Connecting => texts.fill("tray.connecting", &[vendor]),
        StateKind::Online => online(view, texts, vendor),
        StateKind::Waiting => texts.fill("tray.waiting", &what),
        StateKind::Stopped => texts.fill("tray.stopped", &what),
        StateKind::Locked => texts.fill("tray.locked", &what),
        StateKind::Broken => texts.fill("tray.broken", &what),
    };
    shorten(&text)
}

/// The vendor, by its name and the host that it is.
fn vendor(at: &Registered) -> String {
    let host = at.server.rsplit_once(':').map_or(at.server.as_str(), |(host, _)| host);
    match &at.vendor {
        Some(vendor) => format!("{vendor} ({host})"),
        None => host.to_owned(),
    }
}

fn online(view: &View, texts: &Texts, vendor: (&str, &str)) -> String {
    let broken = view.services.iter().find(|service| service.light == Light::Red);
    match (view.services.as_slice(), broken) {
        ([], _) => texts.get("tray.online.empty"),
        (_, Some(service)) => {
            let values = [("service", service.name.as_str()), ("what", service.words.what.as_str())];
            texts.fill("tray.online.broken", &values)
        }
        (services, None) if services.iter().any(|service| service.light == Light::Checking) => {
            texts.fill("tray.online.checking", &[vendor])
        }
        (services, None) if services.iter().any(|service| service.light == Light::UpToServer) => {
            texts.fill("tray.online.up_to_server", &[vendor])
        }
        ([one], None) => texts.fill("tray.online", &[vendor, ("service", &one.target)]),
        (many, None) => texts.fill("tray.online.many", &[vendor, ("count", &many.len().to_string())]),
    }
}

fn shorten(text: &str) -> String {
    if text.chars().count() <= MOST_CHARACTERS {
        return text.to_owned();
    }
    let kept: String = text.chars().take(MOST_CHARACTERS - 1).collect();
    format!("{}…", kept.trim_end())
}

fn items(view: &View, texts: &Texts, line: &str, start_on_login: bool) -> Vec<Item> {
    let entry = |key: &str, action: Action| Item::Entry { text: texts.get(key), action };
    let mut items = vec![Item::Line(line.to_owned())];
    items.extend(addresses(&view.services, texts));
    items.push(Item::Separator);
    // What tries again by itself needs no hand, and the menu has little room.
    let primary = view.actions.iter().find(|action| action.primary && view.state.kind != StateKind::Waiting);
    items.extend(match (view.state.kind, primary) {
        (StateKind::Unregistered, _) => Some(entry("tray.setup", Action::Open(Page::Setup))),
        (_, primary) => primary.map(|action| way_out(action, texts)),
    });
    if view.can.unlock && !items.iter().any(|item| matches!(item, Item::Entry { action: Action::Unlock, .. }))
    {
        items.push(entry("tray.unlock", Action::Unlock));
    }
    if matches!(view.state.kind, StateKind::Connecting | StateKind::Online | StateKind::Waiting) {
        items.push(entry("tray.stop", Action::Stop));
    }
    if view.can.pause {
        let lengths = [
            ("tray.pause.15min", PauseFor::QuarterHour),
            ("tray.pause.1h", PauseFor::Hour),
            ("tray.pause.tomorrow", PauseFor::Tomorrow),
        ];
        let lengths = lengths.map(|(key, length)| entry(key, Action::Pause(length))).to_vec();
        items.push(Item::Menu { text: texts.get("tray.pause"), items: lengths });
    }
    items.push(Item::Separator);
    items.push(entry("tray.open", Action::Open(Page::Overview)));
    items.push(entry("tray.logs", Action::Open(Page::Logs)));
    items.push(entry("tray.settings", Action::Open(Page::Settings)));
    items.push(Item::Check {
        text: texts.get("tray.login"),
        checked: start_on_login,
        action: Action::StartOnLogin(!start_on_login),
    });
    items.push(Item::Separator);
    let running = view.can.pause;
    items.push(entry(if running { "tray.quit.running" } else { "tray.quit" }, Action::Quit));
    items
}

/// What helps in this state.
fn way_out(action: &super::contract::Action, texts: &Texts) -> Item {
    let open = |page| (format!("{} …", action.label), Action::Open(page));
    let (text, action) = match action.name {
        ActionName::Start => (action.label.clone(), Action::Start),
        ActionName::Resume => (action.label.clone(), Action::Start),
        ActionName::Unlock => (texts.get("tray.unlock"), Action::Unlock),
        ActionName::Stop => (action.label.clone(), Action::Stop),
        ActionName::Register => open(Page::Setup),
        ActionName::Services => open(Page::Services),
        ActionName::Settings => open(Page::Settings),
        ActionName::Diagnostics => open(Page::Diagnostics),
    };
    Item::Entry { text, action }
}

/// The public address of one service, or of each in a menu of its own.
fn addresses(services: &[Service], texts: &Texts) -> Option<Item> {
    let entry = |service: &Service| {
        let url = service.url.clone()?;
        // The readable name is the one to show; the address that is copied always works.
        let shown = service.aliases.first().cloned().unwrap_or_else(|| url.clone());
        Some(Item::Entry { text: format!("{} → {shown}", service.target), action: Action::Copy(url) })
    };
    let mut entries: Vec<Item> = services.iter().filter_map(entry).collect();
    match entries.len() {
        0 => None,
        1 => entries.pop(),
        _ => Some(Item::Menu { text: texts.get("tray.copy"), items: entries }),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::UNIX_EPOCH;

    use petit_client::status::{BrokenAt, Connection, KeyTrouble, Status};
    use petit_engine::cause::{Cause, FrontCause, FrontUntried};

    use super::*;
    use crate::facts::Facts;
    use crate::prefs::DesiredState;
    use crate::testing::{at, broken, facts, online, registration, service, up_to_server};
    use crate::view;

    fn tray(desired: DesiredState, status: &Status) -> TrayModel {
        let (texts, known) = (Texts::of("en"), registration());
        let view = view::view(Facts {
            now: UNIX_EPOCH,
            desired,
            registration: Some(&known),
            since: None,
            ..facts(&texts, Some(status))
        });
        model(&view, &texts, true)
    }

    fn texts_of(model: &TrayModel) -> Vec<&str> {
        model
            .items
            .iter()
            .map(|item| match item {
                Item::Line(text)
                | Item::Entry { text, .. }
                | Item::Check { text, .. }
                | Item::Menu { text, .. } => text.as_str(),
                Item::Separator => "-",
            })
            .collect()
    }

    #[test]
    fn the_menu_of_a_working_client() {
        let model = tray(DesiredState::On, &at(Connection::Online { since: 1 }));
        assert_eq!((model.icon, model.attention), (Icon::Online, false));
        assert_eq!(
            texts_of(&model),
            [
                "Working: localhost:3000 is open to visitors of Nordlicht (tunnel.example.com)",
                "localhost:3000 → https://abcdefghijklmnop.example.com",
                "-",
                "Stop",
                "Pause",
                "-",
                "Open Petit",
                "Log …",
                "Settings …",
                "Start on login",
                "-",
                "Disconnect and quit",
            ]
        );
    }

    #[test]
    fn each_state_has_an_icon_of_its_own_and_a_menu_that_fits() {
        let cause = Cause::NameNotFound;
        let table = [
            (DesiredState::On, Connection::Unregistered, Icon::Unregistered, "Set up …", false),
            (DesiredState::Off, Connection::Off, Icon::Off, "Start", false),
            (DesiredState::Paused { until: 60 }, Connection::Off, Icon::Paused, "Go on now", false),
            (DesiredState::On, Connection::Connecting, Icon::Connecting, "Stop", false),
            (DesiredState::On, Connection::Online { since: 1 }, Icon::Online, "Stop", false),
            (DesiredState::On, Connection::Waiting { cause, retry_in_ms: 5 }, Icon::Waiting, "Stop", false),
            (
                DesiredState::On,
                Connection::Stopped { cause: Cause::Unknown },
                Icon::Stopped,
                "Enter a new invite …",
                true,
            ),
            (
                DesiredState::On,
                Connection::Stopped { cause: Cause::VersionMismatch },
                Icon::Stopped,
                "Try again",
                true,
            ),
            (
                DesiredState::On,
                Connection::NoKey { trouble: KeyTrouble::Locked },
                Icon::Locked,
                "Try the keychain again",
                true,
            ),
            (
                DesiredState::On,
                Connection::NoKey { trouble: KeyTrouble::Asked },
                Icon::Locked,
                "Try the keychain again",
                false,
            ),
        ];
        for (desired, connection, icon, first, attention) in table {
            let model = tray(desired, &at(connection.clone()));
            assert_eq!((model.icon, model.attention), (icon, attention), "{connection:?}");
            assert!(texts_of(&model).contains(&first), "{connection:?}: {model:?}");
            assert!(model.items.len() <= MOST_ITEMS, "{connection:?}");
        }
        let names: BTreeSet<&str> = Icon::ALL.iter().map(|icon| icon.name()).collect();
        assert_eq!(names.len(), Icon::ALL.len());
    }

    #[test]
    fn many_services_share_one_submenu_and_a_broken_one_is_named() {
        let mut status = online((0..30).map(|n| service(&format!("web-{n}"))).collect());
        let model = tray(DesiredState::On, &status);
        assert!(model.items.len() <= MOST_ITEMS);
        assert_eq!(model.line, "Working: 30 services are open to visitors of Nordlicht (tunnel.example.com)");
        assert!(matches!(&model.items[1], Item::Menu { items, .. } if items.len() == 30));
        let front = BrokenAt::Front(FrontCause::ConnectionRefused);
        status.services[3] = broken(service("web-3"), front);
        let model = tray(DesiredState::On, &status);
        assert_eq!(model.icon, Icon::Partly);
        assert!(model.line.starts_with("web-3: "), "{}", model.line);
    }

    #[test]
    fn a_public_address_that_was_not_tried_is_told() {
        let status = online(vec![up_to_server(service("web"), FrontUntried::Unsupported)]);
        let model = tray(DesiredState::On, &status);
        assert_eq!(model.icon, Icon::Partly);
        assert_eq!(
            model.line,
            "Connected to Nordlicht (tunnel.example.com); the public address was not tried"
        );
    }

    #[test]
    fn time_that_passes_changes_nothing() {
        let cause = Cause::NameNotFound;
        let waiting = |retry_in_ms| tray(DesiredState::On, &at(Connection::Waiting { cause, retry_in_ms }));
        assert_eq!(waiting(8000), waiting(3000));
        let mut busy = online(vec![service("web")]);
        let before = tray(DesiredState::On, &busy);
        busy.services[0].visits += 9;
        busy.services[0].from_service_bytes += 99;
        assert_eq!(tray(DesiredState::On, &busy), before);
    }

    #[test]
    fn long_lines_are_cut() {
        assert_eq!(shorten(&"x".repeat(200)).chars().count(), MOST_CHARACTERS);
        assert_eq!(shorten("short"), "short");
    }
}
