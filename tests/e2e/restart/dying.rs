//! kill -9 of the old process or of the new one, at each step: one of them serves in the end.

use std::path::PathBuf;

use petit_tests::process::Program;
use petit_tests::soon;
use petit_tests::visitor::Visitor;
use rustix::fs::{CWD, Mode};
use rustix::process::Signal;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::unix::pipe;
use tokio::process::Child;

use super::failing::replace;
use super::{Whole, gone, is_there, signal, until_logged};
use crate::upgrade::connect;

/// A restart that goes on only when the test wants it to.
struct Held {
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
    async fn preparing(within: &str) -> Self {
        let mut server = Program::server().await;
        let program = server.install();
        server.run(["start"]).await.ok();
        let whole = Whole::with(server).await;
        let old = whole.pid().await;
        let [begun, go] = ["begun", "go"].map(|name| {
            let pipe = whole.server.dir().join(name);
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
        let restarting = whole.server.start(["restart", "--within", within]);
        let new = soon("the new process", begun.next_line()).await.unwrap().unwrap().parse().unwrap();
        Self { whole, old, new, go, program, restarting }
    }

    /// Lets the new process begin.
    async fn release(&mut self) {
        self.go.write_all(b"go\n").await.unwrap();
    }

    /// Up to the step in which the new process is ready, and the old one has not heard of it.
    async fn ready() -> Self {
        let mut held = Self::preparing("60s").await;
        signal(held.old, Signal::STOP);
        held.release().await;
        until_logged(&held.whole.log(), "ready to take over").await;
        held
    }

    /// Up to the step in which the old process writes no more, and the new one does not yet.
    async fn yielding(within: &str) -> Self {
        let mut held = Self::preparing(within).await;
        signal(held.old, Signal::STOP);
        held.release().await;
        until_logged(&held.whole.log(), "ready to take over").await;
        signal(held.new, Signal::STOP);
        signal(held.old, Signal::CONT);
        until_logged(&held.whole.log(), "the registry is left to the other process").await;
        held
    }

    /// Puts the program back in its place.
    fn restore(&self) {
        std::fs::rename(self.program.with_extension("real"), &self.program).unwrap();
    }

    /// Asserts that one process serves in the end, and that it is this one.
    async fn serves(mut self, pid: u32) {
        let other = if pid == self.old { self.new } else { self.old };
        let _ = soon("the command to end", self.restarting.wait()).await;
        soon("the other process to be gone", gone(other)).await;
        one_serves(&self.whole, pid).await;
        self.restore();
        nobody_else_gets_in(&self.whole).await;
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
async fn one_serves(whole: &Whole, pid: u32) {
    soon("the server to answer", async {
        loop {
            let said = whole.server.run(["status", "--json"]).await;
            if said.exit == 0 && said.json()["pid"] == pid && said.json()["state"] == "running" {
                return;
            }
        }
    })
    .await;
    assert!(is_there(pid));
    let lock = std::fs::read_to_string(whole.server.dir().join("server.lock")).unwrap();
    assert_eq!(lock, pid.to_string(), "the lock says who");
    whole.server.invite([""; 0]).await;
    let visitor: Visitor = whole.visitor;
    visitor.until("requests to pass", &whole.host, "/", |answer| answer.status == 200).await;
    whole.client.until_green().await;
}

/// The lock is held.
async fn nobody_else_gets_in(whole: &Whole) {
    let said = whole.server.run(["start"]).await;
    assert!(said.exit == 1 && said.err.contains("is running already"), "{said:?}");
}

#[tokio::test]
async fn the_new_process_dies_before_it_is_ready() {
    let held = Held::preparing("60s").await;
    signal(held.new, Signal::KILL);
    let old = held.old;
    held.serves(old).await;
}

#[tokio::test]
async fn the_old_process_dies_before_the_new_one_is_ready() {
    let mut held = Held::preparing("60s").await;
    signal(held.old, Signal::KILL);
    soon("the old process to be gone", gone(held.old)).await;
    held.release().await;
    // It has got everything before: sockets, lock, control socket.
    let new = held.new;
    held.serves(new).await;
}

#[tokio::test]
async fn the_old_process_dies_when_the_new_one_is_ready() {
    let held = Held::ready().await;
    signal(held.old, Signal::KILL);
    let new = held.new;
    held.serves(new).await;
}

#[tokio::test]
async fn the_new_process_dies_when_it_is_ready() {
    let held = Held::ready().await;
    signal(held.new, Signal::KILL);
    signal(held.old, Signal::CONT);
    let old = held.old;
    held.serves(old).await;
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
    one_serves(&held.whole, held.old).await;
    held.restore();
    nobody_else_gets_in(&held.whole).await;
}

#[tokio::test]
async fn a_control_socket_that_is_removed_while_the_new_process_gets_ready_leads_to_the_new_one() {
    let mut held = Held::preparing("60s").await;
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
    one_serves(&whole, new).await;
    nobody_else_gets_in(&whole).await;
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
    one_serves(&whole, old).await;
    nobody_else_gets_in(&whole).await;
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
