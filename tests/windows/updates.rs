//! A client that a user has put somewhere by hand updates itself: there a program that runs can be renamed, but neither
//! overwritten nor removed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use petit_host::update::{History, MAX_CRASHES, Place, ROOTS};
use petit_tests::bed::client_config;
use petit_tests::process::{Program, Running, Said};
use petit_tests::release::{Release, renumbered};
use petit_tests::service::Service;
use petit_tests::soon;
use petit_tests::steady::{Manner, Steady};
use petit_tests::visitor::Visitor;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use super::installer::{Wanted, wine_for};

const OWN: &str = env!("CARGO_PKG_VERSION");
const NEXT: &str = "0.1.1";
const AFTER: &str = "0.1.2";

/// A client that runs in the background from a folder of its user's, with one service that works.
struct Home {
    client: Program,
    program: PathBuf,
    service: Option<Service>,
    visitor: Visitor,
    host: String,
    /// What the program was at the beginning.
    bytes: Vec<u8>,
    server: Program,
    running: Option<Running>,
}

impl Home {
    async fn new(release: &Release) -> Self {
        let server = Program::server().await;
        let running = server.up().await;
        let service = Service::http("s").await;
        let mut client = Program::windows_client();
        fs::write(client.config(), client_config(&[("web", service.address(), "http")])).unwrap();
        client.run_with(["register"], &server.invite([""; 0]).await).await.ok();
        let program = client.install();
        fs::copy(release.roots(), Place::of(&program).roots()).unwrap();
        start(&client).await;
        let status = client.until_green().await;
        let host = format!("{}.localhost", status["services"][0]["id"].as_str().unwrap());
        let (visitor, bytes) = (server.visitor().await, fs::read(&program).unwrap());
        Self { client, program, service: Some(service), visitor, host, bytes, server, running: Some(running) }
    }

    fn place(&self) -> Place {
        Place::of(&self.program)
    }

    async fn upgrade(&self, release: &Release) -> Said {
        let folder = release.folder();
        let words = ["upgrade", "--keep", "0s", "--from", folder.to_str().unwrap()];
        self.client.run(words).await
    }

    /// A version that begins with the next start, and is missed something then within a moment.
    async fn switched(&self, release: &Release) {
        self.client.run(["stop"]).await.ok();
        let said = self.upgrade(release).await.ok();
        assert!(said.out.contains("begins with the next start"), "{said:?}");
        let path = self.program.with_file_name(".petit-client.exe.trial");
        let mut trial: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        trial["worked"] = ["web"].as_slice().into();
        trial["within_seconds"] = 2.into();
        fs::write(&path, trial.to_string()).unwrap();
    }

    fn is_bad(&self, version: &str) -> bool {
        let history = History::read(&self.client.dir().join("updates.json")).unwrap();
        history.is_bad(&version.parse().unwrap())
    }

    async fn pid(&self) -> u64 {
        self.client.status().await["pid"].as_u64().unwrap()
    }

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

