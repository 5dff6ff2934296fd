//! CONTROL messages: sent at a pace that any peer bears, taken at one that grows with what there is to talk about.

use std::time::Instant;

use super::{Core, State};
use crate::limits;
use crate::proto::frame::Kind;

impl Core {
    /// Queues a message; false when the session has ended.
    pub(in crate::mux) fn send_control(&mut self, payload: &[u8]) -> bool {
        let open = matches!(self.state, State::Open | State::Leaving);
        if open {
            self.messages.push_back(payload.into());
            self.pace_control(); // most often at once, and so ahead of whatever is said after it
        }
        open
    }

    /// Moves on what of the messages may be sent by now.
    pub(super) fn pace_control(&mut self) {
        while !self.messages.is_empty() && self.own_controls.allow(self.now) {
            if let Some(message) = self.messages.pop_front() {
                self.control_frame(0, Kind::Control, &message);
            }
        }
    }

    /// True when messages wait for their time.
    pub(in crate::mux) fn has_messages(&self) -> bool {
        !self.messages.is_empty()
    }

    /// When the next message may be sent, if one waits.
    pub(in crate::mux) fn next_control(&self) -> Option<Instant> {
        self.has_messages().then(|| self.own_controls.next().unwrap_or(self.now))
    }

    /// True when something other than streams' bytes may be sent now.
    pub(in crate::mux) fn wants_to_send(&self) -> bool {
        !self.pending.is_empty() || self.next_control().is_some_and(|at| at <= self.now)
    }

    /// The peers talk about so many services: about each of them there is something to say now and then. With fewer
    /// than before a peer may still say as much: it could offer as many again.
    pub(in crate::mux) fn set_services(&mut self, services: usize) {
        let services = u32::try_from(services.min(limits::MAX_SERVICES)).unwrap_or_default();
        let at_once = limits::CONTROL_AT_ONCE + services * limits::CONTROL_AT_ONCE_PER_SERVICE;
        self.controls.raise(limits::CONTROL_PER_SECOND + services, at_once);
    }
}
