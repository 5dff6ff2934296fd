//! The rules' common ground: rows, a moment, and what a change has changed for lookups.

use super::model::Delta;
use super::rows::Rows;
use super::timestamp::Timestamp;

/// The rules of the registry, over the rows of one transaction at one moment. Made for one change.
#[derive(Debug)]
pub struct Registry<'a, R> {
    pub(super) rows: &'a mut R,
    pub(super) now: Timestamp,
    /// What has been changed so far.
    pub(super) delta: Delta,
}

impl<'a, R: Rows> Registry<'a, R> {
    /// The rules over `rows`, which are to be those of a transaction of their own, at the moment `now`.
    pub fn new(rows: &'a mut R, now: Timestamp) -> Self {
        Self { rows, now, delta: Delta::default() }
    }
}
