//! What only people at a terminal get: questions, colour, the time of day.

use petit_tests::process::Program;
use petit_tests::service::Service;

/// A server with one client, the client's ID and the one of its service.
async fn registered(service: &Service) -> (Program, petit_tests::process::Running, Program, String, String) {
    let (server, running, client) = crate::recover::processes(service).await;
    let clients = server.run(["clients", "list", "--json"]).await.ok().json();
    let text = |pointer: &str| clients.pointer(pointer).unwrap().as_str().unwrap().to_owned();
    let (device, id) = (text("/clients/0/id"), text("/clients/0/services/0/id"));
    (server, running, client, device, id)
}

#[tokio::test]
async fn what_cannot_be_undone_is_asked_about_on_a_terminal() {
    let service = Service::http("s").await;
    let (server, _running, _client, device, id) = registered(&service).await;
    server.run(["addalias", &id, "acme"]).await.ok();
    let is_there = async || server.run(["alias", "list"]).await.ok().out.contains("acme");

    let mut terminal = server.on_a_terminal(["removealias", &id, "acme"]);
    terminal.until("Acme leads nowhere then, and no other client can have it for 90 days. Type yes").await;
    terminal.type_line("y").await;
    let (exit, shown) = terminal.end().await;
    assert!(exit == 1 && shown.contains("nothing was changed"), "{shown}");
    assert!(is_there().await);
    let mut terminal = server.on_a_terminal(["removealias", &id, "acme"]);
    terminal.until("Type yes to go on").await;
    terminal.type_line("yes").await;
    assert_eq!(terminal.end().await.0, 0);
    assert!(!is_there().await);

    let is_registered = async || server.run(["clients", "list"]).await.ok().out.contains(&device);
    let mut terminal = server.on_a_terminal(["clients", "revoke", &device]);
    terminal.until("for good. Type yes to go on").await;
    terminal.type_line("").await;
    assert_eq!(terminal.end().await.0, 1);
    assert!(is_registered().await);
    // A script has nobody to ask, and whoever says so beforehand is not asked either.
    let (exit, shown) = server.on_a_terminal(["clients", "revoke", "--yes", &device]).end().await;
    assert!(exit == 0 && !shown.contains("Type yes"), "{shown}");
    assert!(!is_registered().await);
}

#[tokio::test]
async fn what_cannot_be_undone_has_to_be_said_beforehand_where_nobody_can_be_asked() {
    let service = Service::http("s").await;
    let (server, _running, _client, device, id) = registered(&service).await;
    server.run(["addalias", &id, "acme"]).await.ok();
    for command in [&["clients", "revoke", &device][..], &["removealias", &id, "acme"]] {
        for json in [None, Some("--json")] {
            let said = server.run(command.iter().copied().chain(json)).await;
            assert!(said.exit == 2 && format!("{said:?}").contains("add --yes"), "{said:?}");
        }
    }
    assert!(server.run(["alias", "list"]).await.ok().out.contains("acme"));
    assert!(server.run(["clients", "list"]).await.ok().out.contains(&device));

    // What is not there is said before anything is asked.
    let (other, unknown) = (&device, "aaaaaaaaaaaaaaaaaaaaaaaaaa");
    for (command, expected) in [
        (&["clients", "revoke", unknown][..], "no client"),
        (&["clients", "revoke", "acme"], other.as_str()),
        (&["removealias", &id, "other"], "has no alias other"),
    ] {
        let (exit, shown) = server.on_a_terminal(command.iter().copied()).end().await;
        let is_asked = shown.contains("Type yes");
        assert!(exit != 0 && !is_asked && shown.contains(expected), "{command:?}: {shown}");
    }
}

#[tokio::test]
async fn marks_have_colour_on_a_terminal_unless_somebody_does_not_want_it() {
    let service = Service::http("s").await;
    let (server, _running, client, ..) = registered(&service).await;
    let _client = client.up().await;
    client.until_green().await;
    let green = "\u{1b}[32m✔\u{1b}[0m web";
    let client = client.env("TERM", "xterm");
    let (_, shown) = client.on_a_terminal(["status"]).end().await;
    assert!(shown.contains(green), "{shown}");
    let said = client.run(["status"]).await.ok().out;
    assert!(said.contains("✔ web") && !said.contains('\u{1b}'), "{said}");
    let client = client.env("NO_COLOR", "1");
    let (_, shown) = client.on_a_terminal(["status"]).end().await;
    assert!(shown.contains("✔ web") && !shown.contains("\u{1b}[3"), "{shown}");
    let client = client.env("NO_COLOR", "").env("TERM", "dumb");
    let (_, shown) = client.on_a_terminal(["status"]).end().await;
    assert!(shown.contains("✔ web") && !shown.contains("\u{1b}[3"), "{shown}");
    let (_, shown) = server.env("TERM", "xterm").on_a_terminal(["status"]).end().await;
    assert!(shown.contains("\u{1b}[32m+\u{1b}[0m"), "{shown}");
}

#[tokio::test]
async fn a_status_that_is_watched_says_when_it_changed() {
    let service = Service::http("s").await;
    let (_server, _running, client, ..) = registered(&service).await;
    let _client = client.up().await;
    let mut watching = client.spawn(["status", "--watch"]);
    let line = watching.line().await.unwrap();
    let (time, rest) = line.split_once("  ").unwrap();
    let form: String = time.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    assert_eq!(form, "00:00:00", "{line}");
    assert!(rest.contains("localhost"), "{line}");
}
