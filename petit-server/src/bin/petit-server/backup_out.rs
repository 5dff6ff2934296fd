//! `backup FOLDER` of a service of the system: the service writes nowhere but in its own folder, and root opens nothing
//! there. So the service's own user makes the backup and prints it, and root writes it where it is wanted.

use std::ffi::OsStr;
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use petit_host::cli::Failure;
use petit_server::api::BackedUp;
use petit_server::backup::carried::{self, NotReceived};
use petit_server::backup::dated;
use petit_server::folder::Folder;

use super::as_service::AsService;
use super::{service, setup};

/// What the folder is called that a backup is in until it is printed, before what tells it from others.
const MADE: &str = ".backup-for-root.";
/// No such command lives longer than this (`RuntimeMaxSec`).
const LONGEST: Duration = Duration::from_hours(1);

/// True where root wants a backup of a service out of the service's reach.
pub(crate) fn is_roots(folder: &Folder, to: &Path) -> bool {
    let to = std::path::absolute(to).unwrap_or_else(|_| to.to_owned());
    let is_below = |state: &Path| to.starts_with(state);
    let state = std::fs::canonicalize(folder.path());
    folder.is_out_of_bounds() && !is_below(folder.path()) && !state.is_ok_and(|state| is_below(&state))
}

/// Has the service's own user make a backup, and writes it into `to`.
pub(crate) fn receive(json: bool, folder: &Folder, to: &Path, keep: Option<u32>) -> Result<(), Failure> {
    service::check_set_up(folder)?;
    let to = std::path::absolute(to).unwrap_or_else(|_| to.to_owned());
    let command = AsService::new(["--json", "backup", "--handed-over"])?;
    let (received, status) = command.read(|out| carried::receive(&mut BufReader::new(out), &to))?;
    let done = match received {
        Ok(done) => BackedUp { removed: dated::keep(&to, keep), ..done },
        Err(NotReceived::Backup(error)) => return Err(setup::backup_failure(&error)),
        Err(NotReceived::Other(said)) => {
            return Err(service::failure_in(said.as_bytes(), status, "the backup could not be made"));
        }
        Err(error @ NotReceived::Broken(_)) => return Err(Failure::of(&error)),
    };
    setup::say_backed_up(json, folder, &done);
    Ok(())
}

/// Makes a backup and prints it.
pub(crate) async fn hand_over(folder: &Folder) -> Result<(), Failure> {
    sweep(folder.path());
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    let made = Made(folder.path().join(format!("{MADE}{}-{now}", std::process::id())));
    let done = setup::make_backup(folder, &made.0, None).await?;
    match carried::send(&made.0, &done, &mut io::stdout().lock()) {
        // Whoever reads no more has said why.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failure::of(&error)),
        _ => Ok(()),
    }
}

/// A backup until it is printed.
struct Made(PathBuf);

impl Drop for Made {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Removes what such commands have left that were killed.
fn sweep(folder: &Path) {
    let is_ours = |name: &OsStr| name.to_str().is_some_and(|name| name.starts_with(MADE));
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let changed = entry.metadata().and_then(|found| found.modified()).ok();
        let is_old = changed.and_then(|at| at.elapsed().ok()).is_some_and(|age| age > LONGEST);
        if is_ours(&entry.file_name()) && is_old {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}
