//! `/metrics`, `/livez` and `/readyz` on an address of their own, which serves nothing else.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use petit_engine::net::listen;
use prometheus_client::registry::Registry;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::collector::ServerCollector;
use crate::api::NotReady;
use crate::server::{Phase, Server};
use crate::visit_counters::VisitCounters;

/// Whoever watches asks now and then; more than these wait in the system's queue.
const CONNECTIONS: usize = 16;
/// How long a connection may last, with its one request and the answer: what Prometheus waits by default.
const LIMIT: Duration = Duration::from_secs(10);
/// How often an address is tried that cannot be had yet.
const TRY_EVERY: Duration = Duration::from_millis(250);
/// So often before the operator is told.
const TRIES_BEFORE_WARNING: u32 = 40;

/// What OpenMetrics is called (its specification, 1.0.0).
const OPENMETRICS: HeaderValue =
    HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

/// Serves what `server` counts at an address for as long as it serves visitors, and again when it does so again. The
/// address passes to another process with everything else: it is tried until it is free.
///
/// # Cancel safety
/// Cancelling ends it at once.
pub async fn serve(server: Weak<Server>, visits: Arc<VisitCounters>, address: SocketAddr) {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(ServerCollector { server: Weak::clone(&server), visits }));
    let page = Arc::new(Page { server: Weak::clone(&server), registry });
    let Some(mut phase) = server.upgrade().map(|server| server.watch_phase()) else { return };
    // Whoever finishes what is under way says so, until the process ends or another one serves in its place.
    let serves = |phase: &Phase| !matches!(phase, Phase::Replaced { .. });
    while phase.wait_for(serves).await.is_ok() {
        let until = async {
            let _ = phase.wait_for(|phase| !serves(phase)).await;
        };
        tokio::select! {
            () = until => {}
            () = listen_and_serve(&page, address) => {}
        }
    }
}

async fn listen_and_serve(page: &Arc<Page>, address: SocketAddr) {
    let listener = listen_at(address).await;
    if let (Some(server), Ok(address)) = (page.server.upgrade(), listener.local_addr()) {
        tracing::info!(%address, "metrics");
        server.set_metrics_address(address);
    }
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept(), if connections.len() < CONNECTIONS => match accepted {
                Ok((stream, _)) => drop(connections.spawn(connection(Arc::clone(page), stream))),
                Err(error) => {
                    tracing::debug!(%error, "cannot accept a connection for metrics at the moment");
                    tokio::time::sleep(TRY_EVERY).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Another process may have the address still, or the address may come later, as that of a VPN does.
async fn listen_at(address: SocketAddr) -> TcpListener {
    let mut tries: u32 = 0;
    loop {
        match listen::bind(address) {
            Ok(listener) => return listener,
            Err(error) => {
                tries = tries.saturating_add(1);
                if tries == TRIES_BEFORE_WARNING {
                    tracing::warn!(%address, %error, "metrics_bind: cannot listen there; it is tried again and again");
                }
                tokio::time::sleep(TRY_EVERY).await;
            }
        }
    }
}

async fn connection(page: Arc<Page>, stream: TcpStream) {
    let service = service_fn(move |request: Request<Incoming>| {
        let response = page.answer(&request);
        async move { Ok::<_, Infallible>(response) }
    });
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(LIMIT)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    if let Ok(Err(error)) = tokio::time::timeout(LIMIT, serving).await {
        tracing::debug!(%error, "a connection for metrics broke");
    }
}

struct Page {
    server: Weak<Server>,
    registry: Registry,
}

impl Page {
    fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let mut response = said(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n");
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return response;
        }
        match request.uri().path() {
            "/metrics" => self.metrics(),
            // The loop turns, and that is all that is asked: whoever restarts a server for more restarts all of them at once.
            "/livez" => said(StatusCode::OK, "ok\n"),
            "/readyz" => self.readiness(),
            _ => said(StatusCode::NOT_FOUND, "there are /metrics, /livez and /readyz here\n"),
        }
    }

    fn metrics(&self) -> Response<Full<Bytes>> {
        let mut text = String::new();
        match prometheus_client::encoding::text::encode(&mut text, &self.registry) {
            Ok(()) => answer(StatusCode::OK, OPENMETRICS, text),
            Err(error) => said(StatusCode::INTERNAL_SERVER_ERROR, &format!("{error}\n")),
        }
    }

    fn readiness(&self) -> Response<Full<Bytes>> {
        match self.server.upgrade().map(|server| server.not_ready()) {
            Some(None) => said(StatusCode::OK, "ok\n"),
            Some(Some(NotReady::Stopping)) => said(StatusCode::SERVICE_UNAVAILABLE, "stopping\n"),
            Some(Some(NotReady::Listener { address })) => {
                let text = format!("the server's own socket {address} does not take requests\n");
                said(StatusCode::SERVICE_UNAVAILABLE, &text)
            }
            None => said(StatusCode::SERVICE_UNAVAILABLE, "the server has ended\n"),
        }
    }
}

fn said(status: StatusCode, text: &str) -> Response<Full<Bytes>> {
    answer(status, TEXT, text.to_owned())
}

fn answer(status: StatusCode, kind: HeaderValue, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
