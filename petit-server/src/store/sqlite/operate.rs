//! Changes that the operator makes.

use petit_engine::limits;
use petit_engine::name::{Alias, DeviceId, RegisteredId};
use petit_engine::secret::InviteId;
use petit_relay::aliases_bytes;

use super::Tx;
use super::rows::{
    EventScope, alias_conflict, aliases_of, end_services, event, insert_alias, now, owner, parsed,
    release_alias, seconds,
};
use crate::store::{Changes, Conflict, EndedBy, NewInvite, StoreError};

/// Makes an invite. With `force`, an alias that belonged to another client not long ago is promised all the same.
pub(super) async fn invite(tx: &mut Tx<'_>, invite: &NewInvite, force: bool) -> Result<(), StoreError> {
    if let Some(alias) = &invite.alias {
        match alias_conflict(tx, alias, None, None).await? {
            Some(Conflict::AliasTombstoned { .. }) if force => {
                sqlx::query("DELETE FROM tombstones WHERE alias = ?")
                    .bind(alias.as_str())
                    .execute(&mut **tx)
                    .await?;
            }
            Some(conflict) => return Err(conflict.into()),
            None => {}
        }
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
    .execute(&mut **tx)
    .await?;
    event(tx, EventScope::Common, "invite-made", &invite.id.to_string(), invite.service.as_str()).await
}

/// Takes an invite back.
pub(super) async fn withdraw(tx: &mut Tx<'_>, id: InviteId) -> Result<(), StoreError> {
    let done = sqlx::query(
        "UPDATE invites SET withdrawn_at = ? WHERE id = ? AND used_at IS NULL AND withdrawn_at IS NULL",
    )
    .bind(now())
    .bind(&id.0[..])
    .execute(&mut **tx)
    .await?;
    if done.rows_affected() == 0 {
        return Err(Conflict::NoInvite.into());
    }
    event(tx, EventScope::Common, "invite-withdrawn", &id.to_string(), "").await
}

/// Ends a device's registration, with its services and aliases, for good.
pub(super) async fn end_device(
    tx: &mut Tx<'_>,
    device: DeviceId,
    by: EndedBy,
) -> Result<Changes, StoreError> {
    let by = match by {
        EndedBy::Operator => "operator",
        EndedBy::Client => "client",
    };
    let done = sqlx::query("UPDATE devices SET ended_at = ?, ended_by = ? WHERE id = ? AND ended_at IS NULL")
        .bind(now())
        .bind(by)
        .bind(device.as_str())
        .execute(&mut **tx)
        .await?;
    if done.rows_affected() == 0 {
        return Err(Conflict::NoDevice(device).into());
    }
    let ids: Vec<String> =
        sqlx::query_scalar("SELECT id FROM services WHERE device = ? AND ended_at IS NULL")
            .bind(device.as_str())
            .fetch_all(&mut **tx)
            .await?;
    let ids = ids.iter().map(|id| parsed(id, "registered ID")).collect::<Result<Vec<_>, _>>()?;
    let mut changes = Changes { devices_gone: vec![device], ..Changes::default() };
    end_services(tx, (&device, EventScope::Common), &ids, &mut changes).await?;
    event(tx, EventScope::Common, "device-ended", device.as_str(), by).await?;
    Ok(changes)
}

/// Gives a service an alias.
pub(super) async fn add_alias(
    tx: &mut Tx<'_>,
    id: RegisteredId,
    alias: &Alias,
    force: bool,
) -> Result<Changes, StoreError> {
    let device = owner(tx, &id).await?;
    let mut changes = Changes::default();
    match alias_conflict(tx, alias, Some(&device), None).await? {
        // Asked for twice is asked for once.
        Some(Conflict::AliasTaken { id: owner, .. }) if owner == id => return Ok(changes),
        Some(Conflict::AliasTombstoned { .. }) if force => {}
        Some(conflict) => return Err(conflict.into()),
        None => {}
    }
    let others = aliases_of(tx, &id).await?;
    if aliases_bytes(others.iter().chain([alias])) > limits::MAX_ALIASES_BYTES {
        let (count, bytes) = (others.len(), aliases_bytes(&others));
        return Err(Conflict::TooManyAliases { id, count, bytes, most: limits::MAX_ALIASES_BYTES }.into());
    }
    insert_alias(tx, alias, &id, &mut changes).await?;
    Ok(changes)
}

/// Takes an alias from a service.
pub(super) async fn remove_alias(
    tx: &mut Tx<'_>,
    id: RegisteredId,
    alias: Alias,
) -> Result<Changes, StoreError> {
    let device = owner(tx, &id).await?;
    if !aliases_of(tx, &id).await?.contains(&alias) {
        return Err(Conflict::NoAlias { id, alias }.into());
    }
    release_alias(tx, (&device, EventScope::Common), &alias).await?;
    Ok(Changes { aliases_gone: vec![alias], ..Changes::default() })
}
