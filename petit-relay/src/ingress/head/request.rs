//! The head of a request: may it be passed on?

use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Version};
use petit_engine::http::is_plain_number;
use petit_engine::limits;
use petit_engine::name::{Endpoint, VisitorHost};

use super::super::super::failure::Failure;
use super::super::visitor::{Transport, Visitor};
use super::fault::{Fault, FieldName, Refused};
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
///
/// # Errors
/// What is wrong with it.
pub(in crate::ingress) fn check<B>(
    request: &hyper::Request<B>,
    visitor: &Visitor,
    endpoint: &Endpoint,
    pseudonym: &str,
) -> Result<Checked, Refused> {
    let method = request.method();
    if *method == Method::CONNECT || *method == Method::TRACE || method.as_str().len() > 32 {
        return Err(Failure::Method.into());
    }
    let headers = request.headers();
    // One by one, so that HTTP/2's one byte for a field it has sent before buys no more than any other.
    let target_bytes = request.uri().path_and_query().map_or(0, |target| target.as_str().len());
    let field_bytes: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    if headers.len() > limits::MAX_HEADERS
        || headers.values().any(|value| value.len() > limits::MAX_VALUE_BYTES)
        || field_bytes + target_bytes > limits::MAX_HEAD_BYTES
    {
        return Err(Failure::HeadTooLarge.into());
    }
    if target_bytes > limits::MAX_TARGET_BYTES {
        return Err(Failure::TargetTooLong.into());
    }
    if !request.uri().scheme_str().is_none_or(|scheme| matches!(scheme, "http" | "https")) {
        return Err(Fault::Scheme.into());
    }
    let host = host(request, visitor, endpoint)?;
    check_framing(request)?;
    check_fields(headers)?;
    if loops(headers, pseudonym) {
        return Err(Failure::Loop.into());
    }
    match request.uri().path_and_query().map(|target| target.as_str()) {
        Some("*") if *method == Method::OPTIONS => return Ok(Checked::ServerOptions),
        Some("*") => return Err(Fault::Asterisk.into()),
        Some(target) if !begins_well(request, target) => return Err(Fault::TargetBegin.into()),
        Some(target) if target.bytes().all(is_target_byte) => {}
        Some(_) => return Err(Fault::TargetByte.into()),
        None => return Err(Fault::NoPath.into()),
    }
    let websocket = wants_websocket(headers);
    if websocket {
        check_websocket(request)?;
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
fn check_framing<B>(request: &hyper::Request<B>) -> Result<(), Refused> {
    let headers = request.headers();
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    if let Some(coding) = codings.next() {
        if request.version() != Version::HTTP_11 {
            return Err(Fault::OldTransferCoding.into());
        }
        if codings.next().is_some() || !coding.as_bytes().eq_ignore_ascii_case(b"chunked") {
            return Err(Failure::TransferCoding.into());
        }
    }
    let mut lengths = headers.get_all(header::CONTENT_LENGTH).iter();
    if let Some(length) = lengths.next() {
        if lengths.next().is_some() {
            return Err(Fault::TwoLengths.into());
        }
        // A length beside chunks is what smuggling is made of (RFC 9112 §6.3); hyper drops it, and this does not rely
        // on that.
        if headers.contains_key(header::TRANSFER_ENCODING) {
            return Err(Fault::LengthAndCoding.into());
        }
        if !is_plain_number(length) {
            return Err(Fault::LengthForm.into());
        }
        let number = length.to_str().ok().and_then(|text| text.parse::<u64>().ok());
        if number.is_none_or(|length| length > 1 << 53) {
            return Err(Fault::LengthRange.into());
        }
    }
    Ok(())
}

/// Fields that do not pass: names that servers read differently, lists that would drop what must stay.
fn check_fields(headers: &HeaderMap) -> Result<(), Refused> {
    for name in headers.keys() {
        let name = name.as_str();
        if name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
            continue;
        }
        // CGI and its heirs read `_` and `-` as the same, and some of them whatever else is no letter or digit.
        if name.contains('_') {
            return Err(Fault::Underscore(FieldName::of(name)).into());
        }
        if is_guarded(&as_cgi_reads(name)) {
            return Err(Fault::ReadAs(FieldName::of(name)).into());
        }
    }
    for name in connection_options(headers) {
        if is_protected(&name) {
            return Err(Fault::ConnectionLists(FieldName::of(&name)).into());
        }
    }
    let mut expectations = headers.get_all(header::EXPECT).iter();
    if let Some(expectation) = expectations.next()
        && (expectations.next().is_some() || !expectation.as_bytes().eq_ignore_ascii_case(b"100-continue"))
    {
        return Err(Failure::Expectation.into());
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

/// Whether a WebSocket is asked for as RFC 6455 §4.2.1 wants it.
fn check_websocket<B>(request: &hyper::Request<B>) -> Result<(), Fault> {
    let headers = request.headers();
    let only = |name: HeaderName| {
        let mut values = headers.get_all(name).iter();
        values.next().filter(|_| values.next().is_none())
    };
    if *request.method() != Method::GET {
        return Err(Fault::WebSocketMethod);
    }
    if request.version() != Version::HTTP_11 {
        return Err(Fault::WebSocketHttpVersion);
    }
    if only(header::SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
        return Err(Fault::WebSocketVersion);
    }
    let is_key =
        |key: &HeaderValue| data_encoding::BASE64.decode(key.as_bytes()).is_ok_and(|key| key.len() == 16);
    if !only(header::SEC_WEBSOCKET_KEY).is_some_and(is_key) {
        return Err(Fault::WebSocketKey);
    }
    let has_length = headers.get(header::CONTENT_LENGTH).is_some_and(|length| length != "0");
    if has_length || headers.contains_key(header::TRANSFER_ENCODING) {
        return Err(Fault::WebSocketBody);
    }
    Ok(())
}
