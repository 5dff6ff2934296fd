//! A request on its way to a service.

use std::task::{Context, Poll, ready};

use bytes::{BufMut, Bytes, BytesMut};
use hyper::Method;
use hyper::header::{CONTENT_LENGTH, HeaderMap, HeaderName, TRANSFER_ENCODING};
use petit_engine::mux::Stream;

use super::super::body::{BodyError, Streaming};

/// How a request's body is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::ingress) enum Coding {
    /// So many bytes follow; as many are still to be sent.
    Length(u64),
    Chunked,
}

impl Coding {
    /// The framing of a body under these fields, which have been judged.
    pub(in crate::ingress) fn of(headers: &HeaderMap) -> Self {
        let length = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        length.map_or(Self::Chunked, Self::Length)
    }
}

/// A request's head as the service reads it. `fields` writes them by calling what it is given.
pub(in crate::ingress) fn write_head(
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

/// A visitor's body on its way to a service.
pub(in crate::ingress) struct Sending {
    body: Box<Streaming>,
    coding: Coding,
}

impl Sending {
    pub(in crate::ingress) fn new(body: Box<Streaming>, coding: Coding) -> Self {
        Self { body, coding }
    }

    /// Passes on what has come and finds room. True when all was sent, false when the service takes no more.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, stream: &Stream) -> Poll<Result<bool, BodyError>> {
        loop {
            if self.coding == Coding::Length(0) {
                return Poll::Ready(Ok(true));
            }
            if ready!(stream.poll_room(cx)).is_err() {
                return Poll::Ready(Ok(false));
            }
            let frame = ready!(self.body.poll(cx)).transpose()?;
            let Some(frame) = frame else {
                return Poll::Ready(match self.coding {
                    Coding::Chunked => {
                        stream.send_chunk(Bytes::from_static(b"0\r\n\r\n"));
                        Ok(true)
                    }
                    Coding::Length(_) => Err(BodyError::Cut("it is shorter than it said")),
                });
            };
            // Trailers do not pass: HTTP/1.1 would have to announce them, and servers read them as they like.
            let Ok(data) = frame.into_data() else { continue };
            match &mut self.coding {
                Coding::Length(left) => match left.checked_sub(data.len() as u64) {
                    Some(rest) => *left = rest,
                    None => return Poll::Ready(Err(BodyError::Cut("it is longer than it said"))),
                },
                // An empty chunk would be the end.
                Coding::Chunked if data.is_empty() => continue,
                Coding::Chunked => stream.send_chunk(format!("{:x}\r\n", data.len()).into()),
            }
            stream.send_chunk(data);
            if self.coding == Coding::Chunked {
                stream.send_chunk(Bytes::from_static(b"\r\n"));
            }
        }
    }
}
