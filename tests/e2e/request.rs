//! Requests and answers: bodies of all sizes, keep-alive, many at once, visitors who leave, heads as they arrive.

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Full};
use hyper::{Method, StatusCode};
use petit_tests::bed::Bed;
use petit_tests::pattern::Pattern;
use petit_tests::service::Service;
use petit_tests::visitor::{host, request, sum, whole};
use petit_tests::{PATIENCE, soon};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[tokio::test]
async fn bodies_of_all_sizes_arrive_whole_in_both_directions() {
    let bed = Bed::start().await;
    let service = Service::http("s").await;
    let client = bed.client(&service).await;
    let host = host(&client.id());
    for length in [0_u64, 1, 1 << 20] {
        let answer = bed
            .visitor()
            .open(request(&host, "GET", &format!("/bytes/{length}"), Empty::<Bytes>::new()))
            .await;
        assert_eq!(answer.headers()["content-length"], length.to_string().as_str());
        assert_eq!(sum(answer.into_body()).await.unwrap(), (length, Pattern::sum(length)));
        let answer = bed.visitor().send(request(&host, "POST", "/sum", Pattern::new(length))).await;
        assert_eq!(answer.text(), format!("{length} {}", Pattern::sum(length)));
    }
}

#[tokio::test]
async fn a_body_of_unknown_length_is_passed_on_in_chunks() {
    use http_body_util::StreamBody;
    use hyper::body::Frame;
    let bed = Bed::start().await;
    let service = Service::http("s").await;
    let client = bed.client(&service).await;
    let pieces =
        ["one ", "two ", "three"].map(|piece| Ok::<_, std::io::Error>(Frame::data(Bytes::from(piece))));
    let body = StreamBody::new(futures_util::stream::iter(pieces));
    let answer = bed.visitor().send(request(&host(&client.id()), "POST", "/sum", body)).await;
    assert!(answer.text().starts_with("13 "), "{}", answer.text());
    assert_eq!(service.seen("transfer-encoding").as_deref(), Some("chunked"));
}

#[tokio::test]
async fn one_connection_serves_many_requests_on_both_sides() {
    let bed = Bed::start().await;
    let service = Service::http("kept").await;
    let client = bed.client(&service).await;
    let before = service.accepted();
    let mut sender = bed.visitor().connect().await;
    for _ in 0..50 {
        sender.ready().await.unwrap();
        let answer = sender
            .send_request(request(&host(&client.id()), "GET", "/", Empty::<Bytes>::new()))
            .await
            .unwrap();
        assert_eq!(whole(answer).await.text(), "kept");
    }
    assert_eq!(service.accepted() - before, 1, "one connection to the service was enough");
}

#[tokio::test]
async fn a_service_that_closes_after_each_answer_costs_no_request() {
    let bed = Bed::start().await;
    let service = Service::http("s").await;
    let client = bed.client(&service).await;
    for _ in 0..20 {
        assert_eq!(bed.visitor().get(&host(&client.id()), "/close").await.text(), "bye");
    }
}

#[tokio::test]
async fn a_kept_connection_that_the_service_closed_meanwhile_costs_no_request() {
    let bed = Bed::start().await;
    let service = Service::http("first").await;
    let client = bed.client(&service).await;
    let host = host(&client.id());
    for round in 0..10 {
        assert_eq!(bed.visitor().get(&host, "/").await.status, StatusCode::OK, "round {round}");
        // The connection that was just used is in the pool; the service goes and comes back.
    }
    let address = service.stop().await;
    let service = Service::http_on("second", address).await;
    assert_eq!(bed.visitor().get(&host, "/").await.text(), "second");
    drop(service);
}

#[tokio::test]
async fn two_hundred_requests_at_once_are_all_answered() {
    let bed = Bed::start().await;
    let service = Service::http("s").await;
    let client = bed.client(&service).await;
    let (visitor, host) = (bed.visitor(), Arc::new(host(&client.id())));
    let mut visits = tokio::task::JoinSet::new();
    for number in 0..200_u64 {
        let host = Arc::clone(&host);
        visits.spawn(async move {
            let length = number * 997;
            let answer = visitor.get(&host, &format!("/bytes/{length}")).await;
            assert_eq!(answer.body.len() as u64, length);
        });
    }
    while let Some(visit) = visits.join_next().await {
        visit.unwrap();
    }
}

