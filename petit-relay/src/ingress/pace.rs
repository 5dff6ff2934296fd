//! Slowloris protection, for both directions: an idle timeout, and a minimum throughput after a grace period. A peer may
//! be as slow as it likes to begin with, and as long as it likes in all; what ends is a wait in which nothing moves, and
//! a trickle that only keeps a place occupied.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use petit_engine::limits;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep};
use tokio_rustls::server::TlsStream;

/// How slow a peer may be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// The longest wait in which nothing moves.
    pub(super) idle: Duration,
    /// Bytes per second of waiting, once `grace` was waited in all; 0: any trickle will do.
    pub(super) rate: u64,
    pub(super) grace: Duration,
}

impl Pace {
    /// A visitor's body on its way in, before the service has answered.
    pub(super) const BODY: Self =
        Self { idle: limits::BODY_IDLE, rate: limits::BODY_RATE, grace: limits::BODY_GRACE };
    /// An answer on its way out to a visitor.
    pub(super) const WRITE: Self =
        Self { idle: limits::WRITE_IDLE, rate: limits::WRITE_RATE, grace: limits::WRITE_GRACE };

    /// Only a standstill counts.
    pub(super) fn idle(idle: Duration) -> Self {
        Self { idle, rate: 0, grace: Duration::MAX }
    }
}

/// Counts the time that is spent waiting for a peer. Time in which the peer waits for us does not count.
#[derive(Debug)]
pub(super) struct Patience {
    pace: Pace,
    /// Since when this wait lasts.
    since: Option<Instant>,
    waited: Duration,
    moved: u64,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Patience {
    pub(super) fn new(pace: Pace) -> Self {
        Self { pace, since: None, waited: Duration::ZERO, moved: 0, timer: None }
    }

    /// From now on another pace is asked for.
    pub(super) fn set(&mut self, pace: Pace) {
        self.pace = pace;
    }

    /// The peer has moved so many bytes.
    pub(super) fn moved(&mut self, bytes: usize) {
        self.moved = self.moved.saturating_add(bytes as u64);
        if let Some(since) = self.since.take() {
            self.waited += since.elapsed();
        }
    }

    /// The peer has to be waited for: ready when it has been for too long.
    pub(super) fn poll_over(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let since = *self.since.get_or_insert_with(Instant::now);
        let deadline = since + self.allowed();
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        if timer.deadline() != deadline {
            timer.as_mut().reset(deadline);
        }
        timer.as_mut().poll(cx)
    }

    /// How long the present wait may last.
    fn allowed(&self) -> Duration {
        let Pace { idle, rate, grace } = self.pace;
        // What has moved has bought so much waiting at the rate asked for.
        let bought = match self.moved.saturating_mul(1000).checked_div(rate) {
            Some(millis) => Duration::from_millis(millis).max(grace),
            None => Duration::MAX,
        };
        idle.min(bought.saturating_sub(self.waited))
    }
}

/// A connection that can be broken off, so that the kernel throws away what the peer does not take. A mere close
/// would leave it in the kernel's memory for as long as the peer likes.
pub(crate) trait Breakable {
    /// From here on, a close is a reset.
    fn break_off(&self);
}

impl Breakable for TcpStream {
    fn break_off(&self) {
        let _ = socket2::SockRef::from(self).set_linger(Some(Duration::ZERO));
    }
}

impl Breakable for TlsStream<TcpStream> {
    fn break_off(&self) {
        self.get_ref().0.break_off();
    }
}

/// A visitor's connection that is given up when the visitor takes nothing of what is sent.
#[derive(Debug)]
pub(super) struct Paced<IO: Breakable> {
    io: IO,
    patience: Patience,
    /// Whoever owns the connection can have it broken off, too.
    broken: Arc<AtomicBool>,
}

impl<IO: Breakable> Paced<IO> {
    pub(super) fn new(io: IO, broken: Arc<AtomicBool>) -> Self {
        Self { io, patience: Patience::new(Pace::WRITE), broken }
    }

    fn judge<T>(
        &mut self,
        cx: &mut Context<'_>,
        result: Poll<io::Result<T>>,
        bytes: impl FnOnce(&T) -> usize,
    ) -> Poll<io::Result<T>> {
        match result {
            Poll::Ready(Ok(value)) => {
                self.patience.moved(bytes(&value));
                Poll::Ready(Ok(value))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => self.patience.poll_over(cx).map(|()| {
                self.broken.store(true, Ordering::Relaxed);
                Err(io::ErrorKind::TimedOut.into())
            }),
        }
    }
}

impl<IO: Breakable> Drop for Paced<IO> {
    fn drop(&mut self) {
        if self.broken.load(Ordering::Relaxed) {
            self.io.break_off();
        }
    }
}

impl<IO: AsyncRead + Breakable + Unpin> AsyncRead for Paced<IO> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buffer)
    }
}

