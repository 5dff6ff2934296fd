//! Rows as values, and what several transactions do with them.

use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use petit_engine::limits;
use petit_engine::name::{Alias, DeviceId, RegisteredId, ServiceName};
use petit_engine::proto::control::ServiceKind;
use petit_engine::secret::{InviteId, NoRandom};
use petit_relay::Route;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::Tx;
use crate::store::{Changes, Conflict, Service, ServiceRow, StoreError};

pub(super) fn seconds(time: SystemTime) -> i64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}

pub(super) fn time(seconds: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).unwrap_or_default())
}

pub(super) fn now() -> i64 {
    seconds(SystemTime::now())
}

pub(super) fn parsed<T: FromStr>(text: &str, what: &'static str) -> Result<T, StoreError> {
    text.parse().map_err(|_| StoreError::Row { what })
}

pub(super) fn bytes<const N: usize>(bytes: &[u8], what: &'static str) -> Result<[u8; N], StoreError> {
    bytes.try_into().map_err(|_| StoreError::Row { what })
}

pub(super) fn kind_text(kind: ServiceKind) -> &'static str {
    match kind {
        ServiceKind::Http => "http",
        ServiceKind::Tcp => "tcp",
    }
}

pub(super) fn kind_of(text: &str) -> Result<ServiceKind, StoreError> {
    match text {
        "http" => Ok(ServiceKind::Http),
        "tcp" => Ok(ServiceKind::Tcp),
        _ => Err(StoreError::Row { what: "kind of service" }),
    }
}

pub(super) fn random<T>(random: Result<T, NoRandom>) -> Result<T, StoreError> {
    random.map_err(|error| StoreError::Failed(sqlx::Error::Io(std::io::Error::other(error))))
}

/// Events that are kept; the oldest go first.
const EVENTS_KEPT: i64 = 100_000;
/// Of these, such as one device can cause as often as it likes: enough to see what it has done of late, and few
/// enough that it cannot push those of others out. Twice as many as a device has services.
pub(super) const EVENTS_OF_DEVICE: i64 = 128;

/// Whose room in the log of events one takes.
#[derive(Clone, Copy)]
pub(super) enum EventScope<'a> {
    /// Everybody's: what the operator does, and what an invite allows once.
    Common,
    /// A device's own, for what it can cause again and again.
    Of(&'a DeviceId),
}

