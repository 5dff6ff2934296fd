//! HTTP/1.1 towards a service, on a stream of the tunnel.
//!
//! Nine of ten requests end here, so nothing is done twice: a request's head is written once, as the bytes that the
//! service reads; an answer's head is read where it arrived, and its body is handed on in the pieces that came. All
//! of it runs in the visitor's own task, which the tunnel wakes; only an upload that goes on after the answer has
//! begun gets a task of its own. hyper's client needs a task and four channels for the same.

mod sending;

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::Response;
use hyper::body::{Frame, SizeHint};
use petit_engine::http::{AnswerHead, AnswerReader, Framing, Invalid, Next};
use petit_engine::limits;
use petit_engine::mux::Stream;

pub(super) use self::sending::Sending;
use super::super::failure::Failure;
use super::super::places::{Part, Place};
use super::super::upstream::Upstream;
use super::super::visit::VisitEnd;
use super::upload::BodyError;

/// Why an exchange came to nothing.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The visitor's body broke.
    Body,
    /// The service's answer is no HTTP.
    Invalid,
    /// The stream ended before the answer had begun; its fate says why.
    Stream,
}

/// One request on its way and the answer that is waited for.
pub(super) struct Exchange {
    on: KeptStream,
    sending: Option<Sending>,
    reader: AnswerReader,
}

/// A stream with an HTTP/1.1 connection on it.
pub(super) struct KeptStream {
    pub(super) upstream: Upstream,
    pub(super) stream: Arc<Stream>,
}

impl KeptStream {
    fn give_back(self) {
        self.upstream.pool().give_back(self.upstream.number(), self.stream);
    }
}

impl Exchange {
    /// Sends the head, and the body behind it as far as it can go.
    pub(super) fn begin(on: KeptStream, head: Bytes, is_head: bool, sending: Option<Sending>) -> Self {
        on.stream.send_chunk(head);
        Self { on, sending, reader: AnswerReader::new(is_head) }
    }

    /// Waits for the answer's head, passing the body on meanwhile.
    pub(super) fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<(AnswerHead, Bytes), Trouble>> {
        if let Some(sending) = &mut self.sending {
            match sending.poll(cx, &self.on.stream) {
                Poll::Ready(Ok(_)) => self.sending = None,
                Poll::Ready(Err(_)) => return Poll::Ready(Err(Trouble::Body)),
                Poll::Pending => {}
            }
        }
        loop {
            match ready!(self.on.stream.poll_chunk(cx)) {
                Ok(Some(chunk)) => match self.reader.push(chunk) {
                    Ok(Some(answer)) => return Poll::Ready(Ok(answer)),
                    Ok(None) => {}
                    Err(Invalid) => return Poll::Ready(Err(Trouble::Invalid)),
                },
                Ok(None) | Err(_) => {
                    let cut = self.reader.cut_off();
                    return Poll::Ready(Err(cut.map_or(Trouble::Invalid, |()| Trouble::Stream)));
                }
            }
        }
    }

    /// The answer as it goes on: its head, its body as the service sends it, and what is left of the upload.
    pub(super) fn answer(
        self,
        head: AnswerHead,
        rest: Bytes,
    ) -> (Response<()>, Arrived, Option<RestOfUpload>) {
        let ends = Arc::new(Ends::default());
        let Self { on, sending, .. } = self;
        let upload = sending.map(|sending| RestOfUpload {
            sending,
            stream: Arc::clone(&on.stream),
            ends: Arc::clone(&ends),
        });
        if upload.is_none() {
            ends.reached(SENT);
        }
        let mut body = Body { on: Some(on), rest, framing: head.framing, reusable: head.reusable, ends };
        let answer = match body.whole() {
            Some(whole) => Arrived::Whole(whole),
            None => Arrived::Streaming(body),
        };
        (head.response, answer, upload)
    }
}

/// What is left of a visitor's body after its answer has begun.
pub(super) struct RestOfUpload {
    sending: Sending,
    stream: Arc<Stream>,
    ends: Arc<Ends>,
}

