//! A WebSocket's frames (RFC 6455 §5.2), as far as they must be known to say goodbye between two of them.
//!
//! The relay carries a WebSocket as bytes and reads nothing but the frames' lengths. When it or the agent leaves, or the
//! place is needed for others, both sides get a close frame of its own at the next place where a frame may stand.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::task::{Context, Poll, ready};

use petit_engine::secret::random_bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;

/// FIN and the opcode of a close frame.
const CLOSE: u8 = 0x88;
/// Why a WebSocket is told to go, as its close frame says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub(super) enum Parting {
    /// The relay or the agent leaves: "going away" (RFC 6455 §7.4.1).
    GoingAway = 1001,
    /// Its place was needed for others: "try again later" (IANA's registry of close codes).
    TryAgainLater = 1013,
}

/// Where in one direction's frames the bytes so far have ended.
#[derive(Clone, Debug, Default)]
struct Frames {
    header: Vec<u8>,
    /// Of the present frame's payload.
    left: u64,
    /// A close frame has begun; nothing may follow it.
    closed: bool,
}

impl Frames {
    fn is_between(&self) -> bool {
        self.header.is_empty() && self.left == 0
    }

    /// Bytes that can be taken without going beyond the end of the present frame; 0 between two.
    fn within(&self) -> usize {
        match (self.header.is_empty(), self.left) {
            (true, left) => usize::try_from(left).unwrap_or(usize::MAX),
            (false, _) => 1,
        }
    }

    fn pass(&mut self, mut bytes: &[u8]) {
        while let Some((first, rest)) = bytes.split_first() {
            if self.left > 0 {
                let length = bytes.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
                self.left -= length as u64;
                bytes = bytes.get(length..).unwrap_or_default();
                continue;
            }
            self.closed |= self.header.is_empty() && first & 0x0f == CLOSE & 0x0f;
            self.header.push(*first);
            bytes = rest;
            if let Some(length) = payload_bytes(&self.header) {
                self.left = length;
                self.header.clear();
            }
        }
    }
}

/// The payload's length, once the header is whole.
fn payload_bytes(header: &[u8]) -> Option<u64> {
    let second = *header.get(1)?;
    let mask = if second & 0x80 == 0 { 0 } else { 4 };
    let extended = match second & 0x7f {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    if header.len() < 2 + extended + mask {
        return None;
    }
    let long = header.get(2..2 + extended)?;
    let long = long.iter().fold(0, |length: u64, byte| length << 8 | u64::from(*byte));
    Some(if extended == 0 { u64::from(second & 0x7f) } else { long })
}

/// Whether a WebSocket is to be told to go, and whether it was.
#[derive(Debug, Default)]
pub(super) struct Goodbye {
    /// The status to say it with; 0 while it is not wanted.
    status: AtomicU16,
    said: Notify,
}

impl Goodbye {
    /// Wants it said.
    pub(super) fn want(&self, why: Parting) {
        self.status.store(why as u16, Ordering::Relaxed);
    }

    fn status(&self) -> Option<[u8; 2]> {
        let status = self.status.load(Ordering::Relaxed);
        (status != 0).then_some(status.to_be_bytes())
    }

    /// Waits until both sides have been told.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(super) async fn said(&self) {
        self.said.notified().await;
    }
}

/// A visitor's end of a WebSocket that can say goodbye to both sides. Reading from it gives what the visitor says to
/// the service, writing to it says to the visitor what the service says.
#[derive(Debug)]
pub(super) struct Visiting<IO> {
    io: IO,
    goodbye: Arc<Goodbye>,
    /// What the visitor says.
    inward: Frames,
    /// What the service says.
    outward: Frames,
    /// What of our close frame the service has not been given yet; `None` before it begins.
    to_service: Option<Vec<u8>>,
    /// The same for the visitor.
    to_visitor: Option<Vec<u8>>,
}

impl<IO: AsyncRead + AsyncWrite + Unpin> Visiting<IO> {
    /// Says goodbye once it is wanted and this is polled.
    pub(super) fn new(io: IO, goodbye: Arc<Goodbye>) -> Self {
        let (inward, outward) = (Frames::default(), Frames::default());
        Self { io, goodbye, inward, outward, to_service: None, to_visitor: None }
    }

    fn says_goodbye(&self) -> bool {
        self.goodbye.status().is_some()
    }

    /// Tells the owner when both sides have been told.
    fn note_if_said(&self) {
        let is_told =
            |rest: &Option<Vec<u8>>, frames: &Frames| rest.as_ref().map_or(frames.closed, Vec::is_empty);
        if is_told(&self.to_service, &self.inward) && is_told(&self.to_visitor, &self.outward) {
            self.goodbye.said.notify_one();
        }
    }

