//! Figures that tests measure on their way. `cargo xtask test` prints them; `cargo xtask figures` measures them with
//! the counts that `docs/reliability.md` speaks of.

use std::io::Write;
use std::time::Duration;

/// How often something is done: `usual` in the tests, `long` when figures are taken.
pub fn rounds(usual: usize, long: usize) -> usize {
    if std::env::var_os("PETIT_LONG").is_some() { long } else { usual }
}

/// Says a figure: on the terminal, and in the file that `PETIT_FIGURES` names, for what `cargo xtask` prints at the end.
pub fn figure(text: impl std::fmt::Display) {
    println!("figure {text}");
    if let Some(path) = std::env::var_os("PETIT_FIGURES") {
        let file = std::fs::OpenOptions::new().append(true).create(true).open(path);
        // One write for the line: tests of several processes share the file.
        file.and_then(|mut file| file.write_all(format!("{text}\n").as_bytes()))
            .expect("the file of figures");
    }
}

/// Times of one kind.
#[derive(Clone, Debug, Default)]
pub struct Times(Vec<Duration>);

impl Times {
    /// Adds one.
    pub fn add(&mut self, took: Duration) {
        self.0.push(took);
    }

    /// Adds those of others.
    pub fn add_all(&mut self, others: Self) {
        self.0.extend(others.0);
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// The time that `percent` of them did not exceed.
    pub fn percentile(&self, percent: usize) -> Duration {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let at = (sorted.len() * percent).div_ceil(100).max(1) - 1;
        sorted.get(at).copied().unwrap_or_default()
    }

    /// The longest.
    pub fn longest(&self) -> Duration {
        self.percentile(100)
    }

    /// Count, median, 99th percentile and maximum in milliseconds.
    pub fn summary(&self) -> String {
        let millis = |percent| self.percentile(percent).as_secs_f64() * 1000.0;
        format!(
            "{} times, p50 {:.0} ms, p99 {:.0} ms, max {:.0} ms",
            self.count(),
            millis(50),
            millis(99),
            millis(100)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_the_sorted_times() {
        let mut times = Times::default();
        for millis in [30, 10, 20, 40] {
            times.add(Duration::from_millis(millis));
        }
        assert_eq!(times.percentile(50), Duration::from_millis(20));
        assert_eq!(times.percentile(99), Duration::from_millis(40));
        assert_eq!(times.longest(), Duration::from_millis(40));
        assert_eq!(times.summary(), "4 times, p50 20 ms, p99 40 ms, max 40 ms");
        assert_eq!(Times::default().longest(), Duration::ZERO);
    }
}
