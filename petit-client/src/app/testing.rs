//! Values for the tests of this tree.

use serde_json::json;

use crate::status::{Connection, Light, ServiceStatus, Status};

/// A service that works.
pub(crate) fn service(name: &str) -> ServiceStatus {
    let value = json!({
        "name": name, "kind": "http", "target": "localhost:3000",
        "id": "abcdefghijklmnop", "url": "https://abcdefghijklmnop.example.com", "aliases": [],
        "light": "green", "broken": null, "proved": { "at": 1000, "trial": null },
        "visits": 3, "active": 0, "to_service_bytes": 100, "from_service_bytes": 200,
    });
    serde_json::from_value(value).unwrap()
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
    let mut status = online(vec![service("web")]);
    let light = match connection {
        Connection::Online { .. } => Light::Green,
        Connection::Waiting { .. } | Connection::Stopped { .. } => Light::Red,
        Connection::Connecting => Light::Checking,
        Connection::Off | Connection::Unregistered | Connection::NoKey { .. } => Light::Off,
    };
    for service in &mut status.services {
        service.light = light;
    }
    if connection == Connection::Unregistered {
        status.registered = None;
        status.services.clear();
    }
    status.connection = connection;
    status
}

/// A registration.
pub(crate) fn registration() -> crate::registration::Registration {
    crate::registration::Registration {
        server: "tunnel.example.com:8453".parse().unwrap(),
        pins: vec![petit_engine::secret::Fingerprint([1; 32])],
        device: "abcdefghijklmnopqrstuvwxyz".parse().unwrap(),
        key: petit_engine::secret::Fingerprint([7; 32]),
        key_store: crate::config::KeyStore::Keychain,
        service: "web".parse().unwrap(),
    }
}
