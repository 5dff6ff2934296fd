//! A log file that stays small.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Bytes of one log file, unless its owner says otherwise.
pub const FILE_BYTES: u64 = 1024 * 1024;
/// Log files kept, the one in use included.
pub const FILES: usize = 5;
/// A file that could not be put aside is tried again after so many further bytes.
const TRY_AGAIN_BYTES: u64 = 64 * 1024;

/// A log file that is put aside when it is full: `client.log`, `client.log.1` … `client.log.4`.
#[derive(Debug)]
pub struct RotatingFile {
    path: PathBuf,
    file: File,
    written: u64,
    /// What a file may hold.
    most: u64,
    /// The size at which the file is put aside: `most`, or more when that has failed.
    full_at: u64,
    /// The last line ends in the middle, because the disk was full.
    is_torn: bool,
}

impl RotatingFile {
    /// Opens `path` for appending.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = open(path)?;
        let written = file.metadata()?.len();
        let is_torn = written > 0 && ends_within_a_line(path);
        Ok(Self { path: path.to_owned(), file, written, most: FILE_BYTES, full_at: FILE_BYTES, is_torn })
    }

    /// Keeps so many bytes from now on, all files together.
    pub fn set_size(&mut self, bytes: u64) {
        self.most = (bytes / FILES as u64).max(1);
        self.full_at = self.most;
    }

    /// Begins a new file, and makes room for the full one. The new one is there before anything is moved, so that a
    /// disk that is full costs no line of what was kept.
    pub(super) fn rotate(&mut self) -> io::Result<()> {
        if self.was_put_aside() {
            let file = open(&self.path)?;
            self.written = file.metadata()?.len();
            self.file = file;
            return Ok(());
        }
        let mut new = self.path.as_os_str().to_owned();
        new.push(".new");
        let new = PathBuf::from(new);
        // Whoever makes it moves the others; another process that writes the same log waits for its next chance.
        let file = begin(&new)?;
        if self.was_put_aside() {
            let _ = fs::remove_file(&new);
            return self.rotate();
        }
        let moved = make_room(&self.path).and_then(|()| fs::rename(&new, &self.path));
        if let Err(error) = moved {
            let _ = fs::remove_file(&new);
            return Err(error);
        }
        self.file = file;
        self.written = 0;
        Ok(())
    }
}

/// A new file that is older was left behind by a process that was killed.
const ABANDONED: Duration = Duration::from_secs(60);

/// Begins the file that comes in the place of one that is full.
fn begin(new: &Path) -> io::Result<File> {
    let modified = fs::metadata(new).and_then(|found| found.modified()).ok();
    // One of the future was begun under a clock that has been put right since.
    if modified.is_some_and(|at| at.elapsed().map_or(true, |age| age >= ABANDONED)) {
        fs::remove_file(new)?;
    }
    private().create_new(true).open(new)
}

impl RotatingFile {
    /// True when another process that writes the same log, as one does while it takes this one's place, has begun a new
    /// file already.
    #[cfg(unix)]
    fn was_put_aside(&self) -> bool {
        use std::os::unix::fs::MetadataExt;
        let same = |ours: &fs::Metadata, there: &fs::Metadata| {
            (ours.dev(), ours.ino()) == (there.dev(), there.ino())
        };
        match (self.file.metadata(), fs::metadata(&self.path)) {
            (Ok(ours), Ok(there)) => !same(&ours, &there),
            // Both have begun a new file at the same moment, or somebody has removed this one.
            (_, Err(error)) => error.kind() == io::ErrorKind::NotFound,
            (Err(_), _) => false,
        }
    }

    /// There no process takes another one's place.
    #[cfg(not(unix))]
    fn was_put_aside(&self) -> bool {
        false
    }
}

/// Moves each file on by one, up to the first number that is free; if none is, the oldest goes.
fn make_room(path: &Path) -> io::Result<()> {
    let free = (1..FILES).find(|number| !numbered(path, *number).exists()).unwrap_or(FILES - 1);
    for number in (1..=free).rev() {
        let from = if number == 1 { path.to_owned() } else { numbered(path, number - 1) };
        fs::rename(from, numbered(path, number))?;
    }
    Ok(())
}

impl RotatingFile {
    /// Puts the file aside when `bytes` more are too many for it. When the disk is full the old file goes on.
    fn make_room(&mut self, bytes: usize) {
        if self.written > 0 && self.written + bytes as u64 > self.full_at {
            self.full_at = match self.rotate() {
                Ok(()) => {
                    self.is_torn = false;
                    self.most
                }
                Err(_) => self.written + TRY_AGAIN_BYTES,
            };
        }
    }
}

