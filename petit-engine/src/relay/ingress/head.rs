//! Request and answer heads: what is refused, what is dropped, what is added. Pure.
//!
//! hyper has parsed the bytes; this decides whether what it accepted may go on. A rule of thumb runs through it:
//! where two servers could read a field differently, it does not pass.

use std::net::{IpAddr, SocketAddr};

use hyper::body::Incoming;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Response, Uri, Version};

use super::super::Shared;
use super::super::answer::Failure;
use super::super::tcp::canonical;
use super::forward::Way;
use super::{AnswerBody, Visitor};
use crate::limits;
use crate::name::{Endpoint, VisitorHost};

/// A head that may be passed on.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) host: VisitorHost,
    /// It asks to become a WebSocket, and rightly so.
    pub(super) websocket: bool,
}

/// What a head turned out to be.
#[derive(Debug)]
pub(super) enum Checked {
    Request(Request),
    /// `OPTIONS *`.
    ServerOptions,
}

/// Judges the head of a request.
pub(super) fn check<B>(
    request: &hyper::Request<B>,
    visitor: &Visitor,
    endpoint: &Endpoint,
    pseudonym: &str,
) -> Result<Checked, Failure> {
    let method = request.method();
    if *method == Method::CONNECT || *method == Method::TRACE || method.as_str().len() > 32 {
        return Err(Failure::Method);
    }
    let headers = request.headers();
    // One by one, so that HTTP/2's one byte for a field it has sent before buys no more than any other.
    let target_bytes = request.uri().path_and_query().map_or(0, |target| target.as_str().len());
    let field_bytes: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    if headers.len() > limits::MAX_HEADERS
        || headers.values().any(|value| value.len() > limits::MAX_VALUE_BYTES)
        || field_bytes + target_bytes > limits::MAX_HEAD_BYTES
    {
        return Err(Failure::HeadTooLarge);
    }
    if target_bytes > limits::MAX_TARGET_BYTES {
        return Err(Failure::TargetTooLong);
    }
    let host = host(request, visitor, endpoint)?;
    check_framing(request)?;
    check_fields(headers)?;
    if loops(headers, pseudonym) {
        return Err(Failure::Loop);
    }
    match request.uri().path_and_query().map(|target| target.as_str()) {
        Some("*") if *method == Method::OPTIONS => return Ok(Checked::ServerOptions),
        Some(target) if target.starts_with('/') && target.bytes().all(is_target_byte) => {}
        _ => return Err(Failure::BadRequest),
    }
    let websocket = wants_websocket(headers);
    if websocket && !is_valid_websocket(request) {
        return Err(Failure::BadRequest);
    }
    Ok(Checked::Request(Request { host, websocket }))
}

/// What may stand in a path or query as it is: visible ASCII without `\` and `#`, which servers read differently.
fn is_target_byte(byte: u8) -> bool {
    byte.is_ascii_graphic() && byte != b'\\' && byte != b'#'
}

/// The one host of a request: `Host`, and the target's authority where there is one, must agree.
fn host<B>(
    request: &hyper::Request<B>,
    visitor: &Visitor,
    endpoint: &Endpoint,
) -> Result<VisitorHost, Failure> {
    use crate::name::InvalidHost;
    let parse = |text: &str| {
        VisitorHost::parse(text).map_err(|error| match error {
            InvalidHost::Malformed => Failure::BadHost,
            InvalidHost::Address => Failure::Misdirected,
        })
    };
    let mut fields = request.headers().get_all(header::HOST).iter();
    let field = fields.next();
    if fields.next().is_some() {
        return Err(Failure::BadHost);
    }
    let field =
        field.map(|value| value.to_str().map_err(|_| Failure::BadHost).and_then(parse)).transpose()?;
    let target = request.uri().authority().map(|authority| parse(authority.as_str())).transpose()?;
    let host = match (field, target) {
        (Some(field), Some(target)) if field != target => return Err(Failure::BadHost),
        (Some(host), _) => host,
        (None, Some(target)) if request.version() == Version::HTTP_2 => target,
        (None, _) => return Err(Failure::BadHost),
    };
    let usual = if visitor.https.is_some() { 443 } else { 80 };
    let ports = [Some(visitor.port), endpoint.port(), Some(usual)];
    if host.port().is_some() && !ports.contains(&host.port()) {
        return Err(Failure::BadHost);
    }
    match &visitor.https {
        // A certificate for one name does not vouch for a request to another.
        Some(Some(name)) if name != host.name() => Err(Failure::Misdirected),
        _ => Ok(host),
    }
}

