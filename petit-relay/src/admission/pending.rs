//! Pending connections: those that have not shown yet what they have come for. They are bounded in all, and the bound is
//! shared max-min fairly among the networks that they come from: when it is reached, the oldest connection of the
//! network that has most is evicted for the newcomer. Pure: no sockets, no clock.
//!
//! A network counts at each of its sizes. An address weighs what it has pending; an IPv4 /24, an IPv6 /56 and a /48
//! weigh what all of theirs have together, divided by the number of addresses that they count for. So whoever has many
//! networks weighs more than whoever has one, and a provider with one connection of each of some customers weighs no
//! more than one of them. These are the sizes that the Internet routes (/24 and /48; RFC 7454 §6.1.3) and that
//! providers give to one customer (/56; RIPE-690); for larger ones nobody answers as a whole.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net};
use petit_engine::limits;

use super::super::networks::prefixes;

/// What a connection of an address weighs, so that those of its prefixes are whole numbers.
const UNIT: usize = 1024;

/// The pending connections, by network. `T` is how one is told that it is evicted.
#[derive(Debug)]
pub(super) struct Pending<T> {
    most: usize,
    arrivals: u64,
    /// By address and arrival, so that those of one address are together, the oldest first.
    connections: BTreeMap<(IpNet, u64), T>,
    networks: HashMap<IpNet, Network>,
    /// The networks by the next larger one that they are of (`None`: of none), the heaviest last.
    ranking: BTreeSet<(Option<IpNet>, Weight, IpNet)>,
}

#[derive(Clone, Copy, Debug)]
struct Network {
    held: usize,
    weight: Weight,
}

/// Why a network is evicted from before others are: the greatest is next. Of two that are as heavy it is the one
/// whose oldest connection has waited longer, so that a handshake has as much time as there can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Weight {
    load: usize,
    oldest: Reverse<u64>,
}

/// Above every weight that there can be.
const HEAVIEST: Weight = Weight { load: usize::MAX, oldest: Reverse(0) };

/// Which of the pending connections one is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Key {
    address: IpAddr,
    arrival: u64,
}

/// Who is served first among those who wait: the least is. Loads are taken by their order of magnitude, so that of two
/// networks with about as much the newer connection is first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Precedence {
    /// Of the heaviest network that a connection is of.
    network: u32,
    /// Of its address.
    address: u32,
}

impl Precedence {
    /// Of whoever has nothing else pending.
    pub(super) const ALONE: Self = Self { network: UNIT.ilog2(), address: UNIT.ilog2() };

    #[cfg(test)]
    pub(crate) fn of(network: u32, address: u32) -> Self {
        Self { network, address }
    }
}

impl<T> Pending<T> {
    pub(super) fn new(most: usize) -> Self {
        Self {
            most: most.max(1),
            arrivals: 0,
            connections: BTreeMap::new(),
            networks: HashMap::new(),
            ranking: BTreeSet::new(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.connections.is_empty()
    }

    /// Takes a connection in, and evicts one when there are too many: never the newcomer.
    pub(super) fn enter(&mut self, address: IpAddr, connection: T) -> (Key, Option<T>) {
        let key = Key { address, arrival: self.arrivals };
        self.arrivals += 1;
        self.connections.insert((address.into(), key.arrival), connection);
        self.change(address, |held| held + 1);
        // The newcomer is the newest of its address, and where it is the only one, no lighter one is older.
        let evicted = if self.connections.len() > self.most { self.evict() } else { None };
        (key, evicted)
    }

    /// Takes a connection out; `None` when it has been evicted.
    pub(super) fn remove(&mut self, key: Key) -> Option<T> {
        let connection = self.connections.remove(&(key.address.into(), key.arrival))?;
        self.change(key.address, |held| held.saturating_sub(1));
        Some(connection)
    }

    /// Takes the oldest connection of the heaviest network out; `None` when there is none at all.
    pub(super) fn evict(&mut self) -> Option<T> {
        let (_, mut network) = self.heaviest_of(None)?;
        while let Some((_, smaller)) = self.heaviest_of(Some(network)) {
            network = smaller;
        }
        let arrival = self.oldest_of(network)?;
        self.remove(Key { address: network.addr(), arrival })
    }

    /// How soon the connections of an address are served among those who wait.
    pub(super) fn precedence(&self, address: IpAddr) -> Precedence {
        let load_of = |(network, addresses)| {
            let held = self.networks.get(&network).map_or(0, |network| network.held);
            load(held, addresses).checked_ilog2().unwrap_or(0)
        };
        let own = load_of((address.into(), 1));
        Precedence { network: networks(address).map(load_of).max().unwrap_or(own), address: own }
    }

    /// Counts a connection of an address that has come or gone, in all networks that the address is of. A few steps of
    /// O(log n) each.
    fn change(&mut self, address: IpAddr, change: impl Fn(usize) -> usize) {
        let mut sizes = networks(address).peekable();
        let mut smaller = None;
        while let Some((network, addresses)) = sizes.next() {
            let larger = sizes.peek().map(|(larger, _)| *larger);
            let before = self.networks.get(&network).copied();
            if let Some(before) = before {
                self.ranking.remove(&(larger, before.weight, network));
            }
            let heaviest = match smaller {
                None => self.oldest_of(network).map(|oldest| Weight { load: 0, oldest: Reverse(oldest) }),
                Some(_) => self.heaviest_of(Some(network)).map(|(weight, _)| weight),
            };
            match heaviest {
                None => {
                    self.networks.remove(&network);
                }
                Some(Weight { load: within, oldest }) => {
                    let held = change(before.map_or(0, |before| before.held));
                    let weight = Weight { load: load(held, addresses).max(within), oldest };
                    self.ranking.insert((larger, weight, network));
                    self.networks.insert(network, Network { held, weight });
                }
            }
            smaller = Some(network);
        }
    }

    /// The heaviest of the networks that are of this one.
    fn heaviest_of(&self, larger: Option<IpNet>) -> Option<(Weight, IpNet)> {
        // What the bound ends with does not matter: no weight is as great as its own.
        let bound = (larger, HEAVIEST, larger.unwrap_or_default());
        let (of, weight, network) = self.ranking.range(..bound).next_back()?;
        (*of == larger).then_some((*weight, *network))
    }

    /// The arrival of the oldest connection of an address.
    fn oldest_of(&self, address: IpNet) -> Option<u64> {
        let ((of, arrival), _) = self.connections.range((address, 0)..).next()?;
        (*of == address).then_some(*arrival)
    }
}

fn load(held: usize, addresses: usize) -> usize {
    held.saturating_mul(UNIT) / addresses.max(1)
}

/// The networks that an address is of, the smallest first, and for how many addresses each counts. An IPv6 address is
/// the first one of its /64.
fn networks(address: IpAddr) -> impl Iterator<Item = (IpNet, usize)> {
    let larger: [Option<(IpNet, usize)>; 2] = match address {
        IpAddr::V4(v4) => {
            let in_24 = Ipv4Net::new(v4, 24).ok().map(|prefix| prefix.trunc().into());
            [in_24.map(|prefix| (prefix, limits::ADDRESSES_IN_24)), None]
        }
        IpAddr::V6(_) => match prefixes(address) {
            Some([in_56, in_48]) => {
                let in_56 = (in_56.into(), limits::ADDRESSES_IN_56);
                [Some(in_56), Some((in_48.into(), limits::ADDRESSES_IN_48))]
            }
            None => [None, None],
        },
    };
    std::iter::once((address.into(), 1)).chain(larger.into_iter().flatten())
}

#[cfg(test)]
mod tests;
