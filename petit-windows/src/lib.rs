//! What Petit asks of Windows that cannot be asked in safe Rust. On other systems there is nothing in it.
//!
//! - `pipe`: a named pipe has an access list of its own only when its creation is given one, by a pointer.
//! - `menu`: a menu that waits for its user is closed by a call of its thread.
//! - `streams`: the standard library starts no process without all that may be inherited.
//!
//! Every `unsafe` block says why it may be.

#[cfg(windows)]
pub mod menu;
#[cfg(windows)]
pub mod pipe;
#[cfg(windows)]
pub mod streams;
