//! The one table from what went wrong to what a visitor is told: status, code, sentence, which hop, whether to
//! try again. Nothing of the request is repeated in it, and nothing of the inside is shown.

use bytes::Bytes;
use hyper::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use hyper::{HeaderMap, Response, StatusCode};
use petit_engine::limits;
use petit_engine::mux::{OpenError, StreamOutcome};
use petit_engine::name::ServiceName;
use petit_engine::proto::RequestId;
use petit_engine::proto::frame::ResetCode;

use super::ingress::AnswerBody;

/// Marks an answer that Petit itself gave. No service can forge it: answers from services lose such fields.
pub(super) const PETIT_ERROR: HeaderName = HeaderName::from_static("petit-error");

/// Why a visitor gets an answer from Petit instead of one from a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The request's head is not one that can be passed on.
    BadRequest,
    /// Host missing, twice, malformed, or not the one that was asked for elsewhere in the request.
    BadHost,
    /// The host is one, but with a port that visitors do not come in by.
    BadPort,
    /// A method that is not passed on.
    Method,
    /// A transfer coding other than `chunked`.
    TransferCoding,
    /// An expectation other than `100-continue`.
    Expectation,
    /// A header field that only a proxy's own side may set, or with a name that servers read differently.
    BadField,
    /// The request has been here before.
    Loop,
    /// A host that this server is not responsible for, or a name under another certificate.
    Misdirected,
    /// No service has this name.
    Unknown,
    /// The service does not speak HTTP; it has a port of its own.
    NotHttp,
    /// The customer's client is not connected.
    Away,
    /// The client is connected but does not offer this service at the moment.
    NotOffered,
    /// No room on the way.
    Busy,
    /// There was room, and others with less needed it. The request may have started.
    GaveWay,
    /// More requests in a second than the operator allows for this service.
    TooMany,
    /// The request's head is too large, or has too many fields.
    HeadTooLarge,
    /// The path and query are too long.
    TargetTooLong,
    /// The body is longer than the service takes.
    BodyTooLong,
    /// The body came too slowly.
    SlowBody,
    /// Nothing listens where the service should be.
    ServiceDown,
    /// The service could not be connected to.
    ServiceUnreachable,
    /// The service closed the connection before it had answered.
    ServiceBroke,
    /// The service answered with something that is not HTTP.
    ServiceInvalid,
    /// The service's TLS is not what its owner has set up.
    ServiceTls,
    /// The service has not answered in time.
    ServiceSilent,
    /// The connection between server and client broke after the request may have started.
    TunnelLost,
    /// A fault of Petit's own.
    Internal,
}

struct Row {
    status: StatusCode,
    code: &'static str,
    title: &'static str,
    hop: &'static str,
    retry: bool,
}

