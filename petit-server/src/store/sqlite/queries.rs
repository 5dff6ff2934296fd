//! Reading: what lookups need, and what the operator sees.

use futures_util::TryStreamExt;
use petit_engine::name::{Alias, DeviceId};
use petit_engine::secret::{Fingerprint, InviteId};
use petit_relay::Route;
use sqlx::Row;
use sqlx::sqlite::{SqliteConnection, SqliteRow};

use super::rows::{head, signed};
use super::values::{bytes, key, labels, parsed, service_row};
use crate::registry::{
    Actor, AliasRow, Change, ChangeHash, ChangePage, Device, DeviceRow, EndedBy, InviteRow, InviteState,
    Rows, Service, ServiceRow, StoreError, Tables, Timestamp, VisitorRules, canonical,
};

/// All that lookups need.
pub(super) async fn load(connection: &mut SqliteConnection) -> Result<Tables, StoreError> {
    let mut tables = Tables::default();
    let rows =
        sqlx::query("SELECT id, key, name, note, tags, suspended_at FROM devices WHERE ended_at IS NULL")
            .fetch_all(&mut *connection)
            .await?;
    for row in rows {
        let key = key(row.try_get("key")?)?;
        let id = parsed(row.try_get("id")?, "device ID")?;
        let is_suspended = row.try_get::<Option<i64>, _>("suspended_at")?.is_some();
        let (name, tags) = (row.try_get("name")?, labels(&row)?.tags);
        tables.devices.push(Device { id, key, name, tags, is_suspended });
    }
    let rows = sqlx::query("SELECT id, device, name, kind, port FROM services WHERE ended_at IS NULL")
        .fetch_all(&mut *connection)
        .await?;
    for row in rows {
        let ServiceRow { id, name, kind, port, .. } = service_row(&row)?;
        let device = parsed(row.try_get("device")?, "device ID")?;
        tables.services.push(Service {
            route: Route { id, device, name, kind, policy: None, is_suspended: false },
            port,
        });
    }
    let rows: Vec<(String, String)> =
        sqlx::query_as("SELECT alias, service FROM aliases").fetch_all(&mut *connection).await?;
    for (alias, service) in rows {
        tables.aliases.push((parsed(&alias, "alias")?, parsed(&service, "registered ID")?));
    }
    let (policies, keys) = (connection.policies().await?, connection.visitor_keys().await?);
    tables.visitors = Some(VisitorRules { policies, keys });
    Ok(tables)
}

/// True when there never was an invite, and so no device either.
pub(super) async fn is_untouched(connection: &mut SqliteConnection) -> Result<bool, StoreError> {
    let sql = "SELECT NOT EXISTS (SELECT 1 FROM invites) AND NOT EXISTS (SELECT 1 FROM devices)";
    Ok(sqlx::query_scalar(sql).fetch_one(&mut *connection).await?)
}

/// All invites, newest first.
pub(super) async fn invites(connection: &mut SqliteConnection) -> Result<Vec<InviteRow>, StoreError> {
    let mut rows = sqlx::query("SELECT * FROM invites ORDER BY created_at DESC, id").fetch(&mut *connection);
    let mut invites = Vec::new();
    while let Some(row) = rows.try_next().await? {
        invites.push(invite(&row)?);
    }
    Ok(invites)
}

fn invite(row: &SqliteRow) -> Result<InviteRow, StoreError> {
    let not_after = Timestamp(row.try_get("not_after")?);
    let used: Option<i64> = row.try_get("used_at")?;
    let withdrawn: Option<i64> = row.try_get("withdrawn_at")?;
    let state = match (used, withdrawn) {
        (Some(_), _) => InviteState::Used,
        (None, Some(_)) => InviteState::Withdrawn,
        (None, None) if not_after < Timestamp::now() => InviteState::Expired,
        (None, None) => InviteState::Open,
    };
    let alias: Option<String> = row.try_get("alias")?;
    let device: Option<String> = row.try_get("device")?;
    Ok(InviteRow {
        id: InviteId(bytes(row.try_get("id")?, "invite ID")?),
        service: parsed(row.try_get("service")?, "service name")?,
        alias: alias.map(|alias| parsed::<Alias>(&alias, "alias")).transpose()?,
        labels: labels(row)?,
        not_after: not_after.into(),
        state,
        device: device.map(|device| parsed(&device, "device ID")).transpose()?,
    })
}

/// A device, its services and their aliases, a row for each alias; one for what has none.
const DEVICES: &str = "SELECT d.id AS device, d.key, d.name AS called, d.software, d.created_at, d.ended_at, \
     d.ended_by, d.suspended_at, d.note, d.tags, \
     s.id, s.name, s.kind, s.port, a.alias \
     FROM devices d \
     LEFT JOIN services s ON s.device = d.id AND s.ended_at IS NULL \
     LEFT JOIN aliases a ON a.service = s.id";

/// All devices, those whose registration has ended included, oldest first.
pub(super) async fn devices(connection: &mut SqliteConnection) -> Result<Vec<DeviceRow>, StoreError> {
    let sql = format!("{DEVICES} ORDER BY d.created_at, d.id, s.name, a.created_at, a.alias");
    let mut devices = Vec::new();
    // One row after the other: all of them at once are a hundred times the size of what is made of them.
    let mut rows = sqlx::query(sqlx::AssertSqlSafe(sql)).fetch(&mut *connection);
    while let Some(row) = rows.try_next().await? {
        add(&mut devices, &row)?;
    }
    Ok(devices)
}

