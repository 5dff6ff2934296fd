//! What a server says of itself each time it is asked.

use std::fmt;
use std::sync::{Arc, Weak};
use std::time::{SystemTime, UNIX_EPOCH};

use petit_relay::PlaceCounts;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;

use crate::memory;
use crate::server::Server;
use crate::visit_counters::{Counted, Histogram, VisitCounters};

/// Looks at a server whenever it is asked; at none that has ended.
pub(super) struct ServerCollector {
    pub(super) server: Weak<Server>,
    pub(super) visits: Arc<VisitCounters>,
}

impl fmt::Debug for ServerCollector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerCollector").finish_non_exhaustive()
    }
}

type Labels = [(&'static str, &'static str)];

/// Writes one metric after the other.
struct Page<'a>(DescriptorEncoder<'a>);

impl Page<'_> {
    /// A metric with a value for each set of labels.
    fn family<M: EncodeMetric>(
        &mut self,
        (name, help): (&str, &str),
        unit: Option<&Unit>,
        kind: MetricType,
        values: impl IntoIterator<Item = (Vec<(&'static str, &'static str)>, M)>,
    ) -> fmt::Result {
        let mut encoder = self.0.encode_descriptor(name, help, unit, kind)?;
        for (labels, value) in values {
            let labels: &Labels = &labels;
            value.encode(encoder.encode_family(&labels)?)?;
        }
        Ok(())
    }

    fn gauge(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        let encoder = self.0.encode_descriptor(name, help, None, MetricType::Gauge)?;
        ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX)).encode(encoder)
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        let encoder = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        ConstCounter::new(value).encode(encoder)
    }
}

impl Collector for ServerCollector {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Some(server) = self.server.upgrade() else { return Ok(()) };
        let mut page = Page(encoder);
        server_itself(&mut page, &server)?;
        clients(&mut page, &server)?;
        visits(&mut page, &server, &self.visits)
    }
}

fn server_itself(page: &mut Page<'_>, server: &Server) -> fmt::Result {
    let version = vec![("version", env!("CARGO_PKG_VERSION"))];
    page.family(
        ("petit_build_info", "The version that runs"),
        None,
        MetricType::Gauge,
        [(version, ConstGauge::new(1))],
    )?;
    page.gauge("process_start_time_seconds", "When the process began to serve", unix(server.since))?;
    if let Some(bytes) = memory::resident() {
        page.gauge("process_resident_memory_bytes", "Memory in use", bytes)?;
    }
    let ends = server.https().certificates.iter().filter_map(|certificate| certificate.not_after).min();
    if let Some(end) = ends {
        page.gauge(
            "petit_certificate_expiry_timestamp_seconds",
            "When the first of the certificates ends that HTTPS visitors are shown",
            unix(end),
        )?;
    }
    let counts = server.relay.counts();
    page.counter("petit_faults", "Requests that failed by a fault of Petit's own", counts.faults)?;
    page.gauge("petit_connections", "Connections of all kinds that are open", counts.connections as u64)?;
    let PlaceCounts { refused, gave_way_without_body, gave_way_unanswered, broken_off } = counts.places;
    let limits = [
        ("connections", counts.turned_away as u64),
        ("requests", refused),
        ("gave-way", gave_way_without_body + gave_way_unanswered + broken_off),
    ];
    page.family(
        (
            "petit_turned_away",
            "Visits and connections that were turned away, or ended for others, by what was full",
        ),
        None,
        MetricType::Counter,
        limits.map(|(limit, count)| (vec![("limit", limit)], ConstCounter::new(count))),
    )?;
    page.gauge("petit_downloads", "Files of releases that are being handed out", counts.downloads.now as u64)
}

fn clients(page: &mut Page<'_>, server: &Server) -> fmt::Result {
    let (registered, services) = server.directory.counts();
    let suspended = server.directory.suspended_clients().len();
    let online = server.relay.connected().len();
    let away = registered.saturating_sub(suspended).saturating_sub(online);
    let states = [("online", online), ("away", away), ("suspended", suspended)];
    page.family(
        ("petit_clients", "Registered clients, by how they are"),
        None,
        MetricType::Gauge,
        states.map(|(state, count)| {
            (vec![("state", state)], ConstGauge::new(i64::try_from(count).unwrap_or(i64::MAX)))
        }),
    )?;
    page.gauge("petit_services", "Registered services", services as u64)
}

fn visits(page: &mut Page<'_>, server: &Server, visits: &VisitCounters) -> fmt::Result {
    use std::sync::atomic::Ordering::Relaxed;
    let (up, down) = (visits.up.load(Relaxed), visits.down.load(Relaxed));
    page.gauge(
        "petit_visitor_requests_in_flight",
        "HTTP requests that are under way",
        server.relay.counts().requests as u64,
    )?;
    page.family(
        (
            "petit_visitor_requests",
            "Visits of services that are over, by class of status and by Petit-Error or how else they ended",
        ),
        None,
        MetricType::Counter,
        visits.ended().map(|(class, error, count)| {
            (vec![("class", class), ("error", error)], ConstCounter::new(count))
        }),
    )?;
    page.family(
        ("petit_visitor_bytes", "Bytes of bodies, WebSockets and raw TCP, from visitors and to them"),
        None,
        MetricType::Counter,
        [("up", up), ("down", down)]
            .map(|(direction, bytes)| (vec![("direction", direction)], ConstCounter::new(bytes))),
    )?;
    let hops = [("queue", &visits.queue), ("service", &visits.service)];
    let mut encoder = page.0.encode_descriptor(
        "petit_visitor_request",
        "How long visits waited for a place, and then for the begin of the service's answer",
        Some(&Unit::Seconds),
        MetricType::Histogram,
    )?;
    for (hop, histogram) in hops {
        let labels = [("hop", hop)];
        write(&mut encoder.encode_family(&labels)?, histogram)?;
    }
    Ok(())
}

fn write(encoder: &mut prometheus_client::encoding::MetricEncoder<'_>, histogram: &Histogram) -> fmt::Result {
    let Counted { sum, count, buckets } = histogram.counted();
    let no_exemplars: Option<&std::collections::HashMap<usize, _>> = None;
    encoder.encode_histogram::<[(&str, &str); 0]>(sum, count, &buckets, no_exemplars)
}

fn unix(at: SystemTime) -> u64 {
    at.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
