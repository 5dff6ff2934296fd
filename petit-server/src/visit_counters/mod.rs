//! What visits of services have come to, since the server was started.
//!
//! Counting one costs a dozen additions and no lock.

mod histogram;

use std::sync::atomic::{AtomicU64, Ordering};

use petit_relay::{Failure, Observer, Protocol, Record, VisitEnd};

pub(crate) use self::histogram::{Counted, Histogram};

/// What visits came to, since the server was started.
#[derive(Debug)]
pub struct VisitCounters {
    /// By class of status, and by how they ended.
    ended: [[AtomicU64; ENDS.len()]; CLASSES.len()],
    /// Until they had a place.
    pub(crate) queue: Histogram,
    /// From then until the service's answer began.
    pub(crate) service: Histogram,
    /// Bytes from visitors.
    pub(crate) up: AtomicU64,
    /// Bytes to visitors.
    pub(crate) down: AtomicU64,
}

/// Classes of status; the first is that of raw TCP, and of who left before there was an answer.
const CLASSES: [&str; 6] = ["none", "1xx", "2xx", "3xx", "4xx", "5xx"];

/// How visits end: whole, in ways that have no failure, and by a failure.
#[expect(clippy::indexing_slicing, reason = "of a constant: what is out of bounds does not compile")]
const ENDS: [End; 4 + Failure::ALL.len()] = {
    let mut ends = [End::Whole; 4 + Failure::ALL.len()];
    ends[1] = End::Other("visitor-left");
    ends[2] = End::Other("idle");
    ends[3] = End::Other("cut");
    let mut number = 0;
    while number < Failure::ALL.len() {
        ends[4 + number] = End::Failure(Failure::ALL[number]);
        number += 1;
    }
    ends
};

#[derive(Clone, Copy, Debug)]
enum End {
    Whole,
    Other(&'static str),
    Failure(Failure),
}

impl End {
    /// The value of the label `error`; nothing for a visit that was carried whole.
    fn as_str(self) -> &'static str {
        match self {
            Self::Whole => "",
            Self::Other(word) => word,
            Self::Failure(failure) => failure.code(),
        }
    }

    /// The class of status that goes with it as a rule.
    fn usual_class(self) -> &'static str {
        match self {
            Self::Whole | Self::Other(_) => "2xx",
            Self::Failure(Failure::Cut) => "", // said as one of the others
            Self::Failure(failure) if failure.status().is_client_error() => "4xx",
            Self::Failure(_) => "5xx",
        }
    }

    /// Where it stands in [`ENDS`].
    fn number(end: VisitEnd) -> usize {
        match end {
            VisitEnd::Whole => 0,
            VisitEnd::VisitorLeft => 1,
            VisitEnd::Idle => 2,
            VisitEnd::Cut | VisitEnd::Failed(Failure::Cut) => 3, // one word for both
            VisitEnd::Failed(failure) => 4 + failure as usize,
        }
    }
}

impl Default for VisitCounters {
    fn default() -> Self {
        Self {
            ended: std::array::from_fn(|_| std::array::from_fn(|_| AtomicU64::new(0))),
            queue: Histogram::default(),
            service: Histogram::default(),
            up: AtomicU64::new(0),
            down: AtomicU64::new(0),
        }
    }
}

impl VisitCounters {
    /// How many there have been of each class and error. What can go together is there from the begin, so that the first
    /// of a kind is seen as an increase.
    pub(crate) fn ended(&self) -> impl Iterator<Item = (&'static str, &'static str, u64)> {
        let classes = CLASSES.iter().zip(&self.ended);
        let all = classes.flat_map(|(class, ends)| {
            ENDS.iter().zip(ends).map(|(end, count)| (*class, *end, count.load(Ordering::Relaxed)))
        });
        let shown = all.filter(|(class, end, count)| *count > 0 || end.usual_class() == *class);
        shown.map(|(class, end, count)| (class, end.as_str(), count))
    }
}

impl Observer for VisitCounters {
    fn visit_ended(&self, record: &Record<'_>) {
        let class = record.status.map_or(0, |status| usize::from(status / 100));
        let of_class = self.ended.get(class).or(self.ended.first());
        if let Some(count) = of_class.and_then(|ends| ends.get(End::number(record.end))) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        if let Some(placed) = record.placed_after {
            self.queue.observe(placed);
            // Raw TCP has no answer: only that there is a stream to the client is known of it.
            if let Some(answered) = record.answered_after.filter(|_| record.protocol != Protocol::Tcp) {
                self.service.observe(answered.saturating_sub(placed));
            }
        }
        self.up.fetch_add(record.bytes_up, Ordering::Relaxed);
        self.down.fetch_add(record.bytes_down, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_end_has_a_place_and_a_word_of_its_own() {
        let ends = [VisitEnd::Whole, VisitEnd::VisitorLeft, VisitEnd::Idle, VisitEnd::Cut];
        let ends =
            ends.into_iter().chain(Failure::ALL.map(VisitEnd::from)).filter(|end| *end != VisitEnd::Cut);
        let words: Vec<&str> = ends
            .map(|end| {
                let word = ENDS[End::number(end)].as_str();
                let expected = if end == VisitEnd::Whole { "" } else { end.as_str() };
                assert_eq!(word, expected);
                word
            })
            .collect();
        let mut sorted = words.clone();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(sorted.len(), words.len());
    }
}
