//! What the driver asks for: what is to be sent, and whether the peer is still there.

use std::collections::VecDeque;
use std::task::Waker;
use std::time::Instant;

use super::{Core, Fin, State, keep, wake};
use crate::limits;
use crate::mux::outbox::Batch;
use crate::proto::frame::{FrameKind, Header, ResetCode};
use crate::proto::liveness::{Due, Outgoing};

impl Core {
    /// The driver runs: keeps its waker and its clock.
    pub(in crate::mux) fn tick(&mut self, now: Instant, waker: &Waker) {
        self.now = now;
        self.settle();
        keep(&mut self.driver, waker);
    }

    pub(in crate::mux) fn heard(&mut self) {
        self.liveness.heard(self.now);
    }

    pub(in crate::mux) fn sent(&mut self, outgoing: Outgoing) {
        self.liveness.sent(outgoing, self.now);
    }

    /// Sends a PING if one is due, and says when to look again or why to give up.
    pub(in crate::mux) fn liveness(&mut self) -> Due {
        if self.ping_wanted || self.liveness.due(self.now) == Due::Ping {
            self.ping_wanted = false;
            self.pings_sent += 1;
            self.ping = Some((self.pings_sent, self.now));
            self.liveness.pinged(self.now);
            self.control_frame(0, FrameKind::Ping, &self.pings_sent.to_be_bytes());
        }
        self.liveness.due(self.now)
    }

    /// When a close that is under way must have ended.
    pub(in crate::mux) fn closing(&self) -> Option<Instant> {
        match self.state {
            State::Closing(limit) => Some(limit),
            State::Open | State::Leaving | State::Ended => None,
        }
    }

    /// Fills a batch: pending frames first, then one turn per ready stream.
    pub(in crate::mux) fn fill(&mut self, batch: &mut Batch) {
        self.pace_control();
        if !self.pending.is_empty() {
            batch.inline(&self.pending);
            self.pending.clear();
            if self.pending.capacity() > limits::MUX_CONGESTED_BYTES {
                self.pending = Vec::new();
            }
        }
        while batch.bytes < limits::BATCH_BYTES {
            let Some(id) = self.ready.pop_front() else { break };
            let alone = self.ready.is_empty();
            let Some(slot) = self.streams.get_mut(&id) else { continue };
            slot.queued = false;
            if slot.broken {
                continue;
            }
            let turn = if alone { limits::BATCH_BYTES - batch.bytes } else { limits::QUANTUM_BYTES };
            let credit = slot.credit.held();
            let taken = slot.outbox.take(id, turn.min(credit), batch);
            slot.credit.spend(taken);
            self.outgoing -= taken;
            self.stats.sent_bytes += taken as u64;
            if slot.outbox.bytes <= limits::SEND_BUFFER_BYTES / 2 {
                wake(&mut slot.writer);
            }
            match slot.fin {
                Fin::Wanted(delivered) if slot.outbox.bytes == 0 => {
                    batch.frame(Header { stream: id, kind: FrameKind::Fin, length: 8 });
                    batch.inline(&delivered.to_be_bytes());
                    slot.fin = Fin::Sent;
                    if slot.detached && !slot.finished {
                        self.reset(id, ResetCode::Cancelled, delivered);
                    }
                    self.forget_if_done(id);
                }
                Fin::Reset(code, delivered) if slot.outbox.bytes == 0 => {
                    self.reset(id, code, delivered);
                    self.forget_if_done(id);
                }
                _ => self.queue(id),
            }
        }
    }

    /// The session is over: every stream breaks, every waiter wakes.
    pub(in crate::mux) fn end(&mut self) {
        self.state = State::Ended;
        for slot in self.streams.values_mut() {
            // A stream that both sides have finished is complete, whatever becomes of the connection.
            if !slot.finished || slot.fin != Fin::Sent {
                slot.broken = true;
                if self.is_cut {
                    slot.outcome.cut();
                }
                slot.outcome.lost();
            }
            slot.outbox.clear();
            slot.wake();
        }
        self.outgoing = 0;
        self.pending = Vec::new();
        self.messages = VecDeque::new();
        self.ready = VecDeque::new();
        self.driver = None;
        self.settle();
    }
}