impl<IO: AsyncWrite + Breakable + Unpin> AsyncWrite for Paced<IO> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let result = Pin::new(&mut this.io).poll_write(cx, data);
        this.judge(cx, result, |written| *written)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let result = Pin::new(&mut this.io).poll_write_vectored(cx, pieces);
        this.judge(cx, result, |written| *written)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let result = Pin::new(&mut this.io).poll_flush(cx);
        this.judge(cx, result, |()| 0)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let result = Pin::new(&mut this.io).poll_shutdown(cx);
        this.judge(cx, result, |()| 0)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    impl Breakable for tokio::io::DuplexStream {
        fn break_off(&self) {}
    }

    async fn over(patience: &mut Patience) -> Duration {
        let start = Instant::now();
        poll_fn(|cx| patience.poll_over(cx)).await;
        start.elapsed()
    }

    async fn wait(patience: &mut Patience, duration: Duration) {
        let waited = tokio::time::timeout(duration, poll_fn(|cx| patience.poll_over(cx))).await;
        assert!(waited.is_err(), "the patience was over too early");
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn a_standstill_ends_a_wait() {
        let mut patience = Patience::new(Pace::BODY);
        patience.moved(1 << 20);
        assert_eq!(over(&mut patience).await, limits::BODY_IDLE);
    }

    #[tokio::test(start_paused = true)]
    async fn a_trickle_is_borne_for_the_grace_and_no_longer() {
        let mut patience = Patience::new(Pace::BODY);
        // A byte a second: ten seconds are free.
        for _ in 0..9 {
            wait(&mut patience, SECOND).await;
            patience.moved(1);
        }
        assert_eq!(over(&mut patience).await, SECOND);
        // What comes at the rate goes on.
        let mut patience = Patience::new(Pace::BODY);
        for _ in 0..600 {
            wait(&mut patience, SECOND).await;
            patience.moved(600);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn time_in_which_the_peer_waits_for_us_does_not_count() {
        let mut patience = Patience::new(Pace::BODY);
        for _ in 0..100 {
            wait(&mut patience, Duration::from_millis(50)).await;
            patience.moved(1);
            tokio::time::sleep(60 * SECOND).await; // nobody asked for more
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_visitor_who_takes_nothing_is_given_up() {
        use tokio::io::AsyncWriteExt;
        let (near, _far) = tokio::io::duplex(64);
        let broken = Arc::<AtomicBool>::default();
        let mut io = Paced::new(near, Arc::clone(&broken));
        let start = Instant::now();
        let error = io.write_all(&[0; 1000]).await.unwrap_err();
        assert_eq!((error.kind(), start.elapsed()), (io::ErrorKind::TimedOut, limits::WRITE_IDLE));
        assert!(broken.load(Ordering::Relaxed), "the kernel is not to go on for it");
    }

    /// Writes for as long as the other side takes `bytes` every ten seconds; how long that was, up to `limit`.
    async fn trickles(bytes: usize, limit: Duration) -> Result<Duration, io::ErrorKind> {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let (near, mut far) = tokio::io::duplex(64);
        let mut io = Paced::new(near, Arc::default());
        let start = Instant::now();
        let taking = async {
            loop {
                tokio::time::sleep(10 * SECOND).await;
                far.read_exact(&mut vec![0; bytes]).await.unwrap();
            }
        };
        let writing = async { while io.write_all(&[0; 64]).await.is_ok() {} };
        tokio::select! {
            () = writing => Ok(start.elapsed()),
            () = taking => unreachable!(),
            () = tokio::time::sleep(limit) => Err(io::ErrorKind::WouldBlock),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_visitor_who_takes_an_answer_in_a_trickle_is_given_up_in_the_end() {
        let took = trickles(100, 2 * limits::WRITE_GRACE).await.unwrap();
        // The last piece may be taken just before.
        assert!(took >= limits::WRITE_GRACE && took < limits::WRITE_GRACE + 20 * SECOND, "{took:?}");
        let rate = usize::try_from(limits::WRITE_RATE).unwrap();
        assert!(trickles(12 * rate, 20 * limits::WRITE_GRACE).await.is_err(), "what is quick enough goes on");
    }
}
