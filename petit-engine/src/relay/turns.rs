//! Whose handshake is next. Agreeing upon keys is what a handshake costs, and a thread that does nothing else serves
//! nobody: a few are done at a time, and then everything else has its turn. Those who wait are not served in the order
//! in which they came, because behind a flood nobody would get in within their time: whose network has little pending
//! is first, and of equals the newest (adaptive LIFO: of what cannot all be served in time, what has waited longest is
//! the least worth it). Nobody waits for longer than the handshake may take, so the line is as long as there are
//! pending connections at most.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use super::door::Precedence;

/// The turns of one thread.
#[derive(Clone, Debug)]
pub(super) struct Turns(Arc<Mutex<Line>>);

#[derive(Debug)]
struct Line {
    free: usize,
    arrivals: u64,
    /// The first one is next.
    waiting: BTreeMap<Position, oneshot::Sender<Turn>>,
}

/// Of those with the same precedence the newest is first.
type Position = (Precedence, Reverse<u64>);

/// A turn. The next one begins when this is dropped.
#[derive(Debug)]
pub(super) struct Turn(Option<Turns>);

/// Somebody in the line, which is left when this is dropped.
struct Waiting<'a> {
    turns: &'a Turns,
    position: Position,
}

impl Turns {
    /// So many at a time.
    pub(super) fn new(at_a_time: usize) -> Self {
        Self(Arc::new(Mutex::new(Line { free: at_a_time, arrivals: 0, waiting: BTreeMap::new() })))
    }

    /// Waits for a turn.
    ///
    /// # Cancel safety
    /// Cancelling leaves the line; a turn that has come meanwhile is the next one's.
    pub(super) async fn turn(&self, precedence: Precedence) -> Turn {
        let (_waiting, turn) = {
            let mut line = self.line();
            if line.free > 0 {
                line.free -= 1;
                return Turn(Some(self.clone()));
            }
            let position = (precedence, Reverse(line.arrivals));
            line.arrivals += 1;
            let (sender, turn) = oneshot::channel();
            line.waiting.insert(position, sender);
            (Waiting { turns: self, position }, turn)
        };
        match turn.await {
            Ok(turn) => turn,
            // A line that is waited in is there, and who is taken out of it gets a turn.
            Err(_) => std::future::pending().await,
        }
    }

    /// Hands a turn on that has ended.
    fn hand_on(&self) {
        let mut line = self.line();
        let mut turn = Turn(Some(self.clone()));
        while let Some((_, next)) = line.waiting.pop_first() {
            match next.send(turn) {
                Ok(()) => return,
                Err(refused) => turn = refused,
            }
        }
        // Nobody waits. This one ends without being handed on.
        turn.0 = None;
        line.free += 1;
    }

    fn line(&self) -> MutexGuard<'_, Line> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(turns) = self.0.take() {
            turns.hand_on();
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.turns.line().waiting.remove(&self.position);
    }
}

#[cfg(test)]
mod tests {
    use std::pin::{Pin, pin};
    use std::task::{Context, Poll, Waker};

    use super::*;

    /// How many turns are free, and how many wait for one.
    fn left(turns: &Turns) -> (usize, usize) {
        let line = turns.line();
        (line.free, line.waiting.len())
    }

    /// Looks whether a turn has come.
    fn comes(turn: Pin<&mut impl Future<Output = Turn>>) -> Option<Turn> {
        match turn.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(turn) => Some(turn),
            Poll::Pending => None,
        }
    }

    #[test]
    fn whose_network_has_little_is_served_before_those_who_came_earlier() {
        let turns = Turns::new(1);
        let first = comes(pin!(turns.turn(Precedence::of(10, 10)))).expect("nobody else is there");
        let mut heavy = pin!(turns.turn(Precedence::of(16, 16)));
        let mut older = pin!(turns.turn(Precedence::of(10, 10)));
        let mut newer = pin!(turns.turn(Precedence::of(10, 10)));
        let mut neighbour = pin!(turns.turn(Precedence::of(16, 10)));
        assert!(comes(heavy.as_mut()).is_none() && comes(older.as_mut()).is_none());
        assert!(comes(newer.as_mut()).is_none() && comes(neighbour.as_mut()).is_none());
        drop(first);
        let turn = comes(newer.as_mut()).expect("of equals the newest");
        assert!(comes(older.as_mut()).is_none() && comes(heavy.as_mut()).is_none());
        drop(turn);
        drop(comes(older.as_mut()).expect("whose network has as little"));
        drop(comes(neighbour.as_mut()).expect("whose address has little"));
        drop(comes(heavy.as_mut()).expect("in the end everybody"));
        assert_eq!(left(&turns), (1, 0));
    }

    #[test]
    fn a_turn_of_somebody_who_has_gone_is_the_next_ones() {
        let turns = Turns::new(2);
        let [one, other] = [(); 2].map(|()| comes(pin!(turns.turn(Precedence::of(1, 1)))).unwrap());
        {
            // Who has left the line before its turn, and who leaves with it unseen.
            let mut leaves = Box::pin(turns.turn(Precedence::of(1, 1)));
            assert!(comes(leaves.as_mut()).is_none());
            drop(leaves);
            let mut stays = pin!(turns.turn(Precedence::of(2, 2)));
            let mut leaves = Box::pin(turns.turn(Precedence::of(1, 1)));
            assert!(comes(stays.as_mut()).is_none() && comes(leaves.as_mut()).is_none());
            drop(one);
            assert!(comes(stays.as_mut()).is_none(), "it is the other one's");
            drop(leaves);
            assert!(comes(stays.as_mut()).is_some());
        }
        drop(other);
        assert_eq!(left(&turns), (2, 0));
    }
}
