//! What the log says of requests that Petit itself answers: the first of each kind and service in a minute with a line of its
//! own, and then how many more there were.
//!
//! Anybody can make such requests, as many as the line carries. So what is written in a minute has a bound, whatever
//! comes: [`limits::REFUSALS_LOGGED`] lines, as many sums, and one sum for the rest.

use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use petit_engine::limits;
use petit_engine::name::{RegisteredId, VisitorHost};
use petit_engine::proto::RequestId;

use super::failure::Failure;

/// The log lines of a relay's own answers, rate limited.
#[derive(Debug, Default)]
pub(super) struct RefusalLog {
    minute: Mutex<Minute>,
}

/// What was answered since the last sums.
#[derive(Debug, Default, PartialEq, Eq)]
struct Minute {
    kinds: Vec<Kind>,
    /// Of kinds and services that there was no line left for.
    others: u64,
}

/// Answers of one kind, to requests for one service.
#[derive(Debug, PartialEq, Eq)]
struct Kind {
    failure: Failure,
    service: Option<RegisteredId>,
    /// Those without a line.
    more: u64,
}

/// A request that Petit itself answers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Refusal<'a> {
    pub(super) failure: Failure,
    pub(super) request: RequestId,
    /// The service that it leads to, if it leads to one.
    pub(super) service: Option<RegisteredId>,
    /// The host that it asks for, where that is why.
    pub(super) host: Option<&'a VisitorHost>,
    /// Who sent it, as far as that is known.
    pub(super) visitor: Option<IpAddr>,
}

impl Refusal<'_> {
    /// A request that is answered with a failure, of which no more is known.
    pub(super) fn of(failure: Failure, request: RequestId) -> Self {
        Self { failure, request, service: None, host: None, visitor: None }
    }
}

impl RefusalLog {
    /// Takes note of an answer, with a line of its own if there is one for it, at the level `debug` otherwise.
    pub(super) fn log(&self, refusal: &Refusal<'_>) {
        let Refusal { failure, request, service, host, visitor } = refusal;
        let (code, service) = (failure.code(), service.map(tracing::field::display));
        let host = host.map(|host| tracing::field::display(host.name()));
        let visitor = visitor.map(tracing::field::display);
        if self.take_log_permit(*failure, refusal.service) {
            tracing::info!(code, service, host, visitor, %request, "request refused");
        } else {
            tracing::debug!(code, service, host, visitor, %request, "request refused");
        }
    }

    /// Counts an answer that has no line.
    pub(super) fn count(&self, failure: Failure, service: RegisteredId) {
        self.minute().kind(failure, Some(service), 1);
    }

    /// True for the first of its kind and service in this minute; false, and it is counted, for any other.
    fn take_log_permit(&self, failure: Failure, service: Option<RegisteredId>) -> bool {
        self.minute().kind(failure, service, 0)
    }

    fn minute(&self) -> MutexGuard<'_, Minute> {
        self.minute.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Logs how many had no line of their own since the last time, and begins anew.
    pub(super) fn log_sums(&self) {
        let Minute { kinds, others } = std::mem::take(&mut *self.minute());
        for Kind { failure, service, more } in kinds {
            if more > 0 {
                let (code, service) = (failure.code(), service.map(tracing::field::display));
                tracing::info!(
                    code,
                    service,
                    more,
                    "further requests refused; the log level debug shows each"
                );
            }
        }
        if others > 0 {
            tracing::info!(
                more = others,
                "requests refused for too many reasons and services for a line each"
            );
        }
    }

    /// Does so every now and then, for as long as the future is polled. Never ends.
    pub(super) async fn run(&self) {
        loop {
            tokio::time::sleep(limits::REFUSALS_SUMMED_EVERY).await;
            self.log_sums();
        }
    }
}

impl Minute {
    /// Takes note of an answer; true when it is the first of its kind. One is counted from `first` on.
    fn kind(&mut self, failure: Failure, service: Option<RegisteredId>, first: u64) -> bool {
        let is_same = |kind: &&mut Kind| kind.failure == failure && kind.service == service;
        if let Some(kind) = self.kinds.iter_mut().find(is_same) {
            kind.more = kind.more.saturating_add(1);
            false
        } else if self.kinds.len() < limits::REFUSALS_LOGGED {
            self.kinds.push(Kind { failure, service, more: first });
            true
        } else {
            self.others = self.others.saturating_add(1);
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_a_kind_and_service_has_a_line_and_the_rest_is_counted() {
        let (log, one, other) = (RefusalLog::default(), RegisteredId::random(), RegisteredId::random());
        let (one, other) = (one.unwrap(), other.unwrap());
        for _ in 0..2 {
            for (failure, service) in [
                (Failure::Unknown, None),
                (Failure::BadHost, None),
                (Failure::Away, Some(one)),
                (Failure::Away, Some(other)),
                (Failure::KeyRequired, Some(one)),
            ] {
                assert!(log.take_log_permit(failure, service), "{failure:?}");
                assert!(!log.take_log_permit(failure, service) && !log.take_log_permit(failure, service));
            }
            // Those that have a line elsewhere are only counted here.
            log.count(Failure::ServiceDown, one);
            log.count(Failure::ServiceDown, one);
            assert_eq!(log.minute().kinds.iter().map(|kind| kind.more).collect::<Vec<_>>(), [2; 6]);
            log.log_sums();
            assert_eq!(*log.minute(), Minute::default(), "the next minute begins anew");
        }
    }

    #[test]
    fn what_is_written_in_a_minute_has_a_bound_whatever_comes() {
        let log = RefusalLog::default();
        let services = std::iter::repeat_with(|| RegisteredId::random().unwrap());
        let lines = services.take(10_000).filter(|id| log.take_log_permit(Failure::Away, Some(*id))).count();
        assert_eq!(lines, limits::REFUSALS_LOGGED);
        assert_eq!(log.minute().others, 10_000 - limits::REFUSALS_LOGGED as u64);
        assert_eq!(log.minute().kinds.len(), limits::REFUSALS_LOGGED, "which have a sum each");
    }
}
