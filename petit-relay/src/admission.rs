//! Admission of connections: so many connections in all, so many of one address, so many new ones of it in a second.
//! Whoever is not let in is closed at once; nothing waits here.
//!
//! Of those that were let in, the ones that have not shown yet what they have come for are *pending* (see
//! [`pending`]): they are a part of all, and the newcomers' room, because one of them makes way when there is no
//! other. So whoever only opens connections keeps nobody out.

mod connections;
mod pending;
mod ticket;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub(super) use self::connections::{Connections, Entrance};
pub(super) use self::pending::Precedence;
pub(super) use self::ticket::{Admission, Ticket};
use super::limits_config::LimitsConfig;

/// How long admission takes for one newcomer while so many addresses have a connection open, over `count` newcomers.
/// For the benchmark: a machine that has descriptors for so many connections is rare.
#[doc(hidden)]
pub fn time_newcomers(open: u32, count: u32) -> Duration {
    let limits = LimitsConfig { connections: usize::MAX, ..LimitsConfig::default() };
    let connections = Arc::new(Connections::new(&limits, &[]));
    let come =
        |number: u32| connections.admit(IpAddr::from((0x0a00_0000 + number).to_be_bytes()), Entrance::Http);
    let held: Vec<_> = (0..open).map(come).collect();
    let begin = Instant::now();
    for number in open..open + count {
        drop(come(number));
    }
    let took = begin.elapsed();
    drop(held);
    took / count.max(1)
}
