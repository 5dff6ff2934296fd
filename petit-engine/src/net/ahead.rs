//! Reading ahead of TLS, so that the system is asked once for all that has come.
//!
//! rustls reads 4 KiB at a time while its own buffer is empty: under load two of three reads of a tunnel returned
//! just these, and there was more. Here one read takes all of it. The memory for that is there while much comes, and
//! given back as soon as nothing is left to read, so that a connection that is idle, or says little, has none.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::io::poll_read_buf;

use crate::limits;

/// A connection that is read in large pieces, however small those are that its reader asks for.
#[derive(Debug)]
pub struct ReadAhead<IO> {
    io: IO,
    /// What was read, from `taken` on not yet asked for.
    held: Vec<u8>,
    taken: usize,
    /// The last read brought as much as makes it likely that there is more.
    comes_much: bool,
}

impl<IO> ReadAhead<IO> {
    /// Nothing is read before it is asked for.
    pub fn new(io: IO) -> Self {
        Self { io, held: Vec::new(), taken: 0, comes_much: false }
    }

    /// The connection itself. What was read ahead of its reader is not in it any more.
    pub fn get_ref(&self) -> &IO {
        &self.io
    }

    fn give_back(&mut self) {
        (self.held, self.taken) = (Vec::new(), 0);
    }
}

