//! How one program takes another one's place. Where a system allows it that is one rename, so that at any moment there is a
//! whole program at its path.
//!
//! Windows lets nobody overwrite or delete a program that runs, but rename it. So there it is two renames, the old one away
//! and the new one in, and for a moment there is no program at its path. Whoever is killed in it leaves all that is needed to
//! [mend](Place::mend) it. And what cannot be removed because it still runs gets another name, and is [swept](Place::sweep)
//! up by whoever comes later.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use super::place::{Kept, Place, PlaceLock, WayBack, rights_of};
use super::retry::Retry;
use crate::files::{self, FileError, failed};

/// What a program is called that is of no use any more and still runs, before what makes its name its own.
const ASIDE: &str = "old-";

impl Place {
    /// Puts the new program into the place of the old one, which is kept.
    ///
    /// # Errors
    /// [`FileError`]; the old program is in its place then.
    pub fn switch(&self, kept: Kept) -> Result<(), FileError> {
        if cfg!(windows) {
            return self.switch_in_two(kept);
        }
        self.keep(&self.kept(kept))?;
        fs::rename(self.staged(), &self.program).map_err(failed("write", &self.program))?;
        // With a power cut the old one may be there again, as it is when somebody is killed just before this.
        let _ = self.sync();
        Ok(())
    }

    /// Puts a program that was kept back into its place, where it is still there.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn put_back(&self, kept: Kept) -> Result<WayBack, FileError> {
        if cfg!(windows) {
            return self.put_back_in_two(kept);
        }
        let kept = self.kept(kept);
        if !self.is_own(&kept) {
            return Ok(WayBack::None);
        }
        match fs::rename(kept, &self.program) {
            Ok(()) => self.sync().map(|()| WayBack::Taken),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(WayBack::None),
            Err(error) => Err(failed("write", &self.program)(error)),
        }
    }

    pub(super) fn switch_in_two(&self, kept: Kept) -> Result<(), FileError> {
        let kept = self.kept(kept);
        // What is kept of a program that is not there may be all that there is of it.
        fs::symlink_metadata(&self.program).map_err(failed("look at", &self.program))?;
        self.discard(&kept)?;
        self.exchange(&self.staged(), &kept)
    }

    pub(super) fn put_back_in_two(&self, kept: Kept) -> Result<WayBack, FileError> {
        let kept = self.kept(kept);
        match fs::symlink_metadata(&kept) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(WayBack::None),
            found => found.map_err(failed("look at", &kept))?,
        };
        let aside = self.aside();
        self.exchange(&kept, &aside)?;
        // Where it runs it goes with the next one who sweeps.
        let _ = fs::remove_file(&aside);
        Ok(WayBack::Taken)
    }

    /// Puts a program in the place of the one that is there, which is called `old` from then on.
    fn exchange(&self, new: &Path, old: &Path) -> Result<(), FileError> {
        // Nothing is taken away for something that is not there.
        fs::symlink_metadata(new).map_err(failed("look at", new))?;
        match self.rename(&self.program, old) {
            // Somebody was killed in that moment.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            renamed => renamed.map_err(failed("rename", &self.program))?,
        }
        self.rename(new, &self.program).map_err(|error| {
            // Whoever waits for nothing waits for this: without it there is no program at its path.
            let _ = Retry::Soon.rename(|| fs::rename(old, &self.program));
            failed("write", &self.program)(error)
        })
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.retry.rename(|| fs::rename(from, to))
    }

    /// Puts a program at its path where somebody who was killed between two renames has left none: the one that was there
    /// last, or, where that was going back, the one before it.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn mend(&self, _: &PlaceLock) -> Result<(), FileError> {
        if !self.is_torn() {
            return Ok(());
        }
        let goes_back = self.trial().ok().flatten().is_some_and(|trial| trial.goes_back_for().is_some());
        let mut kept = self.previous();
        if (!goes_back || !self.is_own(&kept)) && self.is_own(&self.replaced()) {
            kept = self.replaced();
        }
        self.rename(&kept, &self.program).map_err(failed("write", &self.program))?;
        tracing::warn!(program = %self.program.display(), "somebody has left no program at this path; the one before is there again");
        Ok(())
    }

    /// True when there is no program at its path, and one beside it that was there last.
    pub fn is_torn(&self) -> bool {
        let is_missing = |path: &Path| {
            fs::symlink_metadata(path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
        };
        is_missing(&self.program) && (self.is_own(&self.previous()) || self.is_own(&self.replaced()))
    }

    /// Removes a program that is of no use any more; one that still runs is out of the way then.
    ///
    /// # Errors
    /// [`FileError`].
    pub(super) fn discard(&self, path: &Path) -> Result<(), FileError> {
        files::remove(path).or_else(|error| {
            if cfg!(windows) && fs::rename(path, self.aside()).is_ok() { Ok(()) } else { Err(error) }
        })
    }

    /// Removes what could not be removed before because it still ran. False while some of it still does.
    pub fn sweep(&self) -> bool {
        let folder = self.program.parent().unwrap_or(Path::new("/"));
        let aside = self.program_beside(ASIDE);
        let name = aside.file_name().unwrap_or_default().to_string_lossy();
        let Some((before, _)) = name.rsplit_once(ASIDE) else { return true };
        let before = format!("{before}{ASIDE}");
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        let left = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(&before));
        // Each of them is tried.
        left.filter(|entry| fs::remove_file(entry.path()).is_err()).count() == 0
    }

    /// A name that no file has.
    fn aside(&self) -> PathBuf {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.program_beside(&format!("{ASIDE}{}-{:x}", std::process::id(), now.as_nanos()))
    }

    /// Gives the program a second name, so that there is no moment without one. Not every file system has them: there it
    /// is a copy, which is whole and on the disk before it has that name.
    fn keep(&self, under: &Path) -> Result<(), FileError> {
        files::remove(under)?;
        if fs::hard_link(&self.program, under).is_ok() {
            return Ok(());
        }
        self.copy(under)
    }

    pub(super) fn copy(&self, under: &Path) -> Result<(), FileError> {
        let copy = self.beside("copy");
        let copied = (|| {
            let mut from = File::open(&self.program).map_err(failed("copy", &self.program))?;
            let rights = from.metadata().map_err(failed("look at", &self.program))?.permissions();
            let mut to = files::create(&copy).map_err(failed("write", &copy))?;
            io::copy(&mut from, &mut to).map_err(failed("write", &copy))?;
            to.set_permissions(rights_of(&rights)).map_err(failed("write", &copy))?;
            to.sync_all().map_err(failed("write", &copy))?;
            fs::rename(&copy, under).map_err(failed("write", under))
        })();
        if copied.is_err() {
            let _ = fs::remove_file(&copy);
        }
        copied
    }

    fn kept(&self, kept: Kept) -> PathBuf {
        match kept {
            Kept::Previous => self.previous(),
            Kept::Replaced => self.replaced(),
        }
    }

    fn sync(&self) -> Result<(), FileError> {
        let folder = self.program.parent().unwrap_or(Path::new("/"));
        files::sync_dir(folder).map_err(failed("write", &self.program))
    }
}
