//! Roll-outs, and what clients say of them, as rows.

use std::time::Duration;

use petit_engine::proto::control::UpdateState;
use sqlx::Row;
use sqlx::sqlite::{SqliteConnection, SqliteRow};

use super::values::parsed;
use crate::registry::{
    ReleaseToRollOut, Rollout, RolloutState, StoreError, StoreErrorKind, StoredReport, Timestamp,
};

/// By the order in which they were changed last, and not by a clock that may go back: nobody changes one but the last.
pub(super) async fn all(connection: &mut SqliteConnection) -> Result<Vec<Rollout>, StoreError> {
    let rows = sqlx::query("SELECT * FROM rollouts ORDER BY rowid").fetch_all(connection).await?;
    rows.iter().map(rollout).collect()
}

pub(super) async fn last(connection: &mut SqliteConnection) -> Result<Option<Rollout>, StoreError> {
    let row =
        sqlx::query("SELECT * FROM rollouts ORDER BY rowid DESC LIMIT 1").fetch_optional(connection).await?;
    row.as_ref().map(rollout).transpose()
}

pub(super) async fn of(
    connection: &mut SqliteConnection,
    release: &str,
) -> Result<Option<Rollout>, StoreError> {
    let query = sqlx::query("SELECT * FROM rollouts WHERE release = ?").bind(release);
    query.fetch_optional(connection).await?.as_ref().map(rollout).transpose()
}

pub(super) async fn put(connection: &mut SqliteConnection, rollout: &Rollout) -> Result<(), StoreError> {
    let Rollout { release, versions, rings, open, soak, state, started, resumed, opened } = rollout;
    let (state, halt) = match state {
        RolloutState::Running => ("running", None),
        RolloutState::Halted { reason, since, by_itself } => ("halted", Some((reason, since, by_itself))),
        RolloutState::Done => ("done", None),
        RolloutState::RolledBack => ("rolled_back", None),
    };
    let versions =
        serde_json::to_string(versions).map_err(|error| StoreError::new(StoreErrorKind::Failed, error))?;
    sqlx::query(
        "INSERT OR REPLACE INTO rollouts (release, counter, rings, open, soak, state, reason, started_at, \
         resumed_at, opened_at, versions, halted_at, halted_itself) \
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(&release.release)
    .bind(signed(release.counter))
    .bind(rings.to_string())
    .bind(i64::try_from(*open).unwrap_or(i64::MAX))
    .bind(signed(soak.as_secs()))
    .bind(state)
    .bind(halt.map(|(reason, _, _)| reason))
    .bind(started.0)
    .bind(resumed.map(|at| at.0))
    .bind(opened.0)
    .bind(versions)
    .bind(halt.map(|(_, since, _)| since.0))
    .bind(halt.is_some_and(|(_, _, by_itself)| *by_itself))
    .execute(connection)
    .await?;
    Ok(())
}

pub(super) async fn reports(connection: &mut SqliteConnection) -> Result<Vec<StoredReport>, StoreError> {
    let rows = sqlx::query("SELECT * FROM update_reports").fetch_all(connection).await?;
    rows.iter().map(report).collect()
}

pub(super) async fn put_report(
    connection: &mut SqliteConnection,
    report: &StoredReport,
) -> Result<(), StoreError> {
    let StoredReport { device, counter, version, state, at, target } = report;
    sqlx::query(
        "INSERT OR REPLACE INTO update_reports (device, counter, version, state, at, target) \
         VALUES (?, ?, ?, ?, ?, ?)",
    )
    .bind(device.as_str())
    .bind(signed(*counter))
    .bind(version)
    .bind(state_text(*state))
    .bind(at.0)
    .bind(target)
    .execute(connection)
    .await?;
    Ok(())
}

/// A number as SQL has it.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn rollout(row: &SqliteRow) -> Result<Rollout, StoreError> {
    let number = |column: &'static str| {
        let number: i64 = row.try_get(column)?;
        u64::try_from(number).map_err(|_| StoreError::row("number of a roll-out"))
    };
    let opened = Timestamp(row.try_get("opened_at")?);
    let state = match row.try_get("state")? {
        "running" => RolloutState::Running,
        "halted" => RolloutState::Halted {
            reason: row.try_get::<Option<_>, _>("reason")?.unwrap_or_default(),
            // Of one that an earlier version has halted that is all that is known.
            since: row.try_get::<Option<i64>, _>("halted_at")?.map_or(opened, Timestamp),
            by_itself: row.try_get("halted_itself")?,
        },
        "done" => RolloutState::Done,
        "rolled_back" => RolloutState::RolledBack,
        _ => return Err(StoreError::row("state of a roll-out")),
    };
    Ok(Rollout {
        release: ReleaseToRollOut { release: row.try_get("release")?, counter: number("counter")? },
        versions: serde_json::from_str(row.try_get("versions")?)
            .map_err(|_| StoreError::row("versions of a roll-out"))?,
        rings: parsed(row.try_get("rings")?, "list of rings")?,
        open: usize::try_from(number("open")?).unwrap_or(usize::MAX),
        soak: Duration::from_secs(number("soak")?),
        state,
        started: Timestamp(row.try_get("started_at")?),
        resumed: row.try_get::<Option<i64>, _>("resumed_at")?.map(Timestamp),
        opened,
    })
}

fn report(row: &SqliteRow) -> Result<StoredReport, StoreError> {
    let counter: i64 = row.try_get("counter")?;
    Ok(StoredReport {
        device: parsed(row.try_get("device")?, "device ID")?,
        counter: u64::try_from(counter).map_err(|_| StoreError::row("number of a release"))?,
        version: row.try_get("version")?,
        state: state(row.try_get("state")?)?,
        at: Timestamp(row.try_get("at")?),
        target: row.try_get("target")?,
    })
}

fn state_text(state: UpdateState) -> &'static str {
    match state {
        UpdateState::Waiting => "waiting",
        UpdateState::OnTrial => "on_trial",
        UpdateState::Works => "works",
        UpdateState::PutBack => "put_back",
        UpdateState::Failed => "failed",
        UpdateState::Other => "other",
    }
}

fn state(text: &str) -> Result<UpdateState, StoreError> {
    Ok(match text {
        "waiting" => UpdateState::Waiting,
        "on_trial" => UpdateState::OnTrial,
        "works" => UpdateState::Works,
        "put_back" => UpdateState::PutBack,
        "failed" => UpdateState::Failed,
        "other" => UpdateState::Other,
        _ => return Err(StoreError::row("state of an update")),
    })
}
