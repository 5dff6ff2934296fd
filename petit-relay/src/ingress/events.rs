//! Answers that are streams of events (`text/event-stream`): they have no end of their own, so when the relay or the
//! agent leaves, the relay ends them itself, behind a whole event. To the visitor that is the end of an answer, and
//! browsers come back for the next one (HTML, "server-sent events").

use std::future::Future;
use std::task::{Context, Poll};

use hyper::HeaderMap;
use hyper::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};

use super::super::leaving::{Leaving, Tally};

/// One stream of events on its way to a visitor.
pub(super) struct EventStream {
    place: Place,
    /// What cannot be read here is ended where a piece of it ends.
    is_coded: bool,
    goodbye: petit_engine::BoxFuture<'static, ()>,
    is_over: bool,
    _counted: Tally,
}

impl EventStream {
    /// `Some` when an answer's head says that it is one; it ends once `goodbye` is over.
    pub(super) fn of<G>(
        headers: &HeaderMap,
        leaving: &Leaving,
        goodbye: impl FnOnce() -> G,
    ) -> Option<Box<Self>>
    where
        G: Future<Output = ()> + Send + 'static,
    {
        let kind = headers.get(CONTENT_TYPE)?.as_bytes();
        let name = kind.split(|byte| *byte == b';').next()?.trim_ascii();
        if !name.eq_ignore_ascii_case(b"text/event-stream") || headers.contains_key(CONTENT_LENGTH) {
            return None;
        }
        Some(Box::new(Self {
            place: Place::default(),
            is_coded: headers.contains_key(CONTENT_ENCODING),
            goodbye: Box::pin(goodbye()),
            is_over: false,
            _counted: leaving.event_stream(),
        }))
    }

    /// Takes note of bytes that are on their way to the visitor.
    pub(super) fn passed(&mut self, bytes: &[u8]) {
        self.place.pass(bytes);
    }

    /// Ready when it was told to go and no event is cut by an end here.
    pub(super) fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.is_over {
            self.is_over = self.goodbye.as_mut().poll(cx).is_ready();
        }
        if self.is_over && (self.is_coded || self.place.is_between_events()) {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }
}

/// Where in a stream of events its reader stands. Lines end with CR, LF, or both; an empty line ends an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    /// Nothing has come in the present line.
    line_is_empty: bool,
    /// The line before was empty too, or there was none.
    between_events: bool,
    /// The last byte was a CR, which a LF may belong to.
    after_cr: bool,
}

impl Default for Place {
    fn default() -> Self {
        Self { line_is_empty: true, between_events: true, after_cr: false }
    }
}

impl Place {
    fn pass(&mut self, bytes: &[u8]) {
        for byte in bytes {
            match byte {
                b'\n' if self.after_cr => self.after_cr = false,
                b'\n' | b'\r' => {
                    self.between_events = self.line_is_empty;
                    self.line_is_empty = true;
                    self.after_cr = *byte == b'\r';
                }
                _ => *self = Self { line_is_empty: false, between_events: false, after_cr: false },
            }
        }
    }

    fn is_between_events(self) -> bool {
        self.between_events && self.line_is_empty
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_ends_with_an_empty_line() {
        let between = |text: &str| {
            let mut place = Place::default();
            place.pass(text.as_bytes());
            // However it is cut into pieces.
            let mut in_pieces = Place::default();
            text.as_bytes().iter().for_each(|byte| in_pieces.pass(&[*byte]));
            assert_eq!(place, in_pieces, "{text:?}");
            place.is_between_events()
        };
        for whole in ["", "data: x\n\n", "data: x\r\n\r\n", "data: x\r\r", ":\n\n", "a\n\nb\n\n", "a\n\n\n"] {
            assert!(between(whole), "{whole:?}");
        }
        for cut in ["d", "data: x", "data: x\n", "data: x\r\n", "data: x\r", "a\n\nb", "a\n\nb\n"] {
            assert!(!between(cut), "{cut:?}");
        }
    }

    #[test]
    fn only_streams_of_events_are_taken_for_one() {
        let leaving = Leaving::default();
        let is_one = |fields: &[(&'static str, &str)]| {
            let fields = fields
                .iter()
                .map(|(name, value)| (hyper::header::HeaderName::from_static(name), value.parse().unwrap()));
            EventStream::of(&fields.collect(), &leaving, || leaving.goodbye()).is_some()
        };
        assert!(is_one(&[("content-type", "text/event-stream")]));
        assert!(is_one(&[("content-type", "Text/Event-Stream; charset=utf-8")]));
        assert!(!is_one(&[("content-type", "text/event-streams")]));
        assert!(!is_one(&[("content-type", "text/html")]) && !is_one(&[]));
        // One with a length ends by itself, and would be cut.
        assert!(!is_one(&[("content-type", "text/event-stream"), ("content-length", "7")]));
    }
}
