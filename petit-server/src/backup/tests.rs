use std::time::Duration;

use super::*;

/// A server's folder with all that belongs in it, and its registry where the config says.
struct Bed {
    dir: tempfile::TempDir,
    config: Config,
    folder: Folder,
}

impl Bed {
    fn new() -> Self {
        Self::with("")
    }

    fn with(settings: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let text = format!("[server]\n{}", settings.replace("DIR", dir.path().to_str().unwrap()));
        let folder = Folder::of(&dir.path().join("config.toml"));
        std::fs::write(&folder.config, &text).unwrap();
        let (config, _) = config::parse(&folder.config, &text).unwrap();
        Self { dir, config, folder }
    }

    async fn made(self) -> Self {
        folder_made(&self).await;
        self
    }

    async fn backup(&self) -> Result<PathBuf, BackupError> {
        let to = self.dir.path().join("backup");
        let store = SqliteStore::open(&self.config.registry_file).await.unwrap();
        let written = backup(&store, &self.config, &self.folder, &to).await;
        store.close().await.unwrap();
        written.map(|_| to)
    }

    async fn restore(&self, from: &Path) -> Result<Restored, BackupError> {
        restore(&self.config, &self.folder, from).await
    }

    /// The names of all files and folders in the server's folder.
    fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.dir.path()).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }
}

