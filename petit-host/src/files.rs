//! Files that are written whole or not at all, and files that nobody else may read.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

#[cfg(unix)]
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};

/// Why a file could not be read or written, or must not be.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The system said no.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Others could have read or changed it.
    #[error("{} is not safe to use: {problem}; {remedy}", path.display())]
    Unsafe {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        problem: &'static str,
        /// What to do.
        remedy: &'static str,
    },
}

pub(crate) fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> FileError {
    let path = path.to_owned();
    move |source| FileError::Io { action, path, source }
}

/// Makes a folder that only its owner can enter. One that exists is left as it is.
///
/// # Errors
/// [`FileError::Unsafe`] when it is another user's, or others can put files into it: a key must not be written there.
pub fn make_private_dir(path: &Path) -> Result<(), FileError> {
    check_owner(path)?;
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    builder.mode(0o700);
    builder.create(path).map_err(failed("make the folder", path))?;
    #[cfg(unix)]
    if fs::metadata(path).map_err(failed("look at", path))?.mode() & 0o022 != 0 {
        let problem = "other users can put files into it";
        let remedy = "choose another folder, or keep others out of it with chmod go-w";
        return Err(FileError::Unsafe { path: path.to_owned(), problem, remedy });
    }
    Ok(())
}

/// True for the user that may do everything; on Windows, for an administrator who has asked for it.
pub fn is_root() -> bool {
    #[cfg(unix)]
    {
        rustix::process::geteuid().is_root()
    }
    #[cfg(windows)]
    {
        petit_windows::security::is_administrator().unwrap_or(false)
    }
}

/// Refuses a file or folder that belongs to neither this user nor root, and a link that somebody else has made:
/// whoever owns a folder chooses where the files in it lead, so root must not write into another user's.
///
/// # Errors
/// [`FileError::Unsafe`]; what is not there is fine.
#[cfg(unix)]
pub fn check_owner(path: &Path) -> Result<(), FileError> {
    let us = rustix::process::geteuid().as_raw();
    let is_foreign =
        |found: io::Result<fs::Metadata>| found.is_ok_and(|found| found.uid() != us && found.uid() != 0);
    if is_foreign(fs::symlink_metadata(path)) || is_foreign(fs::metadata(path)) {
        let problem = "it belongs to another user";
        let remedy = "run this as that user, or choose a folder of your own (sudo -H takes root's)";
        return Err(FileError::Unsafe { path: path.to_owned(), problem, remedy });
    }
    Ok(())
}

/// As on Unix; on Windows the profile folder's access list keeps others out.
///
/// # Errors
/// None.
#[cfg(not(unix))]
pub fn check_owner(_: &Path) -> Result<(), FileError> {
    Ok(())
}

/// What becomes of a link where a file is written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Links {
    /// The link stays, and what it leads to is replaced.
    Followed,
    /// The link itself is replaced: nobody but a person has made one.
    Replaced,
}

/// How a new file is made, and what becomes of the rights of one that is replaced.
#[derive(Clone, Copy)]
enum Rights {
    /// Only the owner may read it, whatever was before.
    Private,
    /// Other programs of this computer may read it.
    Public,
    /// As they were; for a new file, private.
    Kept,
}

/// Writes a file whole: into a new file beside it, flushed to disk, then moved into place. A reader sees the old
/// content or the new, also after a power cut. Only the owner may read it.
///
/// # Errors
/// [`FileError::Io`]; the old file is untouched then.
pub fn write_private(path: &Path, content: &[u8]) -> Result<(), FileError> {
    write_whole(path, content, Rights::Private, Links::Replaced)
}

/// As [`write_private`], for files that other programs of this computer may read.
///
/// # Errors
/// [`FileError::Io`]; the old file is untouched then.
pub fn write_public(path: &Path, content: &[u8]) -> Result<(), FileError> {
    write_whole(path, content, Rights::Public, Links::Replaced)
}

/// As [`write_private`], for a file that belongs to a person: owner and mode stay as they are, and a link stays one.
///
/// # Errors
/// [`FileError::Io`]; the old file is untouched then.
pub fn write_keeping_rights(path: &Path, content: &[u8]) -> Result<(), FileError> {
    write_whole(path, content, Rights::Kept, Links::Followed)
}

