//! Chunked bodies of answers (RFC 9112 §7.1), read strictly: what two readers could frame differently is invalid.

use bytes::{Buf, Bytes, BytesMut};
use hyper::HeaderMap;
use hyper::body::Frame;
use hyper::header::{HeaderName, HeaderValue};

use super::{Invalid, Next};
use crate::limits;

/// Digits of a chunk's size: enough for any, too few to overflow.
const DIGITS: u8 = 15;

/// Where in a chunked body its reader is.
#[derive(Debug)]
pub struct Chunked {
    state: State,
    extensions: usize,
}

#[derive(Debug)]
enum State {
    Size { size: u64, digits: u8 },
    Extension { size: u64 },
    SizeLf { size: u64 },
    Data { left: u64 },
    DataCr,
    DataLf,
    Trailers(BytesMut),
    Over,
}

impl State {
    const START: Self = Self::Size { size: 0, digits: 0 };
}

/// At the begin of a body.
impl Default for Chunked {
    fn default() -> Self {
        Self { state: State::START, extensions: 0 }
    }
}

impl Chunked {
    /// True when the last chunk and the trailers were read.
    pub fn is_over(&self) -> bool {
        matches!(self.state, State::Over)
    }

    /// The next piece of the body in `bytes`. What frames it is read ahead, so that the end is known with the last
    /// piece if it is there.
    ///
    /// # Errors
    /// [`Invalid`] when they are no chunks.
    pub fn next(&mut self, bytes: &mut Bytes) -> Result<Next, Invalid> {
        if let Some(trailers) = self.read_framing(bytes)? {
            return Ok(Next::Frame(Frame::trailers(trailers)));
        }
        match &mut self.state {
            State::Over => Ok(Next::End),
            State::Data { left } if !bytes.is_empty() => {
                let piece = bytes.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                let piece = bytes.split_to(piece);
                *left -= piece.len() as u64;
                if *left == 0 {
                    self.state = State::DataCr;
                    // An end without trailers, the usual one, is told with the piece.
                    let mut ahead = bytes.clone();
                    if ahead.starts_with(b"\r\n0\r\n\r\n") {
                        ahead.advance(7);
                        *bytes = ahead;
                        self.state = State::Over;
                    }
                }
                Ok(Next::Frame(Frame::data(piece)))
            }
            _ => Ok(Next::Wanting),
        }
    }

    /// Reads up to the next byte of data. Trailers, when they were the last thing.
    fn read_framing(&mut self, bytes: &mut Bytes) -> Result<Option<HeaderMap>, Invalid> {
        while !matches!(self.state, State::Data { .. } | State::Over) {
            let Some(byte) = bytes.first().copied() else { return Ok(None) };
            bytes.advance(1);
            self.state = match std::mem::replace(&mut self.state, State::Over) {
                State::Size { size, digits } => match (byte, char::from(byte).to_digit(16)) {
                    (_, Some(digit)) if digits < DIGITS => {
                        State::Size { size: size << 4 | u64::from(digit), digits: digits + 1 }
                    }
                    (b'\r', _) if digits > 0 => State::SizeLf { size },
                    (b';' | b' ' | b'\t', _) if digits > 0 => State::Extension { size },
                    _ => return Err(Invalid),
                },
                State::Extension { size } => match byte {
                    b'\r' => State::SizeLf { size },
                    b'\n' => return Err(Invalid),
                    _ if self.extensions == limits::CHUNK_EXTENSIONS_BYTES => return Err(Invalid),
                    _ => {
                        self.extensions += 1;
                        State::Extension { size }
                    }
                },
                State::SizeLf { size } if byte == b'\n' => match size {
                    0 => State::Trailers(BytesMut::new()),
                    left => State::Data { left },
                },
                State::DataCr if byte == b'\r' => State::DataLf,
                State::DataLf if byte == b'\n' => State::START,
                State::Trailers(mut lines) => {
                    lines.extend_from_slice(&[byte]);
                    if &lines[..] == b"\r\n" {
                        State::Over
                    } else if lines.ends_with(b"\r\n\r\n") {
                        return Ok(Some(trailers(&lines)?));
                    } else if lines.len() == limits::TRAILERS_BYTES {
                        return Err(Invalid);
                    } else {
                        State::Trailers(lines)
                    }
                }
                _ => return Err(Invalid),
            };
        }
        Ok(None)
    }
}

