//! HTTP/2 visitors that send frames which ask for nothing: PING, SETTINGS, PRIORITY, credit, resets, frames of types
//! that nobody knows, DATA without data.
//!
//! Each of them costs a little work, and many an answer; h2 takes them without end (CVE-2019-9512, -9515, -9518), and
//! a connection that has a request under way is not idle. hyper does not tell of them, so they are counted where the
//! bytes come in. Requests and answers earn some of them, because honest visitors give credit for what they get and
//! measure round trips while they get it (gRPC does, once in each); beyond that there is a rate.

use std::time::Instant;

use petit_engine::limits;
use petit_engine::proto::rate::Rate;

/// How every connection of HTTP/2 begins (RFC 9113 §3.4). No request of HTTP/1.1 does.
pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Length (3 bytes), type, flags, stream (RFC 9113 §4.1).
const HEADER_BYTES: usize = 9;
const DATA: u8 = 0;
const HEADERS: u8 = 1;
/// The first byte of a DATA frame says how many of its last ones mean nothing.
const PADDED: u8 = 8;
/// The longest DATA frame that can be nothing but padding.
const PADDING_BYTES: usize = 256;

/// Reads along with what a visitor sends, and counts its frames.
#[derive(Debug)]
pub(super) struct FloodGuard {
    protocol: Protocol,
    rate: Rate,
}

#[derive(Debug)]
enum Protocol {
    /// So many bytes were those of the preface so far.
    Open(usize),
    Http2(Frames),
    /// HTTP/1.1, or what comes after it.
    Other,
}

/// Where in the frames the bytes so far have ended.
#[derive(Debug, Default)]
struct Frames {
    header: [u8; HEADER_BYTES],
    filled: usize,
    /// Of the present frame's payload.
    left: usize,
}

/// What a frame is to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Frame {
    /// A request, or the end of its body.
    Head,
    /// A part of a body.
    Data,
    /// Neither: it moves nothing.
    Control,
}

/// A version of HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spoken {
    Http1,
    Http2,
}

impl Spoken {
    /// What TLS has agreed upon (ALPN, RFC 7301), if it has.
    pub(super) fn agreed(protocol: &[u8]) -> Option<Self> {
        match protocol {
            b"http/1.1" => Some(Self::Http1),
            b"h2" => Some(Self::Http2),
            _ => None,
        }
    }
}

/// What to make of a visitor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Bearable,
    Flood,
}

impl FloodGuard {
    pub(super) fn new() -> Self {
        Self {
            protocol: Protocol::Open(0),
            rate: Rate::new(limits::H2_CONTROL_PER_SECOND, limits::H2_CONTROL_AT_ONCE),
        }
    }

    /// True unless the connection is known to be of another protocol: nothing is counted there.
    pub(super) fn counts(&self) -> bool {
        !matches!(self.protocol, Protocol::Other)
    }

    /// The version that the connection has begun in; `None` while that is open.
    pub(super) fn spoken(&self) -> Option<Spoken> {
        match self.protocol {
            Protocol::Open(_) => None,
            Protocol::Http2(_) => Some(Spoken::Http2),
            Protocol::Other => Some(Spoken::Http1),
        }
    }

    /// Takes the next bytes of a visitor who has `earned` so many control frames since the bytes before.
    pub(super) fn judge(&mut self, mut bytes: &[u8], earned: u32, now: Instant) -> Verdict {
        if let Protocol::Open(matched) = &mut self.protocol {
            let expected = PREFACE.get(*matched..).unwrap_or_default();
            let length = expected.len().min(bytes.len());
            let (begin, rest) = bytes.split_at(length);
            if !expected.starts_with(begin) {
                self.protocol = Protocol::Other;
                return Verdict::Bearable;
            }
            *matched += length;
            if *matched == PREFACE.len() {
                self.protocol = Protocol::Http2(Frames::default());
            }
            bytes = rest;
        }
        let Protocol::Http2(frames) = &mut self.protocol else { return Verdict::Bearable };
        self.rate.refund(earned);
        while let Some(frame) = frames.next(&mut bytes) {
            match frame {
                Frame::Head => self.rate.refund(limits::H2_CONTROL_PER_REQUEST),
                Frame::Data => {}
                Frame::Control if self.rate.allow(now) => {}
                Frame::Control => return Verdict::Flood,
            }
        }
        Verdict::Bearable
    }
}

impl Frames {
    /// The next frame that begins in `bytes`; they are used up when there is none.
    fn next(&mut self, bytes: &mut &[u8]) -> Option<Frame> {
        let payload = self.left.min(bytes.len());
        self.left -= payload;
        *bytes = bytes.get(payload..).unwrap_or_default();
        let missing = self.header.get_mut(self.filled..).unwrap_or_default();
        let length = missing.len().min(bytes.len());
        let (begin, rest) = bytes.split_at(length);
        if let Some(space) = missing.get_mut(..length) {
            space.copy_from_slice(begin);
        }
        *bytes = rest;
        self.filled += length;
        if self.filled < HEADER_BYTES {
            return None;
        }
        self.filled = 0;
        let [a, b, c, kind, flags, ..] = self.header;
        self.left = usize::try_from(u32::from_be_bytes([0, a, b, c])).unwrap_or(usize::MAX);
        let may_be_padding = flags & PADDED != 0 && self.left <= PADDING_BYTES;
        Some(match kind {
            HEADERS => Frame::Head,
            DATA if self.left > 0 && !may_be_padding => Frame::Data,
            _ => Frame::Control,
        })
    }
}

