//! The last moments of a visitor's connection.
//!
//! Closing a socket on which bytes have come that nobody has read makes the kernel send a reset, and a reset may
//! take an answer with it that the visitor has not read yet. So a visitor who may still be sending a body gets the
//! answer and the end of sending first, and is listened to for a moment (RFC 9112 §9.6).

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use super::activity::Activity;
use super::h2_flood::{FloodGuard, Verdict};
use super::pace::Breakable;
use crate::limits;

/// A visitor's connection, with its end in good order.
pub(super) struct Closing<IO: Breakable> {
    io: IO,
    activity: Arc<Activity>,
    flood: FloodGuard,
    /// The visitor floods: nothing more is read, and when this is over the connection is broken off. Until then it
    /// can be told that it ends.
    parting: Option<Pin<Box<Sleep>>>,
    /// Nothing more is sent; until this is over the visitor is listened to.
    listening: Option<Pin<Box<Sleep>>>,
}

impl<IO: Breakable> Closing<IO> {
    pub(super) fn new(io: IO, activity: Arc<Activity>) -> Self {
        Self { io, activity, flood: FloodGuard::new(), parting: None, listening: None }
    }

    /// The visitor has sent these.
    fn heard(&mut self, bytes: &[u8]) {
        self.activity.heard();
        if self.flood.counts() {
            let (earned, now) = (self.activity.take_earned(), Instant::now().into_std());
            if self.flood.judge(bytes, earned, now) == Verdict::Flood {
                self.parting = Some(Box::pin(tokio::time::sleep(limits::PARTING)));
                self.activity.is_enough();
            }
        }
    }
}

impl<IO: Breakable> Breakable for Closing<IO> {
    fn break_off(&self) {
        self.io.break_off();
    }
}

impl<IO: AsyncRead + Breakable + Unpin> AsyncRead for Closing<IO> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if let Some(parting) = &mut this.parting {
            ready!(parting.as_mut().poll(cx));
            this.activity.broken.store(true, Ordering::Relaxed);
            return Poll::Ready(Err(io::Error::other("a flood of HTTP/2 frames that move nothing")));
        }
        let before = buffer.filled().len();
        let polled = Pin::new(&mut this.io).poll_read(cx, buffer);
        match buffer.filled().get(before..) {
            None | Some([]) => {}
            Some(bytes) => this.heard(bytes),
        }
        polled
    }
}

impl<IO: AsyncRead + AsyncWrite + Breakable + Unpin> AsyncWrite for Closing<IO> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, data)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.listening.is_none() {
            ready!(Pin::new(&mut this.io).poll_shutdown(cx))?;
            if !this.activity.may_be_sending() {
                return Poll::Ready(Ok(()));
            }
        }
        let listening = this.listening.get_or_insert_with(|| Box::pin(tokio::time::sleep(limits::LISTEN_ON)));
        if listening.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Ok(()));
        }
        let mut bytes = [0; 8 * 1024];
        loop {
            let mut buffer = ReadBuf::new(&mut bytes);
            match ready!(Pin::new(&mut this.io).poll_read(cx, &mut buffer)) {
                Ok(()) if !buffer.filled().is_empty() => {}
                Ok(()) | Err(_) => return Poll::Ready(Ok(())),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_visitor_who_is_still_sending_is_listened_to_for_a_moment() {
        let activity = Arc::new(Activity::default());
        let (near, mut far) = tokio::io::duplex(16);
        let mut near = Closing::new(near, Arc::clone(&activity));
        near.shutdown().await.unwrap();
        assert_eq!(far.read(&mut [0; 1]).await.unwrap(), 0);

        activity.begins(true, false);
        let (near, mut far) = tokio::io::duplex(16);
        let mut near = Closing::new(near, Arc::clone(&activity));
        let start = Instant::now();
        let closing = tokio::spawn(async move { near.shutdown().await });
        far.write_all(&[7; 1000]).await.unwrap();
        drop(far);
        closing.await.unwrap().unwrap();
        assert_eq!(start.elapsed(), Duration::ZERO, "it ends when the visitor does");

        let (near, far) = tokio::io::duplex(16);
        Closing::new(near, activity).shutdown().await.unwrap();
        assert_eq!(start.elapsed(), limits::LISTEN_ON, "and when the visitor does not");
        drop(far);
    }
}