fn trailers(lines: &[u8]) -> Result<HeaderMap, Invalid> {
    let mut fields = [httparse::EMPTY_HEADER; limits::MAX_TRAILERS];
    let parsed = httparse::parse_headers(lines, &mut fields).map_err(|_| Invalid)?;
    let httparse::Status::Complete((_, fields)) = parsed else { return Err(Invalid) };
    let mut trailers = HeaderMap::new();
    for field in fields {
        let name = HeaderName::from_bytes(field.name.as_bytes()).map_err(|_| Invalid)?;
        trailers.append(name, HeaderValue::from_bytes(field.value).map_err(|_| Invalid)?);
    }
    Ok(trailers)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The body in `text`, fed in pieces of `step`; what follows it; its trailers.
    fn read(text: &[u8], step: usize) -> Result<(Vec<u8>, usize, Option<HeaderMap>), Invalid> {
        let mut chunked = Chunked::default();
        let (mut body, mut trailers) = (Vec::new(), None);
        for (at, piece) in text.chunks(step).enumerate() {
            let mut bytes = Bytes::copy_from_slice(piece);
            loop {
                match chunked.next(&mut bytes)? {
                    Next::Frame(frame) => match frame.into_data() {
                        Ok(data) => body.extend_from_slice(&data),
                        Err(frame) => trailers = frame.into_trailers().ok(),
                    },
                    Next::Wanting => break,
                    Next::End => {
                        return Ok((body, text.len() - (at * step + piece.len() - bytes.len()), trailers));
                    }
                }
            }
            assert!(bytes.is_empty(), "what is wanting has used up what there was");
        }
        Err(Invalid)
    }

    #[test]
    fn chunks_are_read_however_they_are_cut() {
        for step in 1..80 {
            let (body, behind, trailers) =
                read(b"3\r\nabc\r\nA;x=\"y\"\r\n0123456789\r\n00\r\n\r\nNEXT", step).unwrap();
            assert_eq!((&body[..], trailers), (&b"abc0123456789"[..], None), "{step}");
            assert_eq!(behind, 4, "{step}");
            let (body, _, trailers) = read(b"1 \r\na\r\n0\r\nX-A: 1\r\nX-B: 2\r\n\r\n", step).unwrap();
            assert_eq!(&body, b"a", "{step}");
            let trailers = trailers.unwrap();
            assert_eq!((&trailers["x-a"], &trailers["x-b"]), (&HeaderValue::from(1), &HeaderValue::from(2)));
            assert_eq!(read(b"2\r\nok\r\n0\r\n\r\n", step).unwrap().0, b"ok");
        }
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_invalid() {
        let long = format!("1;{}\r\na\r\n0\r\n\r\n", "x".repeat(limits::CHUNK_EXTENSIONS_BYTES + 1));
        let many = format!("0\r\n{}\r\n", "a: b\r\n".repeat(limits::MAX_TRAILERS + 1));
        for bad in [
            "",
            "\r\n",
            ";x\r\n",
            "x\r\n",
            "+1\r\na\r\n0\r\n\r\n",
            "0x1\r\na\r\n0\r\n\r\n",
            "1\na\r\n0\r\n\r\n",
            "1;x\na\r\n0\r\n\r\n",
            "1\r\nab\r\n0\r\n\r\n",
            "1\r\na\n0\r\n\r\n",
            "1\r\na0\r\n\r\n",
            "1000000000000000\r\na",
            "-1\r\na\r\n0\r\n\r\n",
            "0\r\nno colon\r\n\r\n",
            "0\r\nX: a\0b\r\n\r\n",
            &long,
            &many,
        ] {
            for step in [1, 7, 100_000] {
                assert!(read(bad.as_bytes(), step).is_err(), "{bad:?}");
            }
        }
    }
}
