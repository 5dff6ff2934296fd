//! Values for the tests of this tree.

use std::sync::OnceLock;
use std::time::{Duration, UNIX_EPOCH};

use petit_client::config::Config;
use petit_client::consent::Withheld;
use petit_client::hops;
use petit_client::status::{Broken, BrokenAt, Connection, Light, ServiceStatus, Status};
use petit_engine::cause::FrontUntried;
use petit_engine::proto::control::FrontState;
use serde_json::json;

use super::contract::Traffic;
use super::facts::{Facts, Owner, TroubleKind};
use super::prefs::DesiredState;
use super::texts::Texts;

static NO_CONFIG: OnceLock<Config> = OnceLock::new();

/// A client that is wanted on, and all that there is to say of it beside its status.
pub(crate) fn facts<'a>(texts: &'a Texts, status: Option<&'a Status>) -> Facts<'a> {
    Facts {
        texts,
        now: UNIX_EPOCH + Duration::from_secs(10_000),
        desired: DesiredState::On,
        owner: Owner::Ours,
        status,
        registration: None,
        configured: &[],
        config: NO_CONFIG.get_or_init(Config::default),
        trouble: None,
        config_problem: None,
        traffic: Traffic::default(),
        since: Some(9),
        no_tray: false,
        is_root: false,
    }
}

/// A service that works.
pub(crate) fn service(name: &str) -> ServiceStatus {
    let value = json!({
        "name": name, "kind": "http", "target": "localhost:3000",
        "id": "abcdefghijklmnop", "url": "https://abcdefghijklmnop.example.com", "aliases": [],
        "light": "green", "broken": null, "proved": { "at": 1000, "trial": null },
        "visits": 3, "active": 0, "to_service_bytes": 100, "from_service_bytes": 200,
    });
    let mut service: ServiceStatus = serde_json::from_value(value).unwrap();
    service.front.state = FrontState::Passed;
    service.hops = hops(&service);
    service
}

/// The way to a service of a client that is online.
fn hops(service: &ServiceStatus) -> Vec<hops::Hop> {
    hops::hops(hops::Facts {
        is_https: true,
        is_online: true,
        front: service.front.state,
        is_proved: service.broken.is_none(),
        broken: service.broken.as_ref().map(|broken| broken.at),
    })
}

/// A service that does not work.
pub(crate) fn broken(mut service: ServiceStatus, at: BrokenAt) -> ServiceStatus {
    service.light = Light::Red;
    service.broken = Some(Broken { at, since: Some(1) });
    if let BrokenAt::Front(cause) = at {
        service.front.state = FrontState::Failed(cause);
    }
    service.hops = hops(&service);
    service
}

/// A service whose public address its server cannot try.
pub(crate) fn up_to_server(mut service: ServiceStatus, why: FrontUntried) -> ServiceStatus {
    service.light = Light::UpToServer;
    service.front.state = FrontState::Untried(why);
    service.hops = hops(&service);
    service
}

/// A service of which nothing is known yet but the session.
pub(crate) fn trying(mut service: ServiceStatus) -> ServiceStatus {
    service.light = Light::Checking;
    service.front.state = FrontState::Checking;
    service.hops = hops::hops(hops::Facts {
        is_https: true,
        is_online: true,
        front: FrontState::Checking,
        is_proved: false,
        broken: None,
    });
    service
}

/// A client that is online with some services.
pub(crate) fn online(services: Vec<ServiceStatus>) -> Status {
    let value = json!({
        "software": "test", "pid": 1, "config": "/config.toml", "config_problem": null,
        "registered": { "server": "tunnel.example.com:8453", "device": "abcdefghijklmnopqrstuvwxyz" },
        "connection": { "state": "online", "since": 500 },
        "server_software": null, "services": [], "streams": 0, "round_trip_us": 1200,
    });
    let mut status: Status = serde_json::from_value(value).unwrap();
    status.services = services;
    status
}

/// A client with a service, whose connection stands as given.
pub(crate) fn at(connection: Connection) -> Status {
    standing(online(vec![service("web")]), connection)
}

