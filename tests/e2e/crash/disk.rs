//! Disks that are full, cannot be written, or give back something else than was written.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use petit_engine::agent::{self, EnrolError};
use petit_engine::invite::Invite;
use petit_engine::net::dial::DialRoute;
use petit_engine::proto::control::{EnrolRefusal, Text};
use petit_engine::secret::PrivateKey;
use petit_host::logs::{FILE_BYTES, FILES, RotatingFile};
use petit_server::registry::StoreErrorKind;
use petit_server::store::sqlite::SqliteStore;
use petit_tests::bed::{client_config, server_config};
use petit_tests::figures::{figure, rounds};
use petit_tests::process::Program;
use petit_tests::service::Service;
use secrecy::SecretString;

/// A small file system of its own. Needs root, as mount(8) does.
pub(crate) struct SmallDisk(PathBuf);

impl SmallDisk {
    fn new(at: &Path) -> Self {
        Self::of_size(at, "size=2m")
    }

    pub(crate) fn of_size(at: &Path, size: &str) -> Self {
        std::fs::create_dir(at).unwrap();
        let disk = Self(at.to_owned());
        disk.mount(&["-t", "tmpfs", "-o", &format!("{size},mode=700"), "tmpfs"]);
        disk
    }

    fn mount(&self, arguments: &[&str]) {
        let status = std::process::Command::new("mount").args(arguments).arg(&self.0).status().unwrap();
        assert!(status.success(), "mount {arguments:?}; these tests run as root");
    }

    /// Leaves no room at all.
    pub(crate) fn fill(&self) {
        let mut file = std::fs::File::create(self.0.join("ballast")).unwrap();
        for size in [64 * 1024, 4096, 1] {
            while std::io::Write::write_all(&mut file, &vec![0; size]).is_ok() {}
        }
    }

