//! Policies and visitors' keys as rows.

use std::num::NonZeroU32;

use petit_engine::name::VisitorKeyId;
use petit_relay::policy::KeyHash;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::Row;
use sqlx::sqlite::{SqliteConnection, SqliteRow};

use super::values::{bytes, parsed};
use crate::registry::{Enforcement, LimitPer, Policy, StoreError, StoredKey, Timestamp};

pub(super) fn policy(row: &SqliteRow) -> Result<Policy, StoreError> {
    let number = |column: &str| {
        let number: Option<i64> = row.try_get(column)?;
        let limit = |number: i64| NonZeroU32::new(u32::try_from(number).ok()?);
        number.map(|number| limit(number).ok_or_else(|| StoreError::row(LIMIT))).transpose()
    };
    let max_body: Option<i64> = row.try_get("max_body")?;
    Ok(Policy {
        name: parsed(row.try_get("name")?, "policy's name")?,
        services: list(row.try_get("services")?)?,
        from: row.try_get::<Option<&str>, _>("addresses")?.map(list).transpose()?,
        keys: row.try_get::<Option<&str>, _>("keys")?.map(list).transpose()?,
        rate: number("rate")?,
        burst: number("burst")?,
        concurrent: number("concurrent")?,
        per: per(row.try_get("per")?)?,
        max_body: max_body
            .map(|bytes| u64::try_from(bytes).map_err(|_| StoreError::row(LIMIT)))
            .transpose()?,
        enforcement: enforcement(row.try_get("enforcement")?)?,
    })
}

pub(super) async fn put_policy(
    connection: &mut SqliteConnection,
    policy: &Policy,
    at: Timestamp,
) -> Result<(), StoreError> {
    // Taken apart whole, so that a part that is forgotten here does not compile.
    let Policy { name, services, from, keys, rate, burst, concurrent, per, max_body, enforcement } = policy;
    sqlx::query(
        "INSERT INTO policies (name, services, addresses, keys, rate, burst, concurrent, per, max_body, \
         enforcement, changed_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (name) DO UPDATE SET \
         services = excluded.services, addresses = excluded.addresses, keys = excluded.keys, \
         rate = excluded.rate, burst = excluded.burst, concurrent = excluded.concurrent, per = excluded.per, \
         max_body = excluded.max_body, enforcement = excluded.enforcement, changed_at = excluded.changed_at",
    )
    .bind(name.as_str())
    .bind(text(services)?)
    .bind(from.as_ref().map(text).transpose()?)
    .bind(keys.as_ref().map(text).transpose()?)
    .bind(rate.map(|most| i64::from(most.get())))
    .bind(burst.map(|most| i64::from(most.get())))
    .bind(concurrent.map(|most| i64::from(most.get())))
    .bind(per_text(*per))
    .bind(max_body.map(|bytes| i64::try_from(bytes).unwrap_or(i64::MAX)))
    .bind(enforcement_text(*enforcement))
    .bind(at.0)
    .execute(connection)
    .await?;
    Ok(())
}

pub(super) fn key(row: &SqliteRow) -> Result<StoredKey, StoreError> {
    let hash = |column: &str| match row.try_get::<Option<&[u8]>, _>(column)? {
        Some(hash) => bytes(hash, "hash of a key").map(KeyHash).map(Some),
        None => Ok(None),
    };
    let moment = |column: &str| Ok::<_, StoreError>(row.try_get::<Option<i64>, _>(column)?.map(Timestamp));
    let id: VisitorKeyId = parsed(row.try_get("id")?, "key's ID")?;
    Ok(StoredKey {
        id,
        name: parsed(row.try_get("name")?, "key's name")?,
        hash: hash("hash")?,
        previous: hash("previous_hash")?.zip(moment("previous_until")?),
        created: Timestamp(row.try_get("created_at")?),
        rotated: moment("rotated_at")?,
        revoked: moment("revoked_at")?,
    })
}

pub(super) async fn put_key(connection: &mut SqliteConnection, key: &StoredKey) -> Result<(), StoreError> {
    let StoredKey { id, name, hash, previous, created, rotated, revoked } = key;
    sqlx::query("DELETE FROM visitor_keys WHERE name = ?")
        .bind(name.as_str())
        .execute(&mut *connection)
        .await?;
    sqlx::query(
        "INSERT INTO visitor_keys (id, name, hash, previous_hash, previous_until, created_at, rotated_at, \
         revoked_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(id.as_str())
    .bind(name.as_str())
    .bind(hash.as_ref().map(|KeyHash(hash)| &hash[..]))
    .bind(previous.as_ref().map(|(KeyHash(hash), _)| &hash[..]))
    .bind(previous.map(|(_, until)| until.0))
    .bind(created.0)
    .bind(rotated.map(|at| at.0))
    .bind(revoked.map(|at| at.0))
    .execute(connection)
    .await?;
    Ok(())
}

const LIMIT: &str = "limit of a policy";

fn enforcement_text(enforcement: Enforcement) -> &'static str {
    match enforcement {
        Enforcement::Enforce => "enforce",
        Enforcement::CountOnly => "count_only",
    }
}

fn enforcement(text: &str) -> Result<Enforcement, StoreError> {
    match text {
        "enforce" => Ok(Enforcement::Enforce),
        "count_only" => Ok(Enforcement::CountOnly),
        _ => Err(StoreError::row("enforcement of a policy")),
    }
}

fn per_text(per: LimitPer) -> &'static str {
    match per {
        LimitPer::Visitor => "visitor",
        LimitPer::Service => "service",
    }
}

fn per(text: &str) -> Result<LimitPer, StoreError> {
    match text {
        "visitor" => Ok(LimitPer::Visitor),
        "service" => Ok(LimitPer::Service),
        _ => Err(StoreError::row(LIMIT)),
    }
}

fn list<T: DeserializeOwned>(text: &str) -> Result<Vec<T>, StoreError> {
    serde_json::from_str(text).map_err(|_| StoreError::row("list of a policy"))
}

fn text(list: &impl Serialize) -> Result<String, StoreError> {
    serde_json::to_string(list).map_err(|_| StoreError::row("list of a policy"))
}
