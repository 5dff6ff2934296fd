//! Ports of raw TCP services that are open on the server's own machine only.

use petit_tests::bed::{client_config, server_config_under};
use petit_tests::process::Program;
use petit_tests::service::Service;

#[tokio::test]
async fn a_port_that_only_the_servers_machine_reaches_is_no_public_address() {
    // As a server has it that nobody has told where raw TCP services listen.
    let config = |more: &str| server_config_under("nowhere.test", more);
    let server = Program::server_with(&config("")).await;
    let _running = server.up().await;
    // The names of this server lead nowhere, so clients come by its address.
    let tls = server.status().await["tls"].as_str().unwrap().to_owned();
    std::fs::write(server.config(), config(&format!("tunnel_address = \"{tls}\""))).unwrap();
    server.run(["reload"]).await.ok();
    let service = Service::http("s").await;
    let client = Program::client();
    std::fs::write(client.config(), client_config(&[("db", service.address(), "tcp")])).unwrap();
    client.run_with(["register"], &server.invite(["--service-name", "db"]).await).await.ok();
    let _client = client.up().await;
    let is_tried = |status: &serde_json::Value| !status["services"][0]["proved"].is_null();
    let status =
        client.until("a light", |status| is_tried(status) && status["services"][0]["light"] != "checking");
    let status = status.await;
    assert_eq!(status["services"][0]["light"], "up_to_server", "{status}");
    let said = client.run(["status"]).await.ok().out;
    // Read here, the address alone would be one of this computer.
    let address = status["services"][0]["url"].as_str().unwrap();
    let shown = format!("→ {address} on the server's own machine\n");
    assert!(said.contains("◐ db") && said.contains(&shown), "{said}");
    let listed = client.run(["service", "list"]).await.ok().out;
    assert!(listed.contains(&format!("{address} on the server's own machine")), "{listed}");
    let only = "not tried, because only programs on the server's own machine reach it";
    assert!(said.contains("works up to the server, where its port is open") && said.contains(only), "{said}");
    for command in ["ping", "doctor"] {
        let said = client.run([command]).await;
        assert!(said.out.contains(only), "{command}: {said:?}");
    }
    let id = status["registered"]["device"].as_str().unwrap();
    let said = server.run(["clients", "show", id]).await.ok().out;
    assert!(said.contains("only this machine reaches it: see tcp_bind"), "{said}");
    // Its client away, it is still no name: the port of this server is one that the system has chosen.
    client.run(["stop"]).await.ok();
    let said = server.run(["clients", "show", id]).await.ok().out;
    assert!(said.contains("tcp://127.0.0.1:") && !said.contains(".nowhere.test"), "{said}");
}
