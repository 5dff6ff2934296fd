//! Moving to the process that takes a relay's place: the new session first, then away from the old one.
//!
//! The relay asks for it when it is restarted. The agent dials at once and goes on in the session that it has; once
//! the new process has welcomed it, the old session stays for what the old process still serves, until that ends
//! it. So at no moment is there no session.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::AskError;
use super::run::{Chain, Runner, dice};
use super::session::{Live, SessionError};
use crate::limits;
use crate::mux::Stream;

/// The sessions that the agent has moved away from.
pub(super) struct Moved {
    /// Streams that relays still open on them.
    pub(super) streams: mpsc::Receiver<Stream>,
    sender: mpsc::Sender<Stream>,
    /// For each of them, the oldest first: changes when it is left for good; from then on it takes no more.
    leave: VecDeque<watch::Sender<()>>,
    /// When to dial again, after an attempt to move has failed.
    pub(super) again_at: Option<Instant>,
}

impl Default for Moved {
    fn default() -> Self {
        let (sender, streams) = mpsc::channel(16);
        Self { streams, sender, leave: VecDeque::new(), again_at: None }
    }
}

impl Moved {
    /// Lets the streams of all of them finish, and takes no more.
    pub(super) fn leave(&mut self) {
        for session in self.leave.drain(..) {
            session.send_replace(());
        }
    }

    /// One more: returns what changes when it is to be left. A relay that asks again and again is not followed by ever
    /// more sessions; what is served on for the longest has the least to do.
    fn one_more(&mut self) -> watch::Receiver<()> {
        self.leave.retain(|session| !session.is_closed());
        while self.leave.len() >= limits::SESSIONS_LEFT_BEHIND
            && let Some(oldest) = self.leave.pop_front()
        {
            oldest.send_replace(());
        }
        let (leave, left) = watch::channel(());
        self.leave.push_back(leave);
        left
    }
}

impl Runner {
    /// True while the agent has a session and is on its way to the next one.
    pub(super) fn is_moving(&self) -> bool {
        self.dialing.is_some() || self.moved.again_at.is_some()
    }

    /// Begins a session with the process that takes the relay's place. The present one goes on.
    pub(super) fn move_on(&mut self) {
        if self.is_moving() {
            return;
        }
        tracing::info!("another process takes the server's place; beginning a session with it");
        self.backoff.reset();
        self.dial();
    }

    /// There is no session with the new process yet; the present one goes on until there is.
    pub(super) fn move_later(&mut self, error: &SessionError) {
        let delay: Duration = self.backoff.next(dice(), limits::RETRY_SOON_CAP);
        tracing::info!(error = %Chain(error), ?delay, "not moved yet");
        self.moved.again_at = Some(Instant::now() + delay);
    }

    /// Serves a session that was moved away from until the relay ends it.
    pub(super) fn stay_behind(&mut self, old: Live) {
        let left = self.moved.one_more();
        self.leaving.spawn(old.serve_on(self.moved.sender.clone(), left));
        // Their answers would come in the old session, in which nothing is listened to any more.
        for question in self.questions.drain(..) {
            question.what.fail(AskError::Offline);
        }
    }
}
