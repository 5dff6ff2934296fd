//! The files of a package as they will lie on the disk: the same bytes, rights and times whenever they are laid out.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::contents::{Contents, Kind};
use crate::made::{Clock, set_mode};
use crate::run::{Outcome, succeed};

/// A folder as it is put into a package.
pub(super) struct Layout {
    pub(super) folder: PathBuf,
    /// How much it takes on the disk.
    pub(super) bytes: u64,
}

impl Layout {
    pub(super) fn make(
        contents: &Contents,
        folder: &Path,
        strip: &str,
        clock: Clock,
    ) -> Result<Self, String> {
        let _ = fs::remove_dir_all(folder);
        let mut bytes = 0;
        for file in &contents.files {
            let to = folder.join(&file.to);
            let mode = if file.kind == Kind::Program { 0o755 } else { 0o644 };
            put(&file.from, &to, mode)?;
            if file.kind == Kind::Program {
                succeed(Command::new(strip).arg(&to))?;
            }
            bytes += fs::metadata(&to).map_err(|error| format!("{}: {error}", to.display()))?.len();
        }
        settle(folder, clock)?;
        Ok(Self { folder: folder.to_owned(), bytes })
    }
}

fn put(from: &Path, to: &Path, mode: u32) -> Outcome {
    let failed = |error: std::io::Error| format!("cannot put {} into the package: {error}", from.display());
    if let Some(dir) = to.parent() {
        fs::create_dir_all(dir).map_err(failed)?;
    }
    fs::copy(from, to).map_err(failed)?;
    set_mode(to, mode).map_err(failed)
}

/// Gives folders the usual rights, whatever the umask, and everything the same time.
pub(super) fn settle(path: &Path, clock: Clock) -> Outcome {
    let failed = |error: std::io::Error| format!("{}: {error}", path.display());
    if path.is_dir() {
        for entry in fs::read_dir(path).map_err(failed)? {
            settle(&entry.map_err(failed)?.path(), clock)?;
        }
        set_mode(path, 0o755).map_err(failed)?;
    }
    let opened = fs::File::open(path).map_err(failed)?;
    opened.set_modified(clock.time()).map_err(failed)
}
