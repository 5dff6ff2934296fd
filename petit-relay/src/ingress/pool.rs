//! Connections to services that are kept for further requests, one pool per session.
//!
//! A stream is a connection to the private service, so using one again saves the service an accept and the request a
//! local connect. Of HTTP/1.1 the last one given back is taken first; the idle timeout is shorter than services'
//! keep-alive, to avoid the race of using a connection again that the service is closing. One of HTTP/2 carries many
//! requests at once.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hyper::client::conn::{http1, http2};
use petit_engine::limits;
use petit_engine::mux::{Canceller, Stream, StreamOutcome};
use petit_engine::proto::RequestId;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::upload::VisitorBody;

/// The idle streams of a session, by the agent's number of the service.
#[derive(Default)]
pub(crate) struct StreamPool {
    idle: Mutex<Kept>,
    shared: Mutex<HashMap<u16, Vec<SharedConnection>>>,
    /// One side is leaving: nothing is kept any more.
    closed: AtomicBool,
    /// Rung when the pool gets its first idle stream.
    filled: Notify,
}

/// Idle streams of HTTP/1.1.
#[derive(Default)]
struct Kept {
    by_service: HashMap<u16, Vec<Idle>>,
    /// All of them, in lists that may be empty.
    count: usize,
}

struct Idle {
    stream: Arc<Stream>,
    since: Instant,
}

impl Kept {
    /// Drops all but those for which `stays`.
    fn retain(&mut self, stays: impl Fn(u16, &Idle) -> bool) {
        self.by_service.retain(|service, idle| {
            idle.retain(|idle| stays(*service, idle));
            !idle.is_empty()
        });
        self.count = self.by_service.values().map(Vec::len).sum();
    }
}

/// Whether a request can be sent a second time when a kept connection turns out to be gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Repeatable {
    Yes,
    /// It has a body, which is passed on as it comes.
    No,
}

/// A stream with an HTTP/2 connection on it, and how many requests are on that. All of them come from one
/// connection of a visitor's: one who takes nothing of an answer holds up nobody else's.
#[derive(Clone)]
pub(super) struct SharedConnection {
    pub(super) sender: http2::SendRequest<VisitorBody>,
    pub(super) outcome: Arc<StreamOutcome>,
    /// The ID of its stream, which is that of the request that has opened it.
    pub(super) id: RequestId,
    stream: Canceller,
    usage: Arc<Usage>,
}

/// Who uses a connection of HTTP/2.
struct Usage {
    active: AtomicUsize,
    /// Rung when the last request on it is over.
    unused: Notify,
    /// It takes no more: the service has said so, or an upload on it was given up.
    retired: AtomicBool,
    user: Mutex<User>,
}

/// Whose a connection is, and since when it has been idle if it is.
struct User {
    peer: SocketAddr,
    since: Instant,
}

impl SharedConnection {
    pub(super) fn new(
        sender: http2::SendRequest<VisitorBody>,
        (outcome, stream): (Arc<StreamOutcome>, Canceller),
        id: RequestId,
        peer: SocketAddr,
    ) -> Self {
        let usage = Usage {
            active: AtomicUsize::new(0),
            unused: Notify::new(),
            retired: AtomicBool::new(false),
            user: Mutex::new(User { peer, since: Instant::now() }),
        };
        Self { sender, outcome, id, stream, usage: Arc::new(usage) }
    }

    fn user(&self) -> MutexGuard<'_, User> {
        self.usage.user.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn active(&self) -> usize {
        self.usage.active.load(Ordering::Relaxed)
    }

    /// Gives it no further request; those that are on it go on.
    pub(super) fn retire(&self) {
        self.usage.retired.store(true, Ordering::Relaxed);
    }

    fn is_over(&self) -> bool {
        self.sender.is_closed() || self.usage.retired.load(Ordering::Relaxed)
    }

    /// Counts a request on it while the guard lives.
    pub(super) fn enter(&self) -> OnSharedConnection {
        self.usage.active.fetch_add(1, Ordering::Relaxed);
        OnSharedConnection(self.clone())
    }

    /// Waits until no request counts on it.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(super) async fn unused(&self) {
        let mut rung = pin!(self.usage.unused.notified());
        loop {
            rung.as_mut().enable();
            if self.active() == 0 {
                return;
            }
            rung.as_mut().await;
            rung.set(self.usage.unused.notified());
        }
    }

    /// Ends it at once, with all that is on it.
    pub(super) fn break_off(&self) {
        self.stream.cancel();
    }
}

/// A request on an HTTP/2 connection.
pub(super) struct OnSharedConnection(SharedConnection);

impl Drop for OnSharedConnection {
    fn drop(&mut self) {
        self.0.user().since = Instant::now();
        if self.0.usage.active.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.usage.unused.notify_waiters();
        }
    }
}

