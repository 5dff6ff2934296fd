//! The head of an answer.

use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Response, Version};

use super::super::super::answer::Failure;
use super::super::AnswerBody;
use super::{connection_options, drop_where, is_hop_by_hop, is_plain_number};
use crate::limits;

/// Judges the head of an answer: what two readers could frame differently is not passed on.
pub(in crate::relay::ingress) fn check_answer<B>(response: &Response<B>) -> Result<(), Failure> {
    let headers = response.headers();
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    let coding = codings.next();
    let coding_ok = coding.is_none_or(|coding| coding.as_bytes().eq_ignore_ascii_case(b"chunked"));
    let mut lengths = headers.get_all(header::CONTENT_LENGTH).iter();
    let length = lengths.next();
    let length_ok = length.is_none_or(is_plain_number);
    let one_of_each = codings.next().is_none() && lengths.next().is_none();
    let bytes: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    // Nobody asked to switch to another protocol: what follows would be read as one thing here, as another there.
    let is_final = !response.status().is_informational();
    let fits = bytes <= limits::HTTP_BUFFER_BYTES; // hyper's own limit is only looked at between two reads
    if is_final && fits && coding_ok && length_ok && one_of_each && !(coding.is_some() && length.is_some()) {
        Ok(())
    } else {
        Err(Failure::ServiceInvalid)
    }
}

/// The head of an answer as the visitor gets it: no hop-by-hop fields, nothing that only Petit may say, no cookie
/// for other customers' hosts.
pub(in crate::relay::ingress) fn to_visitor(
    mut response: Response<AnswerBody>,
    visitor_version: Version,
    host: &str,
) -> Response<AnswerBody> {
    let headers = response.headers_mut();
    let listed: Vec<String> = connection_options(headers).collect();
    drop_where(headers, |name| {
        is_hop_by_hop(name) || name.starts_with("petit-") || listed.iter().any(|listed| listed == name)
    });
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
