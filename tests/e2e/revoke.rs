//! Registrations that end.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use petit_client::status::{Connection, Light};
use petit_engine::cause::Cause;
use petit_server::registry::Actor;
use petit_tests::bed::Bed;
use petit_tests::rogue::Device;
use petit_tests::service::Service;
use petit_tests::soon;
use petit_tests::visitor::{host, request};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[tokio::test]
async fn a_revocation_cuts_a_download_within_a_second_and_for_good() {
    let bed = Bed::start().await;
    let service = Service::http("s").await;
    let client = bed.client(&service).await;
    let other_service = Service::http("other").await;
    let other = bed.client(&other_service).await;
    let endless = request(&host(&client.id()), "GET", "/bytes/100000000000", Empty::<Bytes>::new());
    let mut download = bed.visitor().open(endless).await.into_body();
    download.frame().await.unwrap().unwrap();

    let start = Instant::now();
    bed.server.directory.revoke(client.registered.device, Actor::Operator).await.unwrap();
    let cut = soon("the download to break", async {
        loop {
            match download.frame().await {
                Some(Ok(_)) => {}
                other => return other,
            }
        }
    })
    .await;
    let took = start.elapsed();
    assert!(matches!(cut, Some(Err(_))));
    petit_tests::figures::figure(format_args!("revoked in mid-download: cut after {} ms", took.as_millis()));
    assert!(took < Duration::from_secs(1), "{took:?}");

    let status = client
        .until("the client to know", |status| matches!(status.connection, Connection::Stopped { .. }))
        .await;
    assert_eq!(status.connection, Connection::Stopped { cause: Cause::Unknown });
    let gone = bed.visitor().get(&host(&client.id()), "/").await;
    assert_eq!((gone.status.as_u16(), gone.petit_error()), (404, Some("unknown-service".into())));
    // Coming back is of no use.
    client.client.switch(true).await;
    client
        .until("the refusal", |status| {
            matches!(status.connection, Connection::Stopped { cause: Cause::Unknown })
        })
        .await;
    assert_eq!(bed.visitor().get(&host(&other.id()), "/").await.text(), "other", "nobody else notices");
}

#[tokio::test]
async fn a_client_that_unregisters_leaves_nothing_behind() {
    let bed = Bed::start().await;
    let service = Service::http("s").await;
    let client = bed.client(&service).await;
    client.client.unregister().await.unwrap();
    assert_eq!(bed.server.directory.counts(), (0, 0));
    assert_eq!(bed.visitor().get(&host(&client.id()), "/").await.status, 404);
    let status = client.client.status().await;
    assert_eq!((status.registered, status.connection), (None, Connection::Unregistered));
    let mut left: Vec<_> =
        std::fs::read_dir(client.dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    // What was chosen for the vendor stays known, so that it is not taken for chosen for the next one.
    assert_eq!(
        left,
        ["client.lock", "config.toml", "consent.json", "logs"],
        "no key, no registration, no address"
    );
    let chosen = std::fs::read_to_string(client.dir.path().join("consent.json")).unwrap();
    assert!(!chosen.contains(&bed.server.tunnel_address().unwrap().to_string()), "{chosen}");
    // The same running client can register anew.
    let invite = bed.invite().await;
    let request = petit_client::enrol::Request {
        invite: &invite,
        key_store: petit_client::config::KeyStore::File,
        share: ["web".parse().unwrap()].into(),
        existing: petit_client::enrol::Existing::Keep,
    };
    client.client.register(&request).await.unwrap();
    client.until_green("web").await;
}

#[tokio::test]
async fn a_service_that_is_given_back_gets_a_new_id() {
    let bed = Bed::start().await;
    let service = Service::http("s").await;
    let client = bed.client(&service).await;
    client.client.remove(&"web".parse().unwrap()).await.unwrap();
    bed.visitor()
        .until("the ID to be unknown", &host(&client.id()), "/", |answer| answer.status == 404)
        .await;
    let id = Some(client.id());
    let another = |status: &petit_client::status::Status| {
        status.services[0].light == Light::Green && status.services[0].id != id
    };
    client.until("another ID that works", another).await;
}

/// A client speaks before it can know that it was refused. What it said must not take the reason away.
#[tokio::test]
async fn whoever_is_refused_hears_why_though_it_has_spoken_on() {
    let bed = Bed::start().await;
    let device = Device::of(&bed).await;
    bed.server.directory.revoke(device.registered.device, Actor::Operator).await.unwrap();
    for round in 0..50 {
        let mut refused = device.connect().await;
        let io = refused.io();
        for _ in 0..16 {
            io.write_all(&[0; 1024]).await.expect("whoever still speaks is listened to");
            io.flush().await.expect("whoever still speaks is listened to");
            tokio::task::yield_now().await;
        }
        let error = soon("an end", io.read(&mut [0; 1])).await.expect_err("a revoked device is refused");
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidData, "round {round}: no alert but {error}");
    }
}
