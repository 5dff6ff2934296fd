//! The rows of a transaction, in SQL that PostgreSQL understands, too, but for the spelling of parameters.

use petit_engine::name::{Alias, DeviceId, PolicyName, RegisteredId};
use petit_engine::proto::control::ServiceKind;
use petit_engine::secret::{InviteHash, InviteId, PublicKey};
use sqlx::Row;
use sqlx::sqlite::{SqliteConnection, SqliteRow};

use super::rollouts;
use super::values::{bytes, key, kind_text, labels, parsed, port, service_row, tags_text};
use super::visitors;
use crate::registry::{
    Actor, Change, ChangeHash, EndedBy, Head, InviteUse, Labels, NewDevice, NewInvite, Policy, Rollout, Rows,
    ServiceRow, SignedHead, StoreError, StoredDevice, StoredInvite, StoredKey, StoredReport, StoredService,
    Timestamp, Tombstone, canonical,
};

impl Rows for SqliteConnection {
    async fn invite(&mut self, id: &InviteId) -> Result<Option<StoredInvite>, StoreError> {
        let row =
            sqlx::query("SELECT * FROM invites WHERE id = ?").bind(&id.0[..]).fetch_optional(self).await?;
        row.as_ref().map(invite).transpose()
    }

    async fn insert_invite(&mut self, invite: &NewInvite, made: Timestamp) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO invites (id, secret_hash, service, alias, note, tags, created_at, not_after) \
             VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(&invite.id.0[..])
        .bind(&invite.secret.0[..])
        .bind(invite.service.as_str())
        .bind(invite.alias.as_ref().map(Alias::as_str))
        .bind(invite.labels.note.as_str())
        .bind(tags_text(&invite.labels.tags)?)
        .bind(made.0)
        .bind(Timestamp::from(invite.not_after).0)
        .execute(self)
        .await?;
        Ok(())
    }

    async fn set_invite_withdrawn(&mut self, id: &InviteId, at: Timestamp) -> Result<(), StoreError> {
        sqlx::query("UPDATE invites SET withdrawn_at = ? WHERE id = ?")
            .bind(at.0)
            .bind(&id.0[..])
            .execute(self)
            .await?;
        Ok(())
    }

    async fn set_invite_used(&mut self, id: &InviteId, used: &InviteUse) -> Result<(), StoreError> {
        sqlx::query("UPDATE invites SET used_at = ?, used_key = ?, device = ?, registered = ? WHERE id = ?")
            .bind(used.at.0)
            .bind(used.key.as_bytes())
            .bind(used.device.as_str())
            .bind(used.service.as_str())
            .bind(&id.0[..])
            .execute(self)
            .await?;
        Ok(())
    }

    async fn unused_invites(&mut self, alias: &Alias) -> Result<Vec<(InviteId, Timestamp)>, StoreError> {
        let rows: Vec<(Vec<u8>, i64)> = sqlx::query_as(
            "SELECT id, not_after FROM invites WHERE alias = ? AND used_at IS NULL AND withdrawn_at IS NULL",
        )
        .bind(alias.as_str())
        .fetch_all(self)
        .await?;
        rows.iter().map(|(id, end)| Ok((InviteId(bytes(id, "invite ID")?), Timestamp(*end)))).collect()
    }

    async fn device(&mut self, id: &DeviceId) -> Result<Option<StoredDevice>, StoreError> {
        let row = sqlx::query("SELECT id, key, name, ended_at, suspended_at FROM devices WHERE id = ?")
            .bind(id.as_str())
            .fetch_optional(self)
            .await?;
        row.as_ref().map(device).transpose()
    }

    async fn device_by_key(&mut self, key: &PublicKey) -> Result<Option<StoredDevice>, StoreError> {
        let row = sqlx::query("SELECT id, key, name, ended_at, suspended_at FROM devices WHERE key = ?")
            .bind(key.as_bytes())
            .fetch_optional(self)
            .await?;
        row.as_ref().map(device).transpose()
    }

    async fn insert_device(&mut self, device: &NewDevice) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO devices (id, key, name, software, note, tags, created_at) VALUES (?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(device.id.as_str())
        .bind(device.key.as_bytes())
        .bind(&device.name)
        .bind(&device.software)
        .bind(device.labels.note.as_str())
        .bind(tags_text(&device.labels.tags)?)
        .bind(device.made.0)
        .execute(self)
        .await?;
        Ok(())
    }

    async fn labels(&mut self, id: &DeviceId) -> Result<Labels, StoreError> {
        let row = sqlx::query("SELECT note, tags FROM devices WHERE id = ?")
            .bind(id.as_str())
            .fetch_optional(self)
            .await?;
        row.as_ref().map(labels).transpose().map(Option::unwrap_or_default)
    }

    async fn set_labels(&mut self, id: &DeviceId, labels: &Labels) -> Result<(), StoreError> {
        sqlx::query("UPDATE devices SET note = ?, tags = ? WHERE id = ?")
            .bind(labels.note.as_str())
            .bind(tags_text(&labels.tags)?)
            .bind(id.as_str())
            .execute(self)
            .await?;
        Ok(())
    }

    async fn set_device_name(&mut self, id: &DeviceId, name: &str) -> Result<(), StoreError> {
        sqlx::query("UPDATE devices SET name = ? WHERE id = ?")
            .bind(name)
            .bind(id.as_str())
            .execute(self)
            .await?;
        Ok(())
    }

    async fn set_device_suspended(
        &mut self,
        id: &DeviceId,
        since: Option<Timestamp>,
    ) -> Result<(), StoreError> {
        sqlx::query("UPDATE devices SET suspended_at = ? WHERE id = ?")
            .bind(since.map(|since| since.0))
            .bind(id.as_str())
            .execute(self)
            .await?;
        Ok(())
    }

    async fn set_device_ended(
        &mut self,
        id: &DeviceId,
        by: EndedBy,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        sqlx::query("UPDATE devices SET ended_at = ?, ended_by = ? WHERE id = ?")
            .bind(at.0)
            .bind(by.as_str())
            .bind(id.as_str())
            .execute(self)
            .await?;
        Ok(())
    }

    async fn service(&mut self, id: &RegisteredId) -> Result<Option<StoredService>, StoreError> {
        let row = sqlx::query(
            "SELECT id, device, name, kind, port FROM services WHERE id = ? AND ended_at IS NULL",
        )
        .bind(id.as_str())
        .fetch_optional(self)
        .await?;
        row.as_ref().map(service).transpose()
    }

    async fn services(&mut self, device: &DeviceId) -> Result<Vec<StoredService>, StoreError> {
        let rows = sqlx::query(
            "SELECT id, device, name, kind, port FROM services WHERE device = ? AND ended_at IS NULL \
             ORDER BY name",
        )
        .bind(device.as_str())
        .fetch_all(self)
        .await?;
        rows.iter().map(service).collect()
    }

    async fn services_made_since(
        &mut self,
        device: &DeviceId,
        since: Timestamp,
    ) -> Result<usize, StoreError> {
        let count: i64 =
            sqlx::query_scalar("SELECT count(*) FROM services WHERE device = ? AND created_at > ?")
                .bind(device.as_str())
                .bind(since.0)
                .fetch_one(self)
                .await?;
        Ok(usize::try_from(count).unwrap_or_default())
    }

    async fn ports_in_use(&mut self) -> Result<Vec<u16>, StoreError> {
        let ports: Vec<i64> =
            sqlx::query_scalar("SELECT port FROM services WHERE ended_at IS NULL AND port > 0 ORDER BY port")
                .fetch_all(self)
                .await?;
        Ok(ports.into_iter().map(port).collect())
    }

    async fn insert_service(&mut self, service: &StoredService, made: Timestamp) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO services (id, device, name, kind, port, created_at) VALUES (?, ?, ?, ?, ?, ?)",
        )
        .bind(service.id.as_str())
        .bind(service.device.as_str())
        .bind(service.name.as_str())
        .bind(kind_text(service.kind))
        .bind(service.port.map(i64::from))
        .bind(made.0)
        .execute(self)
        .await?;
        Ok(())
    }

    async fn set_service_kind(
        &mut self,
        id: &RegisteredId,
        kind: ServiceKind,
        port: Option<u16>,
    ) -> Result<(), StoreError> {
        sqlx::query("UPDATE services SET kind = ?, port = ? WHERE id = ?")
            .bind(kind_text(kind))
            .bind(port.map(i64::from))
            .bind(id.as_str())
            .execute(self)
            .await?;
        Ok(())
    }

    async fn set_service_ended(&mut self, id: &RegisteredId, at: Timestamp) -> Result<(), StoreError> {
        sqlx::query("UPDATE services SET ended_at = ? WHERE id = ?")
            .bind(at.0)
            .bind(id.as_str())
            .execute(self)
            .await?;
        Ok(())
    }

    async fn alias(&mut self, alias: &Alias) -> Result<Option<RegisteredId>, StoreError> {
        let owner: Option<String> = sqlx::query_scalar("SELECT service FROM aliases WHERE alias = ?")
            .bind(alias.as_str())
            .fetch_optional(self)
            .await?;
        owner.map(|owner| parsed(&owner, "registered ID")).transpose()
    }

    async fn aliases(&mut self, service: &RegisteredId) -> Result<Vec<Alias>, StoreError> {
        let rows: Vec<String> =
            sqlx::query_scalar("SELECT alias FROM aliases WHERE service = ? ORDER BY created_at, alias")
                .bind(service.as_str())
                .fetch_all(self)
                .await?;
        rows.iter().map(|alias| parsed(alias, "alias")).collect()
    }

    async fn insert_alias(
        &mut self,
        alias: &Alias,
        service: &RegisteredId,
        made: Timestamp,
    ) -> Result<(), StoreError> {
        sqlx::query("INSERT INTO aliases (alias, service, created_at) VALUES (?, ?, ?)")
            .bind(alias.as_str())
            .bind(service.as_str())
            .bind(made.0)
            .execute(self)
            .await?;
        Ok(())
    }

    async fn delete_alias(&mut self, alias: &Alias) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM aliases WHERE alias = ?").bind(alias.as_str()).execute(self).await?;
        Ok(())
    }

    async fn tombstone(&mut self, alias: &Alias) -> Result<Option<Tombstone>, StoreError> {
        let row: Option<(String, i64)> =
            sqlx::query_as("SELECT device, released_at FROM tombstones WHERE alias = ?")
                .bind(alias.as_str())
                .fetch_optional(self)
                .await?;
        let tombstone = |(device, released): (String, i64)| {
            Ok(Tombstone { device: parsed(&device, "device ID")?, released: Timestamp(released) })
        };
        row.map(tombstone).transpose()
    }

    async fn put_tombstone(&mut self, alias: &Alias, tombstone: Tombstone) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO tombstones (alias, device, released_at) VALUES (?, ?, ?) \
             ON CONFLICT (alias) DO UPDATE SET device = excluded.device, released_at = excluded.released_at",
        )
        .bind(alias.as_str())
        .bind(tombstone.device.as_str())
        .bind(tombstone.released.0)
        .execute(self)
        .await?;
        Ok(())
    }

    async fn delete_tombstone(&mut self, alias: &Alias) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM tombstones WHERE alias = ?").bind(alias.as_str()).execute(self).await?;
        Ok(())
    }

    async fn policies(&mut self) -> Result<Vec<Policy>, StoreError> {
        let rows = sqlx::query("SELECT * FROM policies ORDER BY name").fetch_all(self).await?;
        rows.iter().map(visitors::policy).collect()
    }

    async fn put_policy(&mut self, policy: &Policy, at: Timestamp) -> Result<(), StoreError> {
        visitors::put_policy(self, policy, at).await
    }

    async fn delete_policy(&mut self, name: &PolicyName) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM policies WHERE name = ?").bind(name.as_str()).execute(self).await?;
        Ok(())
    }

    async fn visitor_keys(&mut self) -> Result<Vec<StoredKey>, StoreError> {
        let rows = sqlx::query("SELECT * FROM visitor_keys ORDER BY name").fetch_all(self).await?;
        rows.iter().map(visitors::key).collect()
    }

    async fn put_visitor_key(&mut self, key: &StoredKey) -> Result<(), StoreError> {
        visitors::put_key(self, key).await
    }

    async fn last_rollout(&mut self) -> Result<Option<Rollout>, StoreError> {
        rollouts::last(self).await
    }

    async fn rollout_of(&mut self, release: &str) -> Result<Option<Rollout>, StoreError> {
        rollouts::of(self, release).await
    }

    async fn put_rollout(&mut self, rollout: &Rollout) -> Result<(), StoreError> {
        rollouts::put(self, rollout).await
    }

    async fn put_report(&mut self, report: &StoredReport) -> Result<(), StoreError> {
        rollouts::put_report(self, report).await
    }

    async fn head(&mut self) -> Result<Head, StoreError> {
        let (version, hash): (i64, Vec<u8>) =
            sqlx::query_as("SELECT version, hash FROM registry").fetch_one(self).await?;
        head(version, &hash)
    }

    async fn append_change(&mut self, change: &Change) -> Result<(), StoreError> {
        insert_change(self, change).await?;
        set_head(self, change.head()).await
    }

    async fn change_bytes(&mut self, actor: Actor, since: Timestamp) -> Result<u64, StoreError> {
        let bytes: i64 = sqlx::query_scalar(
            "SELECT coalesce(sum(length(CAST(body AS BLOB)) + ?), 0) FROM changes WHERE actor = ? AND at > ?",
        )
        .bind(BYTES_BESIDE_BODY)
        .bind(actor.to_string())
        .bind(since.0)
        .fetch_one(self)
        .await?;
        Ok(u64::try_from(bytes).unwrap_or_default())
    }

    async fn count_changes(
        &mut self,
        kind: &'static str,
        subject: &str,
        since: Timestamp,
    ) -> Result<usize, StoreError> {
        let count: i64 =
            sqlx::query_scalar("SELECT count(*) FROM changes WHERE kind = ? AND subject = ? AND at > ?")
                .bind(kind)
                .bind(subject)
                .bind(since.0)
                .fetch_one(self)
                .await?;
        Ok(usize::try_from(count).unwrap_or_default())
    }

    async fn oldest_change(&mut self) -> Result<Option<Timestamp>, StoreError> {
        let at: Option<i64> = sqlx::query_scalar("SELECT at FROM changes ORDER BY version LIMIT 1")
            .fetch_optional(self)
            .await?;
        Ok(at.map(Timestamp))
    }

    async fn last_change_before(&mut self, moment: Timestamp) -> Result<Option<Head>, StoreError> {
        let last: Option<(i64, Vec<u8>)> = sqlx::query_as(
            "SELECT version, hash FROM changes WHERE version < \
             coalesce((SELECT min(version) FROM changes WHERE at >= ?), (SELECT version + 1 FROM registry)) \
             ORDER BY version DESC LIMIT 1",
        )
        .bind(moment.0)
        .fetch_optional(self)
        .await?;
        last.map(|(version, hash)| head(version, &hash)).transpose()
    }

    async fn delete_changes(&mut self, through: &SignedHead) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM changes WHERE version <= ?")
            .bind(signed(through.head.version))
            .execute(&mut *self)
            .await?;
        sqlx::query("UPDATE registry SET checkpoint = ?").bind(through.to_string()).execute(self).await?;
        Ok(())
    }
}

