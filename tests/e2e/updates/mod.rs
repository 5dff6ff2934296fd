//! Updates: a signed version takes over without a lost request, and what is not signed or does not work changes nothing.

mod automatic;
mod fetched;
mod hostile;
mod line;
mod rollout;
mod tray;
mod trial;
mod wire;

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use petit_host::update::{History, Place, Time};
use petit_tests::bed::client_config;
use petit_tests::process::{Program, Running, Said};
use petit_tests::release;
use petit_tests::service::Service;
use petit_tests::soon;
use petit_tests::steady::{Manner, Steady};
use petit_tests::visitor::Visitor;
use rustix::fs::{CWD, Mode};
use rustix::process::Signal;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::unix::pipe;

use self::release::{Release, of_version, script};

/// The next version, and the one after it.
const NEXT: &str = "0.1.1";
const AFTER: &str = "0.1.2";

/// Waits between two looks at what another process brings about.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// A client that runs a program of its own in the background, with one service that works.
struct Home {
    client: Program,
    program: PathBuf,
    service: Option<Service>,
    visitor: Visitor,
    host: String,
    /// What the program was at the beginning.
    bytes: Vec<u8>,
    server: Program,
    _running: Running,
}

impl Home {
    async fn new(release: &Release) -> Self {
        Self::with(release, |_| ()).await
    }

    /// With something done about the folder of the program before there is one.
    async fn with(release: &Release, prepare: impl FnOnce(&Path)) -> Self {
        let server = Program::server().await;
        let running = server.up().await;
        let service = Service::http("s").await;
        let mut client = Program::client();
        std::fs::write(client.config(), client_config(&[("web", service.address(), "http")])).unwrap();
        client.run_with(["register"], &server.invite([""; 0]).await).await.ok();
        prepare(&client.dir().with_file_name("bin"));
        let program = client.install();
        let place = Place::of(&program);
        std::fs::copy(release.roots(), place.roots()).unwrap();
        client.run(["start"]).await.ok();
        let status = client.until_green().await;
        let host = format!("{}.localhost", status["services"][0]["id"].as_str().unwrap());
        let (visitor, bytes) = (server.visitor().await, std::fs::read(&program).unwrap());
        Self { client, program, service: Some(service), visitor, host, bytes, server, _running: running }
    }

    fn place(&self) -> Place {
        Place::of(&self.program)
    }

    async fn upgrade(&self, from: &Path) -> Said {
        // Nothing is kept once it works, so that what is left over is seen.
        let words =
            ["upgrade".as_ref(), "--keep".as_ref(), "0s".as_ref(), "--from".as_ref(), from.as_os_str()];
        self.client.run(words).await
    }

    fn history(&self) -> History {
        History::read(&self.client.dir().join("updates.json")).unwrap()
    }

    async fn pid(&self) -> u32 {
        u32::try_from(self.client.status().await["pid"].as_u64().unwrap()).unwrap()
    }

    /// The old program is in its place, runs, and has nothing beside it.
    async fn is_as_before(&self, pid: u32) {
        assert!(std::fs::read(&self.program).unwrap() == self.bytes, "the program was changed");
        assert!(!self.place().staged().exists() && !self.place().previous().exists());
        assert_eq!(self.pid().await, pid);
        assert_eq!(self.visitor.get(&self.host, "/").await.status, 200);
    }

    /// Asks again and again: whoever watches one process hears nothing of the next.
    async fn until_version(&self, version: &str) -> Value {
        let software = format!("petit-client {version}");
        soon(&format!("version {version}"), async {
            loop {
                let said = self.client.run(["status", "--json"]).await;
                let status: Value = serde_json::from_str(&said.out).unwrap_or_default();
                if status["software"] == software {
                    return status;
                }
            }
        })
        .await
    }

    async fn stop(&self) {
        self.client.run(["stop"]).await.ok();
    }
}

fn refused(said: &Said, text: &str) {
    assert_eq!(said.exit, 1, "{said:?}");
    assert!(said.err.contains(text), "expected {text:?} in {said:?}");
}

