//! The one task that reads and writes a session's connection.
//!
//! It never waits for a stream: what it reads goes into the streams' inboxes, which their windows bound, and
//! what it writes is taken from their outboxes in turns. It ends when the connection does, when the peer is
//! given up or has broken the protocol, or when this side closes.

use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncBufRead, AsyncWrite};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::core::{FrameEvent, Violation};
use super::outbox::Batch;
use super::stream::Stream;
use super::{End, MuxEvent, MuxShared};
use crate::limits;
use crate::net::wire::Sent;
use crate::proto::frame::{Decoder, Piece};
use crate::proto::liveness::{Due, Outgoing};
use crate::timer::LazyTimer;

/// Parts of a batch that go into one write.
const SLICES: usize = 32;

/// Moves a session's bytes. Resolves to the reason of its end; dropping it ends the session too.
#[derive(Debug)]
pub struct Driver<IO> {
    io: IO,
    shared: Arc<MuxShared>,
    events: mpsc::Sender<MuxEvent>,
    decoder: Decoder,
    batch: Batch,
    /// The connection may hold bytes that it has not passed on.
    unflushed: bool,
    /// The connection took no more at the end of the last turn.
    full: bool,
    timer: LazyTimer,
}

/// How one side of the work went in this turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    /// The connection has to become ready first.
    Waits,
    /// Nothing to do.
    Idle,
    /// There may be more to do.
    More,
}

impl<IO: AsyncBufRead + AsyncWrite + Sent + Unpin> Driver<IO> {
    pub(super) fn new(io: IO, shared: Arc<MuxShared>, events: mpsc::Sender<MuxEvent>) -> Self {
        Self {
            io,
            shared,
            events,
            decoder: Decoder::default(),
            batch: Batch::default(),
            unflushed: false,
            full: false,
            timer: LazyTimer::default(),
        }
    }

    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        let mut core = self.shared.lock();
        core.tick(Instant::now().into_std(), cx.waker());
        if let Err(violation) = core.overrun() {
            return Poll::Ready(End::Violation(violation));
        }
        drop(core);
        let read = match self.receive(cx) {
            Ok(turn) => turn,
            Err(end) => return Poll::Ready(end),
        };
        let before = self.io.sent_bytes();
        let written = match self.send(cx) {
            Ok(turn) => turn,
            Err(error) => return Poll::Ready(End::Io(error)),
        };
        let was_full = std::mem::replace(&mut self.full, written == Turn::Waits);
        // What TLS has taken into its buffer is not on its way: our own PINGs would look like progress there.
        let outgoing = match (written, self.io.sent_bytes() > before) {
            (Turn::Idle, _) => Outgoing::Idle,
            (Turn::Waits | Turn::More, true) if was_full => Outgoing::Drains,
            (Turn::Waits | Turn::More, true) => Outgoing::Moves,
            (Turn::Waits | Turn::More, false) => Outgoing::Blocked,
        };
        // Liveness comes after both, so that a peer that has spoken or read while this process slept is not dead.
        if let Poll::Ready(end) = self.look_at_the_clock(outgoing, cx) {
            return Poll::Ready(end);
        }
        let core = self.shared.lock();
        if core.closing().is_some() && written == Turn::Idle && !core.has_messages() {
            return Poll::Ready(End::Local);
        }
        if core.is_idle() {
            self.shared.idle.notify_waiters();
        }
        // A PING or a message may have become due.
        let more = written == Turn::Idle && core.wants_to_send();
        drop(core);
        if read == Turn::More || written == Turn::More || more {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }

    /// Takes what the connection has, up to a turn's worth.
    fn receive(&mut self, cx: &mut Context<'_>) -> Result<Turn, End> {
        let mut received = 0;
        while received < limits::READ_TURN_BYTES {
            let input = match Pin::new(&mut self.io).poll_fill_buf(cx) {
                Poll::Pending => return Ok(Turn::Waits),
                Poll::Ready(Err(error)) => return Err(End::Io(error)),
                Poll::Ready(Ok([])) if self.decoder.is_at_boundary() => return Err(End::Peer),
                Poll::Ready(Ok([])) => return Err(End::Violation(Violation::Truncated)),
                Poll::Ready(Ok(input)) => input,
            };
            let length = input.len();
            take_in(&mut self.decoder, &self.shared, &self.events, input)?;
            Pin::new(&mut self.io).consume(length);
            received += length;
        }
        Ok(Turn::More)
    }

