//! The file that a registry is in: made, opened, checked, brought to the present form, and recognised.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use petit_host::files;
use sqlx::Connection;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous};

use super::migrations::{self, APPLICATION, FORM};
use super::values::open_error;
use crate::registry::{StoreError, StoreErrorKind};

/// Makes an empty registry where there is none. Under another name first, so that a registry that is there is a
/// whole one, also after a power cut. Returns where the logs of one are now that was there before and is gone.
///
/// # Errors
/// [`StoreError`]; nothing is left behind then.
pub(super) async fn create(path: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let new = with_suffix(path, ".new");
    let io = |error| StoreError::new(StoreErrorKind::CannotOpen, error);
    if let Ok(target) = std::fs::read_link(path)
        && !path.exists()
    {
        // Such as to a disk that is not mounted. The new file would take the link's place.
        let problem = format!("it is a link to {}, which is not there", target.display());
        return Err(io(std::io::Error::new(std::io::ErrorKind::NotFound, problem)));
    }
    remove_with_its_log(&new).map_err(io)?;
    begin_private(&new).map_err(io)?;
    let made = async {
        // Without a write-ahead log, whose content would not be renamed with the file, and which is not taken into it
        // when the disk is full, without a word. The first connection to the finished file begins one.
        let options = options(&new).create_if_missing(true).journal_mode(SqliteJournalMode::Delete);
        let mut connection = SqliteConnection::connect_with(&options).await.map_err(open_error)?;
        migrations::run(&mut connection, 0).await?;
        connection.close().await?;
        let aside = put_stale_logs_aside(path).map_err(io)?;
        std::fs::rename(&new, path).map_err(io)?;
        flush_folder(path).map_err(io)?;
        Ok(aside)
    };
    let made = made.await;
    if made.is_err() {
        let _ = remove_with_its_log(&new);
    }
    made
}

/// Opens a registry for reading and writing, and brings it to the present form.
///
/// # Errors
/// [`StoreError`]; a file that is missing, damaged, not ours or too new is left as it is.
pub(super) async fn connect(path: &Path) -> Result<SqliteConnection, StoreError> {
    let (mut connection, form) = connect_as_it_is(path).await?;
    if form < FORM {
        migrations::run(&mut connection, form).await?;
        migrations::log(path, form);
    }
    Ok(connection)
}

/// As [`connect`], but a registry of an earlier form stays one. Returns its form as well.
///
/// # Errors
/// [`StoreError`]; a file that is missing, damaged, not ours or too new is left as it is.
pub(super) async fn connect_as_it_is(path: &Path) -> Result<(SqliteConnection, i64), StoreError> {
    check_header(path)?;
    let mut connection = SqliteConnection::connect_with(&options(path)).await.map_err(open_error)?;
    restrict(path)?;
    let form = check_form(&mut connection).await?;
    Ok((connection, form))
}

/// Opens a registry that [`connect`] has opened already for reading only. Neither waits for the other.
///
/// # Errors
/// [`StoreError`].
pub(super) async fn connect_to_read(path: &Path) -> Result<SqliteConnection, StoreError> {
    let options = SqliteConnectOptions::new().filename(path).read_only(true).busy_timeout(BUSY);
    let mut connection = SqliteConnection::connect_with(&options).await.map_err(open_error)?;
    // SQLite opens the write-ahead log when it first reads.
    sqlx::query("SELECT count(*) FROM sqlite_schema").execute(&mut connection).await.map_err(open_error)?;
    Ok(connection)
}

/// Looks whether a file is a registry that can be opened, and leaves it as it is.
///
/// # Errors
/// [`StoreError`].
pub(super) async fn check(path: &Path) -> Result<(), StoreError> {
    check_header(path)?;
    let options = SqliteConnectOptions::new().filename(path).immutable(true).read_only(true);
    let mut connection = SqliteConnection::connect_with(&options).await.map_err(open_error)?;
    check_form(&mut connection).await?;
    connection.close().await.map_err(open_error)
}

/// How long a connection waits for one of another process.
const BUSY: Duration = Duration::from_secs(5);

fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(BUSY)
}

/// Ours, of a form that this version knows, and undamaged. Returns the form.
async fn check_form(connection: &mut SqliteConnection) -> Result<i64, StoreError> {
    let application: i64 =
        sqlx::query_scalar("PRAGMA application_id").fetch_one(&mut *connection).await.map_err(open_error)?;
    let form: i64 =
        sqlx::query_scalar("PRAGMA user_version").fetch_one(&mut *connection).await.map_err(open_error)?;
    match (application, form) {
        (APPLICATION, 1..=FORM) => {}
        (APPLICATION, found) if found > FORM => {
            return Err(StoreErrorKind::TooNew { found, known: FORM }.into());
        }
        _ => return Err(not_ours("made by another program")),
    }
    let damage: String =
        sqlx::query_scalar("PRAGMA quick_check(1)").fetch_one(&mut *connection).await.map_err(open_error)?;
    if damage != "ok" {
        return Err(not_ours(&damage));
    }
    Ok(form)
}