impl StreamPool {
    fn idle(&self) -> MutexGuard<'_, Kept> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn shared(&self) -> MutexGuard<'_, HashMap<u16, Vec<SharedConnection>>> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the stream that was given back last and has been quiet since. For a request that cannot be repeated,
    /// only one that the service has had no time to close.
    pub(super) fn take(&self, service: u16, repeatable: Repeatable) -> Option<Arc<Stream>> {
        loop {
            let Idle { stream, .. } = {
                let mut kept = self.idle();
                let is_fit = |idle: &mut Idle| {
                    repeatable == Repeatable::Yes || idle.since.elapsed() <= limits::POOL_IDLE_FOR_BODY
                };
                let idle = kept.by_service.get_mut(&service)?.pop_if(is_fit)?;
                kept.count -= 1;
                idle
            };
            // A service may close a connection at any time, or say what nobody has asked for.
            if stream.is_quiet() {
                return Some(stream);
            }
        }
    }

    /// Keeps a stream on which the last answer has come to its end.
    pub(super) fn give_back(&self, service: u16, stream: Arc<Stream>) {
        if self.closed.load(Ordering::Relaxed) || !stream.is_quiet() {
            return;
        }
        let mut kept = self.idle();
        let idle = kept.by_service.entry(service).or_default();
        if idle.len() >= limits::POOL_IDLE {
            return;
        }
        idle.push(Idle { stream, since: Instant::now() });
        kept.count += 1;
        let is_first = kept.count == 1;
        drop(kept);
        if is_first {
            self.filled.notify_one();
        }
    }

    /// An HTTP/2 connection that has room for a request of a visitor's connection, or that nobody uses.
    pub(super) fn share(&self, service: u16, peer: SocketAddr) -> Option<SharedConnection> {
        let mut pools = self.shared();
        let connections = pools.get_mut(&service)?;
        connections.retain(|connection| !connection.is_over());
        let own = |it: &&SharedConnection| it.user().peer == peer && it.active() < limits::H2_REQUESTS;
        let free = |it: &&SharedConnection| it.active() == 0;
        let found = connections.iter().find(own).or_else(|| connections.iter().find(free))?;
        found.user().peer = peer;
        Some(found.clone())
    }

    /// Keeps a new HTTP/2 connection for others.
    pub(super) fn keep_shared(&self, service: u16, connection: &SharedConnection) {
        if !self.closed.load(Ordering::Relaxed) {
            self.shared().entry(service).or_default().push(connection.clone());
            self.filled.notify_one();
        }
    }

    /// Drops all idle streams, now and from now on, so that a session that is being left becomes idle with its
    /// last request.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
        let idle = std::mem::take(&mut *self.idle());
        let shared = std::mem::take(&mut *self.shared());
        drop((idle, shared)); // outside the locks
    }

    /// Drops the streams of services that are not in `numbers`.
    pub(crate) fn keep(&self, numbers: &[u16]) {
        self.idle().retain(|service, _| numbers.contains(&service));
        self.shared().retain(|service, _| numbers.contains(service));
    }

    /// Waits until idle streams have been idle for too long, and drops them.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(crate) async fn expire(&self) {
        let Some(first) = self.first_to_expire() else { return self.filled.notified().await };
        tokio::time::sleep_until(first).await;
        let now = Instant::now();
        let fresh = |idle: &Idle| now.saturating_duration_since(idle.since) < limits::POOL_IDLE_FOR;
        self.idle().retain(|_, idle| fresh(idle) && idle.stream.is_quiet());
        self.shared().retain(|_, connections| {
            connections.retain(|connection| {
                let in_use = connection.active() > 0;
                let fresh = now.saturating_duration_since(connection.user().since) < limits::H2_IDLE_FOR;
                !connection.is_over() && (in_use || fresh)
            });
            !connections.is_empty()
        });
    }

    fn first_to_expire(&self) -> Option<Instant> {
        let idle =
            self.idle().by_service.values().flatten().map(|idle| idle.since + limits::POOL_IDLE_FOR).min();
        // One that is in use is looked at again when it might have become idle.
        let now = Instant::now();
        let shared = self.shared();
        let of_shared = |connection: &SharedConnection| match connection.active() {
            0 => connection.user().since + limits::H2_IDLE_FOR,
            _ => now + limits::H2_IDLE_FOR,
        };
        let shared = shared.values().flatten().map(of_shared).min();
        idle.into_iter().chain(shared).min()
    }
}

/// What a request on a connection of hyper's holds until its answer has come to its end.
pub(super) enum Lease {
    /// A stream that goes with its answer.
    Once { _sender: http1::SendRequest<VisitorBody>, outcome: Arc<StreamOutcome> },
    /// A place on a shared connection.
    Shared(OnSharedConnection),
}

