//! Event streams and gRPC, for long, on a line that others fill.

use std::time::{Duration, Instant};

use bytes::{BufMut, Bytes, BytesMut};
use futures_util::future::join_all;
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::{HeaderMap, Request, Response};
use petit_tests::bed::{Bed, client_config};
use petit_tests::home_line::{HomeLine, Path, on_home_line};
use petit_tests::pattern::{Check, Pattern};
use petit_tests::scripted::{self, AnyBody, Manner, Pen};
use petit_tests::service::Service;
use petit_tests::soon;
use petit_tests::visitor::{self, h2_request, request};

use super::{Home, LONGER, whole};

/// How far apart events are.
const EVERY: Duration = Duration::from_millis(500);
/// What may stand in front of an event on a line like [`Path::DSL`] when others fill it: the buffers of the client
/// and of the modem, for a second or so, and as much again for a machine that is busy.
const LATE: Duration = Duration::from_secs(3);

/// A service that sends an event every so often, with the time at which it did so.
async fn ticking(manner: Manner, start: Instant) -> Service {
    scripted::service(manner, move |_| async move {
        let (pen, body) = scripted::written();
        tokio::spawn(async move {
            let mut every = tokio::time::interval(EVERY);
            for number in 0.. {
                every.tick().await;
                let event = format!("id: {number}\ndata: {}\n\n", start.elapsed().as_millis());
                if !pen.write(event).await {
                    return;
                }
            }
        });
        let mut answer = Response::new(body);
        answer.headers_mut().insert("content-type", "text/event-stream".parse().unwrap());
        answer
    })
    .await
}

/// Hears events for [`LONGER`]: each in its turn, none late.
async fn listen(mut body: Incoming, start: Instant) {
    let (begin, mut text, mut next) = (Instant::now(), String::new(), 0);
    while begin.elapsed() < LONGER {
        let frame = soon("an event", body.frame()).await.unwrap().unwrap();
        text.push_str(std::str::from_utf8(&frame.into_data().unwrap()).unwrap());
        while let Some((event, rest)) = text.split_once("\n\n") {
            let (id, sent) = event.strip_prefix("id: ").unwrap().split_once("\ndata: ").unwrap();
            assert_eq!(id, next.to_string());
            let late = start.elapsed() - Duration::from_millis(sent.parse().unwrap());
            assert!(late < LATE, "event {id} came {late:?} after it was sent");
            (text, next) = (rest.to_owned(), next + 1);
        }
    }
    assert!(next > LONGER.as_millis() / EVERY.as_millis() - 10, "{next} events");
}

async fn events(line: HomeLine, manner: Manner, kind: &str) {
    let (path, start) = (line.path, Instant::now());
    let ticking = line.customer.run(ticking(manner, start)).await;
    let files = line.customer.run(Service::http("files")).await;
    let services = [("web", ticking.address(), kind), ("files", files.address(), "http")];
    let bed = Bed::start().await;
    let (modem, client) = line.client_with(&bed, client_config(&services)).await;
    client.until_green("web").await;
    let (connections, visitor) = (modem.accepted(), bed.visitor());
    let files_host = client.url("files").await.split("://").nth(1).unwrap().to_owned();
    let files_host = files_host.split(':').next().unwrap();
    let host = visitor::host(&client.id());
    let filling = async {
        let each = path.downloaded_in(LONGER) / 2;
        join_all((0..2).map(|_| async {
            let asked = request(files_host, "GET", &format!("/bytes/{each}"), Empty::<Bytes>::new());
            whole(visitor.open(asked).await.into_body(), each).await;
        }))
        .await
    };
    let plain = async {
        let asked = request(&host, "GET", "/", Empty::<Bytes>::new());
        listen(visitor.open(asked).await.into_body(), start).await;
    };
    let h2 = async {
        let asked = h2_request(&host, "GET", "/", Empty::<Bytes>::new());
        let answer = soon("an answer", visitor.connect_h2().await.send_request(asked)).await.unwrap();
        listen(answer.into_body(), start).await;
    };
    soon("all of it", async { tokio::join!(filling, plain, h2) }).await;
    assert_eq!(modem.accepted(), connections, "the client has connected again");
}

#[test]
fn events_arrive_soon_beside_downloads_that_fill_the_line() {
    on_home_line(Path::DSL, async |line| events(line, Manner::h1(), "http").await);
}

#[test]
fn events_of_a_service_of_http2_arrive_soon_beside_downloads_that_fill_the_line() {
    on_home_line(Path::DSL, async |line| events(line, Manner::h2(), "h2").await);
}

