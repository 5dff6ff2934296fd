//! Where a body ends, and what its bytes come to.

use bytes::Bytes;
use hyper::body::Frame;

use super::chunked::Chunked;
use super::{Invalid, Next};

/// How an answer's body ends.
#[derive(Debug)]
pub enum Framing {
    /// After so many more bytes.
    Length(u64),
    Chunked(Chunked),
    /// With the connection.
    UntilEnd,
}

impl Framing {
    /// True when nothing of the body is left.
    pub fn is_over(&self) -> bool {
        matches!(self, Self::Length(0))
    }

    /// The next thing of the body in `bytes`. All of them are used up when there is none.
    ///
    /// # Errors
    /// [`Invalid`] when these are no chunks.
    pub fn next(&mut self, bytes: &mut Bytes) -> Result<Next, Invalid> {
        match self {
            Self::Length(0) => Ok(Next::End),
            Self::Chunked(chunked) => {
                let next = chunked.next(bytes)?;
                if chunked.is_over() {
                    *self = Self::Length(0);
                }
                Ok(next)
            }
            _ if bytes.is_empty() => Ok(Next::Wanting),
            Self::Length(left) => {
                let piece = bytes.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= piece as u64;
                Ok(Next::Frame(Frame::data(bytes.split_to(piece))))
            }
            Self::UntilEnd => Ok(Next::Frame(Frame::data(std::mem::take(bytes)))),
        }
    }
}
