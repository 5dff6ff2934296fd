//! Requests as raw bytes, rule by rule of the public front, and the bytes that the service gets to see.

use std::time::Duration;

use http_body_util::{BodyExt, Empty};
use hyper::header::HeaderName;
use petit_tests::bed::{Bed, BedClient};
use petit_tests::raw::{Outcome, Recorder, exchange};
use petit_tests::visitor::{host, request};

/// Long enough to see that nothing follows, on a machine that is busy.
const QUIET: Duration = Duration::from_millis(400);

struct Front {
    bed: Bed,
    recorder: Recorder,
    _client: BedClient,
    host: String,
}

impl Front {
    async fn new() -> Self {
        let bed = Bed::start().await;
        let recorder = Recorder::start().await;
        let client = bed.client_with(&[("web", recorder.address(), "http")]).await;
        client.until_green("web").await;
        let host = host(&client.id());
        Self { bed, recorder, _client: client, host }
    }

    /// Sends a text in which `@H` stands for the service's host. Returns the answer and what the service saw.
    async fn send(&self, request: &str) -> (Outcome, Vec<String>) {
        let request = request.replace("@H", &self.host);
        let outcome = exchange(self.bed.http(), request.as_bytes(), QUIET).await;
        (outcome, self.recorder.take())
    }

    /// A request that is refused: with this status, and without a byte to the service.
    async fn refuses(&self, request: &str, status: u16) -> Outcome {
        let (outcome, seen) = self.send(request).await;
        assert_eq!(outcome.statuses(), [status], "{request:?} got {:?}", outcome.text());
        assert_eq!(seen, [""; 0], "{request:?} reached the service");
        // Whoever has noticed it says what was wrong, in the form of all of Petit's errors.
        let text = outcome.text();
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_default();
        let code = head.lines().find_map(|line| line.strip_prefix("petit-error: ")).unwrap_or_default();
        let body: serde_json::Value = serde_json::from_str(body).unwrap_or_default();
        assert_eq!(body["code"], code, "{request:?} got {text:?}");
        assert!(body["status"] == status && !code.is_empty(), "{request:?} got {text:?}");
        assert!(head.contains(&format!("content-length: {}", body.to_string().len())), "{text:?}");
        outcome
    }

    /// A request that reaches the service as exactly one.
    async fn passes(&self, request: &str) -> String {
        let (outcome, mut seen) = self.send(request).await;
        assert_eq!(outcome.statuses(), [200], "{request:?} got {:?}", outcome.text());
        assert_eq!(seen.len(), 1, "{request:?} is one request: {seen:?}");
        seen.remove(0)
    }
}

