//! From what is known to what is shown. Pure: one value in, one value out, times with it.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jiff::tz::TimeZone;
use petit_client::consent::Withheld;
use petit_client::enrol;
use petit_client::status::{Connection, KeyTrouble, Light, ServiceStatus};
use petit_engine::cause::Cause;
use petit_engine::name::{Alias, ServiceName, VendorName};
use petit_engine::proto::control::Admits;
use petit_engine::secret::Fingerprint;

use super::contract::{
    Headline, Kept, Notice, NoticeAction, Registered, Service, State, StateKind, Tone, View, Words,
};
use super::facts::{Facts, Owner};
use super::prefs::DesiredState;
use super::texts::Texts;
use super::{offered, path, told, update, words};

/// The kind of the state.
pub(crate) fn kind(facts: &Facts<'_>) -> StateKind {
    if facts.trouble.is_some() {
        return StateKind::Broken;
    }
    let Some(status) = facts.status else {
        return if facts.desired.is_on() { StateKind::Connecting } else { StateKind::Off };
    };
    if let Connection::Unregistered = status.connection {
        return StateKind::Unregistered;
    }
    if facts.owner == Owner::Ours {
        match facts.desired {
            DesiredState::Off => return StateKind::Off,
            DesiredState::Paused { .. } => return StateKind::Paused,
            DesiredState::On => {}
        }
    }
    match status.connection {
        Connection::Unregistered => StateKind::Unregistered,
        // Ours has been told to go online and is about to.
        Connection::Off if facts.owner == Owner::Ours => StateKind::Connecting,
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
    let front = front(&facts);
    let services = services(&facts, kind, &front);
    let actions = offered::actions(&facts, kind);
    let (suggested, invited) = names(&facts);
    View {
        state: state(&facts, kind),
        headline: headline(&facts, kind, &services),
        registered: registered(&facts),
        config_problem: facts.config_problem.cloned(),
        notices: notices(&facts),
        can: offered::can(&facts, kind, &actions),
        actions,
        withheld: withheld(&facts),
        suggested,
        invited,
        services,
        traffic: facts.traffic,
    }
}

fn state(facts: &Facts<'_>, kind: StateKind) -> State {
    let until = match (facts.desired, facts.status.map(|status| &status.connection)) {
        (DesiredState::Paused { until }, _) if kind == StateKind::Paused => Some(until),
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
        vendor: known.vendor.as_ref().map(ToString::to_string),
        name: enrol::device_name(facts.config),
        device: known.device.to_string(),
        since: known.since,
        told: told::learns(facts.texts, facts.config),
        server_words: known.pins.first().map(Fingerprint::words).unwrap_or_default(),
        key_words: known.key.words(),
        key_store: known.key_store,
        round_trip_us: facts.status.and_then(|status| status.round_trip_us),
    })
}

/// The services that are not shared with the vendor.
fn withheld(facts: &Facts<'_>) -> Vec<Kept> {
    let withheld = facts.status.map(|status| status.withheld.as_slice()).unwrap_or_default();
    let kept = |it: &Withheld| Kept {
        name: it.name.to_string(),
        kind: it.kind,
        target: it.target.to_string(),
        chosen: false,
    };
    withheld.iter().map(kept).collect()
}

/// A free name for a new service, and the name that the vendor waits for, while it is free.
fn names(facts: &Facts<'_>) -> (String, Option<String>) {
    let known = facts.configured.iter().map(|(name, ..)| name.as_str());
    let offered = facts.status.map(|status| status.services.as_slice()).unwrap_or_default();
    let taken: BTreeSet<&str> = known.chain(offered.iter().map(|service| service.name.as_str())).collect();
    let invited = facts.registration.map(|known| known.service.to_string());
    let invited = invited.filter(|name| !taken.contains(name.as_str()));
    let first = ServiceName::first();
    let others = (2..).map(|n: u32| format!("{first}-{n}"));
    let mut free = std::iter::once(first.to_string()).chain(others);
    let suggested = invited.clone().or_else(|| free.find(|name| !taken.contains(name.as_str())));
    (suggested.unwrap_or_default(), invited)
}

/// The vendor, by its name and the host that it is.
fn vendor(facts: &Facts<'_>) -> String {
    let at = facts.status.and_then(|status| status.registered.as_ref());
    let at = at.map(|at| told::whom(at.vendor.as_ref(), &at.server));
    let known = facts.registration.map(|known| told::whom(known.vendor.as_ref(), &known.server));
    at.or(known).unwrap_or_default()
}

/// What the vendor calls itself.
fn vendor_name<'a>(facts: &Facts<'a>) -> Option<&'a VendorName> {
    let at = facts.status.and_then(|status| status.registered.as_ref());
    at.and_then(|at| at.vendor.as_ref()).or(facts.registration.and_then(|known| known.vendor.as_ref()))
}

