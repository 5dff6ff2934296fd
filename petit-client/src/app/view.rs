//! From what is known to what is shown. Pure: one value in, one value out, times with it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use petit_engine::proto::control::Trial;
use petit_engine::secret::Fingerprint;

use super::contract::{
    Can, Headline, Hop, HopId, Notice, NoticeAction, Problem, Registered, Service, State, StateKind, Tone,
    Traffic, View, Words,
};
use super::prefs::Wish;
use super::texts::Texts;
use super::words;
use crate::hops::{self, HopName, HopState};
use crate::registration::Registration;
use crate::status::{Connection, KeyTrouble, Light, ServiceStatus, Status};

/// Who holds the connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Whose {
    /// Nobody; or it is not known yet.
    #[default]
    Nobody,
    /// This process.
    Ours,
    /// Another process on this computer.
    Another {
        /// Its number, when it has said so.
        pid: Option<u32>,
    },
}

/// All that is known.
#[derive(Clone, Debug)]
pub(crate) struct Facts<'a> {
    /// The language.
    pub(crate) texts: &'a Texts,
    /// The moment.
    pub(crate) now: SystemTime,
    /// What the user wants of this process.
    pub(crate) wish: Wish,
    /// Who holds the connection.
    pub(crate) whose: Whose,
    /// Where the client stands.
    pub(crate) status: Option<&'a Status>,
    /// What is written down of the registration.
    pub(crate) registration: Option<&'a Registration>,
    /// The services of the config file, for when the client shows none.
    pub(crate) configured: &'a [(String, super::contract::ServiceKind, String)],
    /// Why there can be no client.
    pub(crate) trouble: Option<&'a Words>,
    /// A mistake in the config file.
    pub(crate) config_problem: Option<&'a Problem>,
    /// How much goes through.
    pub(crate) traffic: Traffic,
    /// Since when the state is what it is; seconds since 1970.
    pub(crate) since: Option<u64>,
    /// This desktop has no tray.
    pub(crate) no_tray: bool,
    /// The process runs as root.
    pub(crate) is_root: bool,
}

/// The kind of the state.
pub(crate) fn kind(facts: &Facts<'_>) -> StateKind {
    if facts.trouble.is_some() {
        return StateKind::Broken;
    }
    let Some(status) = facts.status else {
        return if facts.wish.is_on() { StateKind::Connecting } else { StateKind::Off };
    };
    if let Connection::Unregistered = status.connection {
        return StateKind::Unregistered;
    }
    if facts.whose == Whose::Ours {
        match facts.wish {
            Wish::Off => return StateKind::Off,
            Wish::Paused { .. } => return StateKind::Paused,
            Wish::On => {}
        }
    }
    match status.connection {
        Connection::Unregistered => StateKind::Unregistered,
        // Ours has been told to go online and is about to.
        Connection::Off if facts.whose == Whose::Ours => StateKind::Connecting,
        Connection::Off => StateKind::Off,
        Connection::NoKey { .. } => StateKind::Locked,
        Connection::Connecting => StateKind::Connecting,
        Connection::Online { .. } => StateKind::Online,
        Connection::Waiting { .. } => StateKind::Waiting,
        Connection::Stopped { .. } => StateKind::Stopped,
    }
}

/// What is shown.
pub(crate) fn view(facts: Facts<'_>) -> View {
    let kind = kind(&facts);
    let services = services(&facts, kind);
    View {
        state: state(&facts, kind),
        headline: headline(&facts, kind, &services),
        registered: registered(&facts),
        config_problem: facts.config_problem.cloned(),
        notices: notices(&facts),
        can: can(&facts, kind),
        services,
        traffic: facts.traffic,
    }
}

