//! Uploads that fill the customer's downlink, and services that take them as they like.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::join_all;
use http_body_util::BodyExt;
use hyper::body::{Body, Frame};
use hyper::{Response, StatusCode};
use petit_engine::limits;
use petit_tests::authority::Identity;
use petit_tests::bed::Bed;
use petit_tests::home_line::{HomeLine, Path, on_home_line};
use petit_tests::pattern::{Check, Pattern};
use petit_tests::scripted::{self, Manner, text};
use petit_tests::service::Service;
use petit_tests::soon;
use petit_tests::visitor::{Answer, request, whole};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{Home, LONGER};

/// A pattern whose length is not told: it goes in chunks.
struct Chunks(Pattern);

impl Body for Chunks {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Pin::new(&mut self.0).poll_frame(cx)
    }
}

async fn upload<B>(home: &Home, body: B) -> Answer
where
    B: Body<Data = Bytes, Error = Infallible> + Send + 'static,
{
    home.bed.visitor().send(request(&home.host(), "POST", "/sum", body)).await
}

/// So many uploads at once, which together fill the line.
async fn uploads(line: HomeLine, count: u64) {
    let path = line.path;
    let service = line.customer.run(Service::http("home")).await;
    let home = Home::new(line, &service).await;
    let each = path.uploaded_in(LONGER) / count;
    let expected = format!("{each} {}", Pattern::sum(each));
    let start = Instant::now();
    let uploads = (0..count).map(|number| {
        let (home, expected) = (&home, &expected);
        async move {
            let pattern = Pattern::new(each);
            let answer = if number % 2 == 0 {
                upload(home, pattern).await
            } else {
                upload(home, Chunks(pattern)).await
            };
            assert_eq!((answer.status, &answer.text()), (StatusCode::OK, expected));
        }
    });
    join_all(uploads).await;
    assert!(start.elapsed() > LONGER * 9 / 10, "the line was full: {:?}", start.elapsed());
    home.session_was_kept();
    assert_eq!(service.requests(), count, "none was repeated");
}

#[test]
fn an_upload_may_fill_a_line() {
    on_home_line(Path::DSL, async |line| uploads(line, 1).await);
}

#[test]
fn three_uploads_may_fill_a_line() {
    on_home_line(Path::SATELLITE, async |line| uploads(line, 3).await);
}

#[test]
fn ten_uploads_may_fill_a_line() {
    on_home_line(Path::MOBILE, async |line| uploads(line, 10).await);
}

/// A service that waits, then reads a request's body at its pace, and answers with how much has come.
async fn slow_service(manner: Manner, wait: Duration, bytes_per_second: u32) -> Service {
    scripted::service(manner, move |request| async move {
        let (mut body, mut check) = (request.into_body(), Check::default());
        tokio::time::sleep(wait).await;
        while let Some(Ok(frame)) = body.frame().await {
            let data = frame.into_data().unwrap();
            check.take(&data);
            tokio::time::sleep(Duration::from_secs(data.len() as u64) / bytes_per_second).await;
        }
        Response::new(text(check.count().to_string()))
    })
    .await
}

async fn service_that_pauses(line: HomeLine, manner: Manner, kind: &str) {
    const LENGTH: u64 = 5_000_000;
    let pause = limits::BODY_IDLE + Duration::from_secs(3);
    let service = line.customer.run(slow_service(manner, pause, 2_000_000)).await;
    let home = Home::of(line, Bed::start().await, service.address(), kind, "").await;
    let answer = upload(&home, Pattern::new(LENGTH)).await;
    assert_eq!((answer.status, answer.text()), (StatusCode::OK, LENGTH.to_string()));
    home.session_was_kept();
}

/// For longer than a visitor may send nothing: it is not the visitor who makes no progress.
#[test]
fn a_service_that_pauses_before_it_reads_an_upload_gets_all_of_it() {
    on_home_line(Path::CABLE, async |line| service_that_pauses(line, Manner::h1(), "http").await);
}

#[test]
fn a_service_of_http2_that_pauses_before_it_reads_an_upload_gets_all_of_it() {
    on_home_line(Path::CABLE, async |line| service_that_pauses(line, Manner::h2(), "h2").await);
}

#[test]
fn a_service_that_reads_slowly_gets_all_of_an_upload() {
    on_home_line(Path::CABLE, async |line| {
        let service = line.customer.run(slow_service(Manner::h1(), Duration::ZERO, 60_000)).await;
        let home = Home::new(line, &service).await;
        let length = 60_000 * LONGER.as_secs();
        let answer = upload(&home, Pattern::new(length)).await;
        assert_eq!((answer.status, answer.text()), (StatusCode::OK, length.to_string()));
        home.session_was_kept();
    });
}

