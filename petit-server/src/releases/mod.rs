//! The release that this server hands out to its clients: a copy of what was signed, which it can withhold but not forge.
//!
//! In the folder `releases` each release has a folder of its own, in the form in which it was signed, and the file `current`
//! names the one that is handed out. A new one is copied whole beside it before `current` says its name, so that whoever
//! reads sees one or the other; a download that is under way keeps its file. The running server looks at `current` for each
//! request, so nobody has to tell it.

mod put;
mod release;
mod serve;

pub use self::put::{Put, files, put, withdraw};
pub use self::release::{ENDS_SOON, HandedOut, InForce, Release, ReleaseError, problem};
pub use self::serve::Mirror;

#[cfg(test)]
mod tests;
