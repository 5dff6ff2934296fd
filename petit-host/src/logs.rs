//! Logs: to a file that stays small, to the terminal when there is one, at a level that can be changed while
//! the program runs.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt, reload};

/// What the targets of our own crates begin with.
const OWN_CRATES: &str = "petit_";
/// Bytes of one log file, unless its owner says otherwise.
pub const FILE_BYTES: u64 = 1024 * 1024;
/// Log files kept, the one in use included.
pub const FILES: usize = 5;
/// A file that could not be put aside is tried again after so many further bytes.
const TRY_AGAIN_BYTES: u64 = 64 * 1024;

/// How much is logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// What stops Petit.
    Error,
    /// What somebody should look at.
    Warn,
    /// Changes that a user would notice.
    #[default]
    Info,
    /// Decisions.
    Debug,
    /// Everything.
    Trace,
}

impl FromStr for Level {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(match text.to_ascii_lowercase().as_str() {
            "error" => Self::Error,
            "warn" | "warning" => Self::Warn,
            "info" => Self::Info,
            "debug" => Self::Debug,
            "trace" => Self::Trace,
            _ => return Err("a log level is one of error, warn, info, debug, trace".to_owned()),
        })
    }
}

impl std::fmt::Display for Level {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        })
    }
}

impl Level {
    /// Our own crates at this level; others, whose traces may hold what passes through them, at `warn` at most.
    fn targets(self) -> Targets {
        let own = match self {
            Self::Error => LevelFilter::ERROR,
            Self::Warn => LevelFilter::WARN,
            Self::Info => LevelFilter::INFO,
            Self::Debug => LevelFilter::DEBUG,
            Self::Trace => LevelFilter::TRACE,
        };
        let others = own.min(LevelFilter::WARN);
        Targets::new().with_default(others).with_target(OWN_CRATES, own)
    }
}

/// Changes the level of the running program.
#[derive(Clone)]
pub struct LevelHandle(reload::Handle<Targets, tracing_subscriber::Registry>);

impl LevelHandle {
    /// Logs at `level` from now on.
    pub fn set(&self, level: Level) {
        let _ = self.0.reload(level.targets());
    }
}

impl std::fmt::Debug for LevelHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LevelHandle")
    }
}

/// Starts logging: to `file`, and to standard error when `terminal` is set.
///
/// # Errors
/// When the file cannot be opened, or logging has been started before.
pub fn start(file: Option<&Path>, terminal: bool, level: Level) -> io::Result<LevelHandle> {
    let file = file.map(RotatingFile::open).transpose()?.map(FileHandle::new);
    start_to(file.as_ref(), terminal, level)
}

/// As [`start`], to a file that can be exchanged while the program runs.
///
/// # Errors
/// When logging has been started before.
pub fn start_to(file: Option<&FileHandle>, terminal: bool, level: Level) -> io::Result<LevelHandle> {
    type Out = Box<dyn Layer<tracing_subscriber::Registry> + Send + Sync>;
    let (filter, handle) = reload::Layer::new(level.targets());
    let mut outs: Vec<Out> = Vec::new();
    if let Some(file) = file {
        let file = file.clone();
        outs.push(fmt::layer().with_ansi(false).with_writer(move || file.clone()).boxed());
    }
    if terminal {
        let layer = fmt::layer().with_ansi(false).with_target(false).without_time();
        outs.push(layer.with_writer(io::stderr).boxed());
    }
    tracing_subscriber::registry().with(outs.with_filter(filter)).try_init().map_err(io::Error::other)?;
    Ok(LevelHandle(handle))
}

/// A log file in use, which can be exchanged for another one. A program that takes a client over from another
/// process must not write to its log before.
#[derive(Clone, Debug)]
pub struct FileHandle(Arc<Mutex<RotatingFile>>);

impl FileHandle {
    /// Logs to `file`.
    pub fn new(file: RotatingFile) -> Self {
        Self(Arc::new(Mutex::new(file)))
    }

    /// Logs to another file from now on.
    ///
    /// # Errors
    /// When the system refuses; the old one goes on then.
    pub fn reopen(&self, path: &Path) -> io::Result<()> {
        let file = RotatingFile::open(path)?;
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = file;
        Ok(())
    }

    /// Keeps so many bytes from now on, all files of the log together.
    pub fn set_size(&self, bytes: u64) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).set_size(bytes);
    }
}

impl Write for FileHandle {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write(line)
    }

    /// In one piece: no other line gets in between, and no new file is begun within.
    fn write_all(&mut self, line: &[u8]) -> io::Result<()> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write_all(line)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).flush()
    }
}

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
}

