//! Clients side by side: not a byte crosses over.

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use petit_tests::bed::Bed;
use petit_tests::service::Service;
use petit_tests::soon;
use petit_tests::visitor::{host, request};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

#[tokio::test]
async fn two_clients_side_by_side_serve_their_own_visitors_only() {
    let bed = Bed::start().await;
    let (a, b) = (Service::http("service of A").await, Service::http("service of B").await);
    let (client_a, client_b) = (bed.client(&a).await, bed.client(&b).await);
    let visitor = bed.visitor();
    let mut visits = tokio::task::JoinSet::new();
    for number in 0..300_usize {
        let (client, says) =
            if number % 2 == 0 { (&client_a, "service of A") } else { (&client_b, "service of B") };
        let host = host(&client.id());
        visits.spawn(async move { assert_eq!(visitor.get(&host, "/").await.text(), says) });
    }
    while let Some(visit) = visits.join_next().await {
        visit.unwrap();
    }
    // One connection, hosts in turn: what is kept alive for one is never used for the other.
    let mut sender = visitor.connect().await;
    for number in 0..40 {
        let (client, says) =
            if number % 3 == 0 { (&client_a, "service of A") } else { (&client_b, "service of B") };
        sender.ready().await.unwrap();
        let answer = sender
            .send_request(request(&host(&client.id()), "GET", "/", Empty::<Bytes>::new()))
            .await
            .unwrap();
        assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), says);
    }
}

#[tokio::test]
async fn several_services_of_one_client_are_kept_apart() {
    let bed = Bed::start().await;
    let (web, api) = (Service::http("web").await, Service::http("api").await);
    let db = Service::tcp_echo("db>").await;
    let services =
        [("web", web.address(), "http"), ("api", api.address(), "http"), ("db", db.address(), "tcp")];
    let client = Arc::new(bed.client_with(&services).await);
    let address = |url: String| url.split_once("://").unwrap().1.to_owned();
    let (web_host, api_host) = (address(client.url("web").await), address(client.url("api").await));
    let db_port = address(client.url("db").await);
    for _ in 0..10 {
        assert_eq!(bed.visitor().get(&web_host, "/").await.text(), "web");
        assert_eq!(bed.visitor().get(&api_host, "/").await.text(), "api");
        let mut tcp = TcpStream::connect(&db_port).await.unwrap();
        tcp.write_all(b"mine").await.unwrap();
        tcp.shutdown().await.unwrap();
        let mut said = String::new();
        soon("the echo", tcp.read_to_string(&mut said)).await.unwrap();
        assert_eq!(said, "db>mine");
    }
}

#[tokio::test]
async fn a_large_download_of_one_client_leaves_room_for_another() {
    let bed = Bed::start().await;
    let (a, b) = (Service::http("A").await, Service::http("B").await);
    let (client_a, client_b) = (bed.client(&a).await, bed.client(&b).await);
    let endless = request(&host(&client_a.id()), "GET", "/bytes/100000000000", Empty::<Bytes>::new());
    let download = bed.visitor().open(endless).await;
    let reading = tokio::spawn(async move {
        let mut body = download.into_body();
        while body.frame().await.is_some_and(|frame| frame.is_ok()) {}
    });
    for _ in 0..20 {
        assert_eq!(bed.visitor().get(&host(&client_b.id()), "/").await.text(), "B");
        assert_eq!(
            bed.visitor().get(&host(&client_a.id()), "/").await.text(),
            "A",
            "nor is its own client starved"
        );
    }
    reading.abort();
}