impl RestOfUpload {
    /// Sends it, for as long as it has its place; how that ends. A service that takes no more of it has said what it had
    /// to say.
    pub(super) async fn send(mut self, place: &Place) -> VisitEnd {
        let sent = poll_fn(|cx| {
            // Here as well as in the body: a service that takes nothing is not waited for either.
            if place.poll_lost(Part::Upload, cx).is_ready() {
                return Poll::Ready(Err(self.sending.give_way()));
            }
            self.sending.poll(cx, &self.stream)
        });
        match sent.await {
            // The answer is over, so this is the end of the stream. Who lets go of it now says that nothing more is read
            // from it, which ends it at the agent before the service has what is on its way there.
            Ok(true) if self.ends.reached(SENT) => {
                self.stream.finish();
                let end = poll_fn(|cx| {
                    while let Ok(Some(_)) = ready!(self.stream.poll_chunk(cx)) {}
                    Poll::Ready(())
                });
                let _ = tokio::time::timeout(limits::UPLOAD_DELIVERY, end).await;
                VisitEnd::Whole
            }
            Ok(true) => VisitEnd::Whole,
            Ok(false) => VisitEnd::of_untaken(self.stream.outcome()),
            // A request that was broken off is not to look whole, and nor is its answer.
            Err(_) => {
                self.stream.cancel();
                place.fault().unwrap_or(Failure::BadRequest).into()
            }
        }
    }
}

/// Which of the two directions have come to their ends.
#[derive(Debug, Default)]
struct Ends(AtomicU8);

const SENT: u8 = 1;
const ANSWERED: u8 = 2;

impl Ends {
    /// Takes note of one end; true when the other was reached before.
    fn reached(&self, end: u8) -> bool {
        self.0.fetch_or(end, Ordering::AcqRel) & !end != 0
    }
}

/// An answer's body, when its head has come.
pub(super) enum Arrived {
    /// All of it came with the head.
    Whole(Bytes),
    /// It is still on its way.
    Streaming(Body),
}

/// An answer's body on its way. Dropped before its end it ends the stream, and with it the service's connection.
pub(crate) struct Body {
    /// `None` once the end was reached.
    on: Option<KeptStream>,
    rest: Bytes,
    framing: Framing,
    reusable: bool,
    ends: Arc<Ends>,
}

impl Body {
    /// The body, if all of it is here already. The stream is free again then.
    fn whole(&mut self) -> Option<Bytes> {
        let length = match self.framing {
            Framing::Length(length) if length <= self.rest.len() as u64 => length as usize,
            _ => return None,
        };
        let whole = self.rest.split_to(length);
        self.framing = Framing::Length(0);
        self.end();
        Some(whole)
    }

    /// Both heads and this body are over: what is left is a stream for the next request, or none.
    fn end(&mut self) {
        let Some(on) = self.on.take() else { return };
        let sent = self.ends.reached(ANSWERED);
        if sent && self.reusable && self.rest.is_empty() {
            on.give_back();
        } else if !sent && self.rest.is_empty() {
            // The upload goes on, in a task of its own that finishes the stream.
        } else {
            on.stream.cancel();
        }
    }

    /// The next piece of the body, or its trailers.
    pub(super) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        loop {
            match self.framing.next(&mut self.rest) {
                Ok(Next::Frame(frame)) => {
                    if self.framing.is_over() {
                        self.end(); // another request need not wait until this piece is on its way
                    }
                    return Poll::Ready(Some(Ok(frame)));
                }
                Ok(Next::End) => {
                    self.end();
                    return Poll::Ready(None);
                }
                Ok(Next::Wanting) => {}
                Err(Invalid) => return Poll::Ready(Some(Err(BodyError::Cut("it breaks the rules of HTTP")))),
            }
            let Some(on) = &self.on else { return Poll::Ready(None) };
            match ready!(on.stream.poll_chunk(cx)) {
                Ok(Some(chunk)) => self.rest = chunk,
                Ok(None) if matches!(self.framing, Framing::UntilEnd) => self.framing = Framing::Length(0),
                Ok(None) => {
                    return Poll::Ready(Some(Err(BodyError::Cut("the service closed in the middle of it"))));
                }
                Err(_) => return Poll::Ready(Some(Err(BodyError::Cut("the stream broke")))),
            }
        }
    }

    /// What it means for the visitor that the body has broken.
    pub(super) fn failure(&self) -> Failure {
        self.on.as_ref().map_or(Failure::ServiceBroke, |on| Failure::of_broken(on.stream.outcome()))
    }

    /// True when the last piece was handed out.
    pub(super) fn is_end_stream(&self) -> bool {
        self.framing.is_over()
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        match self.framing {
            Framing::Length(left) => SizeHint::with_exact(left),
            Framing::Chunked(_) | Framing::UntilEnd => SizeHint::default(),
        }
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        if self.framing.is_over() {
            self.end();
        } else if let Some(on) = &self.on {
            on.stream.cancel();
        }
    }
}
