//! What strangers send: to the public front, to the clients' port, and from inside with a key of their own. In
//! every test an honest client beside is served as if nothing happened.

mod agents;
mod answers;
mod crowd;
mod flood;
mod h2;
mod heads;
mod local;
mod memory;
mod panic;
mod places;
mod port;
pub(crate) mod server;
mod slow;
mod unread;
