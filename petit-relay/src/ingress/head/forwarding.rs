//! The head as a service gets it: what it says of the visitor is what Petit knows, or what a proxy that the
//! operator trusts has said.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use bytes::Bytes;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::http::request::Parts;
use hyper::http::uri::Authority;
use hyper::{Uri, Version};
use ipnet::IpNet;
use petit_engine::http::{Coding, write_head};
use petit_engine::name::VisitorKeyName;
use petit_engine::proto::RequestId;

use super::super::unread::RequestBody;
use super::super::visitor::{Visitor, canonical};
use super::{
    PETIT_REQUEST, PETIT_VISITOR, Request, connection_options, is_claim, is_hop_by_hop, without_empty_port,
};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// True when the connection comes from a proxy whose forwarding fields are believed.
pub(in crate::ingress) fn is_trusted(peer: IpAddr, trusted: &[IpNet]) -> bool {
    trusted.iter().any(|network| network.contains(&peer))
}

/// Who a visitor is whom a trusted proxy does not name in a way that can be read: no list of addresses names this one,
/// and all of them together have one visitor's share.
const UNKNOWN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

/// The visitor behind trusted proxies: the last address in `X-Forwarded-For` that is not a trusted proxy. A proxy adds its
/// word behind what the visitor sent, so nothing that stands before it, nor what the field looks like there, may matter.
pub(in crate::ingress) fn origin<B>(
    request: &hyper::Request<B>,
    visitor: &Visitor,
    trusted: &[IpNet],
) -> SocketAddr {
    let peer = canonical(visitor.peer);
    if !is_trusted(peer.ip(), trusted) {
        return peer;
    }
    let lines = request.headers().get_all(&X_FORWARDED_FOR).iter().rev();
    let named = lines.flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b',')).map(address);
    for ip in named {
        match ip {
            Some(ip) if is_trusted(ip, trusted) => {}
            Some(ip) => return SocketAddr::new(ip, 0),
            None => return UNKNOWN,
        }
    }
    peer
}

/// One address of a list, as proxies write them: with a port, or in brackets, or neither.
fn address(text: &[u8]) -> Option<IpAddr> {
    let text = str::from_utf8(text).ok()?.trim();
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let ip = bare.parse().ok().or_else(|| Some(text.parse::<SocketAddr>().ok()?.ip()))?;
    Some(ip.to_canonical())
}

/// The head as the service reads it: origin-form target, one `Host`, no hop-by-hop fields, honest forwarding fields.
pub(in crate::ingress) fn bytes_to_service(
    parts: &Parts,
    checked: &Request,
    forwarding: &Forwarding<'_>,
    coding: Option<Coding>,
) -> Bytes {
    write_head(&parts.method, &target(&parts.uri), coding, |field| {
        let takes_trailers =
            fields(&parts.headers, parts.version, parts.uri.authority(), checked, forwarding, field);
        if takes_trailers {
            field(&header::CONNECTION, b"te"); // RFC 9110 §10.1.4
        }
    })
}

/// As [`bytes_to_service`], for who writes the bytes himself. The body is not touched.
pub(in crate::ingress) fn to_service(
    request: hyper::Request<RequestBody>,
    checked: &Request,
    forwarding: &Forwarding<'_>,
) -> hyper::Request<RequestBody> {
    let (mut parts, body) = request.into_parts();
    parts.headers = rewritten(&parts.headers, parts.version, parts.uri.authority(), checked, forwarding);
    parts.uri = match target(&parts.uri) {
        Cow::Owned(target) => target.parse().ok(),
        Cow::Borrowed(_) => parts.uri.path_and_query().cloned().map(Uri::from),
    }
    .unwrap_or_else(|| Uri::from_static("/"));
    hyper::Request::from_parts(parts, body)
}

/// The target in origin-form.
fn target(uri: &Uri) -> Cow<'_, str> {
    match uri.path_and_query().map_or("/", |target| target.as_str()) {
        // A URL without a path has the path `/` (RFC 9110 §4.2.3).
        query if query.starts_with('?') => format!("/{query}").into(),
        target => target.into(),
    }
}

/// What the forwarding fields are made of.
#[derive(Debug)]
pub(in crate::ingress) struct Forwarding<'a> {
    pub(in crate::ingress) peer: IpAddr,
    pub(in crate::ingress) origin: IpAddr,
    pub(in crate::ingress) https: bool,
    pub(in crate::ingress) trusted: bool,
    pub(in crate::ingress) pseudonym: &'a str,
    pub(in crate::ingress) request: RequestId,
    /// The key that the visitor has shown, where the service's policy asks for one.
    pub(in crate::ingress) key: Option<&'a VisitorKeyName>,
    /// The host that the service is to see, if not the visitor's.
    pub(in crate::ingress) host: Option<&'a str>,
}

