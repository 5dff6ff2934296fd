//! Frames: the unit that both ends exchange inside the TLS connection.
//!
//! ```text
//! 0        4      5        8                    8+length
//! ┌────────┬──────┬────────┬─────────────────────┐
//! │ stream │ kind │ length │ payload             │   all integers big-endian
//! └────────┴──────┴────────┴─────────────────────┘
//! ```
//!
//! The [`Decoder`] hands out DATA in pieces as they arrive, so that nothing has to be put together twice, and
//! every other frame whole. What it accepts is bounded before it is stored: a length that its kind does not
//! allow is a [`FrameError`] from the header alone.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::RequestId;
use crate::limits;

/// Bytes of the header that every frame begins with.
pub const HEADER_BYTES: usize = 8;

/// What a frame is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum FrameKind {
    /// Opens a stream; payload [`Open`]. Relay to agent only; needs no answer.
    Open = 1,
    /// Bytes of a stream. Never empty.
    Data = 2,
    /// The sender has no more bytes for this stream; payload: how many bytes of the other direction it has
    /// delivered.
    Fin = 3,
    /// The stream is over in both directions; payload [`Reset`].
    Rst = 4,
    /// The receiver of a stream grants more credit; payload: bytes, u32, not zero.
    Window = 5,
    /// Asks for a PONG with the same eight bytes.
    Ping = 6,
    /// Answers a PING.
    Pong = 7,
    /// The sender leaves; payload [`GoAway`].
    GoAway = 8,
    /// A message of [`super::control`] as JSON, on stream 0.
    Control = 9,
}

impl FrameKind {
    fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            1 => Self::Open,
            2 => Self::Data,
            3 => Self::Fin,
            4 => Self::Rst,
            5 => Self::Window,
            6 => Self::Ping,
            7 => Self::Pong,
            8 => Self::GoAway,
            9 => Self::Control,
            _ => return None,
        })
    }

    /// Payload lengths that this kind may have.
    fn lengths(self) -> std::ops::RangeInclusive<usize> {
        match self {
            Self::Open => Open::BYTES..=limits::MAX_OPEN_BYTES,
            Self::Data => 1..=limits::MAX_DATA_BYTES,
            Self::Fin => 8..=8,
            Self::Rst => Reset::BYTES..=Reset::BYTES,
            Self::Window => 4..=4,
            Self::Ping | Self::Pong => 8..=8,
            Self::GoAway => GoAway::BYTES..=GoAway::BYTES,
            Self::Control => 2..=limits::MAX_CONTROL_BYTES,
        }
    }

    fn belongs_to_session(self) -> bool {
        matches!(self, Self::Ping | Self::Pong | Self::GoAway | Self::Control)
    }
}

/// The first eight bytes of a frame, checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// 0 for the session itself.
    pub stream: u32,
    /// What the payload is.
    pub kind: FrameKind,
    /// Bytes of payload that follow; allowed for `kind`.
    pub length: usize,
}

impl Header {
    /// The wire form.
    pub fn encode(self) -> [u8; HEADER_BYTES] {
        let [a, b, c, d] = self.stream.to_be_bytes();
        let [_, x, y, z] = u32::try_from(self.length).unwrap_or(u32::MAX).to_be_bytes();
        [a, b, c, d, self.kind as u8, x, y, z]
    }

    /// Reads and checks the wire form.
    ///
    /// # Errors
    /// [`FrameError`] for an unknown kind, a length the kind does not allow, or a stream number that does not
    /// fit the kind (0 for a stream's frame, another for a session's).
    pub fn decode(bytes: [u8; HEADER_BYTES]) -> Result<Self, FrameError> {
        let [a, b, c, d, kind, x, y, z] = bytes;
        let stream = u32::from_be_bytes([a, b, c, d]);
        let length = u32::from_be_bytes([0, x, y, z]) as usize;
        let kind = FrameKind::from_byte(kind).ok_or(FrameError::UnknownKind { kind })?;
        if !kind.lengths().contains(&length) {
            return Err(FrameError::Length { kind, length });
        }
        if kind.belongs_to_session() != (stream == 0) {
            return Err(FrameError::WrongStream { kind, stream });
        }
        Ok(Self { stream, kind, length })
    }
}

