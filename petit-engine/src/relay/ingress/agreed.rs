//! HTTP in the version that TLS has agreed upon (ALPN, RFC 7301), and in no other.
//!
//! hyper tells the versions apart by the first bytes alone. Whoever agrees upon one and speaks the other is broken, or
//! looks for a difference between what a box on the way has understood and what is served here, and gets no answer.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::h2_flood::PREFACE;
use super::pace::Breakable;

/// A visitor's connection that ends when it begins in a version that was not agreed upon.
pub(super) struct Agreed<IO> {
    io: IO,
    /// `None` once it has begun as it should, or where nothing was agreed upon.
    awaited: Option<Awaited>,
}

/// The version that is to come.
struct Awaited {
    is_h2: bool,
    /// Bytes of the preface that have come.
    passed: usize,
}

/// What the first bytes say.
enum Begun {
    NotYet,
    Rightly,
    Wrongly,
}

impl Awaited {
    fn pass(&mut self, bytes: &[u8]) -> Begun {
        let rest = PREFACE.get(self.passed..).unwrap_or_default();
        let is_h2 = rest.iter().zip(bytes).all(|(wanted, found)| wanted == found);
        self.passed += bytes.len();
        if is_h2 && self.passed < PREFACE.len() {
            Begun::NotYet
        } else if is_h2 == self.is_h2 {
            Begun::Rightly
        } else {
            Begun::Wrongly
        }
    }
}

impl<IO> Agreed<IO> {
    /// With the protocol that the handshake has chosen, if it has.
    pub(super) fn new(io: IO, protocol: Option<&[u8]>) -> Self {
        let is_h2 = match protocol {
            Some(b"h2") => Some(true),
            Some(b"http/1.1") => Some(false),
            _ => None,
        };
        Self { io, awaited: is_h2.map(|is_h2| Awaited { is_h2, passed: 0 }) }
    }
}

impl<IO: Breakable> Breakable for Agreed<IO> {
    fn break_off(&self) {
        self.io.break_off();
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for Agreed<IO> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let Some(awaited) = &mut this.awaited else { return Pin::new(&mut this.io).poll_read(cx, buffer) };
        let before = buffer.filled().len();
        ready!(Pin::new(&mut this.io).poll_read(cx, buffer))?;
        match awaited.pass(buffer.filled().get(before..).unwrap_or_default()) {
            Begun::NotYet => {}
            Begun::Rightly => this.awaited = None,
            Begun::Wrongly => {
                let problem = "the visitor does not speak the version of HTTP that TLS has agreed upon";
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, problem)));
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for Agreed<IO> {
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

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    /// What is read of bytes that come in pieces of a length; `None`: an error.
    async fn read(protocol: Option<&[u8]>, bytes: &[u8], piece: usize) -> Option<Vec<u8>> {
        let (near, mut far) = duplex(1024);
        let mut agreed = Agreed::new(near, protocol);
        let mut all = Vec::new();
        for piece in bytes.chunks(piece) {
            far.write_all(piece).await.unwrap();
            agreed.read_buf(&mut all).await.ok()?;
        }
        Some(all)
    }

    #[tokio::test]
    async fn what_begins_in_another_version_than_was_agreed_upon_is_not_read() {
        const H1: &[u8] = b"http/1.1";
        const H2: &[u8] = b"h2";
        for piece in [1, 3, 24, 1000] {
            for (bytes, right, wrong) in [
                ([PREFACE, b"\0\0\0\x04"].concat(), H2, H1),
                (b"GET / HTTP/1.1\r\n\r\n".to_vec(), H1, H2),
                (b"PRI * HTTP/2.0\r\nSM\r\n\r\n".to_vec(), H1, H2),
            ] {
                assert_eq!(read(Some(right), &bytes, piece).await.as_ref(), Some(&bytes), "{piece}");
                assert_eq!(read(None, &bytes, piece).await.as_ref(), Some(&bytes), "nothing was agreed upon");
                assert_eq!(read(Some(wrong), &bytes, piece).await, None, "{piece}");
            }
        }
    }
}
