//! Connections to services that are kept for further requests, one pool per session.
//!
//! A stream is a connection to the private service, so using one again saves the service an accept and the
//! request a local connect. Of HTTP/1.1 the last one given back is taken first; what has been idle for a while is
//! dropped before the service would close it in the visitor's face. One of HTTP/2 carries many requests at once.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hyper::client::conn::{http1, http2};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::body::VisitorBody;
use crate::limits;
use crate::mux::{Fate, Stream};

/// The idle streams of a session, by the agent's number of the service.
#[derive(Default)]
pub(crate) struct Pool {
    idle: Mutex<HashMap<u16, Vec<Idle>>>,
    shared: Mutex<HashMap<u16, Vec<Shared>>>,
    /// One side is leaving: nothing is kept any more.
    closed: AtomicBool,
    /// Rung when the pool gets its first idle stream.
    filled: Notify,
}

struct Idle {
    stream: Arc<Stream>,
    since: Instant,
}

/// A stream with an HTTP/2 connection on it, and how many requests are on that. All of them come from one
/// connection of a visitor's: one who takes nothing of an answer holds up nobody else's.
#[derive(Clone)]
pub(super) struct Shared {
    pub(super) sender: http2::SendRequest<VisitorBody>,
    pub(super) fate: Arc<Fate>,
    active: Arc<AtomicUsize>,
    user: Arc<Mutex<User>>,
}

/// Whose a connection is, and since when it has been idle if it is.
struct User {
    peer: SocketAddr,
    since: Instant,
}

impl Shared {
    pub(super) fn new(sender: http2::SendRequest<VisitorBody>, fate: Arc<Fate>, peer: SocketAddr) -> Self {
        let user = Arc::new(Mutex::new(User { peer, since: Instant::now() }));
        Self { sender, fate, active: Arc::default(), user }
    }

    fn user(&self) -> MutexGuard<'_, User> {
        self.user.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn active(&self) -> usize {
        self.active.load(Ordering::Relaxed)
    }

    /// Counts a request on it while the guard lives.
    pub(super) fn enter(&self) -> OnShared {
        self.active.fetch_add(1, Ordering::Relaxed);
        OnShared(self.clone())
    }
}

/// A request on an HTTP/2 connection.
pub(super) struct OnShared(Shared);

impl Drop for OnShared {
    fn drop(&mut self) {
        self.0.active.fetch_sub(1, Ordering::Relaxed);
        self.0.user().since = Instant::now();
    }
}

impl Pool {
    fn idle(&self) -> MutexGuard<'_, HashMap<u16, Vec<Idle>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn shared(&self) -> MutexGuard<'_, HashMap<u16, Vec<Shared>>> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the stream that was given back last and has been quiet since.
    pub(super) fn take(&self, service: u16) -> Option<Arc<Stream>> {
        loop {
            let Idle { stream, .. } = self.idle().get_mut(&service)?.pop()?;
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
        let mut pools = self.idle();
        let was_empty = pools.is_empty();
        let idle = pools.entry(service).or_default();
        let kept = idle.len() < limits::POOL_IDLE;
        if kept {
            idle.push(Idle { stream, since: Instant::now() });
        }
        drop(pools);
        if was_empty {
            self.filled.notify_one();
        }
    }

    /// An HTTP/2 connection that has room for a request of a visitor's connection, or that nobody uses.
    pub(super) fn share(&self, service: u16, peer: SocketAddr) -> Option<Shared> {
        let mut pools = self.shared();
        let connections = pools.get_mut(&service)?;
        connections.retain(|connection| !connection.sender.is_closed());
        let own = |it: &&Shared| it.user().peer == peer && it.active() < limits::H2_REQUESTS;
        let free = |it: &&Shared| it.active() == 0;
        let found = connections.iter().find(own).or_else(|| connections.iter().find(free))?;
        found.user().peer = peer;
        Some(found.clone())
    }

    /// Keeps a new HTTP/2 connection for others.
    pub(super) fn keep_shared(&self, service: u16, connection: &Shared) {
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
        self.idle().retain(|service, _| numbers.contains(service));
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
        self.idle().retain(|_, idle| {
            idle.retain(|idle| fresh(idle) && idle.stream.is_quiet());
            !idle.is_empty()
        });
        self.shared().retain(|_, connections| {
            connections.retain(|connection| {
                let in_use = connection.active() > 0;
                let fresh = now.saturating_duration_since(connection.user().since) < limits::H2_IDLE_FOR;
                !connection.sender.is_closed() && (in_use || fresh)
            });
            !connections.is_empty()
        });
    }

    fn first_to_expire(&self) -> Option<Instant> {
        let idle = self.idle().values().flatten().map(|idle| idle.since + limits::POOL_IDLE_FOR).min();
        // One that is in use is looked at again when it might have become idle.
        let now = Instant::now();
        let shared = self.shared();
        let of_shared = |connection: &Shared| match connection.active() {
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
    Once { _sender: http1::SendRequest<VisitorBody> },
    /// A place on a shared connection.
    Shared { _place: OnShared },
}