fn state(facts: &Facts<'_>, kind: StateKind) -> State {
    let until = match (facts.wish, facts.status.map(|status| &status.connection)) {
        (Wish::Paused { until }, _) if kind == StateKind::Paused => Some(until),
        (_, Some(Connection::Waiting { retry_in_ms, .. })) if kind == StateKind::Waiting => {
            let at = facts.now + Duration::from_millis(*retry_in_ms);
            Some(at.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()))
        }
        _ => None,
    };
    let since = match facts.status.map(|status| &status.connection) {
        Some(Connection::Online { since }) if kind == StateKind::Online => Some(*since),
        _ => facts.since,
    };
    State { kind, since, until }
}

fn registered(facts: &Facts<'_>) -> Option<Registered> {
    let known = facts.registration?;
    Some(Registered {
        server: known.server.to_string(),
        device: known.device.to_string(),
        server_words: known.pins.first().map(Fingerprint::words).unwrap_or_default(),
        key_words: known.key.words(),
        key_store: known.key_store,
        round_trip_us: facts.status.and_then(|status| status.round_trip_us),
    })
}

fn server(facts: &Facts<'_>) -> String {
    let at = facts.status.and_then(|status| status.registered.as_ref()).map(|at| at.server.host().to_owned());
    at.or_else(|| facts.registration.map(|known| known.server.host().to_owned())).unwrap_or_default()
}

fn headline(facts: &Facts<'_>, kind: StateKind, services: &[Service]) -> Headline {
    let texts = facts.texts;
    let server = server(facts);
    let server = [("server", server.as_str())];
    let title = |key: &str| texts.get(&format!("state.{key}.title"));
    let plain = |tone, key: &str, advice: String| Headline {
        tone,
        title: title(key),
        detail: texts.fill(&format!("state.{key}.detail"), &server),
        advice,
    };
    let of_words =
        |tone, title: String, words: Words| Headline { tone, title, detail: words.what, advice: words.todo };
    match (kind, facts.status.map(|status| &status.connection)) {
        (StateKind::Unregistered, _) => {
            plain(Tone::Off, "unregistered", texts.get("state.unregistered.advice"))
        }
        (StateKind::Off, _) => plain(Tone::Off, "off", String::new()),
        (StateKind::Paused, _) => {
            let until = match facts.wish {
                Wish::Paused { until } => clock(until, facts.now),
                Wish::On | Wish::Off => String::new(),
            };
            let mut headline = plain(Tone::Off, "paused", String::new());
            headline.detail = texts.fill("state.paused.detail", &[("time", &until)]);
            headline
        }
        (StateKind::Online, _) => online(texts, &server, services),
        (StateKind::Waiting, Some(Connection::Waiting { cause, retry_in_ms })) => {
            let seconds = retry_in_ms.div_ceil(1000);
            let title = match seconds {
                0 | 1 => title("waiting"),
                n => texts.fill("state.waiting.title.seconds", &[("n", &n.to_string())]),
            };
            of_words(Tone::Busy, title, words::cause(texts, *cause))
        }
        (StateKind::Stopped, Some(Connection::Stopped { cause })) => {
            of_words(Tone::Bad, title("stopped"), words::cause(texts, *cause))
        }
        (StateKind::Locked, Some(Connection::NoKey { trouble: KeyTrouble::Asked })) => {
            let title = texts.get("state.locked.title.asked");
            of_words(Tone::Busy, title, words::key(texts, KeyTrouble::Asked))
        }
        (StateKind::Locked, Some(Connection::NoKey { trouble })) => {
            of_words(Tone::Bad, title("locked"), words::key(texts, *trouble))
        }
        (StateKind::Broken, _) => {
            of_words(Tone::Bad, title("broken"), facts.trouble.cloned().unwrap_or_default())
        }
        _ => plain(Tone::Busy, "connecting", String::new()),
    }
}

