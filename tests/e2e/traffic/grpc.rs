//! gRPC, frame by frame: what a caller and a service see of each other, and when.

use std::net::SocketAddr;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::client::conn::http2::SendRequest;
use hyper::header::HeaderMap;
use hyper::{Request, Response};
use petit_tests::authority::{Authority, Identity};
use petit_tests::bed::{Bed, HTTPS_DOMAIN};
use petit_tests::conformance::carried;
use petit_tests::scripted::{self, AnyBody, Manner, Pen};
use petit_tests::service::Service;
use petit_tests::visitor::{Visitor, h2_on, tls};
use petit_tests::{row, soon};
use rustls::RootCertStore;
use tokio::sync::mpsc;

/// A message as gRPC frames it: not compressed, its length, itself.
fn framed(message: &[u8]) -> Bytes {
    let mut framed = BytesMut::new();
    framed.put_u8(0);
    framed.put_u32(message.len() as u32);
    framed.put_slice(message);
    framed.freeze()
}

/// Reads messages out of a body.
struct Messages {
    body: Incoming,
    read: BytesMut,
    trailers: Option<HeaderMap>,
}

impl Messages {
    fn of(body: Incoming) -> Self {
        Self { body, read: BytesMut::new(), trailers: None }
    }

    async fn next(&mut self) -> Result<Option<Bytes>, hyper::Error> {
        loop {
            if self.read.len() >= 5 {
                let length = (&self.read[1..5]).get_u32() as usize;
                if self.read.len() >= 5 + length {
                    self.read.advance(5);
                    return Ok(Some(self.read.split_to(length).freeze()));
                }
            }
            match soon("a message", self.body.frame()).await.transpose()? {
                None => return Ok(None),
                Some(frame) => match frame.into_data() {
                    Ok(data) => self.read.extend_from_slice(&data),
                    Err(frame) => self.trailers = frame.into_trailers().ok(),
                },
            }
        }
    }

    /// The trailers, after the end.
    async fn trailers(mut self) -> HeaderMap {
        while self.next().await.unwrap().is_some() {}
        self.trailers.expect("gRPC has trailers")
    }
}

fn ok_trailers() -> HeaderMap {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", "0".parse().unwrap());
    trailers.insert("x-trailing", "late".parse().unwrap());
    // Nothing of these is for a trailer to say.
    trailers.insert("petit-error", "client-away".parse().unwrap());
    trailers.insert("set-cookie", "a=b".parse().unwrap());
    trailers
}

/// What the service has noticed.
#[derive(Debug, PartialEq)]
enum Noticed {
    Timeout(Option<String>),
    Cancelled,
}

async fn answer(request: Request<Incoming>, noticed: mpsc::Sender<Noticed>) -> Response<AnyBody> {
    assert_eq!(request.headers()["te"], "trailers", "without it a gRPC service refuses the call");
    assert_eq!(request.method(), "POST");
    let path = request.uri().path().to_owned();
    let timeout = request.headers().get("grpc-timeout").map(|value| value.to_str().unwrap().to_owned());
    let (pen, body) = scripted::written();
    let mut response = Response::new(body);
    response.headers_mut().insert("content-type", "application/grpc+proto".parse().unwrap());
    response.headers_mut().insert("x-initial", "early".parse().unwrap());
    let messages = Messages::of(request.into_body());
    match path.as_str() {
        "/petit.Test/Fail" => {
            // Trailers only: the status stands in the one and only head.
            response = Response::new(http_body_util::Empty::new().map_err(|never| match never {}).boxed());
            for (name, value) in [
                ("content-type", "application/grpc"),
                ("grpc-status", "5"),
                ("grpc-message", "no such thing: gr%C3%B6%C3%9Fer"),
            ] {
                response.headers_mut().insert(name, value.parse().unwrap());
            }
        }
        "/petit.Test/Hang" => {
            noticed.send(Noticed::Timeout(timeout)).await.unwrap();
            tokio::spawn(async move {
                pen.unread().await;
                noticed.send(Noticed::Cancelled).await.unwrap();
            });
        }
        "/petit.Test/Count" => drop(tokio::spawn(count(messages, pen))),
        _ => drop(tokio::spawn(chat(messages, pen))),
    }
    response
}

