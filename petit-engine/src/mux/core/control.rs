//! CONTROL messages: sent at a pace that any peer bears, taken at one that grows with what there is to talk about.

use std::time::Instant;

use super::{Core, State, Violation};
use crate::limits;
use crate::proto::frame::FrameKind;

impl Core {
    /// Queues a message; false when the session has ended, or has to because too many wait.
    pub(in crate::mux) fn send_control(&mut self, payload: &[u8]) -> bool {
        if self.is_overrun || !matches!(self.state, State::Open | State::Leaving) {
            return false;
        }
        self.message_bytes += payload.len();
        self.messages.push_back(payload.into());
        self.pace_control(); // most often at once, and so ahead of whatever is said after it
        self.is_overrun = self.messages.len() > limits::OWN_CONTROLS_WAITING
            || self.message_bytes > limits::OWN_CONTROLS_WAITING_BYTES;
        !self.is_overrun
    }

    /// A peer may ask oftener than it can be answered, but not for long.
    pub(in crate::mux) fn overrun(&self) -> Result<(), Violation> {
        if self.is_overrun {
            Err(Violation::Flood { what: "control messages to be answered" })
        } else {
            Ok(())
        }
    }

    /// Moves on what of the messages may be sent by now.
    pub(super) fn pace_control(&mut self) {
        while !self.messages.is_empty() && self.own_controls.allow(self.now) {
            if let Some(message) = self.messages.pop_front() {
                self.message_bytes = self.message_bytes.saturating_sub(message.len());
                self.control_frame(0, FrameKind::Control, &message);
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
