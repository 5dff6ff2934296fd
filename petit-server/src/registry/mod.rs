//! The registry as a domain: the rules of who may register, which names a service gets, and what ends.
//!
//! A [`Registry`] is the rules over the [`Rows`] of one transaction at one moment. It knows no database, file or clock;
//! what keeps the rows (`store`) gives it a transaction, and commits when it has returned a value. Nothing has changed
//! when it returns an error.

/// Serde for a type by its text.
macro_rules! as_text {
    ($($type:ty),*) => {$(
        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                <String as serde::Deserialize>::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    )*};
}

mod aliases;
mod change;
mod change_body;
mod changes;
mod enrolment;
mod error;
mod invites;
mod label;
mod labels;
mod model;
mod named;
mod policies;
mod policy;
mod rings;
mod rollout;
mod rollouts;
mod rows;
mod rules;
mod services;
mod standing;
mod timestamp;

pub use self::change::{
    Actor, Change, ChangeHash, ChangePage, Head, InvalidActor, InvalidHash, InvalidHead, SUPERSEDED,
    SignedFor, SignedHead, canonical,
};
pub use self::change_body::{ChangeBody, Event, Recorded, ServiceBody};
pub(crate) use self::changes::KEPT as CHANGES_KEPT;
pub use self::changes::Successor;
pub use self::error::{
    Conflict, HaltBefore, StoreError, StoreErrorAt, StoreErrorKind, StoreErrorSource, is_disk_full,
};
pub use self::label::{InvalidNote, LabelEdit, Labels, Note};
pub use self::model::{
    AliasRow, AnnouncedRow, Delta, Device, DeviceRow, EndedBy, EnrolledRow, EnrolmentTerms, InviteRow,
    InviteState, NewInvite, RegistrationLimits, Service, ServiceRow, Tables,
};
pub use self::named::Named;
pub use self::policies::{ByTag, FileConflict, PolicyPart, check_tags, file_conflicts};
pub use self::policy::{
    Edit, Enforcement, InvalidTarget, LIST_MAX, LimitPer, NewKey, OVERLAP, OVERLAP_MAX, Policy, PolicyEdit,
    PolicyTarget, StoredKey, VisitorRules,
};
pub use self::rings::{InvalidRings, RINGS_MAX, Ring, Rings};
pub use self::rollout::{
    IfHalted, ReleaseToRollOut, Rollout, RolloutPlan, RolloutState, RolloutStep, StoredReport, TargetVersions,
};
pub use self::rows::{InviteUse, NewDevice, Rows, StoredDevice, StoredInvite, StoredService, Tombstone};
pub use self::rules::Registry;
pub use self::standing::Suspension;
pub use self::timestamp::Timestamp;

#[cfg(test)]
mod tests;