/// The same for a client with services of its own.
pub(crate) fn standing(mut status: Status, connection: Connection) -> Status {
    let light = match connection {
        Connection::Online { .. } => Light::Green,
        Connection::Waiting { .. } | Connection::Stopped { .. } => Light::Red,
        Connection::Connecting => Light::Checking,
        Connection::Off | Connection::Unregistered | Connection::NoKey { .. } => Light::Off,
    };
    for service in &mut status.services {
        service.light = light;
        let is_online = matches!(connection, Connection::Online { .. });
        service.admits = service.admits.filter(|_| is_online);
        let lost = match connection {
            Connection::Waiting { cause, .. } | Connection::Stopped { cause } => {
                Some(BrokenAt::Connection(cause))
            }
            _ => None,
        };
        service.broken = lost.map(|at| Broken { at, since: None });
        let front = if is_online { FrontState::Passed } else { FrontState::Checking };
        service.front.state = front;
        let facts = hops::Facts { is_https: true, is_online, front, is_proved: is_online, broken: lost };
        service.hops = hops::hops(facts);
    }
    if connection == Connection::Unregistered {
        status.registered = None;
        status.services.clear();
    }
    status.connection = connection;
    status
}

/// Every state there is, with every cause that changes what helps.
pub(crate) fn every_state() -> Vec<(String, DesiredState, Option<Status>, Option<TroubleKind>)> {
    let mut states = Vec::new();
    let mut add = |connection: Connection| {
        states.push((format!("{connection:?}"), DesiredState::On, Some(at(connection)), None));
    };
    add(Connection::Unregistered);
    add(Connection::Connecting);
    add(Connection::Online { since: 1 });
    for cause in causes() {
        add(Connection::Waiting { cause, retry_in_ms: 1 });
        add(Connection::Stopped { cause });
    }
    for trouble in key_troubles() {
        add(Connection::NoKey { trouble });
    }
    let mut empty = online(vec![]);
    states.push(("nothing shared".into(), DesiredState::On, Some(empty.clone()), None));
    empty.withheld = vec![Withheld {
        name: "web".parse().unwrap(),
        kind: crate::contract::ServiceKind::Http,
        target: "localhost:1".parse().unwrap(),
    }];
    states.push(("withheld".into(), DesiredState::On, Some(empty), None));
    states.push(("off".into(), DesiredState::Off, Some(at(Connection::Off)), None));
    states.push(("paused".into(), DesiredState::Paused { until: 20_000 }, Some(at(Connection::Off)), None));
    for kind in [TroubleKind::Config, TroubleKind::Folder, TroubleKind::Damaged] {
        states.push((format!("{kind:?}"), DesiredState::On, None, Some(kind)));
    }
    states
}

/// A registration.
pub(crate) fn registration() -> petit_client::registration::Registration {
    petit_client::registration::Registration {
        server: "tunnel.example.com:8453".parse().unwrap(),
        pins: vec![petit_engine::secret::Fingerprint([1; 32])],
        device: "abcdefghijklmnopqrstuvwxyz".parse().unwrap(),
        key: petit_engine::secret::Fingerprint([7; 32]),
        key_store: petit_client::config::KeyStore::Keychain,
        service: "web".parse().unwrap(),
        vendor: Some("Nordlicht".parse().unwrap()),
        invite: None,
        since: Some(400),
        withheld: std::collections::BTreeSet::new(),
    }
}

/// The variants of an enum, read from its source: a new one must not go without words.
pub(crate) fn variants(source: &str, name: &str) -> Vec<String> {
    let body = source.split(&format!("pub enum {name} {{")).nth(1).unwrap().split("\n}").next().unwrap();
    let names = body.lines().map(str::trim).filter(|line| line.starts_with(|c: char| c.is_ascii_uppercase()));
    let name = |line: &str| line.split(['(', ',', ' ', '{']).next().unwrap().to_owned();
    let snake = |name: String| {
        name.chars().enumerate().fold(String::new(), |mut out, (at, c)| {
            if c.is_ascii_uppercase() && at > 0 {
                out.push('_');
            }
            out.push(c.to_ascii_lowercase());
            out
        })
    };
    names.map(name).map(snake).collect()
}

/// Every value of an enum whose variants carry nothing, in whose source `name` is.
pub(crate) fn values<T: serde::de::DeserializeOwned>(source: &str, name: &str) -> Vec<T> {
    variants(source, name).into_iter().map(|name| serde_json::from_value(json!(name)).unwrap()).collect()
}

/// Every cause of not being online.
pub(crate) fn causes() -> Vec<petit_engine::cause::Cause> {
    values(include_str!("../../petit-engine/src/cause.rs"), "Cause")
}

/// Everything that can be the matter with a key.
pub(crate) fn key_troubles() -> Vec<petit_client::status::KeyTrouble> {
    values(include_str!("../../petit-client/src/status.rs"), "KeyTrouble")
}
