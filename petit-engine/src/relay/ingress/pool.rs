//! Idle keep-alive streams to services, one pool per session.
//!
//! A stream is a connection to the private service, so using one again saves the service an accept and the
//! request a local connect. The last one given back is taken first; what has been idle for a while is dropped
//! before the service would close it in the visitor's face.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hyper::client::conn::http1::SendRequest;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::super::registry::Session;
use super::body::VisitorBody;
use crate::limits;
use crate::mux::Fate;

/// The idle streams of a session, by the agent's number of the service.
#[derive(Default)]
pub(crate) struct Pool {
    idle: Mutex<HashMap<u16, Vec<Idle>>>,
    /// One side is leaving: nothing is kept any more.
    closed: AtomicBool,
    /// Rung when the pool gets its first idle stream.
    filled: Notify,
}

/// A stream with an HTTP connection on it.
pub(super) struct Upstream {
    pub(super) sender: SendRequest<VisitorBody>,
    pub(super) fate: Arc<Fate>,
}

struct Idle {
    upstream: Upstream,
    since: Instant,
}

impl Pool {
    fn idle(&self) -> MutexGuard<'_, HashMap<u16, Vec<Idle>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the stream that was given back last and is ready for a request.
    pub(super) fn take(&self, service: u16) -> Option<Upstream> {
        let mut pools = self.idle();
        let idle = pools.get_mut(&service)?;
        let mut position = idle.len();
        while let Some(at) = position.checked_sub(1) {
            position = at;
            let sender = &idle.get(at)?.upstream.sender;
            if sender.is_closed() {
                idle.swap_remove(at);
            } else if sender.is_ready() {
                return Some(idle.swap_remove(at).upstream);
            }
            // Otherwise its connection has not finished with the last request yet; it will have soon.
        }
        None
    }

    fn give_back(&self, service: u16, upstream: Upstream) {
        if upstream.sender.is_closed() || self.closed.load(Ordering::Relaxed) {
            return;
        }
        let mut pools = self.idle();
        let was_empty = pools.is_empty();
        let idle = pools.entry(service).or_default();
        if idle.len() < limits::POOL_IDLE {
            idle.push(Idle { upstream, since: Instant::now() });
        }
        drop(pools);
        if was_empty {
            self.filled.notify_one();
        }
    }

    /// Drops all idle streams, now and from now on, so that a session that is being left becomes idle with its
    /// last request.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
        let idle = std::mem::take(&mut *self.idle());
        drop(idle); // outside the lock
    }

    /// Drops the streams of services that are not in `numbers`.
    pub(crate) fn keep(&self, numbers: &[u16]) {
        self.idle().retain(|service, _| numbers.contains(service));
    }

    /// Waits until idle streams have been idle for too long, and drops them.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(crate) async fn expire(&self) {
        let Some(oldest) = self.oldest() else { return self.filled.notified().await };
        tokio::time::sleep_until(oldest + limits::POOL_IDLE_FOR).await;
        let now = Instant::now();
        let fresh = |idle: &Idle| now.saturating_duration_since(idle.since) < limits::POOL_IDLE_FOR;
        self.idle().retain(|_, idle| {
            idle.retain(|idle| fresh(idle) && !idle.upstream.sender.is_closed());
            !idle.is_empty()
        });
    }

    fn oldest(&self) -> Option<Instant> {
        self.idle().values().flatten().map(|idle| idle.since).min()
    }
}

/// A stream in use, to be given back when the answer on it has come to its end.
pub(crate) struct Lease {
    pub(super) session: Arc<Session>,
    pub(super) service: u16,
    pub(super) upstream: Upstream,
}

impl Lease {
    pub(super) fn give_back(self) {
        self.session.pool.give_back(self.service, self.upstream);
    }
}
