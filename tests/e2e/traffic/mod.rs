//! What services and visitors speak, with real programs at both ends where there are any. Every test writes rows
//! of `docs/conformance.md`.

mod autobahn;
mod broken;
mod curl;
mod database;
mod early;
pub(crate) mod events;
mod grpc;
mod grpc_python;
mod idle;
mod leaving;
mod load;
mod messages;
mod nginx;
mod once;
mod service_tls;
mod tcp;
mod trailers;
mod unread;
mod versions;
pub(crate) mod websocket;