#[tokio::test]
async fn a_new_version_takes_over_without_a_lost_request() {
    let mut release = Release::new();
    release.put(NEXT, &of_version(NEXT));
    let home = Home::new(&release).await;
    let mut visitors = Steady::start(
        home.visitor.front(),
        vec![home.host.clone()],
        Duration::from_millis(25),
        Manner::Fresh,
    );
    visitors.more(10).await;
    let said = home.upgrade(&release.folder()).await.ok();
    assert!(said.out.contains("Version 0.1.1 has taken the place of 0.1.0"), "{said:?}");
    visitors.more(10).await;
    let met = visitors.end().await;
    assert_eq!(met.disappointed(), 0, "{:?} {:?} {:?}", met.statuses, met.errors, met.failures);
    home.until_version(NEXT).await;
    assert!(!home.place().staged().exists() && !home.place().previous().exists());
    let said = home.upgrade(&release.folder()).await.ok();
    assert!(said.out.contains("0.1.1 is installed here, and this release has nothing newer"), "{said:?}");
    // A stop and a start have nothing to do with it any more.
    home.stop().await;
    home.client.run(["start"]).await.ok();
    home.until_version(NEXT).await;
    // The next one goes by what the one before has seen.
    release.put(AFTER, &of_version(AFTER));
    let folder = release.folder();
    let said = home.client.run(["upgrade", "--json", "--from", folder.to_str().unwrap()]).await.ok().json();
    assert_eq!(said, serde_json::json!({ "outcome": "works", "before": NEXT, "version": AFTER }));
    home.until_version(AFTER).await;
    home.stop().await;
}

#[tokio::test]
async fn what_is_not_signed_for_this_computer_now_changes_nothing() {
    let mut release = Release::new();
    let (hour, day) = (Duration::from_hours(1), Duration::from_hours(24));
    release.put_until(NEXT, &of_version(NEXT), Time::new(std::time::SystemTime::now() - hour));
    let home = Home::new(&release).await;
    let pid = home.pid().await;
    refused(&home.upgrade(&release.folder()).await, "the manifest expired at");
    // A stranger's, and one whose manifest was changed.
    let mut stranger = Release::new();
    stranger.put(NEXT, &of_version(NEXT));
    refused(&home.upgrade(&stranger.folder()).await, "signed by 0 of the root keys");
    release.put(NEXT, &of_version(NEXT));
    let changed = release.copy();
    let manifest = changed.join("manifest.json");
    let text = std::fs::read_to_string(&manifest).unwrap();
    std::fs::write(&manifest, text.replace(NEXT, "9.9.9")).unwrap();
    refused(&home.upgrade(&changed).await, "not signed by release key 1");
    std::fs::remove_file(&manifest).unwrap();
    refused(&home.upgrade(&changed).await, "manifest.json");
    // Another program, half of one, and none.
    let program = std::fs::read(release.artifact()).unwrap();
    let mut other = program.clone();
    other[program.len() / 2] ^= 1;
    std::fs::write(release.artifact(), &other).unwrap();
    refused(&home.upgrade(&release.folder()).await, "is not the program that was signed: its SHA-256 is");
    std::fs::write(release.artifact(), &program[..program.len() / 2]).unwrap();
    refused(&home.upgrade(&release.folder()).await, "it ends after");
    std::fs::remove_file(release.artifact()).unwrap();
    refused(&home.upgrade(&release.folder()).await, "petit-client cannot be read: No such file");
    // What was seen counts, even if nothing came of it.
    release.put(NEXT, &program);
    let old = release.copy();
    release.put_until(AFTER, b"no program", Time::now().after(day));
    refused(&home.upgrade(&release.folder()).await, "did not pass its test");
    refused(&home.upgrade(&old).await, "an old one was put back");
    // Root keys that somebody else could have put there, and none.
    let roots = home.place().roots();
    std::fs::set_permissions(&roots, std::fs::Permissions::from_mode(0o666)).unwrap();
    refused(&home.upgrade(&release.folder()).await, "other users can change it");
    std::fs::remove_file(&roots).unwrap();
    refused(&home.upgrade(&release.folder()).await, "has no root keys");
    home.is_as_before(pid).await;
    home.stop().await;
}

#[tokio::test]
async fn a_program_that_fails_its_test_is_not_put_in_place() {
    let mut release = Release::new();
    release.put(NEXT, &script(AFTER, "exit 0"));
    let home = Home::new(&release).await;
    let pid = home.pid().await;
    refused(&home.upgrade(&release.folder()).await, "it says that it is petit-client 0.1.2");
    release.put(NEXT, b"#!/bin/sh\necho no such library >&2; exit 127\n");
    refused(&home.upgrade(&release.folder()).await, "no such library");
    home.is_as_before(pid).await;
    home.stop().await;
}

