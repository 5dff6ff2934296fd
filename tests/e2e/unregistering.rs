//! Registrations and addresses that are given up: never by accident, never halfway, and always in the end.

use petit_tests::bed::{client_config, server_config};
use petit_tests::chaos::{Chaos, Direction, Flow, Trouble};
use petit_tests::process::{Program, Running};
use petit_tests::service::Service;
use petit_tests::soon;
use serde_json::Value;

/// A client that offers `web`, connected to a server, with the processes of both.
async fn connected(service: &Service) -> (Program, Running, Program, Running) {
    let server = Program::server().await;
    let running = server.up().await;
    let client = Program::client();
    std::fs::write(client.config(), client_config(&[("web", service.address(), "http")])).unwrap();
    client.run_with(["register"], &server.invite([""; 0]).await).await.ok();
    let tunnel = client.up().await;
    client.until_green().await;
    (server, running, client, tunnel)
}

fn is_away(status: &Value) -> bool {
    status["connection"]["state"] != "online"
}

#[tokio::test]
async fn what_is_gone_for_good_is_not_given_up_without_being_asked_for() {
    let service = Service::http("s").await;
    let (_server, _running, client, _tunnel) = connected(&service).await;
    for arguments in
        [vec!["unregister"], vec!["unregister", "--service", "web"], vec!["unregister", "--local"]]
    {
        let said = client.run(&arguments).await;
        assert_eq!(said.exit, 2, "{said:?}");
        assert!(said.err.contains("for good") && said.err.contains("add --yes"), "{said:?}");
    }
    let mut terminal = client.on_a_terminal(["unregister", "--service", "web"]);
    terminal.until("gives up the public address of \"web\" for good. Type yes to go on: ").await;
    terminal.type_line("no").await;
    let (exit, shown) = terminal.end().await;
    assert!(exit == 1 && shown.contains("nothing was changed"), "{shown}");
    client.until_green().await;
}

#[tokio::test]
async fn a_revoked_client_gets_out_by_the_way_it_is_told() {
    let service = Service::http("s").await;
    let (server, _running, client, _tunnel) = connected(&service).await;
    let clients = server.run(["clients", "list", "--json"]).await.ok().json();
    server.run(["clients", "revoke", "--yes", clients["clients"][0]["id"].as_str().unwrap()]).await.ok();
    client.until("the revocation", |status| status["connection"]["cause"] == "unknown").await;
    let status = client.run(["status"]).await.ok().out;
    assert!(status.contains("then: petit-client unregister --local, petit-client register"), "{status}");
    client.run(["unregister", "--local", "--yes"]).await.ok();
    client.run_with(["register"], &server.invite([""; 0]).await).await.ok();
    client.run(["start"]).await.ok();
    client.until_green().await;

    // Where there is nothing to give back, giving back is no trouble.
    let clients = server.run(["clients", "list", "--json"]).await.ok().json();
    server.run(["clients", "revoke", "--yes", clients["clients"][0]["id"].as_str().unwrap()]).await.ok();
    client.until("the revocation", |status| status["connection"]["cause"] == "unknown").await;
    let said = client.run(["unregister", "--yes"]).await.ok();
    assert!(said.out.contains("does not know this computer any more"), "{said:?}");
    assert_eq!(client.run(["status"]).await.exit, 4);
}

#[tokio::test]
async fn a_revoked_client_that_does_not_run_can_be_unregistered_too() {
    let service = Service::http("s").await;
    let (server, _running, client, tunnel) = connected(&service).await;
    client.run(["stop"]).await.ok();
    assert_eq!(tunnel.exit().await, 0);
    let clients = server.run(["clients", "list", "--json"]).await.ok().json();
    server.run(["clients", "revoke", "--yes", clients["clients"][0]["id"].as_str().unwrap()]).await.ok();
    client.run(["unregister", "--yes"]).await.ok();
    assert_eq!(client.run(["status"]).await.exit, 4);
}

