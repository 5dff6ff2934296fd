//! The head of a service's answer, as bytes.

use std::mem::MaybeUninit;

use bytes::{Bytes, BytesMut};
use httparse::{ParserConfig, Status};
use hyper::ext::ReasonPhrase;
use hyper::header::{CONNECTION, CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue, TRANSFER_ENCODING};
use hyper::{Response, StatusCode, Version};

use super::chunked::Chunked;
use super::framing::Framing;
use super::head::check_answer;
use super::{Invalid, Next};
use crate::limits;

/// A final answer's head.
#[derive(Debug)]
pub struct AnswerHead {
    pub response: Response<()>,
    /// How the body ends.
    pub framing: Framing,
    /// The connection can carry another request after the body.
    pub reusable: bool,
}

/// Reads the head of an answer in the pieces that it comes in, past the informational ones before it.
#[derive(Debug)]
pub struct AnswerReader {
    /// It answers a HEAD request, and so has no body whatever it says.
    is_head: bool,
    /// A head of which the end has not come yet. Usually a head comes in one piece and nothing is collected.
    partial: BytesMut,
    /// Bytes of informational heads so far.
    informational: usize,
}

impl AnswerReader {
    /// A reader of the answer to a request, which `is_head` or not.
    pub fn new(is_head: bool) -> Self {
        Self { is_head, partial: BytesMut::new(), informational: 0 }
    }

    /// Takes the next bytes; the head once it is complete, with the bytes behind it.
    ///
    /// # Errors
    /// [`Invalid`] as soon as it can be no head, or is too large for one.
    pub fn push(&mut self, chunk: Bytes) -> Result<Option<(AnswerHead, Bytes)>, Invalid> {
        let mut bytes = if self.partial.is_empty() {
            chunk
        } else {
            // Where the blank line can be that ends the head: a head is parsed once, not once per piece.
            let from = self.partial.len().saturating_sub(3);
            self.partial.extend_from_slice(&chunk);
            if !has_blank_line(self.partial.get(from..).unwrap_or_default()) {
                return self.incomplete().map(|()| None);
            }
            self.partial.split().freeze()
        };
        loop {
            if bytes.is_empty() {
                return Ok(None);
            }
            let Some((head, length)) = parse(&bytes)? else {
                self.partial = BytesMut::from(&bytes[..]);
                return self.incomplete().map(|()| None);
            };
            let rest = bytes.split_off(length);
            if !head.response.status().is_informational() {
                return head.judged(self.is_head).map(|head| Some((head, rest)));
            }
            // Nobody asked to switch to another protocol; and nobody waits for ever.
            self.informational += length;
            if head.response.status() == StatusCode::SWITCHING_PROTOCOLS
                || self.informational > limits::HTTP_BUFFER_BYTES
            {
                return Err(Invalid);
            }
            bytes = rest;
        }
    }

    /// The stream has ended inside a head, or before one. [`Invalid`] when what came cannot be the begin of a head: how
    /// it was cut into pieces decides whether that was seen before.
    ///
    /// # Errors
    /// See above.
    pub fn cut_off(&self) -> Result<(), Invalid> {
        parse(&Bytes::copy_from_slice(&self.partial)).map(|_| ())
    }

    /// What is no head, or too large for one, is not waited for.
    fn incomplete(&self) -> Result<(), Invalid> {
        const BEGIN: &[u8] = b"HTTP/1.";
        let begin = self.partial.get(..BEGIN.len()).unwrap_or(&self.partial);
        if BEGIN.starts_with(begin) && self.partial.len() <= limits::HTTP_BUFFER_BYTES {
            Ok(())
        } else {
            Err(Invalid)
        }
    }
}

fn has_blank_line(bytes: &[u8]) -> bool {
    bytes.windows(2).any(|pair| pair == b"\n\n") || bytes.windows(3).any(|three| three == b"\n\r\n")
}

