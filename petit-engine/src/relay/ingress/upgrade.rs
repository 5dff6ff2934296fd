//! Requests that turn into WebSockets (RFC 6455): joined only after the service has said 101.

use std::sync::Arc;

use hyper::body::{Body, Incoming};
use hyper::client::conn::http1;
use hyper::header::{CONNECTION, HeaderValue, UPGRADE};
use hyper::{Request, Response, StatusCode, Version};
use hyper_util::rt::TokioIo;

use super::super::answer::Failure;
use super::body::{AnswerBody, VisitorBody};
use super::forward::Way;
use super::head;
use super::pool::{Lease, Upstream};

/// Sends an upgrade request on a stream of its own. When the service agrees, the visitor's connection and the
/// stream are joined, and what the visitor sent before the 101 follows it; otherwise the visitor gets the
/// service's answer and loses the connection, because bytes may be on it that are no HTTP.
pub(super) async fn websocket(
    way: &Way<'_>,
    mut request: Request<Incoming>,
) -> Result<Response<AnswerBody>, Failure> {
    if !request.body().is_end_stream() {
        return Err(Failure::BadRequest);
    }
    let stream = way.open()?;
    let fate = Arc::clone(stream.fate());
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(|_| Failure::of_fate(&fate))?;
    tokio::spawn(async move {
        if let Err(error) = connection.with_upgrades().await {
            tracing::trace!(%error, "connection to a service ended");
        }
    });
    let visitor = hyper::upgrade::on(&mut request);
    let mut request = request.map(|_| VisitorBody::Empty);
    *request.version_mut() = Version::HTTP_11;
    request.headers_mut().insert(CONNECTION, HeaderValue::from_static("upgrade"));
    request.headers_mut().insert(UPGRADE, HeaderValue::from_static("websocket"));
    let mut response = match sender.send_request(request).await {
        Ok(response) => response,
        Err(error) if error.is_parse() && fate.reset_code().is_none() => return Err(Failure::ServiceInvalid),
        Err(_) => return Err(Failure::of_fate(&fate)),
    };
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        let lease = Lease {
            session: Arc::clone(way.session),
            service: way.number,
            upstream: Upstream { sender, fate },
        };
        let response = response.map(|body| AnswerBody::service(body, lease));
        let mut response = head::to_visitor(response, Version::HTTP_11);
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        return Ok(response);
    }
    let is_websocket = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"websocket");
    if !response.headers().get(UPGRADE).is_some_and(is_websocket) {
        return Err(Failure::ServiceInvalid);
    }
    let service = hyper::upgrade::on(&mut response);
    way.shared.tasks.spawn(async move {
        // Both resolve once both heads are on their way.
        let Ok((visitor, service)) = tokio::try_join!(visitor, service) else { return };
        let (mut visitor, mut service) = (TokioIo::new(visitor), TokioIo::new(service));
        if let Err(error) = tokio::io::copy_bidirectional(&mut visitor, &mut service).await {
            tracing::trace!(%error, "websocket ended");
        }
    });
    let (parts, _) = response.into_parts();
    let mut response = Response::from_parts(parts, AnswerBody::full(bytes::Bytes::new()));
    response = head::to_visitor(response, Version::HTTP_11);
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("upgrade"));
    response.headers_mut().insert(UPGRADE, HeaderValue::from_static("websocket"));
    Ok(response)
}
