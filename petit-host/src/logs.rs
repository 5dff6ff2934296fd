//! Logs: to a file that stays small, to the terminal when there is one, at a level that can be changed while
//! the program runs.

#[cfg(target_os = "linux")]
mod journal;
mod reading;
mod rotating;

use std::io::{self, Write};
use std::path::Path;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt, reload};

pub use self::reading::{Follow, each_line, tail};
pub use self::rotating::{FILE_BYTES, FILES, RotatingFile};

/// What the targets of our own crates begin with.
const OWN_CRATES: &str = "petit_";

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
pub struct LevelHandle {
    filter: reload::Handle<Targets, tracing_subscriber::Registry>,
    level: Arc<Mutex<Level>>,
}

impl LevelHandle {
    /// Logs at `level` from now on.
    pub fn set(&self, level: Level) {
        let mut now = self.level.lock().unwrap_or_else(PoisonError::into_inner);
        *now = level;
        let _ = self.filter.reload(level.targets());
    }

    /// How much is logged now.
    pub fn level(&self) -> Level {
        *self.level.lock().unwrap_or_else(PoisonError::into_inner)
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
        let layer = fmt::layer().with_ansi(false).with_target(false).without_time().with_writer(io::stderr);
        #[cfg(target_os = "linux")]
        let layer = layer.map_event_format(journal::Prioritised::new);
        outs.push(layer.boxed());
    }
    tracing_subscriber::registry().with(outs.with_filter(filter)).try_init().map_err(io::Error::other)?;
    Ok(LevelHandle { filter: handle, level: Arc::new(Mutex::new(level)) })
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
}