/// What a service behind TLS has not been sent is in nobody's buffer for ever, whatever the length.
#[test]
fn a_service_behind_tls_that_pauses_gets_all_of_an_upload_of_any_length() {
    on_home_line(Path::CABLE, async |line| {
        let identity = Identity::self_signed(&["localhost"]);
        let pin = format!("tls_fingerprint = \"{}\"", identity.fingerprint());
        let manner = Manner { h2: false, tls: Some(identity.server(&["http/1.1"])) };
        let service = line.customer.run(slow_service(manner, Duration::from_secs(5), 2_000_000)).await;
        let target = format!("localhost:{}", service.address().port());
        let home = Home::of(line, Bed::start().await, target, "http", &pin).await;
        // One of them ends while the service's connection is full, wherever that is.
        let lengths = (0..34).map(|number| 200_000 + 30_001 * number);
        join_all(lengths.map(|length| {
            let home = &home;
            async move {
                let answer = upload(home, Pattern::new(length)).await;
                assert_eq!((answer.status, answer.text()), (StatusCode::OK, length.to_string()));
            }
        }))
        .await;
        home.session_was_kept();
    });
}

/// A visitor who sends in bursts: within [`limits::BODY_IDLE`] each, for longer than that in all.
#[test]
fn a_visitor_who_pauses_in_an_upload_goes_on() {
    on_home_line(Path::MOBILE, async |line| {
        let service = line.customer.run(Service::http("home")).await;
        let home = Home::new(line, &service).await;
        let length = 1_000_000;
        let sent = Pattern::bytes(length);
        let (pen, body) = scripted::written();
        let answer = home.bed.visitor();
        let asked = request(&home.host(), "POST", "/sum", body);
        let answer = tokio::spawn(async move { answer.send(asked).await });
        for piece in sent.chunks(length as usize / 2) {
            assert!(pen.write(piece.to_vec()).await);
            tokio::time::sleep(limits::BODY_IDLE * 2 / 3).await;
        }
        drop(pen);
        assert_eq!(answer.await.unwrap().text(), format!("{length} {}", Pattern::sum(length)));
        home.session_was_kept();
    });
}

/// A service that has read enough answers and closes; its answer gets past all that is still on its way there.
#[test]
fn a_service_that_refuses_an_upload_half_way_is_heard() {
    on_home_line(Path::DSL, async |line| {
        let refusing = scripted::raw(|_, mut tcp| async move {
            tcp.read_exact(&mut vec![0; 1_000_000]).await.unwrap();
            tcp.write_all(
                b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig",
            )
            .await
            .unwrap();
            let _ = tcp.shutdown().await;
            // As servers do: what comes meanwhile is read for a moment, so that the answer is not reset away.
            let _ = tokio::time::timeout(Duration::from_secs(1), scripted::gone(&mut tcp)).await;
        });
        let service = line.customer.run(refusing).await;
        let home = Home::new(line, &service).await;
        let uploads = (0..3).map(|_| async {
            let mut sender = home.bed.visitor().connect().await;
            let asked = request(&home.host(), "POST", "/", Pattern::new(50_000_000));
            let answer = whole(soon("the refusal", sender.send_request(asked)).await.unwrap()).await;
            assert_eq!((answer.status, answer.text().as_str()), (StatusCode::PAYLOAD_TOO_LARGE, "big"));
        });
        join_all(uploads).await;
        home.session_was_kept();
    });
}

/// A visitor who leaves in the middle leaves half a body, which the service can tell from a whole one.
#[test]
fn an_upload_that_was_left_never_looks_whole() {
    on_home_line(Path::MOBILE, async |line| {
        let (sender, mut bodies) = tokio::sync::mpsc::channel(8);
        let service = scripted::service(Manner::h1(), move |request| {
            let sender = sender.clone();
            async move {
                let (mut body, mut check) = (request.into_body(), Check::default());
                let end = loop {
                    match body.frame().await {
                        Some(Ok(frame)) => check.take(&frame.into_data().unwrap()),
                        Some(Err(error)) => break Err(error),
                        None => break Ok(check.count()),
                    }
                };
                sender.send((check.count(), end)).await.unwrap();
                Response::new(text("whole"))
            }
        });
        let service = line.customer.run(service).await;
        let home = Home::new(line, &service).await;
        for chunked in [false, true] {
            let mut tcp = home.bed.visitor().tcp().await;
            let framing = if chunked { "Transfer-Encoding: chunked" } else { "Content-Length: 3000000" };
            let head = format!("POST / HTTP/1.1\r\nHost: {}\r\n{framing}\r\n\r\n", home.host());
            tcp.write_all(head.as_bytes()).await.unwrap();
            if chunked {
                tcp.write_all(b"2DC6C0\r\n").await.unwrap();
            }
            Pattern::new(2_000_000).write_to(&mut tcp).await.unwrap();
            tcp.set_zero_linger().unwrap();
            drop(tcp);
            let (count, end) = soon("the end at the service", bodies.recv()).await.unwrap();
            assert!(end.is_err() && count <= 2_000_000, "{count} bytes, then {end:?}");
        }
        home.session_was_kept();
    });
}
