//! What is wrong with a message.

/// Why a message was not understood. Says nothing of its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ControlError {
    /// Not JSON of a known message.
    #[error("a control message of {bytes} bytes that this version does not understand")]
    Unknown {
        /// Its length.
        bytes: usize,
    },
    /// A list or a number beyond its limit.
    #[error("a control message with {what} beyond the limit")]
    Limit {
        /// What.
        what: &'static str,
    },
    /// Larger than a frame may be; only reached by our own mistake.
    #[error("a control message of {bytes} bytes is too long to send")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
}
