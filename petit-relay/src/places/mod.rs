//! Places: how many visits there may be at the same time, and who gives one up when there are none left.
//!
//! A visit is a request, a WebSocket or a raw TCP connection. A request needs a place at its service, at its client
//! and at this server; the other two need one at their client. While all three have room nothing else is looked at.
//!
//! Shares bind only while somebody waits. What a visit weighs is what its client (or its service, where services of
//! one client compete) holds, or four times what its visitor holds, whichever is more: so one client, or one address,
//! that has taken everything weighs most, and whoever holds little weighs least. A newcomer who finds nothing free
//! takes a place from a visit that weighs more than twice as much as it would itself; of the heaviest first, and of
//! these what has the least to lose (`share`). A request whose body has not begun to come gives way at once, after a
//! second to anybody; for the rest the newcomer waits a moment first, because most places become free by themselves.
//!
//! A visitor is an IPv4 address or an IPv6 /64. Loopback, trusted proxies and the networks that the operator names
//! speak for many and have no share of their own. Whoever has one /64 can have hundreds, so a /56 and a /48 weigh as
//! well, once they hold more than they may (`share::most_in_56`, `share::most_in_48`).
//!
//! # Invariant
//! A newcomer that holds nothing of a pool gets a place of it as long as anybody holds two or more, among the visitors
//! that have a share and visit the same service (or client, in the pool of all requests). Two limits: of a /56 or a /48
//! that has as much as it may, a newcomer takes from its own /56 or /48; and where fewer than [`share::LEAST_HELD`]
//! visitors hold anything, a holder with less than that many is spared for [`limits::SPARED_FOR`], because it may be a
//! browser that loads a page. Between different services, or clients, weights decide. A visitor with one place loses it
//! only to what its prefix, client or service holds, and whoever has given one up has no claim to take it back, so all
//! come to rest (`tests::newcomers` tries both with random populations).
//!
//! # Cost
//! Nothing while there is room. When there is none, all places are counted, every [`limits::RANKING_FRESH`] at most;
//! a newcomer then looks at whose turn is next, among four at most, in O(log holders). That holders are put into their
//! order again when their weight has sunk costs no more than the count, between two counts.

mod counters;
mod member;
mod place;
mod pool;
mod ranking;
mod room;
mod share;
mod shortage;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use ipnet::IpNet;
use petit_engine::limits;
use petit_engine::name::{DeviceId, RegisteredId};
use petit_engine::proto::control::ServiceKind;
use petit_engine::proto::rate::Rate;

use self::counters::Counters;
pub(super) use self::member::Claim;
use self::place::Clock;
pub(super) use self::place::{Part, Place};
use self::pool::PlacePool;
pub(super) use self::room::{Room, Slot};
pub use self::shortage::{Holder, PlaceCounts, Scarce, Shortage};
use super::limits_config::LimitsConfig;
use super::networks::network;

/// Where the visits of one service have their places.
#[derive(Debug)]
pub(super) struct Rooms {
    /// Requests, or raw TCP connections.
    pub(super) visits: Arc<Room>,
    /// WebSockets, where there can be any.
    pub(super) websockets: Option<Arc<Room>>,
}

/// What kind of visit a place is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum VisitKind {
    Request,
    WebSocket,
    Connection,
}

/// All places of a relay.
#[derive(Debug)]
pub(super) struct Places {
    limits: LimitsConfig,
    exempt: Vec<IpNet>,
    requests: Arc<PlacePool>,
    tables: Mutex<Tables>,
    clock: Arc<Clock>,
    counters: Arc<Counters>,
}

/// Where the pools and rooms are found that are in use.
#[derive(Debug, Default)]
struct Tables {
    pools: Living<Scarce, PlacePool>,
    rooms: Living<(VisitKind, DeviceId, RegisteredId), Room>,
    rates: Rates,
    /// Rooms so far.
    made: u64,
}

impl Places {
    /// `exempt` are the networks whose addresses speak for many.
    pub(super) fn new(limits: &LimitsConfig, exempt: Vec<IpNet>) -> Self {
        let counters = Arc::new(Counters::default());
        Self {
            limits: limits.clone(),
            exempt,
            requests: PlacePool::new(Scarce::Requests, limits.requests, &counters),
            tables: Mutex::default(),
            clock: Arc::default(),
            counters,
        }
    }

    /// Counts time for as long as it is polled. Never ends.
    pub(super) async fn keep_time(&self) {
        let mut ticks = tokio::time::interval(Clock::TICK);
        loop {
            ticks.tick().await;
            self.clock.tick();
        }
    }

    /// Whose share a visitor's places count towards; `None` when he has none.
    pub(super) fn visitor(&self, address: IpAddr) -> Option<IpAddr> {
        let address = address.to_canonical();
        let speaks_for_many =
            address.is_loopback() || self.exempt.iter().any(|network| network.contains(&address));
        (!speaks_for_many).then(|| network(address))
    }

