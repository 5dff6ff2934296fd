//! The first and the last moments of a visitor's connection.
//!
//! hyper tells the versions of HTTP apart by the first bytes alone. Whoever agrees upon one in TLS and speaks the other
//! is broken, or looks for a difference between what a box on the way has understood and what is served here, and gets
//! no answer.
//!
//! Closing a socket on which bytes have come that nobody has read makes the kernel send a reset, and a reset may
//! take an answer with it that the visitor has not read yet. So a visitor who may still be sending a body gets the
//! answer and the end of sending first, and is listened to for a moment (RFC 9112 §9.6).

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};

use petit_engine::limits;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use super::activity::Activity;
use super::h2_flood::{FloodGuard, Spoken, Verdict};
use super::pace::Breakable;

/// A visitor's connection, with its beginning and its end in good order.
pub(super) struct Closing<IO: Breakable> {
    io: IO,
    activity: Arc<Activity>,
    flood: FloodGuard,
    /// The version that it has to begin in; `None` once it has, or where nothing was agreed upon.
    agreed: Option<Spoken>,
    /// The visitor floods: nothing more is read, and when this is over the connection is broken off. Until then it
    /// can be told that it ends.
    parting: Option<Pin<Box<Sleep>>>,
    /// Nothing more is sent; until this is over the visitor is listened to.
    listening: Option<Pin<Box<Sleep>>>,
}

impl<IO: Breakable> Closing<IO> {
    /// `agreed` is the version that TLS has agreed upon, if it has.
    pub(super) fn new(io: IO, activity: Arc<Activity>, agreed: Option<Spoken>) -> Self {
        Self { io, activity, flood: FloodGuard::new(), agreed, parting: None, listening: None }
    }

    /// The visitor has sent these. An error when they are of another version than was agreed upon.
    fn heard(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.activity.heard();
        if self.flood.counts() {
            let (earned, now) = (self.activity.take_earned(), Instant::now().into_std());
            if self.flood.judge(bytes, earned, now) == Verdict::Flood {
                self.parting = Some(Box::pin(tokio::time::sleep(limits::PARTING)));
                self.activity.request_close();
            }
            if let (Some(agreed), Some(spoken)) = (self.agreed, self.flood.spoken()) {
                self.agreed = None;
                if agreed != spoken {
                    let problem = "the visitor does not speak the version of HTTP that TLS has agreed upon";
                    return Err(io::Error::new(io::ErrorKind::InvalidData, problem));
                }
            }
        }
        Ok(())
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
            Some(bytes) => this.heard(bytes)?,
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

    use super::super::h2_flood::PREFACE;
    use super::*;

    /// What is read of bytes that come in pieces of a length; `None`: an error.
    async fn read(agreed: Option<Spoken>, bytes: &[u8], piece: usize) -> Option<Vec<u8>> {
        let (near, mut far) = tokio::io::duplex(1024);
        let mut near = Closing::new(near, Arc::default(), agreed);
        let mut all = Vec::new();
        for piece in bytes.chunks(piece) {
            far.write_all(piece).await.unwrap();
            near.read_buf(&mut all).await.ok()?;
        }
        Some(all)
    }

    #[tokio::test]
    async fn what_begins_in_another_version_than_was_agreed_upon_is_not_read() {
        let (h1, h2) = (Spoken::agreed(b"http/1.1"), Spoken::agreed(b"h2"));
        for piece in [1, 3, 24, 1000] {
            for (bytes, right, wrong) in [
                ([PREFACE, b"\0\0\0\x04"].concat(), h2, h1),
                (b"GET / HTTP/1.1\r\n\r\n".to_vec(), h1, h2),
                (b"PRI * HTTP/2.0\r\nSM\r\n\r\n".to_vec(), h1, h2),
            ] {
                assert_eq!(read(right, &bytes, piece).await.as_ref(), Some(&bytes), "{piece}");
                assert_eq!(read(None, &bytes, piece).await.as_ref(), Some(&bytes), "nothing was agreed upon");
                assert_eq!(read(wrong, &bytes, piece).await, None, "{piece}");
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_visitor_who_is_still_sending_is_listened_to_for_a_moment() {
        let activity = Arc::new(Activity::default());
        let (near, mut far) = tokio::io::duplex(16);
        let mut near = Closing::new(near, Arc::clone(&activity), None);
        near.shutdown().await.unwrap();
        assert_eq!(far.read(&mut [0; 1]).await.unwrap(), 0);

        activity.begins(true, false);
        let (near, mut far) = tokio::io::duplex(16);
        let mut near = Closing::new(near, Arc::clone(&activity), None);
        let start = Instant::now();
        let closing = tokio::spawn(async move { near.shutdown().await });
        far.write_all(&[7; 1000]).await.unwrap();
        drop(far);
        closing.await.unwrap().unwrap();
        assert_eq!(start.elapsed(), Duration::ZERO, "it ends when the visitor does");

        let (near, far) = tokio::io::duplex(16);
        Closing::new(near, activity, None).shutdown().await.unwrap();
        assert_eq!(start.elapsed(), limits::LISTEN_ON, "and when the visitor does not");
        drop(far);
    }
}
