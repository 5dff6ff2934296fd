//! Special forms of requests and answers, byte by byte where it matters.

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Full};
use hyper::{Response, StatusCode};
use petit_tests::bed::Bed;
use petit_tests::conformance::carried;
use petit_tests::scripted::{self, AnyBody, Manner, text};
use petit_tests::service::Service;
use petit_tests::visitor::{Answer, h2_request, host, request, whole};
use petit_tests::{row, soon};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Sends bytes and returns what comes back until the server closes.
async fn exchange(bed: &Bed, bytes: &str) -> String {
    String::from_utf8(bed.visitor().raw(bytes.as_bytes()).await).unwrap()
}

#[tokio::test]
async fn a_body_is_asked_for_only_when_it_has_somewhere_to_go() {
    let accepted = row!(Messages, "Expect: 100-continue, taken: 100, then the body, then the answer");
    let refused = row!(
        Messages,
        "Expect: 100-continue, refused by Petit (no such service, too long, another expectation)"
    );
    let by_service = row!(Messages, "Expect: 100-continue, refused by the service");
    let bed = Bed::start().await;
    let refusing = scripted::service(Manner::h1(), |request| async move {
        assert!(!request.headers().contains_key("expect"), "the expectation has been met already");
        let mut answer = Response::new(text("no"));
        let status = if request.uri().path() == "/no" { StatusCode::FORBIDDEN } else { StatusCode::OK };
        *answer.status_mut() = status;
        answer
    })
    .await;
    let client = bed.client_of(refusing.address(), "http", "max_body = \"1KB\"").await;
    client.until_green("web").await;
    let host = host(&client.id());
    let head = |host: &str, path: &str, length: usize, expectation: &str| {
        format!(
            "POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {length}\r\nExpect: {expectation}\r\n\
             Connection: close\r\n\r\n"
        )
    };

    let mut tcp = bed.visitor().tcp().await;
    tcp.write_all(head(&host, "/", 5, "100-continue").as_bytes()).await.unwrap();
    assert_eq!(
        soon("the interim answer", scripted::head(&mut tcp)).await.unwrap(),
        "HTTP/1.1 100 Continue\r\n\r\n"
    );
    tcp.write_all(b"hello").await.unwrap();
    let mut rest = String::new();
    soon("the answer", tcp.read_to_string(&mut rest)).await.unwrap();
    assert!(rest.starts_with("HTTP/1.1 200 OK"), "{rest}");
    accepted.carried();

    for (head, status) in [
        (head("nobody.localhost", "/", 5, "100-continue"), "404"),
        (head(&host, "/", 1001, "100-continue"), "413"),
        (head(&host, "/", 5, "200-ok"), "417"),
    ] {
        let answer = exchange(&bed, &head).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "no 100 before {status}: {answer}");
    }
    refused.carried();

    let mut tcp = bed.visitor().tcp().await;
    tcp.write_all(head(&host, "/no", 5, "100-continue").as_bytes()).await.unwrap();
    let interim = soon("the interim answer", scripted::head(&mut tcp)).await.unwrap();
    assert_eq!(interim, "HTTP/1.1 100 Continue\r\n\r\n");
    let last =
        soon("the refusal, though no byte of the body was sent", scripted::head(&mut tcp)).await.unwrap();
    assert!(last.starts_with("HTTP/1.1 403 "), "{last}");
    by_service.instead(
        "Petit says 100 itself when the stream to the service is open; the refusal follows it at once",
    );
}

#[tokio::test]
async fn interim_answers_of_a_service_do_not_disturb_its_final_one() {
    let row = row!(Messages, "103 Early Hints and other 1xx from a service (HTTP/1.1 and HTTP/2)");
    let hints =
        "HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n";
    let h1 = scripted::raw(move |_, mut tcp| async move {
        let last = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-Last: yes\r\n\r\nfinal";
        let answer = format!("{hints}{hints}{last}");
        tcp.write_all(answer.as_bytes()).await.unwrap();
        while scripted::head(&mut tcp).await.is_some() {
            tcp.write_all(answer.as_bytes()).await.unwrap();
        }
    })
    .await;
    let h2 = Service::speaking("h2", |tcp| async move {
        let mut connection = h2::server::handshake(tcp).await.unwrap();
        while let Some(Ok((_, mut answer))) = connection.accept().await {
            for _ in 0..2 {
                let hint = Response::builder().status(103).header("link", "</a.css>; rel=preload");
                answer.send_informational(hint.body(()).unwrap()).unwrap();
            }
            let last = Response::builder().header("x-last", "yes").body(()).unwrap();
            answer.send_response(last, false).unwrap().send_data(Bytes::from("final"), true).unwrap();
        }
    })
    .await;
    let bed = Bed::start().await;
    for (service, kind) in [(&h1, "http"), (&h2, "h2")] {
        let client = bed.client_of(service.address(), kind, "").await;
        let host = host(&client.id());
        for _ in 0..3 {
            let answer = bed.visitor().get(&host, "/").await;
            assert_eq!((answer.status, answer.text().as_str()), (StatusCode::OK, "final"), "{kind}");
            assert_eq!(answer.headers["x-last"], "yes");
            assert!(!answer.headers.contains_key("link"), "what was only hinted at is no part of the answer");
        }
        let mut sender = bed.visitor().connect_h2().await;
        let answer = sender.send_request(h2_request(&host, "GET", "/", Empty::<Bytes>::new())).await.unwrap();
        assert_eq!(whole(answer).await.text(), "final");
    }
    row.instead("the final answer arrives intact; the interim ones are dropped, because hyper can send none to visitors");
}

