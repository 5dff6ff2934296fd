//! Backups that are made again and again: each in a folder that is named by its time, beside the ones before, of which so
//! many are kept.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::{KEY, REGISTRY};
use crate::folder::Folder;

/// Where the next one goes: below the server's folder, such as `backups/2026-11-28T03-00-00Z`.
pub fn next(folder: &Folder, now: SystemTime) -> PathBuf {
    folder.path().join("backups").join(name(now))
}

/// The colons of RFC 3339 are none of Windows' file names.
fn name(time: SystemTime) -> String {
    humantime::format_rfc3339_seconds(time).to_string().replace(':', "-")
}

fn is_name(text: &str) -> bool {
    let (date, time) = text.split_once('T').unwrap_or_default();
    humantime::parse_rfc3339(&format!("{date}T{}", time.replace('-', ":"))).is_ok()
}

/// Removes the oldest backups beside `latest`, but for `keep`, which that is one of. Only folders that are named as ours
/// are, and hold what a backup does. Returns what was removed; what cannot be is told in the log.
pub fn keep(latest: &Path, keep: Option<u32>) -> Vec<PathBuf> {
    let (Some(keep), Some(parent)) = (keep, latest.parent()) else { return Vec::new() };
    let is_ours = |path: &PathBuf| {
        let is_named = path.file_name().and_then(|name| name.to_str()).is_some_and(is_name);
        is_named && path != latest && [KEY, REGISTRY].iter().all(|part| path.join(part).is_file())
    };
    let entries = fs::read_dir(parent).into_iter().flatten().flatten();
    let mut older: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(is_ours).collect();
    older.sort();
    let kept = usize::try_from(keep.max(1) - 1).unwrap_or(usize::MAX);
    older.truncate(older.len().saturating_sub(kept));
    let remove = |path: &PathBuf| {
        let removed = fs::remove_dir_all(path);
        if let Err(error) = &removed {
            tracing::warn!(path = %path.display(), %error, "an older backup cannot be removed");
        }
        removed.is_ok()
    };
    older.retain(remove);
    older
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    #[test]
    fn the_oldest_go_and_nothing_else_does() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::of(&dir.path().join("config.toml"));
        let at = |day: u64| next(&folder, UNIX_EPOCH + Duration::from_secs(day * 86_400));
        let make = |path: &Path| {
            fs::create_dir_all(path).unwrap();
            for part in [KEY, REGISTRY] {
                fs::write(path.join(part), "").unwrap();
            }
        };
        (1..=5).for_each(|day| make(&at(day)));
        let (other, unfinished) = (at(0).with_file_name("by hand"), at(0));
        make(&other);
        fs::create_dir(&unfinished).unwrap();
        assert_eq!(keep(&at(5), None), Vec::<PathBuf>::new());
        assert_eq!(keep(&at(5), Some(3)), [at(1), at(2)]);
        assert_eq!(keep(&at(5), Some(3)), Vec::<PathBuf>::new());
        assert!(other.exists() && unfinished.exists());
        assert_eq!(keep(&at(5), Some(0)), [at(3), at(4)], "the one that was just made stays");
        assert!(at(5).ends_with("backups/1970-01-06T00-00-00Z") && at(5).exists());
    }
}
