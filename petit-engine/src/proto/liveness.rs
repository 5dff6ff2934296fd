//! When to ping, when to give a peer up, and when to try again. Pure: times and dice come in with the call.

use std::time::{Duration, Instant};

use crate::limits;

/// What a session has to do now for its liveness.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// Send a PING.
    Ping,
    /// Give the peer up: it has been silent for [`limits::DEAD_AFTER`].
    Silent,
    /// Give the peer up: it has taken none of our bytes for [`limits::DEAD_AFTER`].
    Stalled,
    /// Nothing before this moment.
    Wait(Instant),
}

/// How the sending half of a session went in one turn of its driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outgoing {
    /// Nothing waits to be sent.
    Idle,
    /// The connection has taken bytes, whether or not others still wait.
    Moves,
    /// The connection was full and has taken bytes since: the peer's system has acknowledged some.
    Drains,
    /// Bytes wait, and the connection has taken none.
    Blocked,
}

/// The liveness of one session.
///
/// Each end pings, each end judges for itself: the kernel alone would notice a pulled cable after fifteen
/// minutes or more.
#[derive(Debug)]
pub struct Liveness {
    heard: Instant,
    /// As `heard`, with what the peer's system shows without the peer.
    alive: Instant,
    pinged: Option<Instant>,
    /// Since when bytes have waited without a single one being taken.
    blocked: Option<Instant>,
    round_trip: Option<Duration>,
}

impl Liveness {
    /// Starts with the session, as if the peer had just been heard; a first PING is due at once, because it
    /// measures the path while it is idle.
    pub fn new(now: Instant) -> Self {
        Self { heard: now, alive: now, pinged: None, blocked: None, round_trip: None }
    }

    /// The peer has sent something.
    pub fn heard(&mut self, now: Instant) {
        self.heard = now;
        self.alive = now;
    }

    /// When the peer last showed that it is there: it was heard, or its system has acknowledged bytes.
    pub fn last_alive(&self) -> Instant {
        self.alive
    }

    /// A PING was sent.
    pub fn pinged(&mut self, now: Instant) {
        self.pinged = Some(now);
    }

    /// A PONG came back after `took`.
    pub fn ponged(&mut self, took: Duration) {
        self.round_trip = Some(self.round_trip.map_or(took, |least| least.min(took)));
    }

    /// The driver has had a turn. What counts is progress: a line may be full for as long as it likes, and is then
    /// busy, as long as it takes a byte every now and then.
    pub fn sent(&mut self, outgoing: Outgoing, now: Instant) {
        self.blocked = match outgoing {
            Outgoing::Idle => None,
            Outgoing::Moves | Outgoing::Drains => Some(now),
            Outgoing::Blocked => Some(self.blocked.unwrap_or(now)),
        };
        if outgoing == Outgoing::Drains {
            self.alive = self.alive.max(now);
        }
    }

    /// The shortest round trip seen in this session.
    pub fn min_round_trip(&self) -> Option<Duration> {
        self.round_trip
    }

    /// What is due now.
    pub fn due(&self, now: Instant) -> Due {
        let silent = self.heard + limits::DEAD_AFTER;
        if silent <= now {
            return Due::Silent;
        }
        let stalled = self.blocked.map(|since| since + limits::DEAD_AFTER);
        if stalled.is_some_and(|at| at <= now) {
            return Due::Stalled;
        }
        match self.pinged.map(|at| at + limits::PING_EVERY) {
            Some(ping) if ping > now => Due::Wait(ping.min(silent).min(stalled.unwrap_or(silent))),
            _ => Due::Ping,
        }
    }
}

/// Delays between attempts to connect: 0.2 s × 2ⁿ, capped, with full jitter, for ever.
///
/// Full jitter (a uniform draw between nothing and the delay) spreads the clients of a server that comes back.
#[derive(Clone, Debug, Default)]
pub struct Backoff {
    failures: u32,
}

