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

    async fn is_replaced(&self) -> bool {
        let invite = NewInvite {
            id: InviteId(petit_engine::secret::random_bytes().unwrap()),
            secret: InviteSecret::random().unwrap().hash(),
            service: "web".parse().unwrap(),
            alias: None,
            labels: Labels::default(),
            not_after: in_seconds(60),
        };
        match self.store.invite(invite, false, Actor::Operator).await {
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