    pub(crate) fn empty(&self) {
        std::fs::remove_file(self.0.join("ballast")).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

async fn enrol(link: &str, key: &PrivateKey) -> Result<agent::Registered, EnrolError> {
    let invite = Invite::parse(&SecretString::from(link.to_owned())).unwrap();
    agent::enrol(&invite, &DialRoute::default(), key, "disk", &Text::lossy("test")).await
}

#[tokio::test]
async fn a_disk_that_is_full_or_read_only_stops_enrolments_and_nothing_else() {
    let server = Program::server().await;
    let disk = SmallDisk::new(&server.dir().join("disk"));
    std::fs::write(server.config(), server_config("registry_file = \"disk/registry.db\"")).unwrap();
    server.run(["init", "--new-registry", "--open"]).await.ok();
    let _running = server.up().await;
    let service = Service::http("still there").await;
    let client = Program::client();
    std::fs::write(client.config(), client_config(&[("web", service.address(), "http")])).unwrap();
    client.run_with(["register"], &server.invite([""; 0]).await).await.ok();
    let _client = client.up().await;
    let id = client.until_green().await["services"][0]["id"].as_str().unwrap().to_owned();
    let (visitor, host) = (server.visitor().await, format!("{id}.localhost"));
    let link = server.invite([""; 0]).await;
    let key = PrivateKey::generate().unwrap();

    disk.fill();
    let refused = enrol(&link, &key).await.unwrap_err();
    let full = matches!(&refused, EnrolError::Refused { refusal: EnrolRefusal::StoreFailed, .. });
    assert!(full, "{refused}");
    // Some may still find room in the log that is there; each that is acknowledged is kept.
    let mut kept = Vec::new();
    let said = loop {
        let said = server.run(["invite", "--json"]).await;
        if said.exit != 0 {
            break said;
        }
        kept.push(said.json()["link"].as_str().unwrap().to_owned());
        assert!(kept.len() < 200, "the disk is full");
    };
    assert!(said.out.contains("full"), "the operator is told why: {said:?}");
    assert_eq!(visitor.get(&host, "/").await.text(), "still there");
    disk.empty();

    disk.mount(&["-o", "remount,ro"]);
    let refused = enrol(&link, &key).await.unwrap_err();
    let read_only = matches!(&refused, EnrolError::Refused { refusal: EnrolRefusal::StoreFailed, .. });
    assert!(read_only, "{refused}");
    assert_eq!(visitor.get(&host, "/").await.text(), "still there");
    disk.mount(&["-o", "remount,rw"]);

    enrol(&link, &key).await.expect("the same invite works as soon as there is room");
    for link in kept {
        enrol(&link, &PrivateKey::generate().unwrap()).await.expect("what was acknowledged was kept");
    }
    server.invite([""; 0]).await;
}

#[tokio::test]
async fn a_damaged_registry_is_refused_with_a_reason_and_a_backup_brings_everything_back() {
    let server = Program::server().await;
    let running = server.up().await;
    let service = Service::http("back again").await;
    let client = Program::client();
    std::fs::write(client.config(), client_config(&[("web", service.address(), "http")])).unwrap();
    client.run_with(["register"], &server.invite(["--alias", "acme"]).await).await.ok();
    let backup = server.dir().join("backup");
    let backup = backup.to_str().unwrap();
    let said = server.run(["backup", backup]).await.ok();
    assert!(said.out.contains("Everything that the server needs"), "{said:?}");
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let parts = std::fs::read_dir(backup).unwrap().map(|part| part.unwrap().path());
    let modes: BTreeMap<_, _> =
        parts.map(|path| (path.file_name().unwrap().to_owned(), mode(&path))).collect();
    let expected =
        ["backup.pin", "config.toml", "registry.db", "server.key"].map(|name| (name.into(), 0o600));
    assert_eq!(
        (modes, mode(Path::new(backup))),
        (BTreeMap::from(expected), 0o700),
        "it is its owner's alone"
    );
    let again = server.run(["backup", backup]).await;
    assert_eq!((again.exit, again.err.contains("is not empty")), (1, true), "{again:?}");
    let busy = server.run(["restore", backup]).await;
    assert!(busy.exit == 1 && busy.err.contains("stop it first"), "{busy:?}");
    running.kill().await;

    // The middle of the file is another now.
    let registry = server.dir().join("registry.db");
    let mut bytes = std::fs::read(&registry).unwrap();
    let middle = bytes.len() / 2;
    bytes[100..middle].fill(0xff);
    std::fs::write(&registry, &bytes).unwrap();
    for suffix in ["-wal", "-shm"] {
        let _ = std::fs::remove_file(server.dir().join(format!("registry.db{suffix}")));
    }
    let said = server.run(["run", "--background"]).await;
    assert_eq!(said.exit, 1, "{said:?}");
    assert!(said.err.contains("is damaged") && said.err.contains("petit-server restore"), "{said:?}");
    assert_eq!(std::fs::read(&registry).unwrap(), bytes, "it was left as it is");

    let said = server.run(["restore", backup]).await.ok();
    assert!(said.out.contains("1 clients with 1 services"), "{said:?}");
    assert!(said.out.contains("before-restore-"), "{said:?}");
    let _running = server.up().await;
    let port =
        |status: &serde_json::Value| status["tls"].as_str().unwrap().rsplit_once(':').unwrap().1.to_owned();
    // The bed's ports are the system's choice, so the client is told the new one.
    let registration = client.dir().join("registration.json");
    let text = std::fs::read_to_string(&registration).unwrap();
    let old =
        serde_json::from_str::<serde_json::Value>(&text).unwrap()["server"].as_str().unwrap().to_owned();
    let new = format!("{}:{}", old.split(':').next().unwrap(), port(&server.status().await));
    std::fs::write(&registration, text.replace(&old, &new)).unwrap();
    let _client = client.up().await;
    client.until_green().await;
    assert_eq!(server.visitor().await.get("acme.localhost", "/").await.text(), "back again");
}

#[tokio::test]
async fn a_backup_that_is_none_changes_nothing() {
    let server = Program::server().await;
    let key = std::fs::read(server.dir().join("server.key")).unwrap();
    let backup = server.dir().join("backup");
    let name = backup.to_str().unwrap();
    server.run(["backup", name]).await.ok();
    let damage = |file: &str, content: Option<&[u8]>| match content {
        Some(content) => std::fs::write(backup.join(file), content).unwrap(),
        None => std::fs::remove_file(backup.join(file)).unwrap(),
    };
    for (file, content, expected) in [
        ("registry.db", Some(&b"nonsense"[..]), "is not a Petit registry, or is damaged"),
        ("server.key", Some(b"nonsense"), "the backup is damaged"),
        ("backup.pin", None, "backup.pin is missing"),
        ("server.key", None, "server.key is missing"),
    ] {
        let before = std::fs::read(backup.join(file)).unwrap();
        damage(file, content);
        let said = server.run(["restore", name]).await;
        assert!(said.exit == 1 && said.err.contains(expected), "{file}: {said:?}");
        std::fs::write(backup.join(file), before).unwrap();
    }
    assert_eq!(std::fs::read(server.dir().join("server.key")).unwrap(), key);
    let _running = server.up().await;
}

/// Bytes of a page of the registry's file.
const PAGE: usize = 4096;

/// Copies with one bit changed, or cut short: each is refused for a reason, or is as good as the original.
#[tokio::test]
async fn no_damage_to_the_registry_is_met_with_a_panic_or_with_silence() {
    let server = Program::server().await;
    let running = server.up().await;
    for _ in 0..3 {
        server.invite([""; 0]).await;
    }
    server.run(["stop"]).await.ok();
    running.exit().await;
    let good = std::fs::read(server.dir().join("registry.db")).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("registry.db");
    let (mut refused, mut harmless) = (0, 0);
    let copies = rounds(120, 1000);
    for copy in 0..copies {
        let mut bytes = good.clone();
        match copy % 4 {
            3 => bytes.truncate(bytes.len() * copy / copies),
            // Where a page says what it is. The first one has the header of the file before that.
            2 => {
                let page = copy / 4 % (bytes.len() / PAGE);
                bytes[page * PAGE + if page == 0 { 100 } else { 0 }] ^= 1 << (copy / 4 % 8);
            }
            // Spread over the file by a step that has no factor in common with it.
            _ => {
                let bit = copy * 7919 * 13 % (bytes.len() * 8);
                bytes[bit / 8] ^= 1 << (bit % 8);
            }
        }
        std::fs::write(&path, &bytes).unwrap();
        match SqliteStore::open(&path).await {
            Ok(store) => {
                let invites = petit_server::store::Store::invites(&store).await;
                let all = invites.is_ok_and(|invites| invites.len() == 3);
                harmless += usize::from(all);
                refused += usize::from(!all);
                drop(store);
            }
            Err(error) => match error.kind() {
                StoreErrorKind::NotARegistry
                | StoreErrorKind::CannotOpen
                | StoreErrorKind::Missing
                | StoreErrorKind::TooNew { .. }
                | StoreErrorKind::Failed
                | StoreErrorKind::Row { .. } => refused += 1,
                StoreErrorKind::Conflict(_)
                | StoreErrorKind::Replaced
                | StoreErrorKind::Busy
                | StoreErrorKind::Elsewhere
                | StoreErrorKind::Closed => panic!("{error}"),
            },
        }
        for suffix in ["-wal", "-shm"] {
            let _ = std::fs::remove_file(dir.path().join(format!("registry.db{suffix}")));
        }
    }
    assert_eq!(refused + harmless, copies);
    assert!(refused > copies / 3, "{refused} of {copies}");
    figure(format!(
        "R8 damaged registries: {copies} copies, {refused} refused, {harmless} harmless, no panic"
    ));
}

/// All files and folders in a folder, with what they hold.
fn contents(folder: &Path) -> BTreeMap<PathBuf, Option<Vec<u8>>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(contents(&path));
            found.insert(path, None);
        } else {
            found.insert(path.clone(), Some(std::fs::read(&path).unwrap()));
        }
    }
    found
}