impl Failure {
    /// One arm per failure.
    fn row(self) -> Row {
        let row = |status, code, title, hop, retry| Row { status, code, title, hop, retry };
        match self {
            Self::BadRequest => {
                row(StatusCode::BAD_REQUEST, "bad-request", "The request is not valid.", "request", false)
            }
            Self::BadHost => row(
                StatusCode::BAD_REQUEST,
                "bad-host",
                "The request does not name exactly one valid host.",
                "request",
                false,
            ),
            Self::BadPort => row(
                StatusCode::BAD_REQUEST,
                "bad-port",
                "The request names a port that this server is not reached on.",
                "request",
                false,
            ),
            Self::Method => row(
                StatusCode::METHOD_NOT_ALLOWED,
                "method",
                "This method is not passed on.",
                "request",
                false,
            ),
            Self::TransferCoding => row(
                StatusCode::NOT_IMPLEMENTED,
                "transfer-coding",
                "Only the transfer coding chunked is passed on.",
                "request",
                false,
            ),
            Self::Expectation => row(
                StatusCode::EXPECTATION_FAILED,
                "expectation",
                "Only 100-continue can be expected.",
                "request",
                false,
            ),
            Self::BadField => row(
                StatusCode::BAD_REQUEST,
                "bad-field",
                "A header field's name has _ in it, or Connection lists a field that has to stay.",
                "request",
                false,
            ),
            Self::Loop => row(
                StatusCode::LOOP_DETECTED,
                "loop",
                "The service leads back to this server.",
                "service",
                false,
            ),
            Self::Misdirected => row(
                StatusCode::MISDIRECTED_REQUEST,
                "misdirected",
                "This server does not serve that host.",
                "server",
                false,
            ),
            Self::Unknown => {
                row(StatusCode::NOT_FOUND, "unknown-service", "No service has this name.", "server", false)
            }
            Self::NotHttp => row(
                StatusCode::MISDIRECTED_REQUEST,
                "not-http",
                "This service is reached on a TCP port of its own.",
                "server",
                false,
            ),
            Self::Away => row(
                StatusCode::SERVICE_UNAVAILABLE,
                "client-away",
                "The customer's client is not connected.",
                "client",
                true,
            ),
            Self::NotOffered => row(
                StatusCode::SERVICE_UNAVAILABLE,
                "not-offered",
                "The customer's client does not offer this service at the moment.",
                "client",
                true,
            ),
            Self::Busy => row(
                StatusCode::SERVICE_UNAVAILABLE,
                "busy",
                "There is no room at the moment.",
                "server",
                true,
            ),
            Self::GaveWay => row(
                StatusCode::SERVICE_UNAVAILABLE,
                "gave-way",
                "The request may have started, and was ended for others: too much came from one side.",
                "server",
                false,
            ),
            Self::TooMany => row(
                StatusCode::TOO_MANY_REQUESTS,
                "too-many-requests",
                "There are more requests for this service than its operator allows.",
                "server",
                true,
            ),
            Self::HeadTooLarge => row(
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
                "head-too-large",
                "The request's header is too large.",
                "request",
                false,
            ),
            Self::TargetTooLong => row(
                StatusCode::URI_TOO_LONG,
                "target-too-long",
                "The request's path and query are too long.",
                "request",
                false,
            ),
            Self::BodyTooLong => row(
                StatusCode::PAYLOAD_TOO_LARGE,
                "body-too-long",
                "The request's body is longer than the service takes.",
                "request",
                false,
            ),
            Self::SlowBody => row(
                StatusCode::REQUEST_TIMEOUT,
                "slow-body",
                "The request's body came too slowly.",
                "request",
                true,
            ),
            Self::ServiceDown => row(
                StatusCode::BAD_GATEWAY,
                "service-down",
                "The client is connected, but nothing answers where the service should be.",
                "service",
                true,
            ),
            Self::ServiceUnreachable => row(
                StatusCode::BAD_GATEWAY,
                "service-unreachable",
                "The client is connected, but cannot reach the service.",
                "service",
                true,
            ),
            Self::ServiceBroke => row(
                StatusCode::BAD_GATEWAY,
                "service-broke",
                "The service closed the connection before it had answered.",
                "service",
                false,
            ),
            Self::ServiceInvalid => row(
                StatusCode::BAD_GATEWAY,
                "service-invalid",
                "The service's answer is not valid HTTP.",
                "service",
                false,
            ),
            Self::ServiceTls => row(
                StatusCode::BAD_GATEWAY,
                "service-tls",
                "The client is connected, but the service's TLS is not what was set up there.",
                "service",
                false,
            ),
            Self::ServiceSilent => row(
                StatusCode::GATEWAY_TIMEOUT,
                "service-silent",
                "The service has not answered in time.",
                "service",
                false,
            ),
            Self::TunnelLost => row(
                StatusCode::BAD_GATEWAY,
                "tunnel-lost",
                "The connection to the client broke while the request was under way.",
                "tunnel",
                false,
            ),
            Self::Internal => row(
                StatusCode::INTERNAL_SERVER_ERROR,
                "internal",
                "The server failed to handle the request.",
                "server",
                false,
            ),
        }
    }

