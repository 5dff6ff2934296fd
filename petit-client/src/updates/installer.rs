//! Another version of what an installer has put here, by the installer of that version: it ends the program, takes its place and
//! starts it again, so whoever begins it lives to see only that nothing has come of it.
//!
//! An installer keeps itself beside the programs that it brings, and the one of the version before as [`BEFORE`]. That is the
//! way back: it is run by the version that does not work, or, where that does not even run, by the installer that has brought
//! it. One that comes over a version which is to go back and cannot leaves that way back as it is.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use petit_host::update::{Artifact, BundleError, Measured, Place, Refusal, RootsError, WayBack};
use tokio::process::Command;

use super::error::UpdateError;
use crate::releases::ReleaseError;
use crate::status::UpdateFault;

/// What a release calls the installer: a target of its own.
pub const PROGRAM: &str = "petit-setup";
/// The installer of the version before, beside the program.
pub const BEFORE: &str = "before.exe";
/// Nobody is asked anything; what happens is written down beside the program, in `install.log`.
const SILENT: &str = "/S";
/// Its version is on trial, which is over where it gives up.
const TRIAL: &str = "/TRIAL";
/// The version that is there is not the one to go back to: the way back stays as it is.
const KEEP: &str = "/KEEP";
/// It puts its version back: it is not the one to go back to.
const BACK: &str = "/BACK";
/// It waits for programs to end, and for files that somebody looks at.
const LIMIT: Duration = Duration::from_mins(10);

/// Which version the one that is installed goes back to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GoesBackTo {
    /// The one that is there.
    This,
    /// The one that the one that is there was to go back to.
    Former,
}

/// Why nothing has come of it. What runs goes on, and is what it was.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    #[error(transparent)]
    Release(#[from] ReleaseError),
    #[error(transparent)]
    Bundle(#[from] BundleError),
    #[error(transparent)]
    Roots(#[from] RootsError),
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error(transparent)]
    Update(#[from] UpdateError),
    /// Another release, or the customer's no, has come meanwhile.
    #[error("it is not to be installed any more")]
    NotAnyMore,
    #[error("{} cannot be run", path.display())]
    Run {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{} is not what was signed any more: another program has changed it", path.display())]
    Changed { path: PathBuf },
    #[error("the installer has given up ({0}); install.log beside the program says why")]
    GaveUp(ExitStatus),
    #[error("the installer has ended, and this version still runs")]
    NothingDone,
    #[error("the installer did not end within {LIMIT:?}, and was ended")]
    Endless,
}

impl InstallError {
    /// What is told of it; nothing where it is no failure.
    pub fn fault(&self) -> Option<UpdateFault> {
        match self {
            Self::Release(
                ReleaseError::Unfit { .. } | ReleaseError::OtherLength { .. } | ReleaseError::NoBundle { .. },
            )
            | Self::Bundle(_)
            | Self::Roots(_)
            | Self::Refused(_)
            | Self::Changed { .. } => Some(UpdateFault::NotSigned),
            Self::Release(_) => Some(UpdateFault::Fetch),
            Self::NotAnyMore => None,
            Self::Update(_) | Self::Run { .. } | Self::GaveUp(_) | Self::NothingDone | Self::Endless => {
                Some(UpdateFault::Installer)
            }
        }
    }
}

/// Runs an installer that is still what was signed. Returns where it leaves this process alone.
///
/// # Errors
/// [`InstallError`], always: where all is well this process does not live to see it.
///
/// # Cancel safety
/// Cancelling leaves the installer at it: it is what ends this process.
pub async fn run(place: &Place, installer: &Path, artifact: &Artifact, way: GoesBackTo) -> InstallError {
    let failed = |source| InstallError::Run { path: installer.to_owned(), source };
    // For as long as this is open nobody else can write it, on the system that has installers.
    let held = match hold(installer, artifact).map_err(failed) {
        Ok(Some(held)) => held,
        Ok(None) => return InstallError::Changed { path: installer.to_owned() },
        Err(error) => return error,
    };
    let mut command = Command::new(installer);
    command.args([SILENT, TRIAL]);
    match way {
        GoesBackTo::This => {}
        GoesBackTo::Former => {
            command.arg(KEEP);
        }
    }
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    // Where this program is, wherever another installation was made since. Last, and as it is, as NSIS reads it.
    #[cfg(windows)]
    if let Some(folder) = place.program().parent() {
        command.raw_arg(format!("/D={}", folder.display()));
    }
    #[cfg(not(windows))]
    let _ = place;
    let mut child = match command.spawn().map_err(failed) {
        Ok(child) => child,
        Err(error) => return error,
    };
    drop(held);
    match tokio::time::timeout(LIMIT, child.wait()).await {
        Ok(Ok(status)) if status.success() => InstallError::NothingDone,
        Ok(Ok(status)) => InstallError::GaveUp(status),
        Ok(Err(error)) => failed(error),
        Err(_) => {
            // Or it might go on when this version is in use again.
            let _ = child.start_kill();
            InstallError::Endless
        }
    }
}

/// Opens a file that is to be run; `None` where it is not what was signed.
fn hold(installer: &Path, artifact: &Artifact) -> io::Result<Option<File>> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(installer, fs::Permissions::from_mode(0o700))?;
    }
    let mut options = OpenOptions::new();
    #[cfg(windows)]
    {
        use std::os::windows::fs::OpenOptionsExt;
        const FILE_SHARE_READ: u32 = 1;
        options.share_mode(FILE_SHARE_READ);
    }
    let held = options.read(true).open(installer)?;
    let Measured { bytes, sha256 } = Measured::of(&held)?;
    Ok((bytes == artifact.bytes && sha256 == artifact.sha256).then_some(held))
}

/// Has the installer of the version before put that back, which asks this process to end.
///
/// # Errors
/// [`UpdateError::Run`].
pub(super) fn put_back(place: &Place) -> Result<WayBack, UpdateError> {
    let before = place.program().with_file_name(BEFORE);
    if fs::symlink_metadata(&before).is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
        return Ok(WayBack::None);
    }
    let mut command = Command::new(&before);
    command.args([SILENT, BACK]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    match command.spawn() {
        Ok(_child) => Ok(WayBack::Taken),
        Err(source) => Err(UpdateError::Run { path: before, source }),
    }
}

// The installer of the tests is a script.
#[cfg(all(test, unix))]
#[path = "installer_tests.rs"]
mod tests;