impl Write for RotatingFile {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.make_room(line.len());
        let written = self.file.write(line)?;
        self.written += written as u64;
        Ok(written)
    }

    /// One line: never divided between two files, and never behind one that was cut.
    fn write_all(&mut self, line: &[u8]) -> io::Result<()> {
        self.make_room(line.len());
        let (written, result) = write_line(&mut self.file, &mut self.is_torn, line);
        self.written += written;
        result
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Whether the last line of a file was cut, by a full disk or a power cut. One that cannot be read is taken for whole.
fn ends_within_a_line(path: &Path) -> bool {
    let mut last = [b'\n'];
    let read = File::open(path).and_then(|mut file| {
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut last)
    });
    read.is_ok() && last != [b'\n']
}

/// Writes a line, on one of its own when the one before is torn, and says how many bytes that were.
fn write_line(out: &mut impl Write, is_torn: &mut bool, line: &[u8]) -> (u64, io::Result<()>) {
    let end_of_torn: &[u8] = if *is_torn { b"\n" } else { b"" };
    let mut written = 0;
    for mut rest in [end_of_torn, line] {
        while !rest.is_empty() {
            match out.write(rest) {
                Ok(0) => return (written, Err(io::ErrorKind::WriteZero.into())),
                Ok(bytes) => {
                    written += bytes as u64;
                    rest = rest.get(bytes..).unwrap_or_default();
                    *is_torn = !rest.is_empty();
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return (written, Err(error)),
            }
        }
    }
    (written, Ok(()))
}

fn open(path: &Path) -> io::Result<File> {
    private().create(true).open(path)
}

fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.append(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

pub(super) fn numbered(path: &Path, number: usize) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::super::FileHandle;
    use super::*;

    /// A disk with room for so many bytes.
    struct Disk {
        room: usize,
        bytes: Vec<u8>,
    }

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let taken = bytes.get(..self.room).unwrap_or(bytes);
            if taken.is_empty() {
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.room -= taken.len();
            self.bytes.extend_from_slice(taken);
            Ok(taken.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_line_that_was_cut_by_a_full_disk_swallows_none_of_those_behind_it() {
        let (mut disk, mut is_torn) = (Disk { room: 12, bytes: Vec::new() }, false);
        let write = |disk: &mut Disk, is_torn: &mut bool, line: &str| {
            write_line(disk, is_torn, line.as_bytes()).1.is_ok()
        };
        assert!(write(&mut disk, &mut is_torn, "first\n"));
        assert!(!write(&mut disk, &mut is_torn, "second line\n"));
        assert!(!write(&mut disk, &mut is_torn, "third\n"), "no room at all");
        disk.room = 1;
        assert!(!write(&mut disk, &mut is_torn, "fourth\n"), "room for the end of the cut one");
        disk.room = 100;
        assert!(write(&mut disk, &mut is_torn, "fifth\n"));
        assert!(write(&mut disk, &mut is_torn, "sixth\n"));
        assert_eq!(String::from_utf8_lossy(&disk.bytes), "first\nsecond\nfifth\nsixth\n");
    }

    #[test]
    fn of_two_processes_one_moves_the_files_and_a_killed_one_holds_up_nobody() {
        let dir = tempfile::tempdir().unwrap();
        let (path, new) = (dir.path().join("server.log"), dir.path().join("server.log.new"));
        let mut log = RotatingFile::open(&path).unwrap();
        log.write_all(b"before\n").unwrap();
        // Another one is at it.
        let other = File::create(&new).unwrap();
        log.rotate().unwrap_err();
        assert!(!numbered(&path, 1).exists() && new.exists());
        other.set_modified(std::time::SystemTime::now() - ABANDONED).unwrap();
        log.rotate().unwrap();
        log.write_all(b"after\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "after\n");
        assert_eq!(fs::read_to_string(numbered(&path, 1)).unwrap(), "before\n");
        assert!(!new.exists());

        let ahead = File::create(&new).unwrap();
        ahead.set_modified(std::time::SystemTime::now() + 100 * ABANDONED).unwrap();
        log.rotate().unwrap();
        assert!(!new.exists());
    }

    #[test]
    fn a_line_that_an_earlier_process_could_not_finish_is_ended_first() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("client.log");
        fs::write(&path, "whole\ncut in the mid").unwrap();
        RotatingFile::open(&path).unwrap().write_all(b"next\n").unwrap();
        RotatingFile::open(&path).unwrap().write_all(b"one more\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "whole\ncut in the mid\nnext\none more\n");
    }

    #[test]
    fn a_full_file_is_put_aside_and_the_oldest_goes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("client.log");
        let mut log = RotatingFile::open(&path).unwrap();
        let line = [b'x'; 1023];
        for _ in 0..(7 * 1024) {
            log.write_all(&line).unwrap();
            log.write_all(b"\n").unwrap();
        }
        let mut files: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|f| f.unwrap()).collect();
        files.sort_by_key(|file| file.file_name());
        assert_eq!(files.len(), FILES);
        assert!(files.iter().all(|file| file.metadata().unwrap().len() <= FILE_BYTES));
    }

    #[test]
    fn a_log_is_as_large_as_it_was_told_to_be() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("server.log");
        let log = FileHandle::new(RotatingFile::open(&path).unwrap());
        let size = || -> u64 {
            let files = fs::read_dir(dir.path()).unwrap();
            files.map(|file| file.unwrap().metadata().unwrap().len()).sum()
        };
        for (told, least) in [(100_000, 79_000), (400_000, 319_000), (50_000, 39_000)] {
            log.set_size(told);
            for _ in 0..10_000 {
                log.clone().write_all(&[b'x'; 100]).unwrap();
            }
            assert!((least..=told).contains(&size()), "{} of {told}", size());
        }
    }

    #[test]
    fn a_file_that_cannot_be_put_aside_goes_on_and_no_older_one_is_lost() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("client.log");
        for number in 1..FILES {
            fs::write(numbered(&path, number), format!("older {number}")).unwrap();
        }
        let mut log = RotatingFile::open(&path).unwrap();
        log.set_size(FILES as u64 * 10);
        log.write_all(b"first\n").unwrap();
        // What stands where a new file is begun cannot be opened for writing.
        let obstacle = dir.path().join("client.log.new");
        fs::create_dir(&obstacle).unwrap();
        for _ in 0..10 {
            log.write_all(b"further\n").unwrap();
        }
        assert_eq!(fs::read_to_string(&path).unwrap(), format!("first\n{}", "further\n".repeat(10)));
        for number in 1..FILES {
            assert_eq!(fs::read_to_string(numbered(&path, number)).unwrap(), format!("older {number}"));
        }
        fs::remove_dir(&obstacle).unwrap();
        // It is not tried at every line.
        log.write_all(b"further\n").unwrap();
        assert_eq!(fs::read_to_string(numbered(&path, 1)).unwrap(), "older 1");
        log.write_all(&vec![b'x'; TRY_AGAIN_BYTES as usize]).unwrap();
        assert!(fs::read_to_string(numbered(&path, 1)).unwrap().starts_with("first\nfurther\n"));
        assert_eq!(fs::read_to_string(numbered(&path, 2)).unwrap(), "older 1");
        assert_eq!(fs::read_to_string(numbered(&path, 4)).unwrap(), "older 3");
    }

    #[cfg(unix)]
    #[test]
    fn two_processes_that_write_one_log_put_no_file_aside_twice() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("server.log");
        let mut logs = [(); 2].map(|()| RotatingFile::open(&path).unwrap());
        for log in &mut logs {
            log.set_size(FILES as u64 * 100);
            log.write_all(&[b'1'; 60]).unwrap();
        }
        // The first begins a new file; the second finds its own aside, and goes on in the new one.
        for (log, digit) in logs.iter_mut().zip(*b"23") {
            log.write_all(&[digit; 50]).unwrap();
        }
        assert_eq!(fs::read(numbered(&path, 1)).unwrap(), [b'1'; 120]);
        assert_eq!(fs::read(&path).unwrap(), [[b'2'; 50], [b'3'; 50]].concat());
        assert!(!numbered(&path, 2).exists());
    }

    #[cfg(unix)]
    #[test]
    fn a_log_that_was_removed_is_begun_anew_and_no_older_file_is_lost() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("server.log");
        fs::write(numbered(&path, 1), "older").unwrap();
        let mut log = RotatingFile::open(&path).unwrap();
        log.set_size(FILES as u64 * 10);
        log.write_all(b"removed\n").unwrap();
        fs::remove_file(&path).unwrap();
        log.write_all(b"further\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "further\n");
        assert_eq!(fs::read_to_string(numbered(&path, 1)).unwrap(), "older");
    }
}
