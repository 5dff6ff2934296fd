//! Updates of the tray app that our installer has put there: by the installer of the next version, which the tray app fetches
//! from its server and runs, and not by one that was not signed, or that brings a program that does not run here.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use petit_host::update::ROOTS;
use petit_tests::bed::client_config;
use petit_tests::process::{Program, Running};
use petit_tests::service::Service;
use petit_tests::soon;
use serde_json::Value;

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
    _service: Service,
    host: String,
}

impl Desk {
    async fn told_of(setup: &str, forged: Option<&[u8]>) -> Self {
        let user = User::new().await;
        let (service, server) = (Service::http("web").await, Program::server().await);
        let running = server.up().await;
        assert_eq!(user.install(&PETIT, &[]).await.exit, 0);
        let mut release = Release::new();
        fs::copy(release.roots(), user.folder(&PETIT).join(ROOTS)).unwrap();
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
        assert_eq!(status["software"], format!("petit-client {}", env!("CARGO_PKG_VERSION")));
        let host = format!("{}.localhost", status["services"][0]["id"].as_str().unwrap());

        let target = "petit-setup-windows-x86_64".parse().unwrap();
        release.put_installer(&target, NEXT, &fs::read(setup_of(setup)).unwrap());
        fs::copy(release.roots(), server.dir().join(ROOTS)).unwrap();
        let folder = release.folder();
        server.run(["release".as_ref(), "put".as_ref(), folder.as_os_str()]).await.ok();
        if let Some(forged) = forged {
            let signed = fs::read(release.artifact()).unwrap();
            let handed_out =
                files_of(server.dir()).into_iter().find(|file| fs::read(file).unwrap() == signed);
            fs::write(handed_out.unwrap(), forged).unwrap();
        }
        server.run(["rollout", "start", "--rings", "100%"]).await.ok();
        Self { user, server, _running: running, _service: service, host }
    }

    async fn passes(&self) {
        assert_eq!(self.server.visitor().await.get(&self.host, "/").await.text(), "web");
    }

    /// The version that was there before runs, and goes on.
    async fn is_as_before(&self) {
        let status = self.user.until("another try", |status| status["update"]["by"] == "later").await;
        assert_eq!(status["software"], format!("petit-client {}", env!("CARGO_PKG_VERSION")));
        assert_eq!(installed_version(&PETIT).await.as_deref(), Some(env!("CARGO_PKG_VERSION")));
        self.passes().await;
    }
}

impl User {
    async fn status(&self) -> Value {
        serde_json::from_str(&self.client(&PETIT, &["status", "--json"]).await.said).unwrap_or_default()
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
    let desk = Desk::told_of("next", None).await;
    let next = format!("petit-client {NEXT}");
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
}

#[tokio::test]
async fn an_installer_that_was_not_signed_is_not_run() {
    let mut forged = fs::read(setup_of("next")).unwrap();
    *forged.last_mut().unwrap() ^= 1;
    let desk = Desk::told_of("next", Some(&forged)).await;
    desk.is_as_before().await;
    assert!(!desk.user.log(&PETIT).contains(NEXT));
}

#[tokio::test]
async fn a_version_that_does_not_run_here_takes_nobodys_place() {
    let desk = Desk::told_of("broken", None).await;
    desk.is_as_before().await;
    let log = desk.user.log(&PETIT);
    assert!(log.contains("petit.exe of 0.1.1 does not run here"), "{log}");
}
