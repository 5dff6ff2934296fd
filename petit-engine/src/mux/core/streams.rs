//! What streams ask for: bytes in, bytes out, an end.

use std::task::Waker;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::ReadBuf;

use super::{Core, Fin, Slot, State, keep};
use crate::limits;
use crate::proto::frame::{FrameKind, Reset, ResetCode};

impl Core {
    /// Takes the next bytes of a stream as they came, in one chunk.
    pub(in crate::mux) fn read_chunk(&mut self, id: u32, waker: &Waker) -> Read {
        let Some(slot) = self.streams.get_mut(&id) else { return Read::Broken };
        match slot.next_chunk(waker) {
            Ok(chunk) => {
                let chunk = std::mem::take(chunk).freeze();
                slot.inbox.pop_front();
                self.consumed(id, chunk.len());
                Read::Chunk(chunk)
            }
            Err(why_not) => why_not,
        }
    }

    /// Copies the next bytes of a stream into `buffer`. `Ok` when at least one was copied.
    pub(in crate::mux) fn read_into(
        &mut self,
        id: u32,
        buffer: &mut ReadBuf<'_>,
        waker: &Waker,
    ) -> Result<(), Read> {
        let slot = self.streams.get_mut(&id).ok_or(Read::Broken)?;
        let mut copied = 0;
        while buffer.remaining() > 0 {
            match slot.next_chunk(waker) {
                Ok(chunk) => {
                    let piece = chunk.len().min(buffer.remaining());
                    buffer.put_slice(chunk.get(..piece).unwrap_or_default());
                    chunk.advance(piece);
                    copied += piece;
                    if chunk.is_empty() && chunk.capacity() == 0 {
                        slot.inbox.pop_front();
                    }
                }
                Err(why_not) if copied == 0 => return Err(why_not),
                Err(_) => break,
            }
        }
        self.consumed(id, copied);
        Ok(())
    }

    /// The stream's reader has taken bytes: grants more when it is time.
    fn consumed(&mut self, id: u32, bytes: usize) {
        let Some(slot) = self.streams.get_mut(&id) else { return };
        let round_trip = self.liveness.min_round_trip();
        self.held = self.held.saturating_sub(bytes);
        let grant = slot.window.consume(bytes, self.now, round_trip, &mut self.budget);
        if let Some(grant) = grant.filter(|_| !slot.finished && !slot.broken) {
            self.control_frame(id, FrameKind::Window, &grant.to_be_bytes());
            self.wake_driver();
        }
    }

    /// True when a stream can no longer be read or written; otherwise wakes when that happens.
    pub(in crate::mux) fn watch_broken(&mut self, id: u32, waker: &Waker) -> bool {
        let Some(slot) = self.streams.get_mut(&id) else { return true };
        if !slot.broken {
            keep(&mut slot.watcher, waker);
        }
        slot.broken
    }

    /// True when a stream is open both ways and has nothing to read.
    pub(in crate::mux) fn is_quiet(&self, id: u32) -> bool {
        self.streams.get(&id).is_some_and(|slot| {
            !slot.broken && !slot.finished && slot.fin == Fin::No && slot.inbox.iter().all(BytesMut::is_empty)
        })
    }

    /// How many bytes a stream may take on for sending now.
    pub(in crate::mux) fn room(&mut self, id: u32, waker: &Waker) -> SendRoom {
        let is_scarce = self.outgoing >= limits::SEND_TOTAL_BYTES
            || self.outgoing + self.entry.others.outgoing >= limits::CLIENT_OUTGOING_BYTES;
        let limit = if is_scarce { limits::SEND_SCARCE_BYTES } else { limits::SEND_BUFFER_BYTES };
        let Some(slot) = self.streams.get_mut(&id) else { return SendRoom::Broken };
        if slot.broken {
            return SendRoom::Broken;
        }
        if slot.fin != Fin::No {
            return SendRoom::Shut;
        }
        match limit.saturating_sub(slot.outbox.bytes) {
            0 => {
                keep(&mut slot.writer, waker);
                SendRoom::Pending
            }
            room => SendRoom::Bytes(room),
        }
    }

    /// Copies bytes into a stream's outbox; call after [`Core::room`] said that they fit. Nothing, when it is no
    /// longer open for writing.
    pub(in crate::mux) fn write(&mut self, id: u32, data: &[u8]) {
        let Some(slot) = self.writable(id) else { return };
        slot.outbox.copy(data);
        self.written(id, data.len());
    }

    /// Hands a chunk to a stream's outbox without copying it.
    pub(in crate::mux) fn write_chunk(&mut self, id: u32, chunk: Bytes) {
        let Some(slot) = self.writable(id) else { return };
        let added = chunk.len();
        slot.outbox.push(chunk);
        self.written(id, added);
    }