    /// Writes our close frame to the visitor, when the service has not said its own, and is between two frames.
    /// Ready when nothing of it is left to write.
    fn poll_part(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.to_visitor.is_none() && self.outward.is_between() && !self.outward.closed {
            let [high, low] = self.goodbye.status().unwrap_or_default();
            self.to_visitor = Some(vec![CLOSE, 2, high, low]);
        }
        if let Some(rest) = &mut self.to_visitor {
            while !rest.is_empty() {
                let written = ready!(Pin::new(&mut self.io).poll_write(cx, rest))?;
                rest.drain(..written.min(rest.len()));
            }
            return Pin::new(&mut self.io).poll_flush(cx);
        }
        Poll::Ready(Ok(()))
    }

    /// As [`AsyncRead::poll_read`], no further than the end of the visitor's present frame.
    fn poll_rest(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut bytes = [0; 4096];
        let length = self.inward.within().min(bytes.len()).min(buffer.remaining());
        let mut part = ReadBuf::new(bytes.get_mut(..length).unwrap_or_default());
        ready!(Pin::new(&mut self.io).poll_read(cx, &mut part))?;
        self.inward.pass(part.filled());
        buffer.put_slice(part.filled());
        Poll::Ready(Ok(()))
    }

    /// Throws away what the visitor says until it has said its own goodbye, or has gone.
    fn poll_last_words(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.inward.closed || !self.inward.is_between() {
            let mut bytes = [0; 1024];
            let mut heard = ReadBuf::new(&mut bytes);
            ready!(Pin::new(&mut self.io).poll_read(cx, &mut heard))?;
            if heard.filled().is_empty() {
                break;
            }
            self.inward.pass(heard.filled());
        }
        Poll::Ready(Ok(()))
    }
}

/// A close frame as a client sends it: masked (RFC 6455 §5.3).
fn masked_close([high, low]: [u8; 2]) -> Vec<u8> {
    let [a, b, c, d] = random_bytes::<4>().unwrap_or([1, 2, 3, 4]);
    vec![CLOSE, 0x80 | 2, a, b, c, d, high ^ a, low ^ b]
}

