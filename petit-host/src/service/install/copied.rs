//! Files that only root can change: where a service's program is copied from, and where to.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::beside::{self, PlaceError};
use super::installed::Service;
use crate::files::{self, FileError, failed};

/// Where the copy goes.
pub(super) const PROGRAMS: &str = "/usr/local/lib/petit";
/// From where it can be typed.
const COMMANDS: &str = "/usr/local/bin";

/// Why a program was not copied.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// A service at boot would run what somebody else has put there.
    #[error("{} can be changed by users other than root", .0.display())]
    OthersWrite(PathBuf),
    #[error(transparent)]
    Place(#[from] PlaceError),
    #[error(transparent)]
    File(#[from] FileError),
}

impl CopyError {
    /// What to do next.
    pub(super) fn hint(&self, service: &Service) -> Option<String> {
        Some(match self {
            Self::OthersWrite(path) if path.is_dir() => {
                format!(
                    "leave it, and the folders on the way to it, to root: chown root {0}; chmod go-w {0}",
                    path.display()
                )
            }
            Self::OthersWrite(path) => {
                format!(
                    "put it where only root writes, and install that: install {} /usr/local/bin",
                    path.display()
                )
            }
            Self::Place(error) => return error.hint(service),
            Self::File(_) => return None,
        })
    }
}

/// Where the copy of a program is.
pub(super) fn program_of(service: &Service) -> PathBuf {
    Path::new(PROGRAMS).join(service.program)
}

/// Copies the running program, and what lies beside it, and links it to where it can be typed; returns the copy.
pub(super) fn put_running(service: &Service) -> Result<PathBuf, CopyError> {
    let source = std::env::current_exe().map_err(failed("find", Path::new(service.program)))?;
    let program = program_of(service);
    if source == program {
        check_only_root_writes(&program)?;
    } else {
        put_all(service, &source, &program)?;
    }
    let command = Path::new(COMMANDS).join(service.program);
    if fs::symlink_metadata(&command).is_err() {
        make_folder(Path::new(COMMANDS))?;
        std::os::unix::fs::symlink(&program, &command).map_err(failed("write", &command))?;
    }
    Ok(program)
}

/// Copies a program, and what lies beside it.
fn put_all(service: &Service, source: &Path, program: &Path) -> Result<(), CopyError> {
    beside::check_place(service, program)?;
    let with_it = beside::files(service, source);
    for file in std::iter::once(source).chain(with_it.iter().map(PathBuf::as_path)) {
        check_only_root_writes(file)?;
    }
    if let Some(left) = beside::left_over(service, source, program) {
        files::remove(&left)?;
    }
    for file in &with_it {
        put(file, &program.with_file_name(file.file_name().unwrap_or_default()), 0o644)?;
    }
    put(source, program, 0o755)
}

/// Copies a file; a program that runs goes on with what it was.
fn put(from: &Path, to: &Path, mode: u32) -> Result<(), CopyError> {
    let new = to.with_extension("new");
    let folder = to.parent().unwrap_or(Path::new("/"));
    make_folder(folder)?;
    // Somebody else may have made it: others than root may write in /usr/local on some systems.
    check_only_root_writes(folder)?;
    fs::copy(from, &new).map_err(failed("copy", from))?;
    fs::set_permissions(&new, fs::Permissions::from_mode(mode)).map_err(failed("write", &new))?;
    fs::rename(&new, to).map_err(failed("write", to))?;
    Ok(())
}

/// Refuses a program that anybody but root could change or put another one in the place of; or a folder.
fn check_only_root_writes(path: &Path) -> Result<(), CopyError> {
    let whole = fs::canonicalize(path).map_err(failed("look at", path))?;
    for path in whole.ancestors() {
        let found = fs::metadata(path).map_err(failed("look at", path))?;
        if found.uid() != 0 || found.mode() & 0o022 != 0 {
            // The folder that it is about, where it is one: a program lies in it.
            let of = if whole.is_dir() { path.to_owned() } else { whole };
            return Err(CopyError::OthersWrite(of));
        }
    }
    Ok(())
}

/// Makes a folder that the service's own user can enter, whatever root's umask is.
fn make_folder(folder: &Path) -> Result<(), FileError> {
    if !folder.exists() {
        fs::create_dir_all(folder).map_err(failed("make", folder))?;
        fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).map_err(failed("make", folder))?;
    }
    Ok(())
}

/// Writes what everybody may read.
pub(super) fn write(path: &Path, text: &str) -> Result<(), FileError> {
    make_folder(path.parent().unwrap_or(Path::new("/")))?;
    files::write_public(path, text.as_bytes())
}

/// What of a program is to be removed: what [`put_running`] has made.
pub(super) fn to_remove(service: &Service) -> Vec<PathBuf> {
    let program = program_of(service);
    let command = Path::new(COMMANDS).join(service.program);
    let is_ours = fs::read_link(&command).is_ok_and(|to| to == program);
    [program].into_iter().chain(is_ours.then_some(command)).collect()
}

/// Removes files, and says which were there; at last what lies beside the program, and its folder where nothing else is in
/// it.
pub(super) fn remove(service: &Service, paths: Vec<PathBuf>) -> Result<Vec<PathBuf>, FileError> {
    let mut removed = Vec::new();
    let mut remove = |path: PathBuf| match fs::remove_file(&path) {
        Ok(()) => {
            removed.push(path);
            Ok(())
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(failed("remove", &path)(error)),
    };
    paths.into_iter().try_for_each(&mut remove)?;
    beside::to_remove(service, &program_of(service)).into_iter().try_for_each(&mut remove)?;
    let _ = fs::remove_dir(PROGRAMS); // unless the other program is in it
    Ok(removed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_user_could_change_is_no_service() {
        check_only_root_writes(Path::new("/bin/sh")).unwrap();
        // Whoever owns it: others put files into the folder above.
        let dir = tempfile::tempdir_in("/tmp").unwrap();
        let program = dir.path().join("petit-server");
        fs::write(&program, "").unwrap();
        assert!(matches!(check_only_root_writes(&program), Err(CopyError::OthersWrite(_))));
    }
}
