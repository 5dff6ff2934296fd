//! Has the computer slept, has its network changed? Noticed within a second, because a connection that was alive
//! before may be dead now, and nothing will say so for a long time. Windows tells by itself that it wakes; elsewhere, and
//! where it has not, the clocks do.

use std::net::IpAddr;
use std::time::{Duration, Instant, SystemTime};

use netwatcher::async_adapter::Tokio;
use netwatcher::{AsyncWatch, Update};
use tokio::time::MissedTickBehavior;

/// How often the clocks are compared.
const TICK: Duration = Duration::from_secs(1);
/// A tick that comes so late was slept through (or the process was stopped).
const LATE: Duration = Duration::from_secs(5);
/// Changes of the network come in bunches; the last one of a bunch counts.
const SETTLE: Duration = Duration::from_millis(200);

/// What has happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WakeEvent {
    /// The computer has slept, or this process was stopped.
    Woke,
    /// The network has changed; these are the computer's addresses now.
    Network(Vec<IpAddr>),
}

/// Watches both.
pub struct Watch {
    clock: tokio::time::Interval,
    clocks: Clocks,
    #[cfg(windows)]
    wakes: Option<petit_windows::power::Wakes>,
    network: Option<AsyncWatch>,
    /// The addresses after the last change, and when they count if no other comes before. Kept here because the
    /// clock ticks while they settle.
    settling: Option<(Vec<IpAddr>, tokio::time::Instant)>,
}

impl Watch {
    /// Begins to watch. Where the system does not tell of its network, only sleep is noticed.
    pub fn new() -> Self {
        let mut clock = tokio::time::interval(TICK);
        clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let network = netwatcher::watch_interfaces_async::<Tokio>();
        let network =
            network.inspect_err(|error| tracing::warn!(%error, "changes of the network are not noticed"));
        Self {
            clock,
            clocks: Clocks::now(),
            #[cfg(windows)]
            wakes: petit_windows::power::Wakes::new()
                .inspect_err(|error| tracing::warn!(%error, "the system does not tell when it wakes"))
                .ok(),
            network: network.ok(),
            settling: None,
        }
    }

    /// The next event.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn next(&mut self) -> WakeEvent {
        loop {
            #[cfg(windows)]
            let woke = woke(self.wakes.as_ref());
            #[cfg(not(windows))]
            let woke = std::future::pending::<()>();
            tokio::select! {
                () = woke => {
                    // The clocks are not to tell of it once more.
                    self.clocks = Clocks::now();
                    return WakeEvent::Woke;
                }
                _ = self.clock.tick() => {
                    let now = Clocks::now();
                    let before = std::mem::replace(&mut self.clocks, now);
                    if now.slept_since(&before) {
                        return WakeEvent::Woke;
                    }
                }
                update = changed(&mut self.network) => {
                    if !update.is_initial {
                        let until = tokio::time::Instant::now() + SETTLE;
                        self.settling = Some((addresses(&update), until));
                    }
                }
                addresses = settled(&mut self.settling) => return WakeEvent::Network(addresses),
            }
        }
    }
}

impl Default for Watch {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(windows)]
async fn woke(wakes: Option<&petit_windows::power::Wakes>) {
    match wakes {
        Some(wakes) => wakes.next().await,
        None => std::future::pending().await,
    }
}

async fn changed(network: &mut Option<AsyncWatch>) -> Update {
    match network {
        Some(watch) => watch.changed().await,
        None => std::future::pending().await,
    }
}

/// The computer's addresses, as an update has them.
fn addresses(update: &Update) -> Vec<IpAddr> {
    let addresses = update.interfaces.values().flat_map(|interface| &interface.ips);
    addresses.map(|address| address.ip.to_canonical()).collect()
}

/// Takes the addresses once they count.
async fn settled(settling: &mut Option<(Vec<IpAddr>, tokio::time::Instant)>) -> Vec<IpAddr> {
    let Some((_, until)) = settling else { return std::future::pending().await };
    tokio::time::sleep_until(*until).await;
    settling.take().map(|(addresses, _)| addresses).unwrap_or_default()
}

/// Three clocks at one moment. They part while the computer sleeps.
#[derive(Clone, Copy, Debug)]
struct Clocks {
    /// Stands still while the computer sleeps, on most systems.
    awake: Instant,
    /// Goes on while it sleeps, where the system has such a clock.
    always: Option<Duration>,
    wall: SystemTime,
}

impl Clocks {
    fn now() -> Self {
        Self { awake: Instant::now(), always: always(), wall: SystemTime::now() }
    }

    fn slept_since(&self, before: &Self) -> bool {
        let awake = self.awake.saturating_duration_since(before.awake);
        if awake >= LATE {
            return true;
        }
        match (self.always, before.always) {
            (Some(now), Some(then)) => now.saturating_sub(then).saturating_sub(awake) >= TICK,
            // Somebody may also have set the wall clock; looking once too often does no harm.
            _ => self.wall.duration_since(before.wall).is_ok_and(|wall| wall.saturating_sub(awake) >= LATE),
        }
    }
}

#[cfg(target_os = "linux")]
fn always() -> Option<Duration> {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    Some(Duration::new(u64::try_from(time.tv_sec).ok()?, u32::try_from(time.tv_nsec).ok()?))
}

#[cfg(not(target_os = "linux"))]
fn always() -> Option<Duration> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sleep_is_told_from_a_slow_moment_and_from_a_clock_that_is_set() {
        let start = Clocks::now();
        let after = |awake: u64, always: Option<u64>, wall: i64| Clocks {
            awake: start.awake + Duration::from_millis(awake),
            always: always.map(|millis| start.always.unwrap_or_default() + Duration::from_millis(millis)),
            wall: if wall < 0 {
                start.wall - Duration::from_millis(wall.unsigned_abs())
            } else {
                start.wall + Duration::from_millis(wall.unsigned_abs())
            },
        };
        assert!(!after(1000, Some(1000), 1000).slept_since(&start));
        assert!(!after(3000, Some(3000), 3000).slept_since(&start), "a busy machine");
        assert!(after(1000, Some(3000), 3000).slept_since(&start), "suspended for two seconds");
        assert!(after(60_000, Some(60_000), 60_000).slept_since(&start), "stopped for a minute");
        // NTP steps the wall clock by an hour: no sleep where there is a better clock.
        assert!(!after(1000, Some(1000), 3_601_000).slept_since(&start));
        assert!(!after(1000, Some(1000), -3_600_000).slept_since(&start));
        let blind = Clocks { always: None, ..start };
        assert!(after(1000, None, 60_000).slept_since(&blind));
        assert!(!after(1000, None, -60_000).slept_since(&blind));
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_that_settles_while_the_clock_ticks_is_not_lost() {
        let address: IpAddr = "192.0.2.7".parse().unwrap();
        let mut settling = Some((vec![address], tokio::time::Instant::now() + SETTLE));
        let ticked = tokio::time::timeout(SETTLE / 2, settled(&mut settling)).await;
        assert!(ticked.is_err());
        assert_eq!(settled(&mut settling).await, [address]);
        assert!(tokio::time::timeout(TICK, settled(&mut settling)).await.is_err(), "told once");
    }
}