fn write_whole(path: &Path, content: &[u8], rights: Rights, links: Links) -> Result<(), FileError> {
    let target = fs::canonicalize(path).ok().filter(|_| links == Links::Followed);
    let path = target.as_deref().unwrap_or(path);
    let (dir, temporary) = (folder_of(path), temporary(path));
    let result = (|| {
        let mut file = create(&temporary)?;
        set_rights(&file, path, rights)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        sync_dir(dir)
    })();
    result.map_err(|error| {
        let _ = fs::remove_file(&temporary);
        failed("write", path)(error)
    })
}

/// As [`write_private`], for what is not in memory whole: it is written piece by piece, and takes its place when it is
/// [finished](Self::finish). Dropped before that, it leaves nothing.
#[derive(Debug)]
pub struct PrivateFile {
    file: io::BufWriter<File>,
    temporary: PathBuf,
    path: PathBuf,
}

impl PrivateFile {
    /// Begins it.
    ///
    /// # Errors
    /// [`FileError::Io`].
    pub fn begin(path: &Path) -> Result<Self, FileError> {
        let temporary = temporary(path);
        let file = create(&temporary).map_err(failed("write", path))?;
        let this = Self { file: io::BufWriter::new(file), temporary, path: path.to_owned() };
        set_rights(this.file.get_ref(), path, Rights::Private).map_err(failed("write", path))?;
        Ok(this)
    }

    /// Writes a line.
    ///
    /// # Errors
    /// [`FileError::Io`].
    pub fn line(&mut self, line: &str) -> Result<(), FileError> {
        let written = self.file.write_all(line.as_bytes()).and_then(|()| self.file.write_all(b"\n"));
        written.map_err(failed("write", &self.path))
    }

    /// Puts it in its place, on disk.
    ///
    /// # Errors
    /// [`FileError::Io`]; what was there is untouched then.
    pub fn finish(mut self) -> Result<(), FileError> {
        let written = self.file.flush().and_then(|()| self.file.get_ref().sync_all());
        let placed = written.and_then(|()| fs::rename(&self.temporary, &self.path));
        placed.and_then(|()| sync_dir(folder_of(&self.path))).map_err(failed("write", &self.path))
    }
}

impl Drop for PrivateFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.temporary); // not there when it was finished
    }
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn temporary(path: &Path) -> PathBuf {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    folder_of(path).join(format!(".{name}.{}.new", std::process::id()))
}

/// Flushes a folder to disk: a file that was made, renamed or removed in it is so after a power cut only then.
///
/// # Errors
/// When the system cannot.
#[cfg(unix)]
pub fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Windows opens no folder for that; NTFS keeps a journal of its own.
///
/// # Errors
/// None.
#[cfg(not(unix))]
pub fn sync_dir(_: &Path) -> io::Result<()> {
    Ok(())
}

/// Makes a new, private file; never follows a link that somebody has put there.
///
/// # Errors
/// What the system says.
pub fn create(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    options.mode(0o600);
    match options.open(path) {
        // Left behind by a process of the same number that was killed.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            fs::remove_file(path)?;
            options.open(path)
        }
        other => other,
    }
}

#[cfg(unix)]
fn set_rights(file: &File, replaced: &Path, rights: Rights) -> io::Result<()> {
    let before = fs::symlink_metadata(replaced).ok();
    // Root that edits a user's file leaves it the user's.
    if let Some(before) = &before
        && rustix::process::geteuid().is_root()
    {
        std::os::unix::fs::fchown(file, Some(before.uid()), Some(before.gid()))?;
    }
    let mode = match (rights, before) {
        (Rights::Public, _) => 0o644,
        (Rights::Kept, Some(before)) => before.mode() & 0o777,
        (Rights::Private | Rights::Kept, _) => 0o600,
    };
    file.set_permissions(fs::Permissions::from_mode(mode))
}

#[cfg(not(unix))]
fn set_rights(_: &File, _: &Path, _: Rights) -> io::Result<()> {
    Ok(()) // the profile folder's access list is inherited
}