/// What a row of the log takes beside its body, roughly: hashes, actor, subject, and its places in two indices.
const BYTES_BESIDE_BODY: i64 = 400;

/// Writes a change down. Until [`set_head`] the registry does not end with it.
pub(super) async fn insert_change(
    connection: &mut SqliteConnection,
    change: &Change,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO changes (version, at, actor, kind, subject, body, prev, hash) \
         VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(signed(change.version))
    .bind(change.at.0)
    .bind(change.actor.to_string())
    .bind(&*change.kind)
    .bind(&change.subject)
    .bind(canonical(&change.body))
    .bind(&change.prev.0[..])
    .bind(&change.hash.0[..])
    .execute(connection)
    .await?;
    Ok(())
}

/// The registry ends with this change from now on.
pub(super) async fn set_head(connection: &mut SqliteConnection, head: Head) -> Result<(), StoreError> {
    sqlx::query("UPDATE registry SET version = ?, hash = ?")
        .bind(signed(head.version))
        .bind(&head.hash.0[..])
        .execute(connection)
        .await?;
    Ok(())
}

pub(super) fn head(version: i64, hash: &[u8]) -> Result<Head, StoreError> {
    let version = u64::try_from(version).map_err(|_| StoreError::row("version"))?;
    Ok(Head { version, hash: ChangeHash(bytes(hash, "hash")?) })
}

