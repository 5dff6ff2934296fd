//! What the operator may set of the relay's limits: each with its usual value, and the most it can be.

use std::time::Duration;

use ipnet::IpNet;
use petit_engine::limits;

/// The relay's limits. [`LimitsConfig::default`] is what fits most.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitsConfig {
    /// Connections of all kinds at the same time.
    pub connections: usize,
    /// Visitors' connections of one address (IPv6: one /64) at the same time, once a quarter of all are in use. Loopback
    /// and trusted proxies are not counted.
    pub connections_per_address: usize,
    /// Requests under way at the same time, all services together.
    pub requests: usize,
    /// Requests under way at the same time to one service; never more than half of all.
    pub requests_per_service: usize,
    /// Requests in a second to one service; `None`: as many as come.
    pub requests_per_second: Option<u32>,
    /// WebSockets of one client at the same time.
    pub websockets_per_client: usize,
    /// How long a service may take to begin its answer, unless its client says otherwise.
    pub answer_within: Duration,
    /// The longest time that a client may ask for instead.
    pub answer_within_most: Duration,
    /// An answer, a WebSocket or a request's body of which nothing has moved for this long is cut.
    pub idle: Duration,
    /// Bytes in a second of all files of releases together that are handed out; `None`: as fast as the lines take them.
    pub release_rate: Option<u64>,
    /// Networks whose addresses speak for many visitors each: connections and places of theirs are not counted by
    /// address. Loopback and trusted proxies need not be named.
    pub exempt_networks: Vec<IpNet>,
    /// Threads that serve; 0: one for each processor.
    pub threads: usize,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self {
            connections: limits::MAX_CONNECTIONS,
            connections_per_address: limits::CONNECTIONS_PER_ADDRESS,
            requests: limits::MAX_REQUESTS,
            requests_per_service: limits::REQUESTS_PER_SERVICE,
            requests_per_second: None,
            websockets_per_client: limits::WEBSOCKETS_PER_CLIENT,
            answer_within: limits::FIRST_BYTE,
            answer_within_most: limits::FIRST_BYTE_MOST,
            idle: limits::IDLE,
            release_rate: None,
            exempt_networks: Vec::new(),
            threads: 0,
        }
    }
}

/// How full the process is. Measured by whoever runs the relay, which reads no files itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Pressure {
    /// There is room.
    #[default]
    None = 0,
    /// No new visitor connection is taken.
    NoNewConnections = 1,
    /// No new request is taken either, but in the place of one whose holder has to give it up.
    NoNewRequests = 2,
}
