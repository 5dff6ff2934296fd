//! What a policy refuses visits for, and how often it has. A visit that is let in touches none of it.

use std::sync::atomic::{AtomicU64, Ordering};

use super::enforcement::Enforcement;
use crate::failure::Failure;

/// Why a policy does not let a visit in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusalReason {
    /// It comes from elsewhere.
    Address,
    /// It shows no key.
    KeyMissing,
    /// It shows one that the policy does not take.
    KeyRefused,
    /// Too many have come in the last moments.
    Rate,
    /// Too many are under way.
    Concurrent,
    /// Its body is too long.
    Body,
}

impl RefusalReason {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Address, Self::KeyMissing, Self::KeyRefused, Self::Rate, Self::Concurrent, Self::Body];

    /// What the visitor is told.
    pub fn failure(self) -> Failure {
        match self {
            Self::Address => Failure::AddressNotAllowed,
            Self::KeyMissing => Failure::KeyRequired,
            Self::KeyRefused => Failure::KeyRefused,
            Self::Rate | Self::Concurrent => Failure::TooMany,
            Self::Body => Failure::BodyTooLong,
        }
    }
}

/// So many visits, by why they are refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Refusals {
    pub address: u64,
    pub key_missing: u64,
    pub key_refused: u64,
    pub rate: u64,
    pub concurrent: u64,
    pub body: u64,
}

/// Counts what one policy refuses, or would. Whoever makes a policy anew hands on the counters of the one before, so
/// that a change of it begins nothing anew; two are equal only when they are one and the same.
#[derive(Debug, Default)]
pub struct RefusalCounters {
    refused: Counters,
    would_refuse: Counters,
}

/// One for each reason, in the order of [`RefusalReason::ALL`].
type Counters = [AtomicU64; RefusalReason::ALL.len()];

impl RefusalCounters {
    /// Visits that were refused.
    pub fn refused(&self) -> Refusals {
        read(&self.refused)
    }

    /// Visits that were let in because the policy only counts.
    pub fn would_refuse(&self) -> Refusals {
        read(&self.would_refuse)
    }

    pub(crate) fn add(&self, enforcement: Enforcement, reason: RefusalReason) {
        let counters = match enforcement {
            Enforcement::Enforce => &self.refused,
            Enforcement::CountOnly => &self.would_refuse,
        };
        if let Some(counter) = counters.get(reason as usize) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl PartialEq for RefusalCounters {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self, other)
    }
}

impl Eq for RefusalCounters {}

fn read(counters: &Counters) -> Refusals {
    let [address, key_missing, key_refused, rate, concurrent, body] =
        counters.each_ref().map(|counter| counter.load(Ordering::Relaxed));
    Refusals { address, key_missing, key_refused, rate, concurrent, body }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_has_a_number_of_its_own_and_what_is_only_counted_another() {
        let counters = RefusalCounters::default();
        for (place, reason) in RefusalReason::ALL.into_iter().enumerate() {
            (0..=place).for_each(|_| counters.add(Enforcement::Enforce, reason));
            (0..10 + place).for_each(|_| counters.add(Enforcement::CountOnly, reason));
        }
        let all = |first| Refusals {
            address: first,
            key_missing: first + 1,
            key_refused: first + 2,
            rate: first + 3,
            concurrent: first + 4,
            body: first + 5,
        };
        assert_eq!((counters.refused(), counters.would_refuse()), (all(1), all(10)));
    }
}
