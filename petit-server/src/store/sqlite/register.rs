//! The transactions that peers start: enrolling a device, announcing its services, calling it something else,
//! giving a service back.

use std::time::UNIX_EPOCH;

use petit_engine::limits;
use petit_engine::name::{Alias, DeviceId, ServiceName};
use petit_engine::proto::control::{EnrolRefusal, ServiceKind};
use petit_engine::secret::InviteHash;
use petit_relay::{EnrolRequest, Route};
use sqlx::Row;

use super::Tx;
use super::rows::{
    EventScope, alias_conflict, bytes, end_services, event, find_service, free_port, insert_alias,
    insert_service, kind_text, now, parsed, random, seconds,
};
use crate::store::{
    AnnouncedRow, Changes, Conflict, Device, EnrolledRow, RegistrationLimits, Service, ServiceRow, StoreError,
};

/// In seconds.
const HOUR: i64 = 60 * 60;

/// Consumes an invite and adds the device, or says why not.
pub(super) async fn enrol(
    tx: &mut Tx<'_>,
    request: &EnrolRequest,
) -> Result<Result<(EnrolledRow, Changes), EnrolRefusal>, StoreError> {
    let row = sqlx::query("SELECT * FROM invites WHERE id = ?")
        .bind(&request.invite.0[..])
        .fetch_optional(&mut **tx)
        .await?;
    // An invite that is not there is compared like one that is, so that both take the same time.
    let hash = match &row {
        Some(row) => bytes(row.try_get("secret_hash")?, "hash")?,
        None => [0; 32],
    };
    let proven = InviteHash(hash) == request.secret;
    let Some(invite) = row.filter(|_| proven) else { return Ok(Err(EnrolRefusal::Invalid)) };
    let service: ServiceName = parsed(invite.try_get("service")?, "service name")?;
    let key = request.key.as_bytes();

    let known: Option<(String, Option<i64>)> =
        sqlx::query_as("SELECT id, ended_at FROM devices WHERE key = ?")
            .bind(key)
            .fetch_optional(&mut **tx)
            .await?;
    if known.as_ref().is_some_and(|(_, ended)| ended.is_some()) {
        return Ok(Err(EnrolRefusal::Revoked));
    }
    if let Some(used_key) = invite.try_get::<Option<Vec<u8>>, _>("used_key")? {
        if used_key != key {
            let holder: DeviceId = parsed(invite.try_get("device")?, "device ID")?;
            reused(tx, &holder, &request.invite.to_string(), &request.from.to_string()).await?;
            return Ok(Err(EnrolRefusal::Used));
        }
        // The answer was lost on its way; here it is again. (A service that was given back since gets a new ID.)
        let device = parsed(invite.try_get("device")?, "device ID")?;
        let mut changes = Changes::default();
        let registered = match find_service(tx, &device, &service).await? {
            Some(registered) => registered,
            None => insert_service(tx, &device, &service, ServiceKind::Http, None, &mut changes).await?,
        };
        return Ok(Ok((EnrolledRow { device, service, id: registered.id }, changes)));
    }
    if invite.try_get::<Option<i64>, _>("withdrawn_at")?.is_some() {
        return Ok(Err(EnrolRefusal::Withdrawn));
    }
    // One that was made in the future was made by a clock that has been set back since: which of the two clocks
    // was right cannot be known, so how long it has been about cannot be, either.
    let made: i64 = invite.try_get("created_at")?;
    let skew = seconds(UNIX_EPOCH + limits::CLOCK_SKEW);
    if invite.try_get::<i64, _>("not_after")? < now() || made > now() + skew {
        return Ok(Err(EnrolRefusal::Expired));
    }

    let mut changes = Changes::default();
    let device = match known {
        Some((id, _)) => parsed(&id, "device ID")?,
        None => {
            let device = random(DeviceId::random())?;
            sqlx::query("INSERT INTO devices (id, key, name, software, created_at) VALUES (?, ?, ?, ?, ?)")
                .bind(device.as_str())
                .bind(key)
                .bind(request.device_name.as_str())
                .bind(request.software.as_str())
                .bind(now())
                .execute(&mut **tx)
                .await?;
            changes.added.devices.push(Device {
                id: device,
                key: request.key.clone(),
                name: request.device_name.as_str().to_owned(),
            });
            event(tx, EventScope::Common, "device-added", device.as_str(), &request.from.to_string()).await?;
            device
        }
    };
    let registered = match find_service(tx, &device, &service).await? {
        Some(registered) => registered,
        None => insert_service(tx, &device, &service, ServiceKind::Http, None, &mut changes).await?,
    };
    if let Some(alias) = invite.try_get::<Option<String>, _>("alias")? {
        let alias: Alias = parsed(&alias, "alias")?;
        match alias_conflict(tx, &alias, Some(&device), Some(&request.invite)).await? {
            None => insert_alias(tx, &alias, &registered.id, &mut changes).await?,
            // It was free when the invite was made. The registration is worth more than its alias.
            Some(conflict) => {
                event(tx, EventScope::Common, "alias-not-given", alias.as_str(), &conflict.to_string())
                    .await?;
            }
        }
    }
    sqlx::query("UPDATE invites SET used_at = ?, used_key = ?, device = ?, registered = ? WHERE id = ?")
        .bind(now())
        .bind(key)
        .bind(device.as_str())
        .bind(registered.id.as_str())
        .bind(&request.invite.0[..])
        .execute(&mut **tx)
        .await?;
    Ok(Ok((EnrolledRow { device, service, id: registered.id }, changes)))
}

