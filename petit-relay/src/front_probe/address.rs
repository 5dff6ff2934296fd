//! Which addresses a probe may connect to. Pure.
//!
//! A public name leads where its owner's name server says, and the owner of a custom domain is a customer. So what
//! is not an address of the public internet is connected to only where the operator has said that fronts are there:
//! a name must not make the server knock at its own neighbours (server-side request forgery).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// The addresses that fronts may have, beside those of the public internet.
#[derive(Clone, Debug, Default)]
pub(super) struct Allowed {
    /// Networks that the operator has named.
    pub(super) networks: Vec<IpNet>,
    /// This machine itself: public names are under `localhost`.
    pub(super) loopback: bool,
}

impl Allowed {
    /// True when a front may be at `ip`.
    pub(super) fn permits(&self, ip: IpAddr) -> bool {
        let led_to = leads_to(ip);
        if led_to.is_unspecified() || led_to.is_multicast() || led_to == IpAddr::V4(Ipv4Addr::BROADCAST) {
            return false;
        }
        is_public(led_to)
            || (self.loopback && led_to.is_loopback())
            || self.networks.iter().any(|network| network.contains(&led_to) || network.contains(&ip))
    }
}

/// The address that packets end at: IPv6 has forms that carry an IPv4 address (mapped, RFC 4291 §2.5.5; compatible,
/// the same; NAT64, RFC 6052 §2.1; 6to4, RFC 3056 §2), and a gateway takes it out.
fn leads_to(ip: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = ip else { return ip };
    let [first, second, third, .., seventh, eighth] = v6.segments();
    let v4 = |high: u16, low: u16| IpAddr::V4(Ipv4Addr::from((u32::from(high) << 16) | u32::from(low)));
    if let Some(mapped) = v6.to_ipv4_mapped() {
        return mapped.into();
    }
    match v6.segments() {
        [0, 0, 0, 0, 0, 0, ..] if !v6.is_unspecified() && !v6.is_loopback() => v4(seventh, eighth),
        [0x64, 0xff9b, 0, 0, 0, 0, ..] => v4(seventh, eighth),
        _ if first == 0x2002 => v4(second, third),
        _ => ip,
    }
}

const fn v4(a: u8, b: u8, c: u8, d: u8, prefix: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix)
}

/// What of IPv4 is no part of the public internet (IANA's special-purpose registry, RFC 6890, as of 2025).
const SPECIAL_V4: [Ipv4Net; 15] = [
    v4(0, 0, 0, 0, 8),
    v4(10, 0, 0, 0, 8),
    v4(100, 64, 0, 0, 10), // carriers' own, RFC 6598
    v4(127, 0, 0, 0, 8),
    v4(169, 254, 0, 0, 16), // link-local, and clouds' metadata services
    v4(172, 16, 0, 0, 12),
    v4(192, 0, 0, 0, 24),
    v4(192, 0, 2, 0, 24),
    v4(192, 88, 99, 0, 24),
    v4(192, 168, 0, 0, 16),
    v4(198, 18, 0, 0, 15),
    v4(198, 51, 100, 0, 24),
    v4(203, 0, 113, 0, 24),
    v4(224, 0, 0, 0, 4),
    v4(240, 0, 0, 0, 4),
];

const fn v6(first: u16, second: u16, prefix: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(first, second, 0, 0, 0, 0, 0, 0), prefix)
}

/// All of IPv6 that is given out for the public internet (RFC 4291 §2.4).
const PUBLIC_V6: Ipv6Net = v6(0x2000, 0, 3);

/// What of that is no part of it: protocol assignments with Teredo, documentation.
const SPECIAL_V6: [Ipv6Net; 3] = [v6(0x2001, 0, 23), v6(0x2001, 0xdb8, 32), v6(0x3fff, 0, 20)];

fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => !SPECIAL_V4.iter().any(|network| network.contains(&ip)),
        IpAddr::V6(ip) => PUBLIC_V6.contains(&ip) && !SPECIAL_V6.iter().any(|network| network.contains(&ip)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn permits(allowed: &Allowed, ip: &str) -> bool {
        allowed.permits(ip.parse().unwrap())
    }

    #[test]
    fn only_addresses_of_the_public_internet_are_connected_to_unasked() {
        let none = Allowed::default();
        for public in
            ["1.1.1.1", "93.184.216.34", "2606:2800:220:1::1", "64:ff9b::5db8:d822", "2002:0101:0101::1"]
        {
            assert!(permits(&none, public), "{public}");
        }
        for other in [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "100.64.0.1",
            "100.127.255.254",
            "127.0.0.1",
            "127.1.2.3",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "192.0.0.1",
            "192.0.2.1",
            "198.18.0.1",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::ffff:169.254.169.254",
            "::127.0.0.1",
            "::10.1.2.3",
            "64:ff9b::a9fe:a9fe", // NAT64 of 169.254.169.254
            "64:ff9b::7f00:1",
            "64:ff9b:1::1.1.1.1", // a network's own NAT64, RFC 8215
            "2002:a9fe:a9fe::1",  // 6to4 of 169.254.169.254
            "2002:7f00:1::1",
            "2001::1", // Teredo
            "2001:db8::1",
            "3fff::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ] {
            assert!(!permits(&none, other), "{other}");
        }
    }

    #[test]
    fn what_the_operator_allows_is_connected_to_and_nothing_beside_it() {
        let allowed = Allowed {
            networks: vec!["10.1.0.0/16".parse().unwrap(), "fd12::/16".parse().unwrap()],
            loopback: false,
        };
        for inside in ["10.1.2.3", "::ffff:10.1.2.3", "64:ff9b::a01:203", "fd12::1", "1.1.1.1"] {
            assert!(permits(&allowed, inside), "{inside}");
        }
        for beside in ["10.2.0.1", "127.0.0.1", "::1", "fd13::1", "169.254.169.254"] {
            assert!(!permits(&allowed, beside), "{beside}");
        }
        let all =
            Allowed { networks: vec!["0.0.0.0/0".parse().unwrap(), "::/0".parse().unwrap()], loopback: true };
        for never in ["0.0.0.0", "::", "224.0.0.1", "ff02::1", "255.255.255.255", "::ffff:0.0.0.0"] {
            assert!(!permits(&all, never), "{never}");
        }
    }

    #[test]
    fn loopback_is_one_machine_and_not_the_networks_around_it() {
        let local = Allowed { networks: vec![], loopback: true };
        for own in ["127.0.0.1", "::1", "::ffff:127.0.0.1"] {
            assert!(permits(&local, own), "{own}");
        }
        for other in ["10.0.0.1", "169.254.169.254", "0.0.0.0", "::"] {
            assert!(!permits(&local, other), "{other}");
        }
    }
}
