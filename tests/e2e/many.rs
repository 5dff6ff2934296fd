//! What one client costs the others, when there are many.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use petit_engine::BoxFuture;
use petit_engine::name::{Alias, DeviceId, RegisteredId, ServiceName};
use petit_engine::proto::control::{EnrolRefusal, FromAgent, FromRelay, ServiceKind, Text};
use petit_engine::secret::PublicKey;
use petit_relay::{Access, AnnouncedServices, Change, EnrolRequest, Enrolled, Names, Relay, Route};
use petit_server::directory::Directory;
use petit_tests::bed::Bed;
use petit_tests::rogue::{Device, Rogue, offer};
use petit_tests::soon;
use tokio::net::TcpListener;
use tokio::sync::broadcast;

/// A registry that counts what it is asked.
struct Counting {
    directory: Directory,
    devices: AtomicUsize,
    aliases: AtomicUsize,
}

impl Names for Counting {
    fn alias(&self, name: &str) -> Option<RegisteredId> {
        self.directory.alias(name)
    }

    fn aliases(&self, id: &RegisteredId) -> Vec<Alias> {
        self.aliases.fetch_add(1, Ordering::Relaxed);
        self.directory.aliases(id)
    }

    fn service(&self, id: &RegisteredId) -> Option<Route> {
        self.directory.service(id)
    }
}

impl Access for Counting {
    fn device(&self, key: &PublicKey) -> Option<DeviceId> {
        self.devices.fetch_add(1, Ordering::Relaxed);
        self.directory.device(key)
    }

    fn is_suspended(&self, device: &DeviceId) -> bool {
        self.directory.is_suspended(device)
    }

    fn is_called(&self, device: &DeviceId, name: &Text<64>) -> bool {
        self.directory.is_called(device, name)
    }

    fn changes(&self) -> broadcast::Receiver<Change> {
        self.directory.changes()
    }

    fn enrol(&self, request: EnrolRequest) -> BoxFuture<'_, Result<Enrolled, EnrolRefusal>> {
        self.directory.enrol(request)
    }

    fn announce(
        &self,
        device: DeviceId,
        services: Vec<(ServiceName, ServiceKind)>,
    ) -> BoxFuture<'_, AnnouncedServices> {
        self.directory.announce(device, services)
    }

    fn rename(&self, device: DeviceId, name: Text<64>) -> BoxFuture<'_, ()> {
        self.directory.rename(device, name)
    }

    fn remove(&self, device: DeviceId, service: ServiceName) -> BoxFuture<'_, Option<bool>> {
        self.directory.remove(device, service)
    }

    fn unregister(&self, device: DeviceId) -> BoxFuture<'_, bool> {
        self.directory.unregister(device)
    }
}

/// Waits until a session is told other aliases of its service.
async fn told_aliases(session: &mut Rogue) -> usize {
    use petit_engine::proto::control::GrantOutcome;
    match session.control().await {
        Some(FromRelay::Services { services, .. }) => match &services[0].outcome {
            GrantOutcome::Registered { aliases, .. } => aliases.len(),
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_change_is_looked_at_by_the_sessions_that_it_concerns_and_no_other() {
    const CLIENTS: usize = 20;
    let bed = Bed::start().await;
    let access = Arc::new(Counting {
        directory: bed.server.directory.clone(),
        devices: AtomicUsize::new(0),
        aliases: AtomicUsize::new(0),
    });
    let config =
        petit_tests::untried::relay(bed.server.folder.read_key().unwrap(), bed.server.endpoint().clone());
    let relay = Relay::start(config, Arc::clone(&access) as Arc<dyn Access>, None, None).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    relay.serve_tls(listener);
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        let mut device = Device::of(&bed).await;
        device.go_to(address);
        clients.push((device.session().await, device.registered));
    }
    assert_eq!(relay.sessions().len(), CLIENTS);
    let look_ups = || (access.devices.load(Ordering::Relaxed), access.aliases.load(Ordering::Relaxed));

    let before = look_ups();
    for (number, (session, registered)) in clients.iter_mut().enumerate().take(3) {
        let alias = format!("customer-{number}").parse().unwrap();
        bed.server
            .directory
            .add_alias(registered.id, alias, false, petit_server::registry::Actor::Operator)
            .await
            .unwrap();
        assert_eq!(told_aliases(session).await, 1);
    }
    let after = look_ups();
    assert_eq!((after.0 - before.0, after.1 - before.1), (3, 3), "one of each change");

    // A revocation ends its session, and an alias that changes hands is told to both.
    let (mut revoked, of_revoked) = clients.pop().unwrap();
    bed.server.directory.revoke(of_revoked.device, petit_server::registry::Actor::Operator).await.unwrap();
    assert!(matches!(revoked.control().await, Some(FromRelay::Refused { .. })));
    soon("its session to end", async {
        while relay.sessions().len() == CLIENTS {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(look_ups().0 - after.0, 1);
}

#[tokio::test]
async fn a_client_that_calls_itself_something_else_again_and_again_is_written_down_once_a_minute() {
    let bed = Bed::start().await;
    let device = Device::of(&bed).await;
    let mut session = device.session().await;
    let store = bed.server.directory.store();
    let name = async || store.device(device.registered.device).await.unwrap().unwrap().name;
    let mut rename = async |names: std::ops::Range<u32>| {
        for number in names {
            let device_name = Text::lossy(&format!("name {number}"));
            session.say(&FromAgent::Rename { device_name }).await;
        }
        // What is answered after them comes after them.
        session.say(&FromAgent::Services { services: vec![offer(1, "web", ServiceKind::Http)] }).await;
        while !matches!(session.control().await.unwrap(), FromRelay::Services { .. }) {}
    };
    rename(0..15).await;
    soon("a name to be written down", async {
        while name().await == "rogue" {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let first = name().await;
    rename(15..30).await;
    // A change that was made after all of these was made.
    let alias = "acme".parse().unwrap();
    bed.server
        .directory
        .add_alias(device.registered.id, alias, false, petit_server::registry::Actor::Operator)
        .await
        .unwrap();
    assert_eq!(name().await, first);
    // In a new session it is no other client.
    drop(session);
    let mut session = device.session().await;
    session.say(&FromAgent::Rename { device_name: Text::lossy("name 31") }).await;
    session.say(&FromAgent::Services { services: vec![offer(1, "web", ServiceKind::Http)] }).await;
    while !matches!(session.control().await.unwrap(), FromRelay::Services { .. }) {}
    assert_eq!(name().await, first);
}
