//! Aliases and IDs in public host names, added and removed while requests run.

use petit_server::registry::Actor;
use petit_tests::bed::{Bed, BedClient};
use petit_tests::service::Service;
use petit_tests::visitor::host;

#[tokio::test]
async fn aliases_come_and_go_while_everything_runs() {
    let bed = Bed::start().await;
    let service = Service::http("s").await;
    let client = bed.client(&service).await;
    let visitor = bed.visitor();
    let directory = &bed.server.directory;
    for name in ["acme", "shop.acme.example"] {
        let host = if name.contains('.') { name.to_owned() } else { format!("{name}.localhost") };
        let before = if name.contains('.') { 421 } else { 404 };
        assert_eq!(visitor.get(&host, "/").await.status, before);
        directory.add_alias(client.id(), name.parse().unwrap(), false, Actor::Operator).await.unwrap();
        assert_eq!(visitor.get(&host, "/").await.text(), "s");
        assert_eq!(visitor.get(&host.to_uppercase(), "/").await.text(), "s");
        directory.remove_alias(client.id(), name.parse().unwrap(), Actor::Operator).await.unwrap();
        assert_eq!(visitor.get(&host, "/").await.status, before);
    }
    assert_eq!(visitor.get(&host(&client.id()), "/").await.text(), "s", "the ID was there all the time");
    assert_eq!(visitor.get(&format!("{}-for-me.localhost", client.id()), "/").await.text(), "s");
}

#[tokio::test]
async fn an_invite_may_bring_a_service_name_and_an_alias() {
    let bed = Bed::start().await;
    let service = Service::http("books").await;
    let invite = bed.invite_for("accounts", Some("acme")).await;
    let client = BedClient::new(&invite, &[("accounts", service.address(), "http")]).await;
    let status = client.until_green("accounts").await;
    assert_eq!(status.services[0].aliases, ["acme".parse().unwrap()]);
    assert_eq!(bed.visitor().get("acme.localhost", "/").await.text(), "books");
}

#[tokio::test]
async fn public_addresses_are_written_down_for_other_programs() {
    let bed = Bed::start().await;
    let service = Service::http("s").await;
    let client = bed.client(&service).await;
    let url = client.url("web").await;
    for file in ["endpoint", "endpoint-web"] {
        let path = client.dir.path().join(file);
        assert_eq!(std::fs::read_to_string(path).unwrap(), format!("{url}\n"));
    }
}
