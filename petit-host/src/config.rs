//! The config file that both programs have: where it is (`place`), how it is read and checked, how it is changed
//! (`change`).
//!
//! Each program has a part of it, and says itself what stands there ([`Part`]); the other's part is not looked at.

pub mod change;
mod place;

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

pub use self::place::{ConfigPath, FoundBy, Place};
use crate::cli::chain;
use crate::files::{self, FileError};
use crate::toml_file::{Fault, Note, TomlError};

/// More than any config file has: what is larger is another file, or none that ends.
pub const MOST_BYTES: u64 = 8 * 1024 * 1024;

/// A program's part of the config file, as values.
pub trait Part: Sized {
    /// What is wrong where each value can be read.
    type Misfit: std::error::Error + 'static;

    /// Reads and checks a config's text. `path` is for what is said of it.
    ///
    /// # Errors
    /// [`ConfigError`].
    fn parse(path: &Path, text: &str) -> Result<(Self, Vec<Note>), ConfigError<Self::Misfit>>;

    /// All that is wrong with a config's text, in its order, as far as it can be found in one go.
    fn mistakes(path: &Path, text: &str) -> Vec<ConfigError<Self::Misfit>>;
}

/// Why there is no config to run with.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError<M: std::error::Error + 'static> {
    /// There is no file.
    #[error("there is no config file at {}", path.display())]
    Missing {
        /// Where it should be.
        path: PathBuf,
    },
    /// It cannot be read.
    #[error("cannot read {}", path.display())]
    Unreadable {
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Something in it is wrong.
    #[error(transparent)]
    Invalid(#[from] TomlError),
    /// Each value can be read, but they do not make a program's part.
    #[error("{}: {misfit}", path.display())]
    Part { path: PathBuf, misfit: M },
    /// Others can change it.
    #[error(transparent)]
    Unsafe(#[from] FileError),
}

/// The text that a file or another source holds, when it is no longer than a config is.
///
/// # Errors
/// What the system said, or that it is longer.
pub fn text_of(source: impl Read) -> io::Result<String> {
    let mut text = String::new();
    source.take(MOST_BYTES + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MOST_BYTES {
        let problem = format!("it is larger than {} MiB, as no config file is", MOST_BYTES >> 20);
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, problem));
    }
    Ok(text)
}

/// Reads a config file that nobody else can change.
///
/// # Errors
/// [`ConfigError`].
pub fn read<M: std::error::Error>(path: &Path) -> Result<String, ConfigError<M>> {
    files::check_not_writable_by_others(path)?;
    match File::open(path).and_then(text_of) {
        Ok(text) => Ok(text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(ConfigError::Missing { path: path.to_owned() })
        }
        Err(source) => Err(ConfigError::Unreadable { path: path.to_owned(), source }),
    }
}

/// Reads and checks a config file.
///
/// # Errors
/// [`ConfigError`].
pub fn load<P: Part>(path: &Path) -> Result<(P, Vec<Note>), ConfigError<P::Misfit>> {
    P::parse(path, &read(path)?)
}

/// A config's text with a program's part put behind what is there, which stays as it is.
pub fn with_part(before: &str, part: &str) -> String {
    match before.trim_end() {
        "" => part.to_owned(),
        before => format!("{before}\n\n{part}"),
    }
}

/// All that is wrong with a config's text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistakes {
    /// A line for each.
    pub found: Vec<String>,
    /// It is no TOML from some place on, so what stands behind that was not looked at.
    pub syntax: bool,
}

impl Mistakes {
    /// Of a text that cannot be used because of `first`. `None` where that is no mistake in it, or there is none any
    /// more, because it was corrected just now.
    pub fn of<P: Part>(path: &Path, text: &str, first: &ConfigError<P::Misfit>) -> Option<Self> {
        let syntax = match first {
            ConfigError::Invalid(error) => *error.fault == Fault::Syntax,
            ConfigError::Part { .. } => false,
            ConfigError::Missing { .. } | ConfigError::Unreadable { .. } | ConfigError::Unsafe(_) => {
                return None;
            }
        };
        let found: Vec<String> = P::mistakes(path, text).iter().map(|error| chain(error)).collect();
        (!found.is_empty()).then_some(Self { found, syntax })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, thiserror::Error)]
    #[error("no part of ours")]
    pub(super) struct NoPart;

    /// A part that is one word.
    #[derive(Debug, PartialEq)]
    pub(super) struct Word(pub(super) String);

    impl Part for Word {
        type Misfit = NoPart;

        fn parse(path: &Path, text: &str) -> Result<(Self, Vec<Note>), ConfigError<NoPart>> {
            match text.trim() {
                "" => Err(ConfigError::Part { path: path.to_owned(), misfit: NoPart }),
                word => Ok((Self(word.to_owned()), Vec::new())),
            }
        }

        fn mistakes(path: &Path, text: &str) -> Vec<ConfigError<NoPart>> {
            Self::parse(path, text).err().into_iter().collect()
        }
    }

    #[test]
    fn a_file_that_is_not_there_and_one_that_does_not_end_are_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.toml");
        assert!(matches!(load::<Word>(&path), Err(ConfigError::Missing { .. })));
        let most = "x".repeat(usize::try_from(MOST_BYTES).unwrap());
        files::write_private(&path, most.as_bytes()).unwrap();
        assert_eq!(load::<Word>(&path).unwrap().0, Word(most.clone()));
        files::write_private(&path, format!("{most}x").as_bytes()).unwrap();
        let said = chain(&load::<Word>(&path).unwrap_err());
        assert!(said.starts_with("cannot read ") && said.ends_with("as no config file is"), "{said}");
    }

    #[cfg(unix)]
    #[test]
    fn a_file_that_others_can_change_is_not_used() {
        use std::os::unix::fs::PermissionsExt;

        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.toml");
        files::write_private(&path, b"word").unwrap();
        assert_eq!(load::<Word>(&path).unwrap().0, Word("word".to_owned()));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o620)).unwrap();
        assert!(matches!(load::<Word>(&path), Err(ConfigError::Unsafe(_))));
    }

    #[test]
    fn a_part_is_put_behind_what_is_there() {
        assert_eq!(with_part("", "[client]\n"), "[client]\n");
        assert_eq!(with_part(" \n", "[client]\n"), "[client]\n");
        assert_eq!(with_part("[server]\nx = 1\n\n\n", "[client]\n"), "[server]\nx = 1\n\n[client]\n");
    }

    #[test]
    fn what_is_no_mistake_in_the_text_is_not_listed_as_one() {
        let path = Path::new("/c.toml");
        let misfit = ConfigError::Part { path: path.to_owned(), misfit: NoPart };
        let found = Mistakes { found: vec!["/c.toml: no part of ours".to_owned()], syntax: false };
        assert_eq!(Mistakes::of::<Word>(path, "", &misfit), Some(found));
        assert_eq!(Mistakes::of::<Word>(path, "corrected", &misfit), None);
        let missing = ConfigError::Missing { path: path.to_owned() };
        assert_eq!(Mistakes::of::<Word>(path, "", &missing), None);
    }
}
