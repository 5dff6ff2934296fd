//! Another version of what an installer has put here, by the installer of that version: it ends the program, takes its place and
//! starts it again, so whoever begins it lives to see only that nothing has come of it.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use petit_host::update::{BundleError, Refusal, RootsError};
use tokio::process::Command;

use super::UpdateError;
use crate::releases::ReleaseError;
use crate::status::UpdateFault;

/// What a release calls the installer: a target of its own.
pub const PROGRAM: &str = "petit-setup";
/// Nobody is asked anything; what happens is written down beside the program, in `install.log`.
const SILENT: &str = "/S";
/// It waits for programs to end, and for files that somebody looks at.
const LIMIT: Duration = Duration::from_mins(10);

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
    #[error("the installer has given up ({0}); install.log beside the program says why")]
    GaveUp(ExitStatus),
    #[error("the installer did not end within {LIMIT:?}")]
    Endless,
}

impl InstallError {
    /// What is told of it.
    pub fn fault(&self) -> UpdateFault {
        match self {
            Self::Release(
                ReleaseError::Unfit { .. } | ReleaseError::OtherLength { .. } | ReleaseError::NoBundle { .. },
            )
            | Self::Bundle(_)
            | Self::Roots(_)
            | Self::Refused(_) => UpdateFault::NotSigned,
            Self::Release(_) | Self::NotAnyMore => UpdateFault::Fetch,
            Self::Update(_) | Self::Run { .. } | Self::GaveUp(_) | Self::Endless => UpdateFault::Installer,
        }
    }
}

/// Runs an installer that is what was signed. Returns where it leaves this process alone.
///
/// # Errors
/// [`InstallError`].
///
/// # Cancel safety
/// Cancelling leaves the installer at it: it is what ends this process.
pub async fn run(installer: &Path) -> Result<(), InstallError> {
    let failed = |source| InstallError::Run { path: installer.to_owned(), source };
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(installer, std::fs::Permissions::from_mode(0o700)).map_err(failed)?;
    }
    let mut command = Command::new(installer);
    command.arg(SILENT).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().map_err(failed)?;
    match tokio::time::timeout(LIMIT, child.wait()).await {
        Ok(Ok(status)) if status.success() => Ok(()),
        Ok(Ok(status)) => Err(InstallError::GaveUp(status)),
        Ok(Err(error)) => Err(failed(error)),
        Err(_) => Err(InstallError::Endless),
    }
}
