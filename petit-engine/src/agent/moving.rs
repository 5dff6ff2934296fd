//! Moving to the process that takes a relay's place: the new session first, then away from the old one.
//!
//! The relay asks for it when it is restarted. The agent dials at once and goes on in the session that it has; once
//! the new process has welcomed it, the old session stays for what the old process still serves, until that ends
//! it. So at no moment is there no session.

use std::collections::VecDeque;

use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::session::Left;
use crate::limits;
use crate::mux::Stream;
use crate::proto::rate::Rate;

/// The sessions that are not in use any more: those that were moved away from, and those that only finish their
/// streams.
pub(super) struct Moved {
    /// Streams that relays still open on them.
    pub(super) streams: mpsc::Receiver<Stream>,
    pub(super) sender: mpsc::Sender<Stream>,
    /// Says to each of them what is to become of it, the oldest first.
    left: VecDeque<watch::Sender<Left>>,
    /// When to dial again, after an attempt to move has failed or because the relay asks for it too often.
    pub(super) again_at: Option<Instant>,
    /// How often a relay is followed to another session.
    followed: Rate,
}

impl Default for Moved {
    fn default() -> Self {
        let (sender, streams) = mpsc::channel(16);
        let followed = Rate::every(limits::FOLLOWED_EVERY, limits::FOLLOWED_AT_ONCE);
        Self { streams, sender, left: VecDeque::new(), again_at: None, followed }
    }
}

impl Moved {
    /// Lets the streams of all of them finish, and takes no more.
    pub(super) fn leave(&mut self) {
        for session in &self.left {
            drain(session);
        }
    }

    /// When the agent may follow its relay to another session: now, or a little later when it was asked to again and
    /// again.
    pub(super) fn follow_at(&mut self) -> Instant {
        Instant::from_std(self.followed.reserve(Instant::now().into_std()))
    }

    /// One more: returns what says what is to become of it. A relay that leaves or asks to move again and again gets
    /// no more than so many; what is left for the longest has the least to do.
    pub(super) fn one_more(&mut self, what: Left) -> watch::Receiver<Left> {
        self.left.retain(|session| !session.is_closed());
        let serves = |session: &&watch::Sender<Left>| *session.borrow() == Left::Serves;
        if what == Left::Serves && self.left.iter().filter(serves).count() >= limits::SESSIONS_LEFT_BEHIND {
            self.left.iter().find(serves).into_iter().for_each(drain);
        }
        while self.left.len() >= limits::SESSIONS_LEFT {
            let draining = self.left.iter().position(|session| *session.borrow() == Left::Drains);
            if let Some(oldest) = self.left.remove(draining.unwrap_or_default()) {
                oldest.send_replace(Left::Ends);
            }
        }
        let (says, left) = watch::channel(what);
        self.left.push_back(says);
        left
    }
}

fn drain(session: &watch::Sender<Left>) {
    session.send_if_modified(|left| {
        let serves = *left == Left::Serves;
        if serves {
            *left = Left::Drains;
        }
        serves
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_the_sessions_that_were_moved_from_the_newest_serve_and_the_oldest_end() {
        let mut moved = Moved::default();
        let count = limits::SESSIONS_LEFT + 5;
        let mut sessions: Vec<_> = (0..count).map(|_| moved.one_more(Left::Serves)).collect();
        let become_of = |sessions: &[watch::Receiver<Left>], what| {
            sessions.iter().filter(|session| *session.borrow() == what).count()
        };
        let newest = sessions.split_off(count - limits::SESSIONS_LEFT_BEHIND);
        assert_eq!(become_of(&newest, Left::Serves), newest.len());
        let drain = sessions.split_off(5);
        assert_eq!(become_of(&drain, Left::Drains), drain.len());
        assert_eq!(become_of(&sessions, Left::Ends), sessions.len());
        // One that has ended makes room.
        drop(drain);
        let next = moved.one_more(Left::Drains);
        assert_eq!((*next.borrow(), become_of(&newest, Left::Serves)), (Left::Drains, newest.len()));
        moved.leave();
        assert_eq!(become_of(&newest, Left::Drains), newest.len());
    }
}
