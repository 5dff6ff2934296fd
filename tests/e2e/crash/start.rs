//! `petit-server` killed and started again.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::time::{Duration, Instant};

use petit_tests::bed::client_config;
use petit_tests::figures::{Times, figure, rounds};
use petit_tests::process::Program;
use rustix::fs::OFlags;

#[tokio::test]
async fn only_one_server_runs_in_a_folder_and_what_is_left_of_a_dead_one_is_no_obstacle() {
    let server = Program::server().await;
    let first = server.up().await;
    let said = server.run(["run", "--background"]).await;
    assert_eq!(said.exit, 1, "{said:?}");
    assert!(said.err.contains("running already"), "{said:?}");
    first.kill().await;
    assert!(server.dir().join("server.sock").exists(), "a killed server leaves its socket");
    let _second = server.up().await;
    server.status().await;
}

#[tokio::test]
async fn a_killed_server_starts_again_every_time() {
    let server = Program::server().await;
    let mut times = Times::default();
    for _ in 0..rounds(10, 100) {
        let start = Instant::now();
        let running = server.up().await;
        times.add(start.elapsed());
        server.status().await;
        running.kill().await;
    }
    assert!(times.longest() < Duration::from_secs(10), "{}", times.summary());
    figure(format!("R10 starts after kill -9, none with a hand: {}", times.summary()));
}

#[tokio::test]
async fn what_whoever_starts_a_program_has_left_open_is_not_held_open_by_it() {
    let dir = tempfile::tempdir().unwrap();
    let fifo = dir.path().join("left-open");
    assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let is_held = || {
        let not_waiting = OFlags::NONBLOCK.bits().try_into().unwrap();
        let mut reader = File::options().read(true).custom_flags(not_waiting).open(&fifo).unwrap();
        // Where nobody can write any more there is the end to read, and otherwise nothing.
        reader.read(&mut [0]).is_err()
    };
    let words = ["sh", "-c", "exec 9<>\"$0\"; exec \"$@\"", fifo.to_str().unwrap()];
    let holding = tokio::process::Command::new("sh")
        .args(["-c", "exec 9<>\"$0\"; echo; exec sleep 1000", fifo.to_str().unwrap()])
        .stdout(std::process::Stdio::piped())
        .kill_on_drop(true)
        .spawn();
    let mut holding = holding.unwrap();
    tokio::io::AsyncReadExt::read_u8(holding.stdout.as_mut().unwrap()).await.unwrap();
    assert!(is_held(), "this test sees who holds it");
    holding.kill().await.unwrap();

    let server = Program::server().await.behind(&words);
    let _running = server.up().await;
    assert!(!is_held(), "petit-server run");
    server.run(["restart"]).await.ok();
    assert!(!is_held(), "the process that it starts");
    server.run(["stop"]).await.ok();
    server.run(["start"]).await.ok();
    assert!(!is_held(), "petit-server start");

    let client = Program::client().behind(&words);
    std::fs::write(client.config(), client_config(&[])).unwrap();
    client.run_with(["register"], &server.invite([""; 0]).await).await.ok();
    let _connected = client.up().await;
    assert!(!is_held(), "petit-client run");
}
