//! Who was connected when a server was stopped: its next start waits for them for a moment, as a process that takes
//! over does, instead of saying that they are away.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use petit_engine::name::DeviceId;
use petit_host::files;
use serde::{Deserialize, Serialize};

use crate::folder::Folder;
use crate::seconds;

/// Clients of a server that was away for longer wait for their next attempt, for up to 30 s, and nobody waits as long.
const FRESH: Duration = Duration::from_secs(60);

#[derive(Serialize, Deserialize)]
struct Left {
    /// When, in seconds since 1970.
    at: u64,
    connected: BTreeSet<DeviceId>,
}

/// Writes down who is connected. What cannot be written down is not waited for.
pub(super) fn note(folder: &Folder, connected: Vec<DeviceId>, now: SystemTime) {
    let left = Left { at: seconds(now), connected: connected.into_iter().collect() };
    let written = serde_json::to_vec(&left).map_err(|error| error.to_string());
    let written = written
        .and_then(|text| files::write_private(&folder.left(), &text).map_err(|error| error.to_string()));
    if let Err(problem) = written {
        tracing::debug!(problem, "who was connected is not written down");
    }
}

/// Who was connected to a server that was stopped just now. Told once.
pub fn take(folder: &Folder, now: SystemTime) -> Vec<DeviceId> {
    let path = folder.left();
    let text = files::read_secret(&path).ok().flatten();
    let _ = files::remove(&path);
    let left: Option<Left> = text.and_then(|text| serde_json::from_slice(&text).ok());
    let is_fresh = |left: &Left| {
        let (now, limit) = (seconds(now), FRESH.as_secs());
        (left.at..=left.at.saturating_add(limit)).contains(&now)
    };
    left.filter(is_fresh).map(|left| left.connected.into_iter().collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    #[test]
    fn who_was_connected_is_told_once_and_only_for_a_moment() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::of(&dir.path().join("config.toml"));
        let mut devices = [DeviceId::random().unwrap(), DeviceId::random().unwrap()];
        devices.sort();
        let at = |second: u64| UNIX_EPOCH + Duration::from_secs(1_000_000 + second);
        let after = |second| {
            note(&folder, devices.to_vec(), at(0));
            take(&folder, at(second))
        };
        assert_eq!(after(60), devices);
        assert_eq!(take(&folder, at(60)), [], "told once");
        assert_eq!(after(61), []);
        note(&folder, devices.to_vec(), at(0));
        assert_eq!(take(&folder, UNIX_EPOCH), [], "of a clock that was set back nothing is believed");
        std::fs::write(folder.left(), "{").unwrap();
        assert_eq!(take(&folder, at(0)), []);
    }
}
