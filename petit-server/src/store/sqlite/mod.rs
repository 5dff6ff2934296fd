//! The registry in one SQLite file. Write-ahead log with `synchronous = FULL`: what was answered is on disk,
//! whatever happens next. One connection, so that changes are in line and a reader never sees half of one.

mod look;
mod operate;
mod register;
mod rows;

use std::path::{Path, PathBuf};
use std::time::Duration;

use petit_engine::name::{Alias, DeviceId, RegisteredId, ServiceName};
use petit_engine::proto::control::{EnrolRefusal, ServiceKind};
use petit_engine::relay::EnrolRequest;
use petit_engine::secret::InviteId;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous};
use sqlx::{Connection, Sqlite, Transaction};
use tokio::sync::Mutex;

use super::{
    Announced, Answer, Changes, DeviceRow, EndedBy, EnrolledRow, InviteRow, NewInvite, ServiceLimits, Store,
    StoreError, Tables,
};

/// The form of the tables that this version writes.
const FORM: i64 = 1;
/// Marks the file as ours (`PRAGMA application_id`): "Ptit".
const APPLICATION: i64 = 0x5074_6974;
/// An alias that was given up is kept from other clients for this long.
const TOMBSTONE: Duration = Duration::from_secs(90 * 24 * 60 * 60);

/// The registry in a SQLite file.
#[derive(Debug)]
pub struct SqliteStore {
    path: PathBuf,
    /// `None` after a failure: what state a connection is in then (a transaction that was neither ended nor
    /// begun) is nobody's guess, so the next change begins with a new one.
    connection: Mutex<Option<SqliteConnection>>,
}

type Tx<'a> = Transaction<'a, Sqlite>;

impl SqliteStore {
    /// Makes a registry where there is none, and opens it. For `init`: a server that finds its registry missing
    /// must not begin anew, because its clients would take that for the end of their registration.
    ///
    /// # Errors
    /// [`StoreError`]; a file that is damaged, not ours or too new is left as it is.
    pub async fn create(path: &Path) -> Result<Self, StoreError> {
        let is_new = std::fs::metadata(path).map_or(true, |found| found.len() == 0);
        if is_new {
            // Under another name first, so that a registry that is there is a whole one.
            let mut name = path.as_os_str().to_owned();
            name.push(".new");
            let new = PathBuf::from(name);
            let io = |error| StoreError::CannotOpen { path: path.to_owned(), source: sqlx::Error::Io(error) };
            remove_with_its_log(&new).map_err(io)?;
            let mut connection = SqliteConnection::connect_with(&options(&new).create_if_missing(true))
                .await
                .map_err(|error| open_error(path, error))?;
            restrict(&new)?;
            create(&mut connection).await?;
            connection.close().await?;
            std::fs::rename(&new, path).map_err(io)?;
            let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
            petit_host::files::sync_dir(dir).map_err(io)?;
        }
        Self::open(path).await
    }

