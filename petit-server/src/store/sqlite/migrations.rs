//! The forms of the registry's tables: numbered files, run by sqlx, each of which leads from one form to the next.
//!
//! A form's number is that of its last migration, and stands in the file's header as well (`PRAGMA user_version`), so
//! that any version of Petit can say of a file that it is too new before it runs anything. sqlx keeps what was run in
//! `_sqlx_migrations`, with a checksum of each file; the registries of before it are entered there as what their header
//! says they are. Released files never change.

use std::borrow::Cow;
use std::path::Path;
use std::sync::LazyLock;

use petit_engine::secret::Fingerprint;
use serde_json::json;
use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::sqlite::SqliteConnection;
use sqlx::{Connection, Row, SqlSafeStr};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::queries;
use super::rows::{insert_change, set_head};
use crate::registry::{Actor, Change, Rows, StoreError, StoreErrorKind, Tables, Timestamp};

/// Marks the file as ours (`PRAGMA application_id`): "Ptit".
pub(super) const APPLICATION: i64 = 0x5074_6974;

/// What leads from each form to the next one, from none to form 1 first.
const FILES: [(&str, &str); 9] = [
    ("registry", include_str!("migrations/1_registry.sql")),
    ("events of clients", include_str!("migrations/2_events_of_clients.sql")),
    ("changes", include_str!("migrations/3_changes.sql")),
    ("events carried over", include_str!("migrations/4_events_carried_over.sql")),
    ("policies", include_str!("migrations/5_policies.sql")),
    ("tags and notes", include_str!("migrations/6_tags_and_notes.sql")),
    ("roll-outs", include_str!("migrations/7_rollouts.sql")),
    ("targets of clients", include_str!("migrations/8_targets.sql")),
    ("suspended clients", include_str!("migrations/9_suspended_clients.sql")),
];
/// The form that this version writes.
pub(super) const FORM: i64 = FILES.len() as i64;

/// The form that has both the events of before and the log of changes, which SQL alone cannot fill: it knows no SHA-256.
const WITH_EVENTS: i64 = 3;

/// sqlx is to enter migrations as run, and not to run them. `Migrator::skip` and `run` say the same, but the compiler does
/// not see that their futures can be sent to another thread.
const SKIP: bool = true;

static MIGRATOR: LazyLock<Migrator> = LazyLock::new(|| {
    let migration = |(number, (name, sql)): (i64, &(&'static str, &'static str))| {
        Migration::new(number, Cow::Borrowed(*name), MigrationType::Simple, (*sql).into_sql_str(), false)
    };
    Migrator::with_migrations((1..).zip(&FILES).map(migration).collect())
});

/// Brings tables of a form to the present one, in one transaction. Form 0 is a file without tables.
///
/// # Errors
/// [`StoreError`]; the tables are as they were then.
pub(super) async fn run(connection: &mut SqliteConnection, form: i64) -> Result<(), StoreError> {
    let mut tx = connection.begin_with("BEGIN IMMEDIATE").await?;
    run_within(&mut tx, form).await?;
    Ok(tx.commit().await?)
}

/// As [`run`], in a transaction that was begun.
async fn run_within(tx: &mut SqliteConnection, form: i64) -> Result<(), StoreError> {
    if form > 0 {
        // Enters what is not in the list; what is there has to be the same file.
        MIGRATOR.run_direct(Some(form), &mut *tx, SKIP).await.map_err(migrate_error)?;
    }
    if form < WITH_EVENTS {
        MIGRATOR.run_direct(Some(WITH_EVENTS), &mut *tx, !SKIP).await.map_err(migrate_error)?;
        carry_events_over(&mut *tx).await?;
    }
    MIGRATOR.run_direct(None, &mut *tx, !SKIP).await.map_err(migrate_error)?;
    let marks = format!("PRAGMA application_id = {APPLICATION}; PRAGMA user_version = {FORM}");
    sqlx::raw_sql(sqlx::AssertSqlSafe(marks)).execute(&mut *tx).await?;
    Ok(())
}

