//! How a TCP connection ends when its socket is closed: in a FIN, or in a reset.
//!
//! Where the end of the connection is the end of the data, a FIN says that all of it has come. What was cut off must
//! not say so, however it was cut off: by an error, by a task that was ended, by a process that was killed. So such a
//! connection is set to end in a reset (an abortive close) from the start, and only its orderly end takes that back.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// A TCP connection that can be set to end in a reset unless it was shut down for writing before.
#[derive(Debug)]
pub struct Closing {
    tcp: TcpStream,
    /// A close would be a reset.
    resets: bool,
}

impl Closing {
    /// Ends in a FIN, as connections do.
    pub fn new(tcp: TcpStream) -> Self {
        Self { tcp, resets: false }
    }

    /// From now on a close is a reset, until the connection has been shut down for writing.
    pub fn reset_unless_shut_down(&mut self) {
        // A system that refuses leaves a FIN, as before.
        self.resets = socket2::SockRef::from(&self.tcp).set_linger(Some(Duration::ZERO)).is_ok();
    }

    /// The connection itself.
    pub fn get_ref(&self) -> &TcpStream {
        &self.tcp
    }
}

impl AsyncRead for Closing {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Closing {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tcp).poll_write(cx, data)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tcp).poll_write_vectored(cx, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.tcp).poll_shutdown(cx))?;
        // All of it was said. What the system still holds of it is to arrive, so the close must not throw it away.
        if std::mem::take(&mut self.resets) {
            socket2::SockRef::from(&self.tcp).set_linger(None)?;
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    async fn connected() -> (Closing, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (near, far) = tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
        let mut near = Closing::new(near.unwrap());
        near.reset_unless_shut_down();
        (near, far.unwrap().0)
    }

    #[tokio::test]
    async fn what_was_not_said_to_its_end_ends_in_a_reset() {
        let (mut near, mut far) = connected().await;
        near.write_all(b"half").await.unwrap();
        far.read_exact(&mut [0; 4]).await.unwrap();
        drop(near);
        let error = far.read(&mut [0; 1]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    }

    #[tokio::test]
    async fn what_was_said_to_its_end_arrives_after_the_close() {
        let (mut near, mut far) = connected().await;
        // More than the far end takes before it reads: the system still holds some of it at the close.
        let said = vec![7; 200_000];
        near.write_all(&said).await.unwrap();
        near.shutdown().await.unwrap();
        drop(near);
        let mut seen = Vec::new();
        far.read_to_end(&mut seen).await.unwrap();
        assert!(seen == said);
    }
}