/// Removes what writers that were killed have left in a folder. Call with the program's lock held.
pub fn sweep(dir: &Path) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let pid = name.strip_suffix(".new").and_then(|name| name.rsplit('.').next());
        let is_ours =
            name.starts_with('.') && pid.is_some_and(|pid| pid.bytes().all(|byte| byte.is_ascii_digit()));
        // A command that is writing this very moment is left alone.
        let old = entry.metadata().and_then(|found| found.modified()).ok();
        let old = old.and_then(|at| at.elapsed().ok()).is_some_and(|age| age.as_secs() >= 60);
        if is_ours && old {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Removes a file; one that is not there is as good as removed.
///
/// # Errors
/// [`FileError::Io`].
pub fn remove(path: &Path) -> Result<(), FileError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("remove", path)(error)),
        _ => Ok(()),
    }
}

/// Opens for reading what is at a path: follows no link, and waits for no pipe. Whether it is a file is still to be looked
/// at.
pub(crate) fn open_itself(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    {
        let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
        options.custom_flags(flags.bits().cast_signed());
    }
    options.open(path)
}

/// Opens a file for reading, and nothing else that may be at a path: a pipe would be waited for without end.
///
/// # Errors
/// When there is none, or something else.
pub fn open_regular(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    options.custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed());
    let file = options.open(path)?;
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(io::Error::other("it is no file")),
    }
}

/// Reads a text, and nothing else that may be at a path: no more than so many bytes of it.
///
/// # Errors
/// As of [`open_regular`], or when it is no text.
pub fn read_text(path: &Path, most: u64) -> io::Result<String> {
    let mut text = String::new();
    open_regular(path)?.take(most).read_to_string(&mut text)?;
    Ok(text)
}

/// A file that holds a secret: keys are of some 100 bytes, a registration with 64 services of some 10 KiB.
const MAX_SECRET_BYTES: u64 = 1024 * 1024;

/// Reads a file that holds a secret. `None` when there is none.
///
/// # Errors
/// [`FileError::Unsafe`] when somebody else may read or change it or the folder it is in, when it is a link, or
/// when it belongs to somebody else; [`FileError::Io`] when it is longer than any of ours, 1 MiB.
pub fn read_secret(path: &Path) -> Result<Option<Vec<u8>>, FileError> {
    let mut file = match open_itself(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(_) if fs::symlink_metadata(path).is_ok_and(|found| found.is_symlink()) => {
            return Err(FileError::Unsafe {
                path: path.to_owned(),
                problem: "it is a link to another file",
                remedy: "put the file itself there",
            });
        }
        Err(error) => return Err(failed("read", path)(error)),
    };
    check_private(path, &file)?;
    let mut content = Vec::new();
    (&mut file).take(MAX_SECRET_BYTES + 1).read_to_end(&mut content).map_err(failed("read", path))?;
    if content.len() as u64 > MAX_SECRET_BYTES {
        return Err(failed("read", path)(io::ErrorKind::FileTooLarge.into()));
    }
    Ok(Some(content))
}

/// Reads a file that a service manager has handed in, or that it is to hand in. `None` when there is none, or it is
/// empty: a unit cannot say that it may do without one.
///
/// The service manager gives its copies to the service by an access list, which [`read_secret`] takes for rights of a
/// group; nobody else reaches the folder that they are in.
///
/// # Errors
/// As of [`read_secret`], for what lies elsewhere.
pub fn read_credential(path: &Path) -> Result<Option<Vec<u8>>, FileError> {
    let handed_in = crate::service::credential("");
    let content = if handed_in.is_some_and(|folder| path.starts_with(folder)) {
        match fs::read(path) {
            Ok(content) => Some(content),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(failed("read", path)(error)),
        }
    } else {
        read_secret(path)?
    };
    Ok(content.filter(|content| !content.is_empty()))
}

#[cfg(unix)]
fn check_private(path: &Path, file: &File) -> Result<(), FileError> {
    let unsafe_file =
        |path: &Path, problem, remedy| Err(FileError::Unsafe { path: path.to_owned(), problem, remedy });
    let us = rustix::process::geteuid().as_raw();
    // Root reads what a service of the system has written; it writes nothing there.
    let of_service = is_root() && crate::service::is_in_state_folder(path);
    let found = file.metadata().map_err(failed("look at", path))?;
    if !found.is_file() {
        return unsafe_file(path, "it is no file", "put a file there");
    }
    if found.uid() != us && !of_service {
        return unsafe_file(path, "it belongs to another user", "change its owner with chown");
    }
    if found.mode() & 0o077 != 0 {
        return unsafe_file(path, "other users can read or change it", "run chmod 600 on it");
    }
    if let Some(dir) = path.parent() {
        let found = fs::metadata(dir).map_err(failed("look at", dir))?;
        if found.uid() != us && found.uid() != 0 && !of_service {
            return unsafe_file(dir, "it belongs to another user", "change its owner with chown");
        }
        if found.mode() & 0o022 != 0 {
            return unsafe_file(dir, "other users can put files into it", "run chmod 700 on it");
        }
    }
    Ok(())
}