/// Why bytes are not frames of this protocol. Ends the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// A kind this version does not know.
    #[error("a frame of unknown kind {kind}")]
    UnknownKind {
        /// The byte received.
        kind: u8,
    },
    /// A length that the kind does not allow.
    #[error("a {kind:?} frame of {length} bytes, which it cannot have")]
    Length {
        /// What was announced.
        kind: FrameKind,
        /// Its announced payload.
        length: usize,
    },
    /// A session's frame on a stream, or a stream's frame on the session.
    #[error("a {kind:?} frame on stream {stream}, where it cannot be")]
    WrongStream {
        /// What was announced.
        kind: FrameKind,
        /// Where.
        stream: u32,
    },
    /// A payload whose fields are not valid.
    #[error("a {kind:?} frame with an invalid payload")]
    Payload {
        /// Whose payload.
        kind: FrameKind,
    },
}

/// What an OPEN says about the stream that it opens.
///
/// It names one of the services that the agent announced, by number, and what the agent may know of the
/// visitor. It can name no host, port or path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Open {
    /// The agent's number for the service, from its last announcement.
    pub service: u16,
    /// What the stream is for.
    pub purpose: Purpose,
    /// Bytes that the agent may send before the first WINDOW.
    pub window: u32,
    /// The visitor's address as the relay saw it (after trusted proxies).
    pub visitor: SocketAddr,
    /// Names this stream in the logs of both ends; random.
    pub id: RequestId,
}

/// What a stream is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Purpose {
    /// A visitor's bytes.
    Visit = 0,
    /// An end-to-end probe: the agent connects to the service, says how long that took, and closes.
    Probe = 1,
}

impl Open {
    /// service 2, purpose 1, window 4, family 1, address 16, port 2, id 16.
    pub const BYTES: usize = 42;

    /// The wire form.
    pub fn encode(&self) -> [u8; Self::BYTES] {
        let (family, address) = match self.visitor.ip() {
            IpAddr::V4(v4) => (4, v4.to_ipv6_mapped().octets()),
            IpAddr::V6(v6) => (6, v6.octets()),
        };
        let mut out = [0; Self::BYTES];
        let fields: [&[u8]; 7] = [
            &self.service.to_be_bytes(),
            &[self.purpose as u8],
            &self.window.to_be_bytes(),
            &[family],
            &address,
            &self.visitor.port().to_be_bytes(),
            &self.id.0,
        ];
        for (to, from) in out.iter_mut().zip(fields.into_iter().flatten()) {
            *to = *from;
        }
        out
    }

    /// Reads the wire form; bytes beyond the known fields belong to a later version and are not looked at.
    ///
    /// # Errors
    /// [`FrameError::Payload`] when a field is out of range or missing.
    pub fn decode(payload: &[u8]) -> Result<Self, FrameError> {
        let invalid = FrameError::Payload { kind: FrameKind::Open };
        let mut rest = Fields(payload);
        let service = u16::from_be_bytes(rest.take().ok_or(invalid)?);
        let purpose = match rest.take::<1>().ok_or(invalid)? {
            [0] => Purpose::Visit,
            [1] => Purpose::Probe,
            _ => return Err(invalid),
        };
        let window = u32::from_be_bytes(rest.take().ok_or(invalid)?);
        let family = rest.take::<1>().ok_or(invalid)?;
        let address = Ipv6Addr::from(rest.take::<16>().ok_or(invalid)?);
        let ip = match family {
            [4] => IpAddr::V4(address.to_ipv4_mapped().ok_or(invalid)?),
            [6] => IpAddr::V6(address),
            _ => return Err(invalid),
        };
        let port = u16::from_be_bytes(rest.take().ok_or(invalid)?);
        let id = RequestId(rest.take().ok_or(invalid)?);
        if !(limits::MIN_WINDOW_BYTES..=limits::MAX_WINDOW_BYTES).contains(&window) {
            return Err(invalid);
        }
        Ok(Self { service, purpose, window, visitor: SocketAddr::new(ip, port), id })
    }
}

impl Default for Open {
    fn default() -> Self {
        Self {
            service: 0,
            purpose: Purpose::Visit,
            window: limits::INITIAL_WINDOW_BYTES,
            visitor: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0),
            id: RequestId::default(),
        }
    }
}

/// Why a stream ended before both sides had finished, and what had reached the other end by then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reset {
    /// Why.
    pub code: ResetCode,
    /// Bytes of the other direction that the sender had delivered to its side (service or visitor). A request
    /// whose first byte lies beyond it never started.
    pub delivered: u64,
}

