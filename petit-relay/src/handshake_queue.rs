//! The queue of TLS handshakes, by priority. Agreeing upon keys is what a handshake costs, and a thread that does
//! nothing else serves nobody: a few are done at a time, and then everything else has its turn. Those who wait are
//! not served in the order in which they came, because behind a flood nobody would get in within their time: whose
//! network has little pending is first, and of equals the newest (adaptive LIFO: of what cannot all be served in
//! time, what has waited longest is the least worth it). Nobody waits for longer than the handshake may take, so the
//! queue is as long as there are pending connections at most.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use super::admission::Precedence;

/// The queue of one thread.
#[derive(Clone, Debug)]
pub(super) struct HandshakeQueue(Arc<Mutex<QueueState>>);

#[derive(Debug)]
struct QueueState {
    free: usize,
    arrivals: u64,
    /// The first one is next.
    waiting: BTreeMap<Position, oneshot::Sender<HandshakePermit>>,
}

/// Of those with the same precedence the newest is first.
type Position = (Precedence, Reverse<u64>);

/// The right to one handshake. The next one begins when this is dropped.
#[derive(Debug)]
pub(super) struct HandshakePermit(Option<HandshakeQueue>);

/// Somebody in the queue, which is left when this is dropped.
struct Waiting<'a> {
    queue: &'a HandshakeQueue,
    position: Position,
}

impl HandshakeQueue {
    /// So many at a time.
    pub(super) fn new(at_a_time: usize) -> Self {
        Self(Arc::new(Mutex::new(QueueState { free: at_a_time, arrivals: 0, waiting: BTreeMap::new() })))
    }

    /// Waits for a permit.
    ///
    /// # Cancel safety
    /// Cancelling leaves the queue; a permit that has come meanwhile is the next one's.
    pub(super) async fn permit(&self, precedence: Precedence) -> HandshakePermit {
        let (_waiting, permit) = {
            let mut state = self.state();
            if state.free > 0 {
                state.free -= 1;
                return HandshakePermit(Some(self.clone()));
            }
            let position = (precedence, Reverse(state.arrivals));
            state.arrivals += 1;
            let (sender, permit) = oneshot::channel();
            state.waiting.insert(position, sender);
            (Waiting { queue: self, position }, permit)
        };
        match permit.await {
            Ok(permit) => permit,
            // A queue that is waited in is there, and who is taken out of it gets a permit.
            Err(_) => std::future::pending().await,
        }
    }

    /// Hands a permit on that was given back.
    fn hand_on(&self) {
        let mut state = self.state();
        let mut permit = HandshakePermit(Some(self.clone()));
        while let Some((_, next)) = state.waiting.pop_first() {
            match next.send(permit) {
                Ok(()) => return,
                Err(refused) => permit = refused,
            }
        }
        // Nobody waits. This one ends without being handed on.
        permit.0 = None;
        state.free += 1;
    }

    fn state(&self) -> MutexGuard<'_, QueueState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for HandshakePermit {
    fn drop(&mut self) {
        if let Some(queue) = self.0.take() {
            queue.hand_on();
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.queue.state().waiting.remove(&self.position);
    }
}

#[cfg(test)]
mod tests {
    use std::pin::{Pin, pin};
    use std::task::{Context, Poll, Waker};

    use super::*;

    /// How many permits are free, and how many wait for one.
    fn left(queue: &HandshakeQueue) -> (usize, usize) {
        let state = queue.state();
        (state.free, state.waiting.len())
    }

    /// Looks whether a permit has come.
    fn comes(permit: Pin<&mut impl Future<Output = HandshakePermit>>) -> Option<HandshakePermit> {
        match permit.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(permit) => Some(permit),
            Poll::Pending => None,
        }
    }

    #[test]
    fn whose_network_has_little_is_served_before_those_who_came_earlier() {
        let queue = HandshakeQueue::new(1);
        let first = comes(pin!(queue.permit(Precedence::of(10, 10)))).expect("nobody else is there");
        let mut heavy = pin!(queue.permit(Precedence::of(16, 16)));
        let mut older = pin!(queue.permit(Precedence::of(10, 10)));
        let mut newer = pin!(queue.permit(Precedence::of(10, 10)));
        let mut neighbour = pin!(queue.permit(Precedence::of(16, 10)));
        assert!(comes(heavy.as_mut()).is_none() && comes(older.as_mut()).is_none());
        assert!(comes(newer.as_mut()).is_none() && comes(neighbour.as_mut()).is_none());
        drop(first);
        let permit = comes(newer.as_mut()).expect("of equals the newest");
        assert!(comes(older.as_mut()).is_none() && comes(heavy.as_mut()).is_none());
        drop(permit);
        drop(comes(older.as_mut()).expect("whose network has as little"));
        drop(comes(neighbour.as_mut()).expect("whose address has little"));
        drop(comes(heavy.as_mut()).expect("in the end everybody"));
        assert_eq!(left(&queue), (1, 0));
    }

    #[test]
    fn a_permit_of_somebody_who_has_gone_is_the_next_ones() {
        let queue = HandshakeQueue::new(2);
        let [one, other] = [(); 2].map(|()| comes(pin!(queue.permit(Precedence::of(1, 1)))).unwrap());
        {
            // Who has left the queue before its permit came, and who leaves with it unseen.
            let mut leaves = Box::pin(queue.permit(Precedence::of(1, 1)));
            assert!(comes(leaves.as_mut()).is_none());
            drop(leaves);
            let mut stays = pin!(queue.permit(Precedence::of(2, 2)));
            let mut leaves = Box::pin(queue.permit(Precedence::of(1, 1)));
            assert!(comes(stays.as_mut()).is_none() && comes(leaves.as_mut()).is_none());
            drop(one);
            assert!(comes(stays.as_mut()).is_none(), "it is the other one's");
            drop(leaves);
            assert!(comes(stays.as_mut()).is_some());
        }
        drop(other);
        assert_eq!(left(&queue), (2, 0));
    }
}
