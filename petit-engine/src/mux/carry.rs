//! Bytes both ways between a stream and a local connection (the private service, or a visitor on a raw port).

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, Sleep};
use tokio_util::io::poll_read_buf;

use super::Stream;
use crate::limits;

/// First read of a connection; doubles to [`limits::SERVICE_READ_BYTES`] as long as reads fill it, so that small
/// answers cost small buffers.
const FIRST_READ_BYTES: usize = 4 * 1024;
/// What is left of a buffer is still good for a small answer.
const LEAST_READ_BYTES: usize = 1024;

/// When one side's end of sending ends the whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// Both sides have finished: a side that has finished sending still gets the answer (raw TCP, to a service). When
    /// one of them has gone, the other still gets all of what it had said before.
    BothFinish,
    /// As [`Until::BothFinish`], but a local side that has gone ends the whole at once (a visitor: what one had to say
    /// who hears no answer is not worth saying).
    BothFinishOrLocalBreaks,
    /// The local side has finished: an HTTP service that closes reads no further request, and the count of
    /// delivered bytes in the FIN is final.
    LocalFinishes,
}

/// Who is told of every step of a carry.
pub trait Progress {
    /// False when nothing more is to be taken from the stream for now. What was taken before is passed on.
    fn may_take(&self) -> bool {
        true
    }
    /// The stream takes nothing just now, so that the local connection is not read.
    fn waits_for_room(&mut self) {}
    /// The local connection takes nothing just now. A piece that was taken from the stream waits for it.
    fn waits_for_local(&mut self) {}
    /// The local connection has taken bytes of the stream's.
    fn to_local(&mut self, bytes: usize);
    /// The stream has taken these bytes of the local connection's.
    fn to_stream(&mut self, bytes: &[u8]);
}

/// Nobody.
impl Progress for () {
    fn to_local(&mut self, _: usize) {}
    fn to_stream(&mut self, _: &[u8]) {}
}

