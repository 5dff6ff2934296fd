//! The files of a program while it is updated. The new one is laid beside the old one and takes its place (`switching`); the
//! old one stays until the new one works.

use std::fs::{self, Permissions};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Once;
use std::time::Duration;

use super::MAX_ROOTS_BYTES;
use super::artifact::{Intake, PassError, Unfit};
use super::decision::Owner;
use super::form::{self, HistoryError};
use super::manifest::Artifact;
use super::retry::Retry;
use super::trial::Trial;
use super::verify::{InvalidRoots, Roots};
use crate::file_id::{self, FileId};
use crate::files::{self, FileError, failed};
use crate::lock::{Lock, LockError};

/// The file beside the program that names the root keys.
pub const ROOTS: &str = "petit-roots.pub";

/// A program, and the files beside it.
#[derive(Clone, Debug)]
pub struct Place {
    pub(super) program: PathBuf,
    pub(super) retry: Retry,
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

/// Why it is not known who signs.
#[derive(Debug, thiserror::Error)]
pub enum RootsError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error("{}", path.display())]
    Invalid {
        path: PathBuf,
        #[source]
        source: InvalidRoots,
    },
}

/// Which program is kept when another one takes its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// One that works: the way back for as long as the new one is on trial.
    Previous,
    /// One that is on trial itself: the way back until the new one serves. The one before it stays where it is.
    Replaced,
}

/// Held by whoever changes the files beside a program; the file is gone with it.
#[derive(Debug)]
pub struct PlaceLock {
    lock: Option<Lock>,
    path: PathBuf,
}

