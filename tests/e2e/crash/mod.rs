//! Programs killed, disks full, clocks set: what was promised holds, and nobody has to help.

mod client;
mod clock;
pub(crate) mod disk;
mod durable;
mod place;
mod start;
mod storm;
