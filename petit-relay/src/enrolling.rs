//! Guessing invites is slow: an address that has tried too often has to wait.

use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use petit_engine::limits;

use super::networks::network;
use super::remembered::{Need, Remembered};

/// Addresses that have guessed. Whoever holds an invite is never among them.
#[derive(Debug, Default)]
pub(super) struct Enrolling {
    guesses: Mutex<Remembered<IpAddr, Guesses>>,
}

#[derive(Debug)]
struct Guesses {
    count: u32,
    /// When the count begins anew; a penalty ends then, too.
    until: Instant,
}

impl Enrolling {
    fn guesses(&self) -> MutexGuard<'_, Remembered<IpAddr, Guesses>> {
        self.guesses.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn may_try(&self, from: IpAddr) -> bool {
        let now = Instant::now();
        let mut guesses = self.guesses();
        match guesses.get_mut(&network(from)) {
            Some(over) if over.until <= now => {
                guesses.remove(&network(from));
                true
            }
            Some(guesses) => guesses.count < limits::ENROL_FAILURES,
            None => true,
        }
    }

    pub(super) fn failed(&self, from: IpAddr) {
        let now = Instant::now();
        let mut table = self.guesses();
        let kept = |guesses: &Guesses, need| {
            guesses.until > now && (need == Need::Some || guesses.count >= limits::ENROL_FAILURES)
        };
        let new = || Guesses { count: 0, until: now + limits::ENROL_PENALTY };
        let guesses = table.entry(network(from), kept, new);
        guesses.count += 1;
        if guesses.count == limits::ENROL_FAILURES {
            guesses.until = now + limits::ENROL_PENALTY;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_guesses_has_to_wait_and_others_do_not() {
        let enrolling = Enrolling::default();
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        for _ in 0..limits::ENROL_FAILURES {
            assert!(enrolling.may_try(ip("2001:db8::1")));
            enrolling.failed(ip("2001:db8::1"));
        }
        assert!(!enrolling.may_try(ip("2001:db8::1")));
        assert!(!enrolling.may_try(ip("2001:db8::ffff:2")), "the same /64");
        assert!(enrolling.may_try(ip("2001:db8:0:1::1")) && enrolling.may_try(ip("192.0.2.1")));
        for guesses in enrolling.guesses().values_mut() {
            guesses.until = Instant::now();
        }
        assert!(enrolling.may_try(ip("2001:db8::1")), "the penalty ends");
    }
}