/// Sends every message back as soon as it has come.
async fn chat(mut messages: Messages, pen: Pen) {
    while let Ok(Some(message)) = messages.next().await {
        if !pen.write(framed(&message)).await {
            return;
        }
    }
    pen.trailers(ok_trailers()).await;
}

/// Says in the end how many there were.
async fn count(mut messages: Messages, pen: Pen) {
    let (mut count, mut bytes) = (0, 0);
    while let Ok(Some(message)) = messages.next().await {
        count += 1;
        bytes += message.len();
    }
    pen.write(framed(format!("{count} {bytes}").as_bytes())).await;
    pen.trailers(ok_trailers()).await;
}

/// A caller's connection.
struct Caller {
    sender: SendRequest<AnyBody>,
    authority: String,
}

impl Caller {
    async fn new(plain: SocketAddr, https: Option<(SocketAddr, &RootCertStore)>, authority: String) -> Self {
        let sender = match https {
            None => Visitor::new(plain).connect_h2().await,
            Some((front, roots)) => h2_on(tls(front, roots, &authority, &["h2"]).await.unwrap()).await,
        };
        Self { sender, authority }
    }

    /// Begins a call; more of it is written with the pen.
    async fn call(&mut self, method: &str, more: &[(&str, &str)]) -> (Pen, Response<Incoming>) {
        let (pen, body) = scripted::written();
        let uri = format!("http://{}/petit.Test/{method}", self.authority);
        let mut request = Request::post(uri).header("content-type", "application/grpc+proto");
        request = request.header("te", "trailers");
        for (name, value) in more {
            request = request.header(*name, *value);
        }
        self.sender.ready().await.unwrap();
        let answer = self.sender.send_request(request.body(body).unwrap());
        (pen, soon("the head of the answer", answer).await.unwrap())
    }
}

async fn service(tls: Option<&Identity>) -> (Service, mpsc::Receiver<Noticed>) {
    let (sender, noticed) = mpsc::channel(8);
    let manner = Manner { h2: true, tls: tls.map(|identity| identity.server(&["h2"])) };
    let service = scripted::service(manner, move |request| answer(request, sender.clone())).await;
    (service, noticed)
}

/// Everything that is said of gRPC, over one pair of connections.
async fn everything(caller: &mut Caller, noticed: &mut mpsc::Receiver<Noticed>) {
    // Turn by turn: no message is sent before the last one has come back, and the head comes before any.
    let (pen, answer) = caller.call("Chat", &[]).await;
    assert_eq!(answer.headers()["x-initial"], "early");
    assert_eq!(answer.headers()["content-type"], "application/grpc+proto");
    let mut messages = Messages::of(answer.into_body());
    for number in 0..50 {
        let message = format!("message {number}");
        assert!(pen.write(framed(message.as_bytes())).await);
        assert_eq!(messages.next().await.unwrap().unwrap(), message);
    }
    drop(pen);
    let trailers = messages.trailers().await;
    assert_eq!(
        (&trailers["grpc-status"], &trailers["x-trailing"]),
        (&"0".parse().unwrap(), &"late".parse().unwrap())
    );
    assert!(!trailers.contains_key("petit-error") && !trailers.contains_key("set-cookie"), "{trailers:?}");

    // Half a message waits for its other half.
    let (pen, answer) = caller.call("Chat", &[]).await;
    let mut messages = Messages::of(answer.into_body());
    let whole = framed(b"in two pieces");
    assert!(pen.write(whole.slice(..7)).await && pen.write(whole.slice(7..)).await);
    assert_eq!(messages.next().await.unwrap().unwrap(), "in two pieces");
    drop(pen);
    messages.trailers().await;

    // Many messages up, one down; the head of the answer has come long before.
    let (pen, answer) = caller.call("Count", &[]).await;
    for number in 0..500_usize {
        assert!(pen.write(framed(&vec![7; number * 10])).await);
    }
    drop(pen);
    let mut messages = Messages::of(answer.into_body());
    assert_eq!(messages.next().await.unwrap().unwrap(), "500 1247500");
    assert_eq!(messages.trailers().await["grpc-status"], "0");

    // An error at once is one head without a body.
    let (_pen, answer) = caller.call("Fail", &[]).await;
    assert_eq!((&answer.headers()["grpc-status"], answer.status().as_u16()), (&"5".parse().unwrap(), 200));
    assert_eq!(answer.headers()["grpc-message"], "no such thing: gr%C3%B6%C3%9Fer");
    assert!(hyper::body::Body::is_end_stream(answer.body()), "trailers only: the head ends the stream");

    // The deadline is the caller's to keep; the service is told of it, and of the end.
    let (pen, answer) = caller.call("Hang", &[("grpc-timeout", "250m")]).await;
    assert_eq!(soon("the call", noticed.recv()).await, Some(Noticed::Timeout(Some("250m".to_owned()))));
    drop((pen, answer));
    assert_eq!(soon("the cancellation", noticed.recv()).await, Some(Noticed::Cancelled));
}