    fn look_at_the_clock(&mut self, outgoing: Outgoing, cx: &mut Context<'_>) -> Poll<End> {
        let mut core = self.shared.lock();
        core.sent(outgoing);
        loop {
            let mut until = match core.liveness() {
                Due::Wait(until) => until,
                Due::Silent => return Poll::Ready(End::Silent),
                Due::Stalled => return Poll::Ready(End::Stalled),
                // One was just queued, so the next is not due.
                Due::Ping => return Poll::Pending,
            };
            if let Some(limit) = core.closing() {
                until = until.min(limit);
                if limit <= Instant::now().into_std() {
                    return Poll::Ready(End::Local);
                }
            }
            // On a line that takes nothing no message's time comes.
            if outgoing == Outgoing::Idle {
                if core.wants_to_send() {
                    return Poll::Pending;
                }
                until = core.next_control().map_or(until, |next| until.min(next));
            }
            drop(core);
            if self.timer.poll_until(Instant::from_std(until), cx).is_pending() {
                return Poll::Pending;
            }
            core = self.shared.lock();
            core.tick(Instant::now().into_std(), cx.waker());
        }
    }

    /// Hands batches to the connection until it takes no more, nothing is left, or a turn is over.
    fn send(&mut self, cx: &mut Context<'_>) -> io::Result<Turn> {
        let mut sent = 0;
        loop {
            if self.batch.is_empty() {
                if sent >= limits::READ_TURN_BYTES {
                    return Ok(Turn::More);
                }
                self.shared.lock().fill(&mut self.batch);
            }
            if self.batch.is_empty() {
                if self.unflushed {
                    match Pin::new(&mut self.io).poll_flush(cx) {
                        Poll::Pending => return Ok(Turn::Waits),
                        Poll::Ready(result) => result?,
                    }
                    self.unflushed = false;
                }
                self.batch.rest();
                return Ok(Turn::Idle);
            }
            let mut slices = [IoSlice::new(&[]); SLICES];
            let mut used = 0;
            for (slice, part) in slices.iter_mut().zip(&self.batch.parts) {
                *slice = IoSlice::new(self.batch.part(part));
                used += 1;
            }
            let slices = slices.get(..used).unwrap_or_default();
            match Pin::new(&mut self.io).poll_write_vectored(cx, slices) {
                Poll::Pending => return Ok(Turn::Waits),
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(written)) => {
                    self.batch.advance(written);
                    self.unflushed = true;
                    sent += written;
                }
            }
        }
    }
}

/// Decodes `input` and updates the tables, under one lock.
fn take_in(
    decoder: &mut Decoder,
    shared: &Arc<MuxShared>,
    events: &mpsc::Sender<MuxEvent>,
    input: &[u8],
) -> Result<(), End> {
    let mut rest = input;
    let mut core = shared.lock();
    core.heard();
    loop {
        let event = match decoder.next(&mut rest).map_err(Violation::from)? {
            None => return Ok(()),
            Some(Piece::DataBegins { stream, length }) => {
                core.on_data_begins(stream, length)?;
                continue;
            }
            Some(Piece::Data { stream, bytes }) => {
                core.on_data(stream, bytes);
                continue;
            }
            Some(Piece::Frame { header, payload }) => match core.on_frame(header, payload)? {
                None | Some(FrameEvent::Nothing) => continue,
                Some(FrameEvent::Control(payload)) => MuxEvent::Control(payload),
                Some(FrameEvent::GoAway(away)) => MuxEvent::GoAway(away),
                Some(FrameEvent::Open(id, open, outcome)) => {
                    MuxEvent::Open(Stream::new(Arc::clone(shared), id, open, outcome))
                }
            },
        };
        // The queue holds every stream and message that the other limits allow; an owner that has gone takes
        // none. A stream in an event that is not taken must not be dropped under the lock.
        if let Err(refused) = events.try_send(event) {
            drop(core);
            return match refused {
                mpsc::error::TrySendError::Full(_) => Err(Violation::Flood { what: "events" }.into()),
                mpsc::error::TrySendError::Closed(_) => Err(End::Local),
            };
        }
    }
}

impl<IO: AsyncBufRead + AsyncWrite + Sent + Unpin> Future for Driver<IO> {
    type Output = End;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<End> {
        let end = self.poll_end(cx);
        if end.is_ready() {
            self.shared.lock().end();
            self.shared.idle.notify_waiters();
            // The peer sees an orderly end where there is time for one.
            let _ = Pin::new(&mut self.io).poll_shutdown(cx);
        }
        end
    }
}

impl<IO> Drop for Driver<IO> {
    fn drop(&mut self) {
        self.shared.lock().end();
        self.shared.idle.notify_waiters();
    }
}
