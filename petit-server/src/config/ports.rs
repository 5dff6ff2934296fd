//! Ports of the server's own that are in each other's way.

use std::net::IpAddr;
use std::ops::RangeInclusive;

use petit_host::toml_file;

use super::settings::Config;

/// One port that two settings claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Collision {
    /// The settings.
    pub(super) keys: [&'static str; 2],
    /// The lowest port that both claim.
    port: u16,
    /// The addresses at which they do.
    addresses: [IpAddr; 2],
}

/// What listens.
struct Listener {
    key: &'static str,
    address: IpAddr,
    /// Without 0, for which the system chooses a port that is free.
    ports: RangeInclusive<u16>,
}

impl Listener {
    fn collides(&self, other: &Self) -> Option<Collision> {
        // A socket on all addresses of IPv6 takes those of IPv4 too, unless the system says otherwise.
        let is_on_all = |address: IpAddr| address.is_unspecified();
        let is_family = |all: IpAddr, one: IpAddr| all.is_ipv6() || one.is_ipv4();
        let (one, two) = (self.address, other.address);
        let overlap =
            one == two || (is_on_all(one) && is_family(one, two)) || (is_on_all(two) && is_family(two, one));
        let first = *self.ports.start().max(other.ports.start());
        let last = *self.ports.end().min(other.ports.end());
        (overlap && first <= last).then_some(Collision {
            keys: [self.key, other.key],
            port: first,
            addresses: [one, two],
        })
    }
}

impl Collision {
    /// What is wrong, and where: the settings with the lines of `text` that they stand in.
    pub(super) fn said(&self, text: &str) -> String {
        let placed = |key: &str| match toml_file::place_of(text, &["server", key]) {
            Some((line, _)) => format!("{key} (line {line})"),
            None => format!("{key} (by default)"),
        };
        let [one, two] = self.keys.map(placed);
        let [at, other] = self.addresses;
        let port = self.port;
        format!("{one} and {two} both claim port {port}, at {at} and {other}: only one of them can have it")
    }

    /// The last place of `text` that it is about: line and column.
    pub(super) fn place(&self, text: &str) -> (usize, usize) {
        let places = self.keys.iter().filter_map(|key| toml_file::place_of(text, &["server", key]));
        places.max().unwrap_or((1, 1))
    }
}

/// All of them. The two fronts come first: with these in each other's way no server starts.
pub(super) fn collisions(config: &Config) -> Vec<Collision> {
    let listener =
        |key, address, (first, last): (u16, u16)| Listener { key, address, ports: first.max(1)..=last };
    let http = listener("proxy_port", config.proxy_bind, (config.proxy_port, config.proxy_port));
    let tls = listener(
        "secure_proxy_port",
        config.secure_bind,
        (config.secure_proxy_port, config.secure_proxy_port),
    );
    let tcp = config.tcp_ports.map(|ports| listener("tcp_ports", config.tcp_bind, ports));
    let metrics = config.metrics_bind.map(|at| listener("metrics_bind", at.ip(), (at.port(), at.port())));
    let of_tcp = tcp.iter().flat_map(|tcp| [&http, &tls].map(|front| tcp.collides(front)));
    let others = [Some(&http), Some(&tls), tcp.as_ref()].into_iter().flatten();
    let of_metrics = metrics.iter().flat_map(|metrics| others.clone().map(|other| other.collides(metrics)));
    std::iter::once(http.collides(&tls)).chain(of_tcp).chain(of_metrics).flatten().collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::{mistakes, parse};

    fn read(text: &str) -> Result<Vec<(usize, String)>, String> {
        let read = parse(Path::new("/c.toml"), text).map_err(|error| error.to_string());
        read.map(|(_, notes)| notes.into_iter().map(|note| (note.line, note.message)).collect())
    }

    #[test]
    fn two_fronts_on_one_port_are_a_mistake_that_names_both() {
        let error = read("[server]\nproxy_port = 8453\nlog_level = \"info\"\n").unwrap_err();
        assert_eq!(
            error,
            "/c.toml:2:1: proxy_port (line 2) and secure_proxy_port (by default) both claim port 8453, \
             at 127.0.0.1 and 0.0.0.0: only one of them can have it"
        );
        let error = read("[server]\nproxyPort = 443\nsecure_proxy_port = 443").unwrap_err();
        assert!(
            error.starts_with("/c.toml:3:1: proxy_port (line 2) and secure_proxy_port (line 3)"),
            "{error}"
        );
        for binds in [
            "proxy_bind = \"::\"\nsecure_bind = \"192.0.2.1\"",
            "proxy_bind = \"192.0.2.1\"\nsecure_bind = \"192.0.2.1\"",
            "proxy_bind = \"::1\"\nsecure_bind = \"::\"",
        ] {
            let text = format!("[server]\nproxy_port = 443\nsecure_proxy_port = 443\n{binds}\n");
            assert!(read(&text).unwrap_err().contains("both claim port 443"), "{binds}");
            assert_eq!(mistakes(Path::new("/c.toml"), &text).len(), 1);
        }
    }

    #[test]
    fn what_does_not_overlap_or_is_chosen_by_the_system_is_no_collision() {
        for text in [
            "proxy_port = 0\nsecure_proxy_port = 0\ntcp_ports = \"0-0\"\ntcp_bind = \"0.0.0.0\"",
            "proxy_port = 443\nsecure_proxy_port = 443\nsecure_bind = \"192.0.2.1\"",
            "proxy_port = 443\nproxy_bind = \"::1\"\nsecure_proxy_port = 443",
            "secure_proxy_port = 20500\ntcp_ports = \"\"",
            "secure_proxy_port = 20500\nsecure_bind = \"192.0.2.1\"",
            "tcp_ports = \"8454-9000\"",
        ] {
            assert_eq!(read(&format!("[server]\n{text}\n")), Ok(vec![]), "{text}");
        }
    }

    #[test]
    fn a_front_among_the_ports_of_tcp_services_is_noted_with_both_lines() {
        let notes = read("[server]\ntcp_ports = \"8000-9000\"\ntcp_bind = \"0.0.0.0\"\n").unwrap();
        let said: Vec<&str> = notes.iter().map(|(_, said)| said.as_str()).collect();
        assert_eq!(notes.len(), 2, "{notes:?}");
        assert!(said[0].starts_with("tcp_ports (line 2) and proxy_port (by default) both claim port 8090"));
        assert!(said[1].contains("secure_proxy_port (by default) both claim port 8453"), "{said:?}");
        let notes = read("[server]\nsecureProxyPort = 20500").unwrap();
        assert_eq!(notes[0].0, 2, "{notes:?}");
    }
}
