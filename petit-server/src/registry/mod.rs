//! The registry as a domain: the rules of who may register, which names a service gets, and what ends.
//!
//! A [`Registry`] is the rules over the [`Rows`] of one transaction at one moment. It knows no database, file or clock;
//! what keeps the rows (`store`) gives it a transaction, and commits when it has returned a value. Nothing has changed
//! when it returns an error.

mod aliases;
mod change;
mod changes;
mod enrolment;
mod error;
mod invites;
mod model;
mod rows;
mod rules;
mod services;
mod timestamp;

pub use self::change::{
    Actor, Change, ChangeHash, ChangePage, Head, InvalidActor, InvalidHash, InvalidHead, RESTORED, SignedFor,
    SignedHead, canonical,
};
pub use self::error::{Conflict, StoreError, StoreErrorAt, StoreErrorKind, StoreErrorSource, is_disk_full};
pub use self::model::{
    AliasRow, AnnouncedRow, Delta, Device, DeviceRow, EndedBy, EnrolledRow, InviteRow, InviteState,
    NewInvite, RegistrationLimits, Service, ServiceRow, Tables,
};
pub use self::rows::{InviteUse, NewDevice, Rows, StoredDevice, StoredInvite, StoredService, Tombstone};
pub use self::rules::Registry;
pub use self::timestamp::Timestamp;

#[cfg(test)]
mod tests;