/// Why a stream was reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum ResetCode {
    /// The sender does not want the rest: the visitor hung up, or the answer was complete without it.
    Cancelled = 1,
    /// The private service refused the connection.
    ServiceRefused = 2,
    /// The private service did not accept within the time limit, or its network is unreachable.
    ServiceUnreachable = 3,
    /// The stream's service is not (or no longer) offered.
    ServiceUnknown = 4,
    /// The connection to the private service broke.
    ServiceBroke = 5,
    /// Refused before anything happened: too many streams, or the sender is leaving.
    Refused = 6,
    /// The sender failed within.
    Internal = 7,
    /// The service's TLS is not what was set up.
    ServiceTls = 8,
    /// What the sender holds for slow readers, all streams together, is as much as it can.
    NoRoom = 9,
}

impl ResetCode {
    pub(crate) fn from_u32(code: u32) -> Option<Self> {
        Some(match code {
            1 => Self::Cancelled,
            2 => Self::ServiceRefused,
            3 => Self::ServiceUnreachable,
            4 => Self::ServiceUnknown,
            5 => Self::ServiceBroke,
            6 => Self::Refused,
            7 => Self::Internal,
            8 => Self::ServiceTls,
            9 => Self::NoRoom,
            _ => return None,
        })
    }
}

impl Reset {
    /// code 4, delivered 8.
    pub const BYTES: usize = 12;

    /// The wire form.
    pub fn encode(self) -> [u8; Self::BYTES] {
        let [a, b, c, d] = (self.code as u32).to_be_bytes();
        let [e, f, g, h, i, j, k, l] = self.delivered.to_be_bytes();
        [a, b, c, d, e, f, g, h, i, j, k, l]
    }

    /// Reads the wire form.
    ///
    /// # Errors
    /// [`FrameError::Payload`] for a code this version does not know.
    pub fn decode(payload: &[u8]) -> Result<Self, FrameError> {
        let invalid = FrameError::Payload { kind: FrameKind::Rst };
        let mut rest = Fields(payload);
        let code = u32::from_be_bytes(rest.take().ok_or(invalid)?);
        let delivered = u64::from_be_bytes(rest.take().ok_or(invalid)?);
        Ok(Self { code: ResetCode::from_u32(code).ok_or(invalid)?, delivered })
    }
}

/// A peer's announcement that it leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GoAway {
    /// The last stream that the sender took on; later ones never started.
    pub last_stream: u32,
    /// When a new session is welcome, in milliseconds; 0 is at once.
    pub retry_after_ms: u32,
}

impl GoAway {
    /// last stream 4, retry after 4.
    pub const BYTES: usize = 8;

    /// The wire form.
    pub fn encode(self) -> [u8; Self::BYTES] {
        let [a, b, c, d] = self.last_stream.to_be_bytes();
        let [e, f, g, h] = self.retry_after_ms.to_be_bytes();
        [a, b, c, d, e, f, g, h]
    }

    /// Reads the wire form.
    ///
    /// # Errors
    /// [`FrameError::Payload`] when bytes are missing.
    pub fn decode(payload: &[u8]) -> Result<Self, FrameError> {
        let invalid = FrameError::Payload { kind: FrameKind::GoAway };
        let mut rest = Fields(payload);
        let last_stream = u32::from_be_bytes(rest.take().ok_or(invalid)?);
        let retry_after_ms = u32::from_be_bytes(rest.take().ok_or(invalid)?);
        Ok(Self { last_stream, retry_after_ms })
    }
}

/// Reads the four bytes of a WINDOW.
///
/// # Errors
/// [`FrameError::Payload`] for a grant of less than [`limits::MIN_GRANT_BYTES`], which only a peer that wants to keep
/// us busy would send.
pub fn decode_window(payload: &[u8]) -> Result<u32, FrameError> {
    let invalid = FrameError::Payload { kind: FrameKind::Window };
    match u32::from_be_bytes(Fields(payload).take().ok_or(invalid)?) {
        bytes if bytes < limits::MIN_GRANT_BYTES => Err(invalid),
        bytes => Ok(bytes),
    }
}