pub(super) fn log(path: &Path, form: i64) {
    tracing::info!(path = %path.display(), from = form, to = FORM, "the registry was brought to a new form");
}

/// Tables that were brought to the present form in a transaction that has not ended, so that the file is still of the form
/// from before. Dropped, it stays so.
#[derive(Debug)]
pub(super) struct Uncommitted {
    form: i64,
    commit: oneshot::Sender<()>,
    /// Has the connection, and the transaction that borrows it.
    task: JoinHandle<Result<SqliteConnection, StoreError>>,
}

impl Uncommitted {
    /// Begins, and reads all that lookups need.
    ///
    /// # Errors
    /// [`StoreError`]; the tables are as they were then.
    pub(super) async fn begin(
        mut connection: SqliteConnection,
        form: i64,
    ) -> Result<(Self, Tables), StoreError> {
        let ((commit, committed), (give, given)) = (oneshot::channel(), oneshot::channel());
        let task = tokio::spawn(async move {
            let mut tx = connection.begin_with("BEGIN IMMEDIATE").await?;
            run_within(&mut tx, form).await?;
            let _ = give.send(queries::load(&mut tx).await?);
            match committed.await {
                Ok(()) => tx.commit().await?,
                Err(_) => tx.rollback().await?, // given up: nobody wants the connection either
            }
            Ok(connection)
        });
        match given.await {
            Ok(tables) => Ok((Self { form, commit, task }, tables)),
            Err(_) => Err(ended(task).await.err().unwrap_or_else(|| StoreErrorKind::Failed.into())),
        }
    }

    /// Puts the present form into the file.
    ///
    /// # Errors
    /// [`StoreError`]; the tables are as they were then.
    pub(super) async fn commit(self, path: &Path) -> Result<SqliteConnection, StoreError> {
        let _ = self.commit.send(()); // whatever has ended the task says why
        let connection = ended(self.task).await?;
        log(path, self.form);
        Ok(connection)
    }
}

async fn ended(
    task: JoinHandle<Result<SqliteConnection, StoreError>>,
) -> Result<SqliteConnection, StoreError> {
    task.await.unwrap_or_else(|error| Err(StoreError::new(StoreErrorKind::Failed, error)))
}

/// Makes a change of each event. Who has made it was written down only where it was a client, by itself.
async fn carry_events_over(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    let events = sqlx::query(
        "SELECT e.at, e.what, e.subject, e.detail, e.device, d.key FROM events e \
         LEFT JOIN devices d ON d.id = e.device ORDER BY e.number",
    )
    .fetch_all(&mut *connection)
    .await?;
    // Once for all of them: a process that takes over is waited for.
    let mut head = connection.head().await?;
    for event in &events {
        let (what, subject): (String, String) = (event.try_get("what")?, event.try_get("subject")?);
        let (detail, device): (&str, Option<&str>) = (event.try_get("detail")?, event.try_get("device")?);
        let actor = match event.try_get::<Option<&[u8]>, _>("key")? {
            // What others have tried stands under its holder.
            Some(key) if what != "invite-reused" => Actor::Client(Fingerprint::of(key)),
            Some(_) | None => Actor::Unrecorded,
        };
        let body = match device {
            Some(device) => json!({ "detail": detail, "client": device }),
            None => json!({ "detail": detail }),
        };
        let at = Timestamp(event.try_get("at")?);
        let change = Change::after(head, (at, actor), (what.into(), subject), body);
        insert_change(connection, &change).await?;
        head = change.head();
    }
    set_head(connection, head).await
}

fn migrate_error(error: MigrateError) -> StoreError {
    match error {
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => error.into(),
        // The list is not of the files of any version.
        other => StoreError::new(StoreErrorKind::NotARegistry, other),
    }
}