/// Takes note of somebody who tries an invite that another has used: once a minute, so that trying again and again
/// costs nobody a write.
async fn reused(tx: &mut Tx<'_>, holder: &DeviceId, invite: &str, from: &str) -> Result<(), StoreError> {
    let lately: Option<i64> = sqlx::query_scalar(
        "SELECT 1 FROM events WHERE device = ? AND what = 'invite-reused' AND subject = ? AND at > ?",
    )
    .bind(holder.as_str())
    .bind(invite)
    .bind(now() - 60)
    .fetch_optional(&mut **tx)
    .await?;
    match lately {
        Some(_) => Ok(()),
        None => event(tx, EventScope::Of(holder), "invite-reused", invite, from).await,
    }
}

/// Gives every offered service its row, within the limits. Writes nothing when nothing is new.
pub(super) async fn announce(
    tx: &mut Tx<'_>,
    device: &DeviceId,
    services: &[(ServiceName, ServiceKind)],
    limits: RegistrationLimits,
) -> Result<(Vec<AnnouncedRow>, Changes), StoreError> {
    let registered: Option<i64> =
        sqlx::query_scalar("SELECT 1 FROM devices WHERE id = ? AND ended_at IS NULL")
            .bind(device.as_str())
            .fetch_optional(&mut **tx)
            .await?;
    if registered.is_none() {
        // Revoked a moment ago; its session is being closed.
        return Err(Conflict::NoDevice(*device).into());
    }
    let mut changes = Changes::default();
    let mut announced = Vec::new();
    let mut count: i64 =
        sqlx::query_scalar("SELECT count(*) FROM services WHERE device = ? AND ended_at IS NULL")
            .bind(device.as_str())
            .fetch_one(&mut **tx)
            .await?;
    // Every ID that was ever given keeps its row, so a device that gives back and takes anew cannot go on for ever.
    let mut lately: i64 =
        sqlx::query_scalar("SELECT count(*) FROM services WHERE device = ? AND created_at > ?")
            .bind(device.as_str())
            .bind(now() - HOUR)
            .fetch_one(&mut **tx)
            .await?;
    for (name, kind) in services {
        let known = find_service(tx, device, name).await?;
        let had = known.as_ref().and_then(|known| known.port).filter(|port| limits.allows(*port));
        let port = match (kind, had) {
            (ServiceKind::Http, _) => None,
            (ServiceKind::Tcp, Some(port)) => Some(port),
            (ServiceKind::Tcp, None) => {
                let port = free_port(tx, limits.ports).await?;
                if port.is_none() {
                    announced.push(AnnouncedRow::NoPort);
                    continue;
                }
                port
            }
        };
        let row = match known {
            Some(known) if known.kind == *kind && known.port == port => known,
            Some(known) => {
                // The same name now speaks something else, or has another port; its ID stays.
                sqlx::query("UPDATE services SET kind = ?, port = ? WHERE id = ?")
                    .bind(kind_text(*kind))
                    .bind(port.map(i64::from))
                    .bind(known.id.as_str())
                    .execute(&mut **tx)
                    .await?;
                let route = Route { id: known.id, device: *device, name: name.clone(), kind: *kind };
                changes.added.services.push(Service { route, port });
                ServiceRow { kind: *kind, port, ..known }
            }
            None if usize::try_from(count).unwrap_or(usize::MAX) >= limits.most
                || lately >= i64::from(limits::NEW_SERVICES_PER_HOUR) =>
            {
                announced.push(AnnouncedRow::TooMany);
                continue;
            }
            None => {
                count += 1;
                lately += 1;
                insert_service(tx, device, name, *kind, port, &mut changes).await?
            }
        };
        announced.push(AnnouncedRow::Registered(row));
    }
    Ok((announced, changes))
}

/// Takes note of what a device is called now.
pub(super) async fn rename(tx: &mut Tx<'_>, device: &DeviceId, name: &str) -> Result<Changes, StoreError> {
    let mut changes = Changes::default();
    let known: Option<String> =
        sqlx::query_scalar("SELECT name FROM devices WHERE id = ? AND ended_at IS NULL")
            .bind(device.as_str())
            .fetch_optional(&mut **tx)
            .await?;
    if name.is_empty() || known.is_none_or(|known| known == name) {
        return Ok(changes);
    }
    sqlx::query("UPDATE devices SET name = ? WHERE id = ?")
        .bind(name)
        .bind(device.as_str())
        .execute(&mut **tx)
        .await?;
    event(tx, EventScope::Of(device), "device-renamed", device.as_str(), name).await?;
    changes.renamed.push((*device, name.to_owned()));
    Ok(changes)
}

/// Frees a service that its device gives back.
pub(super) async fn remove(
    tx: &mut Tx<'_>,
    device: &DeviceId,
    name: &ServiceName,
) -> Result<Changes, StoreError> {
    let mut changes = Changes::default();
    if let Some(service) = find_service(tx, device, name).await? {
        end_services(tx, (device, EventScope::Of(device)), &[service.id], &mut changes).await?;
    }
    Ok(changes)
}
