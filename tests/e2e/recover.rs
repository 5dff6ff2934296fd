//! What happens when a part goes away, and when it comes back.

use std::time::Instant;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use petit_client::status::{BrokenAt, Light};
use petit_engine::cause::ServiceCause;
use petit_engine::proto::control::Hop;
use petit_tests::bed::{Bed, client_config};
use petit_tests::process::Program;
use petit_tests::service::Service;
use petit_tests::soon;
use petit_tests::visitor::{host, request};

#[tokio::test]
async fn a_service_that_is_down_is_named_and_found_again_without_a_restart() {
    let bed = Bed::start().await;
    let service = Service::http("first").await;
    let client = bed.client(&service).await;
    let (visitor, host) = (bed.visitor(), host(&client.id()));
    let address = service.stop().await;
    let down = visitor.get(&host, "/").await;
    assert_eq!((down.status.as_u16(), down.petit_error()), (502, Some("service-down".into())));
    assert_eq!(down.json()["service"], "web", "the answer names the service");
    let status = client.until_light("web", Light::Red).await;
    assert_eq!(status.services[0].broken.as_ref().unwrap().at, BrokenAt::Service(ServiceCause::Refused));
    // The client says so where it is asked as well.
    let result = client.client.probe(&status.services[0].name).await.unwrap();
    assert_eq!(result.broken, Some(Hop::Service(ServiceCause::Refused)), "{result:?}");
    let _back = Service::http_on("back", address).await;
    assert_eq!(visitor.get(&host, "/").await.text(), "back", "the next request finds it");
    client.until_green("web").await;
}

#[tokio::test]
async fn a_service_that_was_down_at_the_start_is_found_when_it_comes() {
    let bed = Bed::start().await;
    let service = Service::http("late").await;
    let address = service.stop().await;
    let client = bed.client_with(&[("web", address, "http")]).await;
    client.until_light("web", Light::Red).await;
    let _service = Service::http_on("late", address).await;
    client.until_green("web").await;
}

#[tokio::test]
async fn a_client_that_leaves_finishes_what_is_under_way_and_is_away_at_once_for_the_rest() {
    let bed = Bed::start().await;
    let service = Service::http("s").await;
    let client = bed.client(&service).await;
    let (visitor, host) = (bed.visitor(), host(&client.id()));
    let waiting = tokio::spawn({
        let host = host.clone();
        async move { visitor.get(&host, "/wait").await }
    });
    service.until_waiting(1).await;
    let stopping = tokio::spawn({
        let client = client.client.clone();
        async move { client.stop().await }
    });
    let away = visitor.until("the client to be away", &host, "/", |answer| answer.status == 503).await;
    assert_eq!(away.petit_error().as_deref(), Some("client-away"));
    assert!(away.headers.contains_key("retry-after"));
    service.let_go();
    assert_eq!(waiting.await.unwrap().text(), "done", "what was under way has been answered");
    soon("the client to stop", stopping).await.unwrap();
}

#[tokio::test]
async fn a_client_that_is_switched_off_and_on_comes_back() {
    let bed = Bed::start().await;
    let service = Service::http("s").await;
    let client = bed.client(&service).await;
    let (visitor, host) = (bed.visitor(), host(&client.id()));
    client.client.switch(false).await;
    visitor.until("the client to be away", &host, "/", |answer| answer.status == 503).await;
    client.client.switch(true).await;
    visitor.until("the client to be back", &host, "/", |answer| answer.status == 200).await;
}

#[tokio::test]
async fn a_server_that_leaves_finishes_what_is_under_way() {
    let bed = Bed::start().await;
    let service = Service::http("s").await;
    let client = bed.client(&service).await;
    let (visitor, host) = (bed.visitor(), host(&client.id()));
    let waiting = tokio::spawn(async move { visitor.get(&host, "/wait").await });
    service.until_waiting(1).await;
    let server = std::sync::Arc::clone(&bed.server);
    let draining = tokio::spawn(async move { server.drain().await });
    client
        .until("the client to know", |status| {
            !matches!(status.connection, petit_client::status::Connection::Online { .. })
        })
        .await;
    service.let_go();
    assert_eq!(waiting.await.unwrap().text(), "done");
    soon("the server to have drained", draining).await.unwrap();
}