impl<IO: AsyncRead + AsyncWrite + Unpin> AsyncRead for Visiting<IO> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if !this.says_goodbye() {
            let before = buffer.filled().len();
            ready!(Pin::new(&mut this.io).poll_read(cx, buffer))?;
            this.inward.pass(buffer.filled().get(before..).unwrap_or_default());
            return Poll::Ready(Ok(()));
        }
        // The visitor is told here too: the service may have nothing to say that would bring the other side about.
        if let Poll::Ready(result) = this.poll_part(cx) {
            result?;
        }
        if this.to_service.is_none() {
            if !this.inward.is_between() {
                return this.poll_rest(cx, buffer);
            }
            // Whoever has said goodbye already is answered by the service.
            this.to_service = Some(if this.inward.closed {
                Vec::new()
            } else {
                masked_close(this.goodbye.status().unwrap_or_default())
            });
        }
        if let Some(rest) = this.to_service.as_mut().filter(|rest| !rest.is_empty()) {
            let length = rest.len().min(buffer.remaining());
            buffer.put_slice(rest.get(..length).unwrap_or_default());
            rest.drain(..length);
            return Poll::Ready(Ok(()));
        }
        this.note_if_said();
        this.poll_last_words(cx)
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Visiting<IO> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        let mut bytes = bytes;
        if this.says_goodbye() {
            ready!(this.poll_part(cx))?;
            if this.to_visitor.is_some() {
                return Poll::Ready(Ok(bytes.len())); // nothing may follow a close frame
            }
            // The rest of the frame that has begun; all of it when the service closes by itself.
            if !this.outward.closed {
                bytes = bytes.get(..bytes.len().min(this.outward.within())).unwrap_or_default();
            }
        }
        let written = ready!(Pin::new(&mut this.io).poll_write(cx, bytes))?;
        this.outward.pass(bytes.get(..written).unwrap_or_default());
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    use super::*;

    const GOING_AWAY: [u8; 2] = [0x03, 0xe9];

    fn frame(first: u8, masked: bool, payload: &[u8]) -> Vec<u8> {
        let mut bytes = vec![first];
        let mask = if masked { 0x80 } else { 0 };
        match payload.len() {
            length @ 0..126 => bytes.push(mask | length as u8),
            length @ 126..65_536 => {
                bytes.push(mask | 126);
                bytes.extend((length as u16).to_be_bytes());
            }
            length => {
                bytes.push(mask | 127);
                bytes.extend((length as u64).to_be_bytes());
            }
        }
        bytes.extend([0; 4].iter().filter(|_| masked));
        bytes.extend(payload);
        bytes
    }

    #[test]
    fn frames_of_all_lengths_are_followed_however_they_are_cut() {
        for length in [0, 1, 125, 126, 127, 65_535, 65_536, 200_000] {
            for masked in [false, true] {
                let payload = vec![CLOSE; length];
                let bytes = [frame(0x82, masked, &payload), frame(0x89, masked, b"ping")].concat();
                for step in [1, 3, 1000, usize::MAX] {
                    let mut frames = Frames::default();
                    let mut between = 0;
                    for piece in bytes.chunks(step.min(bytes.len())) {
                        frames.pass(piece);
                        between += usize::from(frames.is_between());
                    }
                    assert!(frames.is_between() && !frames.closed, "{length} {masked} {step}");
                    assert!(step > 1 || between == 2, "{length} {masked}: {between}");
                }
                let mut frames = Frames::default();
                frames.pass(&bytes[..bytes.len() - 1]);
                assert!(!frames.is_between());
                assert!(frames.within() > 0);
                frames.pass(&bytes[bytes.len() - 1..]);
                frames.pass(&frame(CLOSE, masked, &GOING_AWAY));
                assert!(frames.closed && frames.is_between());
            }
        }
    }

    fn pair() -> (Visiting<DuplexStream>, DuplexStream, Arc<Goodbye>) {
        let (near, far) = duplex(64 * 1024);
        let goodbye = Arc::new(Goodbye::default());
        (Visiting::new(near, Arc::clone(&goodbye)), far, goodbye)
    }

    /// What comes out of a reader that ends.
    async fn all(mut from: impl AsyncRead + Unpin) -> Vec<u8> {
        let mut bytes = Vec::new();
        from.read_to_end(&mut bytes).await.unwrap();
        bytes
    }

    #[tokio::test]
    async fn both_sides_of_an_idle_socket_are_told() {
        let (mut visiting, mut visitor, goodbye) = pair();
        goodbye.want(Parting::GoingAway);
        let mut to_service = [0; 8];
        visiting.read_exact(&mut to_service).await.unwrap();
        let [first, second, a, b, _, _, high, low] = to_service;
        assert_eq!((first, second, [high ^ a, low ^ b]), (CLOSE, 0x82, GOING_AWAY));
        let mut to_visitor = [0; 4];
        visitor.read_exact(&mut to_visitor).await.unwrap();
        assert_eq!(to_visitor, [CLOSE, 2, 0x03, 0xe9]);
        // What both still say is not passed on; the visitor's goodbye is the end.
        visiting.write_all(&frame(0x81, false, b"late")).await.unwrap();
        visitor.write_all(&frame(0x81, true, b"late")).await.unwrap();
        visitor.write_all(&frame(CLOSE, true, &GOING_AWAY)).await.unwrap();
        assert!(all(&mut visiting).await.is_empty());
        goodbye.said().await;
        drop(visiting);
        assert!(all(visitor).await.is_empty());
    }

    #[tokio::test]
    async fn a_frame_that_has_begun_is_finished_first() {
        let (mut visiting, mut visitor, goodbye) = pair();
        let (out, inward) = (frame(0x82, false, &[7; 300]), frame(0x82, true, &[9; 300]));
        visiting.write_all(&out[..100]).await.unwrap();
        visitor.write_all(&inward[..5]).await.unwrap();
        let mut begun = [0; 5];
        visiting.read_exact(&mut begun).await.unwrap();
        goodbye.want(Parting::GoingAway);
        // Two frames in one go: the second has not begun.
        let rest = [&out[100..], &frame(0x81, false, b"not any more")].concat();
        visiting.write_all(&rest).await.unwrap();
        visitor.write_all(&[&inward[5..], &frame(0x81, true, b"not any more")].concat()).await.unwrap();
        let mut heard = vec![0; inward.len() - 5 + 8];
        visiting.read_exact(&mut heard).await.unwrap();
        assert_eq!(heard[..inward.len() - 5], inward[5..]);
        assert_eq!(heard[inward.len() - 5], CLOSE);
        let mut seen = vec![0; out.len() + 4];
        visitor.read_exact(&mut seen).await.unwrap();
        assert_eq!(seen, [out, vec![CLOSE, 2, 0x03, 0xe9]].concat());
    }

    #[tokio::test]
    async fn a_side_that_has_said_goodbye_hears_no_second_one() {
        let (mut visiting, mut visitor, goodbye) = pair();
        let close = frame(CLOSE, false, &[0x03, 0xe8]);
        visiting.write_all(&close).await.unwrap();
        visitor.write_all(&frame(CLOSE, true, &[0x03, 0xe8])).await.unwrap();
        let mut heard = vec![0; 8];
        visiting.read_exact(&mut heard).await.unwrap();
        goodbye.want(Parting::GoingAway);
        assert!(all(&mut visiting).await.is_empty());
        drop(visiting);
        assert_eq!(all(visitor).await, close);
    }
}
