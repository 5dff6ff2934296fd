//! Leaving a session: for good, for the next one, or for the process that takes the relay's place.

use std::time::Duration;

use tokio::time::Instant;
use tracing::Instrument;

use super::{Chain, Runner, dice};
use crate::agent::command::AskError;
use crate::agent::session::{AgentSession, Left, SessionError};
use crate::agent::state::AgentEvent;
use crate::limits;
use crate::proto::control::{FromAgent, MOVED, Message, has_feature};
use crate::proto::frame::ResetCode;

impl Runner {
    /// Hands the session to a task that lets its streams finish.
    pub(super) fn leave_session(&mut self) {
        if let Some(live) = self.live.take() {
            live.mux.go_away(Duration::ZERO);
            let left = self.moved.one_more(Left::Drains);
            let span = live.span.clone();
            self.leaving.spawn(live.drain(left).instrument(span));
        }
        self.forget_session();
    }

    /// As [`Runner::leave_session`], and the sessions that were moved from as well.
    pub(super) fn leave_all(&mut self) {
        self.moved.leave();
        self.leave_session();
    }

    /// Leaves in an orderly way; returns when all streams have finished or their time is over.
    pub(super) async fn leave(&mut self) {
        self.leave_all();
        self.step(AgentEvent::SwitchedOff);
        loop {
            tokio::select! {
                left = self.leaving.join_next() => if left.is_none() { break },
                Some(stream) = self.moved.streams.recv() => stream.reset(ResetCode::Refused),
            }
        }
        self.visiting.shutdown().await;
    }

    /// True while the agent has a session and is on its way to the next one.
    pub(super) fn is_moving(&self) -> bool {
        self.dialing.is_some() || self.moved.again_at.is_some()
    }

    /// Begins a session with the process that takes the relay's place. The present one goes on.
    pub(super) fn move_on(&mut self) {
        if self.is_moving() {
            return;
        }
        if self.log_limit.take_log_permit() {
            tracing::info!("another process takes the server's place; beginning a session with it");
        }
        self.backoff.reset();
        let at = self.moved.follow_at();
        if at <= Instant::now() {
            self.dial();
        } else {
            self.moved.again_at = Some(at);
        }
    }

    /// There is no session with the new process yet; the present one goes on until there is.
    pub(super) fn move_later(&mut self, error: &SessionError) {
        let delay: Duration = self.backoff.next(dice(), limits::RETRY_SOON_CAP);
        if self.log_limit.take_log_permit() {
            tracing::info!(error = %Chain(error), ?delay, "not moved yet");
        }
        self.moved.again_at = Some(Instant::now() + delay);
    }

    /// Serves a session that was moved away from until the relay ends it.
    pub(super) fn stay_behind(&mut self, old: AgentSession) {
        if has_feature(&old.features, MOVED)
            && let Ok(payload) = (FromAgent::Moved {}).encode()
        {
            // One that has ended meanwhile need not hear of it.
            let _ = old.mux.send_control(&payload);
        }
        let left = self.moved.one_more(Left::Serves);
        let span = old.span.clone();
        self.leaving.spawn(old.serve_on(self.moved.sender.clone(), left).instrument(span));
        // Their answers would come in the old session, in which nothing is listened to any more.
        for question in self.questions.drain(..) {
            question.what.fail(AskError::Offline);
        }
    }
}
