//! Tags and notes: what an operator finds clients and invites by.

use petit_tests::bed::client_config;
use petit_tests::process::Program;
use petit_tests::service::Service;
use serde_json::{Value, json};

/// The names of the clients that a listing has.
async fn listed(server: &Program, more: &[&str]) -> Vec<Value> {
    let said = server.run([&["clients", "list", "--json"], more].concat()).await.ok();
    said.json()["clients"].as_array().unwrap().clone()
}

/// A client that has registered with an invite.
async fn registered(server: &Program, service: &Service, invite: &[&str]) -> Program {
    let client = Program::client();
    std::fs::write(client.config(), client_config(&[("web", service.address(), "http")])).unwrap();
    client.run_with(["register", "--share", "web"], &server.invite(invite).await).await.ok();
    client
}

#[tokio::test]
async fn clients_have_the_tags_and_the_note_of_their_invite_and_an_operator_changes_and_finds_them() {
    let server = Program::server().await;
    let running = server.up().await;
    let service = Service::http("s").await;
    let _one = registered(&server, &service, &["--tag", "pilot", "--tag", "eu", "--note", "Beta Ltd"]).await;
    let _other = registered(&server, &service, &["--tag", "eu"]).await;
    let invites = server.run(["invite", "--list", "--tag", "pilot", "--json"]).await.ok().json();
    assert_eq!(invites["invites"].as_array().unwrap().len(), 1, "{invites}");
    assert_eq!(invites["invites"][0]["tags"], json!(["eu", "pilot"]));
    assert_eq!(listed(&server, &["--tag", "eu"]).await.len(), 2);
    let pilots = listed(&server, &["--tag", "eu", "--tag", "pilot"]).await;
    assert_eq!(pilots.len(), 1, "{pilots:?}");
    assert_eq!((&pilots[0]["tags"], &pilots[0]["note"]), (&json!(["eu", "pilot"]), &json!("Beta Ltd")));

    let id = pilots[0]["id"].as_str().unwrap();
    let said = server.run(["clients", "tag", id, "gold", "eu"]).await.ok();
    assert!(said.out.contains("has the tags eu gold pilot, and the note \"Beta Ltd\""), "{said:?}");
    let said = server.run(["clients", "untag", id, "pilot", "--json"]).await.ok().json();
    assert_eq!(said, json!({ "client": id, "tags": ["eu", "gold"], "note": "Beta Ltd" }));
    server.run(["clients", "note", id, "moves in May"]).await.ok();
    assert!(listed(&server, &["--tag", "pilot"]).await.is_empty());
    let list = server.run(["clients", "list"]).await.ok().out;
    assert!(list.contains("TAGS") && list.contains("eu gold") && list.contains("(moves in May)"), "{list}");
    let shown = server.run(["clients", "show", id]).await.ok().out;
    assert!(shown.contains("tags         eu gold\n"), "{shown}");
    let log = server.run(["audit", "list", "--json"]).await.ok().json();
    let last = log["changes"].as_array().unwrap().last().unwrap().clone();
    assert_eq!((&last["kind"], &last["actor"]), (&json!("client-labelled"), &json!("operator")));
    assert_eq!((&last["subject"], &last["body"]["note"]), (&json!(id), &json!("moves in May")));

    // What is wrong is said, and changes nothing.
    let long = "x".repeat(201);
    for wrong in [&["clients", "tag", id, "No Tag"][..], &["clients", "note", id, &long]] {
        let said = server.run(wrong).await;
        assert_eq!(said.exit, 2, "{said:?}");
    }
    let many: Vec<String> = (0..15).map(|number| format!("tag-{number}")).collect();
    let many: Vec<&str> =
        [&["clients", "tag", id], many.iter().map(String::as_str).collect::<Vec<_>>().as_slice()].concat();
    let said = server.run(&many).await;
    assert!(said.exit == 1 && said.err.contains("has 16 tags at most, and would have 17"), "{said:?}");
    assert_eq!(server.run(["clients", "tag", "nobody", "eu"]).await.exit, 1);
    assert_eq!(listed(&server, &["--tag", "gold"]).await[0]["tags"], json!(["eu", "gold"]));

    // Without a server, and after it.
    server.run(["stop"]).await.ok();
    running.exit().await;
    server.run(["clients", "note", id, ""]).await.ok();
    let gold = listed(&server, &["--tag", "gold"]).await;
    assert_eq!((&gold[0]["note"], &gold[0]["tags"]), (&json!(""), &json!(["eu", "gold"])));
    server.run(["audit", "verify"]).await.ok();
}
