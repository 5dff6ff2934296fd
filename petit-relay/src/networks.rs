//! The networks that addresses are counted by. Pure.

use std::net::{IpAddr, Ipv6Addr};

use ipnet::Ipv6Net;

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
