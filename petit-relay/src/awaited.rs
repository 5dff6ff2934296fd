//! Clients that are on their way from the process before this one: who asks for them is not told that they are away,
//! but waits for a moment.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use petit_engine::limits;
use petit_engine::name::DeviceId;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::Route;
use super::registry::Registry;
use super::upstream::Upstream;

/// Who is awaited, and until when.
#[derive(Debug, Default)]
pub(super) struct Awaited {
    devices: Mutex<Option<Devices>>,
}

#[derive(Debug)]
struct Devices {
    rings: HashMap<DeviceId, Arc<Notify>>,
    until: Instant,
}

impl Awaited {
    fn devices(&self) -> MutexGuard<'_, Option<Devices>> {
        self.devices.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Awaits these devices from now on.
    pub(super) fn expect(&self, devices: impl IntoIterator<Item = DeviceId>) {
        let rings = devices.into_iter().map(|device| (device, Arc::default())).collect();
        *self.devices() = Some(Devices { rings, until: Instant::now() + limits::AWAIT_CLIENTS });
    }

    /// Who is still awaited.
    pub(super) fn still(&self) -> Vec<DeviceId> {
        let devices = self.devices();
        let awaited = devices.as_ref().filter(|devices| Instant::now() < devices.until);
        awaited.into_iter().flat_map(|devices| devices.rings.keys().copied()).collect()
    }

    /// A device has a session now.
    pub(super) fn arrived(&self, device: &DeviceId) {
        let mut devices = self.devices();
        let ring = devices.as_mut().and_then(|devices| devices.rings.remove(device));
        if let Some(ring) = ring {
            ring.notify_waiters();
        }
    }

    /// What rings when an awaited device arrives.
    fn ring(&self, device: &DeviceId) -> Option<Arc<Notify>> {
        let mut devices = self.devices();
        if devices.as_ref().is_some_and(|devices| devices.until <= Instant::now()) {
            *devices = None;
        }
        devices.as_ref()?.rings.get(device).map(Arc::clone)
    }

    /// The way to the service of a route, waiting for up to [`limits::AWAIT_CLIENT`] when its device is awaited.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(super) async fn find(&self, registry: &Registry, route: &Route) -> Option<Upstream> {
        if let found @ Some(_) = registry.find(route) {
            return found;
        }
        if route.is_suspended {
            return None;
        }
        let ring = self.ring(&route.device)?;
        let rung = ring.notified();
        tokio::pin!(rung);
        rung.as_mut().enable();
        // It may have arrived between the first look and the moment from which the ring is heard.
        if let found @ Some(_) = registry.find(route) {
            return found;
        }
        let _ = tokio::time::timeout(limits::AWAIT_CLIENT, rung).await;
        registry.find(route)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(device: DeviceId) -> Route {
        Route {
            id: petit_engine::name::RegisteredId::random().unwrap(),
            device,
            name: "web".parse().unwrap(),
            kind: petit_engine::proto::control::ServiceKind::Http,
            policy: None,
            is_suspended: false,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn only_who_is_awaited_is_waited_for_and_not_for_ever() {
        let (awaited, registry) = (Awaited::default(), Registry::default());
        let (coming, away) = (DeviceId::random().unwrap(), DeviceId::random().unwrap());
        awaited.expect([coming]);
        let start = Instant::now();
        assert!(awaited.find(&registry, &route(away)).await.is_none());
        assert_eq!(start.elapsed(), std::time::Duration::ZERO, "who was not connected is away");
        assert!(awaited.find(&registry, &route(coming)).await.is_none());
        assert_eq!(start.elapsed(), limits::AWAIT_CLIENT);
        tokio::time::sleep(limits::AWAIT_CLIENTS).await;
        let later = Instant::now();
        assert!(awaited.find(&registry, &route(coming)).await.is_none());
        assert_eq!(later.elapsed(), std::time::Duration::ZERO, "who has not come by then is away");
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_still_on_the_way_is_awaited_by_the_next_process_too() {
        let awaited = Awaited::default();
        let (coming, here) = (DeviceId::random().unwrap(), DeviceId::random().unwrap());
        awaited.expect([coming, here]);
        awaited.arrived(&here);
        assert_eq!(awaited.still(), [coming]);
        tokio::time::sleep(limits::AWAIT_CLIENTS).await;
        assert!(awaited.still().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn an_arrival_ends_the_wait() {
        let (awaited, registry) = (Arc::new(Awaited::default()), Arc::new(Registry::default()));
        let coming = DeviceId::random().unwrap();
        awaited.expect([coming]);
        let start = Instant::now();
        let waiting = tokio::spawn({
            let (awaited, registry) = (Arc::clone(&awaited), Arc::clone(&registry));
            async move { awaited.find(&registry, &route(coming)).await.is_none() }
        });
        tokio::task::yield_now().await;
        awaited.arrived(&coming);
        waiting.await.unwrap();
        assert_eq!(start.elapsed(), std::time::Duration::ZERO);
        assert!(awaited.ring(&coming).is_none(), "and nobody waits for it any more");
    }
}
