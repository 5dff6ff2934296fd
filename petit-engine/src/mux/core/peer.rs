//! What the peer sends, and the rules that it is held to.

use std::sync::Arc;

use bytes::BytesMut;

use super::{Core, Role, State, wake};
use crate::limits;
use crate::mux::stream::StreamOutcome;
use crate::proto::credit::CreditError;
use crate::proto::frame::{FrameError, FrameKind, GoAway, Header, Open, Reset, ResetCode};
use crate::proto::frame::{decode_u64, decode_window};

/// How a peer broke the protocol. Its session ends, nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// Bytes that are no frame.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// More bytes or more credit than a window holds.
    #[error("on stream {stream} {error}")]
    Credit {
        /// Which stream.
        stream: u32,
        /// What was wrong.
        error: CreditError,
    },
    /// A frame that this end never receives on this stream.
    #[error("a {kind:?} frame on stream {stream}, where it cannot be now")]
    Unexpected {
        /// Which frame.
        kind: FrameKind,
        /// Which stream.
        stream: u32,
    },
    /// Too many frames for streams that have ended.
    #[error("too many frames for streams that have ended")]
    Strays,
    /// Too much of one thing in too short a time.
    #[error("more {what} than allowed")]
    Flood {
        /// Of what.
        what: &'static str,
    },
    /// The connection ended inside a frame.
    #[error("the connection ended inside a frame")]
    Truncated,
}

/// What a frame means to the session's owner.
#[derive(Debug)]
pub(in crate::mux) enum FrameEvent {
    Nothing,
    Control(Vec<u8>),
    GoAway(GoAway),
    Open(u32, Open, Arc<StreamOutcome>),
}

impl Core {
    /// A DATA frame of `length` bytes begins.
    pub(in crate::mux) fn on_data_begins(&mut self, id: u32, length: usize) -> Result<(), Violation> {
        let Some(slot) = self.streams.get_mut(&id) else { return self.stray(id, FrameKind::Data, length) };
        if slot.broken {
            return self.stray(id, FrameKind::Data, length);
        }
        if slot.finished {
            return Err(Violation::Unexpected { kind: FrameKind::Data, stream: id });
        }
        slot.window.receive(length).map_err(|error| Violation::Credit { stream: id, error })?;
        self.stats.received_bytes += length as u64;
        if slot.detached {
            slot.window.discard();
            return Ok(()); // nobody will read it; the window bounds how much of it can come
        }
        self.held += length;
        if self.held + self.entry.others.held > limits::SESSION_HELD_BYTES {
            // Nobody may take the stream for one that has delivered nothing, and try again.
            self.reset(id, ResetCode::NoRoom, u64::MAX);
            if let Some(slot) = self.streams.get_mut(&id) {
                slot.wake();
            }
            return Ok(());
        }
        // Room for the whole frame in one piece, unless it still fits behind what is there.
        let fits = slot.inbox.back().is_some_and(|back| back.capacity() - back.len() >= length);
        if !fits {
            slot.inbox.push_back(BytesMut::with_capacity(length.max(256)));
        }
        Ok(())
    }

    /// Bytes of the DATA frame that began last.
    pub(in crate::mux) fn on_data(&mut self, id: u32, bytes: &[u8]) {
        if let Some(slot) = self.streams.get_mut(&id)
            && !slot.broken
            && !slot.detached
        {
            match slot.inbox.back_mut() {
                Some(back) => back.extend_from_slice(bytes),
                // The reader took the chunk between two pieces of one frame.
                None => slot.inbox.push_back(BytesMut::from(bytes)),
            }
            wake(&mut slot.reader);
        }
    }

