//! `[server.limits]`: what the operator may set against too much of everything. Each has a usual value, and a
//! most that it can be, so that a slip of the finger is not an open door.

use petit_host::toml_file::{Table, ValueKind};
use petit_relay::LimitsConfig;
use serde::Deserialize;

use super::values::{Bytes, Count, Network, ReleaseRate, Span, key};

pub(super) const LIMITS: Table = Table(&[
    key("connections", ValueKind::Value),
    key("connections_per_address", ValueKind::Value),
    key("requests", ValueKind::Value),
    key("requests_per_service", ValueKind::Value),
    key("requests_per_second", ValueKind::Value),
    key("websockets_per_client", ValueKind::Value),
    key("answer_within", ValueKind::Value),
    key("answer_within_most", ValueKind::Value),
    key("exempt_networks", ValueKind::Value),
    key("idle", ValueKind::Value),
    key("release_rate", ValueKind::Value),
    key("memory", ValueKind::Value),
    key("threads", ValueKind::Value),
]);

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LimitsForm {
    connections: Option<Count<10, 10_000_000>>,
    connections_per_address: Option<Count<1, 1_000_000>>,
    requests: Option<Count<2, 1_000_000>>,
    requests_per_service: Option<Count<1, 500_000>>,
    requests_per_second: Option<Count<1, 1_000_000>>,
    websockets_per_client: Option<Count<0, 100_000>>,
    answer_within: Option<Span<1, 86_400>>,
    answer_within_most: Option<Span<1, 86_400>>,
    exempt_networks: Option<Vec<Network>>,
    idle: Option<Span<10, 86_400>>,
    release_rate: Option<ReleaseRate>,
    memory: Option<Bytes>,
    threads: Option<Count<1, 64>>,
}

impl LimitsForm {
    pub(super) fn limits_config(&self) -> LimitsConfig {
        let usual = LimitsConfig::default();
        LimitsConfig {
            connections: usual.connections,
            connections_per_address: self
                .connections_per_address
                .as_ref()
                .map_or(usual.connections_per_address, Count::size),
            requests: self.requests.as_ref().map_or(usual.requests, Count::size),
            requests_per_service: self
                .requests_per_service
                .as_ref()
                .map_or(usual.requests_per_service, Count::size),
            requests_per_second: self
                .requests_per_second
                .as_ref()
                .map(|rate| u32::try_from(rate.0).unwrap_or(u32::MAX)),
            websockets_per_client: self
                .websockets_per_client
                .as_ref()
                .map_or(usual.websockets_per_client, Count::size),
            answer_within: self.answer_within.as_ref().map_or(usual.answer_within, |span| span.0),
            answer_within_most: self
                .answer_within_most
                .as_ref()
                .map_or(usual.answer_within_most, |span| span.0),
            exempt_networks: self.exempt_networks.iter().flatten().map(|network| network.0).collect(),
            idle: self.idle.as_ref().map_or(usual.idle, |span| span.0),
            release_rate: self.release_rate.as_ref().map(|rate| rate.0),
            threads: self.threads.as_ref().map_or(usual.threads, Count::size),
        }
    }

    pub(super) fn connections(&self) -> Option<usize> {
        self.connections.as_ref().map(Count::size)
    }

    pub(super) fn requests(&self) -> Option<usize> {
        self.requests.as_ref().map(Count::size)
    }

    pub(super) fn memory(&self) -> Option<u64> {
        self.memory.as_ref().map(|bytes| bytes.0)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use super::*;
    use crate::config::{ConfigError, parse};

    fn read(limits: &str) -> Result<(LimitsConfig, Option<u64>), ConfigError> {
        let text = format!("[server]\n[server.limits]\n{limits}\n");
        parse(Path::new("/etc/petit/config.toml"), &text).map(|(config, _)| (config.limits, config.memory))
    }

    #[test]
    fn limits_are_read_and_have_a_most() {
        assert_eq!(read("").unwrap(), (LimitsConfig::default(), None));
        let (limits, memory) =
            read("requests_per_service = 10\nanswer_within = \"5m\"\nmemory = \"2GB\"").unwrap();
        assert_eq!(limits.requests_per_service, 10);
        assert_eq!(limits.answer_within, Duration::from_secs(300));
        assert_eq!(memory, Some(2 << 30));
        let (limits, _) = read("release_rate = \"4MB\"").unwrap();
        assert_eq!(limits.release_rate, Some(4 << 20));
        let (limits, _) =
            read("answer_within_most = \"1d\"\nexempt_networks = [\"192.0.2.0/24\", \"::1\"]").unwrap();
        assert_eq!(limits.answer_within_most, Duration::from_secs(86_400));
        assert_eq!(limits.exempt_networks.len(), 2);
        for (text, expected) in [
            (
                "connections = 5",
                ":3:15: server.limits.connections: expected a number between 10 and 10000000",
            ),
            ("connections = \"many\"", ":3:15: server.limits.connections: expected a number between"),
            (
                "idle = \"1s\"",
                ":3:8: server.limits.idle: expected a time such as \"2m\", between 10s and 1day",
            ),
            ("answer_within = \"soon\"", "expected a time such as"),
            ("memory = \"1MB\"", "expected memory such as"),
            ("memory = \"4\"", "expected memory such as"),
            ("release_rate = \"10KB\"", "expected bytes in a second such as \"4MB\", at least 64KB"),
            ("answer_within_most = \"2d\"", "between 1s and 1day"),
            ("exempt_networks = [\"10.0.0.0/33\"]", "expected a network such as \"10.0.0.0/8\""),
            ("threads = 0", "expected a number between 1 and 64"),
            ("requets = 1", "did you mean \"requests\"?"),
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