#[tokio::test]
async fn calls_of_all_kinds_pass_in_every_pairing_of_tls() {
    let rows = [
        row!(
            Grpc,
            "Bidirectional, turn by turn; the head before the first message; HTTP/2 and HTTP/2 in TLS on either side"
        ),
        row!(Grpc, "Client streaming: 500 messages up, one down"),
        row!(
            Grpc,
            "Trailers: the status and custom ones pass, none that routes, sets cookies or speaks for Petit"
        ),
        row!(Grpc, "Error status in a trailers-only answer stays trailers-only"),
        row!(Grpc, "grpc-timeout and te pass; a caller who gives up cancels the call at the service"),
    ];
    let authority = Authority::new();
    let bed = Bed::https(&authority).await;
    let roots = authority.roots();
    let identity = Identity::self_signed(&["localhost"]);
    for service_tls in [None, Some(&identity)] {
        let (service, mut noticed) = service(service_tls).await;
        let pin = service_tls.map(|identity| format!("tls_fingerprint = \"{}\"", identity.fingerprint()));
        // "grpc" is another word for "h2".
        let kind = if service_tls.is_some() { "grpc" } else { "h2" };
        let client = bed.client_of(service.address(), kind, &pin.unwrap_or_default()).await;
        for https in [None, Some((bed.server.tls, &roots))] {
            let authority = format!("{}.{HTTPS_DOMAIN}", client.id());
            let mut caller = Caller::new(bed.http(), https, authority).await;
            everything(&mut caller, &mut noticed).await;
        }
        assert!(service.accepted() < 20, "calls share connections to the service");
    }
    carried(rows);
}

#[tokio::test]
async fn a_call_that_breaks_off_breaks_off_on_the_other_side() {
    let row = row!(
        Grpc,
        "A service that resets a call in mid-stream: an error for the caller, never an end without a status"
    );
    let (arrived, mut told) = tokio::sync::watch::channel(false);
    told.mark_unchanged();
    let service = scripted::service(Manner::h2(), move |_| {
        let mut told = told.clone();
        async move {
            let (pen, body) = scripted::written();
            tokio::spawn(async move {
                pen.write(framed(b"one")).await;
                told.changed().await.unwrap();
                pen.break_off().await;
            });
            let mut response = Response::new(body);
            response.headers_mut().insert("content-type", "application/grpc".parse().unwrap());
            response
        }
    })
    .await;
    let bed = Bed::start().await;
    let client = bed.client_of(service.address(), "h2", "").await;
    let mut caller = Caller::new(bed.http(), None, petit_tests::visitor::host(&client.id())).await;
    let (_pen, answer) = caller.call("Any", &[]).await;
    let mut messages = Messages::of(answer.into_body());
    assert_eq!(messages.next().await.unwrap().unwrap(), "one");
    arrived.send_replace(true);
    let end = messages.next().await;
    assert!(end.is_err(), "{end:?}");
    row.carried();
}