impl Backoff {
    /// The delay before the next attempt. `dice` is uniform over all of `u64`.
    pub fn next(&mut self, dice: u64, cap: Duration) -> Duration {
        let most = limits::RETRY_FIRST.saturating_mul(1 << self.failures.min(16)).min(cap);
        self.failures = self.failures.saturating_add(1);
        most.mul_f64(dice as f64 / u64::MAX as f64)
    }

    /// Forgets past failures, after a session that lasted, a wake or a change of network.
    pub fn reset(&mut self) {
        self.failures = 0;
    }

    /// Failures in a row so far.
    pub fn failures(&self) -> u32 {
        self.failures
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_silent_peer_is_pinged_every_ten_seconds_and_given_up_after_twenty() {
        let start = Instant::now();
        let mut liveness = Liveness::new(start);
        assert_eq!(liveness.due(start), Due::Ping);
        liveness.pinged(start);
        assert_eq!(liveness.due(start), Due::Wait(start + 10 * SECOND));
        assert_eq!(liveness.due(start + 10 * SECOND), Due::Ping);
        liveness.pinged(start + 10 * SECOND);
        assert_eq!(liveness.due(start + 19 * SECOND), Due::Wait(start + 20 * SECOND));
        assert_eq!(liveness.due(start + 20 * SECOND), Due::Silent);
    }

    #[test]
    fn a_peer_that_speaks_lives_on() {
        let start = Instant::now();
        let mut liveness = Liveness::new(start);
        for second in 0..100 {
            liveness.heard(start + second * SECOND);
            assert_ne!(liveness.due(start + second * SECOND), Due::Silent);
        }
    }

    /// Twenty seconds from `start` on in which the peer speaks and the sending half is as it says.
    fn speaks_and(liveness: &mut Liveness, start: Instant, outgoing: Outgoing) -> Due {
        for second in 0..20 {
            let now = start + second * SECOND;
            liveness.heard(now);
            liveness.pinged(now);
            liveness.sent(outgoing, now);
            assert!(matches!(liveness.due(now), Due::Wait(_)), "{second}");
        }
        liveness.due(start + 20 * SECOND)
    }

    #[test]
    fn a_peer_that_speaks_but_does_not_read_is_given_up() {
        let start = Instant::now();
        let mut liveness = Liveness::new(start);
        assert_eq!(speaks_and(&mut liveness, start, Outgoing::Blocked), Due::Stalled);
        liveness.sent(Outgoing::Idle, start + 20 * SECOND);
        assert_ne!(liveness.due(start + 20 * SECOND), Due::Stalled);
    }

    #[test]
    fn a_full_line_that_moves_is_busy_and_not_stalled() {
        let start = Instant::now();
        let mut liveness = Liveness::new(start);
        for minute in 0..60 {
            let now = start + 60 * minute * SECOND;
            assert!(matches!(speaks_and(&mut liveness, now, Outgoing::Moves), Due::Wait(_)), "{minute}");
        }
        // The twenty seconds are those since the last byte.
        let now = start + 3600 * SECOND;
        liveness.heard(now);
        liveness.sent(Outgoing::Moves, now);
        assert_eq!(speaks_and(&mut liveness, now, Outgoing::Blocked), Due::Stalled);
    }

    #[test]
    fn the_round_trip_kept_is_the_shortest() {
        let mut liveness = Liveness::new(Instant::now());
        for took in [40, 12, 300] {
            liveness.ponged(Duration::from_millis(took));
        }
        assert_eq!(liveness.min_round_trip(), Some(Duration::from_millis(12)));
    }

    #[test]
    fn back_off_doubles_to_its_cap_and_never_ends() {
        let mut backoff = Backoff::default();
        let delays: Vec<Duration> = (0..100).map(|_| backoff.next(u64::MAX, limits::RETRY_CAP)).collect();
        assert_eq!(delays[0], Duration::from_millis(200));
        assert_eq!(delays[3], Duration::from_millis(1600));
        assert_eq!(delays[99], limits::RETRY_CAP);
        assert_eq!(backoff.next(0, limits::RETRY_CAP), Duration::ZERO);
        backoff.reset();
        assert_eq!(backoff.next(u64::MAX, limits::RETRY_CAP), limits::RETRY_FIRST);
    }
}
