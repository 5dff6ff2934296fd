//! What several sessions hold together: a bound on one of them alone is none where a peer may begin the next.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes that wait in the sessions of one owner. A session that belongs to none is counted by itself.
#[derive(Debug, Default)]
pub struct Memory {
    /// For their readers.
    held: AtomicUsize,
    /// To be sent.
    outgoing: AtomicUsize,
}

/// A session's entries in its owner's [`Memory`], made whenever its driver runs; taken out when it is dropped.
///
/// Between two entries a driver takes in [`crate::limits::READ_TURN_BYTES`] at most, so that is how far the sum can be
/// behind for each session.
#[derive(Debug, Default)]
pub(super) struct Entry {
    memory: Option<Arc<Memory>>,
    held: usize,
    outgoing: usize,
    /// What the other sessions hold, as of the last entry.
    pub(super) others_held: usize,
    /// What the other sessions have to send, as of the last entry.
    pub(super) others_outgoing: usize,
}

impl Entry {
    pub(super) fn new(memory: Arc<Memory>) -> Self {
        Self { memory: Some(memory), ..Self::default() }
    }

    /// Enters what the session holds now, and looks at what the others hold.
    pub(super) fn settle(&mut self, held: usize, outgoing: usize) {
        if let Some(memory) = &self.memory {
            self.others_held = enter(&memory.held, &mut self.held, held);
            self.others_outgoing = enter(&memory.outgoing, &mut self.outgoing, outgoing);
        }
    }
}

/// Puts `now` in the place of `before`; returns what is beside it. Differences wrap: the sum counts each entry once,
/// and never does.
fn enter(sum: &AtomicUsize, before: &mut usize, now: usize) -> usize {
    let change = now.wrapping_sub(*before);
    let all = match change {
        0 => sum.load(Ordering::Relaxed),
        _ => sum.fetch_add(change, Ordering::Relaxed).wrapping_add(change),
    };
    *before = now;
    all.saturating_sub(now)
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.settle(0, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_session_sees_what_the_others_hold_until_they_are_gone() {
        let memory = Arc::new(Memory::default());
        let (mut one, mut other) = (Entry::new(Arc::clone(&memory)), Entry::new(Arc::clone(&memory)));
        one.settle(100, 7);
        other.settle(30, 0);
        assert_eq!((other.others_held, other.others_outgoing), (100, 7));
        one.settle(60, 9);
        assert_eq!((one.others_held, one.others_outgoing), (30, 0));
        drop(one);
        other.settle(30, 0);
        assert_eq!((other.others_held, other.others_outgoing), (0, 0));
        let mut alone = Entry::default();
        alone.settle(1000, 1000);
        assert_eq!((alone.others_held, alone.others_outgoing), (0, 0));
        drop((other, alone));
        assert_eq!(memory.held.load(Ordering::Relaxed), 0);
    }
}
