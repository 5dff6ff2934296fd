//! Connections: TLS by raw public keys, dialling out, listening. Knows no message.

pub mod close;
pub mod dial;
pub mod inspect;
pub mod listen;
pub mod proxy;
pub mod tcp;
pub mod tls;
pub mod wire;
