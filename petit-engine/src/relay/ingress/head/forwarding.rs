//! The head as a service gets it: what it says of the visitor is what Petit knows, or what a proxy that the
//! operator trusts has said.

use std::net::{IpAddr, SocketAddr};

use hyper::body::Incoming;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Uri, Version};

use super::super::super::Shared;
use super::super::super::tcp::canonical;
use super::super::Visitor;
use super::super::forward::Way;
use super::{Request, drop_hop_by_hop, drop_where, is_claim, set};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// True when the connection comes from a proxy whose forwarding fields are believed.
fn is_trusted(peer: IpAddr, shared: &Shared) -> bool {
    shared.config.trusted_proxies.iter().any(|network| network.contains(&peer))
}

/// The visitor behind trusted proxies: the last address in `X-Forwarded-For` that is not a trusted proxy.
pub(in crate::relay::ingress) fn origin<B>(
    request: &hyper::Request<B>,
    visitor: &Visitor,
    shared: &Shared,
) -> SocketAddr {
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
pub(in crate::relay::ingress) fn to_service(
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
pub(super) struct Forwarding<'a> {
    pub(super) peer: IpAddr,
    pub(super) origin: IpAddr,
    pub(super) https: bool,
    pub(super) trusted: bool,
    pub(super) pseudonym: &'a str,
}

pub(super) fn rewrite(
    headers: &mut HeaderMap,
    version: Version,
    authority: Option<String>,
    checked: &Request,
    forwarding: &Forwarding<'_>,
) {
    let Forwarding { peer, origin, https, trusted, pseudonym } = *forwarding;
    let said = if trusted { Said::by_proxy(headers) } else { Said::default() };
    let via = joined(headers, &header::VIA);
    drop_hop_by_hop(headers);
    headers.remove(header::EXPECT); // answered here, when the service's stream takes the body
    drop_where(headers, |name| name.starts_with("petit-") || is_claim(name));
    if version == Version::HTTP_2 {
        join_cookies(headers);
    }
    if !headers.contains_key(header::HOST) {
        let host = authority.unwrap_or_else(|| checked.host.name().to_owned());
        set(headers, header::HOST, &host);
    }
    let list = match said.addresses {
        Some(list) => format!("{list}, {peer}"),
        None => origin.to_string(),
    };
    set(headers, X_FORWARDED_FOR, &list);
    let proto = said.proto.unwrap_or(if https { "https" } else { "http" });
    headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static(proto));
    if let Some(host) = said.host.or_else(|| headers.get(header::HOST).cloned()) {
        headers.insert(X_FORWARDED_HOST, host);
    }
    let node = match origin {
        IpAddr::V4(v4) => v4.to_string(),
        IpAddr::V6(v6) => format!("\"[{v6}]\""), // RFC 7239 §6
    };
    let host = checked.host.name();
    set(headers, header::FORWARDED, &format!("for={node};proto={proto};host={host}"));
    let via = match via {
        Some(list) => format!("{list}, 1.1 {pseudonym}"),
        None => format!("1.1 {pseudonym}"),
    };
    set(headers, header::VIA, &via);
}

/// What a trusted proxy said of the visitor. Of everything else that claims to tell, nothing is kept: the proxy may
/// have passed it on as the visitor sent it.
#[derive(Debug, Default)]
struct Said {
    /// All lines of `X-Forwarded-For`: a proxy may add one of its own behind those that a visitor sent, and who
    /// reads the list from its end, as [`origin`] does, is not deceived.
    addresses: Option<String>,
    proto: Option<&'static str>,
    host: Option<HeaderValue>,
}

impl Said {
    fn by_proxy(headers: &HeaderMap) -> Self {
        // The last word is the proxy's.
        let last = |name: &HeaderName| headers.get_all(name).iter().next_back();
        let proto = last(&X_FORWARDED_PROTO).and_then(|proto| {
            let proto = proto.to_str().ok()?.rsplit(',').next()?.trim();
            ["https", "http"].into_iter().find(|known| proto.eq_ignore_ascii_case(known))
        });
        let addresses = joined(headers, &X_FORWARDED_FOR);
        Self { addresses, proto, host: last(&X_FORWARDED_HOST).cloned() }
    }
}

/// All lines of a list as one.
fn joined(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let lines: Vec<&str> = headers.get_all(name).iter().filter_map(|line| line.to_str().ok()).collect();
    (!lines.is_empty()).then(|| lines.join(", "))
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
