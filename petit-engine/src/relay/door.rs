//! Who is let in from the network: so many connections in all, so many of one address, so many new ones of it in
//! a second. Whoever is not let in is closed at once; nothing waits here.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ipnet::{IpNet, Ipv6Net};

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

/// A connection that was let in. Its place is free again when this is dropped.
#[derive(Debug)]
pub(super) struct Ticket {
    door: Arc<Door>,
    counted: Option<IpAddr>,
    is_visitor: bool,
    is_unsettled: bool,
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
        Some(Ticket { door: Arc::clone(self), counted, is_visitor, is_unsettled: !is_visitor })
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

impl Ticket {
    /// TLS has been agreed, and the peer is a client. From here on it counts towards no address: a company may have
    /// hundreds behind one, and who they are is known.
    pub(super) fn is_client(&mut self) {
        self.settle();
        self.leave_address();
    }

    /// TLS has been agreed, and the peer has come to register.
    pub(super) fn is_newcomer(&mut self) {
        self.settle();
    }

    /// TLS has been agreed, and the peer is a visitor. False when there is no room for one.
    pub(super) fn is_visitor(&mut self) -> bool {
        self.settle();
        if !self.is_visitor {
            if !self.door.takes_visitor() || !self.is_within_share() {
                self.door.turned_away.fetch_add(1, Ordering::Relaxed);
                return false;
            }
            self.is_visitor = true;
            self.door.visitors.fetch_add(1, Ordering::Relaxed);
        }
        true
    }

    /// True when its address and the prefixes of this have no more connections than they may have, this one counted.
    fn is_within_share(&self) -> bool {
        let Some(key) = self.counted else { return true };
        let open = self.door.addresses().get_mut(&key).map(|address| address.open);
        let prefixes = self.door.open_in_prefixes(key);
        open.is_none_or(|open| self.door.is_within_share(open, 1))
            && prefixes
                .into_iter()
                .flatten()
                .all(|(open, addresses)| self.door.is_within_share(open.all, addresses))
    }

    /// Its address has one less.
    fn leave_address(&mut self) {
        let Some(key) = self.counted.take() else { return };
        if let Some(address) = self.door.addresses().get_mut(&key) {
            address.open = address.open.saturating_sub(1);
        }
        self.door.change_prefixes(key, |open| open.all = open.all.saturating_sub(1));
    }

