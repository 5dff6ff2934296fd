//! The tunnel, both ends of it.
//!
//! A customer's **agent** dials out to a vendor's **relay** and keeps one TLS connection, a session, in which
//! every visitor is a stream. The relay takes visitors from the public side, finds the session that serves the
//! host they name, and carries their bytes; the agent carries them on to the one private service that the
//! customer chose. This crate holds both ends, so that one test process can hold a whole Petit; it knows no
//! file, environment, database or window. What it needs from outside it is handed through [`relay::Access`] and
//! [`agent::Visits`].

#![cfg_attr(test, allow(clippy::indexing_slicing, clippy::unwrap_used, clippy::panic))]

pub mod agent;
pub mod cause;
#[doc(hidden)]
pub mod fuzzing;
pub mod invite;
pub mod limits;
pub mod mux;
pub mod name;
pub mod net;
pub mod proto;
pub mod relay;
pub mod secret;
mod timer;
pub mod words;

/// A future on the heap whose type is erased: what a trait object's method returns.
pub type BoxFuture<'a, T> = std::pin::Pin<Box<dyn Future<Output = T> + Send + 'a>>;