#[tokio::test]
async fn head_and_options_are_answered_by_whoever_was_asked() {
    let rows = [
        row!(Messages, "HEAD: the length of the body and no body, on a connection that goes on"),
        row!(Messages, "OPTIONS of a path (CORS preflight): the service's answer"),
        row!(Messages, "OPTIONS *: answered by Petit, never passed on"),
        row!(
            Messages,
            "Any other method passes (PROPFIND, QUERY, names of one's own); CONNECT and TRACE are refused"
        ),
    ];
    let service = scripted::service(Manner::h1(), |request| async move {
        let mut answer = Response::new(text(format!("{} {}", request.method(), request.uri())));
        answer.headers_mut().insert("access-control-allow-origin", "https://a.example".parse().unwrap());
        answer
    })
    .await;
    let bed = Bed::start().await;
    let client = bed.client_of(service.address(), "http", "").await;
    let host = host(&client.id());

    let get = format!("GET /a HTTP/1.1\r\nHost: {host}\r\n\r\n");
    let last = format!("GET /b HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    let head = format!("HEAD /a HTTP/1.1\r\nHost: {host}\r\n\r\n");
    let answers = exchange(&bed, &format!("{head}{get}{head}{last}")).await;
    let pieces: Vec<&str> = answers.split("HTTP/1.1 200 OK\r\n").skip(1).collect();
    assert_eq!(pieces.len(), 4, "{answers}");
    for (piece, body) in pieces.iter().zip(["", "GET /a", "", "GET /b"]) {
        let (fields, found) = piece.split_once("\r\n\r\n").unwrap();
        let length = if body.is_empty() { "HEAD /a".len() } else { body.len() };
        assert!(fields.to_lowercase().contains(&format!("content-length: {length}")), "{piece}");
        assert_eq!(found, body);
    }

    for h2 in [false, true] {
        let ask = |method: &'static str, target: &'static str| {
            let (visitor, host) = (bed.visitor(), host.clone());
            async move {
                if h2 {
                    let mut sender = visitor.connect_h2().await;
                    let asked = h2_request(&host, method, target, Empty::<Bytes>::new());
                    whole(sender.send_request(asked).await.unwrap()).await
                } else {
                    visitor.send(request(&host, method, target, Empty::<Bytes>::new())).await
                }
            }
        };
        let preflight = ask("OPTIONS", "/api").await;
        assert_eq!(preflight.text(), "OPTIONS /api");
        assert_eq!(preflight.headers["access-control-allow-origin"], "https://a.example");
        for method in ["PROPFIND", "QUERY", "PURGE", "x-my-own"] {
            assert_eq!(ask(method, "/").await.text(), format!("{method} /"));
        }
        assert_eq!(ask("TRACE", "/").await.status, StatusCode::METHOD_NOT_ALLOWED);
    }
    let star = format!("OPTIONS * HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    let before = service.accepted();
    assert!(exchange(&bed, &star).await.starts_with("HTTP/1.1 204 "), "answered by the server itself");
    assert_eq!(service.accepted(), before);
    let connect = format!("CONNECT {host}:443 HTTP/1.1\r\nHost: {host}:443\r\nConnection: close\r\n\r\n");
    assert!(exchange(&bed, &connect).await.starts_with("HTTP/1.1 405 "));
    carried(rows);
}

#[tokio::test]
async fn a_visitor_of_http_1_0_gets_one_answer_that_it_can_read() {
    let rows = [row!(
        Versions,
        "HTTP/1.0 visitor: never a chunked answer, the connection always ends, keep-alive is not offered"
    )];
    let service = scripted::service(Manner::h1(), |request| async move {
        assert_eq!(request.version(), hyper::Version::HTTP_11, "services are always asked in 1.1");
        if request.uri().path() == "/unknown" {
            let (pen, body) = scripted::written();
            tokio::spawn(async move {
                for piece in ["one ", "two ", "three"] {
                    pen.write(piece).await;
                }
            });
            return Response::new(body);
        }
        Response::new(text("known"))
    })
    .await;
    let bed = Bed::start().await;
    let client = bed.client_of(service.address(), "http", "").await;
    let host = host(&client.id());
    for (more, path, body) in [
        ("", "/", "known"),
        ("Connection: keep-alive\r\n", "/", "known"),
        ("Connection: keep-alive\r\n", "/unknown", "one two three"),
    ] {
        let asked = format!("GET {path} HTTP/1.0\r\nHost: {host}\r\n{more}\r\n");
        let answer = exchange(&bed, &asked).await;
        let (head, found) = answer.split_once("\r\n\r\n").unwrap();
        let head = head.to_lowercase();
        assert!(head.starts_with("http/1.0 200 ok"), "{answer}");
        assert!(!head.contains("transfer-encoding") && !head.contains("keep-alive"), "{answer}");
        assert_eq!(found, body);
    }
    let nameless = exchange(&bed, "GET / HTTP/1.0\r\n\r\n").await;
    assert!(nameless.contains(" 400 "), "without a Host there is no telling whom it is for: {nameless}");
    carried(rows);
}

#[tokio::test]
async fn many_requests_may_be_sent_before_the_first_is_answered() {
    let row = row!(Messages, "Pipelined requests: answered one by one, in order");
    let service = Service::http("s").await;
    let bed = Bed::start().await;
    let client = bed.client_of(service.address(), "http", "").await;
    let host = host(&client.id());
    let mut asked: String =
        (1..20).map(|n| format!("GET /bytes/{n} HTTP/1.1\r\nHost: {host}\r\n\r\n")).collect();
    asked.push_str(&format!("GET /bytes/20 HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"));
    let answers = bed.visitor().raw(asked.as_bytes()).await;
    let text = String::from_utf8_lossy(&answers);
    let lengths: Vec<usize> = text
        .lines()
        .filter_map(|line| {
            line.to_lowercase().strip_prefix("content-length: ").map(|n| n.trim().parse().unwrap())
        })
        .collect();
    assert_eq!(lengths, (1..=20).collect::<Vec<_>>());
    row.carried();
}

#[tokio::test]
async fn answers_that_have_no_body_have_none() {
    let row = row!(Messages, "204, 205 and 304 have no body, and the connection goes on");
    let service = Service::http("s").await;
    let bed = Bed::start().await;
    let client = bed.client_of(service.address(), "http", "").await;
    let host = host(&client.id());
    let mut sender = bed.visitor().connect().await;
    for status in [204, 205, 304, 200] {
        sender.ready().await.unwrap();
        let path = format!("/status/{status}");
        let asked = request(&host, "GET", &path, Full::<Bytes>::default());
        let answer = soon("an answer", sender.send_request(asked)).await.unwrap();
        assert_eq!(answer.status(), status);
        assert!(answer.into_body().collect().await.unwrap().to_bytes().is_empty());
    }
    row.carried();
}

#[tokio::test]
async fn a_service_gets_no_longer_body_than_it_takes() {
    let row = row!(
        Bodies,
        "A body longer than max_body: 413, whether its length was said or not, while the visitor still sends"
    );
    let service = Service::http("s").await;
    let bed = Bed::start().await;
    let client = bed.client_of(service.address(), "http", "max_body = \"100KB\"").await;
    let host = host(&client.id());
    for h2 in [false, true] {
        for (length, known, status) in [(100_000, true, 200), (100_001, true, 413), (100_000, false, 200)] {
            assert!(known || length <= 100_000);
            let answer = upload(&bed, &host, h2, length, known).await;
            assert_eq!(answer.status.as_u16(), status, "{length}, HTTP/2: {h2}: {answer:?}");
        }
        let answer = upload(&bed, &host, h2, 50_000_000, false).await;
        assert_eq!((answer.status.as_u16(), answer.petit_error().as_deref()), (413, Some("body-too-long")));
    }
    row.carried();
}

/// Uploads so many bytes, whose length is said before, or not.
async fn upload(bed: &Bed, host: &str, h2: bool, length: usize, known: bool) -> Answer {
    let body: AnyBody = if known {
        text(vec![7; length])
    } else {
        let (pen, body) = scripted::written();
        tokio::spawn(async move {
            for piece in vec![7; length].chunks(10_000) {
                if !pen.write(piece.to_vec()).await {
                    return;
                }
            }
        });
        body
    };
    if h2 {
        let mut sender = bed.visitor().connect_h2().await;
        whole(soon("an answer", sender.send_request(h2_request(host, "POST", "/sum", body))).await.unwrap())
            .await
    } else {
        bed.visitor().send(request(host, "POST", "/sum", body)).await
    }
}