/// One head at the begin of `bytes`, and its length; `None` while its end is missing. The values share the bytes.
fn parse(bytes: &Bytes) -> Result<Option<(AnswerHead, usize)>, Invalid> {
    let mut fields = [const { MaybeUninit::uninit() }; limits::MAX_ANSWER_HEADERS];
    let mut parsed = httparse::Response::new(&mut []);
    let status = ParserConfig::default().parse_response_with_uninit_headers(&mut parsed, bytes, &mut fields);
    let Status::Complete(length) = status.map_err(|_| Invalid)? else { return Ok(None) };
    if length > limits::HTTP_BUFFER_BYTES || !bytes.starts_with(b"HTTP/") {
        return Err(Invalid);
    }
    let mut response = Response::new(());
    *response.status_mut() = parsed.code.and_then(|code| StatusCode::from_u16(code).ok()).ok_or(Invalid)?;
    let is_old = parsed.version == Some(0);
    *response.version_mut() = if is_old { Version::HTTP_10 } else { Version::HTTP_11 };
    if let Some(reason) = parsed.reason.filter(|reason| !reason.is_empty())
        && response.status().canonical_reason() != Some(reason)
        && let Ok(reason) = ReasonPhrase::try_from(reason.as_bytes())
    {
        response.extensions_mut().insert(reason);
    }
    let headers = response.headers_mut();
    headers.reserve(parsed.headers.len() + 1); // and the ID of the request
    for field in parsed.headers.iter() {
        let name = HeaderName::from_bytes(field.name.as_bytes()).map_err(|_| Invalid)?;
        let value = HeaderValue::from_maybe_shared(bytes.slice_ref(field.value)).map_err(|_| Invalid)?;
        headers.append(name, value);
    }
    Ok(Some((AnswerHead { response, framing: Framing::UntilEnd, reusable: !is_old }, length)))
}

