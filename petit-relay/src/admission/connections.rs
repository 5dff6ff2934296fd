//! The connections that are open, by what they count towards.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use ipnet::{IpNet, Ipv6Net};
use petit_engine::limits;
use petit_engine::proto::rate::Rate;
use petit_engine::secret::random_bytes;
use tokio::sync::Notify;

use super::super::limits_config::{LimitsConfig, Pressure};
use super::super::networks::prefixes;
use super::super::prefix_rates::PrefixRates;
use super::super::remembered::{Need, Remembered};
use super::pending::Pending;

/// The connections of one relay, and what each counts as.
#[derive(Debug)]
pub(crate) struct Connections {
    pub(super) most: usize,
    most_per_address: usize,
    pub(super) trusted: Vec<IpNet>,
    pub(super) open: AtomicUsize,
    /// Of these, visitors that are not pending.
    pub(super) visitors: AtomicUsize,
    /// And those that are pending, each with how it is told to go.
    pending: Mutex<Pending<Arc<Notify>>>,
    /// The same of those that are not counted by address, which are one network among themselves and take no room from
    /// others.
    pending_exempt: Mutex<Pending<Arc<Notify>>>,
    addresses: Mutex<Remembered<IpAddr, Address>>,
    /// What the IPv6 prefixes have open that connections come from; those with nothing are taken out.
    prefixes: Mutex<HashMap<Ipv6Net, Open>>,
    prefix_rates: PrefixRates,
    pressure: AtomicU8,
    /// Turned away so far.
    pub(super) turned_away: AtomicUsize,
}

/// What a prefix has open.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Open {
    pub(super) all: usize,
    /// Of these, those whose TLS handshake is under way.
    pub(super) in_handshake: usize,
}

#[derive(Debug)]
pub(super) struct Address {
    pub(super) open: usize,
    /// Of these, those whose TLS handshake is under way.
    pub(super) in_handshake: usize,
    /// New TLS connections: each costs a signature.
    handshakes: Rate,
    last: Instant,
}

impl Address {
    fn new(now: Instant) -> Self {
        let handshakes = Rate::new(limits::HANDSHAKES_PER_SECOND, limits::HANDSHAKES_AT_ONCE);
        Self { open: 0, in_handshake: 0, handshakes, last: now }
    }

    /// One that has nothing open and has been quiet may be forgotten; when that is not enough, also one that has
    /// nothing open, and with it only its rate.
    fn is_kept(&self, now: Instant, need: Need) -> bool {
        let is_recent = now.saturating_duration_since(self.last) < limits::ADDRESS_MEMORY;
        self.open > 0 || (need == Need::Some && is_recent)
    }
}

/// What a connection has come for, as far as it is known when it is accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entrance {
    /// Visitors only, of one service that is known: nothing has to be shown.
    Visitors,
    /// Visitors only, who settle with their first request for a service.
    Http,
    /// Clients, and visitors who settle as such once TLS has been agreed. A part of the room is kept for it, so
    /// that visitors never lock the clients out.
    Tls,
}

impl Connections {
    pub(crate) fn new(limits: &LimitsConfig, trusted: &[IpNet]) -> Self {
        let most = limits.connections.max(10);
        let most_pending = (most / limits::PENDING_IN_ALL).clamp(limits::MIN_PENDING, limits::MAX_PENDING);
        Self {
            most,
            most_per_address: limits.connections_per_address.max(1),
            trusted: trusted.to_vec(),
            open: AtomicUsize::new(0),
            visitors: AtomicUsize::new(0),
            pending: Mutex::new(Pending::new(most_pending)),
            pending_exempt: Mutex::new(Pending::new(most_pending)),
            addresses: Mutex::default(),
            prefixes: Mutex::default(),
            prefix_rates: PrefixRates::default(),
            pressure: AtomicU8::new(Pressure::None as u8),
            turned_away: AtomicUsize::new(0),
        }
    }

    pub(crate) fn set_pressure(&self, pressure: Pressure) {
        self.pressure.store(pressure as u8, Ordering::Relaxed);
    }

    /// True while there is memory for another request.
    pub(crate) fn takes_requests(&self) -> bool {
        self.pressure.load(Ordering::Relaxed) < Pressure::NoNewRequests as u8
    }

    /// Connections open now, and turned away so far.
    pub(crate) fn counts(&self) -> (usize, usize) {
        (self.open.load(Ordering::Relaxed), self.turned_away.load(Ordering::Relaxed))
    }

    /// Counts a connection towards its address and the prefixes of this; false, and nothing is counted, when they may
    /// not have one more.
    pub(super) fn count(&self, key: IpAddr, entrance: Entrance) -> bool {
        let now = Instant::now();
        if !self.prefixes_have_room(key, entrance) {
            return false;
        }
        let mut addresses = self.addresses();
        let address = addresses.entry(key, |address, need| address.is_kept(now, need), || Address::new(now));
        address.last = now;
        let has_room = match entrance {
            Entrance::Visitors | Entrance::Http => self.is_within_share(address.open + 1, 1),
            // Whether it is a visitor is known only after the handshake.
            Entrance::Tls => {
                address.in_handshake < limits::HANDSHAKES_PER_ADDRESS
                    && address.handshakes.allows(now)
                    && self.prefix_rates.allow(key, now)
                    && address.handshakes.allow(now)
            }
        };
        if !has_room {
            return false;
        }
        let in_handshake = usize::from(entrance == Entrance::Tls);
        address.open += 1;
        address.in_handshake += in_handshake;
        drop(addresses);
        self.change_prefixes(key, |open| {
            open.all += 1;
            open.in_handshake += in_handshake;
        });
        true
    }

