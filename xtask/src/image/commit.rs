//! What is packed, and when that was written: nothing in an image says when it was packed.

use std::process::Command;
use std::time::{Duration, UNIX_EPOCH};

use crate::run::root;

/// The commit that is checked out; `None` where this is no checkout.
pub(super) fn revision() -> Option<String> {
    said_by_git(&["rev-parse", "HEAD"])
}

/// When everything in an image was made, in seconds since 1970: what SOURCE_DATE_EPOCH says, else the time of the commit.
pub(super) fn moment() -> Result<u64, String> {
    match std::env::var("SOURCE_DATE_EPOCH") {
        Ok(said) => said.parse().map_err(|_| format!("SOURCE_DATE_EPOCH is no number of seconds: {said:?}")),
        Err(_) => {
            let committed = said_by_git(&["log", "-1", "--format=%ct"]);
            Ok(committed.and_then(|said| said.parse().ok()).unwrap_or_default())
        }
    }
}

fn said_by_git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").arg("-C").arg(root()).args(arguments).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// A moment as it is written down.
pub(super) fn rfc3339(moment: u64) -> String {
    humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_secs(moment)).to_string()
}
