//! Files of a backup on their way into place, and the files that were there before: until the last one is in place,
//! everything can go back to where it was.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use petit_host::files::{self, FileError};
use zeroize::Zeroizing;

/// Copies that lie beside the places that they are for, on disk. Those that do not get there are removed.
#[derive(Debug, Default)]
pub(super) struct Staged {
    /// The copy, and its place.
    copies: Vec<(PathBuf, PathBuf)>,
    /// What may lie beside a copy.
    beside: Vec<PathBuf>,
    /// Folders that were made for them, the innermost first.
    folders: Vec<PathBuf>,
}

impl Staged {
    /// Copies a file to beside its place: what can fail for want of room or rights fails here. Returns the copy.
    pub(super) fn add(&mut self, from: &Path, place: &Path) -> Result<PathBuf, FileError> {
        let content = std::fs::read(from).map(Zeroizing::new);
        let content = content.map_err(|source| failed("read", from, source))?;
        let name = place.file_name().unwrap_or_default().to_string_lossy();
        // As what writers leave behind that were killed: the next start sweeps it away.
        let copy = place.with_file_name(format!(".{name}.restore.{}.new", std::process::id()));
        self.copies.push((copy.clone(), place.to_owned()));
        files::write_private(&copy, &content)?;
        Ok(copy)
    }

    /// Makes the folder of a place where there is none.
    pub(super) fn make_folder(&mut self, place: &Path) -> Result<(), FileError> {
        let missing = folder_of(place).ancestors().take_while(|folder| !folder.exists());
        let missing: Vec<PathBuf> = missing.map(Path::to_owned).collect();
        if missing.is_empty() {
            return Ok(());
        }
        self.folders.splice(0..0, missing);
        files::make_private_dir(folder_of(place))
    }

    /// Whoever works on a copy may leave these files behind.
    pub(super) fn remove_with(&mut self, files: Vec<PathBuf>) {
        self.beside.extend(files);
    }

    /// Moves all into place, in the order in which they were added.
    ///
    /// # Errors
    /// [`NotInPlace`], with what was moved already.
    pub(super) fn put_in_place(self) -> Result<(), NotInPlace> {
        let mut placed = Vec::new();
        for (copy, place) in &self.copies {
            let moved = std::fs::rename(copy, place).map_err(|source| failed("write", place, source));
            if moved.is_ok() {
                placed.push(place.clone());
            }
            if let Err(source) = moved.and_then(|()| sync(folder_of(place))) {
                return Err(NotInPlace { source, placed });
            }
        }
        Ok(())
    }
}

/// Not all copies are in their places.
#[derive(Debug)]
pub(super) struct NotInPlace {
    pub(super) source: FileError,
    /// The places of those that are.
    pub(super) placed: Vec<PathBuf>,
}

impl Drop for Staged {
    fn drop(&mut self) {
        for copy in self.copies.iter().map(|(copy, _)| copy).chain(&self.beside) {
            let _ = std::fs::remove_file(copy);
        }
        for folder in &self.folders {
            let _ = std::fs::remove_dir(folder); // when it is empty
        }
    }
}

/// Files that were moved out of the way, each into a folder beside it: a folder elsewhere may be on another disk.
#[derive(Debug, Default)]
pub(super) struct Aside {
    /// Where each was, and where it is.
    moved: Vec<(PathBuf, PathBuf)>,
    folders: Vec<PathBuf>,
}