#[cfg(not(unix))]
fn check_private(_: &Path, _: &File) -> Result<(), FileError> {
    Ok(()) // the profile folder's access list keeps others out
}

/// True when every user of this computer may read a file. Those of its group may have been chosen to.
#[cfg(unix)]
pub fn is_readable_by_all(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|found| found.mode() & 0o004 != 0)
}

/// As on Unix; on Windows the access list is not looked at.
#[cfg(not(unix))]
pub fn is_readable_by_all(_: &Path) -> bool {
    false
}

/// Refuses a config file that other users can change: they could point a service somewhere else.
///
/// # Errors
/// [`FileError::Unsafe`]; a file that is not there is fine.
pub fn check_not_writable_by_others(path: &Path) -> Result<(), FileError> {
    check_owner(path)?;
    #[cfg(unix)]
    if fs::metadata(path).is_ok_and(|found| found.mode() & 0o022 != 0) {
        let (problem, remedy) = ("other users can change it", "run chmod go-w on it");
        return Err(FileError::Unsafe { path: path.to_owned(), problem, remedy });
    }
    #[cfg(not(unix))]
    let _ = path;
    Ok(())
}

/// Whether what lies beside a program is of somebody who could change the program itself: its owner, this user, or root.
/// In a folder where everybody may put files, such as `/tmp`, it may be anybody's. A link is nobody's.
///
/// # Errors
/// [`io::Error`] when one of them cannot be looked at. A program that is not there is nobody's.
#[cfg(unix)]
pub(crate) fn is_of_programs_owner(beside: &Path, program: &Path) -> io::Result<bool> {
    let found = fs::symlink_metadata(beside)?;
    let program = match fs::metadata(program) {
        Ok(program) => Some(program),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    let us = rustix::process::geteuid().as_raw();
    let is_of = |user: u32| found.uid() == user;
    let is_trusted = is_of(us) || is_of(0) || program.as_ref().is_some_and(|program| is_of(program.uid()));
    // Some file systems know no rights, and everybody may change everything.
    let is_open = |found: &fs::Metadata| found.mode() & 0o002 != 0;
    let is_kept = !is_open(&found) || program.as_ref().is_some_and(is_open);
    Ok(is_trusted && found.is_file() && is_kept)
}

/// As on Unix; on Windows the folder's access list keeps others out.
///
/// # Errors
/// [`io::Error`] when it cannot be looked at.
#[cfg(not(unix))]
pub(crate) fn is_of_programs_owner(beside: &Path, _: &Path) -> io::Result<bool> {
    fs::symlink_metadata(beside).map(|_| true)
}

/// A path of a config file, whose folder is where it begins unless it is absolute. With the system's own separators: people
/// may well write slashes on Windows, and are shown the whole path again.
pub fn resolve(folder: &Path, path: &Path) -> PathBuf {
    folder.join(path).components().collect()
}

/// The user's home folder.
pub fn home() -> Option<PathBuf> {
    std::env::home_dir().filter(|home| home.is_absolute())
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_stays_private() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        write_private(&path, b"one").unwrap();
        write_private(&path, b"two").unwrap();
        assert_eq!(read_secret(&path).unwrap().unwrap(), b"two");
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "no temporary file is left");
        assert!(write_private(&dir.path().join("no/such/folder"), b"x").is_err());
    }

    #[test]
    fn a_persons_file_keeps_its_rights_and_a_secret_never_does() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.toml");
        let mode = || fs::metadata(&path).unwrap().mode() & 0o777;
        write_keeping_rights(&path, b"new").unwrap();
        assert_eq!(mode(), 0o600);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        write_keeping_rights(&path, b"edited").unwrap();
        assert_eq!(mode(), 0o644);
        write_private(&path, b"secret").unwrap();
        assert_eq!(mode(), 0o600);
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::chown(&path, Some(12_345), Some(12_345)).unwrap();
            write_keeping_rights(&path, b"by root").unwrap();
            assert_eq!(fs::metadata(&path).unwrap().uid(), 12_345);
        }
    }

    #[test]
    fn a_secret_that_does_not_end_is_not_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        write_private(&path, b"short").unwrap();
        assert_eq!(read_secret(&path).unwrap().as_deref(), Some(b"short".as_slice()));
        // Longer than the memory of any computer.
        OpenOptions::new().write(true).open(&path).unwrap().set_len(1 << 42).unwrap();
        let error = read_secret(&path).unwrap_err();
        assert!(crate::cli::chain(&error).contains("too large"), "{error}");
    }

    #[test]
    fn a_folder_that_others_can_write_to_is_no_place_for_keys() {
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).unwrap();
        assert!(matches!(make_private_dir(dir.path()).unwrap_err(), FileError::Unsafe { .. }));
        make_private_dir(&dir.path().join("own")).unwrap();
    }

    #[test]
    fn what_a_killed_writer_left_is_swept_up() {
        let dir = tempfile::tempdir().unwrap();
        let old = dir.path().join(".device.key.4711.new");
        let fresh = dir.path().join(".device.key.4712.new");
        for path in [&old, &fresh, &dir.path().join("mine.new"), &dir.path().join(".profile.new")] {
            fs::write(path, "x").unwrap();
        }
        let before = std::time::SystemTime::now() - std::time::Duration::from_secs(90);
        File::open(&old).unwrap().set_modified(before).unwrap();
        sweep(dir.path());
        assert!(!old.exists() && fresh.exists());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 3);
    }

    #[test]
    fn a_link_stays_a_link() {
        let dir = tempfile::tempdir().unwrap();
        let (link, target) = (dir.path().join("config.toml"), dir.path().join("real.toml"));
        fs::write(&target, "old").unwrap();
        std::os::unix::fs::symlink(&target, &link).unwrap();
        write_keeping_rights(&link, b"new").unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read(&target).unwrap(), b"new");
    }

    #[test]
    fn what_a_program_writes_for_itself_goes_nowhere_else() {
        let dir = tempfile::tempdir().unwrap();
        let (link, target) = (dir.path().join("config.last-good.toml"), dir.path().join("somebody's"));
        for write in [write_private, write_public] {
            fs::write(&target, "old").unwrap();
            std::os::unix::fs::symlink(&target, &link).unwrap();
            write(&link, b"new").unwrap();
            assert_eq!(
                (fs::read(&target).unwrap(), fs::read(&link).unwrap()),
                (b"old".into(), b"new".into())
            );
            fs::remove_file(&link).unwrap();
        }
    }

    #[test]
    fn root_does_not_use_what_another_user_owns() {
        let dir = tempfile::tempdir().unwrap();
        let (file, folder) = (dir.path().join("config.toml"), dir.path().join("folder"));
        fs::write(&file, "").unwrap();
        fs::create_dir(&folder).unwrap();
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&folder, &link).unwrap();
        check_not_writable_by_others(&file).unwrap();
        make_private_dir(&link).unwrap();
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::lchown(&link, Some(12_345), None).unwrap();
            let refused = |result| matches!(result, Err(FileError::Unsafe { .. }));
            assert!(refused(make_private_dir(&link)), "a link to our own folder, made by somebody else");
            for path in [&file, &folder] {
                std::os::unix::fs::chown(path, Some(12_345), None).unwrap();
            }
            assert!(refused(make_private_dir(&folder)) && refused(check_not_writable_by_others(&file)));
        }
    }

    #[test]
    fn secrets_that_others_could_touch_are_not_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        assert!(read_secret(&path).unwrap().is_none());
        write_private(&path, b"key").unwrap();
        let set = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        for mode in [0o644, 0o640, 0o604, 0o620] {
            set(&path, mode);
            let error = read_secret(&path).unwrap_err();
            assert!(matches!(error, FileError::Unsafe { .. }), "{mode:o}: {error}");
        }
        set(&path, 0o600);
        set(dir.path(), 0o777);
        assert!(matches!(read_secret(&path).unwrap_err(), FileError::Unsafe { .. }));
        set(dir.path(), 0o700);
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(matches!(read_secret(&link).unwrap_err(), FileError::Unsafe { .. }));
        assert!(read_secret(&path).is_ok());
    }
}