/// Rules 1, 6, 7 and 9: versions, names, methods, targets.
#[tokio::test]
async fn what_is_no_plain_request_is_refused_and_the_service_sees_nothing() {
    let front = Front::new().await;
    for (request, status) in [
        ("GET / HTTP/2.0\r\nHost: @H\r\n\r\n", 400),
        ("GET / HTTP/1.2\r\nHost: @H\r\n\r\n", 400),
        ("GET / HTTP/9.9\r\nHost: @H\r\n\r\n", 400),
        ("GET / http/1.1\r\nHost: @H\r\n\r\n", 400),
        ("GET /\r\n\r\n", 400),
        ("G\x01ET / HTTP/1.1\r\nHost: @H\r\n\r\n", 400),
        ("GET  / HTTP/1.1\r\nHost: @H\r\n\r\n", 400),
        ("GET / x HTTP/1.1\r\nHost: @H\r\n\r\n", 400),
        ("GET /a\\b HTTP/1.1\r\nHost: @H\r\n\r\n", 400),
        ("GET ftp://@H/ HTTP/1.1\r\nHost: @H\r\n\r\n", 400),
        ("GET /\u{e9} HTTP/1.1\r\nHost: @H\r\n\r\n", 400),
        ("GET /a\x7fb HTTP/1.1\r\nHost: @H\r\n\r\n", 400),
        ("GET * HTTP/1.1\r\nHost: @H\r\n\r\n", 400),
        ("TRACE / HTTP/1.1\r\nHost: @H\r\n\r\n", 405),
        ("CONNECT @H:443 HTTP/1.1\r\nHost: @H:443\r\n\r\n", 405),
        ("GET / HTTP/1.1\r\nHost: @H\r\nX_Y: 1\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: @H\r\nX Y: 1\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: @H\r\nX-A : 1\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: @H\r\n: 1\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: @H\r\nX-A\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: @H\r\nX-A: 1\r\n folded\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: @H\r\n folded: 1\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: @H\r\nX-A: a\x00b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: @H\r\nX-A: a\rb\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: @H\r\nX-A: a\x01b\r\n\r\n", 400),
    ] {
        front.refuses(request, status).await;
    }
    // A fragment is for no server; the service sees the target without it.
    let seen = front.passes("GET /a#b HTTP/1.1\r\nHost: @H\r\n\r\n").await;
    assert!(seen.starts_with("GET /a HTTP/1.1\r\n"), "{seen}");
    let long = "A".repeat(33);
    front.refuses(&format!("{long} / HTTP/1.1\r\nHost: @H\r\n\r\n"), 405).await;
    let (options, seen) = front.send("OPTIONS * HTTP/1.1\r\nHost: @H\r\n\r\n").await;
    assert_eq!((options.statuses(), seen.len()), (vec![204], 0), "answered here");
    let seen = front.passes("PURGE /a%2e%2e/./b//c?x=%00&y HTTP/1.1\r\nHost: @H\r\n\r\n").await;
    assert!(seen.starts_with("PURGE /a%2e%2e/./b//c?x=%00&y HTTP/1.1\r\n"), "byte for byte: {seen}");
    // What comes behind an answer that was given is refused in the same words; and what a service says that looks
    // like such a refusal is the service's.
    let (outcome, seen) =
        front.send("GET / HTTP/1.1\r\nHost: @H\r\n\r\nGET / HTTP/9.9\r\nHost: @H\r\n\r\n").await;
    assert_eq!((outcome.statuses(), seen.len()), (vec![200, 400], 1), "{:?}", outcome.text());
    assert!(outcome.text().contains("petit-error: bad-request\r\n"), "{:?}", outcome.text());
}