    /// True when there is room for one more, or a pending connection can make it. Those that were told to go and have
    /// not gone yet are still open.
    pub(super) fn has_or_can_make_room(&self) -> bool {
        let open = self.open.load(Ordering::Relaxed);
        open < self.most
            || (open < self.most.saturating_add(limits::EVICTED_AT_ONCE) && !lock(&self.pending).is_empty())
    }

    /// Takes out the pending connection that makes way for a newcomer where all are in use. One that is not counted by
    /// address takes from its own as long as there are any.
    pub(super) fn evict_for(&self, newcomer: Option<IpAddr>) -> Option<Arc<Notify>> {
        let own = self.pending_of(newcomer).evict();
        if own.is_some() || newcomer.is_some() {
            return own;
        }
        lock(&self.pending).evict()
    }

    /// The table that a connection is pending in.
    pub(super) fn pending_of(&self, counted: Option<IpAddr>) -> MutexGuard<'_, Pending<Arc<Notify>>> {
        lock(if counted.is_some() { &self.pending } else { &self.pending_exempt })
    }

    /// Tells a connection that it is evicted.
    pub(super) fn tell(&self, evicted: Option<Arc<Notify>>) {
        if let Some(evicted) = evicted {
            self.turned_away.fetch_add(1, Ordering::Relaxed);
            evicted.notify_one();
        }
    }

    /// True when what counts for so many addresses may have so many connections: its share, or more while there is
    /// much room.
    pub(super) fn is_within_share(&self, open: usize, addresses: usize) -> bool {
        open <= self.most_per_address.saturating_mul(addresses)
            || self.open.load(Ordering::Relaxed) < self.most / 4
    }

    /// True when the prefixes of an address may have one more. Two at the same moment may both be the last.
    fn prefixes_have_room(&self, address: IpAddr, entrance: Entrance) -> bool {
        self.open_in_prefixes(address).into_iter().flatten().all(|(open, addresses)| match entrance {
            Entrance::Visitors | Entrance::Http => self.is_within_share(open.all + 1, addresses),
            Entrance::Tls => open.in_handshake < limits::HANDSHAKES_PER_ADDRESS * addresses,
        })
    }

    /// What the prefixes of an address have open, and for how many addresses each counts.
    pub(super) fn open_in_prefixes(&self, address: IpAddr) -> Option<[(Open, usize); 2]> {
        let [in_56, in_48] = prefixes(address)?;
        let table = self.prefixes();
        let open = |prefix| table.get(&prefix).copied().unwrap_or_default();
        Some([(open(in_56), limits::ADDRESSES_IN_56), (open(in_48), limits::ADDRESSES_IN_48)])
    }

    pub(super) fn change_prefixes(&self, address: IpAddr, change: impl Fn(&mut Open)) {
        let Some(prefixes) = prefixes(address) else { return };
        let mut table = self.prefixes();
        for prefix in prefixes {
            let open = table.entry(prefix).or_default();
            change(open);
            if open.all == 0 {
                table.remove(&prefix);
            }
        }
    }

    fn prefixes(&self) -> MutexGuard<'_, HashMap<Ipv6Net, Open>> {
        self.prefixes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// True while there is room for another visitor, more and more rarely the less there is.
    pub(super) fn takes_visitor(&self) -> bool {
        self.pressure.load(Ordering::Relaxed) < Pressure::NoNewConnections as u8
            && self.has_room_for_visitors()
            && !should_shed(self.visitors.load(Ordering::Relaxed), self.most_visitors())
    }

    pub(super) fn has_room_for_visitors(&self) -> bool {
        self.visitors.load(Ordering::Relaxed) < self.most_visitors()
    }

    /// The rest is for clients.
    fn most_visitors(&self) -> usize {
        self.most - self.most / 10
    }

    pub(super) fn addresses(&self) -> MutexGuard<'_, Remembered<IpAddr, Address>> {
        self.addresses.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn lock<T>(table: &Mutex<Pending<T>>) -> MutexGuard<'_, Pending<T>> {
    table.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Load shedding by random early rejection: above 70 % the chance of being turned away rises evenly, so that not
/// everybody is at the same moment.
fn should_shed(open: usize, most: usize) -> bool {
    let quiet = most / 10 * 7;
    if open <= quiet {
        return false;
    }
    let dice = random_bytes::<4>().map_or(0, u32::from_ne_bytes) as f64 / f64::from(u32::MAX);
    dice < (open - quiet) as f64 / (most - quiet).max(1) as f64
}

#[cfg(test)]
mod tests;
