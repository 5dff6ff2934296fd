//! What services and visitors speak, with real programs at both ends where there are any. Every test writes rows
//! of `docs/conformance.md`.

mod curl;
mod database;
mod events;
mod leaving;
mod load;
mod nginx;
mod tcp;
mod trailers;
mod versions;