#[tokio::test]
async fn slow_requests_do_not_hold_up_others() {
    let bed = Bed::start().await;
    let service = Service::http("quick").await;
    let client = bed.client(&service).await;
    let (visitor, host) = (bed.visitor(), host(&client.id()));
    let mut slow = tokio::task::JoinSet::new();
    for _ in 0..100 {
        let host = host.clone();
        slow.spawn(async move { visitor.get(&host, "/wait").await.text() });
    }
    service.until_waiting(100).await;
    assert_eq!(visitor.get(&host, "/").await.text(), "quick");
    service.let_go();
    assert!(slow.join_all().await.iter().all(|text| text == "done"));
}

#[tokio::test]
async fn a_visitor_who_hangs_up_closes_the_local_connection() {
    let bed = Bed::start().await;
    let service = Service::http("s").await;
    let client = bed.client(&service).await;
    service.until_open(0).await;
    let (visitor, host) = (bed.visitor(), host(&client.id()));
    let waiting = tokio::spawn(async move { visitor.get(&host, "/wait").await });
    service.until_waiting(1).await;
    waiting.abort();
    service.until_open(0).await;
    service.until_waiting(0).await;
}

#[tokio::test]
async fn a_visitor_who_hangs_up_in_mid_download_closes_the_local_connection() {
    let bed = Bed::start().await;
    let service = Service::http("s").await;
    let client = bed.client(&service).await;
    service.until_open(0).await;
    let huge = request(&host(&client.id()), "GET", "/bytes/100000000000", Empty::<Bytes>::new());
    let mut answer = bed.visitor().open(huge).await;
    answer.body_mut().frame().await.unwrap().unwrap();
    drop(answer);
    service.until_open(0).await;
}

#[tokio::test]
async fn what_the_service_says_is_what_the_visitor_gets() {
    let bed = Bed::start().await;
    let service = Service::http("s").await;
    let client = bed.client(&service).await;
    let host = host(&client.id());
    for status in [201, 204, 304, 400, 404, 418, 500, 502, 503] {
        let answer = bed.visitor().get(&host, &format!("/status/{status}")).await;
        assert_eq!(answer.status.as_u16(), status);
        assert_eq!(answer.petit_error(), None, "{status} is the service's own");
    }
    let forged = bed.visitor().get(&host, "/forged").await;
    assert_eq!((forged.text().as_str(), forged.petit_error()), ("not from Petit", None));
    let head = bed.visitor().send(request(&host, "HEAD", "/bytes/1000", Empty::<Bytes>::new())).await;
    assert_eq!((head.headers["content-length"].as_bytes(), head.body.len()), (&b"1000"[..], 0));
}