pub(super) fn rewritten(
    headers: &HeaderMap,
    version: Version,
    authority: Option<&Authority>,
    checked: &Request,
    forwarding: &Forwarding<'_>,
) -> HeaderMap {
    let mut out = HeaderMap::with_capacity(headers.len() + 6);
    fields(headers, version, authority, checked, forwarding, &mut |name, value| {
        if let Ok(value) = HeaderValue::from_bytes(value) {
            out.append(name, value);
        }
    });
    out
}

/// The fields that a service gets, one by one. True when the visitor takes trailers, and the service is told so.
fn fields(
    headers: &HeaderMap,
    version: Version,
    authority: Option<&Authority>,
    checked: &Request,
    forwarding: &Forwarding<'_>,
    field: &mut dyn FnMut(&HeaderName, &[u8]),
) -> bool {
    let Forwarding { peer, origin, https, trusted, pseudonym, request, key, host } = *forwarding;
    let said = if trusted { Said::by_proxy(headers) } else { Said::default() };
    let asked_for = match (headers.get(header::HOST), authority) {
        (Some(host), _) => host.as_bytes().strip_suffix(b":").unwrap_or(host.as_bytes()),
        (None, Some(authority)) => without_empty_port(authority.as_str()).as_bytes(),
        (None, None) => checked.host.name().as_bytes(),
    };
    field(&header::HOST, host.map_or(asked_for, str::as_bytes));
    let listed: Vec<String> = connection_options(headers).collect();
    let mut te = headers.get(header::TE).filter(|te| te.as_bytes().eq_ignore_ascii_case(b"trailers"));
    let takes_trailers = te.is_some();
    for (name, value) in headers {
        let text = name.as_str();
        if is_hop_by_hop(text) {
            if *name == header::TE && te.take().is_some() {
                field(name, b"trailers");
            }
            continue;
        }
        // What an `Expect` asks for is answered here, when the service's stream takes the body.
        let is_replaced = matches!(text, "host" | "expect" | "via")
            || text == "cookie" && version == Version::HTTP_2
            || is_claim(text)
            || text.starts_with("petit-");
        if !is_replaced && !listed.iter().any(|listed| listed == text) {
            field(name, value.as_bytes());
        }
    }
    if version == Version::HTTP_2 {
        // HTTP/2 may split the cookie field; HTTP/1.1 may not (RFC 9113 §8.2.3).
        let crumbs: Vec<&[u8]> = headers.get_all(header::COOKIE).iter().map(HeaderValue::as_bytes).collect();
        if !crumbs.is_empty() {
            field(&header::COOKIE, &crumbs.join(&b"; "[..]));
        }
    }
    let is_known = origin != UNKNOWN.ip();
    // Also what RFC 7239 §6.2 calls one that is not known.
    let origin_text = if is_known { origin.to_string() } else { "unknown".to_owned() };
    match said.addresses {
        Some(list) => {
            field(&X_FORWARDED_FOR, &[list.as_slice(), b", ", peer.to_string().as_bytes()].concat());
        }
        None => field(&X_FORWARDED_FOR, origin_text.as_bytes()),
    }
    let proto = said.proto.unwrap_or(if https { "https" } else { "http" });
    field(&X_FORWARDED_PROTO, proto.as_bytes());
    // What the visitor asked for, whatever the service is to see.
    field(&X_FORWARDED_HOST, said.host.as_ref().map_or(asked_for, |host| host.as_bytes()));
    let node = match origin {
        IpAddr::V4(_) => ["", &origin_text, ""],
        IpAddr::V6(_) => ["\"[", &origin_text, "]\""], // RFC 7239 §6
    };
    let mut line = String::with_capacity(128);
    line.push_str("for=");
    line.extend(node);
    line.extend([";proto=", proto, ";host=", checked.host.name()]);
    field(&header::FORWARDED, line.as_bytes());
    line.clear();
    line.extend(["1.1 ", pseudonym]);
    match joined(headers, &header::VIA) {
        Some(list) => field(&header::VIA, &[list.as_slice(), b", ", line.as_bytes()].concat()),
        None => field(&header::VIA, line.as_bytes()),
    }
    field(&PETIT_REQUEST, &request.hex());
    if let Some(key) = key {
        field(&PETIT_VISITOR, ["key=", key.as_str()].concat().as_bytes());
    }
    takes_trailers
}

/// What a trusted proxy said of the visitor. Of everything else that claims to tell, nothing is kept: the proxy may
/// have passed it on as the visitor sent it.
#[derive(Debug, Default)]
struct Said {
    /// All lines of `X-Forwarded-For`: a proxy may add one of its own behind those that a visitor sent, and who
    /// reads the list from its end, as [`origin`] does, is not deceived.
    addresses: Option<Vec<u8>>,
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

/// All lines of a list as one, with whatever bytes: who reads it from its end must not find what stood before a line that
/// is left out.
fn joined(headers: &HeaderMap, name: &HeaderName) -> Option<Vec<u8>> {
    let lines: Vec<&[u8]> = headers.get_all(name).iter().map(HeaderValue::as_bytes).collect();
    (!lines.is_empty()).then(|| lines.join(&b", "[..]))
}
