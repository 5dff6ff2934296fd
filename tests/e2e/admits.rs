//! What a client says of who can come in: what its server says, in this session.

use std::time::Duration;

use petit_engine::proto::control::Admits;
use petit_server::registry::{Actor, Edit, Enforcement, PolicyEdit, PolicyTarget};
use petit_tests::bed::{Bed, BedClient};
use petit_tests::process::Program;
use petit_tests::service::Service;
use secrecy::ExposeSecret;

/// What a policy may take to reach a client.
const SECOND: Duration = Duration::from_secs(1);

fn edit(name: &str, services: &[&str]) -> PolicyEdit {
    let services = services.iter().map(|target| target.parse().unwrap()).collect();
    PolicyEdit { services: Some(services), ..PolicyEdit::of(name.parse().unwrap()) }
}

/// One that asks for an address.
fn from(name: &str, services: &[&str]) -> PolicyEdit {
    PolicyEdit { from: Edit::To(vec!["203.0.113.0/24".parse().unwrap()]), ..edit(name, services) }
}

async fn set(bed: &Bed, edit: PolicyEdit) {
    bed.server.directory.set_policy(edit, Actor::Operator).await.unwrap();
}

async fn remove(bed: &Bed, name: &str) {
    bed.server.directory.remove_policy(name.parse().unwrap(), Actor::Operator).await.unwrap();
}

/// Waits until a client says so of its services.
async fn until(client: &BedClient, expected: [Admits; 2]) {
    let says = |status: &petit_client::status::Status| {
        let said = status.services.iter().map(|service| service.admits);
        said.eq(expected.map(Some))
    };
    let within = tokio::time::timeout(SECOND, client.until("who can come in", says));
    assert!(within.await.is_ok(), "{expected:?} was not said within a second");
}

#[tokio::test]
async fn a_client_is_told_who_can_come_in_and_of_every_change_within_a_second() {
    let bed = Bed::start().await;
    let (web, db) = (Service::http("web").await, Service::tcp_echo("db").await);
    set(&bed, from("own", &["default-tcp"])).await;
    let services = [("web", web.address(), "http"), ("db", db.address(), "tcp")];
    let client = bed.client_with(&services).await;
    client.until_online().await;
    until(&client, [Admits::Anyone, Admits::Chosen]).await;
    remove(&bed, "own").await;
    until(&client, [Admits::Anyone, Admits::Anyone]).await;

    // A key, and what is asked of all whose policy is no other.
    let directory = &bed.server.directory;
    directory.create_key("billing".parse().unwrap(), Actor::Operator).await.unwrap();
    let keys = Edit::To(vec!["billing".parse().unwrap()]);
    set(&bed, PolicyEdit { keys, ..edit("cloud", &["default"]) }).await;
    until(&client, [Admits::Chosen, Admits::Nobody]).await;
    let count_only = Some(Enforcement::CountOnly);
    set(&bed, PolicyEdit { enforcement: count_only, ..PolicyEdit::of("cloud".parse().unwrap()) }).await;
    until(&client, [Admits::Anyone, Admits::Anyone]).await;

    // By an alias that the service gets only now.
    remove(&bed, "cloud").await;
    set(&bed, from("named", &["acme"])).await;
    let id = client.registered.id;
    directory.add_alias(id, "acme".parse().unwrap(), false, Actor::Operator).await.unwrap();
    until(&client, [Admits::Chosen, Admits::Anyone]).await;

    // Of a session that comes later.
    let client = client.restarted().await;
    client.until_online().await;
    until(&client, [Admits::Chosen, Admits::Anyone]).await;
}

