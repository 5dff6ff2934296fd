//! Lines for the journal of systemd: each says first how grave it is (sd-daemon(3)), so that `journalctl -p warning`
//! finds it.

use std::os::unix::fs::MetadataExt;

use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// What standard error leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum StandardError {
    Journal,
    Other,
}

/// Lines as `F` writes them, with their priority before them where the journal takes it.
#[derive(Debug)]
pub(super) struct Prioritised<F> {
    lines: F,
    to: StandardError,
}

impl<F> Prioritised<F> {
    pub(super) fn new(lines: F) -> Self {
        Self { lines, to: standard_error() }
    }
}

/// A shell that was started by systemd hands its variables on: what counts is whether they speak of this very file.
fn standard_error() -> StandardError {
    let stream = std::env::var("JOURNAL_STREAM").ok();
    let found =
        std::fs::metadata("/proc/self/fd/2").ok().map(|file| format!("{}:{}", file.dev(), file.ino()));
    if stream.is_some() && stream == found { StandardError::Journal } else { StandardError::Other }
}

/// As syslog(3) counts.
fn priority(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        Level::DEBUG | Level::TRACE => 7,
    }
}

impl<S, N, F> FormatEvent<S, N> for Prioritised<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> std::fmt::Result {
        if self.to == StandardError::Journal {
            write!(writer, "<{}>", priority(*event.metadata().level()))?;
        }
        self.lines.format_event(context, writer, event)
    }
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::fmt;
    use tracing_subscriber::layer::SubscriberExt;

    use super::super::Memory;
    use super::*;

    /// What one line of each kind comes to.
    fn lines(to: StandardError) -> Vec<String> {
        let memory = Memory::default();
        let writer = memory.clone();
        let layer = fmt::layer().with_ansi(false).without_time().with_target(false);
        let layer = layer.with_writer(move || writer.clone());
        let layer = layer.map_event_format(|lines| Prioritised { lines, to });
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            tracing::error!("broken");
            tracing::info!(clients = 3, "listening");
        });
        memory.text().lines().map(str::to_owned).collect()
    }

    #[test]
    fn the_journal_is_told_how_grave_a_line_is_and_a_terminal_is_not() {
        assert_eq!(lines(StandardError::Journal), ["<3>ERROR broken", "<6> INFO listening clients=3"]);
        assert_eq!(lines(StandardError::Other), ["ERROR broken", " INFO listening clients=3"]);
        assert_eq!(
            standard_error(),
            StandardError::Other,
            "no test runs with the journal as its standard error"
        );
    }
}