impl RotatingFile {
    /// Opens `path` for appending.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = open(path)?;
        let written = file.metadata()?.len();
        Ok(Self { path: path.to_owned(), file, written, most: FILE_BYTES, full_at: FILE_BYTES })
    }

    /// Keeps so many bytes from now on, all files together.
    pub fn set_size(&mut self, bytes: u64) {
        self.most = (bytes / FILES as u64).max(1);
        self.full_at = self.most;
    }

    /// Begins a new file, and makes room for the full one. The new one is there before anything is moved, so that a
    /// disk that is full costs no line of what was kept.
    fn rotate(&mut self) -> io::Result<()> {
        if self.was_put_aside() {
            let file = open(&self.path)?;
            self.written = file.metadata()?.len();
            self.file = file;
            return Ok(());
        }
        let mut new = self.path.as_os_str().to_owned();
        new.push(".new");
        let new = PathBuf::from(new);
        let file = open(&new)?;
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
            (Err(_), _) | (_, Err(_)) => false,
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

impl Write for RotatingFile {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        // A line is never divided between two files. When the disk is full the old file goes on.
        if self.written > 0 && self.written + line.len() as u64 > self.full_at {
            self.full_at = match self.rotate() {
                Ok(()) => self.most,
                Err(_) => self.written + TRY_AGAIN_BYTES,
            };
        }
        let written = self.file.write(line)?;
        self.written += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

fn numbered(path: &Path, number: usize) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    PathBuf::from(name)
}

/// The last `lines` lines of a log, older files included, oldest first.
///
/// # Errors
/// When a file that is there cannot be read.
pub fn tail(path: &Path, lines: usize) -> io::Result<Vec<String>> {
    let mut kept: Vec<String> = Vec::new();
    for number in 0..FILES {
        let file = if number == 0 { path.to_owned() } else { numbered(path, number) };
        let text = match fs::read(&file) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        let mut older: Vec<String> = text.lines().map(str::to_owned).collect();
        older.append(&mut kept);
        kept = older;
        if kept.len() >= lines {
            break;
        }
    }
    Ok(kept.split_off(kept.len().saturating_sub(lines)))
}

/// Follows a log as it grows, across rotation.
#[derive(Debug)]
pub struct Follow {
    path: PathBuf,
    file: Option<File>,
    rest: String,
}

impl Follow {
    /// From the present end on.
    pub fn from_end(path: &Path) -> Self {
        let file = File::open(path).and_then(|mut file| {
            io::Seek::seek(&mut file, io::SeekFrom::End(0))?;
            Ok(file)
        });
        Self { path: path.to_owned(), file: file.ok(), rest: String::new() }
    }

    /// The whole lines that have been added since the last call.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn next_lines(&mut self) -> io::Result<Vec<String>> {
        let mut lines = Vec::new();
        loop {
            if let Some(file) = &mut self.file {
                let mut bytes = Vec::new();
                io::Read::read_to_end(file, &mut bytes)?;
                self.rest.push_str(&String::from_utf8_lossy(&bytes));
                while let Some(end) = self.rest.find('\n') {
                    let line: String = self.rest.drain(..=end).collect();
                    lines.push(line.trim_end_matches('\n').to_owned());
                }
                if !self.is_replaced() {
                    return Ok(lines);
                }
            }
            match File::open(&self.path) {
                Ok(file) => self.file = Some(file),
                Err(_) => return Ok(lines),
            }
        }
    }

    /// True when another file has taken the path of the one being read.
    fn is_replaced(&self) -> bool {
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt;
            let here = self.file.as_ref().and_then(|file| file.metadata().ok());
            let there = fs::metadata(&self.path).ok();
            match (here, there) {
                (Some(here), Some(there)) => (here.dev(), here.ino()) != (there.dev(), there.ino()),
                (_, None) => false,
                (None, Some(_)) => true,
            }
        }
        #[cfg(not(unix))]
        false
    }
}

/// Collects log lines in memory; for tests that look for what must not be logged.
#[derive(Clone, Debug, Default)]
pub struct Memory(Arc<Mutex<Vec<u8>>>);

impl Memory {
    /// All that was written.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }
}

impl Write for Memory {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_holds_what_every_crate_of_ours_says() {
        let workspace = include_str!("../../Cargo.toml");
        let members = workspace.lines().find_map(|line| line.strip_prefix("members = [")).unwrap();
        let crates = members.split('"').filter(|name| name.starts_with("petit-"));
        let crates: Vec<String> = crates.map(|name| name.replace('-', "_")).collect();
        assert!(crates.contains(&"petit_client".to_owned()), "{crates:?}");
        let targets = Level::Info.targets();
        for name in crates.iter().chain([&"petit_desktop".to_owned()]) {
            assert!(targets.would_enable(name, &tracing::Level::INFO), "{name}");
        }
        assert!(!targets.would_enable("hyper", &tracing::Level::INFO));
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

    #[test]
    fn tail_and_follow_read_across_files() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("client.log");
        fs::write(dir.path().join("client.log.1"), "a\nb\n").unwrap();
        fs::write(&path, "c\nd\n").unwrap();
        assert_eq!(tail(&path, 3).unwrap(), ["b", "c", "d"]);
        assert_eq!(tail(&path, 9).unwrap(), ["a", "b", "c", "d"]);
        let mut follow = Follow::from_end(&path);
        assert!(follow.next_lines().unwrap().is_empty());
        let mut log = RotatingFile::open(&path).unwrap();
        log.write_all(b"e\nhal").unwrap();
        assert_eq!(follow.next_lines().unwrap(), ["e"]);
        log.write_all(b"f\n").unwrap();
        log.rotate().unwrap();
        log.write_all(b"g\n").unwrap();
        assert_eq!(follow.next_lines().unwrap(), ["half", "g"]);
        assert!(tail(&dir.path().join("none.log"), 5).unwrap().is_empty());
    }
}
