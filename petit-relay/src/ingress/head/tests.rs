//! Heads as tables: what goes in, what is said or passed on.

use std::net::SocketAddr;

use hyper::header::HeaderValue;
use hyper::{Method, Response, Version};
use petit_engine::limits;
use petit_engine::name::{Endpoint, VisitorHost};
use petit_engine::proto::RequestId;

use super::answer::narrow;
use super::forwarding::{self, Forwarding};
use super::*;
use crate::Failure;
use crate::ingress::body::AnswerBody;
use crate::ingress::visitor::{Transport, Visitor};

fn visitor() -> Visitor {
    Visitor { peer: "192.0.2.7:5000".parse().unwrap(), transport: Transport::Plain, port: 8090 }
}

fn endpoint() -> Endpoint {
    "http://REGID.example.com:8090".parse().unwrap()
}

fn request(target: &str, fields: &[(&str, &str)]) -> hyper::Request<()> {
    let mut request = hyper::Request::builder().uri(target);
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap()
}

fn judge(request: &hyper::Request<()>) -> Result<Checked, Failure> {
    check(request, &visitor(), &endpoint(), "0123456789ab").map_err(|refused| refused.failure)
}

fn refusal(target: &str, fields: &[(&str, &str)]) -> Option<Failure> {
    judge(&request(target, fields)).err()
}

const HOST: (&str, &str) = ("host", "a.example.com");

#[test]
fn exactly_one_valid_host() {
    // The last: a port that is not there (RFC 3986 §3.2.3).
    for good in
        ["a.example.com", "A.Example.Com.", "a.example.com:8090", "a.example.com:80", "a.example.com:"]
    {
        assert_eq!(refusal("/", &[("host", good)]), None, "{good}");
    }
    assert_eq!(refusal("http://a.example.com:8090/x", &[("host", "a.example.com:8090")]), None);
    assert_eq!(refusal("/", &[]), Some(Failure::BadHost));
    assert_eq!(refusal("/", &[HOST, HOST]), Some(Failure::BadHost));
    assert_eq!(refusal("http://b.example.com/", &[HOST]), Some(Failure::BadHost));
    assert_eq!(
        refusal("http://a.example.com/", &[]),
        Some(Failure::BadHost),
        "absolute form still needs Host"
    );
    for bad in ["", "a,b", "a b", "user@a.example.com", "a.example.com::", "a.example.com:080", "a..b"] {
        assert_eq!(refusal("/", &[("host", bad)]), Some(Failure::BadHost), "{bad}");
    }
    // It names one valid host; it is the port that is not this server's.
    assert_eq!(refusal("/", &[("host", "a.example.com:81")]), Some(Failure::BadPort));
    for address in ["127.0.0.1", "[::1]:8090"] {
        assert_eq!(refusal("/", &[("host", address)]), Some(Failure::Misdirected), "{address}");
    }
}

#[test]
fn the_tls_name_and_the_host_agree() {
    let tls = Visitor { transport: Transport::Tls { sni: Some("b.example.com".into()) }, ..visitor() };
    let judged = check(&request("/", &[HOST]), &tls, &endpoint(), "x");
    assert_eq!(judged.unwrap_err(), Failure::Misdirected.into());
    let tls = Visitor { transport: Transport::Tls { sni: Some("a.example.com".into()) }, ..visitor() };
    assert!(check(&request("/", &[HOST]), &tls, &endpoint(), "x").is_ok());
}

#[test]
fn http2_takes_its_host_from_the_authority() {
    let mut h2 = request("http://a.example.com/", &[]);
    *h2.version_mut() = Version::HTTP_2;
    assert!(judge(&h2).is_ok());
    let mut both = request("http://a.example.com/", &[("host", "b.example.com")]);
    *both.version_mut() = Version::HTTP_2;
    assert_eq!(judge(&both).unwrap_err(), Failure::BadHost);
}

