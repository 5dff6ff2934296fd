//! When an image was made, as it is written down.

use std::time::{Duration, UNIX_EPOCH};

/// A moment as it is written down.
pub(super) fn rfc3339(moment: u64) -> String {
    humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_secs(moment)).to_string()
}
