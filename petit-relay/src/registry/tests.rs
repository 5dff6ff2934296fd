//! Live sessions, found and looked at.

use std::net::SocketAddr;
use std::sync::mpsc;
use std::time::Duration;

use petit_engine::mux::{self, Role};
use petit_engine::name::RegisteredId;
use petit_engine::net::wire::Wire;
use petit_engine::proto::control::{Hello, Offer, Options, ServiceKind, Vitae};
use petit_engine::secret::PrivateKey;
use tokio::io::BufReader;

use super::*;
use crate::LimitsConfig;
use crate::places::Places;
use crate::session::SessionPlace;

fn hello() -> Hello {
    Hello {
        protocol: 1,
        features: Vec::new(),
        software: Text::lossy("test"),
        device_name: Text::lossy("test"),
        instance: Text::lossy("one"),
        takeover: true,
        only: false,
        max_streams: 10,
        window: 1000,
        vitae: Vitae::new(),
        services: Vec::new(),
    }
}

fn session(service: &Route) -> (Arc<Session>, impl Sized + use<>) {
    let (near, far) = tokio::io::duplex(1024);
    let (mux, driver, events) = mux::session(Wire::new(BufReader::new(near)), Role::Relay, 1000);
    let key = PrivateKey::generate().unwrap().public().clone();
    let at = SessionPlace { peer: SocketAddr::from(([127, 0, 0, 1], 1)), shard: 0 };
    let session = Session::new(service.device, key, mux, at, &hello());
    let offer = Offer {
        service: 1,
        name: service.name.clone(),
        kind: service.kind,
        health: Health::Untried,
        options: Options::default(),
    };
    let places = Places::new(&LimitsConfig::default(), Vec::new());
    let rooms = places.rooms(service.kind, service.device, service.id);
    let served = Served::new(&offer, String::new(), rooms);
    session.set_served(HashMap::from([(service.id, Arc::new(served))]));
    (Arc::new(session), (driver, events, far))
}

fn route() -> Route {
    Route {
        id: RegisteredId::random().unwrap(),
        device: DeviceId::random().unwrap(),
        name: "web".parse().unwrap(),
        kind: ServiceKind::Http,
        policy: None,
        is_suspended: false,
    }
}

#[tokio::test]
async fn a_session_that_does_not_answer_holds_up_no_look_at_others() {
    let registry = Registry::default();
    let (slow, other) = (route(), route());
    let (session, _alive) = session(&slow);
    let _entry = registry.insert(Arc::clone(&session), true);
    std::thread::scope(|scope| {
        let (asking, asked) = mpsc::channel();
        let (found, looked) = mpsc::channel();
        let (registry, slow) = (&registry, &slow);
        session.mux.while_held(|| {
            let waiting = scope.spawn(move || {
                asking.send(()).unwrap();
                registry.find(slow).is_some()
            });
            asked.recv().unwrap();
            // Whenever the other thread comes to ask the session: all of the registry can be looked at.
            scope.spawn(move || {
                for _ in 0..1000 {
                    std::thread::yield_now();
                    found.send((registry.sessions().len(), registry.find(&other).is_some())).unwrap();
                }
            });
            for _ in 0..1000 {
                let look = looked.recv_timeout(Duration::from_secs(20));
                assert_eq!(look, Ok((1, false)), "the registry is locked while a session is asked");
            }
            assert!(!waiting.is_finished(), "the session was asked");
        });
    });
    assert!(registry.find(&slow).is_some());
}

#[tokio::test]
async fn the_newest_session_that_serves_a_route_is_found_in_every_part() {
    let registry = Registry::default();
    let mut parts = std::collections::HashSet::new();
    let mut kept = Vec::new();
    // Some parts have fewer IDs than others; a hundred times as many as there are reach all.
    for _ in 0..100 * PARTS {
        if parts.len() == PARTS {
            break;
        }
        let route = route();
        parts.insert(part_of(&route.device));
        let (older, alive) = session(&route);
        kept.push(alive);
        let (newer, alive) = session(&route);
        kept.push(alive);
        let first = registry.insert(Arc::clone(&older), false);
        let second = registry.insert(Arc::clone(&newer), false);
        assert!(Arc::ptr_eq(&registry.newest(&route).unwrap().0, &newer));
        drop(second);
        assert!(Arc::ptr_eq(&registry.newest(&route).unwrap().0, &older));
        newer.set_served(HashMap::new());
        let second = registry.insert(Arc::clone(&newer), false);
        assert!(Arc::ptr_eq(&registry.newest(&route).unwrap().0, &older), "it serves it no longer");
        assert!(registry.is_online(&route.device) && registry.sessions().len() == 2);
        drop((first, second));
        assert!(registry.find(&route).is_none() && registry.sessions().is_empty());
    }
    assert_eq!(parts.len(), PARTS, "random IDs reach all parts");
}
