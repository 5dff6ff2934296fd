//! Services that break the rules: nothing that was cut off looks whole, nothing of one answer gets into another.

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Full};
use hyper::{Response, StatusCode};
use petit_tests::bed::{Bed, BedClient};
use petit_tests::conformance::carried;
use petit_tests::scripted::{self, Manner, text};
use petit_tests::service::Service;
use petit_tests::visitor::{Answer, h2_request, host, request, whole};
use petit_tests::{row, soon};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// A service that answers each request with some bytes, and then closes, breaks off or waits.
async fn saying(bytes: impl Into<Vec<u8>>, then: Then) -> Service {
    let bytes = bytes.into();
    scripted::raw(move |_, mut tcp| {
        let bytes = bytes.clone();
        async move {
            let _ = tcp.write_all(&bytes).await;
            match then {
                Then::Close => {}
                Then::BreakOff => tcp.set_zero_linger().unwrap(),
                Then::Wait => scripted::gone(&mut tcp).await,
            }
        }
    })
    .await
}

#[derive(Clone, Copy, PartialEq)]
enum Then {
    Close,
    BreakOff,
    Wait,
}

/// Everything until the end of the connection, clean or not.
async fn raw_answer(bed: &Bed, client: &BedClient, version: &str) -> (String, Option<std::io::ErrorKind>) {
    let mut tcp = bed.visitor().tcp().await;
    let asked = format!("GET / HTTP/{version}\r\nHost: {}\r\nConnection: close\r\n\r\n", host(&client.id()));
    tcp.write_all(asked.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let end = soon("the end", tcp.read_to_end(&mut answer)).await;
    (String::from_utf8_lossy(&answer).into_owned(), end.err().map(|error| error.kind()))
}

/// True when a visitor of HTTP/2 gets an error instead of the end of the body.
async fn h2_breaks(bed: &Bed, client: &BedClient) -> bool {
    let mut sender = bed.visitor().connect_h2().await;
    let asked = h2_request(&host(&client.id()), "GET", "/", Empty::<Bytes>::new());
    let answer = soon("an answer", sender.send_request(asked)).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    soon("the end of the body", answer.into_body().collect()).await.is_err()
}

#[tokio::test]
async fn an_answer_that_was_cut_off_never_looks_whole() {
    let rows = [
        row!(
            Broken,
            "Answer shorter than its Content-Length: an error for the visitor (HTTP/1.1 and HTTP/2)"
        ),
        row!(Broken, "Chunked answer without its last chunk: an error for the visitor"),
        row!(Broken, "Answer without a length, ended by a reset: an error for the visitor"),
    ];
    let bed = Bed::start().await;
    let length = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfive!";
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfive!\r\n";
    let in_chunk = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nA\r\nfive!";
    for (said, then) in [(length, Then::Close), (chunked, Then::Close), (in_chunk, Then::Close)] {
        let service = saying(said, then).await;
        let client = bed.client_of(service.address(), "http", "").await;
        let (answer, _) = raw_answer(&bed, &client, "1.1").await;
        assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.contains("five!"), "{answer}");
        assert!(!answer.contains("\r\n0\r\n"), "no last chunk that the service has not sent: {answer}");
        let asked = request(&host(&client.id()), "GET", "/", Empty::<Bytes>::new());
        let body = bed.visitor().open(asked).await.into_body();
        assert!(soon("the end", body.collect()).await.is_err(), "{said}");
        assert!(h2_breaks(&bed, &client).await, "{said}");
    }
    // Without a length only the way in which the connection ends can tell.
    let (said, sent) = ("HTTP/1.1 200 OK\r\n\r\nfive!", tokio::sync::mpsc::channel::<()>(1));
    let heard = std::sync::Arc::new(tokio::sync::Mutex::new(sent.1));
    let service = scripted::raw(move |_, mut tcp| {
        let heard = std::sync::Arc::clone(&heard);
        async move {
            tcp.write_all(said.as_bytes()).await.unwrap();
            heard.lock().await.recv().await;
            tcp.set_zero_linger().unwrap();
        }
    })
    .await;
    let client = bed.client_of(service.address(), "http", "").await;
    for version in ["1.1", "1.0", "2"] {
        let host = host(&client.id());
        if version == "2" {
            let mut sender = bed.visitor().connect_h2().await;
            let asked = h2_request(&host, "GET", "/", Empty::<Bytes>::new());
            let mut body = sender.send_request(asked).await.unwrap().into_body();
            soon("a piece", body.frame()).await.unwrap().unwrap();
            sent.0.send(()).await.unwrap();
            assert!(soon("the end", body.collect()).await.is_err());
            continue;
        }
        let mut tcp = bed.visitor().tcp().await;
        let asked = format!("GET / HTTP/{version}\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        tcp.write_all(asked.as_bytes()).await.unwrap();
        let mut seen = String::new();
        while !seen.contains("five!") {
            seen.push(char::from(soon("the piece", tcp.read_u8()).await.unwrap()));
        }
        sent.0.send(()).await.unwrap();
        let mut rest = Vec::new();
        let end = soon("the end", tcp.read_to_end(&mut rest)).await;
        match version {
            "1.1" => assert!(!rest.ends_with(b"0\r\n\r\n"), "{seen}{rest:?}"),
            _ => assert!(end.is_err(), "HTTP/1.0 has no other sign than a reset: {seen}{rest:?}"),
        }
    }
    carried(rows);
}

#[tokio::test]
async fn a_service_of_http2_that_cuts_an_answer_off_is_not_covered_up() {
    let rows = [row!(
        Broken,
        "HTTP/2 service: answer shorter or longer than promised, or reset: an error for the visitor"
    )];
    let service = Service::speaking("h2", |tcp| async move {
        let Ok(mut connection) = h2::server::handshake(tcp).await else { return };
        while let Some(Ok((asked, mut answer))) = connection.accept().await {
            let head = Response::builder();
            let head =
                if asked.uri().path() == "/reset" { head } else { head.header("content-length", "10") };
            let mut stream = answer.send_response(head.body(()).unwrap(), false).unwrap();
            match asked.uri().path() {
                "/short" => stream.send_data(Bytes::from("five!"), true).unwrap(),
                "/long" => stream.send_data(Bytes::from("this is more than ten"), true).unwrap(),
                _ => {
                    stream.send_data(Bytes::from("five!"), false).unwrap();
                    tokio::spawn(async move {
                        // Only once the piece has gone out; capacity is back when the peer has read it.
                        stream.reserve_capacity(1 << 16);
                        let _ = std::future::poll_fn(|cx| stream.poll_capacity(cx)).await;
                        stream.send_reset(h2::Reason::INTERNAL_ERROR);
                    });
                }
            }
        }
    })
    .await;
    let bed = Bed::start().await;
    let client = bed.client_of(service.address(), "h2", "").await;
    let host = host(&client.id());
    for path in ["/short", "/long", "/reset"] {
        // Either the head has come and the body breaks, or both were broken at once.
        let mut sender = bed.visitor().connect().await;
        let answer =
            soon("an answer", sender.send_request(request(&host, "GET", path, Empty::<Bytes>::new())));
        if let Ok(answer) = answer.await {
            assert!(soon("the end", answer.into_body().collect()).await.is_err(), "{path}, HTTP/1.1");
        }
        let mut sender = bed.visitor().connect_h2().await;
        let asked = sender.send_request(h2_request(&host, "GET", path, Empty::<Bytes>::new()));
        if let Ok(answer) = soon("an answer", asked).await {
            assert!(soon("the end", answer.into_body().collect()).await.is_err(), "{path}, HTTP/2");
        }
    }
    carried(rows);
}

#[tokio::test]
async fn an_answer_that_was_sent_whole_arrives_whatever_happens_then() {
    let row = row!(Broken, "Answer sent in full, then a reset of the service's connection: it arrives");
    let bed = Bed::start().await;
    let service = saying("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwhole", Then::BreakOff).await;
    let client = bed.client_of(service.address(), "http", "").await;
    for _ in 0..20 {
        assert_eq!(get(&bed, &client).await.text(), "whole");
    }
    row.carried();
}

#[tokio::test]
async fn what_a_service_says_beyond_its_answer_gets_into_no_other_answer() {
    let row = row!(
        Broken,
        "Answer longer than its Content-Length: the visitor gets what was promised; the rest reaches nobody"
    );
    let extra = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison";
    let service =
        saying(format!("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nright{extra}"), Then::Wait).await;
    let bed = Bed::start().await;
    let client = bed.client_of(service.address(), "http", "").await;
    let host = host(&client.id());
    let mut kept = bed.visitor().connect().await;
    for _ in 0..50 {
        kept.ready().await.unwrap();
        let answer = kept.send_request(request(&host, "GET", "/", Empty::<Bytes>::new())).await.unwrap();
        assert_eq!(whole(answer).await.text(), "right");
    }
    row.carried_with("as HTTP has it: the promised length ends the answer; the connection to the service is not used again");
}

#[tokio::test]
async fn an_answer_may_end_with_its_connection() {
    let row = row!(Bodies, "Answer of unknown length that ends with the connection: whole, and a clean end");
    let body = "a line\n".repeat(100_000);
    let service = saying(format!("HTTP/1.0 200 OK\r\nServer: old\r\n\r\n{body}"), Then::Close).await;
    let bed = Bed::start().await;
    let client = bed.client_of(service.address(), "http", "").await;
    let host = host(&client.id());
    assert_eq!(bed.visitor().get(&host, "/").await.text(), body);
    let mut sender = bed.visitor().connect_h2().await;
    let answer = sender.send_request(h2_request(&host, "GET", "/", Empty::<Bytes>::new())).await.unwrap();
    assert_eq!(whole(answer).await.text(), body);
    let (answer, end) = raw_answer(&bed, &client, "1.0").await;
    assert!(answer.ends_with(&body) && end.is_none());
    row.carried();
}

/// The visitor sees by the length that there is less, and a reset could take from him what came before.
#[tokio::test]
async fn a_cut_answer_whose_length_was_told_ends_without_a_reset_for_http10() {
    let service = saying("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nfive!".to_owned(), Then::Close).await;
    let bed = Bed::start().await;
    let client = bed.client_of(service.address(), "http", "").await;
    let (answer, end) = raw_answer(&bed, &client, "1.0").await;
    assert!(answer.ends_with("five!") && end.is_none(), "{answer} {end:?}");
}

async fn get(bed: &Bed, client: &BedClient) -> Answer {
    bed.visitor().get(&host(&client.id()), "/").await
}

#[tokio::test]
async fn what_is_no_answer_is_called_that() {
    let rows = [
        row!(
            Broken,
            "Answers that two readers could read differently (two lengths, length and chunked, folded fields, ...): 502"
        ),
        row!(Broken, "Something that is no HTTP, or not the one that was set up: 502"),
        row!(Broken, "A service that closes without an answer: 502; one that says nothing: 504"),
    ];
    let bed = Bed::start().await;
    let many: String = (0..300).map(|number| format!("X-{number}: 1\r\n")).collect();
    let ok = "HTTP/1.1 200 OK\r\n";
    for (said, why) in [
        ("SSH-2.0-OpenSSH_9.2\r\n".to_owned(), "another protocol"),
        (format!("{ok}Content-Length: 5\r\nContent-Length: 6\r\n\r\nfive!!"), "two lengths"),
        (
            format!("{ok}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
            "length and chunked",
        ),
        (format!("{ok}Content-Length: -5\r\n\r\n"), "no length"),
        (format!("{ok}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"), "another coding"),
        (format!("{ok}X: a\r\n folded\r\nContent-Length: 0\r\n\r\n"), "folded"),
        (format!("{ok}X : a\r\nContent-Length: 0\r\n\r\n"), "space before the colon"),
        (format!("{ok}{many}Content-Length: 0\r\n\r\n"), "too many fields"),
        (format!("{ok}X: {}\r\nContent-Length: 0\r\n\r\n", "x".repeat(70_000)), "a field too long"),
        (
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n".to_owned(),
            "not asked for",
        ),
        ("HTTP/2.0 200 OK\r\n\r\n".to_owned(), "a version that is none"),
        ("<html>it works</html>\r\n\r\n".to_owned(), "HTTP/0.9"),
    ] {
        let service = saying(said.clone(), Then::Wait).await;
        let client = bed.client_of(service.address(), "http", "").await;
        let answer = get(&bed, &client).await;
        let code = answer.petit_error();
        assert_eq!(
            (answer.status.as_u16(), code.as_deref()),
            (502, Some("service-invalid")),
            "{why}: {answer:?}"
        );
    }
    // A service of kind "h2" that speaks HTTP/1.1, and the other way round.
    let h1 = saying("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n", Then::Wait).await;
    let client = bed.client_of(h1.address(), "h2", "").await;
    let answer = get(&bed, &client).await;
    assert_eq!((answer.status.as_u16(), answer.petit_error().as_deref()), (502, Some("service-invalid")));
    let h2 = Service::h2("h2").await;
    let client = bed.client_of(h2.address(), "http", "").await;
    let answer = get(&bed, &client).await;
    assert_eq!((answer.status.as_u16(), answer.petit_error().as_deref()), (502, Some("service-invalid")));

    let service = saying("", Then::Close).await;
    let client = bed.client_of(service.address(), "http", "").await;
    let answer = get(&bed, &client).await;
    assert_eq!((answer.status.as_u16(), answer.petit_error().as_deref()), (502, Some("service-broke")));
    let service = saying("", Then::Wait).await;
    for (kind, service) in [("http", &service), ("h2", &service)] {
        let client = bed.client_of(service.address(), kind, "answer_within = \"1s\"").await;
        let answer = get(&bed, &client).await;
        assert_eq!(
            (answer.status.as_u16(), answer.petit_error().as_deref()),
            (504, Some("service-silent")),
            "{kind}"
        );
    }
    carried(rows);
}

/// A service that takes connections and breaks them off at once.
async fn breaking_off() -> Service {
    Service::speaking("breaks off", |tcp| async move { tcp.set_zero_linger().unwrap() }).await
}

async fn ask_for_a_websocket(bed: &Bed, client: &BedClient) -> Answer {
    let mut asked = request(&host(&client.id()), "GET", "/", Empty::<Bytes>::new());
    for (name, value) in [
        ("connection", "upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ] {
        asked.headers_mut().insert(name, value.parse().unwrap());
    }
    bed.visitor().send(asked).await
}

#[tokio::test]
async fn one_fault_of_a_service_has_one_code_however_its_connection_ends() {
    const ROUNDS: usize = 20;
    let bed = Bed::start().await;
    let ok = "HTTP/1.1 200 OK\r\n";
    for (said, expected) in [
        ("SSH-2.0-OpenSSH_9.2\r\n".to_owned(), "service-invalid"),
        (format!("{ok}Content-Length: 5\r\nContent-Length: 6\r\n\r\nfive!!"), "service-invalid"),
        (format!("{ok}X : a\r\nContent-Le"), "service-invalid"),
        (format!("{ok}Content-Le"), "service-broke"),
        (String::new(), "service-broke"),
    ] {
        for then in [Then::Close, Then::BreakOff] {
            let service = saying(said.clone(), then).await;
            let client = bed.client_of(service.address(), "http", "").await;
            for round in 0..ROUNDS {
                for answer in [get(&bed, &client).await, ask_for_a_websocket(&bed, &client).await] {
                    assert_eq!(answer.petit_error().as_deref(), Some(expected), "{said:?}, round {round}");
                }
            }
        }
    }
    for (kind, expected) in [("http", "service-broke"), ("h2", "service-broke")] {
        let service = breaking_off().await;
        let client = bed.client_of(service.address(), kind, "").await;
        for round in 0..10 * ROUNDS {
            let answer = get(&bed, &client).await;
            assert_eq!(answer.petit_error().as_deref(), Some(expected), "{kind}, round {round}");
        }
    }
    let service = saying("HTTP/1.1 400 Bad Request\r\n\r\n", Then::BreakOff).await;
    let client = bed.client_of(service.address(), "h2", "").await;
    for round in 0..ROUNDS {
        let answer = get(&bed, &client).await;
        assert_eq!(answer.petit_error().as_deref(), Some("service-invalid"), "h2, round {round}");
    }
}

#[tokio::test]
async fn an_early_answer_is_heard_by_a_visitor_who_is_still_sending() {
    let row = row!(Broken, "A service that answers before it has read the body (413 and the like) is heard");
    let service = scripted::service(Manner::h1(), |_| async {
        let mut answer = Response::new(text("too much"));
        *answer.status_mut() = StatusCode::PAYLOAD_TOO_LARGE;
        answer.headers_mut().insert("connection", "close".parse().unwrap());
        answer
    })
    .await;
    let bed = Bed::start().await;
    let client = bed.client_of(service.address(), "http", "").await;
    let host = host(&client.id());
    for h2 in [false, true] {
        // The visitor never comes to its end.
        let (pen, body) = scripted::written();
        let sending = tokio::spawn(async move { while pen.write(vec![7; 10_000]).await {} });
        let answer = if h2 {
            let mut sender = bed.visitor().connect_h2().await;
            soon("an answer", sender.send_request(h2_request(&host, "POST", "/", body))).await.unwrap()
        } else {
            bed.visitor().open(request(&host, "POST", "/", body)).await
        };
        let answer = whole(answer).await;
        assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE, "HTTP/2: {h2}: {answer:?}");
        assert_eq!(answer.text(), "too much");
        sending.abort();
    }
    row.carried();
}

/// The service has answered as soon as it had the head, and reads the body all the same.
#[tokio::test]
async fn an_upload_that_goes_on_behind_a_whole_answer_arrives_whole() {
    const BYTES: usize = 200_000;
    let (counted, mut counts) = tokio::sync::mpsc::unbounded_channel();
    let service = scripted::raw(move |_, mut tcp| {
        let counted = counted.clone();
        async move {
            tcp.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.unwrap();
            let mut body = Vec::new();
            let end = tcp.read_to_end(&mut body).await;
            counted.send((body.len(), end.is_ok())).unwrap();
        }
    })
    .await;
    let bed = Bed::start().await;
    let client = bed.client_of(service.address(), "http", "").await;
    for _ in 0..20 {
        let mut tcp = bed.visitor().tcp().await;
        let head =
            format!("POST / HTTP/1.1\r\nHost: {}\r\nContent-Length: {BYTES}\r\n\r\n", host(&client.id()));
        tcp.write_all(head.as_bytes()).await.unwrap();
        tcp.write_all(b"be").await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\nok") {
            assert_ne!(soon("the answer", tcp.read_buf(&mut answer)).await.unwrap(), 0);
        }
        tcp.write_all(&vec![b'x'; BYTES - 2]).await.unwrap();
        assert_eq!(soon("the whole body", counts.recv()).await, Some((BYTES, true)));
    }
}

#[tokio::test]
async fn an_upload_that_goes_on_behind_its_answer_keeps_its_place() {
    let service = scripted::raw(|_, mut tcp| async move {
        tcp.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.unwrap();
        scripted::gone(&mut tcp).await;
    })
    .await;
    let bed = Bed::with("limits = { requests_per_service = 2 }").await;
    let client = bed.client_of(service.address(), "http", "").await;
    let host = host(&client.id());
    let post = async || {
        let mut tcp = bed.visitor().tcp().await;
        let head = format!("POST / HTTP/1.1\r\nHost: {host}\r\nContent-Length: 4\r\n\r\nbe");
        tcp.write_all(head.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\nok") && !answer.ends_with(b"}") {
            assert_ne!(soon("the answer", tcp.read_buf(&mut answer)).await.unwrap(), 0);
        }
        (tcp, String::from_utf8_lossy(&answer).into_owned())
    };
    let (mut first, said) = post().await;
    assert!(said.starts_with("HTTP/1.1 200"), "{said}");
    let (_second, said) = post().await;
    assert!(said.starts_with("HTTP/1.1 200"), "{said}");
    let (_third, said) = post().await;
    assert!(said.starts_with("HTTP/1.1 503") && said.contains("busy"), "{said}");
    first.write_all(b"en").await.unwrap();
    let free = async { while !post().await.1.starts_with("HTTP/1.1 200") {} };
    soon("a place that is free", free).await;
}

