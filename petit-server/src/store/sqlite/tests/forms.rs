//! Registries that released versions have written.

use super::*;
use crate::audit::Verifier;

/// A registry of form 1, made by the programs of version 0.1.0: clients that are registered, renamed, revoked and
/// unregistered, services that were given back, aliases and those of former owners, and an invite of each state.
const FORM_1: &[u8] =
    include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/e2e/fixtures/registry-form-1.db"));

/// A registry of form 2, as of version 0.1.0 shortly before its release: the same, and events that know the client that
/// has caused them.
const FORM_2: &[u8] =
    include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/e2e/fixtures/registry-form-2.db"));

fn written(form: &[u8]) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("registry.db");
    std::fs::write(&path, form).unwrap();
    (dir, path)
}

/// Every column of every row that form 1 has, as SQL would write it.
async fn rows_of_form_1(path: &Path) -> Vec<String> {
    rows(path, "at what subject detail").await
}

/// The events, in their order, wherever the form of the file has them.
async fn events(connection: &mut SqliteConnection, columns: &str) -> Vec<String> {
    let has_events = "SELECT count(*) FROM sqlite_schema WHERE name = 'events'";
    let has_events: i64 = sqlx::query_scalar(has_events).fetch_one(&mut *connection).await.unwrap();
    let from = match has_events {
        0 => {
            "(SELECT version AS number, at, kind AS what, subject, body ->> 'detail' AS detail, \
             body ->> 'client' AS device FROM changes)"
        }
        _ => "events",
    };
    let columns: Vec<String> = columns.split(' ').map(|column| format!("quote({column})")).collect();
    let sql = format!("SELECT 'events ' || {} FROM {from} ORDER BY number", columns.join(" || ' ' || "));
    sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).fetch_all(connection).await.unwrap()
}

async fn rows(path: &Path, of_events: &str) -> Vec<String> {
    let mut connection =
        SqliteConnection::connect_with(&SqliteConnectOptions::new().filename(path).read_only(true))
            .await
            .unwrap();
    let mut rows = Vec::new();
    for (table, columns) in [
        (
            "invites",
            "id secret_hash service alias note created_at not_after withdrawn_at used_at used_key device registered",
        ),
        ("devices", "id key name software created_at ended_at ended_by"),
        ("services", "id device name kind port created_at ended_at"),
        ("aliases", "alias service created_at"),
        ("tombstones", "alias device released_at"),
    ] {
        let columns: Vec<String> = columns.split(' ').map(|column| format!("quote({column})")).collect();
        let sql = format!("SELECT '{table} ' || {} FROM {table} ORDER BY rowid", columns.join(" || ' ' || "));
        let found: Vec<String> =
            sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).fetch_all(&mut connection).await.unwrap();
        rows.extend(found);
    }
    rows.extend(events(&mut connection, of_events).await);
    connection.close().await.unwrap();
    rows
}

#[tokio::test]
async fn a_registry_of_form_1_opens_and_loses_nothing() {
    let (_dir, path) = written(FORM_1);
    let before = rows_of_form_1(&path).await;
    assert_eq!(before.len(), 8 + 5 + 7 + 2 + 3 + 36);
    let store = SqliteStore::open(&path).await.unwrap();
    assert_eq!(rows_of_form_1(&path).await, before);

    let tables = store.load().await.unwrap();
    assert_eq!((tables.devices.len(), tables.services.len(), tables.aliases.len()), (3, 4, 2));
    let devices = store.devices().await.unwrap();
    let ended: Vec<_> = devices.iter().filter_map(|row| row.ended).map(|(_, by)| by).collect();
    assert_eq!((devices.len(), ended), (5, vec![EndedBy::Operator, EndedBy::Client]));
    let anna = devices.iter().find(|row| row.id.as_str() == "okykx2e2v7qlh2xbtgzjhncigm").unwrap();
    let services: Vec<String> = anna
        .services
        .iter()
        .map(|service| format!("{} {} {:?} {:?}", service.id, service.name, service.port, service.aliases))
        .collect();
    assert_eq!(
        services,
        ["5brztcqx64apzl4k db Some(20100) []", "7a7yh7o7lhcthar4 web None [acme, shop.acme.example]"]
    );
    let states: Vec<InviteState> = store
        .invites()
        .await
        .unwrap()
        .iter()
        .filter(|row| row.device.is_none())
        .map(|row| row.state)
        .collect();
    assert_eq!(states.len(), 3, "the others were used");

    // And it goes on from there. Nobody has asked anything of visitors then.
    assert_eq!(tables.visitors, Some(VisitorRules::default()));
    set_policy(&store).await;
    let id = anna.services[1].id;
    store.add_alias(id, "later".parse().unwrap(), false, Actor::Operator).await.unwrap();
    store.close().await.unwrap();
    let again = SqliteStore::open(&path).await.unwrap();
    let tables = again.load().await.unwrap();
    assert_eq!(tables.aliases.len(), 3);
    assert_eq!(tables.visitors.unwrap().policies.len(), 1);
}