/// The vendor by its name alone; by its host where it has none. The sentence below says both.
fn called(facts: &Facts<'_>) -> String {
    vendor_name(facts).map_or_else(|| vendor(facts), ToString::to_string)
}

/// What the vendor's end of the way is called.
fn front(facts: &Facts<'_>) -> String {
    match vendor_name(facts) {
        Some(vendor) => facts.texts.fill("service.hop.front.named", &[("vendor", &vendor.to_string())]),
        None => facts.texts.get("service.hop.front"),
    }
}

fn headline(facts: &Facts<'_>, kind: StateKind, services: &[Service]) -> Headline {
    let texts = facts.texts;
    let vendor = vendor(facts);
    let values = [("vendor", vendor.as_str())];
    let title = |key: &str| texts.get(&format!("state.{key}.title"));
    let plain = |tone, key: &str, advice: String| Headline {
        tone,
        title: title(key),
        fact: String::new(),
        detail: texts.fill(&format!("state.{key}.detail"), &values),
        advice,
    };
    let of_words = |tone, title: String, words: Words| Headline {
        tone,
        title,
        fact: String::new(),
        detail: words.what,
        advice: words.todo,
    };
    match (kind, facts.status.map(|status| &status.connection)) {
        (StateKind::Unregistered, _) => {
            plain(Tone::Off, "unregistered", texts.get("state.unregistered.advice"))
        }
        (StateKind::Off, _) => plain(Tone::Off, "off", String::new()),
        // Until when is `state.until`, and said by the page's own clock.
        (StateKind::Paused, _) => plain(Tone::Off, "paused", String::new()),
        (StateKind::Online, _) => {
            let mut headline = online(facts, &vendor, services);
            if headline.tone == Tone::Good {
                headline.fact = told::fact(texts, &called(facts), services);
            }
            headline
        }
        // Nothing on this computer can bring it back, so it does not look as if Petit were about to.
        (StateKind::Waiting, Some(Connection::Waiting { cause: cause @ Cause::Suspended, .. })) => {
            let title = texts.get("state.waiting.title.suspended");
            of_words(Tone::Bad, title, words::cause(texts, *cause))
        }
        (StateKind::Waiting, Some(Connection::Waiting { cause, .. })) => {
            of_words(Tone::Busy, title("waiting"), words::cause(texts, *cause))
        }
        (StateKind::Stopped, Some(Connection::Stopped { cause })) => {
            let key = if *cause == Cause::Unknown { "stopped.title.unknown" } else { "stopped.title" };
            of_words(Tone::Bad, texts.get(&format!("state.{key}")), words::cause(texts, *cause))
        }
        (StateKind::Locked, Some(Connection::NoKey { trouble: KeyTrouble::Asked })) => {
            let title = texts.get("state.locked.title.asked");
            of_words(Tone::Busy, title, words::key(texts, KeyTrouble::Asked))
        }
        (StateKind::Locked, Some(Connection::NoKey { trouble })) => {
            of_words(Tone::Bad, title("locked"), words::key(texts, *trouble))
        }
        (StateKind::Broken, _) => {
            let words = facts.trouble.map(|trouble| trouble.words.clone()).unwrap_or_default();
            of_words(Tone::Bad, title("broken"), words)
        }
        _ => plain(Tone::Busy, "connecting", String::new()),
    }
}

/// Who can come in, of all services together: whoever knows the address, as soon as that is so of one, and whoever the
/// vendor lets in when that is so of each. `None` while the server has not said it.
fn admits(facts: &Facts<'_>) -> Option<Admits> {
    let services = facts.status.map(|status| status.services.as_slice()).unwrap_or_default();
    if services.iter().any(|service| service.admits == Some(Admits::Anyone)) {
        return Some(Admits::Anyone);
    }
    let is_chosen_for_all = services.iter().all(|service| service.admits == Some(Admits::Chosen));
    (is_chosen_for_all && !services.is_empty()).then_some(Admits::Chosen)
}

/// Connected; what matters now is whether the services work.
fn online(facts: &Facts<'_>, vendor: &str, services: &[Service]) -> Headline {
    let texts = facts.texts;
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
    let targets: Vec<&str> = services.iter().map(|service| service.target.as_str()).collect();
    let (detail, advice) = match (services, broken.or(up_to_server)) {
        ([], _) => {
            let advice = match withheld(facts).as_slice() {
                [] => "state.online.advice.empty",
                _ => "state.online.advice.withheld",
            };
            (told::reaches(texts, vendor, &[], None), texts.get(advice))
        }
        (_, Some(service)) => {
            let values = [("service", service.name.as_str()), ("what", service.words.what.as_str())];
            (texts.fill("note.down.service", &values), service.words.todo.clone())
        }
        (_, None) => (told::reaches(texts, vendor, &targets, admits(facts)), String::new()),
    };
    Headline { tone, title: texts.get(title), fact: String::new(), detail, advice }
}

