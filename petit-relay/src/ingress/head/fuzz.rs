//! Request heads as a fuzzer makes them: parsed as hyper does, judged, rewritten, and then read by somebody strict.

use std::net::IpAddr;

use hyper::header::{HeaderName, HeaderValue};
use hyper::{Method, Uri, Version};
use petit_engine::proto::RequestId;

use super::super::visitor::{Transport, Visitor};
use super::forwarding::{Forwarding, rewritten};
use super::{Checked, check};

/// What passes is one plain request, whoever reads it.
///
/// # Panics
/// When a strict reader would see something else in it.
pub fn head(bytes: &[u8]) {
    let Some(request) = parse(bytes) else { return };
    #[expect(clippy::expect_used, reason = "a constant")]
    let endpoint = "http://REGID.localhost:8090".parse().expect("an endpoint");
    let peer = IpAddr::from([192, 0, 2, 7]);
    let visitor = Visitor { peer: (peer, 5000).into(), transport: Transport::Plain, port: 8090 };
    let Ok(Checked::Request(checked)) = check(&request, &visitor, &endpoint, "0123456789ab") else { return };
    let (mut parts, ()) = request.into_parts();
    let forwarding = Forwarding {
        peer,
        origin: peer,
        https: false,
        trusted: bytes.len().is_multiple_of(2),
        pseudonym: "0123456789ab",
        request: RequestId([0xab; 16]),
        key: None,
        host: None,
    };
    parts.headers = rewritten(&parts.headers, parts.version, parts.uri.authority(), &checked, &forwarding);
    let target = parts.uri.path_and_query().map_or("/", |target| target.as_str());
    strict(&parts.method, target, &parts.headers);
}

/// As hyper's server parses a head.
fn parse(bytes: &[u8]) -> Option<hyper::Request<()>> {
    let mut fields = [httparse::EMPTY_HEADER; 100];
    let mut head = httparse::Request::new(&mut fields);
    let mut config = httparse::ParserConfig::default();
    config.allow_spaces_after_header_name_in_responses(false);
    config.parse_request(&mut head, bytes).ok().filter(httparse::Status::is_complete)?;
    let mut request = hyper::Request::new(());
    *request.method_mut() = Method::from_bytes(head.method?.as_bytes()).ok()?;
    *request.uri_mut() = head.path?.parse::<Uri>().ok()?;
    *request.version_mut() = if head.version? == 1 { Version::HTTP_11 } else { Version::HTTP_10 };
    for field in head.headers.iter() {
        let name = HeaderName::from_bytes(field.name.as_bytes()).ok()?;
        request.headers_mut().append(name, HeaderValue::from_bytes(field.value).ok()?);
    }
    Some(request)
}

fn strict(method: &Method, target: &str, headers: &hyper::HeaderMap) {
    assert!(method.as_str().len() <= 32 && !matches!(method.as_str(), "CONNECT" | "TRACE"), "{method}");
    assert!(target.starts_with('/'), "origin form: {target}");
    assert!(target.bytes().all(|byte| byte.is_ascii_graphic()), "{target}");
    let named = [
        "host",
        "forwarded",
        "x-forwarded-for",
        "x-forwarded-proto",
        "x-forwarded-host",
        "via",
        "petit-request",
    ];
    for once in named {
        assert_eq!(headers.get_all(once).iter().count(), 1, "{once}: {headers:?}");
    }
    assert!(headers.get_all("content-length").iter().count() <= 1, "{headers:?}");
    for gone in ["transfer-encoding", "connection", "upgrade", "expect", "keep-alive", "proxy", "x-real-ip"] {
        assert!(!headers.contains_key(gone), "{gone}: {headers:?}");
    }
    for (name, value) in headers {
        let name = name.as_str();
        let is_petits = name.starts_with("petit-") && name != "petit-request";
        assert!(!name.contains('_') && !is_petits, "{name}");
        let bytes = value.as_bytes();
        assert!(!bytes.iter().any(|byte| matches!(byte, 0 | b'\r' | b'\n')), "{name}: {value:?}");
    }
}