#[tokio::test]
async fn init_on_a_disk_without_enough_room_leaves_it_as_it_was_and_is_done_again_when_there_is_some() {
    let mut failed = 0;
    // From room for next to nothing to room for all of it.
    for kib in (8..=480).step_by(8) {
        let server = Program::uninitialised_server();
        let disk = SmallDisk::of_size(&server.dir().join("disk"), &format!("size={kib}k"));
        let config = disk.0.join("some/petit/config.toml");
        // Every other time a client is there already.
        if kib % 16 == 0 {
            std::fs::create_dir_all(config.parent().unwrap()).unwrap();
            std::fs::write(&config, client_config(&[])).unwrap();
        }
        let before = contents(&disk.0);
        let init = ["init", "--config", config.to_str().unwrap()];
        let said = server.run(init).await;
        if said.exit != 0 {
            failed += 1;
            assert!(said.err.contains("the disk is full"), "at {kib} KiB: {said:?}");
            assert_eq!(contents(&disk.0), before, "at {kib} KiB");
        }
        disk.mount(&["-o", "remount,size=2m"]);
        let again = server.run(init).await;
        assert_eq!(again.exit, 0, "at {kib} KiB: {again:?}");
        let invites = ["invite", "--list", "--config", config.to_str().unwrap()];
        assert!(server.run(invites).await.ok().out.contains("No invites"), "at {kib} KiB");
        let kept = std::fs::read(config.with_file_name("server.key")).unwrap();
        server.run(init).await.ok();
        assert_eq!(std::fs::read(config.with_file_name("server.key")).unwrap(), kept, "at {kib} KiB");
        for file in ["server.key", "backup.key", "backup.pin", "registry.db"] {
            assert!(config.with_file_name(file).exists(), "{file} at {kib} KiB");
        }
    }
    assert!((10..60).contains(&failed), "{failed} times there was too little room");
}

#[test]
fn a_log_on_a_disk_without_room_for_another_file_loses_nothing_that_was_kept() {
    use std::io::Write;
    let dir = tempfile::tempdir().unwrap();
    let disk = SmallDisk::of_size(&dir.path().join("disk"), "size=16m,nr_inodes=7");
    let log = disk.0.join("client.log");
    for number in 1..FILES {
        std::fs::write(disk.0.join(format!("client.log.{number}")), format!("older {number}")).unwrap();
    }
    let mut file = RotatingFile::open(&log).unwrap();
    // With the folder itself they take seven; one is free.
    let ballast = disk.0.join("ballast");
    std::fs::write(&ballast, "").unwrap();
    let line = format!("{}\n", "x".repeat(1023));
    for _ in 0..2 * FILE_BYTES / 1024 {
        file.write_all(line.as_bytes()).unwrap();
    }
    for number in 1..FILES {
        let kept = std::fs::read_to_string(disk.0.join(format!("client.log.{number}"))).unwrap();
        assert_eq!(kept, format!("older {number}"));
    }
    assert_eq!(std::fs::metadata(&log).unwrap().len(), 2 * FILE_BYTES, "every line is there");
    std::fs::remove_file(&ballast).unwrap();
    for _ in 0..FILE_BYTES / 1024 {
        file.write_all(line.as_bytes()).unwrap();
    }
    let second = std::fs::read_to_string(disk.0.join("client.log.2")).unwrap();
    assert_eq!(second, "older 1", "it is put aside as soon as there is room");
}
