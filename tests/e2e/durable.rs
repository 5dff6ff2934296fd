//! `petit-server` killed at any moment: what it had answered is there afterwards, and it starts without a hand.

use std::collections::BTreeSet;
use std::time::Duration;

use petit_host::control::client::Client;
use petit_tests::process::Program;
use serde_json::json;

#[tokio::test]
async fn nothing_that_was_acknowledged_is_lost_when_the_server_is_killed() {
    let server = Program::server().await;
    let mut acknowledged = BTreeSet::new();
    for round in 0..12_u64 {
        let running = server.up().await;
        let control = Client::new(&server.dir().join("server.sock"));
        // A storm of changes, and an end in the middle of it: a little later in every round.
        let mut storm = tokio::task::JoinSet::new();
        for _ in 0..4 {
            let control = control.clone();
            storm.spawn(async move {
                let mut done = Vec::new();
                loop {
                    let made = control.call("POST", "/invites", Some(&json!({ "service": "web" }))).await;
                    match made {
                        Ok(made) => done.push(made["id"].as_str().unwrap().to_owned()),
                        Err(_) => return done,
                    }
                }
            });
        }
        tokio::time::sleep(Duration::from_millis(5 + 7 * round)).await;
        running.kill().await;
        for done in storm.join_all().await {
            acknowledged.extend(done);
        }
    }
    assert!(acknowledged.len() > 50, "the storms did something: {}", acknowledged.len());
    let _running = server.up().await;
    let list = server.run(["invite", "--list", "--json"]).await.ok().json();
    let found: BTreeSet<String> = list["invites"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["id"].as_str().unwrap().to_owned())
        .collect();
    assert!(acknowledged.is_subset(&found), "{} are lost", acknowledged.difference(&found).count());
    println!(
        "FIGURE server killed 12 times in a storm: {} changes acknowledged, none lost",
        acknowledged.len()
    );
}

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