/// A key is carried by HTTP alone, so the port of a raw TCP service whose policy asks for one is shut.
#[tokio::test]
async fn a_client_is_told_that_its_port_is_shut_and_every_command_says_so() {
    let bed = Bed::start().await;
    let echo = Service::tcp_echo("db").await;
    let client = Program::client();
    client.run(["service", "add", "db", &echo.address().to_string(), "--tcp"]).await.ok();
    let invite = bed.invite().await.to_link();
    client.run_with(["register", "--key-store", "file"], invite.expose_secret()).await.ok();
    let _running = client.up().await;
    client.until("a port that is open", |status| status["services"][0]["light"] == "green").await;
    assert!(client.run(["doctor"]).await.ok().out.contains("All is well"));

    bed.server.directory.create_key("billing".parse().unwrap(), Actor::Operator).await.unwrap();
    let keys = Edit::To(vec!["billing".parse().unwrap()]);
    set(&bed, PolicyEdit { keys, ..edit("keyed", &["default-tcp"]) }).await;
    let shut = |status: &serde_json::Value| {
        status["services"][0]["admits"] == "nobody" && status["services"][0]["broken"]["at"] == "shut"
    };
    let within = tokio::time::timeout(SECOND, client.until("a port that is shut", shut));
    assert!(within.await.is_ok(), "it was not said within a second");
    for (lang, reason, todo) in [
        ("en", "your vendor has not opened it yet", "ask the vendor to open it"),
        ("de", "Ihr Anbieter hat den Zugang noch nicht geöffnet", "bitten Sie den Anbieter darum"),
    ] {
        let status = client.run(["--lang", lang, "status"]).await.ok().out;
        assert!(status.contains(reason) && status.contains(todo), "{status}");
        let ping = client.run(["--lang", lang, "ping"]).await;
        assert!(ping.exit == 1 && ping.out.contains(reason), "{ping:?}");
        let doctor = client.run(["--lang", lang, "doctor"]).await;
        assert!(doctor.exit == 1 && doctor.out.contains(reason) && doctor.out.contains(todo), "{doctor:?}");
        let check = client.run(["--lang", lang, "check"]).await;
        assert!(check.exit == 1 && check.out.contains(reason), "{check:?}");
    }

    remove(&bed, "keyed").await;
    client.until("a port that is open again", |status| status["services"][0]["light"] == "green").await;
}

#[tokio::test]
async fn limits_let_in_whoever_knows_the_address() {
    let bed = Bed::start().await;
    let service = Service::http("web").await;
    let few = Edit::To(5.try_into().unwrap());
    set(&bed, PolicyEdit { rate: few, max_body: Edit::To(10), ..edit("few", &["default"]) }).await;
    let client = bed.client(&service).await;
    let says = |status: &petit_client::status::Status| status.services[0].admits.is_some();
    let status = client.until("who can come in", says).await;
    assert_eq!(status.services[0].admits, Some(Admits::Anyone));
}

#[tokio::test]
async fn the_command_line_says_who_can_come_in_in_both_languages_and_nothing_while_it_is_not_connected() {
    let bed = Bed::start().await;
    let service = Service::http("web").await;
    let client = Program::client();
    let target = service.address().to_string();
    let invite = bed.invite().await.to_link();
    let register = ["register", "--key-store", "file", "--service", &target];
    client.run_with(register, invite.expose_secret()).await.ok();
    let _running = client.up().await;
    let admits = |expected: &'static str| {
        move |status: &serde_json::Value| status["services"][0]["admits"] == expected
    };
    client.until("an open service", admits("anyone")).await;
    let said = client.run(["status"]).await.ok().out;
    assert!(said.contains("    who can come in: whoever knows the address\n"), "{said}");
    set(&bed, from("own", &[PolicyTarget::Default.to_string().as_str()])).await;
    client.until("a policy", admits("chosen")).await;
    let said = client.run(["status"]).await.ok().out;
    assert!(said.contains("    who can come in: whoever your vendor lets in\n"), "{said}");
    let said = client.run(["status", "--lang", "de"]).await.ok().out;
    assert!(said.contains("    Zugang hat, wer von Ihrem Anbieter eingelassen wird\n"), "{said}");

    let device = client.status().await["registered"]["device"].as_str().unwrap().parse().unwrap();
    bed.server.directory.revoke(device, Actor::Operator).await.unwrap();
    let lost = |status: &serde_json::Value| status["connection"]["state"] != "online";
    let status = client.until("the session to be over", lost).await;
    assert!(status["services"][0]["admits"].is_null(), "{status}");
    let said = client.run(["status"]).await.ok().out;
    assert!(!said.contains("who can come in"), "{said}");
}
