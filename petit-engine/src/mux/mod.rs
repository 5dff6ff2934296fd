//! Many streams in one connection.
//!
//! [`session`] splits a connection into three: a [`Driver`], the one task that reads and writes it; a [`Mux`],
//! the handle that opens streams and sends messages; and [`MuxEvents`], what the peer does that somebody has to
//! answer. The tables behind them are in `core`, behind one lock that is held for the length of a table
//! update and never across a wait.
//!
//! The multiplexer knows no HTTP, no names and no identities.

mod carry;
mod core;
mod driver;
mod memory;
mod outbox;
mod stream;
#[cfg(any(test, feature = "testing"))]
#[cfg_attr(not(test), expect(clippy::unwrap_used, clippy::panic, reason = "only tests run it"))]
pub mod testing;
#[cfg(test)]
mod tests;

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncBufRead, AsyncWrite};
use tokio::sync::{Notify, mpsc};

pub use self::carry::{CarryError, Progress, Until, carry};
pub use self::core::{Role, Violation};
pub use self::driver::Driver;
pub(crate) use self::memory::Entry;
pub use self::memory::Memory;
pub use self::stream::{Canceller, Stream, StreamError, StreamOutcome};
use crate::limits;
use crate::net::wire::Sent;
use crate::proto::frame::{GoAway, Open};

/// What the peer did that the session's owner has to answer.
#[derive(Debug)]
pub enum MuxEvent {
    /// A message on stream 0, not yet understood.
    Control(Vec<u8>),
    /// A new stream (only at the agent).
    Open(Stream),
    /// The peer leaves: it takes no new streams, and those beyond `last_stream` never started.
    GoAway(GoAway),
}

/// Events in the order in which they came; ends with the session.
pub type MuxEvents = mpsc::Receiver<MuxEvent>;

/// Why a session ended.
#[derive(Debug, thiserror::Error)]
pub enum End {
    /// This side closed it.
    #[error("closed by this side")]
    Local,
    /// The peer closed it in an orderly way.
    #[error("closed by the peer")]
    Peer,
    /// The peer has sent nothing for [`limits::DEAD_AFTER`].
    #[error("the peer fell silent")]
    Silent,
    /// The peer has taken none of our bytes for [`limits::DEAD_AFTER`].
    #[error("the peer stopped reading")]
    Stalled,
    /// The peer broke the protocol, and which of its rules.
    #[error("the peer broke the protocol: {0}")]
    Violation(Violation),
    /// The connection broke.
    #[error("the connection broke")]
    Io(#[source] io::Error),
}

impl From<Violation> for End {
    fn from(violation: Violation) -> Self {
        Self::Violation(violation)
    }
}

/// Why a stream was not opened. Nothing was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// The session has ended.
    #[error("the session has ended")]
    Closed,
    /// One of the two sides is leaving.
    #[error("the session is draining")]
    Leaving,
    /// The peer carries as many streams as it allows.
    #[error("the session carries as many streams as it can")]
    TooMany,
    /// The connection does not take what is already waiting.
    #[error("the connection is stalled")]
    Congested,
}

/// Counters of a session since it began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Streams open now.
    pub streams: usize,
    /// Streams opened in all.
    pub opened: u64,
    /// Payload bytes received.
    pub received_bytes: u64,
    /// Payload bytes sent.
    pub sent_bytes: u64,
}

/// What both halves of a session share.
#[derive(Debug)]
struct MuxShared {
    core: Mutex<core::Core>,
    /// Rung when the last stream has gone.
    idle: Notify,
}

impl MuxShared {
    /// A panic while the lock was held cannot leave the tables half changed in a way that memory safety or
    /// another session depends on, so poison is ignored.
    fn lock(&self) -> MutexGuard<'_, core::Core> {
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Splits a connection. Nothing moves until the [`Driver`] is polled; when it is dropped the session ends.
///
/// `window` is what this side grants on a stream before its first WINDOW, as it tells the peer in its hello.
pub fn session<IO>(io: IO, role: Role, window: u32) -> (Mux, Driver<IO>, MuxEvents)
where
    IO: AsyncBufRead + AsyncWrite + Sent + Unpin,
{
    let most = limits::CONTROL_AT_ONCE + limits::MAX_SERVICES as u32 * limits::CONTROL_AT_ONCE_PER_SERVICE;
    let (events, receiver) = mpsc::channel((most + limits::MAX_STREAMS) as usize);
    let now = tokio::time::Instant::now().into_std();
    let core = core::Core::new(role, window, now);
    let shared = Arc::new(MuxShared { core: Mutex::new(core), idle: Notify::new() });
    (Mux { shared: Arc::clone(&shared) }, Driver::new(io, shared, events), receiver)
}

/// The handle of a session. Cheap to clone; does not keep the session alive.
#[derive(Clone, Debug)]
pub struct Mux {
    shared: Arc<MuxShared>,
}

impl Mux {
    /// Opens a stream; its OPEN goes out ahead of any data. The window in `open` is chosen here.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(&self, open: Open) -> Result<Stream, OpenError> {
        let mut core = self.shared.lock();
        let (id, open, outcome) = core.open(open)?;
        core.wake_driver();
        Ok(Stream::new(Arc::clone(&self.shared), id, open, outcome))
    }

