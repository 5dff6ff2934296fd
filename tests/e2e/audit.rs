//! The log of changes, as an operator looks at it.

use std::pin::pin;
use std::task::{Context, Waker};

use petit_tests::bed::{Bed, server_config};
use petit_tests::logs::until_logged;
use petit_tests::process::{Program, Said};
use petit_tests::soon;
use serde_json::Value;

/// One that makes invites also while it does not run.
async fn server() -> Program {
    let server = Program::server().await;
    let config = server_config("tunnel_address = \"localhost:8453\"");
    std::fs::write(server.config(), config).unwrap();
    server
}

/// Who did what, of each change.
fn changes(said: &Said) -> Vec<(String, String)> {
    let text = |change: &Value, name: &str| change[name].as_str().unwrap().to_owned();
    let listed = said.json();
    let listed = listed["changes"].as_array().unwrap();
    listed.iter().map(|change| (text(change, "actor"), text(change, "kind"))).collect()
}

/// Waits until the running server has signed where its log stands.
async fn signed(server: &Program, version: u64) {
    signed_in(server, "server.log", version).await;
}

/// As [`signed`], into this one of its logs.
async fn signed_in(server: &Program, file: &str, version: u64) {
    let log = server.dir().join("logs").join(file);
    until_logged(&log, &format!("petit-head-1.{version}.")).await;
}

