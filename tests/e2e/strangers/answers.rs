//! Services that answer what they should not: the visitor gets one clear answer or an error, never a half of one
//! that looks whole, and never somebody else's.

use std::sync::Arc;
use std::time::Duration;

use petit_tests::bed::Bed;
use petit_tests::raw::{Outcome, Scripted, Then, exchange};
use petit_tests::scripted;
use petit_tests::soon;
use petit_tests::visitor::host;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Notify;

use super::h2::{DATA, END_HEADERS, END_STREAM, HEADERS, SETTINGS, field, frame};

const QUIET: Duration = Duration::from_millis(400);

async fn answered(answer: &str, then: Then) -> Outcome {
    let bed = Bed::start().await;
    let service = Scripted::answering(answer, then).await;
    let client = bed.client_with(&[("web", service.address(), "http")]).await;
    client.until_green("web").await;
    let request = format!("GET / HTTP/1.1\r\nHost: {}\r\n\r\n", host(&client.id()));
    exchange(bed.http(), request.as_bytes(), QUIET).await
}

/// Rule 10: heads that are not HTTP, or that two readers could frame differently.
#[tokio::test]
async fn answers_that_are_no_clear_http_become_a_502() {
    for answer in [
        "garbage\r\n\r\n",
        "HTTP/1.1\r\n\r\n",
        "HTTP/1.1 20 OK\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/3.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok!",
        "HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX: 1\r\n folded\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nX Y: 1\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        "",
    ] {
        let outcome = answered(answer, Then::Close).await;
        assert_eq!(outcome.statuses(), [502], "{answer:?} became {:?}", outcome.text());
        assert!(outcome.text().contains("petit-error: service-"), "{:?}", outcome.text());
    }
    let many: String = (0..250).map(|n| format!("X-{n}: 1\r\n")).collect();
    let outcome = answered(&format!("HTTP/1.1 200 OK\r\n{many}\r\n"), Then::Close).await;
    assert_eq!(outcome.statuses(), [502], "too many fields");
    let endless = format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "a".repeat(200_000));
    assert_eq!(answered(&endless, Then::Close).await.statuses(), [502], "too large a head");
}

/// What a service of HTTP/2 answers every request with: fields as they are, and a body.
async fn answered_over_h2(fields: &[(&str, &str)], body: &'static str) -> Outcome {
    let head: Vec<u8> = fields.iter().flat_map(|(name, value)| field(name, value)).collect();
    let bed = Bed::start().await;
    // The first head is the beginning of the preface.
    let service = scripted::raw(move |_, mut tcp| {
        let head = head.clone();
        async move {
            let mut rest = [0; 6];
            let _ = tcp.read_exact(&mut rest).await;
            let _ = tcp.write_all(&frame(SETTINGS, 0, 0, &[])).await;
            let mut header = [0; 9];
            while tcp.read_exact(&mut header).await.is_ok() {
                let [a, b, c, kind, _, stream @ ..] = header;
                let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
                let _ = tcp.read_exact(&mut payload).await;
                if kind == HEADERS {
                    let stream = u32::from_be_bytes(stream);
                    let answer = [
                        frame(HEADERS, END_HEADERS, stream, &head),
                        frame(DATA, END_STREAM, stream, body.as_bytes()),
                    ];
                    let _ = tcp.write_all(&answer.concat()).await;
                }
            }
        }
    })
    .await;
    let client = bed.client_of(service.address(), "h2", "").await;
    let request = format!("GET / HTTP/1.1\r\nHost: {}\r\n\r\n", host(&client.id()));
    exchange(bed.http(), request.as_bytes(), QUIET).await
}

/// The same rules for services of HTTP/2, which has a framing of its own: its fields go on to visitors of HTTP/1.1.
#[tokio::test]
async fn answers_of_http2_are_judged_like_all_others() {
    let fine = answered_over_h2(&[(":status", "200"), ("content-length", "2")], "ok").await;
    assert!(fine.statuses() == [200] && fine.text().ends_with("ok"), "{:?}", fine.text());
    for bad in ["02", "", "+2", "2, 2"] {
        let outcome = answered_over_h2(&[(":status", "200"), ("content-length", bad)], "ok").await;
        assert_eq!(outcome.statuses(), [502], "{bad:?} became {:?}", outcome.text());
        assert!(outcome.text().contains("petit-error: service-"), "{:?}", outcome.text());
    }
    let names: Vec<String> = (0..250).map(|number| format!("x-{number}")).collect();
    let many: Vec<(&str, &str)> =
        [(":status", "200")].into_iter().chain(names.iter().map(|name| (name.as_str(), "1"))).collect();
    assert_eq!(answered_over_h2(&many, "ok").await.statuses(), [502], "too many fields");
    // An answer without a body that has one: whoever believed it would read the begin of the next answer as another.
    let outcome = answered_over_h2(&[(":status", "204"), ("content-length", "5")], "extra").await;
    assert_eq!(outcome.statuses(), [204], "{:?}", outcome.text());
    assert!(
        outcome.text().ends_with("\r\n\r\n") && !outcome.text().contains("content-length"),
        "{:?}",
        outcome.text()
    );
}

