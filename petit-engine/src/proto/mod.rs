//! What goes over the wire, as values and arithmetic: no socket, no task, no clock.
//!
//! [`frame`] cuts a byte stream into frames and back, [`credit`] keeps the windows, [`control`] holds the
//! messages of stream 0, [`liveness`] says when to ping, when to give a peer up and when to try again.

pub mod control;
pub mod credit;
pub mod frame;
pub mod liveness;
pub mod rate;
mod request_id;

pub use self::request_id::RequestId;