async fn set_policy(store: &SqliteStore) {
    let services = Some(vec![PolicyTarget::Default]);
    let edit = PolicyEdit {
        services,
        rate: Edit::To(10.try_into().unwrap()),
        ..PolicyEdit::of("cloud".parse().unwrap())
    };
    store.set_policy(edit, Arc::default(), Actor::Operator).await.unwrap();
}

#[tokio::test]
async fn a_registry_of_form_2_opens_and_loses_nothing() {
    let (_dir, path) = written(FORM_2);
    let all = "at what subject detail coalesce(device,'')";
    let before = rows(&path, all).await;
    assert_eq!(before.len(), 7 + 4 + 6 + 3 + 2 + 31);
    let store = SqliteStore::open(&path).await.unwrap();
    assert_eq!(rows(&path, all).await, before);

    let tables = store.load().await.unwrap();
    assert_eq!((tables.devices.len(), tables.services.len(), tables.aliases.len()), (2, 3, 3));
    assert_eq!(tables.visitors, Some(VisitorRules::default()));
    let devices = store.devices().await.unwrap();
    let renamed = devices.iter().find(|row| row.id.as_str() == "wq2anazua5ruejedqtx7qefvga").unwrap();
    assert_eq!((renamed.name.as_str(), renamed.ended.is_none()), ("Ledger PC", true));
    // Whether the other two have expired depends on the day.
    let invites = store.invites().await.unwrap();
    let taken_back = invites.iter().filter(|row| row.state == InviteState::Withdrawn).count();
    assert_eq!((invites.iter().filter(|row| row.device.is_none()).count(), taken_back), (3, 1));

    // Who has made a change is known where it was a client; the log begins with all of them, and is whole.
    let page = store.changes(0, u32::MAX).await.unwrap();
    let renamed = page.changes.iter().find(|change| change.kind == "device-renamed").unwrap();
    let device = devices.iter().find(|row| row.id.as_str() == renamed.subject).unwrap();
    assert_eq!(renamed.actor, Actor::Client(device.fingerprint));
    let made = page.changes.iter().find(|change| change.kind == "invite-made").unwrap();
    assert_eq!(made.actor, Actor::Unrecorded);
    let mut verifier = Verifier::new(None, Vec::new(), &[], Timestamp::now()).unwrap();
    page.changes.iter().for_each(|change| verifier.add(change).unwrap());
    assert_eq!(verifier.finish(page.head).unwrap().head.version, 31);
    store.close().await.unwrap();
}

/// What a database says of its tables and indices, whatever their spelling.
async fn shape(store: &SqliteStore) -> Vec<String> {
    let sql = "SELECT m.type || ' ' || m.name || ' ' || c.name || ' ' || coalesce(c.type, '') || ' ' || \
               coalesce(c.\"notnull\", '') || ' ' || coalesce(c.pk, '') \
               FROM sqlite_schema m JOIN pragma_table_info(m.name) c WHERE m.type = 'table' \
               UNION ALL \
               SELECT m.type || ' ' || m.name || ' ' || coalesce(c.name, '') FROM sqlite_schema m \
               JOIN pragma_index_info(m.name) c WHERE m.type = 'index' ORDER BY 1";
    let mut held = store.writer.lock().await;
    sqlx::query_scalar(sql).fetch_all(held.as_mut().unwrap()).await.unwrap()
}