/// Rule 2: one host, and the same everywhere.
#[tokio::test]
async fn a_request_names_exactly_one_host() {
    let front = Front::new().await;
    for (request, status) in [
        ("GET / HTTP/1.1\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: @H\r\nHost: @H\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: @H\r\nhost: other.localhost\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: @H, other.localhost\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: @H other\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: user@@H\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: @H:99999\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: @H:1\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: @H:080\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: \r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a..localhost\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\tb\r\n\r\n", 400),
        ("GET http://other.localhost/ HTTP/1.1\r\nHost: @H\r\n\r\n", 400),
        ("GET http://@H/ HTTP/1.1\r\nHost: other.localhost\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 421),
        ("GET / HTTP/1.1\r\nHost: [::1]\r\n\r\n", 421),
        ("GET / HTTP/1.1\r\nHost: example.org\r\n\r\n", 421),
        ("GET / HTTP/1.1\r\nHost: nobody.localhost\r\n\r\n", 404),
        ("GET / HTTP/1.1\r\nHost: x@H\r\n\r\n", 404),
        ("GET / HTTP/1.1\r\nHost: deep.@H\r\n\r\n", 404),
    ] {
        front.refuses(request, status).await;
    }
    let (label, domain) = front.host.split_once('.').unwrap();
    for host in
        [format!("{}.", front.host), format!("{label}-and-more.{domain}"), front.host.to_ascii_uppercase()]
    {
        front.passes(&format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n")).await;
    }
    // A port that is not there (RFC 3986 §3.2.3), and a URL without a path (RFC 9110 §4.2.3).
    let seen = front.passes("GET / HTTP/1.1\r\nHost: @H:\r\n\r\n").await;
    assert!(seen.contains(&format!("host: {}\r\n", front.host)), "{seen}");
    let seen = front.passes("GET http://@H?c=1 HTTP/1.1\r\nHost: @H\r\n\r\n").await;
    assert!(seen.starts_with("GET /?c=1 HTTP/1.1\r\n"), "{seen}");
    let seen = front.passes("GET http://@H HTTP/1.1\r\nHost: @H\r\n\r\n").await;
    assert!(seen.starts_with("GET / HTTP/1.1\r\n"), "{seen}");
    let seen = front.passes("GET http://@H/path HTTP/1.1\r\nHost: @H\r\n\r\n").await;
    assert!(seen.starts_with("GET /path HTTP/1.1\r\n"), "the service never sees the absolute form: {seen}");
}

/// Rule 3: framing that could be read in two ways.
#[tokio::test]
async fn no_request_is_smuggled_behind_another() {
    let front = Front::new().await;
    let hidden = "GET /hidden HTTP/1.1\r\nHost: @H\r\n\r\n";
    for (fields, status) in [
        ("Transfer-Encoding: gzip, chunked\r\n", 501),
        ("Transfer-Encoding: chunked, chunked\r\n", 501),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", 501),
        ("Transfer-Encoding: xchunked\r\n", 501),
        ("Transfer-Encoding: chunked;q=1\r\n", 501),
        ("Content-Length: 1\r\nContent-Length: 2\r\n", 400),
        ("Content-Length: 1, 1\r\n", 400),
        ("Content-Length: 01\r\n", 400),
        ("Content-Length: +1\r\n", 400),
        ("Content-Length: -1\r\n", 400),
        ("Content-Length: 0x1\r\n", 400),
        ("Content-Length: 1 1\r\n", 400),
        ("Content-Length: \r\n", 400),
        ("Content-Length: 99999999999999999999\r\n", 400),
    ] {
        let request = format!("POST / HTTP/1.1\r\nHost: @H\r\n{fields}\r\n0\r\n\r\n{hidden}");
        let (outcome, seen) = front.send(&request).await;
        let refused = outcome.statuses();
        // hyper refuses some of these by itself, with a plainer status.
        assert!(refused == [status] || refused == [400], "{fields:?} got {:?}", outcome.text());
        assert!(outcome.closed, "{fields:?}: nothing more can be understood on this connection");
        assert!(!seen.iter().any(|seen| seen.contains("/hidden")), "{fields:?} smuggled: {seen:?}");
    }
    // Where both are given, the length is not passed on, and the connection ends with the answer.
    let both = format!(
        "POST / HTTP/1.1\r\nHost: @H\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{hidden}"
    );
    let (outcome, seen) = front.send(&both).await;
    assert!(outcome.statuses().len() == 1 && outcome.closed, "{:?}", outcome.text());
    assert!(!seen.iter().any(|seen| seen.contains("/hidden")), "{seen:?}");
    for seen in &seen {
        assert!(!seen.to_ascii_lowercase().contains("content-length: 4"), "{seen}");
    }
    // Two requests in one packet are two, each in its own right.
    let two = "GET /one HTTP/1.1\r\nHost: @H\r\n\r\nGET /two HTTP/1.1\r\nHost: @H\r\n\r\n";
    let (outcome, seen) = front.send(two).await;
    assert_eq!((outcome.statuses(), seen.len()), (vec![200, 200], 2));
    // A body that is announced and never ends is no request for anybody.
    let (_, seen) =
        front.send(&format!("POST / HTTP/1.1\r\nHost: @H\r\nContent-Length: 3\r\n\r\nabc{hidden}")).await;
    assert!(seen[0].ends_with("abc"), "{seen:?}");
    for bad in [
        "POST / HTTP/1.1\r\nHost: @H\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: @H\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\nabc\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: @H\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: @H\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\nabc\r\n0\r\n\r\n",
    ] {
        let (outcome, seen) = front.send(bad).await;
        assert!(outcome.closed && outcome.statuses() != [200], "{bad:?} got {:?}", outcome.text());
        assert!(
            !seen.iter().any(|seen| seen.ends_with("0\r\n\r\n")),
            "no whole request came of it: {seen:?}"
        );
    }
}

/// The names of a request's fields, in their order, and its body.
fn outline(request: &str) -> (Vec<&str>, &str) {
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    assert!(!head.replace("\r\n", "").contains(['\r', '\n']), "lines end with CR LF: {request:?}");
    (head.split("\r\n").map(|line| line.split_once(':').map_or(line, |(name, _)| name)).collect(), body)
}

/// RFC 9112 §2.2 lets a reader take LF alone for the end of a line. What the service reads is the same as if it had been
/// CR LF, so whoever uses it gains nothing.
#[tokio::test]
async fn a_line_of_a_head_that_ends_with_lf_alone_is_a_line_and_is_written_anew() {
    let front = Front::new().await;
    for bare in [
        "GET /a HTTP/1.1\nHost: @H\nX: y\n\n",
        "GET /a HTTP/1.1\r\nHost: @H\r\nX: y\nZ: y\r\n\r\n",
        "POST /a HTTP/1.1\r\nHost: @H\r\nX: y\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        "POST /a HTTP/1.1\r\nHost: @H\r\nX: y\nContent-Length: 5\n\r\nhello",
    ] {
        let strict = bare.replace("\r\n", "\n").replace('\n', "\r\n");
        let (seen, expected) = (front.passes(bare).await, front.passes(&strict).await);
        assert_eq!(outline(&seen), outline(&expected), "{bare:?}");
    }
    // What is refused with CR LF is refused with LF.
    front.refuses("GET / HTTP/1.1\r\nHost: @H\r\nX: y\nHost: other.localhost\r\n\r\n", 400).await;
    front.refuses("GET / HTTP/1.1\r\nHost: @H\r\nX: y\n folded\r\n\r\n", 400).await;
    let hidden = "GET /hidden HTTP/1.1\r\nHost: @H\r\n\r\n";
    let both = format!(
        "POST / HTTP/1.1\r\nHost: @H\r\nContent-Length: 4\r\nX: y\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{hidden}"
    );
    let (outcome, seen) = front.send(&both).await;
    assert!(outcome.statuses().len() == 1 && outcome.closed, "{:?}", outcome.text());
    assert!(!seen.iter().any(|seen| seen.contains("/hidden")), "{seen:?}");
    // In a chunk's own lines it is refused.
    let chunk = "POST / HTTP/1.1\r\nHost: @H\r\nTransfer-Encoding: chunked\r\n\r\n5\nhello\r\n0\r\n\r\n";
    let (outcome, seen) = front.send(chunk).await;
    assert!(outcome.closed && outcome.statuses() != [200], "{:?}", outcome.text());
    assert!(!seen.iter().any(|seen| seen.ends_with("0\r\n\r\n")), "no whole request came of it: {seen:?}");
}

/// Rules 4, 5 and 8: what belongs to one connection, what only Petit says, what becomes of upgrades.
#[tokio::test]
async fn fields_that_are_not_the_visitors_to_set_do_not_arrive() {
    let front = Front::new().await;
    for protected in ["host", "authorization", "cookie", "content-length", "x-forwarded-for", "petit-error"] {
        let request = format!("GET / HTTP/1.1\r\nHost: @H\r\nConnection: close, {protected}\r\n\r\n");
        front.refuses(&request, 400).await;
    }
    let seen = front
        .passes(
            "GET / HTTP/1.1\r\nHost: @H\r\nConnection: keep-alive, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: 5\r\n\
             Proxy-Authorization: Basic eA==\r\nProxy-Connection: x\r\nTE: trailers, gzip\r\nTrailer: X\r\n\
             Upgrade: h2c, TLS/1.0\r\nHTTP2-Settings: AAMAAABk\r\nX-Forwarded-For: 10.0.0.1\r\n\
             X-Forwarded-Host: evil\r\nForwarded: for=10.0.0.1\r\nX-Real-IP: 10.0.0.1\r\nTrue-Client-IP: 1\r\n\
             CF-Connecting-IP: 1\r\nX-Original-URL: /admin\r\nX-Rewrite-URL: /admin\r\nPetit-Probe: 0\r\n\
             Authorization: Bearer mine\r\n\r\n",
        )
        .await
        .to_ascii_lowercase();
    for gone in [
        "x-hop",
        "keep-alive",
        "proxy-",
        "trailer:",
        "upgrade",
        "http2-settings",
        "10.0.0.1",
        "evil",
        "/admin",
        "true-client",
        "cf-connecting",
        "petit-probe",
        "gzip",
    ] {
        assert!(!seen.contains(gone), "{gone} arrived: {seen}");
    }
    assert!(seen.contains("authorization: bearer mine\r\n"), "{seen}");
    let seen = front.passes("GET / HTTP/1.1\r\nHost: @H\r\nTE: trailers\r\n\r\n").await;
    assert!(seen.contains("te: trailers\r\n") && seen.contains("connection: te\r\n"), "{seen}");
    for field in
        ["x-forwarded-for: 127.0.0.1\r\n", "x-forwarded-proto: http\r\n", "forwarded: for=127.0.0.1;"]
    {
        assert_eq!(seen.matches(field).count(), 1, "{field} in {seen}");
    }
    // A WebSocket that is none: refused, or passed on as a plain request.
    let key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    for bad in [
        format!("GET / HTTP/1.1\r\nHost: @H\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n{key}\r\n"),
        format!(
            "POST / HTTP/1.1\r\nHost: @H\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n{key}Sec-WebSocket-Version: 13\r\n\r\n"
        ),
        "GET / HTTP/1.1\r\nHost: @H\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: short\r\nSec-WebSocket-Version: 13\r\n\r\n"
            .to_owned(),
    ] {
        front.refuses(&bad, 400).await;
    }
    // What follows an upgrade that the service declines is never taken for another request.
    let declined = format!(
        "GET / HTTP/1.1\r\nHost: @H\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n{key}Sec-WebSocket-Version: 13\r\n\r\nGET /hidden HTTP/1.1\r\nHost: @H\r\n\r\n"
    );
    let (outcome, seen) = front.send(&declined).await;
    assert!(outcome.closed && outcome.statuses() == [200], "{:?}", outcome.text());
    assert!(!seen.iter().any(|seen| seen.contains("/hidden")), "{seen:?}");
}

/// The limits of a head, each told by its own status.
#[tokio::test]
async fn heads_beyond_their_limits_are_refused_and_those_within_pass() {
    let front = Front::new().await;
    let fields = |count: usize| (0..count).map(|n| format!("X-{n}: 1\r\n")).collect::<String>();
    front.passes(&format!("GET / HTTP/1.1\r\nHost: @H\r\n{}\r\n", fields(98))).await;
    front.refuses(&format!("GET / HTTP/1.1\r\nHost: @H\r\n{}\r\n", fields(100)), 431).await;
    front.passes(&format!("GET / HTTP/1.1\r\nHost: @H\r\nX: {}\r\n\r\n", "a".repeat(16 * 1024))).await;
    front
        .refuses(&format!("GET / HTTP/1.1\r\nHost: @H\r\nX: {}\r\n\r\n", "a".repeat(16 * 1024 + 1)), 431)
        .await;
    front.passes(&format!("GET /{} HTTP/1.1\r\nHost: @H\r\n\r\n", "a".repeat(8 * 1024 - 1))).await;
    front.refuses(&format!("GET /{} HTTP/1.1\r\nHost: @H\r\n\r\n", "a".repeat(8 * 1024)), 414).await;
    let wide: String = (0..4).map(|n| format!("X-{n}: {}\r\n", "a".repeat(10_000))).collect();
    front.refuses(&format!("GET / HTTP/1.1\r\nHost: @H\r\n{wide}\r\n"), 431).await;
    let endless = format!("GET / HTTP/1.1\r\nHost: @H\r\nX: {}", "a".repeat(200_000));
    front.refuses(&endless, 431).await;
    // Over HTTP/2 the limits are the same, and so are the words.
    let h2 = async |bytes: usize| {
        let value = "a".repeat(10_000);
        let mut request = request(&front.host, "GET", "/", Empty::new());
        for number in 0..bytes / value.len() {
            let name: HeaderName = format!("x-{number}").parse().unwrap();
            request.headers_mut().insert(name, value.parse().unwrap());
        }
        let mut h2 = front.bed.visitor().connect_h2().await;
        let answer = h2.send_request(request).await.unwrap();
        let (head, body) = answer.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        (head.status.as_u16(), String::from_utf8(body.into()).unwrap())
    };
    assert_eq!(h2(30_000).await, (200, "ok".to_owned()));
    let (status, body) = h2(40_000).await;
    assert!(status == 431 && body.contains(r#""code":"head-too-large""#), "{status} {body:?}");
}

/// HTTP/1.0 is served, once per connection.
#[tokio::test]
async fn old_visitors_are_served_and_their_connection_ends() {
    let front = Front::new().await;
    let (outcome, seen) = front.send("GET / HTTP/1.0\r\nHost: @H\r\nConnection: keep-alive\r\n\r\n").await;
    assert!(outcome.closed && outcome.statuses() == [200], "{:?}", outcome.text());
    assert!(seen[0].starts_with("GET / HTTP/1.1\r\n"), "{seen:?}");
}
