//! A watch on one file. Editors save by writing a new file and moving it into place, so the folder is watched,
//! and what counts is the content.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use notify::event::{AccessKind, AccessMode};
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;

/// An editor's save is several events; this long after the last one the file is read.
const SETTLE: Duration = Duration::from_millis(200);

/// Tells when a file's content has changed.
#[derive(Debug)]
pub struct FileWatch {
    path: PathBuf,
    events: mpsc::Receiver<()>,
    seen: Option<Vec<u8>>,
    _watcher: RecommendedWatcher,
}

impl FileWatch {
    /// Watches `path`, whose folder must exist. What is in the file now counts as seen.
    ///
    /// # Errors
    /// When the system offers no watch.
    pub fn new(path: &Path) -> notify::Result<Self> {
        let (sender, events) = mpsc::channel(1);
        let name = path.file_name().map(ToOwned::to_owned);
        let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            // After an error something was missed; look.
            if event.is_err() || event.is_ok_and(|event| counts(&event, name.as_deref())) {
                let _ = sender.try_send(()); // one that waits already says the same
            }
        })?;
        let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
        watcher.watch(dir, RecursiveMode::NonRecursive)?;
        Ok(Self { path: path.to_owned(), events, seen: std::fs::read(path).ok(), _watcher: watcher })
    }

    /// The file's new content, once it has changed and settled. A file that is missing for a moment is not a
    /// change.
    ///
    /// # Cancel safety
    /// Cancel safe: what changed meanwhile is noticed by the next call.
    pub async fn changed(&mut self) -> Vec<u8> {
        loop {
            if self.events.recv().await.is_none() {
                std::future::pending::<()>().await;
            }
            while tokio::time::timeout(SETTLE, self.events.recv()).await.is_ok_and(|event| event.is_some()) {}
            if let Some(content) = self.look() {
                return content;
            }
        }
    }

    /// The file's content if it differs from what was seen last.
    pub fn look(&mut self) -> Option<Vec<u8>> {
        let content = std::fs::read(&self.path).ok()?;
        (self.seen.as_ref() != Some(&content)).then(|| {
            self.seen = Some(content.clone());
            content
        })
    }
}

/// True when an event may mean that the file called `name` has another content. Being read does not: who looks after
/// every look never comes to rest.
fn counts(event: &notify::Event, name: Option<&OsStr>) -> bool {
    let is_read =
        matches!(event.kind, EventKind::Access(kind) if kind != AccessKind::Close(AccessMode::Write));
    event.need_rescan() || (!is_read && event.paths.iter().any(|path| path.file_name() == name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn to_be_read_is_no_change() {
        let event = |kind, path: &str| notify::Event::new(kind).add_path(PathBuf::from(path));
        let name = Some(OsStr::new("config.toml"));
        for (kind, is_change) in [
            (EventKind::Access(AccessKind::Open(AccessMode::Any)), false),
            (EventKind::Access(AccessKind::Close(AccessMode::Read)), false),
            (EventKind::Access(AccessKind::Close(AccessMode::Write)), true),
            (EventKind::Modify(notify::event::ModifyKind::Any), true),
            (EventKind::Create(notify::event::CreateKind::File), true),
        ] {
            assert_eq!(counts(&event(kind, "/x/config.toml"), name), is_change, "{kind:?}");
            assert!(!counts(&event(kind, "/x/other"), name));
        }
        assert!(counts(&notify::Event::default().set_flag(notify::event::Flag::Rescan), name));
    }

    #[tokio::test]
    async fn a_save_by_rename_is_noticed_once_and_a_touch_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.toml");
        std::fs::write(&path, "one").unwrap();
        let mut watch = FileWatch::new(&path).unwrap();
        std::fs::write(&path, "one").unwrap();
        let new = dir.path().join("config.toml.swp");
        std::fs::write(&new, "two").unwrap();
        std::fs::rename(&new, &path).unwrap();
        assert_eq!(watch.changed().await, b"two");
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, "three").unwrap();
        assert_eq!(watch.changed().await, b"three");
        assert_eq!(watch.look(), None);
    }
}