    /// Where a service's visits have their places. These are the same ones for as long as anybody holds them, so that
    /// a client that comes back finds what its visitors hold, and no more.
    pub(super) fn rooms(&self, kind: ServiceKind, client: DeviceId, service: RegisteredId) -> Rooms {
        let room = |visit| self.room(visit, client, service);
        match kind {
            ServiceKind::Http => {
                Rooms { visits: room(VisitKind::Request), websockets: Some(room(VisitKind::WebSocket)) }
            }
            ServiceKind::Tcp => Rooms { visits: room(VisitKind::Connection), websockets: None },
        }
    }

    fn room(&self, visit: VisitKind, client: DeviceId, service: RegisteredId) -> Arc<Room> {
        let mut tables = self.tables();
        if let Some(room) = tables.rooms.get(&(visit, client, service)) {
            return room;
        }
        let LimitsConfig { requests, requests_per_service, websockets_per_client, .. } = self.limits;
        let mut pool =
            |what, most| tables.pools.get_or_make(what, || PlacePool::new(what, most, &self.counters));
        let visits = pool(Scarce::Visits(client), limits::VISITS_PER_CLIENT);
        let pools = match visit {
            VisitKind::Request => {
                // Half of all at most, so that one service's trouble is never everybody's.
                let most = requests_per_service.min(requests / 2).max(1);
                vec![pool(Scarce::ServiceRequests(service), most), visits, Arc::clone(&self.requests)]
            }
            VisitKind::WebSocket => vec![pool(Scarce::WebSockets(client), websockets_per_client), visits],
            VisitKind::Connection => vec![visits],
        };
        let rate = self.limits.requests_per_second.filter(|_| visit == VisitKind::Request);
        let rate = rate.map(|rate| tables.rates.of(service, rate));
        tables.made += 1;
        let number = tables.made;
        let room = Room::new(number, (client, service), pools, rate, Arc::clone(&self.clock));
        tables.rooms.insert((visit, client, service), &room);
        room
    }

    /// Requests under way.
    pub(super) fn requests(&self) -> usize {
        self.requests.used()
    }

    /// A request was refused for want of room.
    pub(super) fn refused(&self) {
        self.counters.refused();
    }

    /// What became of visits for which there was no place.
    pub(super) fn counts(&self) -> PlaceCounts {
        self.counters.get()
    }

    /// Of what more than three quarters are in use, and who has it.
    pub(super) fn shortages(&self) -> Vec<Shortage> {
        let pools = self.tables().pools.all();
        let all = std::iter::once(&self.requests).chain(&pools);
        all.filter(|pool| pool.used() * 4 > pool.most() * 3).map(|pool| pool.shortage()).collect()
    }

    fn tables(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How many requests each service has had of what it may have in a second. They are remembered for as long as that makes
/// a difference: a service whose client comes back has no fresh allowance.
#[derive(Debug)]
struct Rates {
    by_service: HashMap<RegisteredId, Arc<Mutex<Rate>>>,
    /// So many, and those that make no difference are taken out.
    sweep_at: usize,
}

impl Default for Rates {
    fn default() -> Self {
        Self { by_service: HashMap::new(), sweep_at: 64 }
    }
}

impl Rates {
    fn of(&mut self, service: RegisteredId, per_second: u32) -> Arc<Mutex<Rate>> {
        if self.by_service.len() >= self.sweep_at {
            let now = tokio::time::Instant::now().into_std();
            let is_unused =
                |rate: &Mutex<Rate>| rate.lock().unwrap_or_else(PoisonError::into_inner).is_unused(now);
            self.by_service.retain(|_, rate| Arc::strong_count(rate) > 1 || !is_unused(rate));
            self.sweep_at = 2 * self.by_service.len().max(32);
        }
        let new = || Arc::new(Mutex::new(Rate::new(per_second, per_second)));
        Arc::clone(self.by_service.entry(service).or_insert_with(new))
    }
}

/// Values that live for as long as others hold them.
#[derive(Debug)]
struct Living<K, V> {
    values: HashMap<K, Weak<V>>,
    /// So many, and those that are gone are taken out.
    sweep_at: usize,
}

impl<K, V> Default for Living<K, V> {
    fn default() -> Self {
        Self { values: HashMap::new(), sweep_at: 64 }
    }
}

impl<K: Eq + Hash, V> Living<K, V> {
    fn get(&self, key: &K) -> Option<Arc<V>> {
        self.values.get(key)?.upgrade()
    }

    fn insert(&mut self, key: K, value: &Arc<V>) {
        if self.values.len() >= self.sweep_at {
            self.values.retain(|_, value| value.strong_count() > 0);
            self.sweep_at = 2 * self.values.len().max(32);
        }
        self.values.insert(key, Arc::downgrade(value));
    }

    fn get_or_make(&mut self, key: K, make: impl FnOnce() -> Arc<V>) -> Arc<V> {
        self.get(&key).unwrap_or_else(|| {
            let value = make();
            self.insert(key, &value);
            value
        })
    }

    fn all(&self) -> Vec<Arc<V>> {
        self.values.values().filter_map(Weak::upgrade).collect()
    }
}
