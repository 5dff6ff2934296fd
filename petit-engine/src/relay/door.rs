//! Who is let in from the network: so many connections in all, so many of one address, so many new ones of it in
//! a second. Whoever is not let in is closed at once; nothing waits here.

mod ticket;

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ipnet::{IpNet, Ipv6Net};

pub(super) use self::ticket::Ticket;
use super::bounds::{Bounds, Pressure};
use super::prefix_rates::PrefixRates;
use super::remembered::{Need, Remembered};
use crate::limits;
use crate::proto::rate::Rate;
use crate::secret::random_bytes;

/// The door of one relay.
#[derive(Debug)]
pub(super) struct Door {
    most: usize,
    most_per_address: usize,
    trusted: Vec<IpNet>,
    open: AtomicUsize,
    /// Of these, visitors.
    visitors: AtomicUsize,
    addresses: Mutex<Remembered<IpAddr, Address>>,
    /// What the IPv6 prefixes have open that connections come from; those with nothing are taken out.
    prefixes: Mutex<HashMap<Ipv6Net, Open>>,
    prefix_rates: PrefixRates,
    pressure: AtomicU8,
    /// Turned away so far.
    turned_away: AtomicUsize,
}

/// What a prefix has open.
#[derive(Clone, Copy, Debug, Default)]
struct Open {
    all: usize,
    /// Of these, those that have not proved yet what they have come for.
    unsettled: usize,
}

#[derive(Debug)]
struct Address {
    open: usize,
    /// Of these, those that have not proved yet what they have come for.
    unsettled: usize,
    /// New TLS connections: each costs a signature.
    handshakes: Rate,
    last: Instant,
}

