//! What an operator sees of clients: which customer each is, and where it stands.

use petit_tests::bed::client_config;
use petit_tests::process::Program;
use petit_tests::service::Service;

#[tokio::test]
async fn a_client_is_shown_with_the_note_of_its_invite() {
    let server = Program::server().await;
    let _server = server.up().await;
    let service = Service::http("s").await;
    let client = Program::client();
    std::fs::write(client.config(), client_config(&[("web", service.address(), "http")])).unwrap();
    client.run_with(["register"], &server.invite(["--note", "Beta Ltd"]).await).await.ok();
    let _client = client.up().await;
    client.until_green().await;
    let listed = server.run(["clients", "list", "--json"]).await.ok().json()["clients"][0].clone();
    assert_eq!(listed["note"], "Beta Ltd");
    let id = listed["id"].as_str().unwrap();
    let shown = server.run(["clients", "show", id, "--json"]).await.ok().json();
    assert_eq!(shown["note"], "Beta Ltd");
    for arguments in [vec!["status"], vec!["clients", "list"], vec!["clients", "show", id]] {
        let said = server.run(&arguments).await.ok().out;
        assert!(said.contains("Beta Ltd"), "{arguments:?}: {said}");
    }

    // Another registration has a note of its own.
    client.run(["stop"]).await.ok();
    let again = ["register", "--replace", "--share", "web"];
    client.run_with(again, &server.invite(["--note", "Beta GmbH"]).await).await.ok();
    let clients = server.run(["clients", "list", "--json"]).await.ok().json();
    let notes: Vec<&str> =
        clients["clients"].as_array().unwrap().iter().map(|it| it["note"].as_str().unwrap()).collect();
    assert!(notes.contains(&"Beta GmbH"), "{notes:?}");
}

#[tokio::test]
async fn a_service_that_its_client_does_not_offer_is_not_called_away() {
    let server = Program::server().await;
    let _server = server.up().await;
    let service = Service::http("s").await;
    let client = Program::client();
    let both = [("web", service.address(), "http"), ("db", service.address(), "tcp")];
    std::fs::write(client.config(), client_config(&both)).unwrap();
    client.run_with(["register"], &server.invite([""; 0]).await).await.ok();
    let running = client.up().await;
    client.until_green().await;
    let line = async |service: &str| {
        let said = server.run(["status"]).await.ok().out;
        let is_it = |line: &&str| line.split_whitespace().nth(2) == Some(service);
        said.lines().find(is_it).unwrap_or_else(|| panic!("no line for {service} in {said}")).to_owned()
    };
    assert!(line("db").await.contains("tcp://127.0.0.1:"), "its port: {}", line("db").await);
    client.run(["service", "remove", "db"]).await.ok();
    let left = line("db").await;
    assert!(left.starts_with('+') && left.contains("not offered") && !left.contains("tcp://"), "{left}");
    assert!(line("web").await.contains(" up "), "{}", line("web").await);
    running.kill().await;
    let away = line("web").await;
    assert!(away.starts_with('-') && away.contains(" away "), "{away}");
}
