//! New TLS connections of IPv6 prefixes in a second. Each costs a signature, and who has a /56 or a /48 has hundreds of
//! networks that each have a rate of their own.

use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use ipnet::Ipv6Net;
use petit_engine::limits;
use petit_engine::proto::rate::Rate;

use super::networks::prefixes;
use super::remembered::{Need, Remembered};

/// The rates of the prefixes that TLS connections have come from lately.
#[derive(Debug, Default)]
pub(super) struct PrefixRates {
    table: Mutex<Remembered<Ipv6Net, PrefixRate>>,
}

#[derive(Debug)]
struct PrefixRate {
    handshakes: Rate,
    last: Instant,
}

impl PrefixRate {
    /// That of as many addresses.
    fn of(addresses: usize, now: Instant) -> Self {
        let addresses = u32::try_from(addresses).unwrap_or(u32::MAX);
        let per_second = limits::HANDSHAKES_PER_SECOND.saturating_mul(addresses);
        let at_once = limits::HANDSHAKES_AT_ONCE.saturating_mul(addresses);
        Self { handshakes: Rate::new(per_second, at_once), last: now }
    }

    /// One that has been quiet may be forgotten; when that is not enough, any: nothing hangs on it but its rate.
    fn is_kept(&self, now: Instant, need: Need) -> bool {
        need == Need::Some && now.saturating_duration_since(self.last) < limits::ADDRESS_MEMORY
    }
}

impl PrefixRates {
    /// Takes a new TLS connection of an address into account; false when it comes too soon for one of its prefixes.
    /// It counts for none of them then: what one network asks in vain is not taken from its neighbours.
    pub(super) fn allow(&self, address: IpAddr, now: Instant) -> bool {
        let Some([in_56, in_48]) = prefixes(address) else { return true };
        let both = [(in_56, limits::ADDRESSES_IN_56), (in_48, limits::ADDRESSES_IN_48)];
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let is_allowed = both.iter().all(|(prefix, addresses)| {
            let rate = table.entry(
                *prefix,
                |rate, need| rate.is_kept(now, need),
                || PrefixRate::of(*addresses, now),
            );
            rate.last = now;
            rate.handshakes.allows(now)
        });
        is_allowed
            && both
                .iter()
                .all(|(prefix, _)| table.get_mut(prefix).is_none_or(|rate| rate.handshakes.allow(now)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(in_56: u8, in_64: u8) -> IpAddr {
        format!("2001:db8:1:{in_56:02x}{in_64:02x}::1").parse().unwrap()
    }

    #[test]
    fn a_prefix_may_have_as_many_as_a_few_addresses_and_not_as_many_as_it_has_networks() {
        let (rates, now) = (PrefixRates::default(), Instant::now());
        let at_once = limits::HANDSHAKES_AT_ONCE as usize;
        let of_one_56 = (0..10_000).filter(|n: &u32| rates.allow(address(1, *n as u8), now)).count();
        assert_eq!(of_one_56, at_once * limits::ADDRESSES_IN_56);
        let of_all = (0..10_000).filter(|n: &u32| rates.allow(address(*n as u8, 0), now)).count();
        assert_eq!(of_one_56 + of_all, at_once * limits::ADDRESSES_IN_48);
        assert!(rates.allow("2001:db8:2::1".parse().unwrap(), now), "others are not concerned");
        assert!(rates.allow("192.0.2.1".parse().unwrap(), now), "IPv4 has no prefixes");
        let second = now + std::time::Duration::from_secs(1);
        let later = (0..10_000).filter(|n: &u32| rates.allow(address(1, *n as u8), second)).count();
        assert_eq!(later, limits::HANDSHAKES_PER_SECOND as usize * limits::ADDRESSES_IN_56);
    }

    #[test]
    fn what_is_refused_for_one_prefix_is_not_taken_from_another() {
        let (rates, now) = (PrefixRates::default(), Instant::now());
        for _ in 0..10_000 {
            rates.allow(address(1, 0), now);
        }
        let others = (0..10_000).filter(|n: &u32| rates.allow(address(2 + (*n % 200) as u8, 0), now)).count();
        let most = limits::HANDSHAKES_AT_ONCE as usize;
        assert_eq!(others, most * (limits::ADDRESSES_IN_48 - limits::ADDRESSES_IN_56));
    }
}