async fn folder_made(bed: &Bed) {
    SqliteStore::create(&bed.config.registry_file).await.unwrap().close().await.unwrap();
    bed.folder.make_keys(crate::folder::Pinned::Never).unwrap();
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_registry_on_another_disk_is_put_back_and_the_one_before_is_kept_there() {
    use std::os::unix::fs::MetadataExt;
    let disk = tempfile::tempdir_in("/dev/shm").unwrap();
    let bed = Bed::with(&format!("registry_file = \"{}/registry.db\"", disk.path().display())).made().await;
    let device = |path: &Path| std::fs::metadata(path).unwrap().dev();
    assert_ne!(device(disk.path()), device(bed.dir.path()), "this is a test of two disks");
    let backup = bed.backup().await.unwrap();
    let key = std::fs::read(bed.folder.key()).unwrap();
    let restored = bed.restore(&backup).await.unwrap();
    assert_eq!(std::fs::read(bed.folder.key()).unwrap(), key);
    let [beside_config, beside_registry] = &restored.aside[..] else { panic!("{restored:?}") };
    assert!(beside_config.join("server.key").exists() && beside_registry.join("registry.db").exists());
    assert_eq!(beside_registry.parent(), Some(disk.path()));
    SqliteStore::open(&bed.config.registry_file).await.unwrap().close().await.unwrap();
}

#[tokio::test]
async fn a_restore_that_fails_leaves_everything_as_it_was() {
    let bed = Bed::new().made().await;
    let backup = bed.backup().await.unwrap();
    let key = std::fs::read(bed.folder.key()).unwrap();
    let registry_file = bed.dir.path().join("not there/registry.db");
    let elsewhere = Config { registry_file: registry_file.clone(), ..bed.config.clone() };
    bed.folder.make().unwrap();
    let _ = restore(&elsewhere, &bed.folder, &bed.dir.path().join("no backup")).await;
    let before = bed.names();
    let found = restore(&elsewhere, &bed.folder, &backup).await.unwrap_err();
    assert!(found.to_string().contains("not there"), "{found}");
    assert_eq!(std::fs::read(bed.folder.key()).unwrap(), key);
    let mut after = bed.names();
    after.retain(|name| name != "server.lock");
    assert_eq!(after, before);
}

#[cfg(unix)]
#[tokio::test]
async fn a_linked_registry_is_put_back_to_where_the_link_leads() {
    let bed = Bed::new().made().await;
    let backup = bed.backup().await.unwrap();
    let (link, disk) = (bed.config.registry_file.clone(), bed.dir.path().join("disk"));
    std::fs::create_dir(&disk).unwrap();
    std::fs::rename(&link, disk.join("registry.db")).unwrap();
    std::os::unix::fs::symlink("disk/registry.db", &link).unwrap();
    let restored = bed.restore(&backup).await.unwrap();
    assert_eq!(std::fs::read_link(&link).unwrap(), Path::new("disk/registry.db"));
    let kept = restored.aside.iter().map(|aside| aside.parent().unwrap().file_name().unwrap().to_owned());
    let kept: Vec<_> = kept.collect();
    assert_eq!(kept[1], "disk", "{kept:?}");
    assert!(restored.aside[1].join("registry.db").exists());
    SqliteStore::open(&bed.config.registry_file).await.unwrap().close().await.unwrap();

    // One that leads nowhere, such as to a disk that is not mounted, is not replaced.
    std::fs::remove_dir_all(&disk).unwrap();
    let mut before = bed.names();
    before.retain(|name| name != "server.lock");
    let found = bed.restore(&backup).await.unwrap_err();
    let said = petit_host::cli::chain(&found);
    assert!(
        said.contains("registry.db") && said.contains("is a link to disk/registry.db, which is"),
        "{said}"
    );
    let mut after = bed.names();
    after.retain(|name| name != "server.lock");
    assert_eq!(after, before);
}

async fn sql(backup: &Path, statement: &'static str) {
    use sqlx::{ConnectOptions, Connection, Executor};
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(backup.join(REGISTRY));
    let mut connection = options.connect().await.unwrap();
    connection.execute(statement).await.unwrap();
    connection.close().await.unwrap();
}

#[tokio::test]
async fn it_is_noted_in_the_registry_that_it_was_put_back_before_anything_is_exchanged() {
    let bed = Bed::new().made().await;
    let backup = bed.backup().await.unwrap();
    sql(&backup, "ALTER TABLE changes RENAME TO kept").await;
    let (before, key) = (bed.names(), std::fs::read(bed.folder.key()).unwrap());
    bed.restore(&backup).await.unwrap_err();
    let mut after = bed.names();
    after.retain(|name| name != "server.lock");
    assert_eq!((after, std::fs::read(bed.folder.key()).unwrap()), (before, key), "nothing has changed");
    sql(&backup, "ALTER TABLE kept RENAME TO changes").await;

    bed.restore(&backup).await.unwrap();
    let store = SqliteStore::open(&bed.config.registry_file).await.unwrap();
    let changes = store.changes(0, 10).await.unwrap().changes;
    assert_eq!(changes.iter().map(|change| &*change.kind).collect::<Vec<_>>(), ["registry-restored"]);
    assert!(!bed.names().iter().any(|name| name.contains(".new")), "{:?}", bed.names());
}

#[tokio::test]
async fn a_roll_out_that_runs_in_a_backup_is_halted_when_it_is_put_back() {
    use crate::registry::{ReleaseToRollOut, RolloutPlan, RolloutState};
    let bed = Bed::new().made().await;
    let store = SqliteStore::open(&bed.config.registry_file).await.unwrap();
    let release = |name: &str| ReleaseToRollOut { release: name.to_owned(), counter: 7 };
    let plan = |name| RolloutPlan {
        release: release(name),
        versions: Default::default(),
        rings: Default::default(),
        soak: Duration::ZERO,
        if_halted: Default::default(),
    };
    store.start_rollout(plan("bad"), Actor::Operator).await.unwrap();
    store.close().await.unwrap();
    drop(store);
    let backup = bed.backup().await.unwrap();
    // What is done after that is not in it.
    let store = SqliteStore::open(&bed.config.registry_file).await.unwrap();
    store.step_rollout(RolloutStep::RollBack, Actor::Operator).await.unwrap();
    store.close().await.unwrap();
    drop(store);

    bed.restore(&backup).await.unwrap();
    let store = SqliteStore::open(&bed.config.registry_file).await.unwrap();
    let (rollouts, _) = store.rollouts().await.unwrap();
    let [Rollout { state: RolloutState::Halted { reason, by_itself: true, .. }, .. }] = &rollouts[..] else {
        panic!("{rollouts:?}")
    };
    assert!(reason.contains("restored"), "{reason}");
    let changes = store.changes(0, 10).await.unwrap().changes;
    let kinds: Vec<&str> = changes.iter().map(|change| &*change.kind).collect();
    assert_eq!(kinds, ["rollout-started", "registry-restored", "rollout-halted"]);
}

/// Lays a release into a folder of releases, as `release put` does; nobody looks at its signatures here. Returns what
/// it is known by.
fn put_release(releases: &Path) -> HandedOut {
    use petit_host::update::{Artifact, Bundle, Channel, Manifest, ReleaseKey, Time};
    let (created, expires) = (Time::now(), Time::now().after(Duration::from_secs(86_400)));
    let artifact = Artifact {
        target: "petit-client-linux-x86_64".parse().unwrap(),
        version: "0.2.0".parse().unwrap(),
        file: "program".parse().unwrap(),
        bytes: 3,
        sha256: "0".repeat(64).parse().unwrap(),
        minimum: None,
        revoked: vec![],
    };
    let manifest = Manifest::new(Channel::Stable, 8, (created, expires), vec![artifact]);
    let key = "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3";
    let bundle = Bundle {
        release_key: ReleaseKey::new(1, expires, key.to_owned()).to_text(),
        root_signatures: vec![],
        manifest: manifest.to_text(),
        manifest_signature: String::new(),
    };
    std::fs::create_dir_all(releases.join("release-1-8")).unwrap();
    bundle.write(&releases.join("release-1-8")).unwrap();
    std::fs::write(releases.join("current"), "release-1-8").unwrap();
    Release::current(releases).unwrap().unwrap().handed_out
}

#[tokio::test]
async fn a_release_that_came_after_the_backup_is_halted_when_that_is_put_back() {
    use crate::registry::RolloutState;
    let bed = Bed::new().made().await;
    let backup = bed.backup().await.unwrap();
    assert_eq!(bed.restore(&backup).await.unwrap().releases, HeldBack::Nothing);
    let release = put_release(&bed.folder.releases());
    // Twice: an operator who was told may begin it, and restore once more.
    for _ in 0..2 {
        let restored = bed.restore(&backup).await.unwrap();
        assert_eq!(restored.releases, HeldBack::Release { counter: 8, can_resume: true });
        let store = SqliteStore::open(&bed.config.registry_file).await.unwrap();
        let (rollouts, _) = store.rollouts().await.unwrap();
        let [Rollout { release: known, state, .. }] = &rollouts[..] else { panic!("{rollouts:?}") };
        assert_eq!((&known.release, known.counter), (&release.content, 8));
        assert!(matches!(state, RolloutState::Halted { by_itself: true, .. }), "{state:?}");
        store.step_rollout(RolloutStep::Resume, Actor::Operator).await.unwrap();
        store.close().await.unwrap();
    }
    // One that was good when the backup was made may have been halted since, also where another one came after it.
    let store = SqliteStore::open(&bed.config.registry_file).await.unwrap();
    let other = ReleaseToRollOut { release: "other".to_owned(), counter: 9 };
    let plan = RolloutPlan {
        release: other,
        versions: Default::default(),
        rings: Default::default(),
        soak: Duration::ZERO,
        if_halted: IfHalted::Refuse,
    };
    store.start_rollout(plan, Actor::Operator).await.unwrap();
    store.close().await.unwrap();
    drop(store);
    std::fs::remove_dir_all(&backup).unwrap();
    let backup = bed.backup().await.unwrap();
    bed.restore(&backup).await.unwrap();
    let store = SqliteStore::open(&bed.config.registry_file).await.unwrap();
    let (rollouts, _) = store.rollouts().await.unwrap();
    assert_eq!(rollouts.len(), 2);
    assert!(rollouts.iter().all(|rollout| !rollout.hands_out()), "{rollouts:?}");
    assert_eq!(rollouts[1].release.release, release.content);
    store.close().await.unwrap();
    drop(store);
    // Where no release is there, what is known of the others is as old as the backup.
    std::fs::remove_dir_all(bed.folder.releases()).unwrap();
    assert_eq!(bed.restore(&backup).await.unwrap().releases, HeldBack::Rollouts);
}

#[tokio::test]
async fn what_is_held_back_is_said_to_be_resumed_only_where_that_is_possible() {
    let halt = || RolloutStep::Halt { reason: "bad".to_owned() };
    for (step, then_another, can_resume) in
        [(halt(), false, true), (RolloutStep::RollBack, false, false), (halt(), true, false)]
    {
        let bed = Bed::new().made().await;
        let this = put_release(&bed.folder.releases()).content;
        let plan = |content: &str| RolloutPlan {
            release: ReleaseToRollOut { release: content.to_owned(), counter: 8 },
            versions: Default::default(),
            rings: Default::default(),
            soak: Duration::ZERO,
            if_halted: IfHalted::Refuse,
        };
        let store = SqliteStore::open(&bed.config.registry_file).await.unwrap();
        store.start_rollout(plan(&this), Actor::Operator).await.unwrap();
        store.step_rollout(step.clone(), Actor::Operator).await.unwrap();
        if then_another {
            store.start_rollout(plan("other"), Actor::Operator).await.unwrap();
        }
        store.close().await.unwrap();
        drop(store);
        let backup = bed.backup().await.unwrap();
        let held_back = bed.restore(&backup).await.unwrap().releases;
        assert_eq!(held_back, HeldBack::Release { counter: 8, can_resume }, "{step:?}, {then_another}");
        let store = SqliteStore::open(&bed.config.registry_file).await.unwrap();
        let resumed = store.step_rollout(RolloutStep::Resume, Actor::Operator).await;
        assert_eq!(
            resumed.is_ok_and(|it| it.release.release == this),
            can_resume,
            "{step:?}, {then_another}"
        );
        store.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_server_without_a_backup_pin_has_a_backup_that_can_be_put_back() {
    let bed = Bed::new().made().await;
    std::fs::remove_file(bed.folder.backup_pin()).unwrap();
    let backup = bed.backup().await.unwrap();
    bed.restore(&backup).await.unwrap();
    assert!(!bed.folder.backup_pin().exists());
    assert_eq!(bed.folder.pins().unwrap().len(), 1);
}

#[tokio::test]
async fn a_backup_without_the_key_or_the_config_is_none() {
    for missing in [Folder::key as fn(&Folder) -> PathBuf, |folder| folder.config.clone()] {
        let bed = Bed::new().made().await;
        let path = missing(&bed.folder);
        std::fs::remove_file(&path).unwrap();
        let found = bed.backup().await.unwrap_err();
        assert!(found.to_string().contains(path.to_str().unwrap()), "{found}");
        assert!(!bed.dir.path().join("backup").exists());
    }
}

#[cfg(unix)]
#[tokio::test]
async fn a_folder_that_was_there_is_as_it_was_when_no_backup_comes_of_it() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    let bed = Bed::new().made().await;
    let to = bed.dir.path().join("backup");
    for (mode, lacks) in [(0o777, None), (0o750, Some(bed.folder.key()))] {
        std::fs::create_dir(&to).unwrap();
        std::fs::set_permissions(&to, std::fs::Permissions::from_mode(mode)).unwrap();
        let is = || std::fs::metadata(&to).map(|found| (found.ino(), found.mode())).unwrap();
        let before = is();
        if let Some(lacks) = lacks {
            std::fs::remove_file(lacks).unwrap();
        }
        bed.backup().await.unwrap_err();
        assert_eq!(is(), before);
        std::fs::remove_dir(&to).unwrap(); // it is empty
    }
}

#[tokio::test]
async fn certificates_that_are_named_by_absolute_paths_are_put_back() {
    let settings = "certificate = \"DIR/tls/own.crt\"\ncertificate_key = \"DIR/tls/own.key\"\ncertificates = \"DIR/more\"\n[server.fronts]\nca = \"DIR/tls/ca.crt\"";
    let bed = Bed::with(settings).made().await;
    let files = ["tls/own.crt", "tls/own.key", "tls/ca.crt", "more/shop.crt", "more/shop.key"];
    for file in files {
        let path = bed.dir.path().join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, file).unwrap();
    }
    let backup = bed.backup().await.unwrap();
    for folder in ["tls", "more"] {
        std::fs::remove_dir_all(bed.dir.path().join(folder)).unwrap();
    }
    let restored = bed.restore(&backup).await.unwrap();
    assert_eq!(restored.missing, Vec::<PathBuf>::new());
    for file in files {
        assert_eq!(std::fs::read_to_string(bed.dir.path().join(file)).unwrap(), file);
    }
    // Where the config names the folder of another server they are put back all the same, and what it names is missed.
    let elsewhere = Bed::with("");
    let (tls, more) = (bed.dir.path().join("tls"), bed.dir.path().join("more"));
    for folder in [&tls, &more] {
        std::fs::remove_dir_all(folder).unwrap();
    }
    std::fs::remove_file(&elsewhere.folder.config).unwrap();
    let config = Config { registry_file: elsewhere.dir.path().join("registry.db"), ..bed.config.clone() };
    let restored = restore(&config, &elsewhere.folder, &backup).await.unwrap();
    assert_eq!(restored.missing, [tls.join("own.crt"), tls.join("own.key"), more, tls.join("ca.crt")]);
    assert!(files.iter().all(|file| elsewhere.dir.path().join(file).exists()));
}
