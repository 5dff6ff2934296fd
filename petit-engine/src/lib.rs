//! What both ends of the tunnel share, and the customer's end of it.
//!
//! A customer's **agent** dials out to a vendor's **relay** and keeps one TLS connection, a session, in which
//! every visitor is a stream. The relay takes visitors from the public side, finds the session that serves the
//! host they name, and carries their bytes; the agent carries them on to the one private service that the
//! customer chose. This crate has the agent, and what the relay (`petit-relay`) is built on, too: values, messages, the
//! multiplexer, TLS. It knows no file, environment, database or window. What the agent needs from outside it is handed
//! through [`agent::Visits`].

#![cfg_attr(
    test,
    allow(
        clippy::indexing_slicing,
        clippy::unwrap_used,
        clippy::panic,
        reason = "a test may assert by failing"
    )
)]

pub mod agent;
pub mod cause;
pub mod exchange;
#[doc(hidden)]
pub mod fuzzing;
pub mod http;
pub mod invite;
pub mod limits;
pub mod mux;
pub mod name;
pub mod net;
pub mod proto;
pub mod secret;
pub mod timer;
pub mod words;

/// A future on the heap whose type is erased: what a trait object's method returns.
pub type BoxFuture<'a, T> = std::pin::Pin<Box<dyn Future<Output = T> + Send + 'a>>;
