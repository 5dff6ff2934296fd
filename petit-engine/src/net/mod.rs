//! Connections: TLS by raw public keys, dialling out, listening. Knows no message.

pub mod dial;
pub mod listen;
pub mod tls;