/// A version as SQL has it.
pub(super) fn signed(version: u64) -> i64 {
    i64::try_from(version).unwrap_or(i64::MAX)
}

fn invite(row: &SqliteRow) -> Result<StoredInvite, StoreError> {
    let alias: Option<&str> = row.try_get("alias")?;
    let used_by = match row.try_get::<Option<&[u8]>, _>("used_key")? {
        Some(used_key) => Some((parsed(row.try_get("device")?, "device ID")?, key(used_key)?)),
        None => None,
    };
    Ok(StoredInvite {
        secret: InviteHash(bytes(row.try_get("secret_hash")?, "hash")?),
        service: parsed(row.try_get("service")?, "service name")?,
        alias: alias.map(|alias| parsed(alias, "alias")).transpose()?,
        labels: labels(row)?,
        made: Timestamp(row.try_get("created_at")?),
        not_after: Timestamp(row.try_get("not_after")?),
        is_withdrawn: row.try_get::<Option<i64>, _>("withdrawn_at")?.is_some(),
        used_by,
    })
}

fn device(row: &SqliteRow) -> Result<StoredDevice, StoreError> {
    Ok(StoredDevice {
        id: parsed(row.try_get("id")?, "device ID")?,
        key: key(row.try_get("key")?)?,
        name: row.try_get("name")?,
        is_ended: row.try_get::<Option<i64>, _>("ended_at")?.is_some(),
        suspended: row.try_get::<Option<i64>, _>("suspended_at")?.map(Timestamp),
    })
}

fn service(row: &SqliteRow) -> Result<StoredService, StoreError> {
    let ServiceRow { id, name, kind, port, aliases: _ } = service_row(row)?;
    Ok(StoredService { id, device: parsed(row.try_get("device")?, "device ID")?, name, kind, port })
}