#[tokio::test]
async fn evict_does_all_of_it_or_nothing_and_can_be_repeated() {
    let service = Service::http("s").await;
    let (server, running, client, _tunnel) = connected(&service).await;
    let target = service.address().to_string();
    client.run(["service", "add", "web2", &target]).await.ok();
    let id = |status: &Value| status["services"][1]["id"].as_str().map(str::to_owned);
    let status = client.until("a second address", |status| id(status).is_some()).await;
    let second = id(&status).unwrap();

    // Without the server nothing is half done. It will come back on the same port.
    let tls = server.status().await["tls"].as_str().unwrap().rsplit(':').next().unwrap().to_owned();
    let config = std::fs::read_to_string(server.config()).unwrap();
    let fixed = config.replace("secure_proxy_port = 0", &format!("secure_proxy_port = {tls}"));
    std::fs::write(server.config(), fixed).unwrap();
    running.kill().await;
    client.until("the server to be gone", is_away).await;
    let said = client.run(["evict", "-t", "web2"]).await;
    assert!(said.exit == 1 && said.err.contains("nothing was changed"), "{said:?}");
    assert!(std::fs::read_to_string(client.config()).unwrap().contains("web2"));
    // The addresses are known all the while.
    let status = client.run(["status"]).await.ok().out;
    assert!(status.contains(&format!("http://{second}.localhost")), "{status}");
    assert!(!status.contains("no address yet"), "{status}");

    let _running = server.up().await;
    client.until("the server to be back", |status| !is_away(status) && id(status).is_some()).await;
    // What was removed halfway, long ago, is found by its ID and by its name.
    client.run(["service", "remove", "web2"]).await.ok();
    let said = client.run(["evict", "-r", &second]).await.ok();
    assert!(said.out.contains("its public address was given back"), "{said:?}");
    let said = client.run(["evict", "-t", "web2"]).await;
    assert!(said.exit == 1 && said.err.contains("no such service"), "{said:?}");
    let list = client.run(["service", "list", "--json"]).await.ok().json();
    assert_eq!(list["kept"], serde_json::json!([]));
}

#[tokio::test]
async fn a_registration_that_begins_anew_finds_its_service_set_up() {
    let service = Service::http("s").await;
    let (server, _running, client, _tunnel) = connected(&service).await;
    client.run(["unregister", "--yes"]).await.ok();
    let target = service.address().to_string();
    let again = ["register", "--service", &target];
    client.run_with(again, &server.invite([""; 0]).await).await.ok();
    client.run(["unregister", "--yes"]).await.ok();
    let said = client.run_with(["register", "--service", "localhost:9"], &server.invite([""; 0]).await).await;
    assert!(said.exit == 1 && said.err.contains("it was left as it is"), "{said:?}");
}

#[tokio::test]
async fn an_end_that_the_server_has_heard_of_is_one_also_when_its_answer_is_lost() {
    let service = Service::http("s").await;
    let chaos = Chaos::before("127.0.0.1:1".parse().unwrap()).await;
    let config = server_config(&format!("tunnel_address = \"localhost:{}\"", chaos.address().port()));
    let server = Program::server_with(&config).await;
    let _running = server.up().await;
    chaos.retarget(server.status().await["tls"].as_str().unwrap().parse().unwrap());
    let client = Program::client();
    std::fs::write(client.config(), client_config(&[("web", service.address(), "http")])).unwrap();
    client.run_with(["register"], &server.invite([""; 0]).await).await.ok();
    let tunnel = client.up().await;
    client.until("a session", |status| !is_away(status)).await;

    chaos.set(Direction::Back, Trouble::flow(Flow::Lost));
    let unregistering = client.spawn(["unregister", "--yes"]);
    soon("the server to have heard of it", async {
        while server.run(["clients", "list", "--json"]).await.ok().json()["clients"] != Value::Array(vec![]) {
        }
    })
    .await;
    chaos.heal();
    chaos.cut();
    assert_eq!(unregistering.exit().await, 0);
    drop(tunnel);
    assert_eq!(client.run(["status"]).await.exit, 4);
}
