//! Services that answer before they have the whole request: an upload that goes on behind its answer is a visit like any
//! other. It has its place, and ends when that is given to somebody else.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2;
use hyper::{Request, Response};
use petit_engine::limits;
use petit_tests::bed::{Bed, BedClient};
use petit_tests::scripted::{self, Manner, text};
use petit_tests::service::Service;
use petit_tests::soon;
use petit_tests::visitor::{h2_request, host, whole};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

/// Begins an upload of which the service's window takes a part; the answer's body has come.
async fn stuck(sender: &http2::SendRequest<Full<Bytes>>, host: &str, from: &str) -> bool {
    let mut asked = h2_request(host, "POST", "/", Full::new(Bytes::from(vec![b'x'; 1 << 20])));
    asked.headers_mut().insert("x-forwarded-for", from.parse().unwrap());
    let answer = whole(soon("the answer", sender.clone().send_request(asked)).await.unwrap()).await;
    answer.status == 200
}

/// A service of HTTP/2 that answers at once, and neither reads a body nor lets go of it; what is asked for at `/wait` it
/// never answers.
async fn unreading_h2() -> Service {
    scripted::service(Manner::h2(), |request: Request<hyper::body::Incoming>| async move {
        if request.uri().path() == "/wait" {
            std::future::pending::<()>().await;
        }
        tokio::spawn(async move {
            let _unread = request.into_body();
            std::future::pending::<()>().await;
        });
        Response::new(text(Bytes::from_static(b"ok")))
    })
    .await
}

/// The service takes no more of the uploads, so that nobody asks for more of them either.
#[tokio::test]
async fn an_upload_that_an_http2_service_does_not_read_ends_with_its_place() {
    let service = unreading_h2().await;
    let bed = Bed::with("trusted_proxies = [\"127.0.0.1\"]\nlimits = { requests_per_service = 2 }").await;
    let client = bed.client_of(service.address(), "h2", "").await;
    let host = host(&client.id());
    let (one, two, other) = (
        bed.visitor().connect_h2().await,
        bed.visitor().connect_h2().await,
        bed.visitor().connect_h2().await,
    );
    assert!(stuck(&one, &host, "203.0.113.1").await && stuck(&two, &host, "203.0.113.1").await);
    service.until_open(2).await;
    let taken = async { while !stuck(&other, &host, "203.0.113.2").await {} };
    soon("a place for another visitor", taken).await;
    service.until_open(2).await;
}

#[tokio::test]
async fn an_upload_that_nobody_reads_ends_and_whatever_else_is_on_its_connection_has_a_moment() {
    let service = unreading_h2().await;
    let bed = Bed::with_limits(|limits| limits.idle = Duration::from_secs(1)).await;
    let client = bed.client_of(service.address(), "h2", "").await;
    let (host, visitor) = (host(&client.id()), bed.visitor().connect_h2().await);
    assert!(stuck(&visitor, &host, "203.0.113.1").await);
    service.until_open(1).await;
    service.until_open(0).await;

    assert!(stuck(&visitor, &host, "203.0.113.1").await);
    let asked = h2_request(&host, "GET", "/wait", Full::default());
    let beside = tokio::spawn(visitor.clone().send_request(asked));
    let began = Instant::now();
    service.until_open(0).await;
    assert!(began.elapsed() > limits::H2_GIVEN_UP, "after {:?}", began.elapsed());
    // The service has done nothing.
    let told = soon("an answer", beside).await.unwrap().unwrap();
    assert_eq!((told.status().as_u16(), told.headers()["petit-error"].to_str().unwrap()), (503, "gave-way"));
}

/// Begins an upload of four bytes, and hears the answer's head and body; the rest of it is still to come.
async fn upload(bed: &Bed, client: &BedClient, from: &str) -> (TcpStream, String) {
    let mut tcp = bed.visitor().tcp().await;
    let host = host(&client.id());
    let head =
        format!("POST / HTTP/1.1\r\nHost: {host}\r\nX-Forwarded-For: {from}\r\nContent-Length: 4\r\n\r\nbe");
    tcp.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\nok") && !answer.ends_with(b"}") {
        assert_ne!(soon("the answer", tcp.read_buf(&mut answer)).await.unwrap(), 0);
    }
    (tcp, String::from_utf8_lossy(&answer).into_owned())
}

/// A service that answers as soon as it has the head, and reads the body all the same.
async fn hasty_h2() -> Service {
    scripted::service(Manner::h2(), |request: Request<hyper::body::Incoming>| async move {
        tokio::spawn(request.into_body().collect());
        Response::new(text(Bytes::from_static(b"ok")))
    })
    .await
}

#[tokio::test]
async fn an_upload_that_goes_on_behind_an_answer_of_http2_keeps_its_place() {
    let service = hasty_h2().await;
    let bed = Bed::with("limits = { requests_per_service = 2 }").await;
    let client = bed.client_of(service.address(), "h2", "").await;
    let (mut first, said) = upload(&bed, &client, "203.0.113.1").await;
    assert!(said.starts_with("HTTP/1.1 200"), "{said}");
    let (_second, said) = upload(&bed, &client, "203.0.113.1").await;
    assert!(said.starts_with("HTTP/1.1 200"), "{said}");
    let (_third, said) = upload(&bed, &client, "203.0.113.1").await;
    assert!(said.starts_with("HTTP/1.1 503") && said.contains("busy"), "{said}");
    first.write_all(b"en").await.unwrap();
    let free = async { while !upload(&bed, &client, "203.0.113.1").await.1.starts_with("HTTP/1.1 200") {} };
    soon("a place that is free", free).await;
}

/// One visitor has all places of a service, and its uploads go on behind answers that came whole.
#[tokio::test]
async fn an_upload_behind_a_whole_answer_ends_with_its_place() {
    let (gone, mut ended) = mpsc::unbounded_channel();
    let service = scripted::raw(move |_, mut tcp| {
        let gone = gone.clone();
        async move {
            tcp.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.unwrap();
            scripted::gone(&mut tcp).await;
            let _ = gone.send(());
        }
    })
    .await;
    let bed = Bed::with("trusted_proxies = [\"127.0.0.1\"]\nlimits = { requests_per_service = 2 }").await;
    let client = bed.client_of(service.address(), "http", "").await;
    let mut held = Vec::new();
    for _ in 0..2 {
        let (tcp, said) = upload(&bed, &client, "203.0.113.1").await;
        assert!(said.starts_with("HTTP/1.1 200"), "{said}");
        held.push(tcp);
    }
    let other = async {
        loop {
            let (tcp, said) = upload(&bed, &client, "203.0.113.2").await;
            if said.starts_with("HTTP/1.1 200") {
                return tcp;
            }
        }
    };
    let _other = soon("a place for another visitor", other).await;
    soon("the end of the upload whose place it was", ended.recv()).await;
    assert!(ended.try_recv().is_err(), "the other two go on");
}
