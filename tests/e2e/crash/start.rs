//! `petit-server` killed and started again.

use std::time::{Duration, Instant};

use petit_tests::figures::{Times, figure, rounds};
use petit_tests::process::Program;

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