    fn writable(&mut self, id: u32) -> Option<&mut Slot> {
        self.streams.get_mut(&id).filter(|slot| !slot.broken && slot.fin == Fin::No)
    }

    fn written(&mut self, id: u32, added: usize) {
        self.outgoing += added;
        if let Some(slot) = self.streams.get_mut(&id) {
            slot.outcome.wrote(added);
        }
        self.queue(id);
        self.wake_driver();
    }

    /// Puts a stream in line when it has something to send and may.
    pub(super) fn queue(&mut self, id: u32) {
        if let Some(slot) = self.streams.get_mut(&id) {
            let has_data = slot.outbox.bytes > 0 && slot.credit.held() > 0;
            let has_fin = slot.outbox.bytes == 0 && matches!(slot.fin, Fin::Wanted(_) | Fin::Reset(..));
            if !slot.queued && !slot.broken && (has_data || has_fin) {
                slot.queued = true;
                self.ready.push_back(id);
            }
        }
    }

    /// No more bytes will be written to a stream.
    pub(in crate::mux) fn finish(&mut self, id: u32, delivered: u64) {
        self.end_writing(id, Fin::Wanted(delivered));
    }

    /// Ends a stream once the peer has been sent what was written.
    pub(in crate::mux) fn reset_after(&mut self, id: u32, code: ResetCode, delivered: u64) {
        self.end_writing(id, Fin::Reset(code, delivered));
    }

    fn end_writing(&mut self, id: u32, end: Fin) {
        if let Some(slot) = self.streams.get_mut(&id)
            && slot.fin == Fin::No
            && !slot.broken
        {
            slot.fin = end;
            self.queue(id);
            self.wake_driver();
        }
    }

    /// Ends a stream at once.
    pub(in crate::mux) fn reset(&mut self, id: u32, code: ResetCode, delivered: u64) {
        if let Some(slot) = self.streams.get_mut(&id)
            && !slot.broken
        {
            slot.broken = true;
            self.outgoing = self.outgoing.saturating_sub(slot.outbox.bytes);
            slot.outbox.clear();
            self.held = self.held.saturating_sub(slot.drop_inbox());
            if slot.finished && slot.fin == Fin::Sent {
                return; // nothing left to reset
            }
            self.stray_bytes += u64::from(slot.window.granted());
            self.control_frame(id, FrameKind::Rst, &Reset { code, delivered }.encode());
            self.wake_driver();
        }
    }

    /// As [`Core::reset`], and whoever waits for the stream notices.
    pub(in crate::mux) fn cancel(&mut self, id: u32, delivered: u64) {
        self.reset(id, ResetCode::Cancelled, delivered);
        if let Some(slot) = self.streams.get_mut(&id) {
            slot.wake();
        }
    }

    /// The stream's handle is gone. True when it was the last stream.
    ///
    /// A side that had finished writing still gets its bytes out before it tells the peer that it reads no more;
    /// one that had not finished ends the stream at once.
    pub(in crate::mux) fn detach(&mut self, id: u32, delivered: u64) -> bool {
        let Some(slot) = self.streams.get_mut(&id) else { return false };
        slot.detached = true;
        slot.reader = None;
        slot.writer = None;
        slot.watcher = None;
        self.held = self.held.saturating_sub(slot.drop_inbox());
        match slot.fin {
            Fin::No => self.reset(id, ResetCode::Cancelled, delivered),
            Fin::Sent if !slot.finished => self.reset(id, ResetCode::Cancelled, delivered),
            Fin::Wanted(_) | Fin::Reset(..) | Fin::Sent => {}
        }
        let was_last = self.forget_if_done(id);
        if self.state == State::Ended {
            self.settle(); // no driver does it any more
        }
        was_last
    }

    /// Forgets a stream that nobody holds and nothing is left of. True when it was the last one.
    pub(super) fn forget_if_done(&mut self, id: u32) -> bool {
        let done = self
            .streams
            .get(&id)
            .is_some_and(|slot| slot.detached && (slot.broken || (slot.finished && slot.fin == Fin::Sent)));
        if done && let Some(slot) = self.streams.remove(&id) {
            self.outgoing = self.outgoing.saturating_sub(slot.outbox.bytes);
            slot.window.close(&mut self.budget);
        }
        done && self.streams.is_empty()
    }
}

/// What [`Core::read`] found.
#[derive(Debug)]
pub(in crate::mux) enum Read {
    Chunk(Bytes),
    Pending,
    Finished,
    Broken,
}

/// What [`Core::room`] found.
#[derive(Debug)]
pub(in crate::mux) enum SendRoom {
    Bytes(usize),
    Pending,
    Shut,
    Broken,
}