/// Registers `petit-client` with `petit-server`, both as processes, and starts it.
pub(crate) async fn processes(service: &Service) -> (Program, petit_tests::process::Running, Program) {
    let server = Program::server().await;
    let running = server.up().await;
    let client = Program::client();
    std::fs::write(client.config(), client_config(&[("web", service.address(), "http")])).unwrap();
    let link = server.invite([""; 0]).await;
    client.run_with(["register"], &link).await.ok();
    (server, running, client)
}

#[tokio::test]
async fn a_server_that_is_killed_and_restarted_serves_again_without_anybodys_help() {
    let service = Service::http("through the tunnel").await;
    let (server, running, client) = processes(&service).await;
    // Both programs find their ports again: they are fixed now that they are known.
    let status = server.status().await;
    let port = |name: &str| status[name].as_str().unwrap().rsplit_once(':').unwrap().1.to_owned();
    let config = std::fs::read_to_string(server.config()).unwrap();
    let config = config
        .replace("secure_proxy_port = 0", &format!("secure_proxy_port = {}", port("tls")))
        .replace("proxy_port = 0", &format!("proxy_port = {}", port("http")))
        .replace("localhost:0", &format!("localhost:{}", port("http")));
    std::fs::write(server.config(), config).unwrap();
    let _client = client.up().await;
    let id = client.until_green().await["services"][0]["id"].as_str().unwrap().to_owned();
    let host = format!("{id}.localhost");
    let visitor = server.visitor().await;
    assert_eq!(visitor.get(&host, "/").await.text(), "through the tunnel");

    running.kill().await;
    let _again = server.up().await;
    let start = Instant::now();
    visitor.until("requests to pass again", &host, "/", |answer| answer.status == 200).await;
    petit_tests::figures::figure(format_args!(
        "server killed and restarted: requests pass {} ms after it listens",
        start.elapsed().as_millis()
    ));
}

#[tokio::test]
async fn a_client_that_is_killed_is_away_at_once_and_starts_again_without_a_hand() {
    let service = Service::http("s").await;
    let (server, _running, client) = processes(&service).await;
    let running = client.up().await;
    let id = client.until_green().await["services"][0]["id"].as_str().unwrap().to_owned();
    let host = format!("{id}.localhost");
    let visitor = server.visitor().await;
    let endless = request(&host, "GET", "/bytes/100000000000", Empty::<Bytes>::new());
    let mut download = visitor.open(endless).await.into_body();
    download.frame().await.unwrap().unwrap();
    running.kill().await;
    let start = Instant::now();
    visitor.until("the client to be away", &host, "/", |answer| answer.status == 503).await;
    petit_tests::figures::figure(format_args!("client killed: 503 after {} ms", start.elapsed().as_millis()));
    let cut = soon("the download to break", async {
        loop {
            match download.frame().await {
                Some(Ok(_)) => {}
                other => return other,
            }
        }
    })
    .await;
    assert!(matches!(cut, Some(Err(_))), "a download that was cut does not end like a whole one");
    // A lock file and a socket are left; neither is in the way.
    let _again = client.up().await;
    visitor.until("the client to be back", &host, "/", |answer| answer.status == 200).await;
}

#[tokio::test]
async fn connections_that_are_only_kept_alive_do_not_hold_up_a_stop() {
    let bed = Bed::start().await;
    let service = Service::http("s").await;
    let client = bed.client(&service).await;
    assert_eq!(bed.visitor().get(&host(&client.id()), "/").await.status, 200);
    service.until_open(1).await;
    let start = Instant::now();
    soon("the client to stop", client.client.stop()).await;
    // Kept connections are dropped after four seconds anyway; a stop must not wait for that.
    assert!(start.elapsed() < std::time::Duration::from_secs(3), "{:?}", start.elapsed());
    service.until_open(0).await;
}