pub(super) fn not_ours(why: &str) -> StoreError {
    StoreError::new(StoreErrorKind::NotARegistry, why)
}

/// Looks at a file before SQLite does, which would change a foreign one by opening it.
fn check_header(path: &Path) -> Result<(), StoreError> {
    use std::io::Read;
    let mut header = [0; 100];
    let read = std::fs::File::open(path).and_then(|mut file| {
        let length = file.metadata()?.len();
        if length > 0 {
            file.read_exact(&mut header)?;
        }
        Ok(length)
    });
    match read {
        Ok(0) => return Err(StoreErrorKind::Missing.into()),
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(StoreErrorKind::Missing.into());
        }
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
            return Err(not_ours("too short"));
        }
        Err(error) => {
            return Err(StoreError::new(StoreErrorKind::CannotOpen, error));
        }
    }
    // https://sqlite.org/fileformat2.html#the_database_header: application_id is at 68.
    let application = header.get(68..72).and_then(|bytes| bytes.try_into().ok()).map(u32::from_be_bytes);
    if !header.starts_with(b"SQLite format 3\0") || application.map(i64::from) != Some(APPLICATION) {
        return Err(not_ours("made by another program"));
    }
    Ok(())
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// A registry's file, its write-ahead log, and the index of that.
fn with_its_log(path: &Path) -> [PathBuf; 3] {
    ["", "-wal", "-shm"].map(|suffix| with_suffix(path, suffix))
}

/// All that making and opening a registry may leave behind.
pub(super) fn all(path: &Path) -> Vec<PathBuf> {
    [path.to_owned(), with_suffix(path, ".new")].iter().flat_map(|path| with_its_log(path)).collect()
}

/// Moves away the logs of a registry whose own file is gone: SQLite would take what is in them into any file that
/// comes in its place. They are kept: what was not in that file yet is in them.
fn put_stale_logs_aside(path: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut moved = Vec::new();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    for log in ["-wal", "-shm", "-journal"].map(|suffix| with_suffix(path, suffix)) {
        let aside = with_suffix(&log, &format!(".before-{now}"));
        match std::fs::rename(&log, &aside) {
            Ok(()) => {
                tracing::warn!(log = %log.display(), aside = %aside.display(), "the log of a registry that is gone was put aside");
                moved.push(aside);
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(moved)
}

/// Makes an empty file that only its owner can read, for SQLite to write into: it keeps the rights of a file that is
/// there, and gives them to the logs beside it.
pub(super) fn begin_private(path: &Path) -> std::io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map(drop)
}

/// Removes what is left of a registry that was never finished.
fn remove_with_its_log(path: &Path) -> std::io::Result<()> {
    for path in with_its_log(path) {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// A file that was renamed is in its folder after a power cut only when the folder is on disk, too.
fn flush_folder(of: &Path) -> std::io::Result<()> {
    files::sync_dir(of.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new(".")))
}

/// On Windows the folder's rights, which its files inherit, are the user's alone.
#[cfg(not(unix))]
fn restrict(_: &Path) -> Result<(), StoreError> {
    Ok(())
}

/// The registry holds hashes and public keys only, but who its customers are is nobody's business.
#[cfg(unix)]
fn restrict(path: &Path) -> Result<(), StoreError> {
    use std::os::unix::fs::PermissionsExt;
    for path in with_its_log(path).into_iter().filter(|path| path.exists()) {
        let private = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(&path, private)
            .map_err(|error| StoreError::new(StoreErrorKind::Failed, error))?;
    }
    Ok(())
}

/// Which files a registry is in. Others of the same names are other files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    database: Option<(u64, u64)>,
    log: Option<(u64, u64)>,
}

impl Identity {
    #[cfg(unix)]
    pub(super) fn of(path: &Path) -> Self {
        use std::os::unix::fs::MetadataExt;
        let [database, log, _] = with_its_log(path).map(|path| {
            let found = std::fs::metadata(path).ok()?;
            Some((found.dev(), found.ino()))
        });
        Self { database, log }
    }

    /// Windows removes and replaces no file that is open.
    #[cfg(not(unix))]
    pub(super) fn of(_: &Path) -> Self {
        Self { database: None, log: None }
    }

    /// The same registry, whose write-ahead log may be another one: it goes when the last connection is closed.
    pub(super) fn closed(self) -> Self {
        Self { log: None, ..self }
    }

    /// True when what is found at the path is what was opened, as far as it is open.
    pub(super) fn is_found_as(&self, found: &Self) -> bool {
        self.database == found.database && (self.log.is_none() || self.log == found.log)
    }
}