impl Lease {
    /// How the connection has ended, if it has.
    pub(super) fn outcome(&self) -> &StreamOutcome {
        match self {
            Self::Once { outcome, .. } => outcome,
            Self::Shared(place) => &place.0.outcome,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use petit_engine::mux::testing::{Side, pair};
    use petit_engine::proto::frame::Open;
    use tokio::io::AsyncWriteExt;

    use super::*;

    const WEB: u16 = 7;

    /// A pool, and a session for its streams.
    struct Bed {
        pool: StreamPool,
        relay: Side,
        agent: Side,
    }

    impl Bed {
        fn new() -> Self {
            let (relay, agent) = pair(1 << 16);
            Self { pool: StreamPool::default(), relay, agent }
        }

        /// Puts a stream into the pool; the agent's end of it.
        async fn keep_one(&mut self) -> Stream {
            let stream = self.relay.mux.open(Open::default()).unwrap();
            self.pool.give_back(WEB, Arc::new(stream));
            self.agent.accepted().await
        }

        fn take(&self) -> Option<Arc<Stream>> {
            self.pool.take(WEB, Repeatable::Yes)
        }

        /// What a session does with its pool, for so long.
        async fn expire_for(&self, time: Duration) {
            let expire = async {
                for _ in 0..100 {
                    self.pool.expire().await;
                }
                panic!("it expires again and again, and nothing goes");
            };
            let _ = tokio::time::timeout(time, expire).await;
        }
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn the_stream_that_was_given_back_last_is_taken_first() {
        let mut bed = Bed::new();
        let (first, second) = (bed.keep_one().await, bed.keep_one().await);
        assert_eq!(bed.take().map(|stream| stream.id()), Some(second.id()));
        assert_eq!(bed.take().map(|stream| stream.id()), Some(first.id()));
        assert!(bed.take().is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn what_has_been_idle_for_long_is_dropped() {
        let mut bed = Bed::new();
        let _service = bed.keep_one().await;
        bed.expire_for(limits::POOL_IDLE_FOR - SECOND).await;
        assert_eq!(bed.relay.mux.stats().streams, 1);
        bed.expire_for(2 * SECOND).await;
        assert_eq!(bed.relay.mux.stats().streams, 0);
        assert!(bed.take().is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_that_is_used_again_and_again_is_dropped_like_any_other_when_it_is_not() {
        let mut bed = Bed::new();
        let _service = bed.keep_one().await;
        // The session looks after something else while the only stream is in use, and begins to wait anew.
        let stream = bed.take().unwrap();
        bed.expire_for(SECOND).await;
        tokio::join!(bed.expire_for(limits::POOL_IDLE_FOR + 2 * SECOND), async {
            tokio::time::sleep(SECOND).await;
            bed.pool.give_back(WEB, stream);
        });
        assert_eq!(bed.relay.mux.stats().streams, 0, "it was kept for longer than any");
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_on_which_something_has_happened_is_not_used_again() {
        let mut bed = Bed::new();
        // One on which the service says what nobody has asked for, one that it closes, one that it breaks.
        let mut talks = bed.keep_one().await;
        talks.write_all(b"HTTP/1.1 408 Request Timeout").await.unwrap();
        let mut closes = bed.keep_one().await;
        closes.shutdown().await.unwrap();
        drop(bed.keep_one().await);
        tokio::time::sleep(SECOND).await;
        assert!(bed.take().is_none());
        assert_eq!(bed.relay.mux.stats().streams, 0, "nor is it kept");
    }

    #[tokio::test(start_paused = true)]
    async fn what_cannot_be_repeated_goes_only_where_no_service_has_had_time_to_close() {
        let mut bed = Bed::new();
        let _service = bed.keep_one().await;
        tokio::time::sleep(limits::POOL_IDLE_FOR_BODY).await;
        let stream = bed.pool.take(WEB, Repeatable::No).expect("it has just been used");
        bed.pool.give_back(WEB, stream);
        tokio::time::sleep(limits::POOL_IDLE_FOR_BODY + Duration::from_millis(1)).await;
        assert!(bed.pool.take(WEB, Repeatable::No).is_none());
        assert!(bed.take().is_some(), "it is still there for what can");
    }

    #[tokio::test(start_paused = true)]
    async fn a_session_that_is_being_left_keeps_nothing() {
        let mut bed = Bed::new();
        let _service = bed.keep_one().await;
        let taken = bed.take().unwrap();
        let _other = bed.keep_one().await;
        bed.pool.close();
        assert!(bed.take().is_none());
        bed.pool.give_back(WEB, taken);
        assert!(bed.take().is_none());
        assert_eq!(bed.relay.mux.stats().streams, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_no_longer_offered_is_dropped() {
        let mut bed = Bed::new();
        let _service = bed.keep_one().await;
        bed.pool.keep(&[WEB]);
        assert_eq!(bed.relay.mux.stats().streams, 1);
        bed.pool.keep(&[WEB + 1]);
        assert_eq!(bed.relay.mux.stats().streams, 0);
        // A session that waits is told of the next one.
        let next = Arc::new(bed.relay.mux.open(Open::default()).unwrap());
        tokio::join!(bed.expire_for(limits::POOL_IDLE_FOR + 2 * SECOND), async {
            tokio::time::sleep(SECOND).await;
            bed.pool.give_back(WEB, next);
        });
        assert_eq!(bed.relay.mux.stats().streams, 0);
    }
}