    /// A whole frame other than DATA. `Some` is for the session's owner.
    pub(in crate::mux) fn on_frame(
        &mut self,
        header: Header,
        payload: &[u8],
    ) -> Result<Option<FrameEvent>, Violation> {
        let Header { stream, kind, .. } = header;
        match kind {
            FrameKind::Open => return self.on_open(stream, &Open::decode(payload)?).map(Some),
            FrameKind::Data => {}
            FrameKind::Fin => {
                let delivered = decode_u64(kind, payload)?;
                let Some(slot) = self.streams.get_mut(&stream).filter(|slot| !slot.broken) else {
                    return self.stray(stream, kind, 0).map(|()| None);
                };
                if slot.finished {
                    return Err(Violation::Unexpected { kind, stream });
                }
                slot.finished = true;
                slot.outcome.peer_delivered(delivered);
                wake(&mut slot.reader);
                self.forget_if_done(stream);
            }
            FrameKind::Rst => {
                let reset = Reset::decode(payload)?;
                let Some(slot) = self.streams.get_mut(&stream).filter(|slot| !slot.broken) else {
                    return self.stray(stream, kind, 0).map(|()| None);
                };
                slot.broken = true;
                slot.outcome.reset(reset);
                self.outgoing = self.outgoing.saturating_sub(slot.outbox.bytes);
                slot.outbox.clear();
                slot.wake();
                self.forget_if_done(stream);
            }
            FrameKind::Window => {
                let grant = decode_window(payload)?;
                let Some(slot) = self.streams.get_mut(&stream).filter(|slot| !slot.broken) else {
                    return self.stray(stream, kind, 0).map(|()| None);
                };
                slot.credit.add(grant).map_err(|error| Violation::Credit { stream, error })?;
                self.queue(stream);
            }
            FrameKind::Ping => {
                if !self.pings.allow(self.now) {
                    return Err(Violation::Flood { what: "pings" });
                }
                self.control_frame(0, FrameKind::Pong, payload);
            }
            FrameKind::Pong => {
                let number = decode_u64(kind, payload)?;
                if number <= self.last_pong || number > self.pings_sent {
                    return Err(Violation::Unexpected { kind, stream });
                }
                self.last_pong = number;
                if let Some((_, sent)) = self.ping.take_if(|(expected, _)| *expected == number) {
                    self.liveness.ponged(self.now.saturating_duration_since(sent));
                }
            }
            FrameKind::GoAway => {
                let away = GoAway::decode(payload)?;
                if std::mem::replace(&mut self.peer_left, true) {
                    return Err(Violation::Unexpected { kind, stream });
                }
                if self.state == State::Open {
                    self.state = State::Leaving;
                }
                return Ok(Some(FrameEvent::GoAway(away)));
            }
            FrameKind::Control => {
                if !self.controls.allow(self.now) {
                    return Err(Violation::Flood { what: "control messages" });
                }
                return Ok(Some(FrameEvent::Control(payload.to_vec())));
            }
        }
        Ok(None)
    }

    fn on_open(&mut self, stream: u32, open: &Open) -> Result<FrameEvent, Violation> {
        if self.role == Role::Relay || stream <= self.last_stream {
            return Err(Violation::Unexpected { kind: FrameKind::Open, stream });
        }
        if !self.opens.allow(self.now) {
            return Err(Violation::Flood { what: "streams opened" });
        }
        self.last_stream = stream;
        // A stream that both ends have finished with may still be in our table for a moment, so the count is
        // not held against the peer until it is far above what was announced.
        if self.streams.len() >= 2 * limits::MAX_STREAMS as usize {
            return Err(Violation::Flood { what: "streams open" });
        }
        let is_full = self.streams.len() >= limits::MAX_STREAMS as usize
            || self.streams.len() + self.entry.others.streams >= limits::CLIENT_STREAMS;
        if is_full || self.state != State::Open {
            self.stray_bytes += u64::from(self.own_window);
            self.stray_frames += u64::from(limits::STRAY_FRAMES_PER_STREAM);
            self.control_frame(
                stream,
                FrameKind::Rst,
                &Reset { code: ResetCode::Refused, delivered: 0 }.encode(),
            );
            return Ok(FrameEvent::Nothing);
        }
        self.budget.claim(self.own_window);
        let outcome = self.insert(stream, self.own_window, open.window);
        Ok(FrameEvent::Open(stream, *open, outcome))
    }

    /// A frame for a stream that is no longer there: it crossed with our reset, unless there are too many.
    fn stray(&mut self, stream: u32, kind: FrameKind, length: usize) -> Result<(), Violation> {
        if stream > self.last_stream {
            return Err(Violation::Unexpected { kind, stream });
        }
        let left = if kind == FrameKind::Data {
            self.stray_bytes.checked_sub(length as u64).map(|left| self.stray_bytes = left)
        } else {
            self.stray_frames.checked_sub(1).map(|left| self.stray_frames = left)
        };
        left.ok_or(Violation::Strays)
    }
}
