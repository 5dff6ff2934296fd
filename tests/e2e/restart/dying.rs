//! kill -9 of the old process or of the new one, at each step: one of them serves in the end.

use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use petit_tests::process::Program;
use petit_tests::soon;
use petit_tests::visitor::Visitor;
use rustix::fs::{CWD, Mode};
use rustix::process::Signal;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::net::unix::pipe;
use tokio::process::Child;

use super::client::{in_the_background, until_green};
use super::failing::replace;
use super::{Whole, gone, is_there, signal, until_logged};
use crate::upgrade::connect;

/// The program that is replaced.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Which {
    Server,
    Client,
}

impl Which {
    fn of(self, whole: &Whole) -> &Program {
        match self {
            Self::Server => &whole.server,
            Self::Client => &whole.client,
        }
    }

    fn log(self, whole: &Whole) -> PathBuf {
        match self {
            Self::Server => whole.log(),
            Self::Client => whole.client.dir().join("logs/client.log"),
        }
    }

    /// A restart that waits for its new process as long as the test does.
    fn patiently(self) -> &'static [&'static str] {
        match self {
            Self::Server => &["restart", "--within", "60s"],
            Self::Client => &["restart"],
        }
    }

    fn lock(self) -> &'static str {
        match self {
            Self::Server => "server.lock",
            Self::Client => "client.lock",
        }
    }

    /// Starts everything, with a file of this program's own; returns where that is.
    async fn start(self) -> (Whole, PathBuf) {
        match self {
            Self::Server => {
                let mut server = Program::server().await;
                let program = server.install();
                server.run(["start"]).await.ok();
                (Whole::with(server).await, program)
            }
            Self::Client => {
                let mut whole = in_the_background("").await;
                whole.client.run(["stop"]).await.ok();
                let program = whole.client.install();
                whole.client.run(["start"]).await.ok();
                until_green(&whole).await;
                (whole, program)
            }
        }
    }
}

/// A restart that goes on only when the test wants it to.
struct Held {
    which: Which,
    whole: Whole,
    old: u32,
    new: u32,
    /// The new process does not begin before something is written into it.
    go: pipe::Sender,
    program: PathBuf,
    restarting: Child,
}

impl Held {
    /// Up to the step in which the new process gets ready.
    async fn preparing(which: Which, restart: &[&str]) -> Self {
        let (whole, program) = which.start().await;
        let old = which.of(&whole).status().await["pid"].as_u64().unwrap().try_into().unwrap();
        let [begun, go] = ["begun", "go"].map(|name| {
            let pipe = which.of(&whole).dir().join(name);
            rustix::fs::mkfifoat(CWD, &pipe, Mode::RUSR | Mode::WUSR).unwrap();
            pipe
        });
        let real = program.with_extension("real");
        let wait = format!("echo $$ > {}; read go < {}", begun.display(), go.display());
        replace(&program, &format!("{wait}; exec {} \"$@\"", real.display()));
        // Open for both, so that neither end waits for the other one to be opened.
        let both = || pipe::OpenOptions::new().read_write(true).to_owned();
        let mut begun = BufReader::new(both().open_receiver(begun).unwrap()).lines();
        let go = both().open_sender(go).unwrap();
        let restarting = which.of(&whole).start(restart);
        let new = soon("the new process", begun.next_line()).await.unwrap().unwrap().parse().unwrap();
        Self { which, whole, old, new, go, program, restarting }
    }

    /// Lets the new process begin.
    async fn release(&mut self) {
        self.go.write_all(b"go\n").await.unwrap();
    }

    /// Up to the step in which the new process is ready, and the old one has not heard of it.
    async fn ready(which: Which) -> Self {
        Self::ready_within(which, which.patiently()).await
    }

    async fn ready_within(which: Which, restart: &[&str]) -> Self {
        let mut held = Self::preparing(which, restart).await;
        signal(held.old, Signal::STOP);
        held.release().await;
        until_logged(&which.log(&held.whole), "ready to take over").await;
        held
    }

    /// Up to the step in which the old process writes no more, and the new one does not yet.
    async fn yielding(within: &str) -> Self {
        let held = Self::ready_within(Which::Server, &["restart", "--within", within]).await;
        signal(held.new, Signal::STOP);
        signal(held.old, Signal::CONT);
        until_logged(&held.whole.log(), "the registry is left to the other process").await;
        held
    }

    /// Puts the program back in its place.
    fn restore(&self) {
        std::fs::rename(self.program.with_extension("real"), &self.program).unwrap();
    }

    /// Asserts that whoever has asked for the restart is told that this has become of the new process; which is more
    /// than that it was waited for in vain.
    async fn has_failed(&mut self, why: &str) {
        let (mut stderr, mut said) = (self.restarting.stderr.take().unwrap(), String::new());
        soon("the command to end", stderr.read_to_string(&mut said)).await.unwrap();
        assert!(said.contains(why), "{said}");
    }

