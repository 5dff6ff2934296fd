//! The handle of one stream.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::MuxShared;
use super::core::{Read, SendRoom};
use crate::proto::frame::{Open, Reset, ResetCode};

/// How a stream ended, readable after the stream itself is gone.
#[derive(Debug, Default)]
pub struct StreamOutcome {
    /// 0, or the number of the [`ResetCode`].
    code: AtomicU32,
    lost: AtomicBool,
    cut: AtomicBool,
    given_up: AtomicBool,
    peer_delivered: AtomicU64,
    written: AtomicU64,
}

impl StreamOutcome {
    /// Why the peer reset the stream; `None` when it did not.
    pub fn reset_code(&self) -> Option<ResetCode> {
        ResetCode::from_u32(self.code.load(Ordering::Relaxed))
    }

    /// True when the session ended before the stream had.
    pub fn was_lost(&self) -> bool {
        self.lost.load(Ordering::Relaxed)
    }

    /// True when the session ended before the stream had because this side has cut it ([`super::Mux::cut`]).
    pub fn was_cut(&self) -> bool {
        self.cut.load(Ordering::Relaxed)
    }

    /// True when this side has ended the stream though another held it ([`Canceller::cancel`]).
    pub fn was_given_up(&self) -> bool {
        self.given_up.load(Ordering::Relaxed)
    }

    /// Bytes written to the stream so far.
    pub fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// Bytes of this side's that the peer says it had delivered when it finished or reset the stream. `None`
    /// before that: nothing can be said then.
    pub fn delivered(&self) -> Option<u64> {
        // Stored with one added, so that nothing delivered differs from nothing said.
        self.peer_delivered.load(Ordering::Relaxed).checked_sub(1)
    }

    pub(super) fn wrote(&self, bytes: usize) {
        self.written.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(super) fn peer_delivered(&self, bytes: u64) {
        self.peer_delivered.store(bytes.saturating_add(1), Ordering::Relaxed);
    }

    pub(super) fn reset(&self, reset: Reset) {
        self.code.store(reset.code as u32, Ordering::Relaxed);
        self.peer_delivered(reset.delivered);
    }

    pub(super) fn lost(&self) {
        self.lost.store(true, Ordering::Relaxed);
    }

    pub(super) fn cut(&self) {
        self.cut.store(true, Ordering::Relaxed);
    }
}

/// Why a stream can no longer be read or written; the source of the [`io::Error`]s it gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StreamError {
    /// The peer reset it.
    #[error("the peer reset the stream: {0:?}")]
    Reset(ResetCode),
    /// The session ended.
    #[error("the session ended")]
    Lost,
    /// This side has reset it.
    #[error("the stream was reset by this side")]
    Own,
    /// Written to after its end.
    #[error("the stream was finished by this side")]
    Finished,
}

impl From<StreamError> for io::Error {
    fn from(error: StreamError) -> Self {
        let kind = match error {
            StreamError::Reset(_) => io::ErrorKind::ConnectionReset,
            StreamError::Lost => io::ErrorKind::ConnectionAborted,
            StreamError::Own | StreamError::Finished => io::ErrorKind::BrokenPipe,
        };
        Self::new(kind, error)
    }
}

/// One stream of a session: bytes both ways, with back-pressure, each direction finished on its own.
///
/// Shutting it down for writing sends a FIN; the other direction goes on. Dropping it before both directions
/// have finished resets it, so that nothing waits at the other end for a reader or writer that has gone. What
/// was written before a shutdown is still sent after a drop, if the peer had finished too.
#[derive(Debug)]
pub struct Stream {
    shared: Arc<MuxShared>,
    id: u32,
    open: Open,
    outcome: Arc<StreamOutcome>,
    /// Bytes that have reached this side's own counterpart, as told by [`Stream::set_delivered`].
    delivered: u64,
}

impl Stream {
    pub(super) fn new(shared: Arc<MuxShared>, id: u32, open: Open, outcome: Arc<StreamOutcome>) -> Self {
        Self { shared, id, open, outcome, delivered: 0 }
    }

    /// What its OPEN said.
    pub fn opened(&self) -> &Open {
        &self.open
    }

    /// Its number in the session.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// How it ends; stays readable after the stream is gone.
    pub fn outcome(&self) -> &Arc<StreamOutcome> {
        &self.outcome
    }

    /// Takes note that in all `bytes` of the peer's have reached this side's counterpart (the service, the
    /// visitor). The peer learns it when this side finishes or resets, and from it whether a request can have
    /// started.
    pub fn set_delivered(&mut self, bytes: u64) {
        self.delivered = bytes;
    }