#[tokio::test]
async fn the_service_sees_an_honest_request() {
    let bed = Bed::start().await;
    let service = Service::http("s").await;
    let client = bed.client(&service).await;
    let host = host(&client.id());
    let mut asked = request(&host, "PATCH", "/request?q=%41%2f..%2f&x", Full::new(Bytes::from("body")));
    for (name, value) in [
        ("x-forwarded-for", "10.9.8.7"),
        ("forwarded", "for=10.9.8.7"),
        ("petit-probe", "guess"),
        ("connection", "x-mine"),
        ("x-mine", "gone"),
        ("x-kept", "kept"),
        ("authorization", "Bearer t"),
    ] {
        asked.headers_mut().insert(name, value.parse().unwrap());
    }
    let seen = bed.visitor().send(asked).await.json();
    assert_eq!(seen["method"], Method::PATCH.as_str());
    assert_eq!(seen["target"], "/request?q=%41%2f..%2f&x", "byte for byte");
    assert_eq!(seen["version"], "HTTP/1.1");
    let field = |name: &str| {
        let fields = seen["fields"].as_array().unwrap();
        let found: Vec<&str> =
            fields.iter().filter(|field| field[0] == name).map(|field| field[1].as_str().unwrap()).collect();
        assert!(found.len() <= 1, "{name} twice: {found:?}");
        found.first().copied()
    };
    assert_eq!(field("host"), Some(host.as_str()));
    assert_eq!(field("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(field("x-forwarded-proto"), Some("http"));
    assert_eq!(field("x-forwarded-host"), Some(host.as_str()));
    assert_eq!(field("forwarded"), Some(format!("for=127.0.0.1;proto=http;host={host}").as_str()));
    assert_eq!(field("x-kept"), Some("kept"));
    assert_eq!(field("authorization"), Some("Bearer t"));
    for gone in ["petit-probe", "x-mine", "connection"] {
        assert_eq!(field(gone), None);
    }
}

#[tokio::test]
async fn heads_that_could_be_read_in_two_ways_never_reach_the_service() {
    let bed = Bed::start().await;
    let service = Service::http("s").await;
    let client = bed.client(&service).await;
    let host = host(&client.id());
    let before = service.requests();
    for (head, expected) in [
        (format!("GET / HTTP/1.1\r\nHost: {host}\r\nHost: {host}\r\n\r\n"), "400"),
        (format!("GET / HTTP/1.1\r\nHost: {host}, {host}\r\n\r\n"), "400"),
        ("GET / HTTP/1.1\r\n\r\n".to_owned(), "400"),
        (format!("GET http://other.localhost/ HTTP/1.1\r\nHost: {host}\r\n\r\n"), "400"),
        (
            format!("POST / HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
            "501",
        ),
        (
            format!("POST / HTTP/1.1\r\nHost: {host}\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"),
            "400",
        ),
        (format!("POST / HTTP/1.1\r\nHost: {host}\r\nContent-Length: +1\r\n\r\na"), "400"),
        (format!("GET / HTTP/1.1\r\nHost: {host}\r\nX_Forwarded_For: 1\r\n\r\n"), "400"),
        (format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: host\r\n\r\n"), "400"),
        (format!("TRACE / HTTP/1.1\r\nHost: {host}\r\n\r\n"), "405"),
        (format!("CONNECT {host}:443 HTTP/1.1\r\nHost: {host}:443\r\n\r\n"), "405"),
        (format!("GET / HTTP/1.1\r\nHost: {host}\r\nExpect: magic\r\n\r\n"), "417"),
        (format!("GET /a\\b HTTP/1.1\r\nHost: {host}\r\n\r\n"), "400"),
        ("GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".to_owned(), "421"),
        ("GET / HTTP/1.1\r\nHost: example.org\r\n\r\n".to_owned(), "421"),
        (format!("GET / HTTP/1.1\r\nHost : {host}\r\n\r\n"), "400"),
        (format!("GET / HTTP/1.1\r\nHost: {host}\r\n folded: x\r\n\r\n"), "400"),
    ] {
        // hyper answers what it cannot parse itself; both kinds of answer end the connection here.
        let closing = head.replacen("\r\n\r\n", "\r\nConnection: close\r\n\r\n", 1);
        let sent = if head.contains("Connection") { head.clone() } else { closing };
        let mut tcp = tokio::net::TcpStream::connect(bed.http()).await.unwrap();
        tcp.write_all(sent.as_bytes()).await.unwrap();
        let mut status = [0; 12];
        soon("a status", tcp.read_exact(&mut status)).await.unwrap();
        assert_eq!(String::from_utf8_lossy(&status), format!("HTTP/1.1 {expected}"), "{head}");
    }
    assert_eq!(service.requests(), before);
}

#[tokio::test]
async fn a_request_that_comes_round_again_is_stopped() {
    let bed = Bed::start().await;
    // The service of this client is the server's own public front.
    let client = bed.client_with(&[("web", bed.http(), "http")]).await;
    let url = client.url("web").await;
    assert!(url.starts_with("http://"));
    let answer = bed.visitor().get(&host(&client.id()), "/").await;
    // Petit's answer has come back as the service's, so it has lost the field that only Petit may set.
    assert_eq!((answer.status, answer.petit_error()), (StatusCode::LOOP_DETECTED, None));
    assert_eq!(answer.json()["code"], "loop");
}

#[tokio::test]
async fn a_100_continue_comes_when_the_service_takes_the_body() {
    let bed = Bed::start().await;
    let service = Service::http("s").await;
    let client = bed.client(&service).await;
    let mut tcp = tokio::net::TcpStream::connect(bed.http()).await.unwrap();
    let head = format!(
        "POST /sum HTTP/1.1\r\nHost: {}\r\nContent-Length: 5\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n",
        host(&client.id())
    );
    tcp.write_all(head.as_bytes()).await.unwrap();
    let mut seen = [0; 25];
    soon("the interim answer", tcp.read_exact(&mut seen)).await.unwrap();
    assert_eq!(&seen, b"HTTP/1.1 100 Continue\r\n\r\n");
    tcp.write_all(b"hello").await.unwrap();
    let mut answer = String::new();
    soon("the answer", tcp.read_to_string(&mut answer)).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.contains("\r\n\r\n5 2cf24dba"), "{answer}");
    assert_eq!(service.seen("expect"), None);
}

#[tokio::test]
async fn visitors_of_nothing_get_clear_answers() {
    let bed = Bed::start().await;
    let answer = bed.visitor().get("nobody.localhost", "/").await;
    assert_eq!((answer.status.as_u16(), answer.petit_error()), (404, Some("unknown-service".into())));
    assert_eq!(answer.json()["hop"], "server");
    let unregistered = petit_engine::name::RegisteredId::random().unwrap();
    assert_eq!(bed.visitor().get(&host(&unregistered), "/").await.status, StatusCode::NOT_FOUND);
    let page = bed.visitor().get("localhost", "/enroll").await;
    assert!(page.text().contains("invite for Petit"), "a browser that opens an invite is told what to do");
    assert!(PATIENCE.as_secs() > 0);
}

#[tokio::test]
async fn errors_can_have_the_originals_body() {
    let bed = Bed::with("legacy_errors = true").await;
    let answer = bed.visitor().get("nobody.localhost", "/").await;
    assert_eq!(answer.text(), r#"{"g2c":"unavailable"}"#);
    assert_eq!(answer.petit_error().as_deref(), Some("unknown-service"));
}

#[tokio::test]
async fn trusted_proxies_speak_for_their_visitors() {
    let bed = Bed::with("trusted_proxies = [\"127.0.0.0/8\"]").await;
    let service = Service::http("s").await;
    let client = bed.client(&service).await;
    let mut asked = request(&host(&client.id()), "GET", "/", Empty::<Bytes>::new());
    asked.headers_mut().insert("x-forwarded-for", "203.0.113.5".parse().unwrap());
    asked.headers_mut().insert("x-forwarded-proto", "https".parse().unwrap());
    bed.visitor().send(asked).await;
    assert_eq!(service.seen("x-forwarded-for").as_deref(), Some("203.0.113.5, 127.0.0.1"));
    assert_eq!(service.seen("x-forwarded-proto").as_deref(), Some("https"));
}

#[tokio::test]
async fn every_request_has_an_id_of_its_own_that_tells_nothing_of_the_server() {
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..2 {
        let bed = Bed::start().await;
        for _ in 0..2 {
            let answer = bed.visitor().get("nobody.localhost", "/").await.json();
            let id = answer["request"].as_str().unwrap().to_owned();
            let bytes = data_encoding::HEXLOWER.decode(id.as_bytes()).unwrap();
            assert_eq!(bytes.len(), 16);
            let is_text = |byte: &u8| byte.is_ascii_hexdigit();
            assert!(!bytes[..8].iter().all(is_text), "{id} is hex, not the hex of hex");
            assert!(seen.insert(id), "no ID twice, also not of another server");
        }
    }
}
