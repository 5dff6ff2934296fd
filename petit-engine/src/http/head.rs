//! Heads: a request's as it is written, and an answer's as it is judged.

use bytes::{BufMut, Bytes, BytesMut};
use hyper::header::{CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue, TRANSFER_ENCODING};
use hyper::{Method, Response};

use super::Invalid;
use crate::limits;

/// How a request's body is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// So many bytes follow; as many are still to be sent.
    Length(u64),
    /// In chunks.
    Chunked,
}

impl Coding {
    /// The framing of a body under these fields, which have been judged.
    pub fn of(headers: &HeaderMap) -> Self {
        let length = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        length.map_or(Self::Chunked, Self::Length)
    }
}

/// A request's head as the service reads it. `fields` writes them by calling what it is given.
pub fn write_head(
    method: &Method,
    target: &str,
    coding: Option<Coding>,
    fields: impl FnOnce(&mut dyn FnMut(&HeaderName, &[u8])),
) -> Bytes {
    let mut head = BytesMut::with_capacity(1024);
    head.put_slice(method.as_str().as_bytes());
    head.put_u8(b' ');
    head.put_slice(target.as_bytes());
    head.put_slice(b" HTTP/1.1\r\n");
    let mut line = |name: &HeaderName, value: &[u8]| {
        head.put_slice(name.as_str().as_bytes());
        head.put_slice(b": ");
        head.put_slice(value);
        head.put_slice(b"\r\n");
    };
    fields(&mut line);
    if coding == Some(Coding::Chunked) {
        line(&TRANSFER_ENCODING, b"chunked");
    }
    head.put_slice(b"\r\n");
    head.freeze()
}

/// Judges the head of an answer: what two readers could frame differently is not passed on.
///
/// # Errors
/// [`Invalid`].
pub fn check_answer<B>(response: &Response<B>) -> Result<(), Invalid> {
    let headers = response.headers();
    let (mut bytes, mut framings, mut are_framings_ok) = (0, 0, true);
    for (name, value) in headers {
        bytes += name.as_str().len() + value.len();
        if *name == TRANSFER_ENCODING {
            framings += 1;
            are_framings_ok &= value.as_bytes().eq_ignore_ascii_case(b"chunked");
        } else if *name == CONTENT_LENGTH {
            framings += 1;
            are_framings_ok &= is_plain_number(value);
        }
    }
    let is_short = headers.len() <= limits::MAX_ANSWER_HEADERS; // hyper counts no fields of HTTP/2
    // Nobody asked to switch to another protocol: what follows would be read as one thing here, as another there.
    let is_final = !response.status().is_informational();
    let fits = bytes <= limits::HTTP_BUFFER_BYTES; // hyper's own limit is only looked at between two reads
    if is_final && fits && is_short && are_framings_ok && framings <= 1 { Ok(()) } else { Err(Invalid) }
}

/// Digits, and none that could be read as octal.
pub fn is_plain_number(value: &HeaderValue) -> bool {
    let bytes = value.as_bytes();
    !bytes.is_empty()
        && bytes.iter().all(u8::is_ascii_digit)
        && (bytes.len() == 1 || !bytes.starts_with(b"0"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_that_could_be_framed_in_two_ways_are_refused() {
        let judged = |fields: &[(&str, &str)]| {
            let mut response = Response::builder();
            for (name, value) in fields {
                response = response.header(*name, *value);
            }
            check_answer(&response.body(()).unwrap())
        };
        assert_eq!(judged(&[]), Ok(()));
        assert_eq!(judged(&[("content-length", "3")]), Ok(()));
        assert_eq!(judged(&[("transfer-encoding", "Chunked")]), Ok(()));
        for bad in [
            &[("content-length", "3"), ("transfer-encoding", "chunked")][..],
            &[("content-length", "3"), ("content-length", "3")],
            &[("content-length", "+3")],
            &[("content-length", "3, 3")],
            &[("content-length", "05")],
            &[("content-length", "")],
            &[("transfer-encoding", "gzip, chunked")],
            &[("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")],
        ] {
            assert_eq!(judged(bad), Err(Invalid), "{bad:?}");
        }
        let names: Vec<String> =
            (0..=limits::MAX_ANSWER_HEADERS).map(|number| format!("x-{number}")).collect();
        let fields: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "1")).collect();
        assert_eq!(judged(&fields), Err(Invalid), "too many");
        assert_eq!(judged(&fields[1..]), Ok(()));
    }
}