#[test]
fn framing_is_plain_or_refused() {
    let with = |fields: &[(&str, &str)]| refusal("/", &[&[HOST], fields].concat());
    assert_eq!(with(&[("transfer-encoding", "chunked")]), None);
    assert_eq!(with(&[("transfer-encoding", "Chunked")]), None);
    assert_eq!(with(&[("content-length", "10")]), None);
    for bad in ["gzip, chunked", "chunked, chunked", "identity", "", "chunked;q=1", "xchunked"] {
        assert_eq!(with(&[("transfer-encoding", bad)]), Some(Failure::TransferCoding), "{bad}");
    }
    let twice = [("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")];
    assert_eq!(with(&twice), Some(Failure::TransferCoding));
    for bad in ["", "+1", "-1", "01", "1, 1", "0x1", "9007199254740993", "99999999999999999999"] {
        assert_eq!(with(&[("content-length", bad)]), Some(Failure::BadRequest), "{bad}");
    }
    assert_eq!(with(&[("content-length", "1"), ("content-length", "1")]), Some(Failure::BadRequest));
    let both = [("content-length", "1"), ("transfer-encoding", "chunked")];
    assert_eq!(with(&both), Some(Failure::BadRequest), "one framing or none");
    let mut old = request("/", &[HOST, ("transfer-encoding", "chunked")]);
    *old.version_mut() = Version::HTTP_10;
    assert_eq!(judge(&old).unwrap_err(), Failure::BadRequest);
}

#[test]
fn fields_that_servers_read_differently_are_refused() {
    let with = |name, value| refusal("/", &[HOST, (name, value)]);
    for name in
        ["x_forwarded_for", "api_key", "x.forwarded.for", "content.length", "transfer~encoding", "x|host"]
    {
        assert_eq!(with(name, "1"), Some(Failure::BadField), "{name}");
    }
    for name in ["x.mine", "api!key"] {
        assert_eq!(with(name, "1"), None, "{name} is read as nothing that Petit says");
    }
    for protected in ["Host", "close, authorization", "cookie", "x-forwarded-for", "petit-error"] {
        assert_eq!(with("connection", protected), Some(Failure::BadField), "{protected}");
    }
    assert_eq!(with("connection", "keep-alive, x-mine"), None);
    assert_eq!(with("expect", "100-Continue"), None);
    assert_eq!(with("expect", "200-ok"), Some(Failure::Expectation));
    assert_eq!(with("via", "1.1 other, 1.1 0123456789ab"), Some(Failure::Loop));
    assert_eq!(with("via", "1.1 other"), None);
}

#[test]
fn methods_and_targets() {
    let with = |method: &str, target: &str| {
        let mut request = request(target, &[HOST]);
        *request.method_mut() = method.parse().unwrap();
        judge(&request).err()
    };
    assert_eq!(with("PURGE", "/"), None);
    assert_eq!(with("TRACE", "/"), Some(Failure::Method));
    assert_eq!(with(&"A".repeat(33), "/"), Some(Failure::Method));
    let mut options = request("*", &[HOST]);
    *options.method_mut() = Method::OPTIONS;
    assert!(matches!(judge(&options), Ok(Checked::ServerOptions)));
    assert_eq!(with("GET", "*"), Some(Failure::BadRequest));
    assert_eq!(with("GET", "http://a.example.com?c=1"), None, "of a URL the path may be missing");
    let mut h2 = request("http://a.example.com?c=1", &[]);
    *h2.version_mut() = Version::HTTP_2;
    assert_eq!(judge(&h2).unwrap_err(), Failure::BadRequest, "there it is a field of its own");
    assert_eq!(with("GET", "/a%2e%2e/./b//c?x=%00&y"), None, "passed on as it is");
}