impl AnswerHead {
    /// Judges the head of a final answer and sees how its body ends.
    fn judged(mut self, is_head: bool) -> Result<Self, Invalid> {
        check_answer(&self.response)?;
        let headers = self.response.headers();
        let without_body =
            is_head || matches!(self.response.status(), StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        self.framing = if without_body {
            Framing::Length(0)
        } else if headers.contains_key(TRANSFER_ENCODING) {
            // HTTP/1.0 knows no chunks.
            if self.response.version() == Version::HTTP_10 {
                return Err(Invalid);
            }
            Framing::Chunked(Chunked::default())
        } else if let Some(length) = headers.get(CONTENT_LENGTH) {
            Framing::Length(length.to_str().ok().and_then(|length| length.parse().ok()).ok_or(Invalid)?)
        } else {
            self.reusable = false;
            Framing::UntilEnd
        };
        self.reusable &= !closes(headers);
        Ok(self)
    }
}

fn closes(headers: &HeaderMap) -> bool {
    headers.get_all(CONNECTION).iter().any(|value| {
        value
            .as_bytes()
            .split(|byte| *byte == b',')
            .any(|option| option.trim_ascii().eq_ignore_ascii_case(b"close"))
    })
}

/// An answer as a fuzzer makes it, in pieces of `step` bytes: what is read of it does not depend on them.
///
/// # Panics
/// When it does.
pub fn fuzz_answer(bytes: &[u8], step: usize) {
    assert_eq!(read(bytes, bytes.len().max(1)), read(bytes, step.max(1)), "cut into pieces of {step}");
}

/// The status and body of the answer in `bytes`, if it is a whole one.
fn read(bytes: &[u8], step: usize) -> Option<(u16, Vec<u8>)> {
    let mut reader = AnswerReader::new(false);
    let mut pieces = bytes.chunks(step);
    let (head, mut rest) = loop {
        if let Some(answer) = reader.push(Bytes::copy_from_slice(pieces.next()?)).ok()? {
            break answer;
        }
    };
    let mut body = Vec::new();
    let mut framing = head.framing;
    loop {
        match framing.next(&mut rest).ok()? {
            Next::End => break,
            Next::Frame(frame) => body.extend_from_slice(&frame.into_data().unwrap_or_default()),
            Next::Wanting => match pieces.next() {
                Some(piece) => rest = Bytes::copy_from_slice(piece),
                None if matches!(framing, Framing::UntilEnd) => break,
                None => return None,
            },
        }
    }
    Some((head.response.status().as_u16(), body))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OK: &str = "HTTP/1.1 200 OK\r\n";

    /// How the answer in `text` is framed, whether its connection can be used again, and what is behind its head.
    fn head(text: &str, is_head: bool) -> Result<(String, bool, String), Invalid> {
        let mut found = Vec::new();
        for step in [1, 2, 5, text.len().max(1)] {
            let mut reader = AnswerReader::new(is_head);
            let mut fed = 0;
            let answer = text.as_bytes().chunks(step).find_map(|piece| {
                fed += piece.len();
                reader.push(Bytes::copy_from_slice(piece)).transpose()
            });
            let Some(answer) = answer else { continue };
            found.push(answer.map(|(head, rest)| {
                let rest = [&rest[..], &text.as_bytes()[fed..]].concat();
                let framing = match head.framing {
                    Framing::Length(length) => length.to_string(),
                    Framing::Chunked(_) => "chunked".to_owned(),
                    Framing::UntilEnd => "until end".to_owned(),
                };
                (framing, head.reusable, String::from_utf8(rest).unwrap())
            }));
        }
        assert!(
            found.windows(2).all(|pair| pair[0] == pair[1]),
            "{text:?} depends on how it is cut: {found:?}"
        );
        found.pop().unwrap_or(Err(Invalid))
    }

    #[test]
    fn a_head_says_how_its_body_ends() {
        for (text, is_head, framing, reusable, rest) in [
            (format!("{OK}Content-Length: 3\r\n\r\nabcd"), false, "3", true, "abcd"),
            (format!("{OK}Content-Length: 3\r\n\r\n"), true, "0", true, ""),
            (format!("{OK}Content-Length: 3\r\nConnection: x, Close\r\n\r\nabc"), false, "3", false, "abc"),
            (format!("{OK}Transfer-Encoding: Chunked\r\n\r\n0\r\n\r\n"), false, "chunked", true, "0\r\n\r\n"),
            (format!("{OK}\r\nall"), false, "until end", false, "all"),
            (
                "HTTP/1.0 200 OK\r\nContent-Length: 1\r\nConnection: keep-alive\r\n\r\na".into(),
                false,
                "1",
                false,
                "a",
            ),
            ("HTTP/1.1 204 \r\nContent-Length: 7\r\n\r\n".into(), false, "0", true, ""),
            ("HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n".into(), false, "0", true, ""),
            (
                format!(
                    "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 x\r\nLink: a\r\n\r\n{OK}Content-Length: 0\r\n\r\n"
                ),
                false,
                "0",
                true,
                "",
            ),
        ] {
            assert_eq!(head(&text, is_head), Ok((framing.into(), reusable, rest.into())), "{text:?}");
        }
    }

    #[test]
    fn what_is_no_head_is_known_as_early_as_possible() {
        let endless = format!("{OK}X: {}", "a".repeat(limits::HTTP_BUFFER_BYTES));
        let many: String = (0..=limits::MAX_ANSWER_HEADERS).map(|n| format!("X-{n}: 1\r\n")).collect();
        let early = "HTTP/1.1 100 Continue\r\n\r\n".repeat(limits::HTTP_BUFFER_BYTES / 25 + 1);
        for text in [
            "h".to_owned(),
            "\r\n".to_owned(),
            "HTTP/2".to_owned(),
            "HTTP/1.2 200 OK\r\n\r\n".to_owned(),
            "HTTP/1.1 2000 OK\r\n\r\n".to_owned(),
            "HTTP/1.1 101 Switching Protocols\r\n\r\n".to_owned(),
            "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned(),
            format!("{OK}Content-Length: 18446744073709551616\r\n\r\n"),
            format!("{OK}Content-Length: 1\r\nContent-Length: 1\r\n\r\n"),
            format!("{OK}X : 1\r\n\r\n"),
            format!("{OK}{many}\r\n"),
            endless,
            early,
        ] {
            assert_eq!(head(&text, false), Err(Invalid), "{:?}", text.get(..60));
        }
        assert!(AnswerReader::new(false).push(Bytes::from_static(b"220 mail.example.com ESMTP")).is_err());
    }

    #[test]
    fn whether_what_was_cut_off_is_a_heads_begin_does_not_depend_on_its_pieces() {
        for (text, expected) in [
            ("", Ok(())),
            ("HTT", Ok(())),
            ("HTTP/1.1 200 OK\r\nContent-Le", Ok(())),
            ("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 2", Ok(())),
            ("HTTP/1.1 200 OK\r\nX : 1\r\nContent-Le", Err(Invalid)),
            ("HTTP/1.1 2x0 OK\r\nContent-Le", Err(Invalid)),
            ("SSH-2.0", Err(Invalid)),
        ] {
            for step in 1..=text.len().max(1) {
                let mut reader = AnswerReader::new(false);
                let mut pieces = text.as_bytes().chunks(step).map(Bytes::copy_from_slice);
                let read =
                    pieces.try_for_each(|piece| reader.push(piece).map(|head| assert!(head.is_none())));
                assert_eq!(read.and_then(|()| reader.cut_off()), expected, "{text:?} in pieces of {step}");
            }
        }
    }

    #[test]
    fn an_unusual_reason_is_kept() {
        let reason = |text: &'static str| {
            let (head, _) = parse(&Bytes::from_static(text.as_bytes())).unwrap().unwrap();
            head.response.extensions().get::<ReasonPhrase>().map(|reason| reason.as_bytes().to_vec())
        };
        assert_eq!(reason("HTTP/1.1 200 OK\r\n\r\n"), None);
        assert_eq!(reason("HTTP/1.1 200 Fine\r\n\r\n"), Some(b"Fine".to_vec()));
    }
}