/// How many control frames a visitor earns with so many bytes of an answer.
pub(super) fn earned(bytes: usize) -> u32 {
    let by_size = u32::try_from(bytes / limits::H2_BYTES_PER_CONTROL).unwrap_or(u32::MAX);
    limits::H2_CONTROL_PER_PART.saturating_add(by_size)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const PING: u8 = 6;
    const WINDOW_UPDATE: u8 = 8;
    const SECOND: Duration = Duration::from_secs(1);

    fn frame(kind: u8, flags: u8, payload: usize) -> Vec<u8> {
        let [_, a, b, c] = u32::try_from(payload).unwrap().to_be_bytes();
        let mut frame = vec![a, b, c, kind, flags, 0, 0, 0, 1];
        frame.resize(HEADER_BYTES + payload, 7);
        frame
    }

    /// A connection of HTTP/2 that has begun.
    fn begun() -> FloodGuard {
        let mut guard = FloodGuard::new();
        assert_eq!(guard.judge(PREFACE, 0, Instant::now()), Verdict::Bearable);
        guard
    }

    /// How many of these come through before they are a flood, up to `most`.
    fn borne(guard: &mut FloodGuard, frame: &[u8], most: u32, now: Instant) -> u32 {
        (0..most).take_while(|_| guard.judge(frame, 0, now) == Verdict::Bearable).count() as u32
    }

    #[test]
    fn whatever_moves_nothing_is_borne_up_to_a_number_and_is_a_flood_then() {
        let control = [
            frame(PING, 0, 8),
            frame(4, 0, 0),
            frame(2, 0, 5),
            frame(3, 0, 4),
            frame(WINDOW_UPDATE, 0, 4),
            frame(9, 0, 10),
            frame(0xfe, 0, 100),
            frame(DATA, 0, 0),
            frame(DATA, PADDED, 1),
            frame(DATA, PADDED, PADDING_BYTES),
        ];
        for frame in &control {
            let most = 2 * limits::H2_CONTROL_AT_ONCE;
            assert_eq!(borne(&mut begun(), frame, most, Instant::now()), limits::H2_CONTROL_AT_ONCE);
        }
        for frame in [frame(DATA, 0, 1), frame(DATA, PADDED, PADDING_BYTES + 1), frame(HEADERS, 0, 30)] {
            let most = 10 * limits::H2_CONTROL_AT_ONCE;
            assert_eq!(borne(&mut begun(), &frame, most, Instant::now()), most);
        }
    }

    #[test]
    fn frames_are_told_apart_wherever_the_bytes_are_cut() {
        let one = [frame(HEADERS, 4, 33), frame(DATA, 0, 300), frame(PING, 0, 8), frame(DATA, 0, 0)].concat();
        let all = [PREFACE, &one.repeat(5000)].concat();
        for size in [1, 2, 7, 9, 10, 1000, 16_384] {
            let (mut guard, now) = (FloodGuard::new(), Instant::now());
            let verdicts = all.chunks(size).map(|piece| guard.judge(piece, 0, now));
            // Two control frames for each request are what requests earn.
            assert!(verdicts.into_iter().all(|verdict| verdict == Verdict::Bearable), "in pieces of {size}");
        }
        // A payload that looks like a flood is none.
        let pings = frame(PING, 0, 8).repeat(50_000);
        let mut one = frame(DATA, 0, pings.len());
        one.truncate(HEADER_BYTES);
        one.extend(pings);
        assert_eq!(begun().judge(&one, 0, Instant::now()), Verdict::Bearable);
    }

    #[test]
    fn a_visitor_who_sends_some_now_and_then_lives_for_ever() {
        let (mut guard, mut now) = (begun(), Instant::now());
        for _ in 0..10_000 {
            now += 10 * SECOND;
            assert_eq!(guard.judge(&frame(PING, 0, 8), 0, now), Verdict::Bearable);
        }
        // As often as the rate says.
        let batch = frame(PING, 0, 8).repeat(limits::H2_CONTROL_PER_SECOND as usize);
        for _ in 0..10_000 {
            now += SECOND;
            assert_eq!(guard.judge(&batch, 0, now), Verdict::Bearable);
        }
    }

    #[test]
    fn credit_for_an_answer_is_no_flood_however_long_it_is() {
        let (mut guard, now) = (begun(), Instant::now());
        // Two grants for every frame of 16 KiB, and one that measures the round trip.
        let grants = [frame(WINDOW_UPDATE, 0, 4).repeat(2), frame(PING, 0, 8)].concat();
        for _ in 0..100_000 {
            assert_eq!(guard.judge(&grants, earned(16 * 1024), now), Verdict::Bearable);
        }
        // Of a stream of small messages, each of which is answered.
        for _ in 0..100_000 {
            assert_eq!(guard.judge(&grants, earned(20), now), Verdict::Bearable);
        }
        // What was earned is not saved up.
        let rest = borne(&mut guard, &frame(PING, 0, 8), 100_000, now);
        assert_eq!(rest, limits::H2_CONTROL_AT_ONCE - 3);
    }

    #[test]
    fn http1_is_left_alone() {
        let now = Instant::now();
        for begin in [&b"GET / HTTP/1.1\r\n"[..], b"PRI * HTTP/1.1\r\n", b"P", b"POST"] {
            let mut guard = FloodGuard::new();
            guard.judge(begin, 0, now);
            assert_eq!(guard.judge(&[0; 1_000_000], 0, now), Verdict::Bearable);
            assert!(!guard.counts());
        }
    }
}
