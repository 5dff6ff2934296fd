//! HTTP/1.1, read and written: heads, framing, chunks. Pure: it knows bytes and nothing of streams or sessions, so that
//! either end of the tunnel can use it, and a fuzzer.
//!
//! It is strict: what two readers could read differently is [`Invalid`], and never repaired.

mod answer;
mod chunked;
mod framing;
mod head;

use bytes::Bytes;
use hyper::body::Frame;

pub use self::answer::{AnswerHead, AnswerReader, fuzz_answer};
pub use self::chunked::Chunked;
pub use self::framing::Framing;
pub use self::head::{Coding, check_answer, is_plain_number, write_head};

/// Bytes that are not HTTP, or not the HTTP that they claim to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no valid HTTP")]
pub struct Invalid;

/// What a body's bytes come to.
#[derive(Debug)]
pub enum Next {
    /// A piece of the body, or its trailers.
    Frame(Frame<Bytes>),
    /// Its end.
    End,
    /// More bytes are needed.
    Wanting,
}