/// No body, one valid length, or chunked: nothing that two servers could frame differently.
fn check_framing<B>(request: &hyper::Request<B>) -> Result<(), Failure> {
    let headers = request.headers();
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    if let Some(coding) = codings.next() {
        if request.version() != Version::HTTP_11 {
            return Err(Failure::BadRequest);
        }
        if codings.next().is_some() || !coding.as_bytes().eq_ignore_ascii_case(b"chunked") {
            return Err(Failure::TransferCoding);
        }
    }
    let mut lengths = headers.get_all(header::CONTENT_LENGTH).iter();
    if let Some(length) = lengths.next() {
        let digits = !length.is_empty() && length.as_bytes().iter().all(u8::is_ascii_digit);
        let in_range = length.to_str().ok().and_then(|text| text.parse::<u64>().ok());
        let in_range = in_range.is_some_and(|length| length <= 1 << 53);
        if lengths.next().is_some() || !digits || !in_range {
            return Err(Failure::BadRequest);
        }
    }
    Ok(())
}

/// Fields that do not pass: names that servers read differently, lists that would drop what must stay.
fn check_fields(headers: &HeaderMap) -> Result<(), Failure> {
    for name in headers.keys() {
        // CGI and its heirs read `_` and `-` as the same.
        if name.as_str().contains('_') {
            return Err(Failure::BadField);
        }
    }
    for name in connection_options(headers) {
        if is_protected(&name) {
            return Err(Failure::BadField);
        }
    }
    let mut expectations = headers.get_all(header::EXPECT).iter();
    if let Some(expectation) = expectations.next()
        && (expectations.next().is_some() || !expectation.as_bytes().eq_ignore_ascii_case(b"100-continue"))
    {
        return Err(Failure::Expectation);
    }
    Ok(())
}

/// Names that `Connection` may not declare hop-by-hop: a proxy that obeyed would take away what the service
/// relies on.
fn is_protected(name: &str) -> bool {
    matches!(name, "host" | "authorization" | "cookie" | "content-length" | "content-type" | "forwarded")
        || name.starts_with("x-forwarded-")
        || name.starts_with("petit-")
}

/// The names that `Connection` lists, lower-case.
fn connection_options(headers: &HeaderMap) -> impl Iterator<Item = String> + '_ {
    headers.get_all(header::CONNECTION).iter().flat_map(|value| {
        let text = value.to_str().unwrap_or_default();
        text.split(',').map(|name| name.trim().to_ascii_lowercase()).filter(|name| !name.is_empty())
    })
}

fn loops(headers: &HeaderMap, pseudonym: &str) -> bool {
    let seen = |value: &HeaderValue| {
        value.to_str().is_ok_and(|text| text.split(',').any(|hop| hop.trim().ends_with(pseudonym)))
    };
    headers.get_all(header::VIA).iter().any(seen)
}

fn wants_websocket(headers: &HeaderMap) -> bool {
    let asks = |value: &HeaderValue| {
        value
            .to_str()
            .is_ok_and(|text| text.split(',').any(|name| name.trim().eq_ignore_ascii_case("websocket")))
    };
    headers.get_all(header::UPGRADE).iter().any(asks)
        && connection_options(headers).any(|option| option == "upgrade")
}

/// RFC 6455 §4.2.1.
fn is_valid_websocket<B>(request: &hyper::Request<B>) -> bool {
    let headers = request.headers();
    let only = |name: HeaderName| {
        let mut values = headers.get_all(name).iter();
        values.next().filter(|_| values.next().is_none())
    };
    let key_ok = only(header::SEC_WEBSOCKET_KEY)
        .is_some_and(|key| data_encoding::BASE64.decode(key.as_bytes()).is_ok_and(|key| key.len() == 16));
    *request.method() == Method::GET
        && request.version() == Version::HTTP_11
        && only(header::SEC_WEBSOCKET_VERSION).is_some_and(|version| version == "13")
        && key_ok
}

/// Fields that concern one connection only (RFC 9110 §7.6.1), beside those that `Connection` lists.
const HOP_BY_HOP: [HeaderName; 10] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("http2-settings"),
];

fn drop_hop_by_hop(headers: &mut HeaderMap) {
    let listed: Vec<String> = connection_options(headers).collect();
    let trailers = headers.get(header::TE).is_some_and(|te| te.as_bytes().eq_ignore_ascii_case(b"trailers"));
    for name in listed {
        headers.remove(name);
    }
    for name in &HOP_BY_HOP {
        headers.remove(name);
    }
    if trailers {
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
    }
}

/// Fields by which a visitor could pass for another, or have the service see another request than was checked.
fn is_claim(name: &str) -> bool {
    name.starts_with("x-forwarded-")
        || matches!(
            name,
            "forwarded"
                | "x-real-ip"
                | "x-client-ip"
                | "true-client-ip"
                | "cf-connecting-ip"
                | "x-original-url"
                | "x-rewrite-url"
        )
}

