//! One stream to the private service and back.
//!
//! The target is what the customer chose; nothing that came over the wire takes part in choosing it. [`Visits`]
//! is the seam where a later agent may look at requests; [`Direct`] carries bytes and looks at nothing.

use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::meter::{Meter, Proof, ProvedBy};
use crate::cause::{Health, ServiceCause};
use crate::limits;
use crate::mux::{CarryError, Progress, Stream, Until, carry};
use crate::name::{ServerAddr, ServiceName};
use crate::proto::control::ServiceKind;
use crate::proto::frame::{Purpose, ResetCode};

/// A service as the customer set it up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceSpec {
    /// Its name between customer and vendor.
    pub name: ServiceName,
    /// What it speaks.
    pub kind: ServiceKind,
    /// Where it is. Never leaves the customer's side.
    pub target: ServerAddr,
}

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
        connected = connect(&service.target) => connected,
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
            tracing::debug!(service = %service.name, ?cause, "service not reached");
            return stream.reset(match cause {
                ServiceCause::Refused => ResetCode::ServiceRefused,
                ServiceCause::Unreachable | ServiceCause::NameNotFound => ResetCode::ServiceUnreachable,
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
    let mut flow = Flow { meter: &meter, asked: false };
    let result = carry(&mut stream, &mut local, until, &mut flow).await;
    match result {
        Ok(()) => {}
        Err(CarryError::Local(error)) => {
            tracing::debug!(service = %service.name, %error, "the service's connection broke");
            stream.reset(ResetCode::ServiceBroke);
        }
        Err(CarryError::Stream(error)) => tracing::trace!(%error, "the visitor's stream ended"),
    }
}

/// Tells a meter what passes. An answer to something asked proves that the whole way works.
struct Flow<'a> {
    meter: &'a Meter,
    asked: bool,
}

impl Progress for Flow<'_> {
    fn to_local(&mut self, bytes: usize) {
        self.asked = true;
        self.meter.carried(bytes as u64, 0);
    }

    fn to_stream(&mut self, bytes: usize) {
        if std::mem::take(&mut self.asked) {
            self.meter.proved(Proof { at: Instant::now(), by: ProvedBy::Visitor });
        }
        self.meter.carried(0, bytes as u64);
    }
}

/// Connects to a private service within [`limits::SERVICE_CONNECT`].
///
/// # Errors
/// Why it was not reached.
pub async fn connect(target: &ServerAddr) -> Result<TcpStream, ServiceCause> {
    let connect = async {
        let addresses = addresses(target).await?;
        let mut cause = ServiceCause::NameNotFound;
        for address in addresses {
            match TcpStream::connect(address).await {
                Ok(tcp) => {
                    // Nagle's algorithm would hold back the end of each request for the service's ACK.
                    let _ = tcp.set_nodelay(true);
                    return Ok(tcp);
                }
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                    cause = ServiceCause::Refused;
                }
                // A refusal says more than the address family that this machine does not have.
                Err(_) if cause == ServiceCause::Refused => {}
                Err(_) => cause = ServiceCause::Unreachable,
            }
        }
        Err(cause)
    };
    tokio::time::timeout(limits::SERVICE_CONNECT, connect).await.unwrap_or(Err(ServiceCause::Unreachable))
}

/// The addresses of a target. The most frequent ones are known without asking anybody.
async fn addresses(target: &ServerAddr) -> Result<Vec<SocketAddr>, ServiceCause> {
    let at = |ip: IpAddr| SocketAddr::new(ip, target.port());
    if let Ok(ip) = target.host().parse::<IpAddr>() {
        return Ok(vec![at(ip)]);
    }
    if target.host() == "localhost" {
        return Ok(vec![at(Ipv4Addr::LOCALHOST.into()), at(Ipv6Addr::LOCALHOST.into())]);
    }
    match tokio::net::lookup_host((target.host(), target.port())).await {
        Ok(addresses) => Ok(addresses.collect()),
        Err(_) => Err(ServiceCause::NameNotFound),
    }
}