#[tokio::test]
async fn a_registry_that_was_brought_up_has_the_tables_of_a_new_one() {
    let (_dir, path) = written(FORM_1);
    let old = SqliteStore::open(&path).await.unwrap();
    let new = Bed::new().await;
    let shape_of_new = shape(&new.store).await;
    assert!(shape_of_new.iter().any(|line| line.starts_with("table changes actor")), "{shape_of_new:#?}");
    assert_eq!(shape(&old).await, shape_of_new);
}

#[tokio::test]
async fn a_registry_of_form_1_that_is_only_looked_at_stays_as_it_is() {
    let (_dir, path) = written(FORM_1);
    SqliteStore::check(&path).await.unwrap();
    assert!(std::fs::read(&path).unwrap() == FORM_1);
}

/// What sqlx has kept of the migrations that were run.
async fn listed(path: &Path) -> Vec<(i64, bool)> {
    let options = SqliteConnectOptions::new().filename(path).read_only(true);
    let mut connection = SqliteConnection::connect_with(&options).await.unwrap();
    let list = "SELECT version, success FROM _sqlx_migrations ORDER BY version";
    let listed = sqlx::query_as(list).fetch_all(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    listed
}

#[tokio::test]
async fn a_registry_lists_the_forms_that_it_has_been_through() {
    let all: Vec<(i64, bool)> = (1..=FORM).map(|form| (form, true)).collect();
    let new = Bed::new().await;
    assert_eq!(listed(&new.dir.path().join("registry.db")).await, all);
    let (_dir, path) = written(FORM_1);
    drop(SqliteStore::open(&path).await.unwrap());
    assert_eq!(listed(&path).await, all);
}

/// Changes a registry's file as another program does.
async fn alter(path: &Path, sql: &'static str) {
    let mut connection =
        SqliteConnection::connect_with(&SqliteConnectOptions::new().filename(path)).await.unwrap();
    sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

#[tokio::test]
async fn a_form_that_cannot_be_reached_leaves_the_registry_as_it_was() {
    let (_dir, path) = written(FORM_1);
    alter(&path, "CREATE INDEX invites_of_device ON invites (device)").await; // in the way of form 2
    let before = rows_of_form_1(&path).await;
    let error = SqliteStore::open(&path).await.unwrap_err();
    assert_eq!(*error.kind(), StoreErrorKind::Failed, "{error}");
    assert_eq!(rows_of_form_1(&path).await, before);
    // With that out of the way it is as good as ever.
    alter(&path, "DROP INDEX invites_of_device").await;
    let store = SqliteStore::open(&path).await.unwrap();
    assert_eq!(store.load().await.unwrap().devices.len(), 3);
}

#[tokio::test]
async fn a_registry_that_was_made_by_other_files_of_the_same_number_is_refused() {
    let bed = Bed::new().await;
    let path = bed.dir.path().join("registry.db");
    bed.store.close().await.unwrap();
    alter(&path, "UPDATE _sqlx_migrations SET checksum = x'00' WHERE version = 1; PRAGMA user_version = 1")
        .await;
    let error = SqliteStore::open(&path).await.unwrap_err();
    assert_eq!(*error.kind(), StoreErrorKind::NotARegistry, "{error}");
}

#[tokio::test]
async fn a_client_keeps_the_note_of_the_invite_that_it_had_used_last() {
    let (_dir, path) = written(FORM_2);
    let mut connection =
        SqliteConnection::connect_with(&SqliteConnectOptions::new().filename(&path)).await.unwrap();
    let used: Vec<(String, String)> = sqlx::query_as(
        "SELECT d.id, (SELECT note FROM invites WHERE device = d.id ORDER BY used_at DESC LIMIT 1) FROM devices d",
    )
    .fetch_all(&mut connection)
    .await
    .unwrap();
    connection.close().await.unwrap();
    assert!(used.iter().any(|(_, note)| !note.is_empty()), "{used:?}");
    let store = SqliteStore::open(&path).await.unwrap();
    let devices = store.devices().await.unwrap();
    assert_eq!(devices.len(), used.len());
    for device in devices {
        assert!(used.contains(&(device.id.to_string(), device.labels.note.to_string())), "{device:?}");
        assert!(device.labels.tags.is_empty());
    }
}
