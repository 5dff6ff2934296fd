//! What several sessions hold together: a bound on one of them alone is none where a peer may begin the next.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What there is in the sessions of one owner. A session that belongs to none is counted by itself.
#[derive(Debug, Default)]
pub struct Memory {
    held: AtomicUsize,
    outgoing: AtomicUsize,
    streams: AtomicUsize,
}

#[cfg(test)]
impl Memory {
    /// Bytes that wait for their readers, in all of them.
    pub(crate) fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }
}

/// How much there is of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Amounts {
    /// Bytes that wait for their readers.
    pub(super) held: usize,
    /// Bytes that are to be sent.
    pub(super) outgoing: usize,
    pub(super) streams: usize,
}

/// What one of them has, as entered in its owner's [`Memory`]; taken out when it is dropped.
///
/// A session enters it whenever its driver runs. Between two entries that takes in
/// [`crate::limits::READ_TURN_BYTES`] at most, so that is how far the sum can be behind for each session.
#[derive(Debug, Default)]
pub(crate) struct Entry {
    memory: Option<Arc<Memory>>,
    own: Amounts,
    /// What the others have, as of the last entry.
    pub(super) others: Amounts,
}

impl Entry {
    pub(crate) fn new(memory: Arc<Memory>) -> Self {
        Self { memory: Some(memory), ..Self::default() }
    }

    /// Enters what there is now, and looks at what the others have.
    pub(super) fn settle(&mut self, now: Amounts) {
        if let Some(memory) = &self.memory {
            let before = std::mem::replace(&mut self.own, now);
            self.others = Amounts {
                held: enter(&memory.held, before.held, now.held),
                outgoing: enter(&memory.outgoing, before.outgoing, now.outgoing),
                streams: enter(&memory.streams, before.streams, now.streams),
            };
        }
    }

    /// Enters bytes that were taken from a session and wait elsewhere.
    pub(crate) fn hold(&mut self, bytes: usize) {
        if self.own.held != bytes {
            self.settle(Amounts { held: bytes, ..Amounts::default() });
        }
    }
}

/// Puts `now` in the place of `before`; returns what is beside it. Differences wrap: the sum counts each entry once,
/// and never does.
fn enter(sum: &AtomicUsize, before: usize, now: usize) -> usize {
    let change = now.wrapping_sub(before);
    let all = match change {
        0 => sum.load(Ordering::Relaxed),
        _ => sum.fetch_add(change, Ordering::Relaxed).wrapping_add(change),
    };
    all.saturating_sub(now)
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.settle(Amounts::default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn amounts(held: usize, outgoing: usize, streams: usize) -> Amounts {
        Amounts { held, outgoing, streams }
    }

    #[test]
    fn each_session_sees_what_the_others_have_until_they_are_gone() {
        let memory = Arc::new(Memory::default());
        let (mut one, mut other) = (Entry::new(Arc::clone(&memory)), Entry::new(Arc::clone(&memory)));
        one.settle(amounts(100, 7, 3));
        other.settle(amounts(30, 0, 1));
        assert_eq!(other.others, amounts(100, 7, 3));
        one.settle(amounts(60, 9, 2));
        assert_eq!(one.others, amounts(30, 0, 1));
        let mut elsewhere = Entry::new(Arc::clone(&memory));
        elsewhere.hold(5);
        one.settle(amounts(60, 9, 2));
        assert_eq!(one.others, amounts(35, 0, 1));
        drop((one, elsewhere));
        other.settle(amounts(30, 0, 1));
        assert_eq!(other.others, Amounts::default());
        let mut alone = Entry::default();
        alone.settle(amounts(1000, 1000, 1000));
        assert_eq!(alone.others, Amounts::default());
        drop((other, alone));
        let sums = [&memory.held, &memory.outgoing, &memory.streams].map(|sum| sum.load(Ordering::Relaxed));
        assert_eq!(sums, [0; 3]);
    }
}
