//! What keeps updates from going on.

use std::io;
use std::path::PathBuf;

use petit_host::files::FileError;
use petit_host::lock::LockError;
use petit_host::update::HistoryError;

/// Why what is known of updates cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum UpdateError {
    #[error(transparent)]
    History(#[from] HistoryError),
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Lock(#[from] LockError),
    #[error("{} cannot be run", path.display())]
    Run {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}
