//! What was replaced comes back with all that it had, and with what its successor has left.

use petit_client::status::{Connection, Status};
use petit_engine::cause::Cause;
use petit_engine::proto::control::FrontState;
use petit_relay::{FrontView, Leave};
use petit_server::registry::Actor;
use petit_tests::bed::{Bed, client_config};
use petit_tests::service::Service;
use petit_tests::soon;
use petit_tests::visitor::host;
use tokio::net::TcpStream;

use super::goodbye::leave;

#[tokio::test]
async fn a_relay_with_nothing_left_to_finish_comes_back_whole_until_it_is_ended() {
    let bed = Bed::start().await;
    let service = Service::http("s").await;
    let client = bed.client(&service).await;
    let (host, relay) = (host(&client.id()), bed.server.relay.clone());
    client.until_green("web").await;
    let has_passed = |front: &FrontView| front.state == FrontState::Passed;
    assert!(relay.fronts().iter().any(has_passed), "{:?}", relay.fronts());

    soon("the relay to have left", leave(&bed, Leave::Move)).await.unwrap();
    relay.stay();
    // Another process may have served for long: what was found before is no proof.
    let known = relay.fronts();
    let is_open = |front: &FrontView| front.state == FrontState::Checking && front.tried.is_none();
    assert!(known.iter().all(is_open), "{known:?}");
    bed.visitor().until("requests to pass", &host, "/", |answer| answer.status == 200).await;
    soon("a front to be tried", async {
        while !relay.fronts().iter().any(has_passed) {
            tokio::task::yield_now().await;
        }
    })
    .await;
    // What watches the registry has gone on, too.
    bed.server.directory.revoke(client.registered.device, Actor::Operator).await.unwrap();
    let is_revoked = |status: &Status| status.connection == Connection::Stopped { cause: Cause::Unknown };
    client.until("the client to be revoked", is_revoked).await;

    soon("the relay to have left", leave(&bed, Leave::Move)).await.unwrap();
    relay.end();
    relay.stay();
    let refused = async {
        while TcpStream::connect(bed.http()).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    soon("connections to be refused", refused).await;
}

#[tokio::test]
async fn a_client_comes_back_with_the_settings_and_the_registration_that_its_successor_has_left() {
    let bed = Bed::start().await;
    let (service, other) = (Service::http("s").await, Service::http("o").await);
    let client = bed.client(&service).await;
    client.until_green("web").await;

    client.client.leave().await;
    let services = [("web", service.address(), "http"), ("more", other.address(), "http")];
    std::fs::write(client.config(), client_config(&services)).unwrap();
    client.client.come_back().await;
    client.until_green("more").await;

    client.client.leave().await;
    std::fs::remove_file(client.client.folder().registration()).unwrap();
    client.client.come_back().await;
    let status = client.client.status().await;
    assert_eq!(status.connection, Connection::Unregistered);
    assert!(status.services.is_empty(), "the former vendor reaches nothing: {:?}", status.services);
    let device = client.registered.device;
    let gone = async {
        while bed.server.relay.session_of(&device).is_some() {
            tokio::task::yield_now().await;
        }
    };
    soon("the server to have no session with it", gone).await;
}
