//! Clients that are kept out for the time being, and sessions that the operator ends.

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use petit_client::status::{Connection, Status};
use petit_engine::cause::Cause;
use petit_engine::proto::control::{FromAgent, FromRelay, Refusal, SUSPENDED, ServiceKind, Text};
use petit_server::registry::{Actor, Suspension};
use petit_tests::bed::Bed;
use petit_tests::rogue::{Device, hello, offer};
use petit_tests::service::Service;
use petit_tests::soon;
use petit_tests::visitor::{host, request};
use serde_json::json;

fn is_suspended(status: &Status) -> bool {
    matches!(status.connection, Connection::Waiting { cause: Cause::Suspended, .. })
}

#[tokio::test]
async fn a_suspended_client_stays_registered_and_nobody_reaches_it_until_it_is_resumed() {
    let bed = Bed::start().await;
    let (service, other_service) = (Service::http("s").await, Service::http("other").await);
    let (client, other) = (bed.client(&service).await, bed.client(&other_service).await);
    let endless = request(&host(&client.id()), "GET", "/bytes/100000000000", Empty::<Bytes>::new());
    let mut download = bed.visitor().open(endless).await.into_body();
    download.frame().await.unwrap().unwrap();

    let (directory, device) = (&bed.server.directory, client.registered.device);
    directory.suspend(device, Suspension::Suspend, Actor::Operator).await.unwrap();
    soon("the download to break", async { while let Some(Ok(_)) = download.frame().await {} }).await;
    client.until("the client to know why", is_suspended).await;
    let answer = bed.visitor().get(&host(&client.id()), "/").await;
    assert_eq!((answer.status.as_u16(), answer.petit_error()), (503, Some("client-suspended".into())));
    let said: serde_json::Value = serde_json::from_str(&answer.text()).unwrap();
    assert_eq!((&said["hop"], &said["retry"]), (&json!("server"), &json!(false)), "{said}");
    assert_eq!(bed.visitor().get(&host(&other.id()), "/").await.text(), "other", "nobody else notices");

    // It asks again, and is not let in.
    client.client.reconnect_now().await;
    client.until("the attempt", |status| matches!(status.connection, Connection::Connecting)).await;
    client.until("the refusal", is_suspended).await;
    assert_eq!(bed.server.relay.session_of(&device).map(|_| ()), None);

    directory.suspend(device, Suspension::Resume, Actor::Operator).await.unwrap();
    let away = bed.visitor().get(&host(&client.id()), "/").await;
    assert_eq!(away.petit_error(), Some("client-away".into()), "it may come, and is not there yet");
    client.client.reconnect_now().await;
    client.until_green("web").await;
    assert_eq!(bed.visitor().get(&host(&client.id()), "/").await.text(), "s", "under the address of before");
}

/// What it does not know would look like a broken protocol to it.
#[tokio::test]
async fn an_older_agent_is_told_in_words_that_it_knows() {
    let bed = Bed::start().await;
    let device = Device::of(&bed).await;
    let directory = &bed.server.directory;
    directory.suspend(device.registered.device, Suspension::Suspend, Actor::Operator).await.unwrap();
    for (features, expected) in [(vec![], Refusal::Busy), (vec![Text::lossy(SUSPENDED)], Refusal::Suspended)]
    {
        let mut agent = device.connect().await;
        let mut hello = hello("rogue", vec![offer(1, "web", ServiceKind::Http)]);
        hello.features = features;
        agent.say(&FromAgent::Hello(hello)).await;
        assert_eq!(agent.control().await, Some(FromRelay::Refused { refusal: expected }));
    }
}

#[tokio::test]
async fn a_client_whose_session_is_ended_comes_back_by_itself() {
    let bed = Bed::start().await;
    let service = Service::http("s").await;
    let client = bed.client(&service).await;
    let device = client.registered.device;
    let before = bed.server.relay.session_of(&device).unwrap().since;
    assert_eq!(bed.server.relay.end_sessions(&device), 1);
    soon("another session", async {
        while bed.server.relay.session_of(&device).is_none_or(|session| session.since == before) {
            tokio::task::yield_now().await;
        }
    })
    .await;
    client.until_green("web").await;
    assert_eq!(bed.visitor().get(&host(&client.id()), "/").await.text(), "s");
}