#[test]
fn websockets_are_recognised_and_held_to_the_rules() {
    let key = ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
    let version = ("sec-websocket-version", "13");
    let upgrade = [("connection", "keep-alive, Upgrade"), ("upgrade", "WebSocket")];
    let judged = |fields: &[(&str, &str)]| judge(&request("/", &[&[HOST], fields].concat()));
    let websocket = |judged: Result<Checked, Failure>| match judged {
        Ok(Checked::Request(checked)) => Ok(checked.websocket),
        Ok(Checked::ServerOptions) => Ok(false),
        Err(failure) => Err(failure),
    };
    assert_eq!(websocket(judged(&[&upgrade[..], &[key, version]].concat())), Ok(true));
    assert_eq!(websocket(judged(&[&upgrade[..], &[key]].concat())), Err(Failure::BadRequest));
    assert_eq!(websocket(judged(&[&upgrade[..], &[version]].concat())), Err(Failure::BadRequest));
    assert_eq!(websocket(judged(&[upgrade[1], key, version])), Ok(false), "not asked for in Connection");
    assert_eq!(
        websocket(judged(&[("connection", "upgrade"), ("upgrade", "h2c")])),
        Ok(false),
        "dropped later"
    );
}

fn rewritten(fields: &[(&str, &str)], version: Version, trusted: bool) -> Vec<(String, String)> {
    let request = request("/", &[&[HOST], fields].concat());
    let checked = Request { host: VisitorHost::parse("a.example.com").unwrap(), websocket: false };
    let forwarding = Forwarding {
        peer: "192.0.2.7".parse().unwrap(),
        origin: if trusted { "2001:db8::9".parse().unwrap() } else { "192.0.2.7".parse().unwrap() },
        https: true,
        trusted,
        pseudonym: "0123456789ab",
        request: RequestId([0xab; 16]),
        key: None,
        host: None,
    };
    let authority = "a.example.com".parse().unwrap();
    let headers = forwarding::rewritten(request.headers(), version, Some(&authority), &checked, &forwarding);
    let mut fields: Vec<(String, String)> =
        headers.iter().map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned())).collect();
    fields.sort();
    fields
}

fn value<'a>(fields: &'a [(String, String)], name: &str) -> Option<&'a str> {
    let mut found = fields.iter().filter(|(field, _)| field == name);
    let value = found.next().map(|(_, value)| value.as_str());
    assert!(found.next().is_none(), "{name} twice");
    value
}

#[test]
fn a_request_has_petits_name_for_it_and_the_visitors_own_beside_it() {
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let said = [("petit-request", "forged"), ("x-request-id", "theirs"), ("traceparent", trace)];
    let fields = rewritten(&said, Version::HTTP_11, false);
    assert_eq!(value(&fields, "petit-request"), Some("ab".repeat(16).as_str()));
    assert_eq!(
        (value(&fields, "x-request-id"), value(&fields, "traceparent")),
        (Some("theirs"), Some(trace))
    );
}

#[test]
fn claims_of_strangers_are_replaced() {
    let fields = rewritten(
        &[
            ("x-forwarded-for", "10.0.0.1"),
            ("x-forwarded-for", "10.0.0.2"),
            ("x-forwarded-prefix", "/admin"),
            ("forwarded", "for=10.0.0.1"),
            ("x-real-ip", "10.0.0.1"),
            ("true-client-ip", "10.0.0.1"),
            ("x-original-url", "/admin"),
            ("petit-probe", "guess"),
            ("accept", "*/*"),
        ],
        Version::HTTP_11,
        false,
    );
    assert_eq!(value(&fields, "x-forwarded-for"), Some("192.0.2.7"));
    assert_eq!(value(&fields, "x-forwarded-proto"), Some("https"));
    assert_eq!(value(&fields, "x-forwarded-host"), Some("a.example.com"));
    assert_eq!(value(&fields, "forwarded"), Some("for=192.0.2.7;proto=https;host=a.example.com"));
    assert_eq!(value(&fields, "via"), Some("1.1 0123456789ab"));
    assert_eq!(value(&fields, "host"), Some("a.example.com"));
    assert_eq!(value(&fields, "accept"), Some("*/*"));
    assert_eq!(value(&fields, "petit-request"), Some("ab".repeat(16).as_str()));
    assert_eq!(fields.len(), 8, "nothing else is left: {fields:?}");
}

