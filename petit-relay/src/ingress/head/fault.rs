//! What exactly is wrong with a request, in words for whoever has written what sent it.

use std::borrow::Cow;
use std::fmt;

use super::super::super::failure::Failure;

/// Why a head is refused, and which rule it breaks where the failure alone does not say it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::ingress) struct Refused {
    pub(in crate::ingress) failure: Failure,
    pub(in crate::ingress) fault: Option<Fault>,
}

impl From<Failure> for Refused {
    fn from(failure: Failure) -> Self {
        Self { failure, fault: None }
    }
}

impl From<Fault> for Refused {
    fn from(fault: Fault) -> Self {
        Self { failure: fault.failure(), fault: Some(fault) }
    }
}

/// A rule that a request breaks. Its text repeats nothing of the request but the name of a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::ingress) enum Fault {
    /// What hyper does not read as HTTP/1.1; it does not say why.
    NoHttp,
    Scheme,
    NoPath,
    TargetBegin,
    TargetByte,
    Asterisk,
    OldTransferCoding,
    TwoLengths,
    LengthAndCoding,
    LengthForm,
    LengthRange,
    /// Of the body, which broke off or is not as its head says.
    Body,
    WebSocketMethod,
    WebSocketVersion,
    WebSocketHttpVersion,
    WebSocketKey,
    WebSocketBody,
    /// A field's name has `_` in it.
    Underscore(FieldName),
    /// A field's name is read by some servers as that of one that Petit sets or judges.
    ReadAs(FieldName),
    /// `Connection` lists a field that has to stay.
    ConnectionLists(FieldName),
}

impl Fault {
    fn failure(&self) -> Failure {
        match self {
            Self::NoHttp
            | Self::Scheme
            | Self::NoPath
            | Self::TargetBegin
            | Self::TargetByte
            | Self::Asterisk
            | Self::OldTransferCoding
            | Self::TwoLengths
            | Self::LengthAndCoding
            | Self::LengthForm
            | Self::LengthRange
            | Self::Body
            | Self::WebSocketMethod
            | Self::WebSocketVersion
            | Self::WebSocketHttpVersion
            | Self::WebSocketKey
            | Self::WebSocketBody => Failure::BadRequest,
            Self::Underscore(_) | Self::ReadAs(_) | Self::ConnectionLists(_) => Failure::BadField,
        }
    }

    /// In words, which need no escaping in JSON.
    pub(in crate::ingress) fn text(&self) -> Cow<'static, str> {
        Cow::Borrowed(match self {
            Self::NoHttp => {
                "It cannot be read as HTTP/1.1: the request line, the name or value of a header field, or Content-Length or Transfer-Encoding breaks RFC 9112."
            }
            Self::Scheme => "The scheme of the target is neither http nor https.",
            Self::NoPath => "The target has no path.",
            Self::TargetBegin => "The target's path does not begin with /.",
            Self::TargetByte => {
                "The path or query has a character that must be percent-encoded: only visible ASCII without backslash and # may stand there."
            }
            Self::Asterisk => "The target * is for the method OPTIONS alone.",
            Self::OldTransferCoding => "Transfer-Encoding is for HTTP/1.1 alone.",
            Self::TwoLengths => "There is more than one field Content-Length.",
            Self::LengthAndCoding => "Content-Length and Transfer-Encoding are both there.",
            Self::LengthForm => {
                "Content-Length is not a decimal number without sign, blanks and leading zeros."
            }
            Self::LengthRange => "Content-Length is larger than 2^53.",
            Self::Body => {
                "The body broke off, or its length or its chunks are not what the header says, or break RFC 9112."
            }
            Self::WebSocketMethod => "A WebSocket is asked for with another method than GET.",
            Self::WebSocketHttpVersion => "A WebSocket is asked for in another version than HTTP/1.1.",
            Self::WebSocketVersion => {
                "A WebSocket needs one field Sec-WebSocket-Version, and that has to be 13."
            }
            Self::WebSocketKey => {
                "A WebSocket needs one field Sec-WebSocket-Key, and that has to be 16 bytes in Base64."
            }
            Self::WebSocketBody => "A request for a WebSocket has a body.",
            Self::Underscore(name) => {
                return format!("The name of {name} has _ in it, which some servers read as -.").into();
            }
            Self::ReadAs(name) => {
                let meant = "is read by some servers as one that only a proxy may set";
                return format!("The name of {name} {meant}: use letters, digits and - in it.").into();
            }
            Self::ConnectionLists(name) => {
                return format!("Connection lists {name}, which has to reach the service.").into();
            }
        })
    }
}

/// The name of a field as it may be repeated to whoever has sent it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::ingress) struct FieldName(Option<Box<str>>);

impl FieldName {
    /// A longer one is not repeated.
    const MOST_BYTES: usize = 64;

    /// Of a name in lower case. What is long, or means something in JSON, HTML or a terminal, is not repeated.
    pub(super) fn of(name: &str) -> Self {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        let is_repeated = !name.is_empty() && name.len() <= Self::MOST_BYTES && name.bytes().all(is_plain);
        Self(is_repeated.then(|| name.into()))
    }
}

impl fmt::Display for FieldName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(name) => write!(f, "the field {name}"),
            None => f.write_str("a field"),
        }
    }
}

#[cfg(test)]
mod tests {
    use hyper::{Request, Version};

    use super::super::super::visitor::{Transport, Visitor};
    use super::super::{Checked, check};
    use super::*;

