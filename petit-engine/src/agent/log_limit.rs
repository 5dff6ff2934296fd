//! A rate limit on log lines about what a server does. A server that says or does something without end pushes
//! nothing out of a customer's log that was there before.

use tokio::time::Instant;

use crate::limits;
use crate::proto::rate::Rate;

/// Lets so many lines through, and counts the others.
#[derive(Debug)]
pub(super) struct LogLimit {
    rate: Rate,
    left_out: u64,
}

impl Default for LogLimit {
    fn default() -> Self {
        let rate = Rate::every(limits::SERVER_LINE_EVERY, limits::SERVER_LINES);
        Self { rate, left_out: 0 }
    }
}

impl LogLimit {
    /// Takes a line that may be written now; what was left out before it is said first. False when there is none left.
    pub(super) fn take_log_permit(&mut self) -> bool {
        if !self.rate.allow(Instant::now().into_std()) {
            self.left_out += 1;
            return false;
        }
        match std::mem::take(&mut self.left_out) {
            0 => {}
            lines => tracing::warn!(
                lines,
                "the server does more than is logged; what came before this was left out"
            ),
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_day_of_what_a_server_does_leaves_some_of_the_log_before_it() {
        const LINE_BYTES: usize = 400;
        const LOG_BYTES: usize = 5 << 20;
        let mut log_limit = LogLimit::default();
        let at_once = (0..100_000).filter(|_| log_limit.take_log_permit()).count();
        assert_eq!(at_once, limits::SERVER_LINES as usize, "what happens usually is logged");
        let mut later = 0;
        for _ in 0..24 * 60 * 60 {
            tokio::time::advance(Duration::from_secs(1)).await;
            later += (0..10).filter(|_| log_limit.take_log_permit()).count();
        }
        assert!((at_once + later) * LINE_BYTES < LOG_BYTES, "{later}");
        assert!(later >= 1000, "and it goes on: {later}");
    }
}