/// What servers, frameworks, clouds and proxies believe; some of each.
#[test]
fn no_claim_that_anybody_believes_arrives() {
    let claims = [
        "x-middleware-subrequest",
        "forwarded-for",
        "x-forward-for",
        "x-forwarded-by",
        "x-originating-ip",
        "x-appengine-user-ip",
        "x-remote-user",
        "remote-user",
        "x-authenticated-user",
        "x-webauth-user",
        "x-auth-request-email",
        "x-ms-client-principal",
        "x-ms-client-principal-name",
        "x-arr-ssl",
        "x-arr-clientcert",
        "x-client-cert",
        "client-cert-chain",
        "x-amzn-oidc-data",
        "x-goog-iap-jwt-assertion",
        "x-goog-authenticated-user-email",
        "x-envoy-internal",
        "x-envoy-original-path",
        "x-envoy-external-address",
        "cf-ipcountry",
        "cf-connecting-ip",
        "x-scheme",
        "x-url-scheme",
        "x-https",
        "front-end-https",
        "x-real-ip",
        "client-ip",
        "x-azure-clientip",
        "ssl-client-verify",
        "x-ssl-client-cert",
        "x-rewrite-url",
        "x-host",
        "proxy",
    ];
    let theirs = ["x-http-method-override", "x-request-id", "traceparent", "x-api-key", "client-version"];
    let sent: Vec<(&str, &str)> = claims.iter().chain(&theirs).map(|name| (*name, "1")).collect();
    let arrived = rewritten(&sent, Version::HTTP_11, true);
    let left: Vec<&str> = claims.into_iter().filter(|name| value(&arrived, name).is_some()).collect();
    assert_eq!(left, [""; 0]);
    for name in theirs {
        assert_eq!(value(&arrived, name), Some("1"), "{name} is the visitor's own to say");
    }
}

#[test]
fn claims_of_trusted_proxies_are_continued() {
    let fields = rewritten(
        &[
            ("x-forwarded-for", "2001:db8::9"),
            ("x-forwarded-proto", "http"),
            ("x-forwarded-host", "shop.example"),
            ("via", "1.1 first"),
            ("via", "1.1 second"),
        ],
        Version::HTTP_11,
        true,
    );
    assert_eq!(value(&fields, "x-forwarded-for"), Some("2001:db8::9, 192.0.2.7"));
    assert_eq!(value(&fields, "x-forwarded-proto"), Some("http"));
    assert_eq!(value(&fields, "x-forwarded-host"), Some("shop.example"));
    assert_eq!(value(&fields, "forwarded"), Some("for=\"[2001:db8::9]\";proto=http;host=a.example.com"));
    assert_eq!(value(&fields, "via"), Some("1.1 first, 1.1 second, 1.1 0123456789ab"));
}

#[test]
fn what_a_visitor_said_before_a_trusted_proxy_did_does_not_pass_for_the_proxys_word() {
    let fields = rewritten(
        &[
            ("x-forwarded-for", "6.6.6.6"),
            ("x-forwarded-for", "2001:db8::9"),
            ("x-forwarded-proto", "https, http"),
            ("x-forwarded-proto", "ftp"),
            ("x-forwarded-host", "evil.example"),
            ("x-forwarded-host", "shop.example"),
            ("forwarded", "for=6.6.6.6"),
            ("x-real-ip", "6.6.6.6"),
            ("x-original-url", "/admin"),
        ],
        Version::HTTP_11,
        true,
    );
    assert_eq!(
        value(&fields, "x-forwarded-for"),
        Some("6.6.6.6, 2001:db8::9, 192.0.2.7"),
        "read from its end"
    );
    assert_eq!(
        value(&fields, "x-forwarded-proto"),
        Some("https"),
        "the connection's own, where none is valid"
    );
    assert_eq!(value(&fields, "x-forwarded-host"), Some("shop.example"));
    let forwarded = value(&fields, "forwarded");
    assert_eq!(forwarded, Some("for=\"[2001:db8::9]\";proto=https;host=a.example.com"));
    assert_eq!((value(&fields, "x-real-ip"), value(&fields, "x-original-url")), (None, None));
}