fn drop_where(headers: &mut HeaderMap, is_dropped: impl Fn(&str) -> bool) {
    let dropped: Vec<HeaderName> = headers.keys().filter(|name| is_dropped(name.as_str())).cloned().collect();
    for name in dropped {
        headers.remove(name);
    }
}

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// True when the connection comes from a proxy whose forwarding fields are believed.
fn is_trusted(peer: IpAddr, shared: &Shared) -> bool {
    shared.config.trusted_proxies.iter().any(|network| network.contains(&peer))
}

/// The visitor behind trusted proxies: the last address in `X-Forwarded-For` that is not a trusted proxy.
pub(super) fn origin<B>(request: &hyper::Request<B>, visitor: &Visitor, shared: &Shared) -> SocketAddr {
    let peer = canonical(visitor.peer);
    if !is_trusted(peer.ip(), shared) {
        return peer;
    }
    let fields: Vec<&str> = request
        .headers()
        .get_all(&X_FORWARDED_FOR)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|text| text.split(','))
        .collect();
    for text in fields.iter().rev() {
        match text.trim().parse::<IpAddr>() {
            Ok(ip) if is_trusted(ip, shared) => {}
            Ok(ip) => return SocketAddr::new(ip, 0),
            Err(_) => break,
        }
    }
    peer
}

/// The head as the service gets it: origin-form target, one `Host`, no hop-by-hop fields, honest forwarding
/// fields. The body is not touched.
pub(super) fn to_service(
    request: hyper::Request<Incoming>,
    checked: &Request,
    visitor: &Visitor,
    way: &Way<'_>,
) -> hyper::Request<Incoming> {
    let shared = way.shared;
    let (mut parts, body) = request.into_parts();
    let peer = canonical(visitor.peer).ip();
    let forwarding = Forwarding {
        peer,
        origin: way.visitor.ip(),
        https: visitor.https.is_some(),
        trusted: is_trusted(peer, shared),
        pseudonym: &shared.pseudonym,
    };
    rewrite(
        &mut parts.headers,
        parts.version,
        parts.uri.authority().map(ToString::to_string),
        checked,
        &forwarding,
    );
    // Only now, so that the forwarding fields say what the visitor asked for.
    if let Some(host) = &way.served.options.host {
        set(&mut parts.headers, header::HOST, host.as_str());
    }
    let target = parts.uri.path_and_query().cloned();
    parts.uri = target.map_or_else(|| Uri::from_static("/"), Uri::from);
    hyper::Request::from_parts(parts, body)
}

/// What the forwarding fields are made of.
#[derive(Debug)]
struct Forwarding<'a> {
    peer: IpAddr,
    origin: IpAddr,
    https: bool,
    trusted: bool,
    pseudonym: &'a str,
}

fn rewrite(
    headers: &mut HeaderMap,
    version: Version,
    authority: Option<String>,
    checked: &Request,
    forwarding: &Forwarding<'_>,
) {
    drop_hop_by_hop(headers);
    headers.remove(header::EXPECT); // answered here, when the service's stream takes the body
    drop_where(headers, |name| name.starts_with("petit-") || (!forwarding.trusted && is_claim(name)));
    if version == Version::HTTP_2 {
        join_cookies(headers);
    }
    if !headers.contains_key(header::HOST) {
        let host = authority.unwrap_or_else(|| checked.host.name().to_owned());
        if let Ok(host) = HeaderValue::from_str(&host) {
            headers.insert(header::HOST, host);
        }
    }
    let Forwarding { peer, origin, https, trusted, pseudonym } = *forwarding;
    let proto = if https { "https" } else { "http" };
    // A trusted proxy's own claims stay, and the proxy is added to them; otherwise what is said is all there is.
    let list =
        if trusted { headers.get(&X_FORWARDED_FOR).and_then(|value| value.to_str().ok()) } else { None };
    let list = match list {
        Some(list) => format!("{list}, {peer}"),
        None => origin.to_string(),
    };
    set(headers, X_FORWARDED_FOR, &list);
    if !headers.contains_key(&X_FORWARDED_PROTO) {
        headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static(proto));
    }
    if !headers.contains_key(&X_FORWARDED_HOST)
        && let Some(host) = headers.get(header::HOST).cloned()
    {
        headers.insert(X_FORWARDED_HOST, host);
    }
    let node = |ip: IpAddr| match ip {
        IpAddr::V4(v4) => v4.to_string(),
        IpAddr::V6(v6) => format!("\"[{v6}]\""), // RFC 7239 §6
    };
    let host = checked.host.name();
    let element = match headers.get(header::FORWARDED).and_then(|value| value.to_str().ok()) {
        Some(list) => format!("{list}, for={}", node(peer)),
        None => format!("for={};proto={proto};host={host}", node(origin)),
    };
    set(headers, header::FORWARDED, &element);
    let via = match headers.get(header::VIA).and_then(|value| value.to_str().ok()) {
        Some(list) => format!("{list}, 1.1 {pseudonym}"),
        None => format!("1.1 {pseudonym}"),
    };
    set(headers, header::VIA, &via);
}