/// Connected; what matters now is whether the services work.
fn online(texts: &Texts, server: &[(&str, &str); 1], services: &[Service]) -> Headline {
    let count = |light: Light| services.iter().filter(|service| service.light == light).count();
    let (red, checking) = (count(Light::Red), count(Light::Checking));
    let first = |light: Light| services.iter().find(|service| service.light == light);
    let (broken, up_to_server) = (first(Light::Red), first(Light::UpToServer));
    let (tone, title) = match services.len() {
        0 => (Tone::Warn, "state.online.title.empty"),
        all if red == all => (Tone::Bad, "state.online.title.broken"),
        _ if red > 0 => (Tone::Warn, "state.online.title.partly"),
        _ if checking > 0 => (Tone::Busy, "state.online.title.checking"),
        _ if up_to_server.is_some() => (Tone::Warn, "state.online.title.up_to_server"),
        _ => (Tone::Good, "state.online.title"),
    };
    let [server] = server;
    let (detail, advice) = match (services, broken.or(up_to_server)) {
        ([], _) => {
            (texts.fill("state.online.detail.empty", &[*server]), texts.get("state.online.advice.empty"))
        }
        (_, Some(service)) => {
            let values = [("service", service.name.as_str()), ("what", service.words.what.as_str())];
            (texts.fill("note.down.service", &values), service.words.todo.clone())
        }
        ([one], None) => {
            let values = [*server, ("service", one.target.as_str())];
            (texts.fill("state.online.detail", &values), String::new())
        }
        (many, None) => {
            let values = [*server, ("count", &many.len().to_string())];
            (texts.fill("state.online.detail.many", &values), String::new())
        }
    };
    Headline { tone, title: texts.get(title), detail, advice }
}

fn services(facts: &Facts<'_>, kind: StateKind) -> Vec<Service> {
    let known = facts.status.map(|status| status.services.as_slice()).unwrap_or_default();
    if !known.is_empty() {
        return known.iter().map(|status| service(facts.texts, status, kind)).collect();
    }
    let off = |(name, kind, target): &(String, super::contract::ServiceKind, String)| Service {
        name: name.clone(),
        kind: *kind,
        target: target.clone(),
        url: None,
        aliases: Vec::new(),
        light: Light::Off,
        words: words::words(facts.texts, "service.off", &[]),
        hops: drawn_hops(facts.texts, Light::Off, &[], None),
        proved_at: None,
        visits: 0,
        active: 0,
        to_service_bytes: 0,
        from_service_bytes: 0,
    };
    facts.configured.iter().map(off).collect()
}

fn service(texts: &Texts, status: &ServiceStatus, kind: StateKind) -> Service {
    // A client that was told to stop a moment ago may not have said so of its services yet.
    let is_off = matches!(kind, StateKind::Off | StateKind::Paused);
    let light = if is_off { Light::Off } else { status.light };
    let target = status.target.to_string();
    let broken = status.broken.as_ref().map(|broken| broken.at);
    let words = match (light, broken) {
        (Light::Green, _) => words::words(texts, "service.green", &[]),
        (Light::UpToServer, _) => words::up_to_server(texts, status.front.state),
        (Light::Red, Some(at)) => words::broken(texts, at, &target),
        (Light::Red, None) => words::words(texts, "service.tunnel", &[]),
        (Light::Checking, _) => words::words(texts, "service.checking", &[]),
        (Light::Off, _) => words::words(texts, "service.off", &[]),
    };
    let trial = status.proved.as_ref().and_then(|proved| proved.trial);
    Service {
        name: status.name.to_string(),
        kind: status.kind,
        url: status.url.clone(),
        aliases: status.aliases.iter().map(ToString::to_string).collect(),
        light,
        words,
        hops: drawn_hops(texts, light, &status.hops, trial),
        proved_at: status.proved.as_ref().map(|proved| proved.at),
        visits: status.visits,
        active: status.active,
        to_service_bytes: status.to_service_bytes,
        from_service_bytes: status.from_service_bytes,
        target,
    }
}