/// Calls that are stalled: on the way down because their caller does not read, on the way up because the service
/// does not.
#[tokio::test]
#[expect(clippy::too_many_lines, reason = "a row for each direction, and one story for both")]
async fn a_stalled_call_holds_up_no_other_and_loses_nothing() {
    let rows = [
        row!(
            Grpc,
            "A caller who does not read a stream of small messages: its other calls and other callers go on, nothing is lost"
        ),
        row!(
            Grpc,
            "A service that does not read a stream of small messages: other calls go on, nothing is lost"
        ),
    ];
    // More than all windows on the way hold; the smaller the messages, the more it costs to keep them waiting.
    const DOWN: (usize, usize) = (8_000, 100);
    const UP: (usize, usize) = (32_000, 16);
    let message = |number: usize, bytes: usize| format!("{number:0bytes$}");
    let (go, wait) = tokio::sync::watch::channel(false);
    let service = scripted::service(Manner::h2(), move |request| {
        let mut wait = wait.clone();
        async move {
            let (pen, body) = scripted::written();
            let path = request.uri().path().to_owned();
            let messages = Messages::of(request.into_body());
            tokio::spawn(async move {
                match path.as_str() {
                    "/petit.Test/Download" => {
                        for number in 0..DOWN.0 {
                            pen.write(framed(message(number, DOWN.1).as_bytes())).await;
                        }
                        pen.trailers(ok_trailers()).await;
                    }
                    "/petit.Test/Upload" => {
                        wait.wait_for(|go| *go).await.unwrap();
                        count(messages, pen).await;
                    }
                    _ => chat(messages, pen).await,
                }
            });
            let mut response = Response::new(body);
            response.headers_mut().insert("content-type", "application/grpc".parse().unwrap());
            response
        }
    })
    .await;
    let bed = Bed::start().await;
    let client = bed.client_of(service.address(), "h2", "").await;
    let host = petit_tests::visitor::host(&client.id());
    let mut caller = Caller::new(bed.http(), None, host.clone()).await;
    let mut other = Caller::new(bed.http(), None, host).await;

    let (_pen, download) = caller.call("Download", &[]).await;
    let (up, upload) = caller.call("Upload", &[]).await;
    let (stalled, mut sent) = mpsc::channel(1);
    let sending = tokio::spawn(async move {
        for number in 0..UP.0 {
            let mut write = std::pin::pin!(up.write(framed(message(number, UP.1).as_bytes())));
            let told = tokio::time::timeout(std::time::Duration::from_millis(500), write.as_mut()).await;
            let went = match told {
                Ok(went) => went,
                Err(_) => {
                    let _ = stalled.try_send(number);
                    write.await
                }
            };
            assert!(went, "message {number} was not taken");
        }
    });
    let number = soon("the upload to stall", sent.recv()).await;
    assert!(number.is_some(), "all was taken, though nobody reads it");
    for caller in [&mut caller, &mut other] {
        let (pen, answer) = caller.call("Chat", &[]).await;
        assert!(pen.write(framed(b"still there?")).await);
        let mut messages = Messages::of(answer.into_body());
        assert_eq!(messages.next().await.unwrap().unwrap(), "still there?");
        drop(pen);
        assert_eq!(messages.trailers().await["grpc-status"], "0");
    }
    let mut messages = Messages::of(download.into_body());
    for number in 0..DOWN.0 {
        assert_eq!(messages.next().await.unwrap().unwrap(), message(number, DOWN.1));
    }
    assert_eq!(messages.trailers().await["grpc-status"], "0");
    go.send_replace(true);
    soon("the upload", sending).await.unwrap();
    let mut messages = Messages::of(upload.into_body());
    assert_eq!(messages.next().await.unwrap().unwrap(), format!("{} {}", UP.0, UP.0 * UP.1));
    carried(rows);
}
