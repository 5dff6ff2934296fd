//! What fuzzers feed to the relay: one function for each input that strangers control, with what must hold for every such
//! input as assertions, as in `petit_engine::fuzzing`.
//!
//! No part of the relay's interface.

pub use crate::ingress::fuzz_head as head;
