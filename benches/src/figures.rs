//! Figures: what is measured of each system, their medians over the rounds, their ratios.

use std::collections::BTreeMap;

/// What is measured side by side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Figure {
    Rps,
    P50,
    P99,
    Single,
    Close,
    Down,
    Up,
    CpuRequest,
    CpuGb,
    CpuGbUp,
    Idle,
    Idle1000,
    Fair50,
    Fair99,
    Errors,
}

impl Figure {
    pub(crate) const ALL: [Self; 15] = [
        Self::Rps,
        Self::P50,
        Self::P99,
        Self::Single,
        Self::Close,
        Self::Down,
        Self::Up,
        Self::CpuRequest,
        Self::CpuGb,
        Self::CpuGbUp,
        Self::Idle,
        Self::Idle1000,
        Self::Fair50,
        Self::Fair99,
        Self::Errors,
    ];

    /// Head of its column.
    pub(crate) fn head(self) -> &'static str {
        match self {
            Self::Rps => "req/s",
            Self::P50 => "p50 µs",
            Self::P99 => "p99 µs",
            Self::Single => "single µs",
            Self::Close => "close/s",
            Self::Down => "down MB/s",
            Self::Up => "up MB/s",
            Self::CpuRequest => "µs/req",
            Self::CpuGb => "s/GB down",
            Self::CpuGbUp => "s/GB up",
            Self::Idle => "idle MB",
            Self::Idle1000 => "1k MB",
            Self::Fair50 => "beside p50 ms",
            Self::Fair99 => "beside p99 ms",
            Self::Errors => "errors",
        }
    }

    /// Its key in JSON.
    pub(crate) fn key(self) -> &'static str {
        match self {
            Self::Rps => "requests_per_second",
            Self::P50 => "p50_us",
            Self::P99 => "p99_us",
            Self::Single => "single_connection_p50_us",
            Self::Close => "connections_per_second",
            Self::Down => "download_mb_per_second",
            Self::Up => "upload_mb_per_second",
            Self::CpuRequest => "cpu_us_per_request",
            Self::CpuGb => "cpu_seconds_per_gb",
            Self::CpuGbUp => "cpu_seconds_per_gb_uploaded",
            Self::Idle => "memory_idle_mb",
            Self::Idle1000 => "memory_1000_visitors_mb",
            Self::Fair50 => "beside_bulk_p50_ms",
            Self::Fair99 => "beside_bulk_p99_ms",
            Self::Errors => "errors",
        }
    }

    /// What it means, for a stranger.
    pub(crate) fn means(self) -> &'static str {
        match self {
            Self::Rps => "requests per second over 64 kept connections, a 128-byte answer",
            Self::P50 => "half of those requests were answered within this",
            Self::P99 => "99 of 100 of them were",
            Self::Single => "median time of a request with one connection",
            Self::Close => "requests per second when each opens a connection of its own (32 at a time)",
            Self::Down => "four downloads of 256 MiB at the same time, together",
            Self::Up => "one upload of 256 MiB",
            Self::CpuRequest => "CPU time that all processes of the system use for one kept-alive request",
            Self::CpuGb => "CPU time that they use for a gigabyte downloaded",
            Self::CpuGbUp => "CPU time that they use for a gigabyte uploaded",
            Self::Idle => "memory (PSS) of all its processes after the start",
            Self::Idle1000 => {
                "the same, after all rounds, while 1,000 visitors keep a connection and say nothing"
            }
            Self::Fair50 => "median time of small requests on two connections beside two unlimited downloads",
            Self::Fair99 => "99 of 100 of those were within this",
            Self::Errors => "connections that broke and answers that were no success, in all rounds",
        }
    }

    /// Digits behind the point.
    pub(crate) fn digits(self) -> usize {
        match self {
            Self::Rps | Self::P50 | Self::P99 | Self::Single | Self::Close | Self::Errors => 0,
            Self::Down | Self::Up => 0,
            Self::CpuRequest | Self::Idle | Self::Idle1000 => 1,
            Self::CpuGb | Self::CpuGbUp | Self::Fair50 | Self::Fair99 => 2,
        }
    }
}

