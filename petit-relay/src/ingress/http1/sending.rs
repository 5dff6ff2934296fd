//! A request on its way to a service.

use std::task::{Context, Poll, ready};

use bytes::Bytes;
use petit_engine::http::Coding;
use petit_engine::mux::Stream;

use super::super::upload::{BodyError, Streaming};

/// A visitor's body on its way to a service.
pub(in crate::ingress) struct Sending {
    body: Box<Streaming>,
    coding: Coding,
}

impl Sending {
    pub(in crate::ingress) fn new(body: Box<Streaming>, coding: Coding) -> Self {
        Self { body, coding }
    }

    /// Its place was given to somebody else, and no more of it is sent.
    pub(super) fn give_way(&self) -> BodyError {
        self.body.give_up(BodyError::GaveWay)
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
