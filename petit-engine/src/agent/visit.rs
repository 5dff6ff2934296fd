//! One stream to the private service and back.
//!
//! The target is what the customer chose; nothing that came over the wire takes part in choosing it. [`Visits`]
//! is the seam where a later agent may look at requests; [`Direct`] carries bytes and looks at nothing.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use tokio::io::AsyncWriteExt;

use super::local::{ServiceSpec, connect};
use super::meter::{Meter, Proof, ProvedBy};
use crate::cause::{Health, ServiceCause};
use crate::mux::{CarryError, Progress, Stream, Until, carry};
use crate::proto::control::ServiceKind;
use crate::proto::frame::{Purpose, ResetCode};

/// A visitor's stream, and what it needs to get to its service.
#[derive(Debug)]
pub struct Visit {
    /// The visitor's bytes.
    pub stream: Stream,
    /// The service it is for.
    pub service: Arc<ServiceSpec>,
    /// Where to note what happened.
    pub meter: Arc<Meter>,
    /// To be called when the service's health has changed.
    pub news: Arc<tokio::sync::Notify>,
}

/// What happens to visits. Each one runs in a task of its own.
pub trait Visits: Send + Sync + 'static {
    /// Carries a visit to its end. Dropping the future ends it at once.
    fn visit(&self, visit: Visit) -> Pin<Box<dyn Future<Output = ()> + Send>>;
}

/// Connects to the service and carries bytes both ways.
#[derive(Clone, Copy, Debug, Default)]
pub struct Direct;

impl Visits for Direct {
    fn visit(&self, visit: Visit) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(direct(visit))
    }
}

async fn direct(visit: Visit) {
    let Visit { mut stream, service, meter, news } = visit;
    let start = Instant::now();
    // A visitor who leaves while the service is slow to accept is not waited for.
    let connected = tokio::select! {
        connected = connect(&service) => connected,
        _ = std::future::poll_fn(|cx| stream.poll_broken(cx)) => return,
    };
    let health = connected.as_ref().map_or_else(|cause| Health::Down(*cause), |_| Health::Up);
    if meter.set_health(health, Instant::now()) {
        tracing::info!(service = %service.name, ?health, "service health changed");
        news.notify_one();
    }
    let mut local = match connected {
        Ok(local) => local,
        Err(cause) => {
            let request = data_encoding::HEXLOWER.encode(&stream.opened().id);
            tracing::debug!(service = %service.name, ?cause, request, "service not reached");
            return stream.reset(match cause {
                ServiceCause::Refused => ResetCode::ServiceRefused,
                ServiceCause::Unreachable | ServiceCause::NameNotFound | ServiceCause::Forbidden => {
                    ResetCode::ServiceUnreachable
                }
                ServiceCause::NotTls | ServiceCause::Untrusted => ResetCode::ServiceTls,
                // Only a visit that got through can find these.
                ServiceCause::NoAnswer | ServiceCause::NotHttp => ResetCode::ServiceBroke,
            });
        }
    };
    if stream.opened().purpose == Purpose::Probe {
        let took = u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX);
        let _ = stream.write_all(&took.to_be_bytes()).await;
        return stream.finish();
    }
    let _active = meter.visit();
    let until = match service.kind {
        ServiceKind::Http => Until::LocalFinishes,
        ServiceKind::Tcp => Until::BothFinish,
    };
    let speaks = match (service.kind, service.options.h2) {
        (ServiceKind::Tcp, _) => Speaks::Anything,
        (ServiceKind::Http, false) => Speaks::Http1,
        (ServiceKind::Http, true) => Speaks::Http2,
    };
    let mut flow = Flow { meter: &meter, speaks, asked: false };
    let result = carry(&mut stream, &mut local, until, &mut flow).await;
    flow.ended(&result);
    match result {
        Ok(()) => {}
        Err(CarryError::Local(error)) => {
            tracing::debug!(service = %service.name, %error, "the service's connection broke");
            stream.reset_after_written(ResetCode::ServiceBroke);
        }
        Err(CarryError::Stream(error)) => tracing::trace!(%error, "the visitor's stream ended"),
    }
}

/// What a service's answers begin with.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Speaks {
    Anything,
    Http1,
    Http2,
}

/// Tells a meter what passes. An answer to something asked proves that the whole way works; something else in
/// its place, or nothing, proves that it does not.
struct Flow<'a> {
    meter: &'a Meter,
    speaks: Speaks,
    asked: bool,
}

impl Flow<'_> {
    fn ended(&self, result: &Result<(), CarryError>) {
        if self.asked && self.speaks != Speaks::Anything && !matches!(result, Err(CarryError::Stream(_))) {
            self.meter.visit_failed(ServiceCause::NoAnswer, Instant::now());
        }
    }

    fn is_answer(&self, bytes: &[u8]) -> bool {
        match self.speaks {
            Speaks::Anything => true,
            Speaks::Http1 => b"HTTP/1.".iter().zip(bytes).all(|(wanted, found)| wanted == found),
            // RFC 9113 §3.4: a server begins with a SETTINGS frame (type 4, stream 0).
            Speaks::Http2 => bytes.get(3).is_none_or(|kind| *kind == 4),
        }
    }
}

impl Progress for Flow<'_> {
    fn to_local(&mut self, bytes: usize) {
        self.asked = true;
        self.meter.carried(bytes as u64, 0);
    }

    fn to_stream(&mut self, bytes: &[u8]) {
        if std::mem::take(&mut self.asked) {
            let now = Instant::now();
            if self.is_answer(bytes) {
                self.meter.proved(Proof { at: now, by: ProvedBy::Visitor });
                // Of HTTP/2 only the first frame of a connection can be told without reading on.
                if self.speaks == Speaks::Http2 {
                    self.speaks = Speaks::Anything;
                }
            } else {
                self.meter.visit_failed(ServiceCause::NotHttp, now);
            }
        }
        self.meter.carried(0, bytes.len() as u64);
    }
}
