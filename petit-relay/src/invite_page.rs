//! The page that an invite's link leads to when somebody opens it in a browser: it says what to do with the link.
//!
//! The invite itself stands behind `#`, which browsers do not send, and no script reads it: there is none, and the
//! content security policy would let none run.

use std::sync::LazyLock;

use bytes::Bytes;
use hyper::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue, REFERRER_POLICY};
use hyper::{Method, Response};
use petit_engine::name::{Endpoint, VisitorHost};
use petit_engine::secret::sha256;

use super::ingress::AnswerBody;

const STYLE: &str = "body{font:1.05rem/1.5 system-ui,sans-serif;max-width:38rem;margin:2rem auto;padding:0 1rem;\
color:#1c2330;background:#fff}section{margin-top:3rem;padding-top:1rem;border-top:1px solid #c9d0db}\
li{margin:.5rem 0}code{background:#eef1f5;padding:.1rem .3rem}\
@media(prefers-color-scheme:dark){body{color:#e4e8ef;background:#161a21}code{background:#2a313c}}";

/// The page, with what it may load: this style, and nothing else.
static PAGE: LazyLock<(Bytes, HeaderValue)> = LazyLock::new(|| {
    let html = include_str!("invite_page.html").replace("{style}", STYLE);
    let hash = data_encoding::BASE64.encode(&sha256(STYLE.as_bytes()));
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{hash}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    let none = HeaderValue::from_static("default-src 'none'");
    (Bytes::from(html), HeaderValue::try_from(policy).unwrap_or(none))
});

/// True when a request is for the page. Its host is the domain itself, or the label under it that links have; a
/// service of that name comes before.
pub(super) fn is_asked_for(endpoint: &Endpoint, host: &VisitorHost, method: &Method, path: &str) -> bool {
    let domain = endpoint.domain();
    let is_ours = host.name() == domain || host.label_under(domain) == Some(Endpoint::TUNNEL_LABEL);
    is_ours && path == Endpoint::ENROLL_PATH && matches!(*method, Method::GET | Method::HEAD)
}

/// The page.
pub(super) fn page() -> Response<AnswerBody> {
    let (html, policy) = &*PAGE;
    let mut response = Response::new(AnswerBody::full(html.clone()));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(CONTENT_SECURITY_POLICY, policy.clone());
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert("x-content-type-options", HeaderValue::from_static("nosniff"));
    response
}
