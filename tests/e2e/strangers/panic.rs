//! A fault of our own: it ends the request that it happens in, is counted, and nothing else notices.

use std::sync::Arc;

use petit_engine::BoxFuture;
use petit_engine::name::{Alias, DeviceId, RegisteredId, ServiceName};
use petit_engine::proto::control::{EnrolRefusal, GrantRefusal, ServiceKind, Text};
use petit_engine::secret::{PrivateKey, PublicKey};
use petit_relay::{Access, AnnouncedServices, Change, EnrolRequest, Enrolled, Names, Relay, Route};
use petit_tests::visitor::Visitor;
use tokio::net::TcpListener;
use tokio::sync::broadcast;

/// A registry with a fault: who asks it for one ID makes it fall over.
struct Faulty {
    bad: RegisteredId,
    changes: broadcast::Sender<Change>,
}

impl Names for Faulty {
    fn alias(&self, _: &str) -> Option<RegisteredId> {
        None
    }

    fn aliases(&self, _: &RegisteredId) -> Vec<Alias> {
        Vec::new()
    }

    fn service(&self, id: &RegisteredId) -> Option<Route> {
        assert!(*id != self.bad, "a fault on purpose");
        None
    }
}

impl Access for Faulty {
    fn device(&self, _: &PublicKey) -> Option<DeviceId> {
        None
    }

    fn is_suspended(&self, _: &DeviceId) -> bool {
        false
    }

    fn is_called(&self, _: &DeviceId, _: &Text<64>) -> bool {
        false
    }

    fn changes(&self) -> broadcast::Receiver<Change> {
        self.changes.subscribe()
    }

    fn enrol(&self, _: EnrolRequest) -> BoxFuture<'_, Result<Enrolled, EnrolRefusal>> {
        Box::pin(async { Err(EnrolRefusal::Busy) })
    }

    fn announce(
        &self,
        _: DeviceId,
        services: Vec<(ServiceName, ServiceKind)>,
    ) -> BoxFuture<'_, AnnouncedServices> {
        let services = vec![Err(GrantRefusal::StoreFailed); services.len()];
        Box::pin(async move { AnnouncedServices { services, kept: Vec::new() } })
    }

    fn rename(&self, _: DeviceId, _: Text<64>) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }

    fn remove(&self, _: DeviceId, _: ServiceName) -> BoxFuture<'_, Option<bool>> {
        Box::pin(async { None })
    }

    fn unregister(&self, _: DeviceId) -> BoxFuture<'_, bool> {
        Box::pin(async { false })
    }
}

/// A33.
#[tokio::test]
async fn a_fault_in_one_request_ends_that_request_alone() {
    let bad = RegisteredId::random().unwrap();
    let config = petit_tests::untried::relay(
        PrivateKey::generate().unwrap(),
        "http://REGID.localhost:8090".parse().unwrap(),
    );
    let access = Arc::new(Faulty { bad, changes: broadcast::Sender::new(1) });
    let relay = Relay::start(config, access, None, None).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let visitor = Visitor::new(listener.local_addr().unwrap());
    relay.serve_http(listener);
    for round in 1..=5 {
        let fault = visitor.get(&format!("{bad}.localhost"), "/").await;
        assert_eq!((fault.status.as_u16(), fault.petit_error()), (500, Some("internal".into())));
        let fine = visitor.get(&format!("{}.localhost", RegisteredId::random().unwrap()), "/").await;
        assert_eq!((fine.status.as_u16(), fine.petit_error()), (404, Some("unknown-service".into())));
        assert_eq!(relay.counts().faults, round, "the operator can see it");
    }
}