    fn settle(&mut self) {
        if std::mem::take(&mut self.is_unsettled)
            && let Some(key) = self.counted
        {
            if let Some(address) = self.door.addresses().get_mut(&key) {
                address.unsettled = address.unsettled.saturating_sub(1);
            }
            self.door.change_prefixes(key, |open| open.unsettled = open.unsettled.saturating_sub(1));
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.settle();
        self.door.open.fetch_sub(1, Ordering::Relaxed);
        self.door.visitors.fetch_sub(usize::from(self.is_visitor), Ordering::Relaxed);
        self.leave_address();
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
mod tests {
    use super::*;

    fn door(connections: usize, per_address: usize) -> Arc<Door> {
        let bounds = Bounds { connections, connections_per_address: per_address, ..Bounds::default() };
        Arc::new(Door::new(&bounds, &["10.0.0.0/8".parse().unwrap()]))
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn one_address_gets_its_share_and_no_more() {
        let door = door(1000, 3);
        let _crowd: Vec<_> =
            (0..250).filter_map(|_| door.admit(ip("127.0.0.1"), Entrance::Visitors)).collect();
        let held: Vec<_> = (0..3).filter_map(|_| door.admit(ip("192.0.2.1"), Entrance::Visitors)).collect();
        assert_eq!(held.len(), 3);
        assert!(door.admit(ip("192.0.2.1"), Entrance::Visitors).is_none());
        assert!(door.admit(ip("::ffff:192.0.2.1"), Entrance::Visitors).is_none(), "the same address");
        assert!(door.admit(ip("192.0.2.2"), Entrance::Visitors).is_some());
        drop(held);
        assert!(door.admit(ip("192.0.2.1"), Entrance::Visitors).is_some());
        let held: Vec<_> =
            (1..9).filter_map(|n| door.admit(ip(&format!("2001:db8::{n}")), Entrance::Visitors)).collect();
        assert_eq!(held.len(), 3, "a /64 is one address");
    }

    #[test]
    fn networks_of_one_prefix_share_what_it_may_have() {
        let door = door(1000, 3);
        let _crowd: Vec<_> =
            (0..250).filter_map(|_| door.admit(ip("127.0.0.1"), Entrance::Visitors)).collect();
        let come = |of: &str, count: u32, entrance: Entrance| -> Vec<_> {
            (0..count).filter_map(|n| door.admit(ip(&format!("{of}{n:02x}::1")), entrance)).collect()
        };
        let held = come("2001:db8:1:1", 100, Entrance::Visitors);
        assert_eq!(held.len(), 3 * limits::ADDRESSES_IN_56, "a /56 has 256 /64s");
        let more: Vec<_> =
            (2..9).map(|n| come(&format!("2001:db8:1:{n}"), 100, Entrance::Visitors)).collect();
        let all = held.len() + more.iter().flatten().count();
        assert_eq!(all, 3 * limits::ADDRESSES_IN_48, "a /48 has 256 /56s");
        // Over TLS it is known only after the handshake what somebody has come for.
        let mut https = come("2001:db8:1:1", 1, Entrance::Tls);
        assert!(!https[0].is_visitor(), "over TLS as well");
        assert_eq!(come("2001:db8:2:1", 1, Entrance::Visitors).len(), 1, "others have theirs");
        drop((held, more, https));
        assert_eq!(come("2001:db8:1:1", 100, Entrance::Visitors).len(), 3 * limits::ADDRESSES_IN_56);
        assert!(door.prefixes().is_empty(), "who has nothing open is not remembered");
        let held = come("2001:db8:3:1", 200, Entrance::Tls);
        let again = come("2001:db8:3:1", 200, Entrance::Tls);
        assert_eq!(held.len() + again.len(), limits::HANDSHAKES_PER_ADDRESS * limits::ADDRESSES_IN_56);
    }

    #[test]
    fn while_there_is_much_room_an_address_may_have_more_than_its_share() {
        let door = door(1000, 3);
        let office: Vec<_> =
            (0..500).filter_map(|_| door.admit(ip("192.0.2.1"), Entrance::Visitors)).collect();
        assert_eq!(office.len(), 250, "a quarter of all");
        let mut https = door.admit(ip("192.0.2.1"), Entrance::Tls).unwrap();
        assert!(!https.is_visitor(), "over TLS as well");
        assert!(door.admit(ip("192.0.2.2"), Entrance::Visitors).is_some(), "others have theirs");
    }

    #[test]
    fn the_clients_of_a_company_are_not_counted_by_its_address() {
        let door = door(2000, 3);
        let _crowd: Vec<_> =
            (0..600).filter_map(|_| door.admit(ip("127.0.0.1"), Entrance::Visitors)).collect();
        let mut clients = Vec::new();
        for _ in 0..limits::HANDSHAKES_AT_ONCE {
            let mut client = door.admit(ip("192.0.2.1"), Entrance::Tls).unwrap();
            client.is_client();
            clients.push(client);
        }
        // Its visitors have their share beside them, and who has come to register counts as one of these.
        let mut visitors: Vec<_> =
            (0..9).filter_map(|_| door.admit(ip("192.0.2.1"), Entrance::Visitors)).collect();
        assert_eq!(visitors.len(), 3);
        drop(clients);
        visitors.pop();
        assert!(door.admit(ip("192.0.2.1"), Entrance::Visitors).is_some());
        assert_eq!(door.addresses().get_mut(&ip("192.0.2.1")).map(|address| address.open), Some(2));
    }

    #[test]
    fn loopback_and_trusted_proxies_speak_for_many() {
        let door = door(1000, 3);
        for address in ["127.0.0.1", "::1", "10.1.2.3"] {
            let held: Vec<_> = (0..50).filter_map(|_| door.admit(ip(address), Entrance::Tls)).collect();
            assert_eq!(held.len(), 50, "{address}");
        }
    }

    #[test]
    fn handshakes_of_one_address_are_slowed_down() {
        let door = door(10_000, 10_000);
        let is_let_in = || door.admit(ip("192.0.2.1"), Entrance::Tls).is_some();
        let passed = (0..1000).filter(|_| is_let_in()).count();
        let most = limits::HANDSHAKES_AT_ONCE as usize;
        assert!((most..most + 70).contains(&passed), "{passed}");
        assert!(door.admit(ip("192.0.2.9"), Entrance::Tls).is_some(), "others are not concerned");
        let of_one_64 =
            (0..1000).filter(|_| door.admit(ip("2001:db8:1::1"), Entrance::Tls).is_some()).count();
        assert!((most..most + 70).contains(&of_one_64), "{of_one_64}");
        let networks: Vec<IpAddr> = (1..=255).map(|n| ip(&format!("2001:db8:1:{n:x}::1"))).collect();
        let networks = networks.iter().cycle().take(5000);
        let of_one_56 = networks.filter(|peer| door.admit(**peer, Entrance::Tls).is_some()).count();
        let rest = most * (limits::ADDRESSES_IN_56 - 1);
        assert!((rest - 70..rest + 280).contains(&of_one_56), "a /56 has 256 /64s: {of_one_56}");
    }

    #[test]
    fn unfinished_handshakes_of_one_address_leave_room_for_others() {
        let door = door(10_000, 10_000);
        let mut held: Vec<_> = (0..100).filter_map(|_| door.admit(ip("192.0.2.1"), Entrance::Tls)).collect();
        assert_eq!(held.len(), limits::HANDSHAKES_PER_ADDRESS);
        held[0].is_client();
        assert!(door.admit(ip("192.0.2.1"), Entrance::Tls).is_some(), "one that is through makes room");
    }

    #[test]
    fn visitors_leave_room_for_clients() {
        let door = door(100, 100);
        let mut held = Vec::new();
        for _ in 0..10_000 {
            held.extend(door.admit(ip("127.0.0.1"), Entrance::Visitors));
        }
        assert_eq!(held.len(), 90);
        let mut https = door.admit(ip("127.0.0.1"), Entrance::Tls).unwrap();
        assert!(!https.is_visitor(), "a visitor over TLS is one");
        drop(https);
        let mut clients = Vec::new();
        for _ in 0..10_000 {
            clients.extend(door.admit(ip("127.0.0.1"), Entrance::Tls));
        }
        assert_eq!(clients.len(), 10);
        assert_eq!(door.counts().0, 100);
    }

    #[test]
    fn the_door_closes_by_and_by() {
        let lucky = |open: usize| (0..1000).filter(|_| !is_unlucky(open, 1000)).count();
        assert_eq!(lucky(700), 1000);
        let half = lucky(850);
        assert!((350..650).contains(&half), "{half}");
        assert!(lucky(999) < 100);
    }

    #[test]
    fn pressure_turns_visitors_away_and_then_requests() {
        let door = door(100, 100);
        door.set_pressure(Pressure::NoNewConnections);
        assert!(door.admit(ip("127.0.0.1"), Entrance::Visitors).is_none());
        assert!(door.admit(ip("127.0.0.1"), Entrance::Tls).is_some());
        assert!(door.takes_requests());
        door.set_pressure(Pressure::NoNewRequests);
        assert!(!door.takes_requests());
        door.set_pressure(Pressure::None);
        assert!(door.admit(ip("127.0.0.1"), Entrance::Visitors).is_some() && door.takes_requests());
    }

    #[test]
    fn the_table_of_addresses_does_not_grow_for_ever() {
        let door = door(1000, 3);
        for number in 0..(3 * limits::ADDRESSES as u32) {
            drop(door.admit(IpAddr::from((0x0b00_0000 + number).to_be_bytes()), Entrance::Visitors));
        }
        assert!(door.addresses().len() <= limits::ADDRESSES);
    }
}
