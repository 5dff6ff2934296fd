//! The name of a request.

use std::fmt;

/// Names one request, or one stream, in the logs of both ends and in Petit's own answers. Shown in hex.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct RequestId(pub [u8; 16]);

impl RequestId {
    /// As it is shown: 32 hex digits.
    pub fn hex(self) -> [u8; 32] {
        let mut digits = [0; 32];
        data_encoding::HEXLOWER.encode_mut(&self.0, &mut digits);
        digits
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(str::from_utf8(&self.hex()).unwrap_or_default())
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}
