//! Updates of the tray app that our installer has put there: by the installer of the next version, which the tray app fetches
//! from its server and runs, and not by one that was not signed, or that brings a program that does not run here. A version
//! that does not stay, or does not work, is followed by the one before.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use petit_host::update::{ROOTS, Target};
use petit_tests::bed::client_config;
use petit_tests::process::{Program, Running};
use petit_tests::service::Service;
use petit_tests::soon;
use serde_json::Value;

use crate::held::until;
use crate::installer::{PETIT, RUN, User, installed_version, value};
use petit_tests::release::Release;

const NEXT: &str = "0.1.1";
/// Waits between two looks at what another process brings about.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// A tray app that runs, is registered, may install versions by itself, and is told of one.
struct Desk {
    user: User,
    server: Program,
    _running: Running,
    service: Service,
    host: String,
}

impl Desk {
    async fn told_of(setup: &str) -> Self {
        let desk = Self::new().await;
        let mut release = desk.release();
        release.put_installer(&target(), NEXT, &fs::read(setup_of(setup)).unwrap());
        desk.hand_out(&release, None).await;
        desk
    }

    async fn new() -> Self {
        let user = User::new().await;
        let (service, server) = (Service::http("web").await, Program::server().await);
        let running = server.up().await;
        assert_eq!(user.install(&PETIT, &[]).await.exit, 0);
        user.client(&PETIT, &["init"]).await;
        let config = client_config(&[("web", service.address(), "http")]);
        let config = format!("{config}\n[updates]\nmode = \"automatic\"\n{}\n", hours());
        fs::write(user.kept(&PETIT).join("config.toml"), config).unwrap();
        let invite = user.kept(&PETIT).join("invite.txt");
        fs::write(&invite, server.invite([""; 0]).await).unwrap();
        let invite = format!("Z:{}", invite.display());
        let registered = user.client(&PETIT, &["register", "--invite-file", &invite]).await;
        assert_eq!(registered.exit, 0, "{registered:?}");
        user.tray(&PETIT);
        user.until("the tray app to be connected", |status| {
            status["connection"]["state"] == "online" && status["services"][0]["light"] == "green"
        })
        .await;
        let status = user.status().await;
        assert_eq!(status["software"], own());
        let host = format!("{}.localhost", status["services"][0]["id"].as_str().unwrap());
        Self { user, server, _running: running, service, host }
    }

    /// With keys that both ends trust.
    fn release(&self) -> Release {
        let release = Release::new();
        for beside in [self.user.folder(&PETIT), self.server.dir().to_owned()] {
            fs::copy(release.roots(), beside.join(ROOTS)).unwrap();
        }
        release
    }

    /// The server hands it out, or something else in its place.
    async fn hand_out(&self, release: &Release, forged: Option<&[u8]>) {
        let (server, folder) = (&self.server, release.folder());
        server.run(["release".as_ref(), "put".as_ref(), folder.as_os_str()]).await.ok();
        if let Some(forged) = forged {
            let signed = fs::read(release.artifact()).unwrap();
            let handed_out =
                files_of(server.dir()).into_iter().find(|file| fs::read(file).unwrap() == signed);
            fs::write(handed_out.unwrap(), forged).unwrap();
        }
        server.run(["rollout", "start", "--rings", "100%"]).await.ok();
    }

    async fn passes(&self) {
        assert_eq!(self.server.visitor().await.get(&self.host, "/").await.text(), "web");
    }

    /// The version that was there before runs, and goes on.
    async fn is_as_before(&self, why: &str) {
        let status = self.user.until("what has become of it", |it| it["update"]["by"] == "failed").await;
        assert_eq!(status["update"]["why"], why);
        assert_eq!(status["software"], own());
        assert_eq!(installed_version(&PETIT).await.as_deref(), Some(env!("CARGO_PKG_VERSION")));
        self.passes().await;
    }
}

impl User {
    async fn status(&self) -> Value {
        serde_json::from_str(&self.client(&PETIT, &["status", "--json"]).await.said).unwrap_or_default()
    }

    /// Its installer is run.
    async fn until_tried(&self) {
        let progress = self.kept(&PETIT).join("updates.progress.json");
        until("the next version to be on trial", || says(&progress, "\"on_trial\"")).await;
    }

