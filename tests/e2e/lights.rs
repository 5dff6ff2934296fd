//! What a light says of a service that accepts connections: whether it answers is asked, where visitors make it doubtful
//! or the protocol says it by itself.

use petit_client::status::{BrokenAt, Light};
use petit_engine::cause::ServiceCause;
use petit_engine::proto::control::Hop;
use petit_tests::bed::{Bed, BedClient};
use petit_tests::service::Service;
use petit_tests::visitor::host;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// A service that closes each connection on which it is asked for something, unless that is `answers`.
async fn closing_unless_asked(answers: Option<&'static str>) -> Service {
    Service::speaking("closing", move |mut tcp| async move {
        let mut asked = Vec::new();
        while !asked.ends_with(b"\r\n\r\n") {
            let Ok(byte) = tcp.read_u8().await else { return };
            asked.push(byte);
        }
        if answers.is_some_and(|request| asked.starts_with(request.as_bytes())) {
            tcp.write_all(b"HTTP/1.1 405 Method Not Allowed\r\nContent-Length: 0\r\n\r\n").await.unwrap();
        }
    })
    .await
}

/// Lets a visitor come, who gets no answer, and waits for the red light.
async fn one_bad_visit(bed: &Bed, client: &BedClient) {
    let answer = bed.visitor().get(&host(&client.id()), "/").await;
    assert_eq!(answer.status.as_u16(), 502, "{answer:?}");
    let status = client.until_light("web", Light::Red).await;
    let broken = status.services[0].broken.as_ref().map(|broken| broken.at);
    assert_eq!(broken, Some(BrokenAt::Service(ServiceCause::NoAnswer)));
}

#[tokio::test]
async fn a_service_that_answers_after_one_bad_visit_is_green_again_though_nobody_else_comes() {
    let bed = Bed::start().await;
    let service = closing_unless_asked(Some("OPTIONS * HTTP/1.1\r\n")).await;
    let client = bed.client_of(service.address(), "http", "").await;
    client.until_green("web").await;
    one_bad_visit(&bed, &client).await;
    client.until_green("web").await;
}

#[tokio::test]
async fn a_service_that_takes_connections_and_answers_nobody_stays_red() {
    let bed = Bed::start().await;
    let service = closing_unless_asked(None).await;
    let client = bed.client_of(service.address(), "http", "").await;
    client.until_green("web").await;
    one_bad_visit(&bed, &client).await;
    let probed = client.client.probe(&"web".parse().unwrap()).await.unwrap();
    assert_eq!(probed.broken, Some(Hop::Service(ServiceCause::NoAnswer)));
    assert_eq!(client.client.status().await.services[0].light, Light::Red);
}

#[tokio::test]
async fn a_service_of_another_version_of_http_than_was_set_up_is_red_before_anybody_comes() {
    let bed = Bed::start().await;
    let (h1, h2) = (Service::http("one").await, Service::h2("two").await);
    let client = bed.client_of(h1.address(), "h2", "").await;
    let status = client.until_light("web", Light::Red).await;
    let broken = status.services[0].broken.as_ref().map(|broken| broken.at);
    assert_eq!(broken, Some(BrokenAt::Service(ServiceCause::NotHttp)));
    let client = bed.client_of(h2.address(), "h2", "").await;
    client.until_green("web").await;
}
