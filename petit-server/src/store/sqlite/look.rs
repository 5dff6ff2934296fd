//! Reading: what lookups need, and what the operator sees.

use petit_engine::name::{Alias, DeviceId};
use petit_engine::relay::Route;
use petit_engine::secret::{Fingerprint, InviteId, PublicKey};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::Tx;
use super::rows::{aliases_of, bytes, kind_of, now, parsed, service_row, time};
use crate::store::{DeviceRow, EndedBy, InviteRow, InviteState, StoreError, Tables};

/// All that lookups need.
pub(super) async fn load(tx: &mut Tx<'_>) -> Result<Tables, StoreError> {
    let mut tables = Tables::default();
    let rows = sqlx::query("SELECT id, key FROM devices WHERE ended_at IS NULL").fetch_all(&mut **tx).await?;
    for row in rows {
        let key = PublicKey::parse(row.try_get("key")?).map_err(|_| StoreError::Row { what: "key" })?;
        tables.devices.push((key, parsed(row.try_get("id")?, "device ID")?));
    }
    let rows = sqlx::query("SELECT id, device, name, kind FROM services WHERE ended_at IS NULL")
        .fetch_all(&mut **tx)
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
        sqlx::query_as("SELECT alias, service FROM aliases").fetch_all(&mut **tx).await?;
    for (alias, service) in rows {
        tables.aliases.push((parsed(&alias, "alias")?, parsed(&service, "registered ID")?));
    }
    Ok(tables)
}

/// All invites, newest first.
pub(super) async fn invites(tx: &mut Tx<'_>) -> Result<Vec<InviteRow>, StoreError> {
    let rows = sqlx::query("SELECT * FROM invites ORDER BY created_at DESC, id").fetch_all(&mut **tx).await?;
    rows.iter().map(invite).collect()
}

fn invite(row: &SqliteRow) -> Result<InviteRow, StoreError> {
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
        alias: alias.map(|alias| parsed::<Alias>(&alias, "alias")).transpose()?,
        note: row.try_get("note")?,
        not_after: time(not_after),
        state,
        device: device.map(|device| parsed(&device, "device ID")).transpose()?,
    })
}

/// All devices, those whose registration has ended included, oldest first.
pub(super) async fn devices(tx: &mut Tx<'_>) -> Result<Vec<DeviceRow>, StoreError> {
    let rows = sqlx::query("SELECT * FROM devices ORDER BY created_at, id").fetch_all(&mut **tx).await?;
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
        .fetch_all(&mut **tx)
        .await?;
        let mut services = Vec::new();
        for row in &rows {
            let mut service = service_row(row)?;
            service.aliases = aliases_of(tx, &service.id).await?;
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
}