/// One device.
pub(super) async fn device(
    connection: &mut SqliteConnection,
    id: &DeviceId,
) -> Result<Option<DeviceRow>, StoreError> {
    let sql = format!("{DEVICES} WHERE d.id = ? ORDER BY s.name, a.created_at, a.alias");
    let rows = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(id.as_str()).fetch_all(&mut *connection).await?;
    let mut devices = Vec::new();
    for row in &rows {
        add(&mut devices, row)?;
    }
    Ok(devices.pop())
}

/// Takes in a further row of [`DEVICES`]. Those of one device follow each other, and so do those of one service.
fn add(devices: &mut Vec<DeviceRow>, row: &SqliteRow) -> Result<(), StoreError> {
    let id: DeviceId = parsed(row.try_get("device")?, "device ID")?;
    if devices.last().is_none_or(|last| last.id != id) {
        devices.push(device_row(id, row)?);
    }
    let Some(device) = devices.last_mut() else { return Ok(()) };
    if row.try_get::<Option<&str>, _>("id")?.is_none() {
        return Ok(());
    }
    let service = service_row(row)?;
    if device.services.last().is_none_or(|last| last.id != service.id) {
        device.services.push(service);
    }
    let alias: Option<&str> = row.try_get("alias")?;
    if let (Some(service), Some(alias)) = (device.services.last_mut(), alias) {
        service.aliases.push(parsed(alias, "alias")?);
    }
    Ok(())
}

fn device_row(id: DeviceId, row: &SqliteRow) -> Result<DeviceRow, StoreError> {
    let ended_at: Option<i64> = row.try_get("ended_at")?;
    let by = match row.try_get::<Option<&str>, _>("ended_by")? {
        Some("client") => EndedBy::Client,
        _ => EndedBy::Operator,
    };
    Ok(DeviceRow {
        id,
        fingerprint: Fingerprint::of(row.try_get("key")?),
        name: row.try_get("called")?,
        labels: labels(row)?,
        software: row.try_get("software")?,
        created: Timestamp(row.try_get("created_at")?).into(),
        suspended: row.try_get::<Option<i64>, _>("suspended_at")?.map(|at| Timestamp(at).into()),
        ended: ended_at.map(|at| (Timestamp(at).into(), by)),
        services: Vec::new(),
    })
}

/// All aliases, in the order of the devices that have them.
pub(super) async fn aliases(connection: &mut SqliteConnection) -> Result<Vec<AliasRow>, StoreError> {
    let mut rows = sqlx::query(
        "SELECT a.alias, s.id, s.name, s.device FROM aliases a \
         JOIN services s ON s.id = a.service JOIN devices d ON d.id = s.device \
         ORDER BY d.created_at, d.id, s.name, a.created_at, a.alias",
    )
    .fetch(&mut *connection);
    let mut aliases = Vec::new();
    while let Some(row) = rows.try_next().await? {
        aliases.push(AliasRow {
            alias: parsed(row.try_get("alias")?, "alias")?,
            service: parsed(row.try_get("id")?, "registered ID")?,
            name: parsed(row.try_get("name")?, "service name")?,
            device: parsed(row.try_get("device")?, "device ID")?,
        });
    }
    Ok(aliases)
}

/// The log of changes after a version.
pub(super) async fn changes(
    connection: &mut SqliteConnection,
    after: u64,
    most: u32,
) -> Result<ChangePage, StoreError> {
    let row =
        sqlx::query("SELECT version, hash, checkpoint FROM registry").fetch_one(&mut *connection).await?;
    let checkpoint: Option<&str> = row.try_get("checkpoint")?;
    let checkpoint = checkpoint.map(|text| parsed(text, "checkpoint")).transpose()?;
    let head = head(row.try_get("version")?, row.try_get("hash")?)?;
    let rows = sqlx::query("SELECT * FROM changes WHERE version > ? ORDER BY version LIMIT ?")
        .bind(signed(after))
        .bind(i64::from(most))
        .fetch_all(&mut *connection)
        .await?;
    let changes = rows.iter().map(change).collect::<Result<_, _>>()?;
    Ok(ChangePage { head, checkpoint, changes })
}

fn change(row: &SqliteRow) -> Result<Change, StoreError> {
    let version: i64 = row.try_get("version")?;
    let version = u64::try_from(version).map_err(|_| StoreError::row("version"))?;
    let text: &str = row.try_get("body")?;
    // One that was altered may be no JSON any more, or not in the form in which it was written. It is handed on as it is,
    // for whoever verifies the log to find.
    let body = serde_json::from_str(text).ok().filter(|body| canonical(body) == text);
    let actor = row.try_get::<&str, _>("actor")?.parse().ok();
    let hash = |name| -> Result<Option<ChangeHash>, StoreError> {
        Ok(bytes(row.try_get(name)?, "hash").ok().map(ChangeHash))
    };
    let (prev, own) = (hash("prev")?, hash("hash")?);
    // Where another part cannot be read it has no hash, which no change has.
    let own = own.filter(|_| actor.is_some() && prev.is_some());
    Ok(Change {
        version,
        at: Timestamp(row.try_get("at")?),
        actor: actor.unwrap_or(Actor::Unrecorded),
        kind: row.try_get::<String, _>("kind")?.into(),
        subject: row.try_get("subject")?,
        body: body.unwrap_or_else(|| text.into()),
        prev: prev.unwrap_or(ChangeHash::NONE),
        hash: own.unwrap_or(ChangeHash::NONE),
    })
}