/// The way to a service, in the four parts that are drawn. Each shows what is proved of it, and nothing more.
fn drawn_hops(texts: &Texts, light: Light, way: &[hops::Hop], trial: Option<Trial>) -> Vec<Hop> {
    let trial = trial.filter(|_| matches!(light, Light::Green | Light::UpToServer)).unwrap_or_default();
    let tone = |parts: &[HopName]| {
        let has = |state| way.iter().any(|hop| parts.contains(&hop.hop) && hop.state == state);
        match light {
            Light::Off => Tone::Off,
            _ if has(HopState::Broken) => Tone::Bad,
            _ if !has(HopState::Unknown) && has(HopState::Works) => Tone::Good,
            Light::Checking => Tone::Busy,
            // The server's part is seen, the public address is not.
            Light::UpToServer => Tone::Warn,
            Light::Green | Light::Red => Tone::Off,
        }
    };
    let public = [HopName::Name, HopName::Port, HopName::Certificate, HopName::Server];
    let hop = |id, label, parts: &[HopName], took_us| Hop {
        id,
        label: texts.get(label),
        tone: tone(parts),
        took_us,
    };
    vec![
        hop(HopId::Front, "service.hop.front", &public, trial.front_us),
        hop(HopId::Tunnel, "service.hop.tunnel", &[HopName::Tunnel], trial.tunnel_us),
        hop(HopId::Client, "service.hop.client", &[HopName::Client], None),
        hop(HopId::Service, "service.hop.service", &[HopName::Service], trial.service_us),
    ]
}

fn notices(facts: &Facts<'_>) -> Vec<Notice> {
    let texts = facts.texts;
    let mut notices = Vec::new();
    let mut add = |id: &str, tone, text: String, action: Option<NoticeAction>| {
        notices.push(Notice { id: id.to_owned(), tone, text, action });
    };
    if let Whose::Another { pid } = facts.whose {
        let pid = pid.map_or_else(|| "?".to_owned(), |pid| pid.to_string());
        let action = NoticeAction { wish: "stop".to_owned(), label: texts.get("tray.stop") };
        let running = facts.status.is_some();
        add("other", Tone::Warn, texts.fill("note.other", &[("pid", &pid)]), running.then_some(action));
    }
    if facts.is_root {
        add("root", Tone::Warn, texts.get("note.root"), None);
    }
    if facts.no_tray {
        add("no_tray", Tone::Warn, texts.get("note.no_tray"), None);
    }
    notices
}

fn can(facts: &Facts<'_>, kind: StateKind) -> Can {
    use StateKind::{Broken, Connecting, Locked, Off, Online, Paused, Stopped, Unregistered, Waiting};
    let ours = facts.whose == Whose::Ours;
    Can {
        start: matches!(kind, Off | Paused | Stopped | Broken | Waiting),
        stop: matches!(kind, Connecting | Online | Waiting | Stopped | Locked | Paused),
        pause: ours && matches!(kind, Connecting | Online | Waiting),
        resume: kind == Paused,
        register: kind == Unregistered,
        forget: facts.registration.is_some(),
        unlock: ours && kind == Locked,
    }
}

/// A moment as people say it here: the time of day, with the date when it is not today's.
pub(super) fn clock(until: u64, now: SystemTime) -> String {
    let zone = jiff::tz::TimeZone::system();
    let local = |at: SystemTime| {
        jiff::Timestamp::try_from(at)
            .map(|at| at.to_zoned_datetime(zone.clone()))
            .map_err(|error| error.to_string())
    };
    match (local(UNIX_EPOCH + Duration::from_secs(until)), local(now)) {
        (Ok(until), Ok(now)) if until.date() == now.date() => until.strftime("%H:%M").to_string(),
        (Ok(until), _) => until.strftime("%Y-%m-%d %H:%M").to_string(),
        (Err(_), _) => String::new(),
    }
}

#[cfg(test)]
#[path = "view_tests.rs"]
mod tests;
