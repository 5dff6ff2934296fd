//! What waits to be sent: a stream's outbox, and the batch that the driver makes of many.

use std::collections::VecDeque;

use bytes::{Buf, Bytes, BytesMut};

use crate::limits;
use crate::proto::frame::{FrameKind, Header};

/// Small writes share a buffer of this size.
const SMALL_BYTES: usize = 1024;
/// A batch keeps memory for this much between two rounds, instead of growing from nothing in each.
const KEPT_BYTES: usize = 4 * 1024;
/// A round that copied no more than a PING and a few grants is one of a session in which nothing happens.
const IDLE_BYTES: usize = 64;

/// What a stream has to send: shared chunks, and a tail that small writes are collected in.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    chunks: VecDeque<Bytes>,
    tail: BytesMut,
    pub(super) bytes: usize,
}

impl Outbox {
    pub(super) fn copy(&mut self, data: &[u8]) {
        if self.tail.capacity() - self.tail.len() < data.len() {
            self.seal();
            self.tail.reserve(data.len().max(SMALL_BYTES));
        }
        self.tail.extend_from_slice(data);
        self.bytes += data.len();
    }

    pub(super) fn push(&mut self, chunk: Bytes) {
        self.seal();
        self.bytes += chunk.len();
        self.chunks.push_back(chunk);
    }

    fn seal(&mut self) {
        if !self.tail.is_empty() {
            self.chunks.push_back(self.tail.split().freeze());
        }
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Moves up to `most` bytes into `batch` as one frame and returns how many.
    pub(super) fn take(&mut self, stream: u32, most: usize, batch: &mut Batch) -> usize {
        let most = most.min(limits::MAX_DATA_BYTES).min(self.bytes);
        if most == 0 {
            return 0;
        }
        if self.chunks.front().is_some_and(|chunk| chunk.len() >= limits::COPY_BELOW_BYTES)
            && let Some(front) = self.chunks.front_mut()
        {
            let chunk = front.split_to(most.min(front.len()));
            if front.is_empty() {
                self.chunks.pop_front();
            }
            self.bytes -= chunk.len();
            batch.frame(Header { stream, kind: FrameKind::Data, length: chunk.len() });
            return batch.shared(chunk);
        }
        // Small pieces travel together. The header is written first and its length filled in by counting first.
        let small = |chunk: &&Bytes| chunk.len() < limits::COPY_BELOW_BYTES;
        let sealed: usize = self.chunks.iter().take_while(small).map(Bytes::len).sum();
        let tail = if self.chunks.iter().all(|chunk| small(&chunk)) { self.tail.len() } else { 0 };
        let length = (sealed + tail).min(most);
        batch.frame(Header { stream, kind: FrameKind::Data, length });
        let mut left = length;
        while left > 0 {
            let Some(front) = self.chunks.front_mut() else { break };
            let piece = left.min(front.len());
            batch.inline(front.get(..piece).unwrap_or_default());
            front.advance(piece);
            left -= piece;
            if front.is_empty() {
                self.chunks.pop_front();
            }
        }
        if left > 0 {
            batch.inline(self.tail.get(..left).unwrap_or_default());
            self.tail.advance(left);
        }
        if self.tail.is_empty() && self.tail.capacity() > 0 && self.chunks.is_empty() {
            self.tail = BytesMut::new();
        }
        self.bytes -= length;
        length
    }
}

/// What the driver hands to the connection in one go: small things copied together, large ones by reference.
#[derive(Debug, Default)]
pub(super) struct Batch {
    inline: Vec<u8>,
    pub(super) parts: VecDeque<Part>,
    pub(super) bytes: usize,
    /// What was copied since the last [`Batch::rest`].
    copied: usize,
}

#[derive(Debug)]
pub(super) enum Part {
    /// A range of `inline`.
    Inline(std::ops::Range<usize>),
    MuxShared(Bytes),
}

impl Batch {
    pub(super) fn frame(&mut self, header: Header) {
        self.inline(&header.encode());
    }

    pub(super) fn inline(&mut self, data: &[u8]) {
        let start = self.inline.len();
        self.inline.extend_from_slice(data);
        let end = self.inline.len();
        self.bytes += data.len();
        self.copied += data.len();
        match self.parts.back_mut() {
            Some(Part::Inline(range)) if range.end == start => range.end = end,
            _ => self.parts.push_back(Part::Inline(start..end)),
        }
    }

    pub(super) fn shared(&mut self, chunk: Bytes) -> usize {
        let length = chunk.len();
        self.bytes += length;
        self.parts.push_back(Part::MuxShared(chunk));
        length
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    pub(super) fn part<'a>(&'a self, part: &'a Part) -> &'a [u8] {
        match part {
            Part::Inline(range) => self.inline.get(range.clone()).unwrap_or_default(),
            Part::MuxShared(chunk) => chunk,
        }
    }

    /// Takes note that the connection has taken `written` bytes.
    pub(super) fn advance(&mut self, mut written: usize) {
        self.bytes = self.bytes.saturating_sub(written);
        while written > 0 {
            let Some(front) = self.parts.front_mut() else { break };
            let left = match front {
                Part::Inline(range) => {
                    let step = written.min(range.len());
                    range.start += step;
                    written -= step;
                    range.len()
                }
                Part::MuxShared(chunk) => {
                    let step = written.min(chunk.len());
                    chunk.advance(step);
                    written -= step;
                    chunk.len()
                }
            };
            if left > 0 {
                break;
            }
            self.parts.pop_front();
        }
        if self.parts.is_empty() {
            self.inline.clear();
            if self.inline.capacity() > limits::BATCH_BYTES {
                self.inline = Vec::new();
            }
        }
    }

    /// Gives memory back while there is nothing to send: what a busy session does not need in each round, and all
    /// that an idle one has.
    pub(super) fn rest(&mut self) {
        if self.is_empty() && self.copied > 0 {
            let kept = if self.copied > IDLE_BYTES { KEPT_BYTES } else { 0 };
            self.inline.shrink_to(kept);
            self.copied = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends so many bytes in small pieces, in one round.
    fn round(batch: &mut Batch, bytes: usize) {
        for _ in 0..bytes {
            batch.inline(&[7]);
        }
        batch.advance(bytes);
        batch.rest();
    }

    #[test]
    fn a_batch_keeps_a_little_memory_while_its_session_is_busy_and_none_while_it_is_idle() {
        let mut batch = Batch::default();
        round(&mut batch, 300);
        let kept = batch.inline.capacity();
        assert!((300..=KEPT_BYTES).contains(&kept), "{kept}");
        // Whoever only receives keeps it for the next answer.
        batch.rest();
        round(&mut batch, 300);
        assert_eq!(batch.inline.capacity(), kept);
        round(&mut batch, 40_000);
        assert_eq!(batch.inline.capacity(), KEPT_BYTES);
        // A PING, and nothing else for ten seconds.
        round(&mut batch, 16);
        assert_eq!(batch.inline.capacity(), 0);
    }

    #[test]
    fn what_waits_is_not_given_away() {
        let mut batch = Batch::default();
        batch.inline(&[7; 10_000]);
        batch.advance(9_000);
        batch.rest();
        let left: usize = batch.parts.iter().map(|part| batch.part(part).len()).sum();
        assert_eq!(left, 1_000);
    }
}
