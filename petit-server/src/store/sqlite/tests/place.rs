//! A registry's file that somebody removes or replaces while it is open.

#![cfg(unix)]

use super::*;

impl Bed {
    fn path(&self) -> PathBuf {
        self.dir.path().join("registry.db")
    }

    /// Moves the registry's files to other names, or back.
    fn move_files(&self, from: &str, to: &str) {
        for suffix in ["", "-wal", "-shm"] {
            let name = |name: &str| self.dir.path().join(format!("{name}{suffix}"));
            std::fs::rename(name(from), name(to)).unwrap();
        }
    }

    /// Makes an invite: something that is written.
    async fn write(&self) -> Result<(), StoreError> {
        let invite = NewInvite {
            id: InviteId(petit_engine::secret::random_bytes().unwrap()),
            secret: InviteSecret::random().unwrap().hash(),
            service: "web".parse().unwrap(),
            alias: None,
            labels: Labels::default(),
            not_after: in_seconds(60),
        };
        self.store.invite(invite, false, Actor::Operator).await
    }

    async fn is_replaced(&self) -> bool {
        match self.write().await {
            Ok(()) => false,
            Err(error) if *error.kind() == StoreErrorKind::Replaced => true,
            Err(other) => panic!("{other}"),
        }
    }
}

#[tokio::test]
async fn nothing_is_acknowledged_that_goes_into_a_file_that_was_removed() {
    let bed = Bed::new().await;
    let device = bed.enrolled().await;
    assert!(!bed.is_replaced().await && bed.store.in_place().is_ok());
    bed.move_files("registry.db", "away.db");
    assert!(bed.is_replaced().await && bed.store.in_place().is_err());
    assert_eq!(bed.store.devices().await.unwrap().len(), 1, "what is there can be looked at");
    // And saved.
    let saved = bed.dir.path().join("saved.db");
    bed.store.backup(saved.clone()).await.unwrap();
    let tables = SqliteStore::open(&saved).await.unwrap().load().await.unwrap();
    assert_eq!(tables.devices[0].id, device.device);
    // Back in its place it goes on.
    bed.move_files("away.db", "registry.db");
    assert!(!bed.is_replaced().await && bed.store.in_place().is_ok());
}

#[tokio::test]
async fn nothing_is_written_into_another_registry_that_took_the_place() {
    let bed = Bed::new().await;
    let other = Bed::new().await;
    bed.move_files("registry.db", "away.db");
    other.store.backup(bed.path()).await.unwrap();
    assert!(bed.is_replaced().await);
    // Not even by a connection that is made anew after a failure.
    *bed.store.writer.lock().await = None;
    assert!(bed.is_replaced().await);
    let untouched = SqliteStore::open(&bed.path()).await.unwrap();
    assert!(untouched.invites().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_write_ahead_log_that_was_removed_alone_is_noticed() {
    let bed = Bed::new().await;
    std::fs::remove_file(bed.dir.path().join("registry.db-wal")).unwrap();
    assert!(bed.is_replaced().await && bed.store.in_place().is_err());
}

#[tokio::test]
async fn a_registry_that_another_process_has_had_meanwhile_is_the_same() {
    let bed = Bed::new().await;
    bed.store.close().await.unwrap();
    let other = SqliteStore::open(&bed.path()).await.unwrap();
    assert!(bed.store.in_place().is_ok());
    other.close().await.unwrap();
    assert!(bed.store.in_place().is_ok() && !bed.is_replaced().await);
}

#[tokio::test]
async fn a_registry_that_is_made_anew_takes_nothing_from_the_log_of_the_one_before() {
    let bed = Bed::new().await;
    bed.enrolled().await;
    // As after a kill: the file is gone, and its write-ahead log is not.
    let log = bed.dir.path().join("registry.db-wal");
    let kept = std::fs::read(&log).unwrap();
    std::fs::remove_file(bed.path()).unwrap();
    bed.store.close().await.unwrap();
    std::fs::write(&log, &kept).unwrap();
    let (anew, said) = SqliteStore::create_beside_logs(&bed.path()).await.unwrap();
    assert!(anew.is_untouched().await.unwrap() && anew.devices().await.unwrap().is_empty());
    assert_eq!(anew.changes(0, 1).await.unwrap().head.version, 0);
    anew.close().await.unwrap();
    // What was in it can still be looked at by somebody who knows how.
    let entries = std::fs::read_dir(bed.dir.path()).unwrap().map(|entry| entry.unwrap().path());
    let aside: Vec<_> = entries.filter(|path| path.to_string_lossy().contains("-wal.before-")).collect();
    assert!(aside.len() == 1 && said.contains(&aside[0]), "{aside:?} {said:?}");
    assert_eq!(std::fs::read(&aside[0]).unwrap(), kept);
}

#[tokio::test]
async fn a_failure_of_the_database_is_not_taken_for_a_registry_that_was_removed() {
    let bed = Bed::new().await;
    let mut other =
        SqliteConnection::connect_with(&SqliteConnectOptions::new().filename(bed.path())).await.unwrap();
    let refuse = "CREATE TRIGGER refuse BEFORE INSERT ON invites BEGIN SELECT RAISE(ABORT, 'no'); END";
    sqlx::raw_sql(refuse).execute(&mut other).await.unwrap();
    other.close().await.unwrap();
    // The one that reads must not be the last one: it may not remove the log.
    bed.store.reader.lock().await.take().unwrap().close().await.unwrap();
    let failed = bed.write().await.unwrap_err();
    assert_eq!(*failed.kind(), StoreErrorKind::Failed);
    // The last connection to be closed takes the write-ahead log with it.
    let log = bed.dir.path().join("registry.db-wal");
    let gone = async {
        while log.exists() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), gone).await.unwrap();
    assert!(bed.store.in_place().is_ok());
    assert!(bed.store.devices().await.unwrap().is_empty());
    assert!(bed.store.in_place().is_ok(), "a reader has begun another log");
    std::fs::remove_file(bed.path()).unwrap();
    assert!(bed.store.in_place().is_err(), "what is gone is still noticed");
}

#[tokio::test]
async fn a_backup_is_its_owners_alone_before_anything_is_written_into_it() {
    use std::os::unix::fs::PermissionsExt;
    let bed = Bed::new().await;
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let begun = bed.dir.path().join("begun.db");
    file::begin_private(&begun).unwrap();
    assert_eq!((mode(&begun), std::fs::metadata(&begun).unwrap().len()), (0o600, 0));
    // SQLite leaves the rights of a file that is there, and nothing else sets them.
    let saved = bed.dir.path().join("saved.db");
    bed.store.backup(saved.clone()).await.unwrap();
    assert_eq!((mode(&saved), mode(&bed.path())), (0o600, 0o600));
}
