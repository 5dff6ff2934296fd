//! Sessions over an in-memory connection, for tests of the multiplexer and of what is built on it.

use std::panic::resume_unwind;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use tokio::io::{BufReader, DuplexStream};
use tokio::task::JoinHandle;

use super::{Driver, End, Mux, MuxEvent, MuxEvents, Role, Stream, session};
use crate::limits;
use crate::net::wire::Wire;

/// Runs a test on a thread and a paused clock of its own, and fails when it is not over after a minute. A driver that
/// spins lets no paused clock move on, so no limit within the test would end it.
pub fn is_over_within_a_minute<F: Future<Output = ()>>(test: impl FnOnce() -> F + Send + 'static) {
    let (over, waiting) = mpsc::channel();
    let thread = std::thread::spawn(move || {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        runtime.enable_all().start_paused(true).build().unwrap().block_on(test());
        let _ = over.send(());
    });
    match waiting.recv_timeout(Duration::from_secs(60)) {
        Ok(()) => {}
        Err(RecvTimeoutError::Disconnected) => resume_unwind(thread.join().unwrap_err()),
        Err(RecvTimeoutError::Timeout) => panic!("it spins, or waits for what never comes"),
    }
}

/// One end of a session.
pub struct Side {
    pub mux: Mux,
    pub events: MuxEvents,
    pub end: JoinHandle<End>,
}

impl Side {
    /// The end whose driver is run from here on.
    pub fn new<IO>((mux, driver, events): (Mux, Driver<IO>, MuxEvents)) -> Self
    where
        Driver<IO>: Future<Output = End> + Send + 'static,
    {
        mux.set_peer_limits(limits::INITIAL_WINDOW_BYTES, 100);
        Self { mux, events, end: tokio::spawn(driver) }
    }

    /// The stream that the peer opens next.
    pub async fn accepted(&mut self) -> Stream {
        match self.events.recv().await {
            Some(MuxEvent::Open(stream)) => stream,
            other => panic!("expected a stream, got {other:?}"),
        }
    }
}

/// One end of a session over `io`.
pub fn side(io: DuplexStream, role: Role) -> Side {
    Side::new(session(Wire::new(BufReader::new(io)), role, limits::INITIAL_WINDOW_BYTES))
}

/// A relay and an agent over a connection that holds `buffer` bytes.
pub fn pair(buffer: usize) -> (Side, Side) {
    let (a, b) = tokio::io::duplex(buffer);
    (side(a, Role::Relay), side(b, Role::Agent))
}

/// A side and the raw far end of its connection, for peers that do not keep the rules.
pub fn against(role: Role) -> (Side, DuplexStream) {
    let (a, b) = tokio::io::duplex(1 << 20);
    (side(a, role), b)
}
