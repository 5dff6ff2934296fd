//! Every verb of both programs, as a process, with its exit code.

use petit_tests::bed::client_config;
use petit_tests::process::{Program, Said};
use petit_tests::service::Service;
use petit_tests::soon;
use serde_json::Value;

fn exits(said: Said, code: i32, text: &str) -> Said {
    assert_eq!(said.exit, code, "{said:?}");
    let all = format!("{}{}", said.out, said.err);
    assert!(all.contains(text), "expected {text:?} in {said:?}");
    said
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "a line for each verb")]
async fn every_verb_of_the_server() {
    let server = Program::server().await;
    exits(server.run(["init"]).await, 0, "there already");
    exits(server.run(["init", "--endpoint", "https://REGID.example.com"]).await, 1, "was not changed");
    exits(server.run(["init", "--certificates", "/certs"]).await, 1, "was not changed");
    exits(server.run(["config", "check"]).await, 0, "is fine");
    exits(server.run(["config", "path"]).await, 0, "the default place");
    let shown = server.run(["config", "show"]).await;
    for line in [
        "max_services = 16",
        "# default; a change needs a reload",
        "[server.limits]",
        "requests = 8192",
        "# file; ",
    ] {
        exits(shown.clone(), 0, line);
    }
    exits(server.run(["version"]).await, 0, "petit-server 0.1.0");
    exits(server.run(["completion", "bash"]).await, 0, "petit-server");
    for verb in ["status", "stop", "reload"] {
        exits(server.run([verb]).await, 3, "start it with: petit-server start");
    }
    exits(server.run(["log", "debug"]).await, 3, "petit-server is not running");
    // These work on the registry while no server runs.
    exits(server.run(["clients", "list"]).await, 0, "petit-server invite");
    exits(server.run(["alias", "list"]).await, 0, "No aliases");
    exits(server.run(["invite", "--list"]).await, 0, "No invites");
    exits(server.run(["invite"]).await, 3, "the port is chosen when the server starts");
    exits(server.run(["explain", "http://x.localhost/"]).await, 0, "404 with Petit-Error: unknown-service");

    exits(server.run(["start"]).await, 0, "The server is running");
    exits(server.run(["start"]).await, 1, "a server is running already");
    exits(server.run(["run"]).await, 1, "a server is running already");
    let said = exits(server.run(["status"]).await, 0, "No clients yet");
    assert!(said.out.contains("logs/server.log"), "{said:?}");
    exits(server.run(["log", "debug"]).await, 0, "debug");
    exits(server.run(["log", "loud"]).await, 2, "error, warn, info");
    exits(server.run(["reload"]).await, 0, "is in force");
    let said =
        exits(server.run(["invite", "--alias", "acme", "--expires", "2h", "--qr"]).await, 0, "/enroll#v1.");
    assert!(said.out.contains("▀") && said.out.contains("within 2 h"), "{}", said.out);
    exits(server.run(["invite", "--expires", "7d"]).await, 0, "within 7 days");
    exits(server.run(["invite", "--expires", "8d"]).await, 2, "between one minute and 7 days");
    exits(server.run(["invite", "--expires", "soon"]).await, 2, "expected a time such as 30m, 4h or 3days");
    exits(server.run(["invite", "--alias", "www"]).await, 2, "reserved");
    exits(server.run(["invite", "--alias", "acme"]).await, 1, "is promised to invite");
    let list = server.run(["invite", "--list", "--json"]).await.ok().json();
    let invites = list["invites"].as_array().unwrap();
    let acme = invites.iter().find(|invite| invite["alias"] == "acme").unwrap();
    let id = acme["id"].as_str().unwrap().to_owned();
    exits(server.run(["invite", "--withdraw", &id]).await, 0, "can no longer be used");
    exits(server.run(["invite", "--withdraw", &id]).await, 1, "no such invite");

    // A client, to have something to look at.
    let service = Service::http("s").await;
    let client = Program::client();
    std::fs::write(client.config(), client_config(&[("web", service.address(), "http")])).unwrap();
    client.run_with(["register"], &server.invite(["--service-name", "web"]).await).await.ok();
    let _client = client.up().await;
    let id = client.until_green().await["services"][0]["id"].as_str().unwrap().to_owned();
    exits(server.run(["status"]).await, 0, &id);
    exits(server.run(["status", &id]).await, 0, "online       for");
    exits(server.run(["addalias", &id, "acme"]).await, 0, "http://acme.localhost");
    exits(server.run(["addalias", &id, "x.localhost"]).await, 2, "lies under localhost");
    exits(
        server.run(["addalias", "abc", "acme"]).await,
        2,
        "a registered ID has 16 characters, this one has 3",
    );
    exits(server.run(["alias", "list"]).await, 0, "acme");
    exits(server.run(["clients", "show", "acme"]).await, 0, &id);
    exits(server.run(["clients", "show", "nobody"]).await, 1, "no client has the ID or alias");
    exits(server.run(["explain", "acme.localhost"]).await, 0, "goes through the tunnel");
    exits(server.run(["removealias", "--yes", &id, "acme"]).await, 0, "no longer leads to");
    exits(server.run(["removealias", "--yes", &id, "acme"]).await, 1, "has no alias acme");
    let clients = server.run(["clients", "list", "--json"]).await.ok().json();
    let device = clients["clients"][0]["id"].as_str().unwrap().to_owned();
    assert_eq!(clients["clients"][0]["online"], true);
    exits(server.run(["clients", "revoke", "--yes", "acme"]).await, 2, "clients list");
    exits(server.run(["clients", "revoke", "--yes", &device]).await, 0, "is revoked");
    exits(server.run(["clients", "revoke", "--yes", &device]).await, 1, "no client is registered as");
    exits(server.run(["clients", "list"]).await, 0, "No clients");
    exits(server.run(["clients", "list", "--all"]).await, 0, "revoked");
    exits(server.run(["stop"]).await, 0, "has stopped");
    exits(server.run(["logs", "-n", "1"]).await, 0, "stopped");
    assert_eq!(server.run(["logs", "-n", "0"]).await.ok().out, "", "no lines were asked for");
    exits(server.run([""; 0]).await, 2, "Usage");
    exits(server.run(["frobnicate"]).await, 2, "unrecognized subcommand");
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "a line for each verb")]
async fn every_verb_of_the_client() {
    let server = Program::server().await;
    let _server = server.up().await;
    let service = Service::http("s").await;
    let client = Program::client();
    exits(client.run(["version"]).await, 0, "petit-client 0.1.0");
    exits(client.run(["completion", "zsh"]).await, 0, "petit-client");
    for verb in ["run", "start"] {
        exits(client.run([verb]).await, 4, "register it with: petit-client register");
    }
    exits(client.run(["stop"]).await, 3, "register it with: petit-client register");
    exits(client.run(["init"]).await, 0, "was made");
    exits(client.run(["init"]).await, 0, "there already");
    exits(client.run(["config", "path"]).await, 0, "the default place");
    exits(client.run(["config", "check"]).await, 0, "no service is set up");
    exits(client.run(["config", "show"]).await, 0, "key_store = \"keychain\"");
    exits(client.run(["status"]).await, 4, "petit-client register");
    exits(client.run(["start"]).await, 4, "register it with: petit-client register");
    exits(client.run(["run"]).await, 4, "is not registered");
    exits(client.run(["unregister", "--yes"]).await, 4, "is not registered");
    exits(client.run(["logs"]).await, 0, "There is no log yet");
    for verb in ["stop", "reload", "ping", "sping"] {
        exits(client.run([verb]).await, 3, "register it with: petit-client register");
    }
    exits(client.run(["check"]).await, 1, "✘ registration");
    exits(client.run(["doctor"]).await, 1, "→ petit-client register");

    // An invite is never taken from the command line, and wrong ones are told apart.
    let link = server.invite([""; 0]).await;
    let target = service.address().to_string();
    exits(client.run(["register", &link]).await, 2, "must not stand on the command line");
    exits(client.run_with(["register"], "hello").await, 1, "not a Petit invite");
    exits(client.run_with(["register"], &link[..link.len() - 5]).await, 1, "damaged");
    let file = client.dir().join("invite");
    std::fs::write(&file, &link).unwrap();
    let by_file =
        ["register", "--key-store", "file", "--service", &target, "--invite-file", file.to_str().unwrap()];
    let first = client.run(by_file).await.ok();
    assert!(first.out.contains("will be reachable at http://"), "{first:?}");
    assert_eq!(client.run(by_file).await.ok().out, first.out, "the same invite leads to the same answer");
    std::fs::write(&file, server.invite([""; 0]).await).unwrap();
    exits(client.run(by_file).await, 1, "already");
    exits(client.run(["config", "show"]).await, 0, "key_store = \"file\"");
    exits(client.run(["status"]).await, 3, "petit-client start");
    exits(client.run(["ping"]).await, 3, "start it with: petit-client start");

    exits(client.run(["start"]).await, 0, "The client is running");
    exits(client.run(["start"]).await, 1, "running already");
    client.until_green().await;
    exits(client.run(["status"]).await, 0, "works end to end");
    exits(client.run(["ping"]).await, 0, "client to service");
    exits(client.run(["sping", "-t", "web"]).await, 0, "public front");
    exits(client.run(["ping", "--service", "nope"]).await, 1, "no such service");
    exits(client.run(["check"]).await, 0, "✔ service web");
    exits(client.run(["doctor"]).await, 0, "All is well.");
    exits(client.run(["log", "debug"]).await, 0, "debug");
    exits(client.run(["reload"]).await, 0, "in force");
    exits(client.run(["logs", "-n", "5"]).await, 0, "INFO");
    exits(client.run(["service", "list"]).await, 0, "works end to end");
    exits(client.run(["tenants"]).await, 0, "web");

    // More services, by the new names and the original's.
    exits(client.run(["service", "add", "api", &target]).await, 0, "It is offered now");
    exits(client.run(["service", "add", "api", &target]).await, 1, "already");
    exits(client.run(["service", "add", "x", "nonsense"]).await, 2, "write it as localhost:3000");
    let port = service.address().port().to_string();
    exits(client.run(["lease", "-l", "127.0.0.1", "-p", &port, "-t", "old"]).await, 0, "old");
    let all_green = |status: &Value| {
        let services = status["services"].as_array().unwrap();
        services.len() == 3 && services.iter().all(|service| service["light"] == "green")
    };
    client.until("three green lights", all_green).await;
    exits(client.run(["service", "remove", "api"]).await, 0, "no longer offered");
    exits(client.run(["service", "remove", "api"]).await, 1, "unregister --service api");
    exits(client.run(["unregister", "--yes", "--service", "api"]).await, 0, "was given back");
    exits(client.run(["evict", "-t", "old"]).await, 0, "was given back");
    exits(client.run(["unregister", "--yes", "--service", "nope"]).await, 1, "no such service");

    // What an editor leaves behind is checked before it is put in place.
    let editor = |script: &str| {
        let path = client.dir().join("editor");
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let edited = Program::client().env("EDITOR", &editor("echo '[client]\nnope = 1' > \"$1\""));
    exits(edited.run(["config", "edit"]).await, 1, "nothing was changed; what you wrote is in");
    let edited = edited.env("EDITOR", &editor("echo '[client]\nlog_level = \"warn\"' > \"$1\""));
    exits(edited.run(["config", "edit"]).await, 0, "is in place");
    exits(edited.run(["config", "show"]).await, 0, "log_level = \"warn\"");

    exits(client.run(["stop"]).await, 0, "has stopped");
    exits(client.run(["unregister", "--yes"]).await, 0, "was given back");
    exits(client.run(["status"]).await, 4, "Not registered");
    exits(client.run([""; 0]).await, 2, "Usage");
}

#[tokio::test]
async fn commands_at_the_same_time_lose_none_of_each_others_edits() {
    let client = Program::client();
    client.run(["init"]).await.ok();
    let names: Vec<String> = (0..8).map(|number| format!("s{number}")).collect();
    let adding = names.iter().map(|name| client.run(["service", "add", name, "localhost:1"]));
    for said in futures_util::future::join_all(adding).await {
        said.ok();
    }
    let list = client.run(["service", "list", "--json"]).await.ok().json();
    assert_eq!(list["services"].as_array().unwrap().len(), 8);
}

#[tokio::test]
async fn an_invite_on_the_command_line_is_refused_and_never_repeated() {
    let server = Program::server().await;
    let _server = server.up().await;
    let link = server.invite([""; 0]).await;
    let secret = link.split_once("#v1.").unwrap().1;
    let client = Program::client();
    for arguments in [vec!["register", &link], vec![&link], vec!["register", "--invite-file", &link]] {
        let said = exits(client.run(&arguments).await, 2, "must not stand on the command line");
        assert!(!said.err.contains(secret) && !said.out.contains(secret), "{said:?}");
    }
}

#[tokio::test]
async fn answers_in_json_are_json() {
    let server = Program::server().await;
    let _server = server.up().await;
    let client = Program::client();
    for arguments in
        [vec!["status"], vec!["config", "path"], vec!["doctor"], vec!["version"], vec!["logs"], vec!["stop"]]
    {
        let said = client.run([&arguments[..], &["--json"]].concat()).await;
        assert!(said.json().is_object(), "{arguments:?}: {said:?}");
        assert_eq!(said.err, "", "{arguments:?}");
    }
    let error = client.run(["stop", "--json"]).await.json();
    let hint = "this computer is not registered yet; register it with: petit-client register";
    assert_eq!(error["error"]["hint"], hint);
    assert_eq!(error["error"]["exit"], 3);
    for arguments in [
        vec!["status"],
        vec!["clients", "list"],
        vec!["alias", "list"],
        vec!["config", "show"],
        vec!["explain", "a.b"],
    ] {
        assert!(server.run([&arguments[..], &["--json"]].concat()).await.ok().json().is_object());
    }
}

#[tokio::test]
async fn signals_end_the_programs_in_an_orderly_way() {
    let server = Program::server().await;
    let running = server.up().await;
    running.signal("TERM").await;
    assert_eq!(running.exit().await, 0);
    let running = server.up().await;
    running.signal("INT").await;
    assert_eq!(running.exit().await, 130);
}

#[tokio::test]
async fn a_registration_that_cannot_reach_its_server_can_be_forgotten() {
    let server = Program::server().await;
    let running = server.up().await;
    let client = Program::client();
    let link = server.invite([""; 0]).await;
    client.run_with(["register", "--key-store", "file"], &link).await.ok();
    running.kill().await;
    exits(client.run(["doctor"]).await, 1, "the server does not run there");
    exits(client.run(["unregister", "--yes"]).await, 1, "petit-client unregister --local");
    exits(client.run(["unregister", "--yes", "--local"]).await, 0, "was not told");
    exits(client.run(["status"]).await, 4, "Not registered");
}

#[tokio::test]
async fn files_that_others_could_change_are_not_used() {
    use std::os::unix::fs::PermissionsExt;
    let server = Program::server().await;
    let _server = server.up().await;
    let client = Program::client();
    let link = server.invite([""; 0]).await;
    client.run_with(["register", "--key-store", "file"], &link).await.ok();
    let key = client.dir().join("device.key");
    let set = |path: &std::path::Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    set(&key, 0o644);
    exits(client.run(["start"]).await, 1, "chmod 600");
    set(&key, 0o600);
    set(&client.config(), 0o666);
    exits(client.run(["start"]).await, 1, "chmod go-w");
    set(&client.config(), 0o600);
    exits(client.run(["start"]).await, 0, "is running");
}

#[tokio::test]
async fn the_programs_run_in_the_foreground_and_log_where_it_is_seen() {
    let service = Service::http("s").await;
    let server = Program::server().await;
    let mut running = server.foreground(["run"]);
    running.until("listening").await;
    // Its socket is there a moment later.
    soon("the server to answer", async { while server.run(["status"]).await.exit != 0 {} }).await;
    let client = Program::client();
    std::fs::write(client.config(), client_config(&[("web", service.address(), "http")])).unwrap();
    client.run_with(["register"], &server.invite([""; 0]).await).await.ok();
    let mut tunnel = client.foreground(["run"]);
    tunnel.until("reachable").await;
    running.until("session welcomed").await;
    // What is logged is also in the file, and can be followed.
    let mut following = client.spawn(["logs", "-f", "-n", "100"]);
    while !following.line().await.unwrap().contains("online") {}
    client.run(["log", "debug"]).await.ok();
    while !following.line().await.unwrap().contains("log level changed") {}
    for process in [tunnel, running] {
        process.signal("INT").await;
        assert_eq!(process.exit().await, 130);
    }
}

#[tokio::test]
async fn an_invite_that_is_asked_for_is_not_shown() {
    let server = Program::server().await;
    let _server = server.up().await;
    let service = Service::http("s").await;
    let link = server.invite([""; 0]).await;
    let client = Program::client();
    let mut terminal = client.on_a_terminal(["register", "--key-store", "file"]);
    terminal.until("Paste the invite").await;
    terminal.type_line(&link).await;
    terminal.until("Its key    SHA256:").await;
    terminal.until("for another 60 min").await;
    terminal.until("If your vendor tells you other words, stop here. Go on? [Y/n]").await;
    terminal.type_line("").await;
    terminal.until("Where is the service \"web\"").await;
    terminal.type_line("nonsense").await;
    terminal.until("write it as localhost:3000").await;
    terminal.type_line(&service.address().port().to_string()).await;
    terminal.until("Next: petit-client start").await;
    let (exit, shown) = terminal.end().await;
    assert_eq!(exit, 0, "{shown}");
    let coded = link.split_once("#v1.").unwrap().1;
    assert!(!shown.contains(&coded[..20]) && !shown.contains(&coded[60..80]), "{shown}");
    let _client = client.up().await;
    client.until_green().await;
}

#[tokio::test]
async fn every_verb_has_help_with_an_example() {
    for program in [Program::client(), Program::server().await] {
        let help = program.run(["--help"]).await.ok().out;
        let verbs = help.split_once("Commands:").unwrap().1.split_once("Options:").unwrap().0;
        let verbs: Vec<&str> = verbs.lines().filter_map(|line| line.split_whitespace().next()).collect();
        assert!(verbs.len() > 12, "{verbs:?}");
        for verb in verbs.into_iter().filter(|verb| *verb != "help") {
            let help = program.run([verb, "--help"]).await.ok().out;
            assert!(help.contains("Example"), "{verb}: {help}");
        }
    }
}