/// What one system came to, a value per round.
#[derive(Clone, Debug, Default)]
pub(crate) struct Results(BTreeMap<Figure, Vec<f64>>);

impl Results {
    pub(crate) fn add(&mut self, figure: Figure, value: f64) {
        self.0.entry(figure).or_default().push(value);
    }

    /// The median of the rounds; errors are summed up.
    pub(crate) fn of(&self, figure: Figure) -> Option<f64> {
        let values = self.0.get(&figure)?;
        if figure == Figure::Errors { Some(values.iter().sum()) } else { median(values) }
    }

    /// The rounds one by one.
    pub(crate) fn rounds(&self, figure: Figure) -> &[f64] {
        self.0.get(&figure).map_or(&[], Vec::as_slice)
    }

    /// The median of the ratios within each round, which drift disturbs least.
    pub(crate) fn ratio(&self, figure: Figure, other: &Self) -> Option<f64> {
        let (own, others) = (self.rounds(figure), other.rounds(figure));
        let ratios: Vec<f64> = own
            .iter()
            .zip(others)
            .filter(|(_, other)| **other > 0.0)
            .map(|(own, other)| own / other)
            .collect();
        median(&ratios)
    }
}

/// The one in the middle, or the mean of the two.
pub(crate) fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    let upper = *sorted.get(middle)?;
    match sorted.len() % 2 {
        0 => sorted.get(middle - 1).map(|lower| f64::midpoint(*lower, upper)),
        _ => Some(upper),
    }
}

/// A bar of Petit's own: a figure against another system.
pub(crate) struct Bar {
    pub(crate) figure: Figure,
    pub(crate) against: &'static str,
    pub(crate) limit: f64,
    /// More is better.
    pub(crate) at_least: bool,
}

const fn bar(figure: Figure, against: &'static str, limit: f64, at_least: bool) -> Bar {
    Bar { figure, against, limit, at_least }
}

/// What Petit sets out to reach.
pub(crate) const BARS: [Bar; 13] = [
    bar(Figure::Rps, "rathole-tls", 1.3, true),
    bar(Figure::Rps, "haproxy", 1.2, true),
    bar(Figure::CpuRequest, "rathole-tls", 0.6, false),
    bar(Figure::CpuRequest, "haproxy", 0.8, false),
    bar(Figure::CpuGb, "rathole-tls", 0.7, false),
    bar(Figure::CpuGb, "haproxy", 2.2, false),
    bar(Figure::Close, "rathole-tls", 12.0, true),
    bar(Figure::Close, "haproxy", 1.05, true),
    bar(Figure::Single, "rathole-tls", 1.0, false),
    bar(Figure::Single, "haproxy", 1.0, false),
    bar(Figure::Down, "rathole-tls", 1.2, true),
    bar(Figure::Up, "rathole-tls", 1.2, true),
    bar(Figure::Idle1000, "rathole-tls", 0.6, false),
];

impl Bar {
    pub(crate) fn is_met(&self, ratio: f64) -> bool {
        if self.at_least { ratio >= self.limit } else { ratio <= self.limit }
    }

    pub(crate) fn sign(&self) -> &'static str {
        if self.at_least { "≥" } else { "≤" }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_ratios_are_taken_round_by_round() {
        let (mut slow, mut fast) = (Results::default(), Results::default());
        for (one, other) in [(10.0, 20.0), (100.0, 300.0), (12.0, 24.0)] {
            slow.add(Figure::Rps, one);
            fast.add(Figure::Rps, other);
        }
        assert_eq!(slow.of(Figure::Rps), Some(12.0));
        assert_eq!(fast.ratio(Figure::Rps, &slow), Some(2.0));
        assert_eq!(median(&[1.0, 2.0]), Some(1.5));
        assert_eq!(median(&[]), None);
    }
}