    /// Queues a message on stream 0. Messages are sent in order, at a pace that the peer bears: a few at once, the
    /// others one after the other. False when the session has ended; it ends when too many wait, see
    /// [`limits::OWN_CONTROLS_WAITING`].
    pub fn send_control(&self, payload: &[u8]) -> bool {
        let mut core = self.shared.lock();
        let sent = core.send_control(payload);
        core.wake_driver();
        sent
    }

    /// Tells the peer that this side leaves and takes no new streams; those that are open go on.
    pub fn go_away(&self, retry_after: Duration) {
        let mut core = self.shared.lock();
        core.go_away(retry_after);
        core.wake_driver();
    }

    /// Ends the session after what is queued on stream 0 has gone out, or after a second. Streams break.
    pub fn close(&self) {
        let mut core = self.shared.lock();
        core.close();
        core.wake_driver();
    }

    /// As [`Mux::close`], because this side leaves: its streams say so ([`StreamOutcome::was_cut`]).
    pub fn cut(&self) {
        let mut core = self.shared.lock();
        core.cut();
        core.wake_driver();
    }

    /// Sends a PING now, beside the regular ones; its answer shows in [`Mux::round_trip`].
    pub fn ping(&self) {
        let mut core = self.shared.lock();
        core.ping_now();
        core.wake_driver();
    }

    /// True when the peer has been heard since the last PING was asked for, whatever it said, or its system has
    /// acknowledged bytes since: on a line that is full the PONG comes late, behind what is on its way already, and
    /// a peer that is sent to need not say anything for as long as its windows last.
    pub fn is_alive_since_ping(&self) -> bool {
        self.shared.lock().is_alive_since_ping()
    }

    /// What the peer's hello allows: the credit of a new stream and the number of streams.
    pub fn set_peer_limits(&self, window: u32, max_streams: u32) {
        self.shared.lock().set_peer_limits(window, max_streams);
    }

    /// The peer has the feature `wide`: windows may grow to [`limits::WIDE_WINDOW_BYTES`] from now on, instead of
    /// [`limits::MAX_WINDOW_BYTES`].
    pub fn set_wide_windows(&self) {
        self.shared.lock().set_wide_windows();
    }

    /// What this session holds counts together with what the owner's other sessions hold.
    pub fn share(&self, memory: Arc<Memory>) {
        self.shared.lock().share(memory);
    }

    /// How many services the two ends talk about: the peer may say something about each of them now and then.
    pub fn set_services(&self, services: usize) {
        self.shared.lock().set_services(services);
    }

    /// The shortest round trip measured in this session.
    pub fn round_trip(&self) -> Option<Duration> {
        self.shared.lock().min_round_trip()
    }

    /// Counters.
    pub fn stats(&self) -> Stats {
        self.shared.lock().stats()
    }

    /// True until the session has ended.
    pub fn is_open(&self) -> bool {
        self.shared.lock().is_open()
    }

    /// True when a stream can be opened: the session lives and neither side is leaving.
    pub fn takes_streams(&self) -> bool {
        self.shared.lock().takes_streams()
    }

    /// Runs `work` while the tables' lock is held, as a driver does for a moment.
    #[cfg(any(test, feature = "testing"))]
    pub fn while_held<T>(&self, work: impl FnOnce() -> T) -> T {
        let _held = self.shared.lock();
        work()
    }

    /// Waits until no stream is open, or the session has ended.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn idle(&self) {
        loop {
            let rung = self.shared.idle.notified();
            if self.shared.lock().is_idle() {
                return;
            }
            rung.await;
        }
    }
}
