//! The client's log as lines with their parts.

use std::sync::atomic::{AtomicU64, Ordering};

use super::contract::LogLine;

/// Numbers that only grow, for the page's lists.
#[derive(Debug, Default)]
pub(crate) struct Numbers(AtomicU64);

impl Numbers {
    /// A line of the log file with its parts: time, level, the rest. One that has another form belongs to the line
    /// before it and keeps its text.
    pub(crate) fn line(&self, text: &str) -> LogLine {
        let id = self.0.fetch_add(1, Ordering::Relaxed);
        let mut parts = text.splitn(2, ' ');
        let (at, rest) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default().trim_start());
        let (level, said) = rest.split_once(' ').unwrap_or((rest, ""));
        let is_level = matches!(level, "ERROR" | "WARN" | "INFO" | "DEBUG" | "TRACE");
        let is_time = at.len() > 10 && at.starts_with(|c: char| c.is_ascii_digit());
        if is_level && is_time {
            LogLine { id, at: at.to_owned(), level: level.to_owned(), text: said.trim().to_owned() }
        } else {
            LogLine { id, at: String::new(), level: "INFO".to_owned(), text: text.to_owned() }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_taken_apart() {
        let numbers = Numbers::default();
        let line = numbers.line("2026-11-24T06:52:37.123456Z  INFO petit_engine::agent: online server=x");
        assert_eq!((line.id, line.level.as_str()), (0, "INFO"));
        assert_eq!((line.at.len(), line.text.as_str()), (27, "petit_engine::agent: online server=x"));
        let other = numbers.line("  something else");
        assert_eq!((other.id, other.at.as_str(), other.text.as_str()), (1, "", "  something else"));
    }
}