#[tokio::test]
async fn an_answer_that_looks_like_a_refusal_of_petits_own_is_the_services() {
    for body in ["", "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n"] {
        let answer = format!("HTTP/1.1 400 Bad Request\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        let text = answered(&answer, Then::Hold).await.text();
        assert!(text.starts_with("HTTP/1.1 400 ") && text.ends_with(&format!("\r\n\r\n{body}")), "{text:?}");
        assert!(!text.contains("petit-error"), "{text:?}");
    }
    // The last piece of a body, which comes by itself once the head has been taken.
    let late = "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n";
    let has_head = Arc::new(Notify::new());
    let bed = Bed::start().await;
    let waiting = Arc::clone(&has_head);
    let service = scripted::raw(move |_, mut tcp| {
        let waiting = Arc::clone(&waiting);
        async move {
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", late.len());
            let _ = tcp.write_all(head.as_bytes()).await;
            waiting.notified().await;
            let _ = tcp.write_all(late.as_bytes()).await;
            scripted::gone(&mut tcp).await;
        }
    })
    .await;
    let client = bed.client_of(service.address(), "http", "").await;
    let mut tcp = bed.visitor().tcp().await;
    let request = format!("GET / HTTP/1.1\r\nHost: {}\r\n\r\n", host(&client.id()));
    tcp.write_all(request.as_bytes()).await.unwrap();
    let head = soon("a head", scripted::head(&mut tcp)).await.unwrap();
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    has_head.notify_one();
    let mut body = vec![0; late.len()];
    soon("a body", tcp.read_exact(&mut body)).await.unwrap();
    assert_eq!(String::from_utf8(body).unwrap(), late);
}

#[tokio::test]
async fn an_answer_that_is_cut_never_looks_whole() {
    for (answer, then) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this", Then::Close),
        ("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this", Then::Reset),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nonly this\r\n", Then::Close),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nonly", Then::Reset),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nonly this\r\n0\r\n\r\n", Then::Close),
    ] {
        let outcome = answered(answer, then).await;
        let text = outcome.text();
        // One that had begun is broken off; before that there is room for an error.
        assert!(outcome.closed || outcome.statuses() == [502], "{answer:?}: {text:?}");
        assert!(!text.ends_with("0\r\n\r\n"), "{answer:?} ended as if it were whole: {text:?}");
        let body = text.split_once("\r\n\r\n").map(|(_, body)| body.len()).unwrap_or_default();
        assert!(!text.starts_with("HTTP/1.1 200") || body < 100, "{text:?}");
    }
}

#[tokio::test]
async fn what_is_beyond_an_answer_is_nobodys_answer() {
    // Two answers to one request: the second is for nobody.
    let twice =
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfirstHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecond";
    let bed = Bed::start().await;
    let service = Scripted::answering(twice, Then::Hold).await;
    let client = bed.client_with(&[("web", service.address(), "http")]).await;
    client.until_green("web").await;
    let host = host(&client.id());
    for _ in 0..5 {
        let answer = bed.visitor().get(&host, "/").await;
        assert_eq!(answer.text(), "first", "a connection with more on it is not used again");
    }
}

#[tokio::test]
async fn informational_answers_and_their_floods_do_not_confuse_the_one_that_counts() {
    for early in [
        "HTTP/1.1 100 Continue\r\n\r\n",
        "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n",
        "HTTP/1.1 199 x\r\n\r\n",
    ] {
        let flood = early.repeat(200);
        let outcome =
            answered(&format!("{flood}HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"), Then::Hold).await;
        assert_eq!(outcome.statuses(), [200], "{early:?}: {:?}", outcome.text());
        assert!(outcome.text().ends_with("ok"));
    }
}

#[tokio::test]
async fn a_service_says_nothing_that_only_petit_may_say() {
    let answer = "HTTP/1.1 200 OK\r\nPetit-Error: client-away\r\nConnection: close, x-hop\r\nX-Hop: 1\r\n\
                  Keep-Alive: timeout=5\r\nSet-Cookie: a=1; Domain=localhost; Path=/\r\nSet-Cookie: b=2\r\n\
                  Content-Length: 2\r\n\r\nok";
    let text = answered(answer, Then::Close).await.text().to_ascii_lowercase();
    for gone in ["petit-error", "x-hop", "keep-alive", "domain="] {
        assert!(!text.contains(gone), "{gone} in {text}");
    }
    assert!(text.contains("set-cookie: a=1; path=/\r\n") && text.contains("set-cookie: b=2\r\n"), "{text}");
}