/// The service has begun its answer before the upload has come to its end, and then the upload breaks: neither the half
/// of it that the service has nor the answer to it may look whole.
#[tokio::test]
async fn an_upload_that_breaks_after_its_answer_has_begun_breaks_the_answer_too() {
    let service = scripted::raw(|_, mut tcp| async move {
        let mut seen = Vec::new();
        while !seen.ends_with(b"hello\r\n") {
            tcp.read_buf(&mut seen).await.unwrap();
        }
        tcp.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfirst").await.unwrap();
        scripted::gone(&mut tcp).await;
        // Whoever takes what has come for a whole upload says the rest.
        let _ = tcp.write_all(b"later").await;
    })
    .await;
    let bed = Bed::start().await;
    let client = bed.client_of(service.address(), "http", "").await;
    let mut tcp = bed.visitor().tcp().await;
    let head =
        format!("POST / HTTP/1.1\r\nHost: {}\r\nTransfer-Encoding: chunked\r\n\r\n", host(&client.id()));
    tcp.write_all(head.as_bytes()).await.unwrap();
    tcp.write_all(b"5\r\nhello\r\n").await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"first") {
        assert_ne!(soon("the answer", tcp.read_buf(&mut answer)).await.unwrap(), 0);
    }
    // No size of a chunk.
    tcp.write_all(b"zz\r\n").await.unwrap();
    let _ = soon("the end", tcp.read_to_end(&mut answer)).await;
    assert!(answer.ends_with(b"first"), "{}", String::from_utf8_lossy(&answer));
}

