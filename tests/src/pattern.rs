//! Bytes that say where they belong: a body of any length, made as it is read, none of which can be lost, doubled or
//! moved without being noticed.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};

/// A body of any length whose bytes depend on their position, made as it is read.
pub struct Pattern {
    left: u64,
    at: u64,
}

/// Bytes of one piece of the pattern.
const PIECE: usize = 64 * 1024;

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

    fn next_piece(&mut self) -> Option<Bytes> {
        /// One period of the pattern, longer than a piece; 251 is prime, so no power of two hides a shift.
        static PERIOD: std::sync::LazyLock<Bytes> = std::sync::LazyLock::new(|| {
            (0..PIECE + 251).map(|i| (i % 251) as u8).collect::<Vec<u8>>().into()
        });
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
