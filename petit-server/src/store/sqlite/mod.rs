//! The registry in one SQLite file. Write-ahead log with `synchronous = FULL`: what was answered is on disk,
//! whatever happens next. One connection, so that changes are in line and a reader never sees half of one.

mod register;
mod rows;

use std::path::{Path, PathBuf};
use std::time::Duration;

use petit_engine::name::{Alias, DeviceId, RegisteredId, ServiceName};
use petit_engine::proto::control::{EnrolRefusal, ServiceKind};
use petit_engine::relay::{EnrolRequest, Route};
use petit_engine::secret::{Fingerprint, InviteId, PublicKey};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteRow, SqliteSynchronous};
use sqlx::{Connection, Row, Sqlite, Transaction};
use tokio::sync::Mutex;

use self::rows::{
    alias_conflict, aliases_of, bytes, end_services, event, find_service, insert_alias, kind_of, now, owner,
    parsed, release_alias, seconds, service_row, time,
};
use super::{
    Announced, Answer, Changes, Conflict, DeviceRow, EndedBy, EnrolledRow, InviteRow, InviteState, NewInvite,
    ServiceLimits, Store, StoreError, Tables,
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
    connection: Mutex<SqliteConnection>,
}

type Tx<'a> = Transaction<'a, Sqlite>;

impl SqliteStore {
    /// Opens the registry, and makes it when there is none. Call with the server's lock held.
    ///
    /// # Errors
    /// [`StoreError`]; a file that is damaged, not ours or too new is left as it is.
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(Duration::from_secs(5));
        let not_ours = |source| StoreError::NotARegistry { path: path.to_owned(), source };
        let mut connection = SqliteConnection::connect_with(&options).await.map_err(not_ours)?;
        restrict(path)?;
        let application: i64 =
            sqlx::query_scalar("PRAGMA application_id").fetch_one(&mut connection).await.map_err(not_ours)?;
        let form: i64 =
            sqlx::query_scalar("PRAGMA user_version").fetch_one(&mut connection).await.map_err(not_ours)?;
        let tables: i64 = sqlx::query_scalar("SELECT count(*) FROM sqlite_schema")
            .fetch_one(&mut connection)
            .await
            .map_err(not_ours)?;
        match (application, form) {
            (0, 0) if tables == 0 => create(&mut connection).await?,
            (APPLICATION, FORM) => {}
            (APPLICATION, found) if found > FORM => {
                return Err(StoreError::TooNew { path: path.to_owned(), found, known: FORM });
            }
            _ => return Err(not_ours(sqlx::Error::Protocol("made by another program".to_owned()))),
        }
        let damage: String =
            sqlx::query_scalar("PRAGMA quick_check(1)").fetch_one(&mut connection).await.map_err(not_ours)?;
        if damage != "ok" {
            return Err(not_ours(sqlx::Error::Protocol(damage)));
        }
        Ok(Self { connection: Mutex::new(connection) })
    }
}

async fn create(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    let mut tx = connection.begin_with("BEGIN IMMEDIATE").await?;
    sqlx::raw_sql(include_str!("schema.sql")).execute(&mut *tx).await?;
    sqlx::raw_sql("PRAGMA application_id = 1349806452; PRAGMA user_version = 1").execute(&mut *tx).await?;
    tx.commit().await?;
    Ok(())
}

