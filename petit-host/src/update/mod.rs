//! Updates that cannot be stolen: which version may take this one's place, and whose word that is.
//!
//! Three **root keys**, which are kept offline, sign the **release key**, two of them at least. The release key signs a
//! **manifest**: for each target the version that there is, with the length and the SHA-256 of its **artifact**. So
//! whoever passes a manifest on, the vendor's server above all, can withhold it, but not make one.
//!
//! [`verify`] says who has signed, [`History`] knows what was seen before, and [`decide`] joins both with the clock, this
//! installation and what the customer allows. None of them waits, asks or opens anything. What is to be installed is laid
//! into its [`Place`], and is on [`Trial`] there until it has shown that it works. Nothing is fetched here.
//!
//! Signatures are those of minisign, prehashed: holders of root keys make and check them with a tool that is not ours.

mod artifact;
mod bundle;
mod decision;
mod form;
mod history;
mod manifest;
mod place;
mod progress;
mod refusal;
mod retry;
mod switching;
#[cfg(test)]
mod tests;
mod trial;
mod values;
mod verify;

pub use self::artifact::{Intake, Measured, PassError, Unfit};
pub use self::bundle::{
    Bundle, BundleError, MANIFEST, RELEASE_KEY, SIGNATURE_ENDING, manifest_signature_file,
};
pub use self::decision::{Advice, Consent, Installed, Owner, Situation, Standing, Step, decide, in_force};
pub use self::form::HistoryError;
pub use self::history::History;
pub use self::manifest::{Artifact, Manifest, ReleaseKey};
pub use self::place::{Kept, Place, PlaceLock, ROOTS, RootsError, StageError, WayBack};
pub use self::progress::{Progress, Report, Stage};
pub use self::refusal::{Document, Refusal};
pub use self::trial::{
    Beginning, CRASHES_WITHIN, KEPT, MAX_CRASHES, MAX_EXCUSES, Start, Test, Trial, Verdict,
};
pub use self::values::{Channel, FileName, Hours, InvalidValue, Sha256, Target, Time, Version};
pub use self::verify::{InvalidRoots, Roots, Verified, verify};

use std::time::Duration;

/// A manifest: some 400 bytes for each of [`MAX_TARGETS`], and the versions that it revokes.
pub const MAX_MANIFEST_BYTES: usize = 64 * 1024;
/// The document that root keys sign: a key and three dates.
pub const MAX_RELEASE_KEY_BYTES: usize = 4 * 1024;
/// A signature: two comments and two lines.
pub const MAX_SIGNATURE_BYTES: usize = 1024;
/// All of a [`Bundle`], as JSON.
pub const MAX_BUNDLE_BYTES: u64 = 256 * 1024;
/// The file that names the root keys: a few lines for each of them.
pub const MAX_ROOTS_BYTES: u64 = 64 * 1024;
/// Signatures of one release key: one of each root key, and as many while root keys change.
pub const MAX_ROOT_SIGNATURES: usize = 6;
/// Targets of one manifest.
pub const MAX_TARGETS: usize = 64;
/// Revoked versions of one target.
pub const MAX_REVOKED: usize = 64;
/// An artifact: ten times the largest program of today.
pub const MAX_ARTIFACT_BYTES: u64 = 512 * 1024 * 1024;
/// A clock may be behind that of whoever has signed by this much; beyond it, it says nothing about what has expired.
pub const CLOCK_TOLERANCE: Duration = Duration::from_hours(24);