    /// All of them, in the order of their statuses.
    pub const ALL: [Self; 28] = [
        Self::BadRequest,
        Self::BadHost,
        Self::BadPort,
        Self::BadField,
        Self::Unknown,
        Self::Method,
        Self::SlowBody,
        Self::BodyTooLong,
        Self::TargetTooLong,
        Self::Expectation,
        Self::Misdirected,
        Self::NotHttp,
        Self::TooMany,
        Self::HeadTooLarge,
        Self::Internal,
        Self::TransferCoding,
        Self::ServiceDown,
        Self::ServiceUnreachable,
        Self::ServiceBroke,
        Self::ServiceInvalid,
        Self::ServiceTls,
        Self::TunnelLost,
        Self::Away,
        Self::NotOffered,
        Self::Busy,
        Self::GaveWay,
        Self::ServiceSilent,
        Self::Loop,
    ];

    /// What a visitor is told, in words.
    pub fn title(self) -> &'static str {
        self.row().title
    }

    /// True when trying again makes sense, without anything having been changed.
    pub fn should_retry(self) -> bool {
        self.row().retry
    }

    /// The status a visitor gets.
    pub fn status(self) -> StatusCode {
        self.row().status
    }

    /// The value of the `Petit-Error` field.
    pub fn code(self) -> &'static str {
        self.row().code
    }

    /// What a stream's end means for the request that was on it.
    pub(super) fn of_stream_outcome(outcome: &StreamOutcome) -> Self {
        match outcome.reset_code() {
            Some(ResetCode::ServiceRefused) => Self::ServiceDown,
            Some(ResetCode::ServiceUnreachable) => Self::ServiceUnreachable,
            Some(ResetCode::ServiceTls) => Self::ServiceTls,
            Some(ResetCode::ServiceUnknown) => Self::NotOffered,
            Some(ResetCode::Refused) => Self::Away,
            Some(ResetCode::ServiceBroke) => Self::ServiceBroke,
            Some(ResetCode::NoRoom) => Self::Busy,
            Some(ResetCode::Internal) => Self::TunnelLost,
            None if outcome.was_lost() => Self::TunnelLost,
            // The agent has finished: the service closed.
            Some(ResetCode::Cancelled) | None => Self::ServiceBroke,
        }
    }

    /// The whole answer. `service` names the service in failures that lie there.
    pub(super) fn answer(
        self,
        service: Option<&ServiceName>,
        request: RequestId,
        legacy: bool,
    ) -> Response<AnswerBody> {
        let row = self.row();
        let (kind, body) = self.body(service, request, legacy);
        let mut response = Response::new(AnswerBody::full(Bytes::from(body)));
        *response.status_mut() = row.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        headers.insert(PETIT_ERROR, HeaderValue::from_static(row.code));
        set_common(headers);
        if row.status == StatusCode::SERVICE_UNAVAILABLE || row.status == StatusCode::TOO_MANY_REQUESTS {
            // Spread, so that those who were turned away together do not come back together.
            let spread =
                u32::from(request.0.last().copied().unwrap_or_default()) % limits::RETRY_AFTER_SPREAD;
            headers.insert(RETRY_AFTER, HeaderValue::from(1 + spread));
        }
        // Where the request itself was at fault, the next reader may see its end elsewhere than we do; and of some
        // the rest is not read. Nothing more can be understood on the connection.
        if row.hop == "request" {
            headers.insert(hyper::header::CONNECTION, HeaderValue::from_static("close"));
        }
        if row.status == StatusCode::METHOD_NOT_ALLOWED {
            let allowed = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";
            headers.insert(hyper::header::ALLOW, HeaderValue::from_static(allowed));
        }
        response
    }

    /// The whole answer, as bytes of HTTP/1.1, in the place of one that has no body: its head keeps what it has.
    /// `None` when `bare` is no such head.
    pub(super) fn in_place_of(self, bare: &[u8], request: RequestId, legacy: bool) -> Option<Bytes> {
        const NO_BODY: &str = "content-length: 0\r\n";
        let head = str::from_utf8(bare).ok()?.strip_suffix("\r\n\r\n")?;
        let head = format!("{head}\r\n");
        let (before, behind) = head.split_once(NO_BODY)?;
        let (kind, body) = self.body(None, request, legacy);
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        headers.insert(PETIT_ERROR, HeaderValue::from_static(self.code()));
        headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
        set_common(&mut headers);
        let mut whole = [before, behind].concat();
        for (name, value) in &headers {
            whole.push_str(&format!("{name}: {}\r\n", value.to_str().unwrap_or_default()));
        }
        Some([whole.as_str(), "\r\n", &body].concat().into())
    }

    /// The body of an answer, and what it is.
    fn body(self, service: Option<&ServiceName>, request: RequestId, legacy: bool) -> (&'static str, String) {
        if legacy {
            return ("application/json", r#"{"g2c":"unavailable"}"#.to_owned());
        }
        let Row { status, code, title, hop, retry } = self.row();
        let status = status.as_u16();
        let named = match (hop, service) {
            ("service" | "client", Some(name)) => format!(r#","service":"{name}""#),
            _ => String::new(),
        };
        // Every part is a constant, a checked name or hex, so nothing needs escaping.
        let body = format!(
            r#"{{"title":"{title}","status":{status},"code":"{code}","hop":"{hop}"{named},"retry":{retry},"request":"{request}"}}"#
        );
        ("application/problem+json", body)
    }
}

/// What every answer of Petit's own carries.
fn set_common(headers: &mut HeaderMap) {
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let nosniff = HeaderName::from_static("x-content-type-options");
    headers.insert(nosniff, HeaderValue::from_static("nosniff"));
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Closed | OpenError::Leaving => Self::Away,
            OpenError::TooMany | OpenError::Congested => Self::Busy,
        }
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    #[test]
    fn the_list_of_failures_has_all_of_them_in_order() {
        let source = include_str!("answer.rs");
        let variants = source.split_once("pub enum Failure {").unwrap().1.split_once("\n}").unwrap().0;
        let mut variants: Vec<&str> =
            variants.lines().filter_map(|line| line.trim().strip_suffix(',')).collect();
        let mut listed: Vec<String> = Failure::ALL.iter().map(|failure| format!("{failure:?}")).collect();
        variants.sort_unstable();
        listed.sort_unstable();
        assert_eq!(listed, variants);
        assert!(Failure::ALL.is_sorted_by_key(|failure| failure.status().as_u16()));
    }

    #[tokio::test]
    async fn every_failure_is_a_small_json_problem_with_its_code() {
        let name = "accounts-db".parse().unwrap();
        let mut codes = Vec::new();
        for failure in Failure::ALL {
            let response = failure.answer(Some(&name), RequestId([0xab; 16]), false);
            assert_eq!(response.headers()[PETIT_ERROR], failure.code());
            assert_eq!(response.headers()[CACHE_CONTROL], "no-store");
            let later = [StatusCode::SERVICE_UNAVAILABLE, StatusCode::TOO_MANY_REQUESTS];
            let retry_after =
                response.headers().get(RETRY_AFTER).map(|value| value.to_str().unwrap().to_owned());
            assert_eq!(retry_after.is_some(), later.contains(&failure.status()));
            assert!(retry_after.is_none_or(|seconds| (1..=5).contains(&seconds.parse::<u32>().unwrap())));
            let body = response.into_body().collect().await.unwrap().to_bytes();
            assert!(body.len() <= 300, "{failure:?}: {} bytes", body.len());
            let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
            assert_eq!(body["status"], failure.status().as_u16());
            assert_eq!(body["code"], failure.code());
            assert_eq!(body["request"], "ab".repeat(16));
            let named = matches!(body["hop"].as_str(), Some("service" | "client"));
            assert_eq!(body.get("service").is_some(), named, "{failure:?}");
            codes.push(failure.code());
        }
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), Failure::ALL.len(), "no code twice");
    }

    #[tokio::test]
    async fn legacy_answers_have_the_originals_body() {
        let response = Failure::Away.answer(None, RequestId::default(), true);
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(&body[..], br#"{"g2c":"unavailable"}"#);
    }
}