pub(super) async fn event(
    tx: &mut Tx<'_>,
    scope: EventScope<'_>,
    what: &str,
    subject: &str,
    detail: &str,
) -> Result<(), StoreError> {
    let device = match scope {
        EventScope::Common => None,
        EventScope::Of(device) => Some(device.as_str()),
    };
    sqlx::query("INSERT INTO events (at, what, subject, detail, device) VALUES (?, ?, ?, ?, ?)")
        .bind(now())
        .bind(what)
        .bind(subject)
        .bind(detail)
        .bind(device)
        .execute(&mut **tx)
        .await?;
    if device.is_some() {
        sqlx::query(
            "DELETE FROM events WHERE device = ?1 AND number <= \
             (SELECT number FROM events WHERE device = ?1 ORDER BY number DESC LIMIT 1 OFFSET ?2)",
        )
        .bind(device)
        .bind(EVENTS_OF_DEVICE)
        .execute(&mut **tx)
        .await?;
    }
    sqlx::query("DELETE FROM events WHERE number <= (SELECT max(number) FROM events) - ?")
        .bind(EVENTS_KEPT)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

pub(super) fn service_row(row: &SqliteRow) -> Result<ServiceRow, StoreError> {
    let port: Option<i64> = row.try_get("port")?;
    Ok(ServiceRow {
        id: parsed(row.try_get("id")?, "registered ID")?,
        name: parsed(row.try_get("name")?, "service name")?,
        kind: kind_of(row.try_get("kind")?)?,
        port: port.map(|port| u16::try_from(port).unwrap_or_default()),
        aliases: Vec::new(),
    })
}

pub(super) async fn aliases_of(tx: &mut Tx<'_>, service: &RegisteredId) -> Result<Vec<Alias>, StoreError> {
    let rows: Vec<String> =
        sqlx::query_scalar("SELECT alias FROM aliases WHERE service = ? ORDER BY created_at, alias")
            .bind(service.as_str())
            .fetch_all(&mut **tx)
            .await?;
    rows.iter().map(|alias| parsed(alias, "alias")).collect()
}

pub(super) async fn find_service(
    tx: &mut Tx<'_>,
    device: &DeviceId,
    name: &ServiceName,
) -> Result<Option<ServiceRow>, StoreError> {
    let row = sqlx::query(
        "SELECT id, name, kind, port FROM services WHERE device = ? AND name = ? AND ended_at IS NULL",
    )
    .bind(device.as_str())
    .bind(name.as_str())
    .fetch_optional(&mut **tx)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let mut service = service_row(&row)?;
    service.aliases = aliases_of(tx, &service.id).await?;
    Ok(Some(service))
}

pub(super) async fn insert_service(
    tx: &mut Tx<'_>,
    device: &DeviceId,
    name: &ServiceName,
    kind: ServiceKind,
    port: Option<u16>,
    changes: &mut Changes,
) -> Result<ServiceRow, StoreError> {
    let id = random(RegisteredId::random())?;
    sqlx::query("INSERT INTO services (id, device, name, kind, port, created_at) VALUES (?, ?, ?, ?, ?, ?)")
        .bind(id.as_str())
        .bind(device.as_str())
        .bind(name.as_str())
        .bind(kind_text(kind))
        .bind(port.map(i64::from))
        .bind(now())
        .execute(&mut **tx)
        .await?;
    let route = Route { id, device: *device, name: name.clone(), kind };
    changes.added.services.push(Service { route, port });
    event(tx, EventScope::Of(device), "service-added", id.as_str(), name.as_str()).await?;
    Ok(ServiceRow { id, name: name.clone(), kind, port, aliases: Vec::new() })
}

/// The lowest free port of a range. (0, 0) asks for one that the system chooses when it listens.
pub(super) async fn free_port(tx: &mut Tx<'_>, ports: Option<(u16, u16)>) -> Result<Option<u16>, StoreError> {
    let Some((first, last)) = ports else { return Ok(None) };
    if (first, last) == (0, 0) {
        return Ok(Some(0));
    }
    let taken: Vec<i64> =
        sqlx::query_scalar("SELECT port FROM services WHERE ended_at IS NULL AND port > 0 ORDER BY port")
            .fetch_all(&mut **tx)
            .await?;
    Ok((first..=last).find(|port| taken.binary_search(&i64::from(*port)).is_err()))
}

/// Ends services, and keeps their aliases from others for a while.
pub(super) async fn end_services(
    tx: &mut Tx<'_>,
    (device, scope): (&DeviceId, EventScope<'_>),
    services: &[RegisteredId],
    changes: &mut Changes,
) -> Result<(), StoreError> {
    for id in services {
        for alias in aliases_of(tx, id).await? {
            release_alias(tx, (device, scope), &alias).await?;
            changes.aliases_gone.push(alias);
        }
        sqlx::query("UPDATE services SET ended_at = ? WHERE id = ?")
            .bind(now())
            .bind(id.as_str())
            .execute(&mut **tx)
            .await?;
        event(tx, scope, "service-removed", id.as_str(), "").await?;
        changes.services_gone.push(*id);
    }
    Ok(())
}

pub(super) async fn release_alias(
    tx: &mut Tx<'_>,
    (device, scope): (&DeviceId, EventScope<'_>),
    alias: &Alias,
) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM aliases WHERE alias = ?").bind(alias.as_str()).execute(&mut **tx).await?;
    sqlx::query("INSERT OR REPLACE INTO tombstones (alias, device, released_at) VALUES (?, ?, ?)")
        .bind(alias.as_str())
        .bind(device.as_str())
        .bind(now())
        .execute(&mut **tx)
        .await?;
    event(tx, scope, "alias-removed", alias.as_str(), device.as_str()).await
}

/// Why an alias cannot be given to a device, if so. `invite` may claim what it was promised itself.
pub(super) async fn alias_conflict(
    tx: &mut Tx<'_>,
    alias: &Alias,
    device: Option<&DeviceId>,
    invite: Option<&InviteId>,
) -> Result<Option<Conflict>, StoreError> {
    let owner: Option<String> = sqlx::query_scalar("SELECT service FROM aliases WHERE alias = ?")
        .bind(alias.as_str())
        .fetch_optional(&mut **tx)
        .await?;
    if let Some(owner) = owner {
        let id = parsed(&owner, "registered ID")?;
        return Ok(Some(Conflict::AliasTaken { alias: alias.clone(), id }));
    }
    let promised: Vec<Vec<u8>> = sqlx::query_scalar(
        "SELECT id FROM invites WHERE alias = ? AND used_at IS NULL AND withdrawn_at IS NULL AND not_after >= ?",
    )
    .bind(alias.as_str())
    .bind(now())
    .fetch_all(&mut **tx)
    .await?;
    if let Some(other) = promised.iter().find(|promised| invite.is_none_or(|invite| **promised != invite.0)) {
        let invite = InviteId(bytes(other, "invite ID")?);
        return Ok(Some(Conflict::AliasPromised { alias: alias.clone(), invite }));
    }
    let tombstone: Option<(String, i64)> =
        sqlx::query_as("SELECT device, released_at FROM tombstones WHERE alias = ? AND released_at > ?")
            .bind(alias.as_str())
            .bind(now() - seconds(UNIX_EPOCH + limits::ALIAS_TOMBSTONE))
            .fetch_optional(&mut **tx)
            .await?;
    let Some((former, released)) = tombstone else { return Ok(None) };
    if device.is_some_and(|device| device.as_str() == former) {
        return Ok(None);
    }
    let left = released + seconds(UNIX_EPOCH + limits::ALIAS_TOMBSTONE) - now();
    let days_left = u64::try_from(left).unwrap_or_default().div_ceil(86_400);
    Ok(Some(Conflict::AliasTombstoned {
        alias: alias.clone(),
        device: parsed(&former, "device ID")?,
        days_left,
    }))
}

pub(super) async fn insert_alias(
    tx: &mut Tx<'_>,
    alias: &Alias,
    service: &RegisteredId,
    changes: &mut Changes,
) -> Result<(), StoreError> {
    sqlx::query("INSERT INTO aliases (alias, service, created_at) VALUES (?, ?, ?)")
        .bind(alias.as_str())
        .bind(service.as_str())
        .bind(now())
        .execute(&mut **tx)
        .await?;
    sqlx::query("DELETE FROM tombstones WHERE alias = ?").bind(alias.as_str()).execute(&mut **tx).await?;
    event(tx, EventScope::Common, "alias-added", alias.as_str(), service.as_str()).await?;
    changes.added.aliases.push((alias.clone(), *service));
    Ok(())
}

/// The service of an ID and the device that has it.
pub(super) async fn owner(tx: &mut Tx<'_>, id: &RegisteredId) -> Result<DeviceId, StoreError> {
    let device: Option<String> =
        sqlx::query_scalar("SELECT device FROM services WHERE id = ? AND ended_at IS NULL")
            .bind(id.as_str())
            .fetch_optional(&mut **tx)
            .await?;
    parsed(&device.ok_or(Conflict::NoService(*id))?, "device ID")
}
