//! The head of a request: may it be passed on?

use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Version};
use petit_engine::http::is_plain_number;
use petit_engine::limits;
use petit_engine::name::{Endpoint, VisitorHost};

use super::super::super::failure::Failure;
use super::super::visitor::{Transport, Visitor};
use super::{as_cgi_reads, connection_options, is_guarded, is_protected, without_empty_port};

/// A head that may be passed on.
#[derive(Debug)]
pub(in crate::ingress) struct Request {
    pub(in crate::ingress) host: VisitorHost,
    /// It asks to become a WebSocket, and rightly so.
    pub(in crate::ingress) websocket: bool,
}

/// What a head turned out to be.
#[derive(Debug)]
pub(in crate::ingress) enum Checked {
    Request(Request),
    /// `OPTIONS *`.
    ServerOptions,
}

/// Judges the head of a request.
pub(in crate::ingress) fn check<B>(
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
    if !request.uri().scheme_str().is_none_or(|scheme| matches!(scheme, "http" | "https")) {
        return Err(Failure::BadRequest);
    }
    let host = host(request, visitor, endpoint)?;
    check_framing(request)?;
    check_fields(headers)?;
    if loops(headers, pseudonym) {
        return Err(Failure::Loop);
    }
    match request.uri().path_and_query().map(|target| target.as_str()) {
        Some("*") if *method == Method::OPTIONS => return Ok(Checked::ServerOptions),
        Some(target) if begins_well(request, target) && target.bytes().all(is_target_byte) => {}
        _ => return Err(Failure::BadRequest),
    }
    let websocket = wants_websocket(headers);
    if websocket && !is_valid_websocket(request) {
        return Err(Failure::BadRequest);
    }
    Ok(Checked::Request(Request { host, websocket }))
}

/// A target begins with its path; of a whole URL the path may be missing (RFC 9110 §4.2.3).
fn begins_well<B>(request: &hyper::Request<B>, target: &str) -> bool {
    let is_url = request.version() < Version::HTTP_2 && request.uri().authority().is_some();
    target.starts_with('/') || (is_url && target.starts_with('?'))
}

/// What may stand in a path or query as it is: visible ASCII without `\` and `#`, which servers read differently.
/// (What follows a `#` has been cut off by whoever parsed the target, so that the service never sees it.)
fn is_target_byte(byte: u8) -> bool {
    byte.is_ascii_graphic() && byte != b'\\' && byte != b'#'
}

/// The one host of a request: `Host`, and the target's authority where there is one, must agree.
fn host<B>(
    request: &hyper::Request<B>,
    visitor: &Visitor,
    endpoint: &Endpoint,
) -> Result<VisitorHost, Failure> {
    use petit_engine::name::InvalidHost;
    let parse = |text: &str| {
        let text = without_empty_port(text);
        // A port that begins with 0 is octal to some.
        if text.rsplit_once(':').is_some_and(|(_, port)| port.starts_with('0')) {
            return Err(Failure::BadHost);
        }
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
    let usual = if visitor.transport.is_tls() { 443 } else { 80 };
    let ports = [Some(visitor.port), endpoint.port(), Some(usual)];
    if host.port().is_some() && !ports.contains(&host.port()) {
        return Err(Failure::BadPort);
    }
    match &visitor.transport {
        // A certificate for one name does not vouch for a request to another.
        Transport::Tls { sni: Some(name) } if name != host.name() => Err(Failure::Misdirected),
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
        let digits = is_plain_number(length);
        let in_range = length.to_str().ok().and_then(|text| text.parse::<u64>().ok());
        let in_range = in_range.is_some_and(|length| length <= 1 << 53);
        // A length beside chunks is what smuggling is made of (RFC 9112 §6.3); hyper drops it, and this does not rely
        // on that.
        let is_alone = lengths.next().is_none() && !headers.contains_key(header::TRANSFER_ENCODING);
        if !is_alone || !digits || !in_range {
            return Err(Failure::BadRequest);
        }
    }
    Ok(())
}

/// Fields that do not pass: names that servers read differently, lists that would drop what must stay.
fn check_fields(headers: &HeaderMap) -> Result<(), Failure> {
    for name in headers.keys() {
        let name = name.as_str();
        if name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
            continue;
        }
        // CGI and its heirs read `_` and `-` as the same, and some of them whatever else is no letter or digit.
        if name.contains('_') || is_guarded(&as_cgi_reads(name)) {
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