impl<IO: AsyncRead + Unpin> ReadAhead<IO> {
    /// Reads into the reader's own memory.
    fn poll_directly(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<usize>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.io).poll_read(cx, buffer))?;
        Poll::Ready(Ok(buffer.filled().len() - before))
    }

    /// Reads into `held`, which is empty.
    fn poll_ahead(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.held.clear();
        self.taken = 0;
        self.held.reserve(limits::READ_AHEAD_BYTES);
        poll_read_buf(Pin::new(&mut self.io), cx, &mut self.held)
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for ReadAhead<IO> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if buffer.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        if this.taken == this.held.len() {
            // A reader that has room itself needs no copy.
            let directly = !this.comes_much || buffer.remaining() >= limits::READ_DIRECTLY_BYTES;
            let read = if directly { this.poll_directly(cx, buffer) } else { this.poll_ahead(cx) };
            let Poll::Ready(Ok(length)) = read else {
                this.give_back();
                return read.map_ok(|_| ());
            };
            this.comes_much = length >= limits::READ_AHEAD_FROM_BYTES;
            if directly {
                return Poll::Ready(Ok(()));
            }
        }
        let rest = this.held.get(this.taken..).unwrap_or_default();
        let piece = rest.get(..buffer.remaining()).unwrap_or(rest);
        buffer.put_slice(piece);
        this.taken += piece.len();
        if this.taken == this.held.len() && !this.comes_much {
            this.give_back();
        }
        Poll::Ready(Ok(()))
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for ReadAhead<IO> {
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
    use std::future::poll_fn;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    /// What rustls asks for while its own buffer is empty.
    const ASKED: usize = 4096;

    /// Counts how often the system is asked.
    struct Counted {
        tcp: TcpStream,
        reads: usize,
    }

    impl AsyncRead for Counted {
        fn poll_read(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            buffer: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            self.reads += 1;
            Pin::new(&mut self.tcp).poll_read(cx, buffer)
        }
    }

    async fn connected() -> (TcpStream, ReadAhead<Counted>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (far, near) = tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
        (far.unwrap(), ReadAhead::new(Counted { tcp: near.unwrap().0, reads: 0 }))
    }

    fn pattern(length: usize) -> Vec<u8> {
        (0..length).map(|i| (i as u8).wrapping_mul(31) ^ (i >> 8) as u8).collect()
    }

    /// Waits until so many bytes lie at the near end, unread.
    async fn until_there(near: &ReadAhead<Counted>, bytes: usize) {
        let mut space = vec![0; bytes];
        while near.get_ref().tcp.peek(&mut space).await.unwrap() < bytes {
            tokio::task::yield_now().await;
        }
    }

    async fn read(near: &mut ReadAhead<Counted>, most: usize) -> Vec<u8> {
        let mut space = vec![0; most];
        let length = near.read(&mut space).await.unwrap();
        space.truncate(length);
        space
    }

    /// Nothing is there to be read, and the reader says so.
    async fn is_pending(near: &mut ReadAhead<Counted>) -> bool {
        let mut space = [0; ASKED];
        poll_fn(|cx| {
            let polled = Pin::new(&mut *near).poll_read(cx, &mut ReadBuf::new(&mut space));
            Poll::Ready(polled.is_pending())
        })
        .await
    }

    #[tokio::test]
    async fn bytes_keep_their_order_whatever_the_sizes_and_the_end_comes_after_them() {
        let (mut far, mut near) = connected().await;
        let sent = pattern(3_000_000);
        let expected = sent.clone();
        let writing = tokio::spawn(async move {
            for piece in sent.chunks(70_001) {
                far.write_all(piece).await.unwrap();
            }
        });
        let sizes = [ASKED, 1, 18_437, 17, 8192, 100_000];
        let mut seen = Vec::new();
        for size in sizes.iter().cycle() {
            let piece = read(&mut near, *size).await;
            if piece.is_empty() {
                break;
            }
            seen.extend(piece);
        }
        writing.await.unwrap();
        assert!(seen == expected, "{} of {} bytes, or others", seen.len(), expected.len());
        assert!(read(&mut near, ASKED).await.is_empty(), "the end stays");
    }

    #[tokio::test]
    async fn what_has_come_is_read_at_once_however_little_is_asked_for() {
        let (mut far, mut near) = connected().await;
        let sent = pattern(40_000);
        far.write_all(&sent).await.unwrap();
        until_there(&near, sent.len()).await;
        let mut seen = Vec::new();
        while seen.len() < sent.len() {
            seen.extend(read(&mut near, ASKED).await);
        }
        assert!(seen == sent);
        assert_eq!(near.get_ref().reads, 2, "one that brings as much as was asked for, and one for the rest");
        // What comes next is expected to be as much.
        far.write_all(&sent).await.unwrap();
        until_there(&near, sent.len()).await;
        for _ in 0..5 {
            assert_eq!(read(&mut near, ASKED).await.len(), ASKED);
        }
        assert_eq!(near.get_ref().reads, 3);
    }

    #[tokio::test]
    async fn memory_is_there_while_something_comes_and_given_back_when_nothing_does() {
        let (mut far, mut near) = connected().await;
        // One that says little never has any.
        for _ in 0..3 {
            far.write_all(&[7; 100]).await.unwrap();
            assert_eq!(read(&mut near, ASKED).await, [7; 100]);
            assert!(is_pending(&mut near).await);
            assert_eq!(near.held.capacity(), 0);
        }
        far.write_all(&[7; 20_000]).await.unwrap();
        until_there(&near, 20_000).await;
        let mut left = 20_000;
        while left > 0 {
            left -= read(&mut near, ASKED).await.len();
        }
        assert!(near.held.capacity() >= limits::READ_AHEAD_BYTES, "it was read ahead");
        assert!(is_pending(&mut near).await);
        assert_eq!(near.held.capacity(), 0, "nothing is left to read");
        // Neither does it stay when little follows on much.
        far.write_all(&[8; 10]).await.unwrap();
        assert_eq!(read(&mut near, ASKED).await, [8; 10]);
        assert_eq!(near.held.capacity(), 0);
    }

    #[tokio::test]
    async fn a_reader_with_room_of_its_own_is_read_into_directly() {
        let (mut far, mut near) = connected().await;
        far.write_all(&[7; 40_000]).await.unwrap();
        until_there(&near, 40_000).await;
        assert_eq!(read(&mut near, ASKED).await.len(), ASKED);
        assert_eq!(read(&mut near, limits::READ_DIRECTLY_BYTES).await.len(), limits::READ_DIRECTLY_BYTES);
        assert_eq!(near.held.capacity(), 0);
    }

    #[tokio::test]
    async fn an_error_comes_after_what_came_before_it() {
        /// Gives 10,000 bytes, and breaks.
        struct Breaks(usize);

        impl AsyncRead for Breaks {
            fn poll_read(
                mut self: Pin<&mut Self>,
                _: &mut Context<'_>,
                buffer: &mut ReadBuf<'_>,
            ) -> Poll<io::Result<()>> {
                let length = self.0.min(buffer.remaining());
                if length == 0 {
                    return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
                }
                buffer.put_slice(&vec![7; length]);
                self.0 -= length;
                Poll::Ready(Ok(()))
            }
        }

        let mut near = ReadAhead::new(Breaks(10_000));
        let mut space = [0; ASKED];
        let mut seen = 0;
        let error = loop {
            match near.read(&mut space).await {
                Ok(length) => seen += length,
                Err(error) => break error,
            }
        };
        assert_eq!((seen, error.kind()), (10_000, io::ErrorKind::ConnectionReset));
        assert_eq!(near.held.capacity(), 0);
    }
}