#[tokio::test]
async fn a_program_that_does_not_take_over_is_put_back_and_not_tried_again() {
    let mut release = Release::new();
    release.put(NEXT, &script(NEXT, "echo a new fault >&2; exit 1"));
    let home = Home::new(&release).await;
    let pid = home.pid().await;
    let said = home.upgrade(&release.folder()).await;
    refused(&said, "version 0.1.1 did not work here, so 0.1.0 is back");
    assert!(said.err.contains("a new fault"), "{said:?}");
    home.is_as_before(pid).await;
    refused(&home.upgrade(&release.folder()).await, "was installed here before and did not work");
    // The one after it is.
    release.put(AFTER, &of_version(AFTER));
    home.upgrade(&release.folder()).await.ok();
    home.until_version(AFTER).await;
    home.stop().await;
}

/// The emergency that docs/releasing.md describes: the key was stolen, and nothing newer is there.
#[tokio::test]
async fn a_replaced_key_is_of_no_use_though_nothing_was_installed_under_the_new_one() {
    let mut release = Release::new();
    release.put(NEXT, &of_version(NEXT));
    let stolen = release.copy();
    let home = Home::new(&release).await;
    let pid = home.pid().await;
    release.replace_key(2);
    release.put("0.1.0", &of_version("0.1.0"));
    let said = home.upgrade(&release.folder()).await.ok();
    assert!(said.out.contains("nothing newer"), "{said:?}");
    refused(&home.upgrade(&stolen).await, "release key 1 was replaced by 2");
    // So it is with a manifest that says nothing about this program.
    release.put_for("petit-server-linux-x86_64", NEXT);
    let before = release.copy();
    release.put_for("petit-server-linux-x86_64", NEXT);
    refused(&home.upgrade(&release.folder()).await, "says nothing about");
    refused(&home.upgrade(&before).await, "an old one was put back");
    home.is_as_before(pid).await;
    home.stop().await;
}

/// What is stopped while another version gets ready has seen no fault of it.
#[tokio::test]
async fn a_client_that_is_stopped_meanwhile_does_not_hold_it_against_the_new_version() {
    let dir = tempfile::tempdir().unwrap();
    let begun = dir.path().join("begun");
    rustix::fs::mkfifoat(CWD, &begun, Mode::RUSR | Mode::WUSR).unwrap();
    let mut release = Release::new();
    release.put(NEXT, &script(NEXT, &format!("echo > {}; exec sleep 600", begun.display())));
    let home = Home::new(&release).await;
    let begun = pipe::OpenOptions::new().read_write(true).open_receiver(&begun).unwrap();
    let folder = release.folder();
    let upgrading = home.client.run(["upgrade".as_ref(), "--from".as_ref(), folder.as_os_str()]);
    let stopping = async {
        soon("its begin", BufReader::new(begun).lines().next_line()).await.unwrap();
        home.stop().await;
    };
    let (said, ()) = tokio::join!(upgrading, stopping);
    assert!(said.exit == 1 && said.err.contains("the client was asked to stop"), "{said:?}");
    assert!(!home.history().is_bad(&NEXT.parse().unwrap()), "{said:?}");
    assert!(std::fs::read(&home.program).unwrap() == home.bytes, "the old one is in its place");
    assert!(!home.place().staged().exists() && !home.place().previous().exists());
    assert!(home.place().trial().unwrap().is_none());
    release.put(AFTER, &of_version(AFTER));
    let said = home.upgrade(&release.folder()).await.ok();
    assert!(said.out.contains("begins with the next start"), "{said:?}");
    home.client.run(["start"]).await.ok();
    home.until_version(AFTER).await;
    home.stop().await;
}

/// A copy of the program, whose client is that of the program it was copied from.
#[tokio::test]
async fn a_program_that_the_client_does_not_run_is_not_updated_for_it() {
    let mut release = Release::new();
    release.put(NEXT, &of_version(NEXT));
    let home = Home::new(&release).await;
    let pid = home.pid().await;
    let copy = tempfile::tempdir().unwrap();
    let program = copy.path().join("petit-client");
    let copied = std::process::Command::new("cp").arg(&home.program).arg(&program).status();
    assert!(copied.unwrap().success());
    std::fs::copy(release.roots(), Place::of(&program).roots()).unwrap();
    let folder = release.folder();
    let said =
        home.client.run_copy(&program, ["upgrade".as_ref(), "--from".as_ref(), folder.as_os_str()]).await;
    refused(&said, "the client that runs is another program");
    assert!(said.err.contains(home.program.to_str().unwrap()), "{said:?}");
    assert!(std::fs::read(&program).unwrap() == home.bytes, "the copy was changed");
    assert!(!Place::of(&program).staged().exists());
    home.is_as_before(pid).await;
    home.stop().await;
}
