//! Bytes that say where they belong: a body of any length, made as it is read, none of which can be lost, doubled or
//! moved without being noticed.

use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::sync::LazyLock;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// A body of any length whose bytes depend on their position, made as it is read.
pub struct Pattern {
    left: u64,
    at: u64,
}

/// Bytes of one piece of the pattern.
const PIECE: usize = 64 * 1024;

/// One period of the pattern, longer than a piece; 251 is prime, so no power of two hides a shift.
static PERIOD: LazyLock<Bytes> =
    LazyLock::new(|| (0..PIECE + 251).map(|i| (i % 251) as u8).collect::<Vec<u8>>().into());

impl Pattern {
    /// A body of `length` bytes.
    pub fn new(length: u64) -> Self {
        Self { left: length, at: 0 }
    }

    /// The checksum of a whole pattern.
    pub fn sum(length: u64) -> String {
        let mut digest = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
        let mut pattern = Self::new(length);
        while let Some(piece) = pattern.next_piece() {
            digest.update(&piece);
        }
        data_encoding::HEXLOWER.encode(digest.finish().as_ref())
    }

    /// All of it.
    pub fn bytes(length: u64) -> Vec<u8> {
        let (mut pattern, mut bytes) = (Self::new(length), Vec::new());
        while let Some(piece) = pattern.next_piece() {
            bytes.extend_from_slice(&piece);
        }
        bytes
    }

    /// Writes all of it to a connection.
    ///
    /// # Errors
    /// When the connection breaks.
    pub async fn write_to(mut self, io: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
        while let Some(piece) = self.next_piece() {
            io.write_all(&piece).await?;
        }
        io.flush().await
    }

    /// Writes of it until `is_over`; returns how much that was.
    ///
    /// # Errors
    /// When the connection breaks.
    pub async fn write_until(
        mut self,
        io: &mut (impl AsyncWrite + Unpin),
        is_over: impl Fn() -> bool,
    ) -> io::Result<u64> {
        while let Some(piece) = (!is_over()).then(|| self.next_piece()).flatten() {
            io.write_all(&piece).await?;
        }
        io.flush().await?;
        Ok(self.at)
    }

    fn next_piece(&mut self) -> Option<Bytes> {
        let length = usize::try_from(self.left).unwrap_or(usize::MAX).min(PIECE);
        if length == 0 {
            return None;
        }
        let start = (self.at % 251) as usize;
        self.at += length as u64;
        self.left -= length as u64;
        Some(PERIOD.slice(start..start + length))
    }
}

/// Somebody who is sent a pattern, piece by piece.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Check {
    at: u64,
}

impl Check {
    /// How many bytes have come.
    pub fn count(&self) -> u64 {
        self.at
    }

    /// Takes what has come next.
    ///
    /// # Panics
    /// When it is not what comes next in the pattern.
    pub fn take(&mut self, bytes: &[u8]) {
        for piece in bytes.chunks(PIECE) {
            let start = (self.at % 251) as usize;
            assert!(*piece == PERIOD[start..start + piece.len()], "not the pattern behind {} bytes", self.at);
            self.at += piece.len() as u64;
        }
    }

    /// Reads a connection to its end; returns how much has come until then, and whether the end was a break.
    pub async fn read_from(mut self, io: &mut (impl AsyncRead + Unpin)) -> (u64, io::Result<()>) {
        let mut buffer = vec![0; PIECE];
        loop {
            match io.read(&mut buffer).await {
                Ok(0) => return (self.at, Ok(())),
                Ok(count) => self.take(&buffer[..count]),
                Err(error) => return (self.at, Err(error)),
            }
        }
    }
}

impl Body for Pattern {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.next_piece().map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_pattern_is_recognised_whatever_the_pieces_that_it_comes_in() {
        let mut written = Vec::new();
        Pattern::new(200_000).write_to(&mut written).await.unwrap();
        assert_eq!(written, Pattern::bytes(200_000));
        for size in [1, 250, 251, 65_536, 150_000] {
            let mut check = Check::default();
            written.chunks(size).for_each(|piece| check.take(piece));
            assert_eq!(check.count(), 200_000);
        }
        let (count, end) = Check::default().read_from(&mut &written[..]).await;
        assert_eq!((count, end.is_ok()), (200_000, true));
    }

    #[test]
    #[should_panic(expected = "not the pattern behind 1000 bytes")]
    fn a_byte_that_is_lost_is_noticed() {
        let written = Pattern::bytes(200_000);
        let mut check = Check::default();
        check.take(&written[..1000]);
        check.take(&written[1001..]);
    }
}