#[test]
fn fields_of_one_connection_stay_on_it() {
    let fields = rewritten(
        &[
            ("connection", "keep-alive, X-Mine"),
            ("x-mine", "1"),
            ("keep-alive", "timeout=5"),
            ("proxy-authorization", "Basic eA=="),
            ("proxy-connection", "keep-alive"),
            ("te", "trailers"),
            ("trailer", "x-sum"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("http2-settings", "AAMAAABk"),
            ("expect", "100-continue"),
            ("authorization", "Bearer x"),
        ],
        Version::HTTP_11,
        false,
    );
    let names: Vec<&str> = fields.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        names,
        [
            "authorization",
            "forwarded",
            "host",
            "petit-request",
            "te",
            "via",
            "x-forwarded-for",
            "x-forwarded-host",
            "x-forwarded-proto"
        ]
    );
}

#[test]
fn a_list_of_one_connections_fields_is_read_past_what_is_no_name() {
    let mut headers = HeaderMap::new();
    headers.insert("connection", HeaderValue::from_bytes(b"\xc3\xa9, X-Mine, \xff").unwrap());
    let listed: Vec<String> =
        connection_options(&headers).filter(|name| name.is_ascii() && !name.is_empty()).collect();
    assert_eq!(listed, ["x-mine"]);
}

#[test]
fn the_host_is_passed_on_without_a_port_that_is_not_there() {
    let fields = rewritten(&[], Version::HTTP_11, false);
    assert_eq!(value(&fields, "host"), Some("a.example.com"));
    let request = request("/", &[("host", "a.example.com:")]);
    let checked = Request { host: VisitorHost::parse("a.example.com").unwrap(), websocket: false };
    let forwarding = Forwarding {
        peer: "192.0.2.7".parse().unwrap(),
        origin: "192.0.2.7".parse().unwrap(),
        https: false,
        trusted: false,
        pseudonym: "0123456789ab",
        request: RequestId([0xab; 16]),
        key: None,
        host: None,
    };
    let headers = forwarding::rewritten(request.headers(), Version::HTTP_11, None, &checked, &forwarding);
    assert_eq!(
        (&headers["host"], &headers["x-forwarded-host"]),
        (&"a.example.com".parse().unwrap(), &"a.example.com".parse().unwrap())
    );
}

/// Who reads the list from its end, past the proxies that he trusts, must not find what the visitor wrote.
#[test]
fn no_line_of_a_list_is_left_out_whatever_its_bytes() {
    let mut request = request("/", &[HOST]);
    for name in ["x-forwarded-for", "via"] {
        for line in [&b"8.8.8.8"[..], b"\xff, 203.0.113.9"] {
            let line = HeaderValue::from_bytes(line).unwrap();
            request.headers_mut().append(HeaderName::from_static(name), line);
        }
    }
    let checked = Request { host: VisitorHost::parse("a.example.com").unwrap(), websocket: false };
    let forwarding = Forwarding {
        peer: "192.0.2.7".parse().unwrap(),
        origin: "203.0.113.9".parse().unwrap(),
        https: false,
        trusted: true,
        pseudonym: "0123456789ab",
        request: RequestId([0xab; 16]),
        key: None,
        host: None,
    };
    let headers = forwarding::rewritten(request.headers(), Version::HTTP_11, None, &checked, &forwarding);
    assert_eq!(headers["x-forwarded-for"].as_bytes(), b"8.8.8.8, \xff, 203.0.113.9, 192.0.2.7");
    assert_eq!(headers["via"].as_bytes(), b"8.8.8.8, \xff, 203.0.113.9, 1.1 0123456789ab");
}