/// Nothing is said for longer than a session may be silent; its own PINGs keep it.
#[test]
fn an_event_stream_that_is_silent_for_long_is_still_there() {
    on_home_line(Path::SATELLITE, async |line| {
        let service = line.customer.run(scripted::service(Manner::h1(), |_| async move {
            let (pen, body) = scripted::written();
            tokio::spawn(async move {
                pen.write("first").await;
                tokio::time::sleep(LONGER).await;
                pen.write("last").await;
            });
            Response::new(body)
        }));
        let service = service.await;
        let home = Home::new(line, &service).await;
        let asked = request(&home.host(), "GET", "/", Empty::<Bytes>::new());
        let body = home.bed.visitor().open(asked).await.into_body();
        let said = soon("the end", body.collect()).await.unwrap().to_bytes();
        assert_eq!(said, "firstlast");
        home.session_was_kept();
    });
}

/// A message as gRPC frames it.
fn framed(message: &[u8]) -> Bytes {
    let mut framed = BytesMut::new();
    framed.put_u8(0);
    framed.put_u32(message.len() as u32);
    framed.put_slice(message);
    framed.freeze()
}

/// Hears messages of one length until the end; how many came, and the trailers.
async fn messages(mut body: Incoming, length: usize, pause: Duration) -> (u64, Option<HeaderMap>) {
    let (mut read, mut count, mut trailers) = (BytesMut::new(), 0, None);
    while let Some(frame) = soon("a frame", body.frame()).await.transpose().unwrap() {
        match frame.into_data() {
            Ok(data) => read.extend_from_slice(&data),
            Err(frame) => trailers = frame.into_trailers().ok(),
        }
        while read.len() >= 5 + length {
            let message = read.split_to(5 + length);
            assert_eq!(message[..5], framed(&vec![0; length])[..5]);
            Check::default().take(&message[5..]);
            count += 1;
            tokio::time::sleep(pause).await;
        }
    }
    assert!(read.is_empty(), "half a message");
    (count, trailers)
}

const MESSAGE: usize = 10_000;

/// Sends so many messages; false when nobody reads any more.
async fn write(pen: &Pen, count: u64) -> bool {
    let message = framed(&Pattern::bytes(MESSAGE as u64));
    for _ in 0..count {
        if !pen.write(message.clone()).await {
            return false;
        }
    }
    true
}

/// A service that hears a stream of messages while it sends another, and says in its trailers what it has heard.
async fn grpc(request: Request<Incoming>, up: u64, pause: Duration) -> Response<AnyBody> {
    let (pen, body) = scripted::written();
    let heard = tokio::spawn(messages(request.into_body(), MESSAGE, pause));
    tokio::spawn(async move {
        if write(&pen, up).await {
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", "0".parse().unwrap());
            trailers.insert("heard", heard.await.unwrap().0.into());
            pen.trailers(trailers).await;
        }
    });
    let mut answer = Response::new(body);
    answer.headers_mut().insert("content-type", "application/grpc".parse().unwrap());
    answer
}

/// So many calls at once on one connection, with so many messages each way.
async fn calls(line: HomeLine, count: u64, (up, down): (u64, u64), pause: Duration) {
    let service = scripted::service(Manner::h2(), move |request| grpc(request, up, pause));
    let service = line.customer.run(service).await;
    let home = Home::of(line, Bed::start().await, service.address(), "h2", "").await;
    let sender = home.bed.visitor().connect_h2().await;
    let calls = (0..count).map(|_| {
        let (mut sender, home) = (sender.clone(), &home);
        async move {
            let (pen, body) = scripted::written();
            let mut asked = h2_request(&home.host(), "POST", "/petit.Test/Both", body);
            asked.headers_mut().insert("content-type", "application/grpc".parse().unwrap());
            asked.headers_mut().insert("te", "trailers".parse().unwrap());
            let answer = soon("an answer", sender.send_request(asked)).await.unwrap();
            let sending = async {
                assert!(write(&pen, down).await, "the service has stopped to listen");
                drop(pen);
            };
            let ((heard, trailers), ()) = tokio::join!(messages(answer.into_body(), MESSAGE, pause), sending);
            let trailers = trailers.expect("gRPC has trailers");
            assert_eq!(
                (heard, &trailers["heard"], &trailers["grpc-status"]),
                (up, &down.into(), &"0".parse().unwrap())
            );
        }
    });
    soon("the calls", join_all(calls)).await;
    home.session_was_kept();
}

#[test]
fn calls_of_grpc_may_fill_a_line_both_ways() {
    on_home_line(Path::DSL, async |line| {
        let messages = |bytes: u64| bytes / 5 / MESSAGE as u64;
        let both = (messages(line.path.downloaded_in(LONGER)), messages(line.path.uploaded_in(LONGER / 2)));
        calls(line, 5, both, Duration::ZERO).await;
    });
}

/// Both ends take a message in so many milliseconds; whoever is quicker waits.
#[test]
fn calls_of_grpc_go_at_the_pace_of_the_slower_end() {
    on_home_line(Path::CABLE, async |line| {
        let pause = Duration::from_millis(50);
        let count = (LONGER.as_millis() / pause.as_millis()) as u64;
        calls(line, 3, (count, count), pause).await;
    });
}