impl Address {
    fn new(now: Instant) -> Self {
        let handshakes = Rate::new(limits::HANDSHAKES_PER_SECOND, limits::HANDSHAKES_AT_ONCE);
        Self { open: 0, unsettled: 0, handshakes, last: now }
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
pub(super) enum Entrance {
    /// Visitors only.
    Visitors,
    /// Clients, and visitors who settle as such once TLS has been agreed. A part of the room is kept for it, so
    /// that visitors never lock the clients out.
    Tls,
}

impl Door {
    pub(super) fn new(bounds: &Bounds, trusted: &[IpNet]) -> Self {
        Self {
            most: bounds.connections.max(10),
            most_per_address: bounds.connections_per_address.max(1),
            trusted: trusted.to_vec(),
            open: AtomicUsize::new(0),
            visitors: AtomicUsize::new(0),
            addresses: Mutex::default(),
            prefixes: Mutex::default(),
            prefix_rates: PrefixRates::default(),
            pressure: AtomicU8::new(Pressure::None as u8),
            turned_away: AtomicUsize::new(0),
        }
    }

    pub(super) fn set_pressure(&self, pressure: Pressure) {
        self.pressure.store(pressure as u8, Ordering::Relaxed);
    }

    /// True while there is memory for another request.
    pub(super) fn takes_requests(&self) -> bool {
        self.pressure.load(Ordering::Relaxed) < Pressure::NoNewRequests as u8
    }

    /// Connections open now, and turned away so far.
    pub(super) fn counts(&self) -> (usize, usize) {
        (self.open.load(Ordering::Relaxed), self.turned_away.load(Ordering::Relaxed))
    }

    /// Lets a connection in, or not.
    pub(super) fn admit(self: &Arc<Self>, peer: IpAddr, entrance: Entrance) -> Option<Ticket> {
        let ticket = self.try_admit(peer, entrance);
        if ticket.is_none() {
            self.turned_away.fetch_add(1, Ordering::Relaxed);
        }
        ticket
    }

    fn try_admit(self: &Arc<Self>, peer: IpAddr, entrance: Entrance) -> Option<Ticket> {
        let is_visitor = entrance == Entrance::Visitors;
        if self.open.load(Ordering::Relaxed) >= self.most || (is_visitor && !self.takes_visitor()) {
            return None;
        }
        let peer = peer.to_canonical();
        let is_counted = !peer.is_loopback() && !self.trusted.iter().any(|network| network.contains(&peer));
        let counted = is_counted.then(|| network(peer));
        if let Some(key) = counted {
            let now = Instant::now();
            if !self.prefixes_have_room(key, entrance) {
                return None;
            }
            let mut addresses = self.addresses();
            let address =
                addresses.entry(key, |address, need| address.is_kept(now, need), || Address::new(now));
            address.last = now;
            let has_room = match entrance {
                Entrance::Visitors => self.is_within_share(address.open + 1, 1),
                // Whether it is a visitor is known only after the handshake.
                Entrance::Tls => {
                    address.unsettled < limits::HANDSHAKES_PER_ADDRESS
                        && address.handshakes.allows(now)
                        && self.prefix_rates.allow(key, now)
                        && address.handshakes.allow(now)
                }
            };
            if !has_room {
                return None;
            }
            address.open += 1;
            address.unsettled += usize::from(!is_visitor);
            drop(addresses);
            self.change_prefixes(key, |open| {
                open.all += 1;
                open.unsettled += usize::from(!is_visitor);
            });
        }
        self.open.fetch_add(1, Ordering::Relaxed);
        self.visitors.fetch_add(usize::from(is_visitor), Ordering::Relaxed);
        Some(Ticket::new(Arc::clone(self), counted, is_visitor))
    }

    /// True when what counts for so many addresses may have so many connections: its share, or more while there is
    /// much room.
    fn is_within_share(&self, open: usize, addresses: usize) -> bool {
        open <= self.most_per_address.saturating_mul(addresses)
            || self.open.load(Ordering::Relaxed) < self.most / 4
    }

    /// True when the prefixes of an address may have one more. Two at the same moment may both be the last.
    fn prefixes_have_room(&self, address: IpAddr, entrance: Entrance) -> bool {
        self.open_in_prefixes(address).into_iter().flatten().all(|(open, addresses)| match entrance {
            Entrance::Visitors => self.is_within_share(open.all + 1, addresses),
            Entrance::Tls => open.unsettled < limits::HANDSHAKES_PER_ADDRESS * addresses,
        })
    }

    /// What the prefixes of an address have open, and for how many addresses each counts.
    fn open_in_prefixes(&self, address: IpAddr) -> Option<[(Open, usize); 2]> {
        let [in_56, in_48] = prefixes(address)?;
        let table = self.prefixes();
        let open = |prefix| table.get(&prefix).copied().unwrap_or_default();
        Some([(open(in_56), limits::ADDRESSES_IN_56), (open(in_48), limits::ADDRESSES_IN_48)])
    }

    fn change_prefixes(&self, address: IpAddr, change: impl Fn(&mut Open)) {
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

    /// True while there is room for another visitor.
    fn takes_visitor(&self) -> bool {
        let most = self.most - self.most / 10;
        let visitors = self.visitors.load(Ordering::Relaxed);
        self.pressure.load(Ordering::Relaxed) < Pressure::NoNewConnections as u8
            && visitors < most
            && !is_unlucky(visitors, most)
    }

    fn addresses(&self) -> MutexGuard<'_, Remembered<IpAddr, Address>> {
        self.addresses.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Above 70 % the door closes by and by, at random, so that it is not slammed on everybody at the same moment.
fn is_unlucky(open: usize, most: usize) -> bool {
    let quiet = most / 10 * 7;
    if open <= quiet {
        return false;
    }
    let dice = random_bytes::<4>().map_or(0, u32::from_ne_bytes) as f64 / f64::from(u32::MAX);
    dice < (open - quiet) as f64 / (most - quiet).max(1) as f64
}

/// One customer of an IPv6 provider has a whole /64 to choose from.
pub(super) fn network(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V4(v4) => v4.into(),
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
    }
}

/// The /56 and the /48 of an IPv6 visitor: who has one of these has many a /64. `None` for IPv4.
pub(super) fn prefixes(address: IpAddr) -> Option<[Ipv6Net; 2]> {
    let IpAddr::V6(v6) = address else { return None };
    let prefix = |length| Ipv6Net::new(v6, length).ok().map(|prefix| prefix.trunc());
    Some([prefix(56)?, prefix(48)?])
}

/// How long the door takes for one newcomer while so many addresses have a connection open, over `count` newcomers.
/// For the benchmark: a machine that has descriptors for so many connections is rare.
#[doc(hidden)]
pub fn time_newcomers(open: u32, count: u32) -> Duration {
    let bounds = Bounds { connections: usize::MAX, ..Bounds::default() };
    let door = Arc::new(Door::new(&bounds, &[]));
    let come =
        |number: u32| door.admit(IpAddr::from((0x0a00_0000 + number).to_be_bytes()), Entrance::Visitors);
    let held: Vec<_> = (0..open).map(come).collect();
    let begin = Instant::now();
    for number in open..open + count {
        drop(come(number));
    }
    let took = begin.elapsed();
    drop(held);
    took / count.max(1)
}

#[cfg(test)]
mod tests;