    /// Windows' side tells nobody what it does with files: they are looked at.
    async fn until(&self, what: &str, is_so: impl Fn(&Self) -> bool) {
        soon(what, async {
            while !is_so(self) {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        })
        .await;
    }

    /// The version before runs, from its place, and nothing is left of the other one.
    async fn is_back(&self) {
        self.until_version(OWN).await;
        assert!(fs::read(&self.program).unwrap() == self.bytes, "the program is the old one");
        self.is_tidy().await;
        assert_eq!(self.visitor.get(&self.host, "/").await.status, 200);
    }

    /// What could not be removed because it ran goes when it does not any more.
    async fn is_tidy(&self) {
        self.until("a tidy folder", |home| home.names() == ["petit-client.exe", ROOTS]).await;
    }

    fn names(&self) -> Vec<String> {
        let folder = fs::read_dir(self.program.parent().unwrap()).unwrap();
        let mut names: Vec<String> =
            folder.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    async fn steady(&self) -> Steady {
        let mut visitors = Steady::start(
            self.visitor.front(),
            vec![self.host.clone()],
            Duration::from_millis(25),
            Manner::Fresh,
        );
        visitors.more(10).await;
        visitors
    }

    async fn stop(&self) {
        self.client.run(["stop"]).await.ok();
    }
}

/// Starts a client in the background; returns what is said of it. Wine leaves that one the standard error of whoever has
/// started it, which does not end then.
async fn start(client: &Program) -> String {
    let mut starting = client.spawn(["start"]);
    let mut said = String::new();
    while let Some(line) = starting.line().await {
        said.push_str(&line);
    }
    assert_eq!(starting.exit().await, 0, "{said}");
    said
}

async fn nobody_was_refused(mut visitors: Steady) {
    visitors.more(10).await;
    let met = visitors.end().await;
    assert_eq!(met.disappointed(), 0, "{:?} {:?} {:?}", met.statuses, met.errors, met.failures);
}

fn refused(said: &Said, text: &str) {
    assert_eq!(said.exit, 1, "{said:?}");
    assert!(said.err.contains(text), "expected {text:?} in {said:?}");
}

fn tool(name: &str) -> PathBuf {
    PathBuf::from(std::env::var_os("PETIT_WINDOWS_TOOLS").expect("run this by `cargo xtask test windows`"))
        .join(name)
}

fn of_version(version: &str) -> Vec<u8> {
    let programs = std::env::var_os("PETIT_WINDOWS_PROGRAMS").unwrap();
    renumbered(&Path::new(&programs).join("petit-client.exe"), version)
}

fn released(version: &str, program: &[u8]) -> Release {
    let mut release = Release::new();
    release.put_for_windows(version, program);
    release
}

/// As the task manager does it.
async fn terminate(pid: u64) {
    let ended = wine_for(Wanted::Exit, Path::new("taskkill"), ["/f", "/pid", &pid.to_string()]).await;
    assert_eq!(ended.exit, 0, "{ended:?}");
}

/// Has a file open as soon as it is there, so that nobody can rename it, until it is dropped.
struct Holder {
    child: Child,
}

impl Holder {
    fn of(file: &Path) -> Self {
        let mut command = Command::new("wine");
        command.arg(tool("hold.exe")).arg(file).kill_on_drop(true);
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
        Self { child: child.unwrap() }
    }

    async fn holds(&mut self) {
        let stdout = self.child.stdout.as_mut().unwrap();
        soon("a file that is held", BufReader::new(stdout).lines().next_line()).await.unwrap().unwrap();
    }

    async fn let_go(mut self) {
        drop(self.child.stdin.take());
        soon("it to let go", self.child.wait()).await.unwrap();
    }
}

#[tokio::test]
async fn a_version_from_a_folder_takes_over_without_a_lost_request() {
    let mut release = released(NEXT, &of_version(NEXT));
    let home = Home::new(&release).await;
    let visitors = home.steady().await;
    let said = home.upgrade(&release).await.ok();
    assert!(said.out.contains("Version 0.1.1 has taken the place of"), "{said:?}");
    home.until_version(NEXT).await;
    nobody_was_refused(visitors).await;
    assert!(home.place().trial().unwrap().is_none());
    home.stop().await;
    start(&home.client).await;
    home.until_version(NEXT).await;
    home.is_tidy().await;
    // A restart is the same without another version.
    let pid = home.pid().await;
    let visitors = home.steady().await;
    home.client.run(["restart"]).await.ok();
    nobody_was_refused(visitors).await;
    assert!(home.pid().await != pid);
    release.put_for_windows(AFTER, &of_version(AFTER));
    home.upgrade(&release).await.ok();
    home.until_version(AFTER).await;
    home.stop().await;
}

#[tokio::test]
async fn a_client_that_may_installs_a_version_of_its_server_by_itself() {
    let release = released(NEXT, &of_version(NEXT));
    let home = Home::new(&release).await;
    fs::copy(release.roots(), home.server.dir().join(ROOTS)).unwrap();
    let folder = release.folder();
    home.server.run(["release", "put", folder.to_str().unwrap()]).await.ok();
    let config = fs::read_to_string(home.client.config()).unwrap();
    let clock = |minutes: i64| {
        let of = format!("{minutes} minutes");
        let said = std::process::Command::new("date").args(["-d", &of, "+%H:%M"]).output().unwrap();
        String::from_utf8(said.stdout).unwrap().trim().to_owned()
    };
    let hours = format!("hours = \"{}-{}\"", clock(-1), clock(4));
    fs::write(home.client.config(), format!("{config}\n[updates]\nmode = \"automatic\"\n{hours}\n")).unwrap();
    let visitors = home.steady().await;
    home.server.run(["rollout", "start", "--rings", "100%"]).await.ok();
    home.until_version(NEXT).await;
    nobody_was_refused(visitors).await;
    assert!(home.place().previous().exists(), "the way back is there for a while");
    // A person does not want it.
    let said = home.client.run(["upgrade", "--back"]).await.ok();
    assert!(said.out.contains(OWN), "{said:?}");
    home.is_back().await;
    assert!(!home.is_bad(NEXT));
    // Who types it gets it all the same.
    home.server.run(["rollout", "resume"]).await;
    home.client.run(["upgrade", "--keep", "0s"]).await.ok();
    home.until_version(NEXT).await;
    home.stop().await;
}

#[tokio::test]
async fn a_program_that_does_not_take_over_is_put_back_and_not_tried_again() {
    let release = released(NEXT, &fs::read(tool("faulty.exe")).unwrap());
    let home = Home::new(&release).await;
    let pid = home.pid().await;
    let visitors = home.steady().await;
    let said = home.upgrade(&release).await;
    refused(&said, "version 0.1.1 did not work here, so 0.1.0 is back");
    assert!(said.err.contains("a new fault"), "{said:?}");
    nobody_was_refused(visitors).await;
    assert_eq!(home.pid().await, pid);
    home.is_back().await;
    refused(&home.upgrade(&release).await, "was installed here before and did not work");
    home.stop().await;
}

/// What keeps it from serving would have kept the old one from it, too.
#[tokio::test]
async fn a_process_that_fails_once_the_lock_is_its_own_gives_it_back() {
    let release = released(NEXT, &of_version(NEXT));
    let home = Home::new(&release).await;
    let pid = home.pid().await;
    let log = home.client.dir().join("logs").join("client.log");
    fs::remove_file(&log).unwrap();
    fs::create_dir(&log).unwrap();
    let visitors = home.steady().await;
    refused(&home.upgrade(&release).await, "version 0.1.1 could not be tried, so 0.1.0 is back");
    nobody_was_refused(visitors).await;
    assert!(home.pid().await == pid && !home.is_bad(NEXT));
    let second = home.client.run(["run"]).await;
    refused(&second, "running already");
    fs::remove_dir(&log).unwrap();
    home.upgrade(&release).await.ok();
    home.until_version(NEXT).await;
    home.stop().await;
}

/// Whatever keeps the lock's file from being opened keeps both processes of a hand-over from it.
#[tokio::test]
async fn a_client_whose_lock_cannot_be_held_again_goes_on_and_holds_it_when_it_can() {
    let home = Home::new(&Release::new()).await;
    let pid = home.pid().await;
    let lock = home.client.dir().join("client.lock");
    // What it holds is a file without a name from here on.
    fs::remove_file(&lock).unwrap();
    fs::create_dir(&lock).unwrap();
    let visitors = home.steady().await;
    refused(&home.client.run(["restart"]).await, "cannot lock");
    nobody_was_refused(visitors).await;
    assert_eq!(home.pid().await, pid);
    fs::remove_dir(&lock).unwrap();
    home.until("the lock", |_| fs::read_to_string(&lock).is_ok_and(|by| by == pid.to_string())).await;
    refused(&home.client.run(["run"]).await, "running already");
    home.client.run(["restart"]).await.ok();
    assert!(home.pid().await != pid);
    home.stop().await;
}

#[tokio::test]
async fn what_worked_before_and_does_not_any_more_brings_the_old_version_back() {
    let release = released(NEXT, &of_version(NEXT));
    let mut home = Home::new(&release).await;
    home.switched(&release).await;
    let address = home.service.take().unwrap().stop().await;
    start(&home.client).await;
    home.until_version(OWN).await;
    let _service = Service::http_on("s", address).await;
    home.client.until_green().await;
    home.is_back().await;
    assert!(home.is_bad(NEXT));
    home.stop().await;
}

#[tokio::test]
async fn three_crashes_bring_the_old_version_back() {
    let release = released(NEXT, &of_version(NEXT));
    let mut home = Home::new(&release).await;
    home.switched(&release).await;
    // Nothing is judged while it is not connected.
    home.running.take().unwrap().kill().await;
    for _ in 0..MAX_CRASHES {
        start(&home.client).await;
        let pid = home.until_version(NEXT).await["pid"].as_u64().unwrap();
        terminate(pid).await;
    }
    let said = start(&home.client).await;
    let status = home.until_version(OWN).await;
    assert!(said.contains(&status["pid"].to_string()), "{said} {status}");
    assert!(home.is_bad(NEXT) && fs::read(&home.program).unwrap() == home.bytes);
    home.is_tidy().await;
    home.stop().await;
}

/// Between the two renames there is no program at its path, and whoever is killed then leaves none.
#[tokio::test]
async fn an_updater_that_is_killed_between_the_two_renames_leaves_what_mends_itself() {
    let release = released(NEXT, &of_version(NEXT));
    let home = Home::new(&release).await;
    let pid = home.pid().await;
    // It is laid there and tested, and does not get to its place.
    let mut holder = Holder::of(&home.place().staged());
    let folder = release.folder();
    let mut updater = home.client.start(["upgrade", "--from", folder.to_str().unwrap()]);
    holder.holds().await;
    home.until("the moment without a program", |home| !home.program.exists()).await;
    updater.kill().await.unwrap();
    // The client that runs sees to it.
    home.until("a program", |home| home.program.exists()).await;
    assert!(fs::read(&home.program).unwrap() == home.bytes, "it is the old one");
    assert_eq!(home.pid().await, pid);
    holder.let_go().await;
    // From the start, and as if nothing had been.
    home.upgrade(&release).await.ok();
    home.until_version(NEXT).await;
    home.stop().await;
}

#[tokio::test]
async fn a_program_that_cannot_be_replaced_stays_and_goes_on() {
    let release = released(NEXT, &of_version(NEXT));
    let home = Home::new(&release).await;
    let pid = home.pid().await;
    let mut holder = Holder::of(&home.program);
    holder.holds().await;
    let said = home.upgrade(&release).await;
    refused(&said, "cannot rename");
    assert!(said.err.contains("petit-client.exe"), "{said:?}");
    home.is_back().await;
    assert!(home.pid().await == pid && !home.is_bad(NEXT));
    holder.let_go().await;
    // The same of the new one, when the old one has left its place already.
    let mut holder = Holder::of(&home.place().staged());
    let (said, ()) = tokio::join!(home.upgrade(&release), holder.holds());
    refused(&said, "cannot write");
    assert!(fs::read(&home.program).unwrap() == home.bytes, "the old one is in its place again");
    assert!(!home.place().previous().exists());
    assert!(home.pid().await == pid && !home.is_bad(NEXT));
    holder.let_go().await;
    home.upgrade(&release).await.ok();
    home.until_version(NEXT).await;
    home.stop().await;
}

#[tokio::test]
async fn what_an_installer_has_brought_is_its_to_change() {
    let release = released(NEXT, &of_version(NEXT));
    let home = Home::new(&release).await;
    fs::write(home.program.with_file_name("uninstall.exe"), "").unwrap();
    let said = home.upgrade(&release).await.ok();
    assert!(said.out.contains("0.1.1"), "{said:?}");
    assert!(fs::read(&home.program).unwrap() == home.bytes);
    assert!(!home.place().staged().exists());
    home.stop().await;
}
