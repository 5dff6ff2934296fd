//! Files that released versions have written, and the programs of today.

use petit_tests::process::Program;
use serde_json::Value;

/// What version 0.1.0 has written; the file's own test says what is in it.
const REGISTRY: &[u8] = include_bytes!("fixtures/registry-form-1.db");

fn texts(value: &Value, list: &str, name: &str) -> Vec<String> {
    let list = value[list].as_array().unwrap();
    list.iter().map(|one| one[name].as_str().unwrap_or_default().to_owned()).collect()
}

#[tokio::test]
async fn a_registry_of_version_0_1_0_is_served_looked_at_and_backed_up() {
    let server = Program::server().await;
    std::fs::write(server.dir().join("registry.db"), REGISTRY).unwrap();
    let running = server.up().await;
    let status = server.status().await;
    let mut names = texts(&status, "clients", "name");
    names.sort();
    assert_eq!(names, ["Ben, in the shop", "vm", "vm", "vm", "vm"]);
    let aliases = server.run(["alias", "list", "--json"]).await.ok().json();
    assert_eq!(texts(&aliases, "aliases", "alias"), ["acme", "shop.acme.example"]);
    let invites = server.run(["invite", "--list", "--json"]).await.ok().json();
    assert_eq!(texts(&invites, "invites", "state").iter().filter(|state| *state == "used").count(), 5);
    for name in ["okykx2e2v7qlh2xbtgzjhncigm", "7a7yh7o7lhcthar4", "acme"] {
        let shown = server.run(["clients", "show", name, "--json"]).await.ok().json();
        assert_eq!(shown["services"].as_array().unwrap().len(), 2, "{name}");
    }
    server.run(["addalias", "sedrt7fo7yj6fk32", "newer"]).await.ok();
    let backup = server.dir().join("backup");
    server.run(["backup", backup.to_str().unwrap()]).await.ok();
    server.run(["stop"]).await.ok();
    running.exit().await;

    let said = server.run(["restore", backup.to_str().unwrap()]).await.ok();
    assert!(said.out.contains("3 clients with 4 services"), "{said:?}");
    let aliases = server.run(["alias", "list", "--json"]).await.ok().json();
    assert_eq!(texts(&aliases, "aliases", "alias"), ["acme", "shop.acme.example", "newer"]);
}
