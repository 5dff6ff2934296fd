//! Request and answer heads: what is refused, what is dropped, what is added. Nothing here waits, or touches a
//! socket; what is trusted, and how the relay is named, `forwarding` reads from the relay.
//!
//! hyper has parsed the bytes; this decides whether what it accepted may go on. A rule of thumb runs through it:
//! where two servers could read a field differently, it does not pass.

mod answer;
mod claims;
mod fault;
mod forwarding;
mod fuzz;
mod request;

use hyper::header::{self, HeaderMap, HeaderName};

pub(super) use self::answer::to_visitor;
use self::claims::is_claim;
pub(super) use self::fault::{Fault, Refused};
pub(super) use self::forwarding::{Forwarding, bytes_to_service, is_trusted, origin, to_service};
pub use self::fuzz::head as fuzz;
pub(super) use self::request::{Checked, Request, check};

/// Names a request to the service, and on its answer to the visitor. Nobody else can set it: of visitors and services
/// alike such fields are dropped.
pub(super) const PETIT_REQUEST: HeaderName = HeaderName::from_static("petit-request");

/// Tells the service who the visitor is: `key=` and the name of the key that was shown. As hard to forge as
/// [`PETIT_REQUEST`].
const PETIT_VISITOR: HeaderName = HeaderName::from_static("petit-visitor");

/// Names that `Connection` may not declare hop-by-hop: a proxy that obeyed would take away what the service
/// relies on.
fn is_protected(name: &str) -> bool {
    matches!(name, "host" | "authorization" | "cookie" | "content-length" | "content-type" | "forwarded")
        || name.starts_with("x-forwarded-")
        || name.starts_with("petit-")
}

/// The options that `Connection` lists, lower-case, without `keep-alive` and `close`.
fn connection_options(headers: &HeaderMap) -> impl Iterator<Item = String> + '_ {
    let usual = |name: &str| {
        name.is_empty() || name.eq_ignore_ascii_case("keep-alive") || name.eq_ignore_ascii_case("close")
    };
    headers.get_all(header::CONNECTION).iter().flat_map(move |value| {
        // A name that is no ASCII is no field's; those beside it are.
        let names = value.as_bytes().split(|byte| *byte == b',');
        let names = names.map(|name| str::from_utf8(name).unwrap_or_default().trim());
        names.filter(move |name| !usual(name)).map(str::to_ascii_lowercase)
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

/// Fields that Petit judges, replaces or keeps to itself.
fn is_guarded(name: &str) -> bool {
    is_hop_by_hop(name) || is_protected(name) || is_claim(name) || matches!(name, "via" | "expect")
}

/// A field's name with `-` for all that is no letter or digit, as CGI and its heirs read it.
fn as_cgi_reads(name: &str) -> String {
    name.replace(|c: char| !c.is_ascii_alphanumeric(), "-")
}

/// A host without the colon of a port that is not there, which means the same (RFC 9110 §4.2.3).
fn without_empty_port(host: &str) -> &str {
    host.strip_suffix(':').unwrap_or(host)
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
        is_guarded(name)
            // In another spelling, which some servers read as the same: see `check_fields`.
            || is_guarded(&as_cgi_reads(name))
            || matches!(name, "set-cookie" | "location" | "www-authenticate")
    };
    drop_where(&mut trailers, forbidden);
    trailers
}

#[cfg(test)]
mod tests;