fn set(headers: &mut HeaderMap, name: HeaderName, text: &str) {
    if let Ok(value) = HeaderValue::from_str(text) {
        headers.insert(name, value);
    }
}

/// HTTP/2 may split the cookie field; HTTP/1.1 may not (RFC 9113 §8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    let crumbs: Vec<&[u8]> = headers.get_all(header::COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if crumbs.len() > 1
        && let Ok(joined) = HeaderValue::from_bytes(&crumbs.join(&b"; "[..]))
    {
        headers.insert(header::COOKIE, joined);
    }
}

/// Judges the head of an answer: what two readers could frame differently is not passed on.
pub(super) fn check_answer<B>(response: &Response<B>) -> Result<(), Failure> {
    let headers = response.headers();
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    let coding = codings.next();
    let coding_ok = coding.is_none_or(|coding| coding.as_bytes().eq_ignore_ascii_case(b"chunked"));
    let mut lengths = headers.get_all(header::CONTENT_LENGTH).iter();
    let length = lengths.next();
    let length_ok =
        length.is_none_or(|length| !length.is_empty() && length.as_bytes().iter().all(u8::is_ascii_digit));
    let one_of_each = codings.next().is_none() && lengths.next().is_none();
    if coding_ok && length_ok && one_of_each && !(coding.is_some() && length.is_some()) {
        Ok(())
    } else {
        Err(Failure::ServiceInvalid)
    }
}

/// The head of an answer as the visitor gets it: no hop-by-hop fields, nothing that only Petit may say, no cookie
/// for other customers' hosts.
pub(super) fn to_visitor(
    mut response: Response<AnswerBody>,
    visitor_version: Version,
    host: &str,
) -> Response<AnswerBody> {
    let headers = response.headers_mut();
    drop_hop_by_hop(headers);
    drop_where(headers, |name| name.starts_with("petit-"));
    if headers.contains_key(header::SET_COOKIE) {
        narrow_cookies(headers, host);
    }
    // HTTP/1.0 is served once per connection: its keep-alive never had one meaning.
    if visitor_version == Version::HTTP_10 {
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    *response.version_mut() = visitor_version;
    response
}

/// Takes the `Domain` from cookies that would be sent to more hosts than the service's own: a customer must not
/// set cookies for another's address under the same domain.
fn narrow_cookies(headers: &mut HeaderMap, host: &str) {
    let cookies: Vec<HeaderValue> = headers.get_all(header::SET_COOKIE).iter().cloned().collect();
    headers.remove(header::SET_COOKIE);
    for cookie in cookies {
        headers.append(header::SET_COOKIE, narrow(cookie, host));
    }
}

fn narrow(cookie: HeaderValue, host: &str) -> HeaderValue {
    let is_wide = |attribute: &[u8]| {
        let attribute = attribute.trim_ascii();
        let name = attribute.get(..6).unwrap_or_default();
        let value = attribute.get(6..).map(<[u8]>::trim_ascii_start).and_then(|rest| rest.strip_prefix(b"="));
        let Some(value) = value.filter(|_| name.eq_ignore_ascii_case(b"domain")) else { return false };
        let domain = String::from_utf8_lossy(value.trim_ascii()).to_ascii_lowercase();
        let domain = domain.trim_start_matches('.');
        domain != host && !domain.strip_suffix(host).is_some_and(|rest| rest.ends_with('.'))
    };
    let mut parts = cookie.as_bytes().split(|byte| *byte == b';');
    let mut kept = parts.next().unwrap_or_default().to_vec();
    let mut narrowed = false;
    for attribute in parts {
        if is_wide(attribute) {
            narrowed = true;
        } else {
            kept.push(b';');
            kept.extend_from_slice(attribute);
        }
    }
    match HeaderValue::from_bytes(&kept) {
        Ok(kept) if narrowed => kept,
        _ => cookie,
    }
}

/// Trailers without what frames, routes, authorises or speaks for Petit.
pub(super) fn trailers(mut trailers: HeaderMap) -> HeaderMap {
    let forbidden = |name: &str| {
        HOP_BY_HOP.iter().any(|hop| hop == name)
            || is_protected(name)
            || is_claim(name)
            || matches!(name, "set-cookie" | "via" | "expect" | "location" | "www-authenticate")
    };
    drop_where(&mut trailers, forbidden);
    trailers
}

#[cfg(test)]
mod tests;