    /// Opens a registry. Call with the server's lock held.
    ///
    /// # Errors
    /// [`StoreError`]; a file that is missing, damaged, not ours or too new is left as it is.
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        check_header(path)?;
        let connection = connect(path).await?;
        Ok(Self { path: path.to_owned(), connection: Mutex::new(Some(connection)) })
    }

    /// Writes one state of the registry at `path` into a new file. Others may read and write it meanwhile.
    ///
    /// # Errors
    /// [`StoreError`]; what was written until then is left behind.
    pub async fn backup(path: &Path, to: &Path) -> Result<(), StoreError> {
        check_header(path)?;
        let mut connection = connect(path).await?;
        let target = to.to_str().ok_or_else(|| not_ours(to, "its path is not UTF-8"))?;
        sqlx::query("VACUUM INTO ?").bind(target).execute(&mut connection).await?;
        connection.close().await?;
        restrict(to)?;
        // SQLite does not flush what it has written in this way.
        let io = |error| StoreError::Failed(sqlx::Error::Io(error));
        std::fs::File::open(to).and_then(|file| file.sync_all()).map_err(io)
    }

    /// Looks whether a file is a registry that can be opened, and leaves it as it is.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn check(path: &Path) -> Result<(), StoreError> {
        check_header(path)?;
        let options = SqliteConnectOptions::new().filename(path).immutable(true).read_only(true);
        let failed = |error| open_error(path, error);
        let mut connection = SqliteConnection::connect_with(&options).await.map_err(failed)?;
        check_form(&mut connection, path).await?;
        connection.close().await.map_err(failed)
    }

    /// Runs `work` in one transaction, which is on disk when this returns.
    async fn write<T>(
        &self,
        work: impl AsyncFnOnce(&mut Tx<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.with(async |connection| {
            let mut tx = connection.begin_with("BEGIN IMMEDIATE").await?;
            let value = work(&mut tx).await?;
            tx.commit().await?;
            Ok(value)
        })
        .await
    }

    /// As [`SqliteStore::write`], but the file is locked for writing only when `work` first writes.
    async fn read_then_write<T>(
        &self,
        work: impl AsyncFnOnce(&mut Tx<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.with(async |connection| {
            let mut tx = connection.begin().await?;
            let value = work(&mut tx).await?;
            tx.commit().await?;
            Ok(value)
        })
        .await
    }

    /// Runs `work` on one state of the registry.
    async fn read<T>(
        &self,
        work: impl AsyncFnOnce(&mut Tx<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.with(async |connection| {
            let mut tx = connection.begin().await?;
            let value = work(&mut tx).await?;
            tx.rollback().await?;
            Ok(value)
        })
        .await
    }

    async fn with<T>(
        &self,
        work: impl AsyncFnOnce(&mut SqliteConnection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut held = self.connection.lock().await;
        let connection = match held.as_mut() {
            Some(connection) => connection,
            None => held.insert(connect(&self.path).await?),
        };
        let result = work(connection).await;
        if matches!(result, Err(StoreError::Failed(_))) {
            *held = None;
        }
        result
    }
}

/// Removes what is left of a registry that was never finished.
fn remove_with_its_log(path: &Path) -> std::io::Result<()> {
    for suffix in ["", "-wal", "-shm"] {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        match std::fs::remove_file(PathBuf::from(name)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(Duration::from_secs(5))
}

async fn connect(path: &Path) -> Result<SqliteConnection, StoreError> {
    let failed = |error| open_error(path, error);
    let mut connection = SqliteConnection::connect_with(&options(path)).await.map_err(failed)?;
    restrict(path)?;
    check_form(&mut connection, path).await?;
    Ok(connection)
}

/// Ours, of a form that this version knows, and undamaged.
async fn check_form(connection: &mut SqliteConnection, path: &Path) -> Result<(), StoreError> {
    let failed = |error| open_error(path, error);
    let application: i64 =
        sqlx::query_scalar("PRAGMA application_id").fetch_one(&mut *connection).await.map_err(failed)?;
    let form: i64 =
        sqlx::query_scalar("PRAGMA user_version").fetch_one(&mut *connection).await.map_err(failed)?;
    match (application, form) {
        (APPLICATION, FORM) => {}
        (APPLICATION, found) if found > FORM => {
            return Err(StoreError::TooNew { path: path.to_owned(), found, known: FORM });
        }
        _ => return Err(not_ours(path, "made by another program")),
    }
    let damage: String =
        sqlx::query_scalar("PRAGMA quick_check(1)").fetch_one(&mut *connection).await.map_err(failed)?;
    if damage != "ok" {
        return Err(not_ours(path, &damage));
    }
    Ok(())
}

fn not_ours(path: &Path, why: &str) -> StoreError {
    StoreError::NotARegistry { path: path.to_owned(), source: sqlx::Error::Protocol(why.to_owned()) }
}

/// What an error on opening means: damage, or something that can be put right from outside.
fn open_error(path: &Path, source: sqlx::Error) -> StoreError {
    // https://sqlite.org/rescode.html: 11 CORRUPT, 26 NOTADB; the low byte is the primary code.
    let code =
        source.as_database_error().and_then(|error| error.code()).and_then(|code| code.parse::<u32>().ok());
    match code.map(|code| code & 0xff) {
        Some(11 | 26) => StoreError::NotARegistry { path: path.to_owned(), source },
        _ => StoreError::CannotOpen { path: path.to_owned(), source },
    }
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
        Ok(0) => return Err(StoreError::Missing { path: path.to_owned() }),
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(StoreError::Missing { path: path.to_owned() });
        }
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
            return Err(not_ours(path, "too short"));
        }
        Err(error) => {
            return Err(StoreError::CannotOpen { path: path.to_owned(), source: sqlx::Error::Io(error) });
        }
    }
    // https://sqlite.org/fileformat2.html#the_database_header: application_id is at 68.
    let application = header.get(68..72).and_then(|bytes| bytes.try_into().ok()).map(u32::from_be_bytes);
    if !header.starts_with(b"SQLite format 3\0") || application.map(i64::from) != Some(APPLICATION) {
        return Err(not_ours(path, "made by another program"));
    }
    Ok(())
}

async fn create(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    let mut tx = connection.begin_with("BEGIN IMMEDIATE").await?;
    sqlx::raw_sql(include_str!("schema.sql")).execute(&mut *tx).await?;
    sqlx::raw_sql("PRAGMA application_id = 1349806452; PRAGMA user_version = 1").execute(&mut *tx).await?;
    tx.commit().await?;
    Ok(())
}

/// On Windows the folder's rights, which its files inherit, are the user's alone.
#[cfg(not(unix))]
fn restrict(_: &Path) -> Result<(), StoreError> {
    Ok(())
}

/// The registry holds hashes and public keys only, but who its customers are is nobody's business.
#[cfg(unix)]
fn restrict(path: &Path) -> Result<(), StoreError> {
    for suffix in ["", "-wal", "-shm"] {
        use std::os::unix::fs::PermissionsExt;
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        let path = PathBuf::from(name);
        if path.exists() {
            let private = std::fs::Permissions::from_mode(0o600);
            std::fs::set_permissions(&path, private)
                .map_err(|error| StoreError::Failed(sqlx::Error::Io(error)))?;
        }
    }
    Ok(())
}

impl Store for SqliteStore {
    fn load(&self) -> Answer<'_, Tables> {
        Box::pin(self.read(async |tx| look::load(tx).await))
    }

    fn invite(&self, invite: NewInvite, force: bool) -> Answer<'_, ()> {
        Box::pin(self.write(async move |tx| operate::invite(tx, &invite, force).await))
    }

    fn invites(&self) -> Answer<'_, Vec<InviteRow>> {
        Box::pin(self.read(async |tx| look::invites(tx).await))
    }

    fn withdraw(&self, id: InviteId) -> Answer<'_, ()> {
        Box::pin(self.write(async move |tx| operate::withdraw(tx, id).await))
    }

    fn enrol(&self, request: EnrolRequest) -> Answer<'_, Result<(EnrolledRow, Changes), EnrolRefusal>> {
        Box::pin(self.write(async move |tx| register::enrol(tx, &request).await))
    }

    fn announce(
        &self,
        device: DeviceId,
        services: Vec<(ServiceName, ServiceKind)>,
        limits: ServiceLimits,
    ) -> Answer<'_, (Vec<Announced>, Changes)> {
        // A client that comes back with what it had needs no write, and so cannot fail on a disk that is full.
        Box::pin(
            self.read_then_write(async move |tx| register::announce(tx, &device, &services, limits).await),
        )
    }

    fn rename(&self, device: DeviceId, name: String) -> Answer<'_, ()> {
        Box::pin(self.read_then_write(async move |tx| register::rename(tx, &device, &name).await))
    }

    fn remove_service(&self, device: DeviceId, name: ServiceName) -> Answer<'_, Changes> {
        Box::pin(self.write(async move |tx| register::remove(tx, &device, &name).await))
    }

    fn end_device(&self, device: DeviceId, by: EndedBy) -> Answer<'_, Changes> {
        Box::pin(self.write(async move |tx| operate::end_device(tx, device, by).await))
    }

    fn add_alias(&self, id: RegisteredId, alias: Alias, force: bool) -> Answer<'_, Changes> {
        Box::pin(self.write(async move |tx| operate::add_alias(tx, id, &alias, force).await))
    }

    fn remove_alias(&self, id: RegisteredId, alias: Alias) -> Answer<'_, Changes> {
        Box::pin(self.write(async move |tx| operate::remove_alias(tx, id, alias).await))
    }

    fn devices(&self) -> Answer<'_, Vec<DeviceRow>> {
        Box::pin(self.read(async |tx| look::devices(tx).await))
    }

    fn close(&self) -> Answer<'_, ()> {
        Box::pin(async move {
            if let Some(connection) = self.connection.lock().await.take() {
                connection.close().await?;
            }
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests;
