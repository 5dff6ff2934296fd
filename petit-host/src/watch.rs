//! A watch on one file. Editors save by writing a new file and moving it into place, so the folder is watched,
//! and what counts is the content, and who may change it: a file that was refused because others could have changed
//! it is another one when its rights are mended.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use notify::event::{AccessKind, AccessMode};
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;

/// An editor's save is several events; this long after the last one the file is read.
const SETTLE: Duration = Duration::from_millis(200);

/// Tells when a file's content has changed, or who may change it.
#[derive(Debug)]
pub struct FileWatch {
    path: PathBuf,
    events: mpsc::Receiver<()>,
    seen: Option<Seen>,
    _watcher: RecommendedWatcher,
}

/// What counts of a file.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    content: Vec<u8>,
    rights: [Option<Rights>; 2],
}

/// Owner and mode.
type Rights = (u32, u32);

impl Seen {
    fn of(path: &Path) -> Option<Self> {
        let content = std::fs::read(path).ok()?;
        Some(Self { content, rights: [rights(path), rights(folder(path))] })
    }
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(unix)]
fn rights(path: &Path) -> Option<Rights> {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata(path).ok().map(|found| (found.uid(), found.mode()))
}

/// Windows keeps them in a list of its own, which nothing here judges.
#[cfg(not(unix))]
fn rights(_: &Path) -> Option<Rights> {
    None
}

impl FileWatch {
    /// Watches `path`, whose folder must exist. What is in the file now counts as seen.
    ///
    /// # Errors
    /// When the system offers no watch.
    pub fn new(path: &Path) -> notify::Result<Self> {
        let (sender, events) = mpsc::channel(1);
        let names: Vec<OsString> =
            [path, folder(path)].iter().filter_map(|path| path.file_name()).map(ToOwned::to_owned).collect();
        let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            // After an error something was missed; look.
            if event.is_err() || event.is_ok_and(|event| counts(&event, &names)) {
                let _ = sender.try_send(()); // one that waits already says the same
            }
        })?;
        watcher.watch(folder(path), RecursiveMode::NonRecursive)?;
        Ok(Self { path: path.to_owned(), events, seen: Seen::of(path), _watcher: watcher })
    }

    /// The file's content, once that, or who may change it, has changed and settled. A file that is missing for a moment is not a
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

    /// What is in the file counts as unseen: whoever has read it has found none there, and wants to hear of it when there
    /// is one, also when it is the one that was there before.
    pub fn forget(&mut self) {
        self.seen = None;
    }

    /// The file's content if that, or who may change it, differs from what was seen last.
    pub fn look(&mut self) -> Option<Vec<u8>> {
        let now = Seen::of(&self.path)?;
        if self.seen.as_ref() == Some(&now) {
            return None;
        }
        Some(self.seen.insert(now).content.clone())
    }
}

/// True when an event may mean that the file or folder called one of `names` is another one. Being read does not: who
/// looks after every look never comes to rest.
fn counts(event: &notify::Event, names: &[OsString]) -> bool {
    let is_read =
        matches!(event.kind, EventKind::Access(kind) if kind != AccessKind::Close(AccessMode::Write));
    let is_named =
        |path: &PathBuf| path.file_name().is_some_and(|name| names.iter().any(|known| known == name));
    event.need_rescan() || (!is_read && event.paths.iter().any(is_named))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn to_be_read_is_no_change() {
        let event = |kind, path: &str| notify::Event::new(kind).add_path(PathBuf::from(path));
        let names = ["config.toml".into()];
        for (kind, is_change) in [
            (EventKind::Access(AccessKind::Open(AccessMode::Any)), false),
            (EventKind::Access(AccessKind::Close(AccessMode::Read)), false),
            (EventKind::Access(AccessKind::Close(AccessMode::Write)), true),
            (EventKind::Modify(notify::event::ModifyKind::Any), true),
            (EventKind::Create(notify::event::CreateKind::File), true),
        ] {
            assert_eq!(counts(&event(kind, "/x/config.toml"), &names), is_change, "{kind:?}");
            assert!(!counts(&event(kind, "/x/other"), &names));
        }
        assert!(counts(&notify::Event::default().set_flag(notify::event::Flag::Rescan), &names));
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
        watch.forget();
        assert_eq!(watch.look().unwrap(), b"three");
        assert_eq!(watch.look(), None);
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn rights_that_are_mended_are_a_change_of_the_file_and_of_its_folder() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.toml");
        std::fs::write(&path, "one").unwrap();
        let set = |path: &Path, mode| {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
        };
        set(&path, 0o666);
        let mut watch = FileWatch::new(&path).unwrap();
        set(&path, 0o600);
        assert_eq!(watch.changed().await, b"one");
        set(dir.path(), 0o711);
        assert_eq!(watch.changed().await, b"one");
        assert_eq!(watch.look(), None);
    }
}