    /// The next bytes as they came, without copying; `None` at the end.
    ///
    /// # Errors
    /// A [`StreamError`] after the bytes that came before it.
    pub fn poll_chunk(&self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Bytes>>> {
        match self.shared.lock().read_chunk(self.id, cx.waker()) {
            Read::Chunk(chunk) => Poll::Ready(Ok(Some(chunk))),
            Read::Pending => Poll::Pending,
            Read::Finished => Poll::Ready(Ok(None)),
            Read::Broken => Poll::Ready(Err(self.error().into())),
        }
    }

    /// Ready when [`Stream::send_chunk`] may be called once.
    ///
    /// # Errors
    /// A [`StreamError`].
    pub fn poll_room(&self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        match self.shared.lock().room(self.id, cx.waker()) {
            SendRoom::Bytes(room) => Poll::Ready(Ok(room)),
            SendRoom::Pending => Poll::Pending,
            SendRoom::Shut => Poll::Ready(Err(StreamError::Finished.into())),
            SendRoom::Broken => Poll::Ready(Err(self.error().into())),
        }
    }

    /// Ready when the stream has broken, with the reason; bytes that came before can still be read.
    pub fn poll_broken(&self, cx: &mut Context<'_>) -> Poll<StreamError> {
        if self.shared.lock().watch_broken(self.id, cx.waker()) {
            Poll::Ready(self.error())
        } else {
            Poll::Pending
        }
    }

    /// Hands over bytes without copying them; they may be more than the room that there was.
    pub fn send_chunk(&self, chunk: Bytes) {
        if !chunk.is_empty() {
            self.shared.lock().write_chunk(self.id, chunk);
        }
    }

    /// Sends the FIN: no more bytes from this side.
    pub fn finish(&self) {
        self.shared.lock().finish(self.id, self.delivered);
    }

    /// Ends the stream at once, for all who hold it.
    pub fn cancel(&self) {
        self.shared.lock().cancel(self.id, self.delivered);
    }

    /// What ends it, for one who does not hold it.
    pub fn canceller(&self) -> Canceller {
        Canceller { shared: Arc::clone(&self.shared), id: self.id, outcome: Arc::clone(&self.outcome) }
    }

    /// True when nothing that the peer sent waits to be read, and nothing has ended.
    pub fn is_quiet(&self) -> bool {
        self.shared.lock().is_quiet(self.id)
    }

    /// Ends the stream at once, telling the peer why.
    pub fn reset(self, code: ResetCode) {
        self.shared.lock().reset(self.id, code, self.delivered);
    }

    /// Ends the stream, telling the peer why, after the bytes that were written to it: its other end broke, and
    /// what it had said before is still worth hearing.
    pub fn reset_after_written(self, code: ResetCode) {
        self.shared.lock().reset_after(self.id, code, self.delivered);
    }

    fn error(&self) -> StreamError {
        match self.outcome.reset_code() {
            Some(code) => StreamError::Reset(code),
            None if self.outcome.was_lost() => StreamError::Lost,
            None => StreamError::Own,
        }
    }
}

/// Ends a stream that another holds, such as a library that does not let go of it.
#[derive(Clone, Debug)]
pub struct Canceller {
    shared: Arc<MuxShared>,
    id: u32,
    outcome: Arc<StreamOutcome>,
}

impl Canceller {
    /// As [`Stream::cancel`], and whoever holds the stream finds it broken, by this side
    /// ([`StreamOutcome::was_given_up`]). Nothing when it has ended.
    pub fn cancel(&self) {
        self.outcome.given_up.store(true, Ordering::Relaxed);
        self.shared.lock().cancel(self.id, 0);
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if self.shared.lock().detach(self.id, self.delivered) {
            self.shared.idle.notify_waiters();
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = self.shared.lock().read_into(self.id, buffer, cx.waker());
        match read {
            Ok(()) | Err(Read::Finished | Read::Chunk(_)) => Poll::Ready(Ok(())),
            Err(Read::Pending) => Poll::Pending,
            Err(Read::Broken) => Poll::Ready(Err(self.error().into())),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        if data.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let room = ready!(self.poll_room(cx))?;
        let taken = data.get(..room).unwrap_or(data);
        self.shared.lock().write(self.id, taken);
        Poll::Ready(Ok(taken.len()))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if pieces.iter().all(|piece| piece.is_empty()) {
            return Poll::Ready(Ok(0));
        }
        let mut room = ready!(self.poll_room(cx))?;
        let mut taken = 0;
        let mut core = self.shared.lock();
        for piece in pieces {
            let piece = piece.get(..room).unwrap_or(piece);
            core.write(self.id, piece);
            taken += piece.len();
            room -= piece.len();
            if room == 0 {
                break;
            }
        }
        Poll::Ready(Ok(taken))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// Always ready: the driver sends what is written as soon as the connection takes it.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.finish();
        Poll::Ready(Ok(()))
    }
}