#[tokio::test]
async fn a_service_of_http2_may_close_its_connections_as_it_likes() {
    let rows = [
        row!(Broken, "HTTP/2 service that says GOAWAY after every answer: no request is lost"),
        row!(Broken, "HTTP/2 service that takes one stream at a time: the others wait and are answered"),
        row!(Broken, "HTTP/2 service that refuses every other stream (REFUSED_STREAM): asked again, once"),
    ];
    let leaving = Service::speaking("h2", |tcp| async move {
        let Ok(mut connection) = h2::server::handshake(tcp).await else { return };
        let mut left = false;
        // Whatever was under way when it said that it leaves is answered.
        while let Some(Ok((_, mut answer))) = connection.accept().await {
            if !std::mem::replace(&mut left, true) {
                connection.graceful_shutdown();
            }
            let mut stream = answer.send_response(Response::new(()), false).unwrap();
            stream.send_data(Bytes::from("done"), true).unwrap();
        }
    })
    .await;
    let single = Service::speaking("h2", |tcp| async move {
        let mut builder = h2::server::Builder::new();
        let Ok(mut connection) = builder.max_concurrent_streams(1).handshake::<_, Bytes>(tcp).await else {
            return;
        };
        while let Some(Ok((_, mut answer))) = connection.accept().await {
            let mut stream = answer.send_response(Response::new(()), false).unwrap();
            stream.send_data(Bytes::from("done"), true).unwrap();
        }
    })
    .await;
    let bed = Bed::start().await;
    let refusing = Service::speaking("h2", |tcp| async move {
        let Ok(mut connection) = h2::server::handshake(tcp).await else { return };
        let mut count = 0;
        while let Some(Ok((_, mut answer))) = connection.accept().await {
            count += 1;
            if count % 2 == 0 {
                answer.send_reset(h2::Reason::REFUSED_STREAM);
                continue;
            }
            let mut stream = answer.send_response(Response::new(()), false).unwrap();
            stream.send_data(Bytes::from("done"), true).unwrap();
        }
    })
    .await;
    for service in [&leaving, &single, &refusing] {
        let client = bed.client_of(service.address(), "h2", "").await;
        let (visitor, host) = (bed.visitor(), host(&client.id()));
        for _ in 0..20 {
            assert_eq!(visitor.get(&host, "/").await.text(), "done");
        }
        let mut at_once = tokio::task::JoinSet::new();
        for _ in 0..20 {
            let asked = request(&host, "GET", "/", Full::<Bytes>::default());
            at_once.spawn(async move { visitor.send(asked).await });
        }
        for answer in at_once.join_all().await {
            assert_eq!(answer.text(), "done");
        }
    }
    carried(rows);
}

#[tokio::test]
async fn a_service_may_take_its_time_over_every_byte() {
    let row = row!(Broken, "A service that sends its head and body byte by byte: it arrives whole");
    let service = scripted::raw(|_, mut tcp| async move {
        tcp.set_nodelay(true).unwrap();
        for byte in b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\nX-Slow: yes\r\n\r\nslowly" {
            tcp.write_all(&[*byte]).await.unwrap();
            tokio::task::yield_now().await;
        }
        scripted::gone(&mut tcp).await;
    })
    .await;
    let bed = Bed::start().await;
    let client = bed.client_of(service.address(), "http", "").await;
    let answer = get(&bed, &client).await;
    assert_eq!((answer.text().as_str(), answer.headers["x-slow"].as_bytes()), ("slowly", &b"yes"[..]));
    row.carried();
}
