//! The tables of a session: its streams, what waits to be sent, and the rules that a peer is held to.
//!
//! Everything here is a short, synchronous update under the session's lock. The driver feeds it what the peer
//! sent and empties it into batches; streams put bytes in and take bytes out.

mod control;
mod feed;
mod peer;
mod streams;

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;
use std::task::Waker;
use std::time::{Duration, Instant};

use bytes::BytesMut;

use super::memory::{Amounts, Entry, Memory};
use super::outbox::Outbox;
use super::stream::StreamOutcome;
use super::{OpenError, Stats};
use crate::limits;
use crate::proto::credit::{Budget, RecvWindow, SendCredit};
use crate::proto::frame::{FrameKind, GoAway, Header, Open, ResetCode};
use crate::proto::liveness::Liveness;
use crate::proto::rate::Rate;

/// Which end of a session this is. Only the relay opens streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The vendor's end.
    Relay,
    /// The customer's end.
    Agent,
}

pub(in crate::mux) use self::peer::FrameEvent;
pub use self::peer::Violation;
pub(in crate::mux) use self::streams::{Read, SendRoom};

#[derive(Debug)]
pub(in crate::mux) struct Core {
    role: Role,
    streams: HashMap<u32, Slot, BuildHasherDefault<StreamHasher>>,
    /// The relay: last stream opened. The agent: last stream seen.
    last_stream: u32,
    /// Streams that have something to send and the credit for it, in turn.
    ready: VecDeque<u32>,
    /// Encoded frames that go out before any data.
    pending: Vec<u8>,
    /// Bytes in all outboxes.
    outgoing: usize,
    /// Bytes in all inboxes.
    held: usize,
    /// Both, and how many streams there are, among those of the owner's other sessions.
    entry: Entry,
    budget: Budget,
    /// What this side grants on a new stream when the other side does not know better.
    own_window: u32,
    peer_window: u32,
    peer_max_streams: u32,
    /// What peers may still send for streams that have ended.
    stray_bytes: u64,
    stray_frames: u64,
    opens: Rate,
    pings: Rate,
    controls: Rate,
    /// Messages of this side that wait for their time.
    messages: VecDeque<Box<[u8]>>,
    message_bytes: usize,
    /// More of them waited than may.
    is_overrun: bool,
    own_controls: Rate,
    liveness: Liveness,
    /// The PING under way: its number and when it left.
    ping: Option<(u64, Instant)>,
    ping_wanted: bool,
    pings_sent: u64,
    /// The number of the last PONG; each is for a later PING than the one before.
    last_pong: u64,
    /// The peer has said that it leaves; it says so once.
    peer_left: bool,
    /// This side ends it with what is under way on it.
    is_cut: bool,
    /// The driver's clock, set whenever it runs. Good enough for rates, and saves a call per read.
    now: Instant,
    state: State,
    driver: Option<Waker>,
    stats: Stats,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    /// One side has announced that it leaves; streams go on, new ones do not.
    Leaving,
    /// Last words are being sent.
    Closing(Instant),
    Ended,
}

/// One stream.
#[derive(Debug)]
struct Slot {
    inbox: VecDeque<BytesMut>,
    window: RecvWindow,
    /// The peer has sent its FIN.
    finished: bool,
    reader: Option<Waker>,

    outbox: Outbox,
    credit: SendCredit,
    fin: Fin,
    writer: Option<Waker>,
    /// In `ready`.
    queued: bool,

    /// Either side has reset it, or the session has ended.
    broken: bool,
    /// Who only wants to know when that happens.
    watcher: Option<Waker>,
    /// The [`super::Stream`] has been dropped; what is left is to be sent.
    detached: bool,
    outcome: Arc<StreamOutcome>,
}

impl Slot {
    /// Wakes whoever waits for anything of this stream.
    fn wake(&mut self) {
        wake(&mut self.reader);
        wake(&mut self.writer);
        wake(&mut self.watcher);
    }

    /// Throws away what nobody will read; returns how many bytes that were.
    fn drop_inbox(&mut self) -> usize {
        self.inbox.clear();
        self.window.discard() as usize
    }

