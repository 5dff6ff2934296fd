//! Request and answer heads: what is refused, what is dropped, what is added. Pure.
//!
//! hyper has parsed the bytes; this decides whether what it accepted may go on. A rule of thumb runs through it:
//! where two servers could read a field differently, it does not pass.

mod answer;
mod forwarding;
mod fuzz;
mod request;

use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};

pub(super) use self::answer::{check_answer, to_visitor};
pub(super) use self::forwarding::{bytes_to_service, origin, to_service};
pub use self::fuzz::head as fuzz;
pub(super) use self::request::{Checked, Request, check};

/// Digits, and none that could be read as octal.
fn is_plain_number(value: &HeaderValue) -> bool {
    let bytes = value.as_bytes();
    !bytes.is_empty()
        && bytes.iter().all(u8::is_ascii_digit)
        && (bytes.len() == 1 || !bytes.starts_with(b"0"))
}

/// Names that `Connection` may not declare hop-by-hop: a proxy that obeyed would take away what the service
/// relies on.
fn is_protected(name: &str) -> bool {
    matches!(name, "host" | "authorization" | "cookie" | "content-length" | "content-type" | "forwarded")
        || name.starts_with("x-forwarded-")
        || name.starts_with("petit-")
}

/// The names that `Connection` lists, lower-case, without those that are everyday life.
fn connection_options(headers: &HeaderMap) -> impl Iterator<Item = String> + '_ {
    let usual = |name: &str| {
        name.is_empty() || name.eq_ignore_ascii_case("keep-alive") || name.eq_ignore_ascii_case("close")
    };
    headers.get_all(header::CONNECTION).iter().flat_map(move |value| {
        let text = value.to_str().unwrap_or_default();
        text.split(',').map(str::trim).filter(move |name| !usual(name)).map(str::to_ascii_lowercase)
    })
}

/// Fields that concern one connection only (RFC 9110 §7.6.1), beside those that `Connection` lists.
fn is_hop_by_hop(name: &str) -> bool {
    matches!(
        name,
        "connection"
            | "keep-alive"
            | "proxy-connection"
            | "proxy-authenticate"
            | "proxy-authorization"
            | "te"
            | "trailer"
            | "transfer-encoding"
            | "upgrade"
            | "http2-settings"
    )
}

/// Fields by which a visitor could pass for another, or have the service see another request than was checked;
/// all that widely used servers and frameworks are known to believe.
fn is_claim(name: &str) -> bool {
    name.starts_with("x-forwarded")
        || name.starts_with("x-ssl-client")
        || name.starts_with("ssl-client")
        || matches!(
            name,
            "forwarded"
                | "x-real-ip"
                | "x-client-ip"
                | "client-ip"
                | "true-client-ip"
                | "x-cluster-client-ip"
                | "cf-connecting-ip"
                | "fastly-client-ip"
                | "fly-client-ip"
                | "x-azure-clientip"
                | "x-azure-socketip"
                | "x-remote-ip"
                | "x-remote-addr"
                | "x-proxyuser-ip"
                | "x-envoy-external-address"
                | "x-original-forwarded-for"
                | "x-original-host"
                | "x-original-url"
                | "x-rewrite-url"
                | "x-host"
                | "x-url-scheme"
                | "front-end-https"
                | "proxy" // CGI makes HTTP_PROXY of it ("httpoxy")
        )
}

fn drop_where(headers: &mut HeaderMap, is_dropped: impl Fn(&str) -> bool) {
    let dropped: Vec<HeaderName> = headers.keys().filter(|name| is_dropped(name.as_str())).cloned().collect();
    for name in dropped {
        headers.remove(name);
    }
}

/// Trailers without what frames, routes, authorises or speaks for Petit.
pub(super) fn trailers(mut trailers: HeaderMap) -> HeaderMap {
    let forbidden = |name: &str| {
        is_hop_by_hop(name)
            || is_protected(name)
            || is_claim(name)
            || matches!(name, "set-cookie" | "via" | "expect" | "location" | "www-authenticate")
    };
    drop_where(&mut trailers, forbidden);
    trailers
}

#[cfg(test)]
mod tests;