/// The registry holds hashes and public keys only, but who its customers are is nobody's business.
fn restrict(path: &Path) -> Result<(), StoreError> {
    #[cfg(unix)]
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
        Box::pin(async move {
            let mut connection = self.connection.lock().await;
            let mut tx = connection.begin().await?;
            let mut tables = Tables::default();
            let rows =
                sqlx::query("SELECT id, key FROM devices WHERE ended_at IS NULL").fetch_all(&mut *tx).await?;
            for row in rows {
                let key =
                    PublicKey::parse(row.try_get("key")?).map_err(|_| StoreError::Row { what: "key" })?;
                tables.devices.push((key, parsed(row.try_get("id")?, "device ID")?));
            }
            let rows = sqlx::query("SELECT id, device, name, kind FROM services WHERE ended_at IS NULL")
                .fetch_all(&mut *tx)
                .await?;
            for row in rows {
                tables.services.push(Route {
                    id: parsed(row.try_get("id")?, "registered ID")?,
                    device: parsed(row.try_get("device")?, "device ID")?,
                    name: parsed(row.try_get("name")?, "service name")?,
                    kind: kind_of(row.try_get("kind")?)?,
                });
            }
            let rows: Vec<(String, String)> =
                sqlx::query_as("SELECT alias, service FROM aliases").fetch_all(&mut *tx).await?;
            for (alias, service) in rows {
                tables.aliases.push((parsed(&alias, "alias")?, parsed(&service, "registered ID")?));
            }
            Ok(tables)
        })
    }

    fn invite(&self, invite: NewInvite) -> Answer<'_, ()> {
        Box::pin(async move {
            let mut connection = self.connection.lock().await;
            let mut tx = connection.begin_with("BEGIN IMMEDIATE").await?;
            if let Some(alias) = &invite.alias
                && let Some(conflict) = alias_conflict(&mut tx, alias, None, None).await?
            {
                return Err(conflict.into());
            }
            sqlx::query(
                "INSERT INTO invites (id, secret_hash, service, alias, note, created_at, not_after) \
                 VALUES (?, ?, ?, ?, ?, ?, ?)",
            )
            .bind(&invite.id.0[..])
            .bind(&invite.secret.0[..])
            .bind(invite.service.as_str())
            .bind(invite.alias.as_ref().map(Alias::as_str))
            .bind(&invite.note)
            .bind(now())
            .bind(seconds(invite.not_after))
            .execute(&mut *tx)
            .await?;
            event(&mut tx, "invite-made", &invite.id.to_string(), invite.service.as_str()).await?;
            tx.commit().await?;
            Ok(())
        })
    }

    fn invites(&self) -> Answer<'_, Vec<InviteRow>> {
        Box::pin(async move {
            let mut connection = self.connection.lock().await;
            let rows = sqlx::query("SELECT * FROM invites ORDER BY created_at DESC, id")
                .fetch_all(&mut *connection)
                .await?;
            let row = |row: &SqliteRow| {
                let not_after: i64 = row.try_get("not_after")?;
                let used: Option<i64> = row.try_get("used_at")?;
                let withdrawn: Option<i64> = row.try_get("withdrawn_at")?;
                let state = match (used, withdrawn) {
                    (Some(_), _) => InviteState::Used,
                    (None, Some(_)) => InviteState::Withdrawn,
                    (None, None) if not_after < now() => InviteState::Expired,
                    (None, None) => InviteState::Open,
                };
                let alias: Option<String> = row.try_get("alias")?;
                let device: Option<String> = row.try_get("device")?;
                Ok(InviteRow {
                    id: InviteId(bytes(row.try_get("id")?, "invite ID")?),
                    service: parsed(row.try_get("service")?, "service name")?,
                    alias: alias.map(|alias| parsed(&alias, "alias")).transpose()?,
                    note: row.try_get("note")?,
                    not_after: time(not_after),
                    state,
                    device: device.map(|device| parsed(&device, "device ID")).transpose()?,
                })
            };
            rows.iter().map(row).collect()
        })
    }

    fn withdraw(&self, id: InviteId) -> Answer<'_, ()> {
        Box::pin(async move {
            let mut connection = self.connection.lock().await;
            let mut tx = connection.begin_with("BEGIN IMMEDIATE").await?;
            let done = sqlx::query(
                "UPDATE invites SET withdrawn_at = ? WHERE id = ? AND used_at IS NULL AND withdrawn_at IS NULL",
            )
            .bind(now())
            .bind(&id.0[..])
            .execute(&mut *tx)
            .await?;
            if done.rows_affected() == 0 {
                return Err(Conflict::NoInvite.into());
            }
            event(&mut tx, "invite-withdrawn", &id.to_string(), "").await?;
            tx.commit().await?;
            Ok(())
        })
    }

    fn enrol(&self, request: EnrolRequest) -> Answer<'_, Result<(EnrolledRow, Changes), EnrolRefusal>> {
        Box::pin(async move {
            let mut connection = self.connection.lock().await;
            let mut tx = connection.begin_with("BEGIN IMMEDIATE").await?;
            let outcome = register::enrol(&mut tx, &request).await?;
            tx.commit().await?;
            Ok(outcome)
        })
    }

    fn announce(
        &self,
        device: DeviceId,
        services: Vec<(ServiceName, ServiceKind)>,
        limits: ServiceLimits,
    ) -> Answer<'_, (Vec<Announced>, Changes)> {
        Box::pin(async move {
            let mut connection = self.connection.lock().await;
            let mut tx = connection.begin_with("BEGIN IMMEDIATE").await?;
            let outcome = register::announce(&mut tx, &device, &services, limits).await?;
            tx.commit().await?;
            Ok(outcome)
        })
    }

    fn remove_service(&self, device: DeviceId, name: ServiceName) -> Answer<'_, Changes> {
        Box::pin(async move {
            let mut connection = self.connection.lock().await;
            let mut tx = connection.begin_with("BEGIN IMMEDIATE").await?;
            let mut changes = Changes::default();
            if let Some(service) = find_service(&mut tx, &device, &name).await? {
                end_services(&mut tx, &device, &[service.id], &mut changes).await?;
            }
            tx.commit().await?;
            Ok(changes)
        })
    }

    fn end_device(&self, device: DeviceId, by: EndedBy) -> Answer<'_, Changes> {
        Box::pin(async move {
            let mut connection = self.connection.lock().await;
            let mut tx = connection.begin_with("BEGIN IMMEDIATE").await?;
            let by = match by {
                EndedBy::Operator => "operator",
                EndedBy::Client => "client",
            };
            let done = sqlx::query(
                "UPDATE devices SET ended_at = ?, ended_by = ? WHERE id = ? AND ended_at IS NULL",
            )
            .bind(now())
            .bind(by)
            .bind(device.as_str())
            .execute(&mut *tx)
            .await?;
            if done.rows_affected() == 0 {
                return Err(Conflict::NoDevice(device).into());
            }
            let ids: Vec<String> =
                sqlx::query_scalar("SELECT id FROM services WHERE device = ? AND ended_at IS NULL")
                    .bind(device.as_str())
                    .fetch_all(&mut *tx)
                    .await?;
            let ids = ids.iter().map(|id| parsed(id, "registered ID")).collect::<Result<Vec<_>, _>>()?;
            let mut changes = Changes { devices_gone: vec![device], ..Changes::default() };
            end_services(&mut tx, &device, &ids, &mut changes).await?;
            event(&mut tx, "device-ended", device.as_str(), by).await?;
            tx.commit().await?;
            Ok(changes)
        })
    }

    fn add_alias(&self, id: RegisteredId, alias: Alias, force: bool) -> Answer<'_, Changes> {
        Box::pin(async move {
            let mut connection = self.connection.lock().await;
            let mut tx = connection.begin_with("BEGIN IMMEDIATE").await?;
            let device = owner(&mut tx, &id).await?;
            let mut changes = Changes::default();
            match alias_conflict(&mut tx, &alias, Some(&device), None).await? {
                // Asked for twice is asked for once.
                Some(Conflict::AliasTaken { id: owner, .. }) if owner == id => return Ok(changes),
                Some(Conflict::AliasTombstoned { .. }) if force => {}
                Some(conflict) => return Err(conflict.into()),
                None => {}
            }
            insert_alias(&mut tx, &alias, &id, &mut changes).await?;
            tx.commit().await?;
            Ok(changes)
        })
    }

    fn remove_alias(&self, id: RegisteredId, alias: Alias) -> Answer<'_, Changes> {
        Box::pin(async move {
            let mut connection = self.connection.lock().await;
            let mut tx = connection.begin_with("BEGIN IMMEDIATE").await?;
            let device = owner(&mut tx, &id).await?;
            if !aliases_of(&mut tx, &id).await?.contains(&alias) {
                return Err(Conflict::NoAlias { id, alias }.into());
            }
            release_alias(&mut tx, &device, &alias).await?;
            tx.commit().await?;
            Ok(Changes { aliases_gone: vec![alias], ..Changes::default() })
        })
    }

    fn devices(&self) -> Answer<'_, Vec<DeviceRow>> {
        Box::pin(async move {
            let mut connection = self.connection.lock().await;
            let mut tx = connection.begin().await?;
            let rows =
                sqlx::query("SELECT * FROM devices ORDER BY created_at, id").fetch_all(&mut *tx).await?;
            let mut devices = Vec::new();
            for row in rows {
                let ended_at: Option<i64> = row.try_get("ended_at")?;
                let ended_by: Option<String> = row.try_get("ended_by")?;
                let by = match ended_by.as_deref() {
                    Some("client") => EndedBy::Client,
                    _ => EndedBy::Operator,
                };
                let id: DeviceId = parsed(row.try_get("id")?, "device ID")?;
                let rows = sqlx::query(
                    "SELECT id, name, kind, port FROM services WHERE device = ? AND ended_at IS NULL ORDER BY name",
                )
                .bind(id.as_str())
                .fetch_all(&mut *tx)
                .await?;
                let mut services = Vec::new();
                for row in &rows {
                    let mut service = service_row(row)?;
                    service.aliases = aliases_of(&mut tx, &service.id).await?;
                    services.push(service);
                }
                devices.push(DeviceRow {
                    id,
                    fingerprint: Fingerprint::of(row.try_get("key")?),
                    name: row.try_get("name")?,
                    software: row.try_get("software")?,
                    created: time(row.try_get("created_at")?),
                    ended: ended_at.map(|at| (time(at), by)),
                    services,
                });
            }
            Ok(devices)
        })
    }
}

#[cfg(test)]
mod tests;