impl Aside {
    /// Moves files out of the way, in this order.
    ///
    /// # Errors
    /// [`NotAside`]; what was moved before is back, as far as that was possible.
    pub(super) fn of<'a>(paths: impl IntoIterator<Item = &'a PathBuf>) -> Result<Self, NotAside> {
        let mut aside = Self::default();
        for path in paths {
            if let Err(source) = aside.add(path) {
                return Err(aside.put_back(source, &[]));
            }
        }
        Ok(aside)
    }

    fn add(&mut self, path: &Path) -> Result<(), FileError> {
        let folder = self.beside(path)?;
        let to = folder.join(path.file_name().unwrap_or_default());
        std::fs::rename(path, &to).map_err(|source| failed("move aside", path, source))?;
        self.moved.push((path.to_owned(), to));
        // What is put aside must be there before anything takes its place.
        sync(&folder)?;
        sync(folder_of(path))
    }

    /// The folder beside a file that is for what was there before. One of its own for each restoring.
    fn beside(&mut self, path: &Path) -> Result<PathBuf, FileError> {
        let parent = folder_of(path);
        if let Some(known) = self.folders.iter().find(|folder| folder.parent() == Some(parent)) {
            return Ok(known.clone());
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let names = (now..).map(|number| parent.join(format!("before-restore-{number}")));
        let folder = names.into_iter().find(|folder| std::fs::symlink_metadata(folder).is_err());
        let folder = folder.unwrap_or_else(|| parent.join("before-restore"));
        files::make_private_dir(&folder)?;
        self.folders.push(folder.clone());
        Ok(folder)
    }

    /// Moves everything back to where it was, because of `source`, and removes what was `placed` meanwhile, also where nothing
    /// was before: the rest of what was there must not find it beside itself.
    pub(super) fn put_back(self, source: FileError, placed: &[PathBuf]) -> NotAside {
        let Self { moved, folders } = self;
        for place in placed {
            let _ = std::fs::remove_file(place);
        }
        let mut left = None;
        for (place, aside) in moved.into_iter().rev() {
            if std::fs::rename(&aside, &place).is_err() {
                left = Some(folder_of(&aside).to_owned());
            }
        }
        for folder in folders {
            let _ = std::fs::remove_dir(&folder); // when it is empty
        }
        NotAside { source, left }
    }

    /// Where the files are now.
    pub(super) fn folders(self) -> Vec<PathBuf> {
        self.folders
    }
}

/// Files were not exchanged.
#[derive(Debug)]
pub(super) struct NotAside {
    pub(super) source: FileError,
    /// Where some of them are still, because they could not be moved back either.
    pub(super) left: Option<PathBuf>,
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn sync(folder: &Path) -> Result<(), FileError> {
    files::sync_dir(folder).map_err(|source| failed("flush", folder, source))
}

fn failed(action: &'static str, path: &Path, source: std::io::Error) -> FileError {
    FileError::Io { action, path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_moved_aside_is_back_when_the_next_file_cannot_be_moved() {
        let dir = tempfile::tempdir().unwrap();
        let [first, missing] = ["first", "missing"].map(|name| dir.path().join(name));
        std::fs::write(&first, "content").unwrap();
        let found = Aside::of([&first, &missing]).unwrap_err();
        assert!(found.source.to_string().contains("missing") && found.left.is_none(), "{found:?}");
        assert_eq!(std::fs::read_to_string(&first).unwrap(), "content");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "no folder is left");
    }

    #[test]
    fn what_was_put_where_nothing_was_is_gone_when_the_next_file_cannot_be_put_in_place() {
        let dir = tempfile::tempdir().unwrap();
        let [from, registry, log, key] =
            ["from", "registry.db", "registry.db-wal", "keys/server.key"].map(|name| dir.path().join(name));
        for path in [&from, &log] {
            std::fs::write(path, "content").unwrap();
        }
        let mut staged = Staged::default();
        staged.add(&from, &registry).unwrap();
        staged.make_folder(&key).unwrap();
        let copy = staged.add(&from, &key).unwrap();
        let aside = Aside::of([&log]).unwrap();
        std::fs::remove_file(copy).unwrap(); // as a disk that fails
        let NotInPlace { source, placed } = staged.put_in_place().unwrap_err();
        assert_eq!(placed, [registry]);
        let found = aside.put_back(source, &placed);
        assert!(found.source.to_string().contains("server.key") && found.left.is_none(), "{found:?}");
        let mut names: Vec<_> =
            std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["from", "registry.db-wal"]);
    }

    #[test]
    fn two_restorings_in_one_second_put_nothing_in_the_same_place() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("server.key");
        let mut folders = Vec::new();
        for content in ["one", "two"] {
            std::fs::write(&path, content).unwrap();
            folders.extend(Aside::of([&path]).unwrap().folders());
        }
        let kept = folders.iter().map(|folder| std::fs::read_to_string(folder.join("server.key")).unwrap());
        assert_eq!(kept.collect::<Vec<_>>(), ["one", "two"]);
    }
}
