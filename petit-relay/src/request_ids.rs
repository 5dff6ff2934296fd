//! Names for requests and streams, which visitors, services and logs of both ends see.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};

use petit_engine::proto::RequestId;

/// Gives every request another name. Each is a keyed hash of a counter (SipHash; the keys are random, and others at each
/// start): 128 bits, so that no two are alike, and nobody who sees two of them learns how many there were in between,
/// which is what other customers' services were asked. A random number for each would cost more.
#[derive(Debug, Default)]
pub(super) struct RequestIds {
    keys: [RandomState; 2],
    so_far: AtomicU64,
}

impl RequestIds {
    /// The next one.
    pub(super) fn next(&self) -> RequestId {
        let number = self.so_far.fetch_add(1, Ordering::Relaxed);
        let mut id = [0; 16];
        let halves = self.keys.iter().flat_map(|key| key.hash_one(number).to_be_bytes());
        for (to, from) in id.iter_mut().zip(halves) {
            *to = from;
        }
        RequestId(id)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_two_requests_have_one_name_and_no_name_tells_how_many_there_were() {
        let (ids, others) = (RequestIds::default(), RequestIds::default());
        let names: Vec<RequestId> = (0..10_000).map(|_| ids.next()).collect();
        let distinct: HashSet<[u8; 16]> = names.iter().map(|name| name.0).collect();
        assert_eq!(distinct.len(), names.len());
        // Of any two, half of the bits differ, give or take; those of a counter would differ in a few.
        for (one, next) in names.iter().zip(names.iter().skip(1)) {
            let differ: u32 = one.0.iter().zip(next.0).map(|(a, b)| (a ^ b).count_ones()).sum();
            assert!((24..=104).contains(&differ), "{one} and {next} differ in {differ} bits");
        }
        assert!(!distinct.contains(&others.next().0), "another start gives other names");
    }
}