    /// The version before runs, and the other one is not tried again.
    async fn until_back(&self) {
        let updates = self.kept(&PETIT).join("updates.json");
        soon("the version before", async {
            loop {
                let known = fs::read_to_string(&updates).ok();
                let known: Value = known.and_then(|it| serde_json::from_str(&it).ok()).unwrap_or_default();
                if known["bad"][0] == NEXT && self.status().await["software"] == own() {
                    break;
                }
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        })
        .await;
    }

    async fn until(&self, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        soon(what, async {
            loop {
                let status = self.status().await;
                if is_so(&status) {
                    return status;
                }
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        })
        .await
    }
}

fn says(file: &Path, text: &str) -> bool {
    fs::read_to_string(file).is_ok_and(|written| written.contains(text))
}

fn own() -> String {
    format!("petit-client {}", env!("CARGO_PKG_VERSION"))
}

/// What a release calls the installer.
fn target() -> Target {
    "petit-setup-windows-x86_64".parse().unwrap()
}

/// The next minutes, by the clock of this computer.
fn hours() -> String {
    let clock = |minutes: i64| {
        let of = format!("{minutes} minutes");
        let said = std::process::Command::new("date").args(["-d", &of, "+%H:%M"]).output().unwrap();
        String::from_utf8(said.stdout).unwrap().trim().to_owned()
    };
    format!("hours = \"{}-{}\"", clock(-1), clock(4))
}

fn setup_of(name: &str) -> PathBuf {
    let setups = std::env::var_os("PETIT_WINDOWS_SETUPS").expect("run this by `cargo xtask test windows`");
    Path::new(&setups).join(name).join("petit-setup.exe")
}

/// All files below a folder.
fn files_of(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| if path.is_dir() { files_of(&path) } else { vec![path] })
        .filter(|it| it.is_file())
        .collect()
}

#[tokio::test]
async fn the_tray_app_brings_itself_to_the_next_version_and_requests_pass_afterwards() {
    let desk = Desk::told_of("next").await;
    let next = format!("petit-client {NEXT}");
    desk.user.until_tried().await;
    desk.user
        .until("the next version", |status| {
            status["software"] == next && status["services"][0]["light"] == "green"
        })
        .await;
    desk.passes().await;
    assert_eq!(installed_version(&PETIT).await.as_deref(), Some(NEXT));
    assert_eq!(value(RUN, "Petit").await, None, "nobody has asked for it to start at the login");
    let log = desk.user.log(&PETIT);
    assert!(log.contains("was running and was started again"), "{log}");
    let known = desk.user.kept(&PETIT).join("updates.progress.json");
    until("the new version to have shown that it works", || says(&known, "\"works\"")).await;
    let kept = |name| fs::read(desk.user.folder(&PETIT).join(name)).unwrap();
    assert!(kept("setup.exe") == fs::read(setup_of("next")).unwrap());
    assert!(kept("before.exe") == fs::read(setup_of("")).unwrap(), "the way back");
}

#[tokio::test]
async fn an_installer_that_was_not_signed_is_not_run() {
    // What lies behind an installer does not keep it from running: the one handed out would, and differs by that alone.
    let installer = fs::read(setup_of("next")).unwrap();
    let (signed, forged) = ([&installer[..], &[1]].concat(), [&installer[..], &[2]].concat());
    let desk = Desk::new().await;
    let mut release = desk.release();
    release.put_installer(&target(), NEXT, &signed);
    desk.hand_out(&release, Some(&forged)).await;
    desk.is_as_before("not_signed").await;
    assert!(!desk.user.log(&PETIT).contains(NEXT));
}

#[tokio::test]
async fn a_version_that_does_not_run_here_takes_nobodys_place() {
    let desk = Desk::told_of("broken").await;
    desk.is_as_before("installer").await;
    let log = desk.user.log(&PETIT);
    assert!(log.contains("petit.exe of 0.1.1 does not run here"), "{log}");
}

#[tokio::test]
async fn a_version_that_dies_as_soon_as_it_runs_is_followed_by_the_one_before() {
    let desk = Desk::told_of("dying").await;
    // A wait for each part: a client takes its time to ask, and the installer rests between two starts.
    desk.user.until_tried().await;
    let ended = "petit.exe has ended 3 times, last with 7";
    until("the third death", || desk.user.log(&PETIT).contains(ended)).await;
    desk.user.until_back().await;
    // The one before has said it, as this one could not.
    soon("the roll-out to have halted", async {
        while desk.server.run(["rollout", "status", "--json"]).await.ok().json()["rollout"]["state"]["halted"]
            .is_null()
        {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    })
    .await;
    assert_eq!(installed_version(&PETIT).await.as_deref(), Some(env!("CARGO_PKG_VERSION")));
    desk.passes().await;
    let log = desk.user.log(&PETIT);
    assert!(log.contains("0.1.0 was put back"), "{log}");
    assert!(fs::read(desk.user.folder(&PETIT).join("setup.exe")).unwrap() == fs::read(setup_of("")).unwrap());
}

#[tokio::test]
async fn a_version_that_leaves_as_soon_as_it_runs_is_followed_by_the_one_before() {
    let desk = Desk::told_of("leaving").await;
    desk.user.until_back().await;
    assert_eq!(installed_version(&PETIT).await.as_deref(), Some(env!("CARGO_PKG_VERSION")));
    desk.passes().await;
    let log = desk.user.log(&PETIT);
    assert!(log.contains("petit.exe has ended 3 times, last with 0 at once"), "{log}");
}

#[tokio::test]
async fn a_version_that_runs_and_does_not_work_puts_the_one_before_back() {
    let desk = Desk::new().await;
    // As the version before writes it down, with less patience; of a client that is no more, so it is anybody's.
    let (before, step) = (env!("CARGO_PKG_VERSION"), "trying");
    let trial = serde_json::json!({
        "version": NEXT, "before": before, "config": r"C:\nobody.toml", "worked": ["web"],
        "within_seconds": 5, "kept_seconds": 300, "step": step,
    });
    fs::write(desk.user.folder(&PETIT).join(".petit.exe.trial"), trial.to_string()).unwrap();
    desk.service.stop().await;
    assert_eq!(desk.user.install_setup(&setup_of("next")).await.exit, 0);
    desk.user.until_back().await;
    assert_eq!(installed_version(&PETIT).await.as_deref(), Some(before));
    let log = desk.user.log(&PETIT);
    assert!(log.contains("0.1.0 was put back"), "{log}");
}