/// Which side broke.
#[derive(Debug, thiserror::Error)]
pub enum CarryError {
    /// The local connection.
    #[error("the local connection broke")]
    Local(#[source] io::Error),
    /// The stream: its peer reset it, or the session ended.
    #[error("the stream broke")]
    Stream(#[source] io::Error),
}

/// Carries bytes both ways. A side that finishes sending is shut for writing at the far end.
///
/// The stream always knows how many bytes the local connection has taken ([`Stream::set_delivered`]). No buffer
/// is held while nothing moves.
///
/// # Errors
/// [`CarryError`] with the side that broke; bytes delivered stay delivered.
///
/// # Cancel safety
/// Not cancel safe: dropping the future leaves both sides where they stand.
pub async fn carry<L, P>(
    stream: &mut Stream,
    local: &mut L,
    until: Until,
    progress: &mut P,
) -> Result<(), CarryError>
where
    L: AsyncRead + AsyncWrite + Unpin,
    P: Progress,
{
    let mut carry = Carry {
        until,
        chunk: Bytes::new(),
        delivered: 0,
        to_local: Half::Open,
        to_stream: Half::Open,
        refused: None,
        parting: None,
        unflushed: true,
        read_bytes: FIRST_READ_BYTES,
        buffer: BytesMut::new(),
    };
    std::future::poll_fn(|cx| carry.poll(stream, local, progress, cx)).await
}

struct Carry {
    until: Until,
    /// Taken from the stream, not yet taken by the local connection.
    chunk: Bytes,
    /// Bytes that the local connection has taken.
    delivered: u64,
    to_local: Half,
    to_stream: Half,
    /// Why the local connection takes no more.
    refused: Option<io::Error>,
    parting: Option<Parting>,
    /// The local connection may hold bytes that it has not passed on, also such as were written to it before.
    unflushed: bool,
    read_bytes: usize,
    /// Empty; what is read next goes into its capacity.
    buffer: BytesMut,
}

/// The stream has gone, and the local side takes what is left of it: nobody else would notice if it took nothing.
struct Parting {
    delivered: u64,
    timer: Pin<Box<Sleep>>,
}

impl Parting {
    fn new(delivered: u64) -> Self {
        Self { delivered, timer: Box::pin(tokio::time::sleep(limits::IDLE)) }
    }

    fn poll_over(&mut self, delivered: u64, cx: &mut Context<'_>) -> Poll<Result<(), CarryError>> {
        if std::mem::replace(&mut self.delivered, delivered) != delivered {
            self.timer.as_mut().reset(Instant::now() + limits::IDLE);
        }
        self.timer.as_mut().poll(cx).map(|()| Err(CarryError::Local(io::ErrorKind::TimedOut.into())))
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Half {
    Open,
    /// The source has ended; the sink is being shut.
    Ending,
    Done,
}

impl Carry {
    fn poll<L: AsyncRead + AsyncWrite + Unpin, P: Progress>(
        &mut self,
        stream: &mut Stream,
        local: &mut L,
        progress: &mut P,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), CarryError>> {
        // The answer first: it is what the visitor waits for, and when the service is gone it says so before
        // more of the request is delivered.
        match self.poll_to_stream(stream, local, progress, cx) {
            Poll::Ready(Err(CarryError::Stream(_))) if self.until != Until::LocalFinishes => {
                // Nobody takes any more; what was sent before is read until its end, or until its break.
                self.to_stream = Half::Done;
                self.parting = Some(Parting::new(self.delivered));
            }
            Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
            Poll::Ready(Ok(())) | Poll::Pending => {}
        }
        if self.to_stream == Half::Done && self.until == Until::LocalFinishes {
            return Poll::Ready(Ok(()));
        }
        match self.poll_to_local(stream, local, progress, cx) {
            Poll::Ready(Err(CarryError::Local(error))) if self.until != Until::BothFinishOrLocalBreaks => {
                // It takes no more. What it said before, a refusal most often, is still there to be read.
                self.to_local = Half::Done;
                self.refused = Some(error);
            }
            Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
            Poll::Ready(Ok(())) | Poll::Pending => {}
        }
        if self.to_local != Half::Done {
            return match &mut self.parting {
                Some(parting) => parting.poll_over(self.delivered, cx),
                None => Poll::Pending,
            };
        }
        if self.to_stream == Half::Done {
            return Poll::Ready(self.refused.take().map_or(Ok(()), |error| Err(CarryError::Local(error))));
        }
        // Nobody reads the stream any more, so a visitor who leaves would not be noticed.
        stream.poll_broken(cx).map(|error| Err(CarryError::Stream(error.into())))
    }

    fn poll_to_stream<L: AsyncRead + Unpin, P: Progress>(
        &mut self,
        stream: &mut Stream,
        local: &mut L,
        progress: &mut P,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), CarryError>> {
        while self.to_stream == Half::Open {
            let room = match stream.poll_room(cx) {
                Poll::Pending => {
                    progress.waits_for_room();
                    return Poll::Pending;
                }
                Poll::Ready(room) => room.map_err(CarryError::Stream)?,
            };
            let wanted = self.make_room(room);
            let mut space = (&mut self.buffer).limit(wanted);
            let length = match poll_read_buf(Pin::new(&mut *local), cx, &mut space) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(length) => length.map_err(CarryError::Local)?,
            };
            if length == 0 {
                stream.finish();
                self.to_stream = Half::Done;
                self.buffer = BytesMut::new();
                break;
            }
            if length == wanted {
                self.read_bytes = (self.read_bytes * 2).min(limits::SERVICE_READ_BYTES);
            }
            let piece = self.buffer.split().freeze();
            progress.to_stream(&piece);
            stream.send_chunk(piece);
        }
        Poll::Ready(Ok(()))
    }

    /// Sees that there is room for the next read, and says how much. Small answers share a buffer; what fills one
    /// gets larger ones.
    fn make_room(&mut self, room: usize) -> usize {
        let wanted = self.read_bytes.min(room.max(FIRST_READ_BYTES));
        let least = if wanted == FIRST_READ_BYTES { LEAST_READ_BYTES } else { wanted };
        if self.buffer.capacity() < least {
            self.buffer.reserve(wanted);
        }
        wanted.min(self.buffer.capacity())
    }

    fn poll_to_local<L: AsyncWrite + Unpin, P: Progress>(
        &mut self,
        stream: &mut Stream,
        local: &mut L,
        progress: &mut P,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), CarryError>> {
        while self.to_local == Half::Open {
            if self.chunk.is_empty() {
                let next = if progress.may_take() { stream.poll_chunk(cx) } else { Poll::Pending };
                match next {
                    Poll::Pending => {
                        if self.unflushed {
                            // Not before it is ready: what TLS holds back goes out with a flush or not at all.
                            ready!(Pin::new(&mut *local).poll_flush(cx)).map_err(CarryError::Local)?;
                            self.unflushed = false;
                        }
                        return Poll::Pending;
                    }
                    Poll::Ready(chunk) => match chunk.map_err(CarryError::Stream)? {
                        Some(chunk) => self.chunk = chunk,
                        None => self.to_local = Half::Ending,
                    },
                }
            }
            while !self.chunk.is_empty() {
                match Pin::new(&mut *local).poll_write(cx, &self.chunk) {
                    Poll::Pending => {
                        progress.waits_for_local();
                        return Poll::Pending;
                    }
                    Poll::Ready(Ok(0)) => {
                        return Poll::Ready(Err(CarryError::Local(io::ErrorKind::WriteZero.into())));
                    }
                    Poll::Ready(written) => {
                        let written = written.map_err(CarryError::Local)?;
                        self.chunk.advance(written);
                        self.unflushed = true;
                        self.delivered += written as u64;
                        stream.set_delivered(self.delivered);
                        progress.to_local(written);
                    }
                }
            }
        }
        if self.to_local == Half::Ending {
            match Pin::new(local).poll_shutdown(cx) {
                Poll::Pending => return Poll::Pending,
                // A service that has closed already need not be told that nothing more comes.
                Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::NotConnected => {}
                Poll::Ready(result) => result.map_err(CarryError::Local)?,
            }
            self.to_local = Half::Done;
        }
        Poll::Ready(Ok(()))
    }
}
