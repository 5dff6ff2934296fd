//! What fuzzers feed to the relay: one function for each input that strangers control, with what must hold for every such
//! input as assertions, as in `petit_engine::fuzzing`.
//!
//! No part of the relay's interface.

pub use crate::ingress::fuzz_head as head;

/// Answers of services: what is read of one does not depend on how it is cut. The first byte chooses that.
///
/// # Panics
/// When it does.
pub fn answer(bytes: &[u8]) {
    if let Some((step, bytes)) = bytes.split_first() {
        crate::ingress::fuzz_answer(bytes, usize::from(*step));
    }
}
