//! A server in the foreground: whoever has started it takes its end for the end of the service, so it stays.

use std::path::Path;

use bytes::Bytes;
use http_body_util::Empty;
use petit_tests::bed::server_config;
use petit_tests::process::{Program, Running};
use petit_tests::soon;
use petit_tests::visitor::request;
use rustix::process::Signal;
use tokio::process::ChildStderr;

use super::{Whole, gone, is_there, signal};

pub(super) async fn foreground() -> (Whole, Running<ChildStderr>) {
    foreground_with("").await
}

/// As [`foreground`], with more in its config.
async fn foreground_with(more: &str) -> (Whole, Running<ChildStderr>) {
    let server = Program::server_with(&server_config(more)).await;
    let mut running = server.foreground(["run"]);
    running.until("listening").await;
    soon("the control socket", async { while server.run(["status"]).await.exit != 0 {} }).await;
    (Whole::with(server).await, running)
}

#[tokio::test]
async fn a_server_in_the_foreground_stays_as_the_anchor_of_those_that_follow() {
    let (whole, mut running) = foreground().await;
    let anchor = running.id();
    assert_eq!(whole.pid().await, anchor);
    let mut visitors = whole.visitors();
    whole.server.run(["restart"]).await.ok();
    let second = whole.pid().await;
    // Its log goes where that of the first one went.
    running.until("another process serves").await;
    whole.server.run(["restart"]).await.ok();
    let third = whole.pid().await;
    soon("the second process to end", gone(second)).await;
    visitors.more(20).await;
    let met = visitors.end().await;
    assert_eq!(met.disappointed(), 0, "{:?} {:?}", met.statuses, met.failures);
    assert!(is_there(anchor) && is_there(third), "a service manager sees that it goes on");
    // What a service manager asks of the process that it knows is asked of the one that serves.
    std::fs::write(whole.server.config(), server_config("max_services = 3")).unwrap();
    running.signal("HUP").await;
    running.until("config applied").await;
    running.signal("TERM").await;
    assert_eq!(running.exit().await, 0);
    soon("the last process to end", gone(third)).await;
    assert_eq!(whole.server.run(["status"]).await.exit, 3);
}

#[tokio::test]
async fn the_anchor_ends_with_the_process_that_it_stands_for() {
    let (whole, mut running) = foreground().await;
    whole.server.run(["restart"]).await.ok();
    running.until("stopped; another process serves").await;
    whole.server.run(["stop"]).await.ok();
    assert_eq!(running.exit().await, 0, "it was stopped");

    let (whole, running) = foreground().await;
    whole.server.run(["restart"]).await.ok();
    let second = whole.pid().await;
    let killed = std::process::Command::new("kill").args(["-9", &second.to_string()]).status().unwrap();
    assert!(killed.success());
    let serves_again = async { while whole.server.run(["status"]).await.exit != 0 {} };
    // Either it still had everything and serves again, or it ends as what has failed, to be started anew.
    tokio::select! {
        exit = running.exit() => assert_eq!(exit, 1),
        () = soon("the first process to serve again", serves_again) => {}
    }
}

/// What of all that a server serves with a process has open: sockets that listen, the lock, the registry.
fn serves_with(pid: u32, server: &Program) -> Vec<String> {
    let table = |name: &str| std::fs::read_to_string(format!("/proc/{pid}/net/{name}")).unwrap_or_default();
    let [tcp, tcp6, unix] = ["tcp", "tcp6", "unix"].map(table);
    let word = |line: &str, number: usize| line.split_whitespace().nth(number).unwrap_or_default().to_owned();
    // proc_pid_net(5): TCP_LISTEN is 0A, and a socket of Unix that listens has the flag __SO_ACCEPTCON.
    let over_tcp =
        tcp.lines().chain(tcp6.lines()).filter(|line| word(line, 3) == "0A").map(|line| word(line, 9));
    let local = unix.lines().filter(|line| word(line, 3) == "00010000").map(|line| word(line, 6));
    let listening: Vec<String> = over_tcp.chain(local).map(|inode| format!("socket:[{inode}]")).collect();
    let open = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
    let open = open.filter_map(|fd| std::fs::read_link(fd.unwrap().path()).ok());
    let is_file =
        |path: &Path| path.starts_with(server.dir()) && !path.starts_with(server.dir().join("logs"));
    open.filter(|path| is_file(path) || listening.iter().any(|socket| path == Path::new(socket)))
        .map(|path| path.display().to_string())
        .collect()
}

#[tokio::test]
async fn an_anchor_keeps_nothing_that_its_successors_serve_with() {
    let (whole, running) = foreground().await;
    let anchor = running.id();
    // The ports for HTTP, TLS and one service of raw TCP, the control socket, the lock, and the registry.
    let before = serves_with(anchor, &whole.server);
    assert!(before.len() >= 6, "{before:?}");
    whole.server.run(["restart"]).await.ok();
    soon("the first process to let go of all", async {
        while !serves_with(anchor, &whole.server).is_empty() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let after = serves_with(whole.pid().await, &whole.server);
    assert!(after.len() >= 6, "{after:?}");
    assert!(is_there(anchor));
}

#[tokio::test]
async fn an_anchor_whose_process_is_killed_says_so_and_ends_as_what_has_failed() {
    let (whole, mut running) = foreground().await;
    whole.server.run(["restart"]).await.ok();
    running.until("stopped; another process serves").await;
    signal(whole.pid().await, Signal::KILL);
    running.until("the process that served was killed").await;
    assert_eq!(running.exit().await, 1, "so that a service manager starts it anew");
    assert_eq!(whole.server.run(["status"]).await.exit, 3);
    assert!(whole.server.run(["start"]).await.exit == 0, "nothing is held any more");
}

#[tokio::test]
async fn a_second_signal_means_at_once_also_when_the_first_came_before_the_anchor_had_nothing_left_to_do() {
    // Whoever waits for what is under way waits for longer than this test.
    let (whole, mut running) = foreground_with("drain = \"10m\"").await;
    let of_the_first = whole.held_request().await;
    whole.server.run(["restart"]).await.ok();
    let second = whole.pid().await;
    let asked = request(&whole.host, "GET", "/wait", Empty::<Bytes>::new());
    let visitor = whole.visitor;
    let of_the_second = tokio::spawn(async move { visitor.open(asked).await });
    whole.http_service.until_waiting(2).await;
    running.signal("TERM").await;
    running.until("asked to stop; still finishing what is under way").await;
    // Its last visitor leaves, and it has nothing left but to stand for the second process.
    of_the_first.abort();
    running.until("stopped; another process serves").await;
    assert!(is_there(second), "one signal is no haste");
    running.signal("TERM").await;
    running.until("stopping at once").await;
    soon("the second process to end", gone(second)).await;
    assert_eq!(running.exit().await, 0);
    of_the_second.abort();
}
