//! What a visitor is told of a failure: a small JSON problem under the status of the table (`failure`). Nothing of the
//! request is repeated in it but the name of a field that is wrong, and nothing of the inside is shown.

use bytes::Bytes;
use hyper::header::{
    CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE,
};
use hyper::{HeaderMap, Response, StatusCode};
use petit_engine::limits;
use petit_engine::name::ServiceName;
use petit_engine::proto::RequestId;

use super::super::failure::{FailedHop, Failure};
use super::body::AnswerBody;
use super::head::{Fault, PETIT_REQUEST, Refused};

/// Marks an answer that Petit itself gave. No service can forge it: answers from services lose such fields.
const PETIT_ERROR: HeaderName = HeaderName::from_static("petit-error");

impl Refused {
    /// The whole answer to a request whose head is refused.
    pub(super) fn answer(&self, request: RequestId, legacy: bool) -> Response<AnswerBody> {
        self.failure.answer_with(self.fault.as_ref(), None, request, legacy)
    }
}

impl Failure {
    /// The whole answer. `service` names the service in failures that lie there.
    pub(super) fn answer(
        self,
        service: Option<&ServiceName>,
        request: RequestId,
        legacy: bool,
    ) -> Response<AnswerBody> {
        // Behind a head that has passed only the body can be no valid one.
        let fault = (self == Self::BadRequest).then_some(&Fault::Body);
        self.answer_with(fault, service, request, legacy)
    }

    fn answer_with(
        self,
        fault: Option<&Fault>,
        service: Option<&ServiceName>,
        request: RequestId,
        legacy: bool,
    ) -> Response<AnswerBody> {
        let (kind, body) = self.body((fault, service), request, legacy);
        let mut response = Response::new(AnswerBody::full(Bytes::from(body)));
        *response.status_mut() = self.status();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        headers.insert(PETIT_ERROR, HeaderValue::from_static(self.code()));
        set_common(headers);
        if self.status() == StatusCode::SERVICE_UNAVAILABLE || self.status() == StatusCode::TOO_MANY_REQUESTS
        {
            // Spread, so that those who were turned away together do not come back together.
            let spread =
                u32::from(request.0.last().copied().unwrap_or_default()) % limits::RETRY_AFTER_SPREAD;
            headers.insert(RETRY_AFTER, HeaderValue::from(1 + spread));
        }
        // Where the request itself was at fault, the next reader may see its end elsewhere than we do; and of some
        // the rest is not read. Nothing more can be understood on the connection.
        if self.hop() == FailedHop::Request {
            headers.insert(hyper::header::CONNECTION, HeaderValue::from_static("close"));
        }
        if self.status() == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Petit-Key")); // RFC 9110 §15.5.2
        }
        if self.status() == StatusCode::METHOD_NOT_ALLOWED {
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
        let fault = (self == Self::BadRequest).then_some(&Fault::NoHttp);
        let (kind, body) = self.body((fault, None), request, legacy);
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        headers.insert(PETIT_ERROR, HeaderValue::from_static(self.code()));
        headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
        set_common(&mut headers);
        set_request(&mut headers, request);
        let mut whole = [before, behind].concat();
        for (name, value) in &headers {
            whole.push_str(&format!("{name}: {}\r\n", value.to_str().unwrap_or_default()));
        }
        Some([whole.as_str(), "\r\n", &body].concat().into())
    }

    /// The body of an answer, and what it is.
    fn body(
        self,
        (fault, service): (Option<&Fault>, Option<&ServiceName>),
        request: RequestId,
        legacy: bool,
    ) -> (&'static str, String) {
        if legacy {
            return ("application/json", r#"{"g2c":"unavailable"}"#.to_owned());
        }
        let (status, code, title) = (self.status().as_u16(), self.code(), self.title());
        let (hop, retry) = (self.hop().as_str(), self.should_retry());
        let named = service.filter(|_| self.hop().is_behind_tunnel());
        let named = named.map(|name| format!(r#","service":"{name}""#)).unwrap_or_default();
        let detail = fault.map(|fault| format!(r#","detail":"{}""#, fault.text())).unwrap_or_default();
        // Every part is a constant, a checked name or hex, so nothing needs escaping.
        let body = format!(
            r#"{{"title":"{title}"{detail},"status":{status},"code":"{code}","hop":"{hop}"{named},"retry":{retry},"request":"{request}"}}"#
        );
        ("application/problem+json", body)
    }
}

/// Names a request on its answer, whoever gives it.
pub(super) fn set_request(headers: &mut HeaderMap, request: RequestId) {
    if let Ok(id) = HeaderValue::from_bytes(&request.hex()) {
        headers.insert(PETIT_REQUEST, id);
    }
}

/// What every answer of Petit's own carries.
fn set_common(headers: &mut HeaderMap) {
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let nosniff = HeaderName::from_static("x-content-type-options");
    headers.insert(nosniff, HeaderValue::from_static("nosniff"));
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

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
            assert!(body.len() <= 400, "{failure:?}: {} bytes", body.len());
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
    async fn what_was_wrong_with_a_request_is_its_detail() {
        let refused = Refused::from(Fault::TwoLengths);
        for (response, detail) in [
            (refused.answer(RequestId::default(), false), Some(Fault::TwoLengths)),
            (Refused::from(Failure::BadHost).answer(RequestId::default(), false), None),
            (Failure::BadRequest.answer(None, RequestId::default(), false), Some(Fault::Body)),
            (Failure::Away.answer(None, RequestId::default(), false), None),
        ] {
            let body = response.into_body().collect().await.unwrap().to_bytes();
            let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
            assert_eq!(
                body.get("detail").map(|it| it.as_str().unwrap().to_owned()),
                detail.map(|it| it.text().into())
            );
        }
        let body = refused.answer(RequestId::default(), true).into_body().collect().await.unwrap().to_bytes();
        assert_eq!(&body[..], br#"{"g2c":"unavailable"}"#);
    }

    #[tokio::test]
    async fn legacy_answers_have_the_originals_body() {
        let response = Failure::Away.answer(None, RequestId::default(), true);
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(&body[..], br#"{"g2c":"unavailable"}"#);
    }
}
