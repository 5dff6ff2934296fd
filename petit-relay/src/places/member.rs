//! What a pool of places knows of a room that shares it, and of the visits in it.

use std::fmt::Debug;
use std::net::IpAddr;
use std::time::Duration;

use super::share::Stage;
use super::shortage::{Holder, Scarce};

/// Who asks for a place.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Claim {
    /// The visitor's network; `None` when it has no share of its own.
    pub(crate) visitor: Option<IpAddr>,
    /// A request whose body is still to come.
    pub(crate) has_body: bool,
}

/// A visit as the table sees it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seated {
    pub(super) visitor: Option<IpAddr>,
    pub(super) stage: Stage,
    /// Counts up with each visit of a room.
    pub(super) begun: u64,
    /// The tick in which it began.
    pub(super) begun_at: u32,
    /// The tick in which anything last moved.
    pub(super) moved: u32,
}

/// A room, as the pools see it whose places its visits have. Looked at only where places are short.
pub(super) trait Member: Debug + Send + Sync {
    /// How long visits usually last, measured while places are short.
    fn typical(&self) -> Duration;

    /// The tick that it is now.
    fn now(&self) -> u32;

    /// Which of those who share a pool this room belongs to.
    fn owner_in(&self, pool: Scarce) -> Option<Holder>;

    /// Shows every visit.
    fn for_each(&self, see: &mut dyn FnMut(Seated));

    /// Takes a visit's place from it; what it had of `pool` goes to the caller. False when the visit is over, or has
    /// come further meanwhile.
    fn take_from(&self, visit: &Seated, pool: Scarce) -> bool;
}