impl Drop for PlaceLock {
    fn drop(&mut self) {
        if let Some(lock) = self.lock.take() {
            lock.remove(&self.path);
        }
    }
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
        let retry = if cfg!(windows) { Retry::Soon } else { Retry::ByCaller };
        Self { program: program.to_owned(), retry }
    }

    /// The same, of somebody who may not be kept from everything else, such as from a tunnel, while another program has a file
    /// open: nothing is waited for, and who is told that it was not possible tries again later.
    #[must_use]
    pub fn without_waiting(self) -> Self {
        Self { retry: Retry::ByCaller, ..self }
    }

    /// The program.
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// Where the root keys are named: beside the program, or, where a package puts nothing but programs, in the package's own
    /// folder. Whoever can change this file can change the program.
    pub fn roots(&self) -> PathBuf {
        if self.program.parent() != Some(Path::new("/usr/bin")) {
            return self.program.with_file_name(ROOTS);
        }
        Path::new("/usr/lib").join(self.program.file_name().unwrap_or_default()).join(ROOTS)
    }

    /// The new program before it takes its place.
    pub fn staged(&self) -> PathBuf {
        self.program_beside("staged")
    }

    /// The old program while the new one is on trial.
    pub fn previous(&self) -> PathBuf {
        self.program_beside("previous")
    }

    /// The program that was on trial while another one takes its place.
    pub fn replaced(&self) -> PathBuf {
        self.program_beside("replaced")
    }

    fn trial_file(&self) -> PathBuf {
        self.beside("trial")
    }

    /// Keeps everybody else from the files beside the program, whichever client it is the program of. What somebody who was
    /// killed has left without a program at its path is [mended](Self::mend) then.
    ///
    /// # Errors
    /// [`LockError`].
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn lock(&self, limit: Duration) -> Result<PlaceLock, LockError> {
        let path = self.beside("updating");
        let lock = Lock::take_within(&path, limit).await?;
        let lock = PlaceLock { lock: Some(lock), path };
        if let Err(error) = self.mend(&lock) {
            tracing::error!(%error, "there is no program at its path");
        }
        Ok(lock)
    }

    /// The version that is on trial here.
    ///
    /// # Errors
    /// [`HistoryError`].
    pub fn trial(&self) -> Result<Option<Trial>, HistoryError> {
        let path = self.trial_file();
        if !self.is_own(&path) {
            return Ok(None);
        }
        form::read(&path)
    }

    /// Whether something is there that is not somebody else's: it says which program is run, or is that.
    pub(super) fn is_own(&self, path: &Path) -> bool {
        match files::is_of_programs_owner(path, &self.program) {
            Ok(true) => true,
            Ok(false) => {
                // It is looked at again and again.
                static SAID: Once = Once::new();
                SAID.call_once(|| {
                    tracing::warn!(path = %path.display(), "somebody else has put this beside the program; it counts for nothing");
                });
                false
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => false,
            // Whoever reads it says what is the matter.
            Err(_) => true,
        }
    }

    /// Writes a trial down, with the [lock](Self::lock) held.
    ///
    /// # Errors
    /// [`FileError`]; what was written before stands then.
    pub fn write_trial(&self, trial: &Trial) -> Result<(), FileError> {
        form::write(&self.trial_file(), trial)
    }

    /// The trial is over: removes what an update has left beside the program, with the [lock](Self::lock) held.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn end_trial(&self) -> Result<(), FileError> {
        // What is kept beside a program that is not there may be all that there is of it.
        fs::symlink_metadata(&self.program).map_err(failed("look at", &self.program))?;
        // Last what says that there is something to remove.
        for left in [self.staged(), self.replaced(), self.previous()] {
            self.discard(&left)?;
        }
        self.sweep();
        form::remove(&self.trial_file())
    }

    /// Whether this process runs the program that is at its path now; `None` where the system does not tell. Goes by what
    /// [`file_id::of_own_program`] has found first.
    pub fn is_of_this_process(&self) -> Option<bool> {
        let own = file_id::of_own_program()?;
        Some(FileId::at(&self.program).ok() == Some(own))
    }

    /// Who changes the program's files. What lies where packages put programs is the package manager's; where a program
    /// came with an installer, so does the next one.
    pub fn owner(&self) -> Owner {
        let is_packaged = if cfg!(windows) {
            // Ours lays it beside the programs that it brings.
            self.program.with_file_name("uninstall.exe").exists()
        } else {
            self.program.starts_with("/usr") && !self.program.starts_with("/usr/local")
        };
        if is_packaged { Owner::Other } else { Owner::Itself }
    }

    /// True when this process can lay another program beside this one and into its place.
    pub fn is_writable(&self) -> bool {
        #[cfg(unix)]
        {
            let folder = self.program.parent().unwrap_or(Path::new("/"));
            rustix::fs::access(folder, rustix::fs::Access::WRITE_OK).is_ok()
        }
        // There only who tries it learns what access lists come to.
        #[cfg(not(unix))]
        {
            let tried = self.beside(&format!("{}.tried", std::process::id()));
            files::create(&tried).is_ok_and(|file| {
                drop(file);
                fs::remove_file(&tried).is_ok()
            })
        }
    }

    /// Reads the root keys; `None` where there are none.
    ///
    /// # Errors
    /// [`RootsError`], also where others can change the file.
    pub fn read_roots(&self) -> Result<Option<Roots>, RootsError> {
        let path = self.roots();
        if fs::symlink_metadata(&path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
            return Ok(None);
        }
        files::check_not_writable_by_others(&path)?;
        let text = files::read_text(&path, MAX_ROOTS_BYTES).map_err(failed("read", &path))?;
        let roots = Roots::parse(&text);
        roots.map(Some).map_err(|source| RootsError::Invalid { path, source })
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
        let mut file = files::create(staged).map_err(failed("write", staged))?;
        intake.pass(from, &mut file).map_err(|error| match error {
            PassError::Read(error) => StageError::Read(error),
            PassError::Write(error) => failed("write", staged)(error).into(),
            PassError::Unfit(unfit) => unfit.into(),
        })?;
        intake.finish()?;
        // Who may run the old one may run the new one; until now nobody else may write it.
        let rights = fs::metadata(&self.program).map_err(failed("look at", &self.program))?.permissions();
        file.set_permissions(rights_of(&rights)).map_err(failed("write", staged))?;
        file.sync_all().map_err(failed("write", staged))?;
        Ok(())
    }

    pub(super) fn beside(&self, what: &str) -> PathBuf {
        let name = self.program.file_name().unwrap_or_default().to_string_lossy();
        self.program.with_file_name(format!(".{name}.{what}"))
    }

    /// A program beside this one, with an ending by which Windows knows it for one.
    pub(super) fn program_beside(&self, what: &str) -> PathBuf {
        let stem = self.program.file_stem().unwrap_or_default().to_string_lossy();
        match self.program.extension().filter(|ending| ending.eq_ignore_ascii_case("exe")) {
            Some(ending) => self.program.with_file_name(format!(".{stem}.{what}.{}", ending.display())),
            None => self.beside(what),
        }
    }
}

/// The rights of a program, without those that none of ours needs: to run as its owner, or to be written by others.
pub(super) fn rights_of(rights: &Permissions) -> Permissions {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        Permissions::from_mode(rights.mode() & 0o755)
    }
    #[cfg(not(unix))]
    rights.clone()
}
