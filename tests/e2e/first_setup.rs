//! An operator's first `init`, and the one after it.

use petit_tests::bed::client_config;
use petit_tests::process::Program;
use petit_tests::service::Service;

const FOR_CUSTOMERS: [&str; 5] = ["init", "--endpoint", "https://REGID.example.com", "--port", "443"];

#[tokio::test]
async fn a_server_that_was_tried_on_one_machine_gets_its_domain_by_what_init_says() {
    let server = Program::uninitialised_server();
    let tried = server.run(["init"]).await.ok().out;
    assert!(tried.contains("This server is for this machine alone, to try it"), "{tried}");
    let said = "petit-server init --endpoint https://REGID.example.com --port 443 --replace\n";
    assert!(tried.contains(said), "{tried}");
    let key = server.run(["init", "--json"]).await.ok().json()["fingerprint"].clone();
    server.run(["key", "create", "billing"]).await.ok();
    let (policies, before) = (server.run(["policy", "list"]).await.ok().out, config(&server));

    // Without being told so it replaces nothing, and says how it does.
    let refused = server.run(FOR_CUSTOMERS).await;
    assert!(refused.exit == 1 && refused.err.contains("it was not changed"), "{refused:?}");
    assert!(refused.err.contains("for http://REGID.localhost:8090 and port 8453"), "{refused:?}");
    assert!(refused.err.contains("type the same with --replace"), "{refused:?}");
    assert_eq!(config(&server), before);

    // An invite alone keeps nothing from it.
    server.run(["invite"]).await.ok();
    let said = server.run(FOR_CUSTOMERS.iter().chain(&["--replace"])).await.ok().out;
    let kept = server.dir().join("config.last-good.toml");
    assert!(said.contains(&format!("(changed; the one before is {})", kept.display())), "{said}");
    assert!(said.contains("Lead all names *.example.com to this computer"), "{said}");
    assert!(!said.contains("Petit-Key") && !said.contains("for this machine alone"), "{said}");
    assert_eq!(std::fs::read_to_string(kept).unwrap(), before);
    let now = config(&server);
    assert!(now.contains("\nendpoint = \"https://REGID.example.com\"\n"), "{now}");
    assert!(now.contains("\nsecure_proxy_port = 443\n"), "{now}");

    // Again it is no other than without; what was there before is.
    for again in [&FOR_CUSTOMERS[..], &[&FOR_CUSTOMERS[..], &["--replace"]].concat()] {
        let again = server.run([again, &["--json"]].concat()).await.ok().json();
        assert_eq!(again["fingerprint"], key);
        assert_eq!(
            (&again["config_made"], &again["config_before"]),
            (&false.into(), &serde_json::Value::Null)
        );
    }
    assert_eq!(server.run(["policy", "list"]).await.ok().out, policies);
}

#[tokio::test]
async fn a_server_that_clients_have_registered_with_keeps_its_addresses() {
    let server = Program::server().await;
    let service = Service::http("s").await;
    let client = Program::client();
    std::fs::write(client.config(), client_config(&[("web", service.address(), "http")])).unwrap();
    let running = server.up().await;
    client.run_with(["register"], &server.invite([""; 0]).await).await.ok();
    let before = config(&server);
    let refuses = async || {
        let said = server.run(FOR_CUSTOMERS.iter().chain(&["--replace"])).await;
        let problem = "clients have registered with this server (1), so it was not changed";
        assert!(said.exit == 1 && said.err.contains(problem), "{said:?}");
        assert_eq!(config(&server), before);
        assert!(!server.dir().join("config.last-good.toml").exists());
    };
    refuses().await;
    client.run(["unregister", "--yes"]).await.ok();
    refuses().await;
    server.run(["stop"]).await.ok();
    running.exit().await;
    refuses().await;
}

/// What is lost is not taken for what nobody has used.
#[tokio::test]
async fn a_server_whose_registry_or_key_is_lost_is_not_taken_for_a_new_one() {
    let server = Program::uninitialised_server();
    server.run(["init"]).await.ok();
    server.run(["invite"]).await.ok();
    let before = config(&server);
    for lost in ["registry.db", "server.key"] {
        let (here, away) = (server.dir().join(lost), server.dir().join("away"));
        std::fs::rename(&here, &away).unwrap();
        let said = server.run(FOR_CUSTOMERS.iter().chain(&["--replace"])).await;
        assert!(said.exit == 1 && said.err.contains(lost), "{said:?}");
        assert_eq!(config(&server), before);
        std::fs::rename(&away, &here).unwrap();
    }
}

fn config(server: &Program) -> String {
    std::fs::read_to_string(server.config()).unwrap()
}