/// Reads the eight bytes of a PING or PONG, or the count in a FIN.
///
/// # Errors
/// [`FrameError::Payload`] when bytes are missing.
pub fn decode_u64(kind: FrameKind, payload: &[u8]) -> Result<u64, FrameError> {
    Fields(payload).take().map(u64::from_be_bytes).ok_or(FrameError::Payload { kind })
}

/// Takes fixed-size fields off the front of a payload.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (field, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*field)
    }
}

/// What the decoder found next in the bytes it was given.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// A DATA frame begins; its bytes follow as [`Piece::Data`]. Comes before any of them, so that a peer that
    /// exceeds its credit is stopped before its bytes are kept.
    DataBegins {
        /// Whose.
        stream: u32,
        /// How many in all.
        length: usize,
    },
    /// Bytes of the DATA frame that began last.
    Data {
        /// Whose.
        stream: u32,
        /// At least one.
        bytes: &'a [u8],
    },
    /// A whole frame of another kind.
    Frame {
        /// What and whose.
        header: Header,
        /// As long as the header says.
        payload: &'a [u8],
    },
}

/// Cuts bytes, in whatever portions they arrive, into frames.
#[derive(Debug, Default)]
pub struct Decoder {
    state: State,
    /// Holds a header, or the payload of a frame other than DATA, that has arrived in part.
    partial: Vec<u8>,
}

#[derive(Clone, Copy, Debug, Default)]
enum State {
    #[default]
    Header,
    Data {
        stream: u32,
        left: usize,
    },
    Payload(Header),
    /// The payload in `partial` has been handed out and is to be cleared.
    Done,
}

impl Decoder {
    /// Takes bytes off the front of `input` until a piece is complete; `None` when it needs more input, and then
    /// `input` is empty.
    ///
    /// # Errors
    /// [`FrameError`] when the bytes are no frame; the decoder is of no use after that.
    pub fn next<'s, 'i: 's>(&'s mut self, input: &mut &'i [u8]) -> Result<Option<Piece<'s>>, FrameError> {
        if let State::Done = self.state {
            self.partial.clear();
            self.state = State::Header;
        }
        if let State::Header = self.state {
            let Some(header) = self.header(input)? else { return Ok(None) };
            if header.kind == FrameKind::Data {
                self.state = State::Data { stream: header.stream, left: header.length };
                return Ok(Some(Piece::DataBegins { stream: header.stream, length: header.length }));
            }
            self.state = State::Payload(header);
        }
        match self.state {
            State::Data { stream, left } => {
                let bytes = take_front(input, left);
                if bytes.is_empty() {
                    return Ok(None);
                }
                let left = left - bytes.len();
                self.state = if left == 0 { State::Header } else { State::Data { stream, left } };
                Ok(Some(Piece::Data { stream, bytes }))
            }
            State::Payload(header) => {
                if self.partial.is_empty() && input.len() >= header.length {
                    self.state = State::Header;
                    return Ok(Some(Piece::Frame { header, payload: take_front(input, header.length) }));
                }
                let missing = header.length.saturating_sub(self.partial.len());
                self.partial.extend_from_slice(take_front(input, missing));
                if self.partial.len() < header.length {
                    return Ok(None);
                }
                self.state = State::Done;
                Ok(Some(Piece::Frame { header, payload: &self.partial }))
            }
            State::Header | State::Done => Ok(None),
        }
    }

    /// True between two frames, where a peer may close.
    pub fn is_at_boundary(&self) -> bool {
        matches!(self.state, State::Done) || (matches!(self.state, State::Header) && self.partial.is_empty())
    }

    fn header(&mut self, input: &mut &[u8]) -> Result<Option<Header>, FrameError> {
        if self.partial.is_empty()
            && let Some((bytes, rest)) = input.split_first_chunk::<HEADER_BYTES>()
        {
            *input = rest;
            return Header::decode(*bytes).map(Some);
        }
        let missing = HEADER_BYTES.saturating_sub(self.partial.len());
        self.partial.extend_from_slice(take_front(input, missing));
        let Ok(bytes) = <[u8; HEADER_BYTES]>::try_from(self.partial.as_slice()) else { return Ok(None) };
        self.partial.clear();
        Header::decode(bytes).map(Some)
    }
}

/// Takes up to `most` bytes off the front of `input`.
fn take_front<'a>(input: &mut &'a [u8], most: usize) -> &'a [u8] {
    let (front, rest) = input.split_at(most.min(input.len()));
    *input = rest;
    front
}

#[cfg(test)]
mod tests;