    /// Asserts that one process serves in the end, and that it is this one.
    async fn serves(mut self, pid: u32) {
        let other = if pid == self.old { self.new } else { self.old };
        let _ = soon("the command to end", self.restarting.wait()).await;
        soon("the other process to be gone", gone(other)).await;
        one_serves(self.which, &self.whole, pid).await;
        self.restore();
        nobody_else_gets_in(self.which, &self.whole).await;
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // Whatever has failed, nobody is to wait for a process that stands still.
        for pid in [self.old, self.new].into_iter().filter(|pid| is_there(*pid)) {
            signal(pid, Signal::CONT);
        }
    }
}

/// Everything works, and it is this process that does it.
async fn one_serves(which: Which, whole: &Whole, pid: u32) {
    let program = which.of(whole);
    soon("it to answer", async {
        loop {
            let said = program.run(["status", "--json"]).await;
            if said.exit != 0 {
                continue;
            }
            let status = said.json();
            let works = match which {
                Which::Server => status["state"] == "running",
                Which::Client => status["connection"]["state"] == "online",
            };
            if works && status["pid"] == pid {
                return;
            }
        }
    })
    .await;
    assert!(is_there(pid));
    let lock = std::fs::read_to_string(program.dir().join(which.lock())).unwrap();
    assert_eq!(lock, pid.to_string(), "the lock says who");
    whole.server.invite([""; 0]).await;
    let visitor: Visitor = whole.visitor;
    visitor.until("requests to pass", &whole.host, "/", |answer| answer.status == 200).await;
    whole.client.until_green().await;
    soon("the raw TCP port to lead to its service", async {
        loop {
            let mut greeting = [0; 2];
            if let Ok(mut tcp) = TcpStream::connect(&whole.tcp).await
                && tcp.read_exact(&mut greeting).await.is_ok()
            {
                return assert_eq!(&greeting, b"hi");
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
}

/// The lock is held.
async fn nobody_else_gets_in(which: Which, whole: &Whole) {
    let said = which.of(whole).run(["start"]).await;
    assert!(said.exit == 1 && said.err.contains("is running already"), "{said:?}");
}

async fn new_dies_before_it_is_ready(which: Which) {
    let mut held = Held::preparing(which, which.patiently()).await;
    signal(held.new, Signal::KILL);
    held.has_failed("it ended before it was ready").await;
    let old = held.old;
    held.serves(old).await;
}

async fn old_dies_before_the_new_one_is_ready(which: Which) {
    let mut held = Held::preparing(which, which.patiently()).await;
    signal(held.old, Signal::KILL);
    soon("the old process to be gone", gone(held.old)).await;
    held.release().await;
    // It has got everything before: sockets, lock, control socket.
    let new = held.new;
    held.serves(new).await;
}

async fn old_dies_when_the_new_one_is_ready(which: Which) {
    let held = Held::ready(which).await;
    signal(held.old, Signal::KILL);
    let new = held.new;
    held.serves(new).await;
}

async fn new_dies_when_it_is_ready(which: Which) {
    let mut held = Held::ready(which).await;
    signal(held.new, Signal::KILL);
    signal(held.old, Signal::CONT);
    held.has_failed("it ended before it was ready").await;
    let old = held.old;
    held.serves(old).await;
}

#[tokio::test]
async fn the_new_process_dies_before_it_is_ready() {
    new_dies_before_it_is_ready(Which::Server).await;
}

#[tokio::test]
async fn the_old_process_dies_before_the_new_one_is_ready() {
    old_dies_before_the_new_one_is_ready(Which::Server).await;
}

#[tokio::test]
async fn the_old_process_dies_when_the_new_one_is_ready() {
    old_dies_when_the_new_one_is_ready(Which::Server).await;
}

#[tokio::test]
async fn the_new_process_dies_when_it_is_ready() {
    new_dies_when_it_is_ready(Which::Server).await;
}

#[tokio::test]
async fn the_old_process_dies_when_it_has_yielded() {
    let held = Held::yielding("60s").await;
    signal(held.old, Signal::KILL);
    signal(held.new, Signal::CONT);
    let new = held.new;
    held.serves(new).await;
}

#[tokio::test]
async fn the_new_process_dies_when_it_should_take_over() {
    let held = Held::yielding("60s").await;
    signal(held.new, Signal::KILL);
    let old = held.old;
    held.serves(old).await;
}

#[tokio::test]
async fn the_new_process_hangs_when_it_should_take_over() {
    let mut held = Held::yielding("15s").await;
    // A change that somebody wants meanwhile waits, and is made by whoever serves in the end.
    let invited = held.whole.server.invite(["--alias", "meanwhile"]).await;
    assert!(invited.contains("#v1."));
    let status = soon("the command to end", held.restarting.wait()).await.unwrap();
    assert_eq!(status.code(), Some(1));
    assert!(!is_there(held.new), "it was killed before anything was taken back");
    one_serves(Which::Server, &held.whole, held.old).await;
    held.restore();
    nobody_else_gets_in(Which::Server, &held.whole).await;
}

#[tokio::test]
async fn a_control_socket_that_is_removed_while_the_new_process_gets_ready_leads_to_the_new_one() {
    let mut held = Held::preparing(Which::Server, Which::Server.patiently()).await;
    std::fs::remove_file(held.whole.server.dir().join("server.sock")).unwrap();
    // The old process opens another one at its place.
    let is_there_again = async { while held.whole.server.run(["status"]).await.exit != 0 {} };
    soon("the socket to be there again", is_there_again).await;
    held.release().await;
    let new = held.new;
    held.serves(new).await;
}

#[tokio::test]
async fn the_old_process_dies_while_it_finishes_what_is_under_way() {
    let whole = Whole::start("").await;
    let old = whole.pid().await;
    let _socket = connect(whole.visitor, &whole.host, "/ws").await.unwrap();
    whole.server.run(["restart"]).await.ok();
    let new = whole.pid().await;
    assert!(is_there(old) && new != old);
    signal(old, Signal::KILL);
    one_serves(Which::Server, &whole, new).await;
    nobody_else_gets_in(Which::Server, &whole).await;
}

#[tokio::test]
async fn the_new_process_dies_while_the_old_one_finishes_what_is_under_way() {
    let whole = Whole::start("").await;
    let old = whole.pid().await;
    let waiting = whole.held_request().await;
    whole.server.run(["restart"]).await.ok();
    let new = whole.pid().await;
    // Something that the old process must not have forgotten when it is back.
    whole.server.invite(["--alias", "of-the-new-one"]).await;
    signal(new, Signal::KILL);
    one_serves(Which::Server, &whole, old).await;
    nobody_else_gets_in(Which::Server, &whole).await;
    let list = whole.server.run(["invite", "--list", "--json"]).await.ok().json();
    assert!(list["invites"].as_array().unwrap().iter().any(|invite| invite["alias"] == "of-the-new-one"));
    whole.http_service.let_go();
    assert_eq!(waiting.await.unwrap().text(), "done", "what was under way has gone on all the time");
    // And it can be restarted again.
    whole.server.run(["restart"]).await.ok();
    let newest = whole.pid().await;
    assert!(newest != old && newest != new);
    whole.server.run(["stop"]).await.ok();
}

#[tokio::test]
async fn the_new_process_dies_while_the_old_one_closes_what_is_left() {
    let whole = Whole::start("drain = \"1s\"\n[server.limits]\nthreads = 2").await;
    let old = whole.pid().await;
    // Who says nothing is let be for longer than the old process waits for him.
    let _silent = whole.visitor.tcp().await;
    let waiting = whole.held_request().await;
    whole.server.run(["restart"]).await.ok();
    let new = whole.pid().await;
    // Its time is over, and it was cut: that is the last thing before the end.
    let _ = soon("the end of what was under way", waiting).await;
    signal(old, Signal::STOP);
    signal(new, Signal::KILL);
    soon("the new process to be gone", gone(new)).await;
    let died = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    signal(old, Signal::CONT);
    let status = whole.until("the old process to answer", |status| status["pid"] == old).await;
    for front in status["fronts"].as_array().unwrap().iter().filter(|front| front["state"] == "passed") {
        assert!(front["tried"].as_u64().unwrap() >= died, "nothing is well that was tried before: {front}");
    }
    one_serves(Which::Server, &whole, old).await;
    nobody_else_gets_in(Which::Server, &whole).await;
    whole.server.run(["restart"]).await.ok();
    assert_ne!(whole.pid().await, old);
}

#[tokio::test]
async fn the_last_of_three_processes_dies_while_only_the_first_still_finishes() {
    let whole = Whole::start("").await;
    let first = whole.pid().await;
    let waiting = whole.held_request().await;
    whole.server.run(["restart"]).await.ok();
    let second = whole.pid().await;
    whole.server.run(["restart"]).await.ok();
    let third = whole.pid().await;
    soon("the second process to end", gone(second)).await;
    signal(third, Signal::KILL);
    one_serves(Which::Server, &whole, first).await;
    nobody_else_gets_in(Which::Server, &whole).await;
    whole.http_service.let_go();
    assert_eq!(waiting.await.unwrap().text(), "done");
}

#[tokio::test]
async fn the_new_client_dies_before_it_is_ready() {
    new_dies_before_it_is_ready(Which::Client).await;
}

#[tokio::test]
async fn the_old_client_dies_before_the_new_one_is_ready() {
    old_dies_before_the_new_one_is_ready(Which::Client).await;
}

#[tokio::test]
async fn the_old_client_dies_when_the_new_one_is_ready() {
    old_dies_when_the_new_one_is_ready(Which::Client).await;
}

#[tokio::test]
async fn the_new_client_dies_when_it_is_ready() {
    new_dies_when_it_is_ready(Which::Client).await;
}

#[tokio::test]
async fn the_old_client_dies_while_it_finishes_what_is_under_way() {
    let whole = in_the_background("").await;
    let old = until_green(&whole).await;
    let _socket = connect(whole.visitor, &whole.host, "/ws").await.unwrap();
    whole.client.run(["restart"]).await.ok();
    let new = until_green(&whole).await;
    assert!(is_there(old) && new != old);
    signal(old, Signal::KILL);
    one_serves(Which::Client, &whole, new).await;
    nobody_else_gets_in(Which::Client, &whole).await;
}