    fn judged(method: &str, target: &str, version: Version, fields: &[(&str, &str)]) -> Option<Fault> {
        let mut request = Request::builder().method(method).uri(target).version(version);
        for (name, value) in [&[("host", "a.example.com")], fields].concat() {
            request = request.header(name, value);
        }
        let peer = "192.0.2.7:5000".parse().unwrap();
        let visitor = Visitor { peer, transport: Transport::Plain, port: 8090 };
        let endpoint = "http://REGID.example.com:8090".parse().unwrap();
        match check(&request.body(()).unwrap(), &visitor, &endpoint, "0123456789ab") {
            Ok(Checked::Request(_) | Checked::ServerOptions) => None,
            Err(refused) => Some(refused.fault.expect("what is wrong")),
        }
    }

    fn fault_of(fields: &[(&str, &str)]) -> Option<Fault> {
        judged("GET", "/", Version::HTTP_11, fields)
    }

    #[test]
    fn each_rule_that_a_request_breaks_is_told_by_itself() {
        let target = |target| judged("GET", target, Version::HTTP_11, &[]);
        assert_eq!(target("/"), None);
        assert_eq!(target("ftp://a.example.com/"), Some(Fault::Scheme));
        assert_eq!(target("*"), Some(Fault::Asterisk));
        assert_eq!(target("/a\\b"), Some(Fault::TargetByte));
        let no_path = judged("GET", "http://a.example.com?c=1", Version::HTTP_2, &[]);
        assert_eq!(no_path, Some(Fault::TargetBegin));

        let chunked = ("transfer-encoding", "chunked");
        assert_eq!(judged("POST", "/", Version::HTTP_10, &[chunked]), Some(Fault::OldTransferCoding));
        assert_eq!(fault_of(&[("content-length", "1"), ("content-length", "1")]), Some(Fault::TwoLengths));
        assert_eq!(fault_of(&[("content-length", "1"), chunked]), Some(Fault::LengthAndCoding));
        for length in ["+1", "01", "1, 1", "", "0x1"] {
            assert_eq!(fault_of(&[("content-length", length)]), Some(Fault::LengthForm), "{length}");
        }
        assert_eq!(fault_of(&[("content-length", "9007199254740993")]), Some(Fault::LengthRange));
    }

    #[test]
    fn what_a_websocket_lacks_is_told() {
        let (upgrade, connection) = (("upgrade", "websocket"), ("connection", "upgrade"));
        let version = ("sec-websocket-version", "13");
        let key = ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
        let whole = [upgrade, connection, version, key];
        let (asked, fields) = (|method, http| judged(method, "/", http, &whole), &whole);
        assert_eq!(asked("GET", Version::HTTP_11), None);
        assert_eq!(asked("POST", Version::HTTP_11), Some(Fault::WebSocketMethod));
        assert_eq!(asked("GET", Version::HTTP_10), Some(Fault::WebSocketHttpVersion));
        assert_eq!(fault_of(&[upgrade, connection, key]), Some(Fault::WebSocketVersion));
        let other = ("sec-websocket-version", "8");
        assert_eq!(fault_of(&[upgrade, connection, other, key]), Some(Fault::WebSocketVersion));
        assert_eq!(fault_of(&[upgrade, connection, version]), Some(Fault::WebSocketKey));
        let short = ("sec-websocket-key", "dGhl");
        assert_eq!(fault_of(&[upgrade, connection, version, short]), Some(Fault::WebSocketKey));
        for body in [("content-length", "1"), ("transfer-encoding", "chunked")] {
            assert_eq!(fault_of(&[&fields[..], &[body]].concat()), Some(Fault::WebSocketBody), "{body:?}");
        }
        assert_eq!(fault_of(&[&fields[..], &[("content-length", "0")]].concat()), None);
    }

    #[test]
    fn a_field_that_does_not_pass_is_named_where_its_name_is_plain() {
        let text = |name, value| fault_of(&[(name, value)]).unwrap().text();
        assert_eq!(
            text("api_key", "hunter2"),
            "The name of the field api_key has _ in it, which some servers read as -."
        );
        assert!(text("x.forwarded.for", "1").starts_with("The name of the field x.forwarded.for is read by"));
        assert_eq!(
            text("connection", "close, Authorization"),
            "Connection lists the field authorization, which has to reach the service."
        );
        for name in ["x_'&'", "x_`id`", &format!("x_{}", "a".repeat(100))] {
            let text = text(name, "hunter2");
            assert!(text.starts_with("The name of a field has _ in it"), "{text}");
        }
    }

    #[test]
    fn no_text_needs_escaping() {
        let field = || FieldName::of("x_y");
        for fault in [
            Fault::NoHttp,
            Fault::Scheme,
            Fault::NoPath,
            Fault::TargetBegin,
            Fault::TargetByte,
            Fault::Asterisk,
            Fault::OldTransferCoding,
            Fault::TwoLengths,
            Fault::LengthAndCoding,
            Fault::LengthForm,
            Fault::LengthRange,
            Fault::Body,
            Fault::WebSocketMethod,
            Fault::WebSocketVersion,
            Fault::WebSocketHttpVersion,
            Fault::WebSocketKey,
            Fault::WebSocketBody,
            Fault::Underscore(field()),
            Fault::ReadAs(field()),
            Fault::ConnectionLists(field()),
        ] {
            let text = fault.text();
            assert!(
                text.bytes().all(|byte| matches!(byte, b' '..=b'~') && !br#"\"<>&"#.contains(&byte)),
                "{text}"
            );
            assert!(text.len() <= 150, "{text}");
        }
    }
}