    /// The first chunk that has bytes in it, or why there is none. What came before a reset is still handed
    /// out: an answer that had arrived in full is not lost, and one that had not ends in an error.
    fn next_chunk(&mut self, waker: &Waker) -> Result<&mut BytesMut, Read> {
        // An empty chunk in front is one whose frame has begun; its bytes are on the way.
        while self.inbox.len() > 1 && self.inbox.front().is_some_and(BytesMut::is_empty) {
            self.inbox.pop_front();
        }
        if self.inbox.front().is_some_and(|front| !front.is_empty()) {
            return self.inbox.front_mut().ok_or(Read::Broken);
        }
        // A direction that had finished is complete, whatever became of the other one.
        if self.finished {
            return Err(Read::Finished);
        }
        if self.broken {
            return Err(Read::Broken);
        }
        keep(&mut self.reader, waker);
        Err(Read::Pending)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fin {
    No,
    /// To be sent when the outbox is empty, with the count of delivered bytes.
    Wanted(u64),
    /// To be reset when the outbox is empty: the writer broke off, but what it had said is still to be heard.
    Reset(ResetCode, u64),
    Sent,
}

impl Core {
    pub(in crate::mux) fn new(role: Role, own_window: u32, now: Instant) -> Self {
        Self {
            role,
            streams: HashMap::default(),
            last_stream: 0,
            ready: VecDeque::new(),
            pending: Vec::new(),
            outgoing: 0,
            held: 0,
            entry: Entry::default(),
            budget: Budget::new(limits::SESSION_WINDOW_BYTES),
            own_window,
            peer_window: 0,
            peer_max_streams: 0,
            stray_bytes: 0,
            stray_frames: 0,
            opens: Rate::new(limits::MAX_OPENS_PER_SECOND, limits::MAX_STREAMS),
            pings: Rate::new(limits::MAX_PINGS_PER_SECOND, 2 * limits::MAX_PINGS_PER_SECOND),
            controls: Rate::new(limits::CONTROL_PER_SECOND, limits::CONTROL_AT_ONCE),
            messages: VecDeque::new(),
            message_bytes: 0,
            is_overrun: false,
            own_controls: Rate::new(limits::OWN_CONTROL_PER_SECOND, limits::OWN_CONTROL_AT_ONCE),
            liveness: Liveness::new(now),
            ping: None,
            ping_wanted: false,
            pings_sent: 0,
            last_pong: 0,
            peer_left: false,
            is_cut: false,
            now,
            state: State::Open,
            driver: None,
            stats: Stats::default(),
        }
    }

    // ---- what the owner asks for ----------------------------------------------------------------

    pub(in crate::mux) fn open(&mut self, open: Open) -> Result<(u32, Open, Arc<StreamOutcome>), OpenError> {
        match self.state {
            State::Open => {}
            State::Leaving => return Err(OpenError::Leaving),
            State::Closing(_) | State::Ended => return Err(OpenError::Closed),
        }
        if self.streams.len() >= self.peer_max_streams.min(limits::MAX_STREAMS) as usize {
            return Err(OpenError::TooMany);
        }
        if self.pending.len() > limits::MUX_CONGESTED_BYTES {
            return Err(OpenError::Congested);
        }
        let id = self.last_stream.checked_add(1).ok_or(OpenError::Leaving)?;
        self.last_stream = id;
        let window = self.budget.open();
        let open = Open { window, ..open };
        let outcome = self.insert(id, window, self.peer_window);
        self.control_frame(id, FrameKind::Open, &open.encode());
        if id == limits::LAST_STREAM {
            self.go_away(Duration::ZERO);
        }
        Ok((id, open, outcome))
    }

    /// As if all streams up to this one had been opened, and had ended.
    #[cfg(test)]
    pub(in crate::mux) fn skip_to(&mut self, stream: u32) {
        self.last_stream = stream;
    }

    fn insert(&mut self, id: u32, recv_window: u32, send_credit: u32) -> Arc<StreamOutcome> {
        let outcome = Arc::new(StreamOutcome::default());
        let slot = Slot {
            inbox: VecDeque::new(),
            window: RecvWindow::new(recv_window),
            finished: false,
            reader: None,
            outbox: Outbox::default(),
            credit: SendCredit::new(send_credit),
            fin: Fin::No,
            writer: None,
            queued: false,
            broken: false,
            watcher: None,
            detached: false,
            outcome: Arc::clone(&outcome),
        };
        self.streams.insert(id, slot);
        self.stray_frames += u64::from(limits::STRAY_FRAMES_PER_STREAM);
        self.stats.opened += 1;
        outcome
    }

    pub(in crate::mux) fn go_away(&mut self, retry_after: Duration) {
        if self.state == State::Open {
            let retry_after_ms = u32::try_from(retry_after.as_millis()).unwrap_or(u32::MAX);
            let away = GoAway { last_stream: self.last_stream, retry_after_ms };
            self.control_frame(0, FrameKind::GoAway, &away.encode());
            self.state = State::Leaving;
        }
    }

    pub(in crate::mux) fn close(&mut self) {
        if matches!(self.state, State::Open | State::Leaving) {
            self.state = State::Closing(self.now + limits::SESSION_CLOSE);
        }
    }

    pub(in crate::mux) fn cut(&mut self) {
        self.is_cut |= self.state != State::Ended;
        self.close();
    }

    pub(in crate::mux) fn ping_now(&mut self) {
        self.ping_wanted = true;
    }

    pub(in crate::mux) fn is_alive_since_ping(&self) -> bool {
        // What was read in the turn that sent the PING may have lain here since before.
        !self.ping_wanted && self.ping.is_none_or(|(_, sent)| self.liveness.last_alive() > sent)
    }

    pub(in crate::mux) fn set_peer_limits(&mut self, window: u32, max_streams: u32) {
        self.peer_window = window;
        self.peer_max_streams = max_streams;
    }

    pub(in crate::mux) fn share(&mut self, memory: Arc<Memory>) {
        self.entry = Entry::new(memory);
        self.settle();
    }

    /// Lets the owner's other sessions know what this one holds.
    fn settle(&mut self) {
        let (held, outgoing, streams) = (self.held, self.outgoing, self.streams.len());
        self.entry.settle(Amounts { held, outgoing, streams });
    }

    pub(in crate::mux) fn set_wide_windows(&mut self) {
        self.budget.set_wide();
    }

    pub(in crate::mux) fn min_round_trip(&self) -> Option<Duration> {
        self.liveness.min_round_trip()
    }

    pub(in crate::mux) fn stats(&self) -> Stats {
        Stats { streams: self.streams.len(), ..self.stats }
    }

    pub(in crate::mux) fn is_open(&self) -> bool {
        self.state != State::Ended
    }

    pub(in crate::mux) fn takes_streams(&self) -> bool {
        self.state == State::Open
    }

    pub(in crate::mux) fn is_idle(&self) -> bool {
        self.streams.is_empty() || self.state == State::Ended
    }

    pub(in crate::mux) fn wake_driver(&mut self) {
        if let Some(driver) = self.driver.take() {
            driver.wake();
        }
    }

    fn control_frame(&mut self, stream: u32, kind: FrameKind, payload: &[u8]) {
        self.pending.extend_from_slice(&Header { stream, kind, length: payload.len() }.encode());
        self.pending.extend_from_slice(payload);
    }
}

fn wake(waker: &mut Option<Waker>) {
    if let Some(waker) = waker.take() {
        waker.wake();
    }
}

fn keep(kept: &mut Option<Waker>, waker: &Waker) {
    match kept {
        Some(kept) => kept.clone_from(waker),
        None => *kept = Some(waker.clone()),
    }
}

/// Stream numbers count up and are never chosen by a stranger, so spreading their bits is all a hash has to do.
#[derive(Debug, Default)]
struct StreamHasher(u64);

impl Hasher for StreamHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u32(u32::from(*byte));
        }
    }

    fn write_u32(&mut self, number: u32) {
        self.0 = (self.0 ^ u64::from(number)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}