#[test]
fn cookie_crumbs_of_http2_are_joined() {
    let fields = rewritten(&[("cookie", "a=1"), ("cookie", "b=2")], Version::HTTP_2, false);
    assert_eq!(value(&fields, "cookie"), Some("a=1; b=2"));
}

#[test]
fn answers_lose_what_only_petit_may_say() {
    let response = Response::builder()
        .header("petit-error", "client-away")
        .header("connection", "close, x-hop")
        .header("x-hop", "1")
        .header("keep-alive", "timeout=5")
        .header("content-type", "text/plain")
        .body(AnswerBody::full(bytes::Bytes::new()))
        .unwrap();
    let response = to_visitor(response, Version::HTTP_11, "a.example.com");
    let names: Vec<&str> = response.headers().keys().map(HeaderName::as_str).collect();
    assert_eq!(names, ["content-type"]);
}

#[test]
fn a_browser_is_made_to_forget_what_is_the_services_own() {
    let left = |said: &[&str]| {
        let mut response = Response::builder();
        for line in said {
            response = response.header("clear-site-data", *line);
        }
        let response = response.body(AnswerBody::full(bytes::Bytes::new())).unwrap();
        let response = to_visitor(response, Version::HTTP_11, "a.example.com");
        response.headers().get("clear-site-data").map(|left| left.to_str().unwrap().to_owned())
    };
    let own = r#""cache", "storage", "executionContexts""#;
    assert_eq!(left(&[r#""cookies""#]), None);
    assert_eq!(left(&[r#""*""#]).as_deref(), Some(own));
    assert_eq!(left(&[r#""cache","COOKIES", "storage""#]).as_deref(), Some(r#""cache", "storage""#));
    assert_eq!(left(&[r#""cookies""#, r#""storage""#]).as_deref(), Some(r#""storage""#));
}

#[test]
fn an_answer_without_a_body_has_no_length() {
    let left = |status: u16| {
        let response = Response::builder().status(status).header("content-length", "5");
        let response = response.body(AnswerBody::full(bytes::Bytes::new())).unwrap();
        to_visitor(response, Version::HTTP_11, "a.example.com").headers().contains_key("content-length")
    };
    assert_eq!((left(204), left(101), left(200), left(304)), (false, false, true, true));
}

#[test]
fn cookies_for_other_hosts_become_the_hosts_own() {
    let narrowed = |cookie: &str| {
        let cookie = narrow(HeaderValue::from_str(cookie).unwrap(), "a.example.com");
        cookie.to_str().unwrap().to_owned()
    };
    for wide in ["example.com", ".example.com", "EXAMPLE.com", "b.example.com", "com", "xa.example.com", ""] {
        assert_eq!(narrowed(&format!("id=1; Domain={wide}; Path=/")), "id=1; Path=/", "{wide}");
    }
    for own in ["a.example.com", ".a.example.com", "A.Example.Com", "deep.a.example.com"] {
        let cookie = format!("id=1; path=/; domain={own}");
        assert_eq!(narrowed(&cookie), cookie);
    }
    assert_eq!(narrowed("id=1"), "id=1");
    assert_eq!(narrowed("domain=example.com"), "domain=example.com", "a cookie of that name");
    assert_eq!(narrowed("id=1;DOMAIN = example.com;Secure"), "id=1;Secure");
}

#[test]
fn heads_beyond_the_limits_are_told_apart() {
    let many: Vec<(String, String)> =
        (0..limits::MAX_HEADERS).map(|n| (format!("x-{n}"), "1".into())).collect();
    let fields = |count: usize| -> Vec<(&str, &str)> {
        let many = many.iter().take(count).map(|(name, value)| (name.as_str(), value.as_str()));
        many.chain([HOST]).collect()
    };
    assert_eq!(refusal("/", &fields(limits::MAX_HEADERS - 1)), None);
    assert_eq!(refusal("/", &fields(limits::MAX_HEADERS)), Some(Failure::HeadTooLarge));
    let crumbs = vec![("cookie", "a"); limits::MAX_HEADERS];
    assert_eq!(refusal("/", &[&crumbs[..], &[HOST]].concat()), Some(Failure::HeadTooLarge));
    let long = "x".repeat(limits::MAX_VALUE_BYTES + 1);
    assert_eq!(refusal("/", &[HOST, ("x", &long)]), Some(Failure::HeadTooLarge));
    let target = format!("/{}", "a".repeat(limits::MAX_TARGET_BYTES));
    assert_eq!(refusal(&target, &[HOST]), Some(Failure::TargetTooLong));
}

#[test]
fn trailers_say_nothing_about_framing_routing_or_identity() {
    let mut fields = HeaderMap::new();
    for name in
        ["grpc-status", "x-sum", "content-length", "host", "authorization", "petit-error", "te", "set-cookie"]
    {
        fields.insert(HeaderName::from_static(name), HeaderValue::from_static("1"));
    }
    // Names that some servers read as those of others.
    for name in ["petit_visitor", "petit.request", "x_forwarded_for", "content_length", "row_count"] {
        fields.insert(HeaderName::from_static(name), HeaderValue::from_static("1"));
    }
    let kept: Vec<String> = trailers(fields).keys().map(ToString::to_string).collect();
    assert_eq!(kept, ["grpc-status", "x-sum", "row_count"]);
}

#[test]
fn the_visitor_is_the_last_one_that_a_trusted_proxy_names_whatever_else_was_sent() {
    let trusted = ["10.0.0.0/8".parse().unwrap()];
    let of = |peer: &str, lines: &[&[u8]]| {
        let mut request = hyper::Request::new(());
        for line in lines {
            let line = HeaderValue::from_bytes(line).unwrap();
            request.headers_mut().append("x-forwarded-for", line);
        }
        let peer = SocketAddr::new(peer.parse().unwrap(), 4711);
        let visitor = Visitor { peer, port: 80, transport: Transport::Plain };
        origin(&request, &visitor, &trusted).ip().to_string()
    };
    assert_eq!(of("198.51.100.1", &[b"203.0.113.9"]), "198.51.100.1", "nobody trusts this one");
    assert_eq!(of("10.0.0.2", &[]), "10.0.0.2", "the proxy itself");
    for (lines, expected) in [
        (&[&b"203.0.113.9"[..]][..], "203.0.113.9"),
        (&[b"203.0.113.9, 10.0.0.7"], "203.0.113.9"),
        (&[b"203.0.113.9, ::ffff:10.0.0.7"], "203.0.113.9"),
        (&[b"10.0.0.7", b"203.0.113.9"], "203.0.113.9"),
        (&[b"10.0.0.7", b"10.0.0.8, 10.0.0.9"], "10.0.0.2"),
        (&[b"203.0.113.9:4711"], "203.0.113.9"),
        (&[b"[2001:db8::9]:4711"], "2001:db8::9"),
        (&[b"[2001:db8::9]"], "2001:db8::9"),
        // What a visitor sends stands before the proxy's word, on its line or on another one.
        (&[b"\xe9, 203.0.113.9"], "203.0.113.9"),
        (&[b"10.0.0.7, nonsense, 203.0.113.9"], "203.0.113.9"),
        (&[b"\xe9", b"203.0.113.9"], "203.0.113.9"),
        // And where the proxy's own word cannot be read, the visitor is nobody: above all not the proxy.
        (&[b"203.0.113.9, unix:"], "0.0.0.0"),
        (&[b"203.0.113.9, \xe9"], "0.0.0.0"),
        (&[b"unknown"], "0.0.0.0"),
        (&[b""], "0.0.0.0"),
    ] {
        assert_eq!(of("10.0.0.2", lines), expected, "{lines:?}");
    }
}
