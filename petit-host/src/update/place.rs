//! The files of a program while it is updated. The new one is laid beside the old one and takes its place by one rename,
//! so that at any moment there is a whole program under its name; the old one stays until the new one works.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use super::artifact::{Intake, Unfit};
use super::decision::Owner;
use super::manifest::Artifact;
use crate::files::{self, FileError, failed};

/// The file beside the program that names the root keys.
pub const ROOTS: &str = "petit-roots.pub";

/// A program, and the files beside it.
#[derive(Clone, Debug)]
pub struct Place {
    program: PathBuf,
}

/// Why an artifact was not laid beside the program. Nothing of it is left then.
#[derive(Debug, thiserror::Error)]
pub enum StageError {
    #[error("it cannot be read")]
    Read(#[source] io::Error),
    #[error(transparent)]
    Write(#[from] FileError),
    #[error(transparent)]
    Unfit(#[from] Unfit),
}

/// Whether there was an old program to go back to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WayBack {
    /// It is in its place again.
    Taken,
    /// There was none: it is in its place already, or somebody has removed it.
    None,
}

impl Place {
    /// That of a program, by its own path and no link to it.
    pub fn of(program: &Path) -> Self {
        Self { program: program.to_owned() }
    }

    /// The program.
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// Where the root keys are named. Whoever can change this file can change the program beside it.
    pub fn roots(&self) -> PathBuf {
        self.program.with_file_name(ROOTS)
    }

    /// The new program before it takes its place.
    pub fn staged(&self) -> PathBuf {
        self.beside("staged")
    }

    /// The old program while the new one is on trial.
    pub fn previous(&self) -> PathBuf {
        self.beside("previous")
    }

    /// Who changes the program's files. What lies where packages put programs is the package manager's; where a program
    /// came with an installer, so does the next one.
    pub fn owner(&self) -> Owner {
        let is_packaged = self.program.starts_with("/usr") && !self.program.starts_with("/usr/local");
        if cfg!(unix) && !is_packaged { Owner::Itself } else { Owner::Other }
    }

    /// Lays an artifact beside the program, when it is the one that was signed.
    ///
    /// # Errors
    /// [`StageError`].
    pub fn stage(&self, artifact: &Artifact, mut from: impl Read) -> Result<(), StageError> {
        let staged = self.staged();
        files::remove(&staged)?;
        let done = self.fill(&staged, artifact, &mut from);
        if done.is_err() {
            let _ = fs::remove_file(&staged);
        }
        done
    }

    fn fill(&self, staged: &Path, artifact: &Artifact, from: &mut impl Read) -> Result<(), StageError> {
        let mut intake = Intake::begin(artifact);
        let mut file = File::create_new(staged).map_err(failed("write", staged))?;
        let mut piece = vec![0; 64 * 1024];
        loop {
            let read = from.read(&mut piece).map_err(StageError::Read)?;
            let Some(piece) = piece.get(..read).filter(|piece| !piece.is_empty()) else { break };
            intake.take(piece)?;
            file.write_all(piece).map_err(failed("write", staged))?;
        }
        intake.finish()?;
        // Who may run the old one may run the new one.
        let rights = fs::metadata(&self.program).map_err(failed("look at", &self.program))?.permissions();
        file.set_permissions(rights).map_err(failed("write", staged))?;
        file.sync_all().map_err(failed("write", staged))?;
        Ok(())
    }

    /// Puts the new program into the place of the old one, which is kept.
    ///
    /// # Errors
    /// [`FileError`]; the old program is in its place then.
    pub fn switch(&self) -> Result<(), FileError> {
        let (program, previous) = (&self.program, self.previous());
        files::remove(&previous)?;
        // A second name of the same file, so that there is no moment without a program; not every file system has them.
        if fs::hard_link(program, &previous).is_err() {
            fs::copy(program, &previous).map_err(failed("copy", program))?;
        }
        fs::rename(self.staged(), program).map_err(failed("write", program))?;
        self.sync()
    }

    /// Puts the old program back into its place, where it is still there.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn put_back(&self) -> Result<WayBack, FileError> {
        match fs::rename(self.previous(), &self.program) {
            Ok(()) => self.sync().map(|()| WayBack::Taken),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(WayBack::None),
            Err(error) => Err(failed("write", &self.program)(error)),
        }
    }

    /// Removes what an update has left beside the program.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn clean(&self) -> Result<(), FileError> {
        files::remove(&self.staged())?;
        files::remove(&self.previous())
    }

    fn sync(&self) -> Result<(), FileError> {
        let folder = self.program.parent().unwrap_or(Path::new("/"));
        files::sync_dir(folder).map_err(failed("write", &self.program))
    }

    fn beside(&self, what: &str) -> PathBuf {
        let name = self.program.file_name().unwrap_or_default().to_string_lossy();
        self.program.with_file_name(format!(".{name}.{what}"))
    }
}
