//! Services that are not offered any more: the server keeps their addresses, and says so.

use petit_tests::bed::server_config;
use petit_tests::process::Program;
use petit_tests::service::Service;

#[tokio::test]
async fn kept_addresses_are_listed_and_named_when_there_is_no_room() {
    let server = Program::server_with(&server_config("max_services = 2")).await;
    let _server = server.up().await;
    let service = Service::http("s").await;
    let target = service.address().to_string();
    let client = Program::client();
    let register = ["register", "--key-store", "file", "--service", &target];
    client.run_with(register, &server.invite([""; 0]).await).await.ok();
    let _client = client.up().await;
    client.until_green().await;
    let said = client.run(["service", "add", "old", &target]).await.ok();
    assert!(said.out.contains("It is offered now at http://"), "{said:?}");

    // Removed from the config, but not from the server.
    let said = client.run(["service", "remove", "old"]).await.ok();
    assert!(said.out.contains("petit-client unregister --service old"), "{said:?}");
    let list = client.run(["service", "list"]).await.ok().out;
    assert!(list.contains("old") && list.contains("not offered; its address is kept ("), "{list}");
    let said = client.run(["service", "remove", "old"]).await;
    assert!(said.exit == 1 && said.err.contains("its public address is kept for it"), "{said:?}");

    // One too many is not called a success, and what takes the room is named.
    let said = client.run(["service", "add", "new", &target]).await;
    assert_eq!(said.exit, 5, "{said:?}");
    assert!(said.err.contains("the server allows no further service"), "{said:?}");
    assert!(said.err.contains("not offered any more: old"), "{said:?}");
    let status = client.run(["status"]).await.ok().out;
    assert!(status.contains("not offered any more: old"), "{status}");
    let said = client.run(["ping", "-t", "new"]).await;
    assert!(said.exit == 1 && said.out.contains("the server allows no further service"), "{said:?}");
    let said = client.run(["doctor"]).await;
    assert!(said.exit == 1 && said.out.contains("✘ service new at the server"), "{said:?}");

    // Freeing one is enough.
    client.run(["unregister", "--yes", "--service", "old"]).await.ok();
    let green = |status: &serde_json::Value| status["services"][1]["light"] == "green";
    let status = client.until("the new service to work", green).await;
    assert_eq!(status["kept"], serde_json::json!([]));
}

#[tokio::test]
async fn room_that_the_operator_makes_is_found_by_a_reload() {
    let server = Program::server_with(&server_config("max_services = 1")).await;
    let _server = server.up().await;
    let service = Service::http("s").await;
    let target = service.address().to_string();
    let client = Program::client();
    let register = ["register", "--key-store", "file", "--service", &target];
    client.run_with(register, &server.invite([""; 0]).await).await.ok();
    let _client = client.up().await;
    client.until_green().await;
    assert_eq!(client.run(["service", "add", "new", &target]).await.exit, 5);
    std::fs::write(server.config(), server_config("max_services = 2")).unwrap();
    server.run(["reload"]).await.ok();
    client.run(["reload"]).await.ok();
    client.until("the new service to work", |status| status["services"][1]["light"] == "green").await;
}

#[tokio::test]
async fn a_new_name_of_the_computer_reaches_the_vendor_at_once() {
    let server = Program::server().await;
    let _server = server.up().await;
    let client = Program::client();
    client.run_with(["register", "--key-store", "file"], &server.invite([""; 0]).await).await.ok();
    let _client = client.up().await;
    client.until("a connection", |status| status["connection"]["state"] == "online").await;
    let config = std::fs::read_to_string(client.config()).unwrap();
    let named = config.replace("[client]\n", "[client]\nname = \"Front desk\"\nhost = \"other.example\"\n");
    std::fs::write(client.config(), named).unwrap();
    let said = client.run(["reload"]).await.ok();
    assert!(said.out.contains("note: host = \"other.example\" counts for the next registration"), "{said:?}");
    assert!(client.run(["config", "check"]).await.ok().out.contains("counts for the next registration"));
    petit_tests::soon("the name at the server", async {
        loop {
            let clients = server.run(["clients", "list", "--json"]).await.ok().json();
            if clients["clients"][0]["name"] == "Front desk" {
                return;
            }
        }
    })
    .await;
}