#[tokio::test]
async fn an_operator_sees_who_has_changed_what_and_that_the_log_is_whole() {
    let server = server().await;
    server.run(["invite", "--note", "for Anna", "--json"]).await.ok();
    let running = server.up().await;
    signed(&server, 1).await;
    server.run(["invite", "--json"]).await.ok();
    let listed = server.run(["audit", "list", "--json"]).await.ok();
    let made = ("operator".to_owned(), "invite-made".to_owned());
    assert_eq!(changes(&listed), [made.clone(), made.clone()]);
    assert_eq!(listed.json()["changes"][0]["body"]["note"], "for Anna");
    let one = server.run(["audit", "list", "--last", "1", "--json"]).await.ok();
    assert_eq!(one.json()["changes"][0]["version"], 2);
    let shown = server.run(["audit", "list"]).await.ok();
    assert!(shown.out.contains("invite-made") && shown.out.contains("operator"), "{shown:?}");
    assert!(shown.out.contains("made for a service called web, good until"), "{shown:?}");
    assert!(shown.out.contains(r#"note "for Anna""#) && !shown.out.contains('{'), "{shown:?}");
    let while_running = server.run(["audit", "verify", "--json"]).await.ok().json();
    assert_eq!((&while_running["last"], &while_running["signed_heads"]), (&2.into(), &1.into()));
    server.run(["stop"]).await.ok();
    running.exit().await;
    let stopped = server.run(["audit", "verify"]).await.ok();
    assert!(
        stopped.out.contains("changes 1 to 2")
            && stopped.out.contains("agrees with 1 head")
            && stopped.out.contains("about the log alone"),
        "{stopped:?}"
    );
}

#[tokio::test]
async fn an_end_of_the_log_that_was_cut_off_is_noticed_and_a_backup_that_was_put_back_is_said() {
    let server = server().await;
    server.run(["invite", "--json"]).await.ok();
    let backup = server.dir().join("backup");
    server.run(["backup", backup.to_str().unwrap()]).await.ok();
    let registry = server.dir().join("registry.db");
    let before = std::fs::read(&registry).unwrap();
    server.run(["invite", "--json"]).await.ok();
    let running = server.up().await;
    signed(&server, 2).await;
    server.run(["stop"]).await.ok();
    running.exit().await;
    let head = {
        let log = std::fs::read_to_string(server.dir().join("logs/server.log")).unwrap();
        let from = log.find("petit-head-1.").unwrap();
        log[from..].split_whitespace().next().unwrap().to_owned()
    };
    // Somebody has put an older file in its place.
    std::fs::write(&registry, before).unwrap();
    let cut = server.run(["audit", "verify"]).await;
    assert!(cut.exit == 1 && cut.err.contains("the end of the log was cut off"), "{cut:?}");
    // Whoever keeps a head elsewhere needs no log.
    std::fs::remove_dir_all(server.dir().join("logs")).unwrap();
    server.run(["audit", "verify"]).await.ok();
    let cut = server.run(["audit", "verify", "--head", &head]).await;
    assert!(cut.exit == 1 && cut.err.contains("the server has signed change 2"), "{cut:?}");
    // What is put back as it should be stands in the log itself.
    server.run(["restore", backup.to_str().unwrap()]).await.ok();
    let said = server.run(["audit", "verify", "--head", &head]).await.ok();
    assert!(said.out.contains("1 more was signed before a backup was put back"), "{said:?}");
    let listed = server.run(["audit", "list", "--json"]).await.ok();
    assert_eq!(changes(&listed)[1], ("operator".to_owned(), "registry-restored".to_owned()));
}

#[tokio::test]
async fn a_registry_that_was_lost_and_made_anew_is_said_and_the_new_log_can_be_verified() {
    let server = server().await;
    server.run(["invite", "--json"]).await.ok();
    let running = server.up().await;
    signed(&server, 1).await;
    server.run(["stop"]).await.ok();
    running.exit().await;
    let registry = server.dir().join("registry.db");
    std::fs::remove_file(&registry).unwrap();
    server.run(["init", "--new-registry", "--open"]).await.ok();
    let said = server.run(["audit", "verify"]).await.ok();
    assert!(said.out.contains("or the registry was made anew"), "{said:?}");
    let listed = server.run(["audit", "list", "--json"]).await.ok();
    assert_eq!(changes(&listed), [("operator".to_owned(), "registry-made-anew".to_owned())]);
    // Only once: there is one now.
    server.run(["init", "--new-registry", "--open"]).await.ok();
    let listed = server.run(["audit", "list", "--json"]).await.ok();
    assert_eq!(changes(&listed).len(), 1);
}

#[tokio::test]
async fn where_the_log_stands_is_signed_however_little_is_logged() {
    let server = server().await;
    let config = server_config("tunnel_address = \"localhost:8453\"\nlog_level = \"error\"");
    std::fs::write(server.config(), config).unwrap();
    let registry = server.dir().join("registry.db");
    server.run(["invite", "--json"]).await.ok();
    let before = std::fs::read(&registry).unwrap();
    server.run(["invite", "--json"]).await.ok();
    let running = server.up().await;
    signed_in(&server, "heads.log", 2).await;
    server.run(["stop"]).await.ok();
    running.exit().await;
    assert_eq!(server.run(["audit", "verify", "--json"]).await.ok().json()["signed_heads"], 1);
    std::fs::write(&registry, before).unwrap();
    let cut = server.run(["audit", "verify"]).await;
    assert!(cut.exit == 1 && cut.err.contains("the end of the log was cut off"), "{cut:?}");
}

#[tokio::test]
async fn an_exported_log_can_be_verified_anywhere_and_shows_what_was_altered_in_it() {
    let server = server().await;
    for number in 0..3 {
        server.run(["invite", "--note", &format!("number {number}"), "--json"]).await.ok();
    }
    let file = server.dir().join("changes.jsonl");
    let name = file.to_str().unwrap();
    let said = server.run(["audit", "export", name]).await.ok();
    assert!(said.out.contains("3 changes"), "{said:?}");
    let text = std::fs::read_to_string(&file).unwrap();
    assert_eq!(text.lines().count(), 1 + 3 + 1);
    let found = server.run(["audit", "verify", name, "--json"]).await.ok().json();
    assert_eq!((&found["last"], &found["signed_heads"]), (&3.into(), &1.into()));

    // Elsewhere nobody knows the key.
    let elsewhere = Program::server().await;
    let key = said.out.split_whitespace().find(|word| word.starts_with("SHA256:")).unwrap();
    let key = key.trim_end_matches('.');
    let unknown = elsewhere.run(["audit", "verify", name]).await;
    assert!(unknown.exit == 1 && unknown.err.contains(&format!("add --key {key}")), "{unknown:?}");
    let known = elsewhere.run(["audit", "verify", name, "--key", key, "--json"]).await;
    assert_eq!(known.ok().json()["signed_heads"], 1);

    std::fs::write(&file, text.replace("number 1", "number 7")).unwrap();
    let altered = server.run(["audit", "verify", name]).await;
    assert!(altered.exit == 1 && altered.err.contains("change 2 was altered"), "{altered:?}");
    let without_its_end: Vec<&str> = text.lines().take(4).collect();
    std::fs::write(&file, without_its_end.join("\n")).unwrap();
    let unfinished = server.run(["audit", "verify", name]).await;
    assert!(unfinished.exit == 1 && unfinished.err.contains("line 4"), "{unfinished:?}");
}

#[tokio::test]
async fn a_server_that_is_about_to_sign_its_log_can_stop() {
    let bed = Bed::start().await;
    let mut watching = pin!(bed.server.watch_changes());
    // Begun, and not polled any more, as while a server stops.
    let begun = watching.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    assert!(begun.is_pending());
    soon("the registry to be closed", bed.server.close()).await;
}
