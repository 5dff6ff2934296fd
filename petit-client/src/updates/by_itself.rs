//! Installing a version without anybody: by a process of its own, which does what `upgrade` does, so that there is one way to
//! install.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use petit_host::update::Hours;
use tokio::io::AsyncReadExt;
use tokio::process::Command;

/// The option of `upgrade` that says that nobody has typed it.
pub const OPTION: &str = "by-itself";
/// How long it may take in all. A download is bounded by its progress, and goes on from where it was the next time.
const LIMIT: Duration = Duration::from_hours(2);
/// What of its last words is kept.
const WORDS_BYTES: u64 = 4 * 1024;
/// The longest time over which clients of a server spread when they begin.
const MOST_SPREAD: Duration = Duration::from_mins(30);

/// Minutes since midnight, by the computer's own time.
pub fn minute_of_the_day() -> u16 {
    let here = Timestamp::now().to_zoned_datetime(TimeZone::system());
    u16::from(here.hour().unsigned_abs()) * 60 + u16::from(here.minute().unsigned_abs())
}

/// The time within which this client begins, so that not all do at the first minute of the same hours: a tenth of what is
/// left of them.
pub fn spread(hours: Option<Hours>, minute: u16) -> Duration {
    let left = hours.map_or(Duration::from_hours(2), |hours| hours.left(minute));
    (left / 10).min(MOST_SPREAD)
}

/// Has a program bring itself to the version of the server's release. Returns when that is done, which this process does not
/// live to see where another one takes its place.
///
/// # Errors
/// Why nothing has come of it.
///
/// # Cancel safety
/// Cancelling leaves the process at it.
pub async fn run(program: &Path, config: &Path) -> Result<(), String> {
    let mut command = Command::new(program);
    command.args(["upgrade", &format!("--{OPTION}"), "--config"]).arg(config);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    // A Ctrl-C that ends this process in its terminal is not meant for that one, in whatever step it is.
    #[cfg(unix)]
    command.process_group(0);
    let mut child =
        command.spawn().map_err(|error| format!("{} cannot be run: {error}", program.display()))?;
    let said = child.stderr.take();
    let mut words = Vec::new();
    let ends = async {
        if let Some(said) = said {
            let _ = said.take(WORDS_BYTES).read_to_end(&mut words).await;
        }
        child.wait().await
    };
    let ended = tokio::time::timeout(LIMIT, ends).await;
    match ended {
        Ok(Ok(status)) if status.success() => Ok(()),
        Ok(Ok(status)) => {
            let words = String::from_utf8_lossy(&words);
            let words = words.lines().next().unwrap_or_default().trim_start_matches("error: ");
            Err(if words.is_empty() { status.to_string() } else { words.to_owned() })
        }
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => {
            let _ = child.start_kill();
            Err(format!("it did not end within {LIMIT:?}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_begin_within_a_tenth_of_what_is_left_of_the_hours() {
        let night = Some("22:00-05:00".parse().unwrap());
        for (minute, minutes) in [(22 * 60, 30), (0, 30), (4 * 60, 6), (4 * 60 + 50, 1)] {
            assert_eq!(spread(night, minute), Duration::from_mins(minutes), "{minute}");
        }
        assert_eq!(spread(None, 0), Duration::from_mins(12));
    }
}
