//! A backup on its way through a pipe: from a service's own user, who can write nowhere but in the service's folder, to
//! root, who opens nothing there.
//!
//! Each file is a line of JSON that says what it is called and how long it is, and its bytes; the last line says what
//! came of the backup. The key comes last of the files: without it a folder is no backup.

use std::fs;
use std::io::{self, BufRead, Read, Write};
use std::path::{Component, Path, PathBuf};

use petit_host::files::{self, FileError};
use serde::{Deserialize, Serialize};

use super::{BackupError, Destination, KEY};
use crate::api::BackedUp;

/// A line between files.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Line {
    File { path: PathBuf, bytes: u64 },
    Done(BackedUp),
}

/// Why no backup came.
#[derive(Debug, thiserror::Error)]
pub enum NotReceived {
    /// It cannot be kept.
    #[error(transparent)]
    Backup(Box<BackupError>),
    /// What came is none, and begins like this: what the sender says instead.
    #[error("what came is no backup")]
    Other(String),
    /// It broke off, or does not keep to the form.
    #[error("the backup did not come whole")]
    Broken(#[source] io::Error),
}

impl From<BackupError> for NotReceived {
    fn from(error: BackupError) -> Self {
        Self::Backup(Box::new(error))
    }
}

/// What may come that is no backup: the words of a failure.
const MAX_OTHER_BYTES: u64 = 1024 * 1024;

/// Writes the files of a backup into a pipe.
///
/// # Errors
/// Where a file cannot be read, or nobody reads any more.
pub fn send(backup: &Path, done: &BackedUp, to: &mut impl Write) -> io::Result<()> {
    let mut paths = Vec::new();
    add_files(backup, &mut paths)?;
    paths.sort_by_key(|path| path == Path::new(KEY));
    for path in paths {
        let mut file = fs::File::open(backup.join(&path))?;
        let bytes = file.metadata()?.len();
        line(to, &Line::File { path, bytes })?;
        if io::copy(&mut (&mut file).take(bytes), to)? != bytes {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    line(to, &Line::Done(done.clone()))?;
    to.flush()
}

/// The paths of all files below a folder, as they are in it.
fn add_files(folder: &Path, paths: &mut Vec<PathBuf>) -> io::Result<()> {
    let mut below = vec![PathBuf::new()];
    while let Some(inside) = below.pop() {
        for entry in fs::read_dir(folder.join(&inside))? {
            let entry = entry?;
            let path = inside.join(entry.file_name());
            let place = if entry.file_type()?.is_dir() { &mut below } else { &mut *paths };
            place.push(path);
        }
    }
    Ok(())
}

fn line(to: &mut impl Write, line: &Line) -> io::Result<()> {
    serde_json::to_writer(&mut *to, line)?;
    to.write_all(b"\n")
}

/// Takes a backup out of a pipe into `to`, which must not be there or be empty. Nobody but this process's user can read
/// any of it, at any moment.
///
/// # Errors
/// [`NotReceived`]; nothing is left behind then, and a folder that was there is as it was.
pub fn receive(from: &mut impl BufRead, to: &Path) -> Result<BackedUp, NotReceived> {
    let destination = Destination::of(to)?;
    let received = receive_into(from, to);
    if received.is_err() {
        destination.give_up();
    }
    received
}

fn receive_into(from: &mut impl BufRead, to: &Path) -> Result<BackedUp, NotReceived> {
    loop {
        let mut text = String::new();
        from.by_ref().take(MAX_OTHER_BYTES).read_line(&mut text).map_err(NotReceived::Broken)?;
        match serde_json::from_str(&text) {
            Ok(Line::File { path, bytes }) => keep(from, (&path, bytes), to)?,
            Ok(Line::Done(done)) => return Ok(BackedUp { backup: to.to_owned(), ..done }),
            Err(_) => {
                let _ = from.by_ref().take(MAX_OTHER_BYTES).read_to_string(&mut text);
                return Err(NotReceived::Other(text));
            }
        }
    }
}

/// Writes one file to where it belongs.
fn keep(from: &mut impl BufRead, (path, bytes): (&Path, u64), to: &Path) -> Result<(), NotReceived> {
    if path.as_os_str().is_empty() || !path.components().all(|part| matches!(part, Component::Normal(_))) {
        let problem = format!("{} leads out of the folder", path.display());
        return Err(NotReceived::Broken(io::Error::other(problem)));
    }
    let place = to.join(path);
    let cannot = |source| BackupError::File(FileError::Io { action: "write", path: place.clone(), source });
    let folder = place.parent().unwrap_or(to);
    files::make_private_dir(folder).map_err(BackupError::File)?;
    let mut file = files::create(&place).map_err(cannot)?;
    let copied = io::copy(&mut from.by_ref().take(bytes), &mut file).map_err(cannot)?;
    if copied != bytes {
        return Err(NotReceived::Broken(io::ErrorKind::UnexpectedEof.into()));
    }
    file.sync_all().and_then(|()| files::sync_dir(folder)).map_err(cannot)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder like a backup, and what it is in a pipe.
    fn sent(dir: &Path) -> Vec<u8> {
        let from = dir.join("from");
        fs::create_dir_all(from.join("certificates/x")).unwrap();
        for (name, text) in [
            (KEY, "a key"),
            ("registry.db", "rows\n{}\n"),
            ("certificates/x/a.pem", ""),
            ("config.toml", "x"),
        ] {
            fs::write(from.join(name), text).unwrap();
        }
        let done = BackedUp { backup: from.clone(), left_out: vec!["/x".into()], removed: Vec::new() };
        let mut pipe = Vec::new();
        send(&from, &done, &mut pipe).unwrap();
        pipe
    }

    #[test]
    fn a_backup_comes_out_of_the_pipe_as_it_went_in_for_its_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        let (pipe, to) = (sent(dir.path()), dir.path().join("to"));
        let done = receive(&mut &pipe[..], &to).unwrap();
        assert_eq!((done.backup.as_path(), done.left_out.len()), (&*to, 1));
        for name in [KEY, "registry.db", "certificates/x/a.pem", "config.toml"] {
            let read = |at: &str| fs::read(dir.path().join(at).join(name)).unwrap();
            assert_eq!(read("from"), read("to"), "{name}");
        }
        #[cfg(unix)]
        for (path, expected) in [("", 0o700), ("certificates/x", 0o700), (KEY, 0o600), ("registry.db", 0o600)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = fs::metadata(to.join(path)).unwrap().permissions().mode() & 0o777;
            assert_eq!(mode, expected, "{path}");
        }
        let again = receive(&mut &pipe[..], &to);
        assert!(
            matches!(&again, Err(NotReceived::Backup(error)) if matches!(**error, BackupError::NotEmpty(_))),
            "{again:?}"
        );
        assert_eq!(fs::read_dir(&to).unwrap().count(), 4);
    }

    #[test]
    fn wherever_it_breaks_off_nothing_is_left() {
        let dir = tempfile::tempdir().unwrap();
        let (pipe, to) = (sent(dir.path()), dir.path().join("to"));
        for length in 0..pipe.len() - 1 {
            receive(&mut &pipe[..length], &to).unwrap_err();
            assert!(!to.exists(), "{length}");
        }
        fs::create_dir(&to).unwrap();
        receive(&mut &pipe[..pipe.len() / 2], &to).unwrap_err();
        assert_eq!(fs::read_dir(&to).unwrap().count(), 0, "a folder that was there stays");
    }

    #[test]
    fn what_leads_out_of_the_folder_is_refused_and_the_words_of_a_failure_are_handed_on() {
        let dir = tempfile::tempdir().unwrap();
        let to = dir.path().join("to");
        for path in ["../x", "/etc/x", "", "a/../../x"] {
            let pipe = format!("{{\"file\":{{\"path\":\"{path}\",\"bytes\":1}}}}\nx");
            let found = receive(&mut pipe.as_bytes(), &to);
            assert!(matches!(found, Err(NotReceived::Broken(_))), "{path}: {found:?}");
        }
        let said = "{\n  \"error\": {}\n}\n";
        let found = receive(&mut said.as_bytes(), &to);
        assert!(matches!(&found, Err(NotReceived::Other(text)) if text == said), "{found:?}");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