fn services(facts: &Facts<'_>, kind: StateKind, front: &str) -> Vec<Service> {
    let known = facts.status.map(|status| status.services.as_slice()).unwrap_or_default();
    if !known.is_empty() {
        return known.iter().map(|status| service(facts.texts, status, kind, front)).collect();
    }
    let off = |(name, kind, target): &(String, super::contract::ServiceKind, String)| Service {
        name: name.clone(),
        kind: *kind,
        target: target.clone(),
        url: None,
        aliases: Vec::new(),
        admits: None,
        light: Light::Off,
        words: words::words(facts.texts, "service.off", &[]),
        hops: path::off(facts.texts, front),
        proved_at: None,
        can_check: false,
        visits: 0,
        active: 0,
        to_service_bytes: 0,
        from_service_bytes: 0,
    };
    facts.configured.iter().map(off).collect()
}

fn service(texts: &Texts, status: &ServiceStatus, kind: StateKind, front: &str) -> Service {
    // A client that was told to stop a moment ago may not have said so of its services yet.
    let is_off = matches!(kind, StateKind::Off | StateKind::Paused);
    let light = if is_off { Light::Off } else { status.light };
    let target = status.target.to_string();
    let broken = status.broken.as_ref().map(|broken| broken.at);
    let words = match (light, broken) {
        (Light::Green, _) => words::words(texts, "service.green", &[]),
        (Light::UpToServer, _) => words::up_to_server(texts, status),
        (Light::Red, Some(at)) => words::broken(texts, at, &target),
        (Light::Red, None) => words::words(texts, "service.tunnel", &[]),
        (Light::Checking, _) => words::words(texts, "service.checking", &[]),
        (Light::Off, _) => words::words(texts, "service.off", &[]),
    };
    Service {
        name: status.name.to_string(),
        kind: status.kind,
        url: status.url.clone(),
        aliases: status.aliases.iter().map(|alias| address(alias, status.url.as_deref())).collect(),
        admits: status.admits.map(|admits| words::admits(texts, admits)),
        light,
        words,
        hops: path::of(texts, status, light, kind, front),
        proved_at: status.proved.as_ref().map(|proved| proved.at),
        can_check: kind == StateKind::Online && status.url.is_some(),
        visits: status.visits,
        active: status.active,
        to_service_bytes: status.to_service_bytes,
        from_service_bytes: status.from_service_bytes,
        target,
    }
}

/// The address that an alias is: one label under the domain of the service's own address, or a whole domain.
fn address(alias: &Alias, url: Option<&str>) -> String {
    let whole = || -> Option<String> {
        let (scheme, rest) = url?.split_once("://").filter(|(scheme, _)| *scheme != "tcp")?;
        let (_, domain) = rest.split_once('.')?;
        let port = domain.rsplit_once(':').map(|(_, port)| format!(":{port}")).unwrap_or_default();
        Some(if alias.is_domain() {
            format!("{scheme}://{alias}{port}")
        } else {
            format!("{scheme}://{alias}.{domain}")
        })
    };
    whole().unwrap_or_else(|| alias.to_string())
}

fn notices(facts: &Facts<'_>) -> Vec<Notice> {
    let texts = facts.texts;
    let mut notices = Vec::new();
    let mut add = |id: &str, tone, text: String, action: Option<NoticeAction>| {
        notices.push(Notice { id: id.to_owned(), tone, text, action });
    };
    if let Owner::Another { pid } = facts.owner {
        let pid = pid.map_or_else(|| "?".to_owned(), |pid| pid.to_string());
        let action = NoticeAction { name: "stop".to_owned(), label: texts.get("tray.stop") };
        let running = facts.status.is_some();
        add("other", Tone::Warn, texts.fill("note.other", &[("pid", &pid)]), running.then_some(action));
    }
    if facts.is_root {
        add("root", Tone::Warn, texts.get("note.root"), None);
    }
    if facts.no_tray {
        add("no_tray", Tone::Warn, texts.get("note.no_tray"), None);
    }
    notices.extend(facts.status.into_iter().flat_map(|status| update::said(texts, status, facts.owner)));
    notices
}

/// A moment as people say it here: the time of day, with the date when it is not today's.
pub(crate) fn clock(until: u64, now: SystemTime, zone: &TimeZone) -> String {
    let local = |at: SystemTime| jiff::Timestamp::try_from(at).map(|at| at.to_zoned_datetime(zone.clone()));
    match (local(UNIX_EPOCH + Duration::from_secs(until)), local(now)) {
        (Ok(until), Ok(now)) if until.date() == now.date() => until.strftime("%H:%M").to_string(),
        (Ok(until), _) => until.strftime("%Y-%m-%d %H:%M").to_string(),
        (Err(_), _) => String::new(),
    }
}

#[cfg(test)]
#[path = "view_tests.rs"]
mod tests;
