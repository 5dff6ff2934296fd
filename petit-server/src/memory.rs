//! How much memory the process has, and how much of it is in use.

use std::time::Duration;

use petit_relay::Pressure;

use crate::config::Config;

/// How often it is looked at.
pub const EVERY: Duration = Duration::from_secs(1);

/// What the server may use: what the operator says, else what the system gives the process.
pub(crate) fn of(config: &Config) -> Option<u64> {
    config.memory.or_else(limit)
}

/// What the process may use: what its control group allows, or what the machine has. `None` when neither is told.
pub fn limit() -> Option<u64> {
    let group = std::fs::read_to_string("/sys/fs/cgroup/memory.max").ok();
    let of_group = group.and_then(|text| text.trim().parse::<u64>().ok());
    let machine = std::fs::read_to_string("/proc/meminfo").ok();
    let of_machine = machine.and_then(|text| {
        let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
        line.split_whitespace().next()?.parse::<u64>().ok().map(|kib| kib * 1024)
    });
    of_group.into_iter().chain(of_machine).min()
}

/// What the process uses. `None` where that is not told.
#[cfg(not(target_os = "linux"))]
pub fn resident() -> Option<u64> {
    None
}

/// What the process uses. `None` where that is not told.
#[cfg(target_os = "linux")]
pub fn resident() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = text.split_whitespace().nth(1)?.parse().ok()?;
    Some(pages * u64::try_from(rustix::param::page_size()).unwrap_or(4096))
}

/// What follows from it. `before` is for the hysteresis: load is taken again only well below where it was shed.
pub fn pressure(used: u64, limit: u64, before: Pressure) -> Pressure {
    let percent = used.saturating_mul(100) / limit.max(1);
    let found = match percent {
        0..=85 => Pressure::None,
        86..=95 => Pressure::NoNewConnections,
        _ => Pressure::NoNewRequests,
    };
    let back = match percent {
        0..=80 => Pressure::None,
        81..=90 => Pressure::NoNewConnections,
        _ => Pressure::NoNewRequests,
    };
    if found < before { back.min(before) } else { found }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn load_is_shed_when_memory_is_short_and_taken_again_when_there_is_enough() {
        use Pressure::{NoNewConnections, NoNewRequests, None};
        let after = |percent, before| pressure(percent, 100, before);
        assert_eq!(after(85, None), None);
        assert_eq!(after(86, None), NoNewConnections);
        assert_eq!(after(96, None), NoNewRequests);
        assert_eq!(after(84, NoNewConnections), NoNewConnections, "it does not swing");
        assert_eq!(after(80, NoNewConnections), None);
        assert_eq!(after(92, NoNewRequests), NoNewRequests);
        assert_eq!(after(88, NoNewRequests), NoNewConnections);
        assert_eq!(after(10, NoNewRequests), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_uses_some_of_what_it_may() {
        let (used, limit) = (resident().unwrap(), limit().unwrap());
        assert!(used > 1 << 20 && used < limit, "{used} of {limit}");
    }
}
