//! Server-sent events. Each one has arrived before the next is sent: the test sends the next only then.

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::Response;
use hyper::body::Incoming;
use petit_tests::bed::{Bed, BedClient};
use petit_tests::conformance::carried;
use petit_tests::program::{Running, curl};
use petit_tests::scripted::{self, Manner, Pen};
use petit_tests::service::Service;
use petit_tests::visitor::{h2_request, host, request};
use petit_tests::{row, soon};
use tokio::sync::mpsc;

/// A service whose events the test sends, one pen per visitor.
pub(crate) async fn service(manner: Manner) -> (Service, mpsc::Receiver<(Pen, Option<String>)>) {
    let (sender, pens) = mpsc::channel(8);
    let sender = Arc::new(sender);
    let service = scripted::service(manner, move |request| {
        let sender = Arc::clone(&sender);
        async move {
            let (pen, body) = scripted::written();
            let last = request.headers().get("last-event-id").map(|id| id.to_str().unwrap().to_owned());
            sender.send((pen, last)).await.unwrap();
            let mut answer = Response::new(body);
            answer.headers_mut().insert("content-type", "text/event-stream".parse().unwrap());
            answer.headers_mut().insert("cache-control", "no-cache".parse().unwrap());
            answer
        }
    })
    .await;
    (service, pens)
}

/// Sends an event and waits until exactly it has arrived.
pub(crate) async fn event(pen: &Pen, body: &mut Incoming, number: usize) {
    let event = format!("id: {number}\ndata: event {number}\n\n");
    assert!(pen.write(event.clone()).await);
    let mut arrived = Vec::new();
    while arrived.len() < event.len() {
        let frame = soon("the event", body.frame()).await.unwrap().unwrap();
        arrived.extend_from_slice(&frame.into_data().unwrap());
    }
    assert_eq!(arrived, event.as_bytes());
}

pub(crate) async fn subscribe(bed: &Bed, client: &BedClient, h2: bool) -> Response<Incoming> {
    let host = host(&client.id());
    let mut asked = if h2 {
        h2_request(&host, "GET", "/", Empty::<Bytes>::new())
    } else {
        request(&host, "GET", "/", Empty::<Bytes>::new())
    };
    asked.headers_mut().insert("last-event-id", "41".parse().unwrap());
    if h2 {
        soon("an answer", bed.visitor().connect_h2().await.send_request(asked)).await.unwrap()
    } else {
        bed.visitor().open(asked).await
    }
}

#[tokio::test]
async fn each_event_arrives_before_the_next_is_sent() {
    let rows = [
        row!(
            Events,
            "Every event arrives before the next one is sent, in all four pairings of HTTP/1.1 and HTTP/2"
        ),
        row!(
            Events,
            "Last-Event-ID and the content type pass; the end of the stream is the end of the answer"
        ),
    ];
    let bed = Bed::start().await;
    for manner in [Manner::h1(), Manner::h2()] {
        let kind = if manner.h2 { "h2" } else { "http" };
        let (service, mut pens) = service(manner).await;
        let client = bed.client_of(service.address(), kind, "").await;
        for h2 in [false, true] {
            let answer = subscribe(&bed, &client, h2).await;
            assert_eq!(answer.headers()["content-type"], "text/event-stream");
            let (pen, last) = pens.recv().await.unwrap();
            assert_eq!(last.as_deref(), Some("41"));
            let mut body = answer.into_body();
            for number in 0..20 {
                event(&pen, &mut body, number).await;
            }
            drop(pen);
            assert!(soon("the end", body.collect()).await.unwrap().to_bytes().is_empty());
        }
    }
    carried(rows);
}

#[tokio::test]
async fn a_listener_who_leaves_is_noticed_by_the_service() {
    let row = row!(Events, "A listener who leaves is noticed by a service that has nothing to send");
    let bed = Bed::start().await;
    for manner in [Manner::h1(), Manner::h2()] {
        let kind = if manner.h2 { "h2" } else { "http" };
        let (service, mut pens) = service(manner).await;
        let client = bed.client_of(service.address(), kind, "").await;
        for h2 in [false, true] {
            let mut answer = subscribe(&bed, &client, h2).await;
            let (pen, _) = pens.recv().await.unwrap();
            event(&pen, answer.body_mut(), 1).await;
            drop(answer);
            soon("the service to notice", pen.unread()).await;
        }
    }
    row.carried();
}

#[tokio::test]
async fn curl_sees_events_as_they_come() {
    let row = row!(Events, "curl --no-buffer prints every event before the next one is sent");
    let (service, mut pens) = service(Manner::h1()).await;
    let bed = Bed::start().await;
    let client = bed.client_of(service.address(), "http", "").await;
    let mut command = curl(bed.http());
    command.args(["--no-buffer", &format!("http://{}/", host(&client.id()))]);
    let mut listening = Running::start(command);
    let (pen, _) = soon("the listener", pens.recv()).await.unwrap();
    for number in 0..10 {
        assert!(pen.write(format!("data: event {number}\n\n")).await);
        assert_eq!(listening.line().await.unwrap(), format!("data: event {number}"));
        assert_eq!(listening.line().await.unwrap(), "");
    }
    drop(pen);
    assert_eq!(listening.exit().await.0, 0, "a clean end");
    row.carried();
}
