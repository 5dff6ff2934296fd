//! What lies between TCP and TLS: the one place that knows how many bytes the system has taken.
//!
//! TLS takes up to 64 KiB into a buffer of its own and calls them written. Whether a peer makes progress shows only
//! below that, so the bytes are counted here.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncBufRead, AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::{client, server};

/// A connection that can say how much has gone out on it.
pub trait Sent {
    /// Bytes that the system has taken so far. What a layer above it holds back is not among them, so the number
    /// stands still while the peer takes nothing, whatever is written meanwhile.
    fn sent_bytes(&self) -> u64;
}

/// A connection whose outgoing bytes are counted.
#[derive(Debug)]
pub struct Wire<IO> {
    io: IO,
    sent_bytes: u64,
}

impl<IO> Wire<IO> {
    /// Counts from nothing.
    pub fn new(io: IO) -> Self {
        Self { io, sent_bytes: 0 }
    }

    /// The connection itself.
    pub fn get_ref(&self) -> &IO {
        &self.io
    }

    fn count(&mut self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(written)) = written {
            self.sent_bytes += written as u64;
        }
        written
    }
}

impl<IO> Sent for Wire<IO> {
    fn sent_bytes(&self) -> u64 {
        self.sent_bytes
    }
}

impl<IO: Sent> Sent for client::TlsStream<IO> {
    fn sent_bytes(&self) -> u64 {
        self.get_ref().0.sent_bytes()
    }
}

impl<IO: Sent> Sent for server::TlsStream<IO> {
    fn sent_bytes(&self) -> u64 {
        self.get_ref().0.sent_bytes()
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for Wire<IO> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buffer)
    }
}

impl<IO: AsyncBufRead + Unpin> AsyncBufRead for Wire<IO> {
    fn poll_fill_buf(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        Pin::new(&mut self.get_mut().io).poll_fill_buf(cx)
    }

    fn consume(mut self: Pin<&mut Self>, bytes: usize) {
        Pin::new(&mut self.io).consume(bytes);
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for Wire<IO> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write(cx, data);
        self.count(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write_vectored(cx, pieces);
        self.count(written)
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
