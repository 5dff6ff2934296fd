//! The head of an answer.

use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Response, StatusCode, Version};

use super::{connection_options, drop_where, is_hop_by_hop};

/// Clear Site Data §3.1.
const CLEAR_SITE_DATA: HeaderName = HeaderName::from_static("clear-site-data");

/// The head of an answer as the visitor gets it: no hop-by-hop fields, nothing that only Petit may say, no cookie
/// for other customers' hosts.
pub(in crate::ingress) fn to_visitor<B>(
    mut response: Response<B>,
    visitor_version: Version,
    host: &str,
) -> Response<B> {
    let status = response.status();
    let headers = response.headers_mut();
    let listed: Vec<String> = connection_options(headers).collect();
    drop_where(headers, |name| {
        is_hop_by_hop(name) || name.starts_with("petit-") || listed.iter().any(|listed| listed == name)
    });
    if headers.contains_key(header::SET_COOKIE) {
        narrow_cookies(headers, host);
    }
    if headers.contains_key(&CLEAR_SITE_DATA) {
        clear_own_data(headers);
    }
    // It has no body, and who believed the length would take the begin of the next answer for one (RFC 9110 §8.6).
    if status.is_informational() || status == StatusCode::NO_CONTENT {
        headers.remove(header::CONTENT_LENGTH);
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

/// A service may have a browser forget what is its own origin's. Cookies are forgotten for the whole registrable
/// domain, which is other customers' too.
fn clear_own_data(headers: &mut HeaderMap) {
    const OWN: &str = r#""cache", "storage", "executionContexts""#;
    let lines = headers.get_all(&CLEAR_SITE_DATA).iter().filter_map(|line| line.to_str().ok());
    let directives = lines.flat_map(|line| line.split(',')).map(str::trim);
    let own: Vec<&str> = directives
        .filter(|directive| !directive.eq_ignore_ascii_case(r#""cookies""#))
        .map(|directive| if directive == r#""*""# { OWN } else { directive })
        .collect();
    let own = HeaderValue::from_str(&own.join(", ")).ok().filter(|own| !own.is_empty());
    headers.remove(&CLEAR_SITE_DATA);
    if let Some(own) = own {
        headers.insert(CLEAR_SITE_DATA, own);
    }
}

pub(super) fn narrow(cookie: HeaderValue, host: &str) -> HeaderValue {
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
