//! Installing a version without anybody: by a process of its own, which does what `upgrade` does, so that there is one way to
//! install.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use petit_host::update::{Hours, Place, Version};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;

/// The option of `upgrade` that says that nobody has typed it.
pub const OPTION: &str = "by-itself";
/// How long it may take in all. A download is bounded by its progress, and goes on from where it was the next time.
const LIMIT: Duration = Duration::from_hours(2);
/// How long a program may take to say which version it is.
const SAYS_WITHIN: Duration = Duration::from_secs(20);
/// What of its words is kept.
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

/// What a program is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    /// To bring itself to the version of the server's release.
    Upgrade,
    /// To take the place of the client that runs.
    Restart,
}

/// Has the program at a place do something for a client. Returns its words when that is done, which this process does not
/// live to see where another one takes its place.
///
/// # Errors
/// Why nothing has come of it.
///
/// # Cancel safety
/// Cancelling leaves the process at it.
pub async fn run(place: &Place, config: &Path, deed: Deed) -> Result<String, String> {
    let program = place.program();
    let mut command = Command::new(program);
    command.args(["--lang", "en", "--config"]).arg(config);
    match deed {
        Deed::Upgrade => command.args(["upgrade", &format!("--{OPTION}")]),
        Deed::Restart => command.arg("restart"),
    };
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    // A Ctrl-C that ends this process in its terminal is not meant for that one, in whatever step it is.
    #[cfg(unix)]
    command.process_group(0);
    // Nor does it open a window, where this one has no console to share.
    #[cfg(windows)]
    {
        const CREATE_NEW_PROCESS_GROUP: u32 = 0x0000_0200;
        const CREATE_NO_WINDOW: u32 = 0x0800_0000;
        command.creation_flags(CREATE_NO_WINDOW | CREATE_NEW_PROCESS_GROUP);
    }
    let mut child =
        command.spawn().map_err(|error| format!("{} cannot be run: {error}", program.display()))?;
    let (said, complained) = (child.stdout.take(), child.stderr.take());
    let ends = async {
        let (said, complained) = tokio::join!(first_line(said), first_line(complained));
        (child.wait().await, said, complained)
    };
    let ended = tokio::time::timeout(LIMIT, ends).await;
    match ended {
        Ok((Ok(status), said, _)) if status.success() => Ok(said),
        Ok((Ok(status), _, complained)) => {
            let why = complained.trim_start_matches("error: ");
            Err(if why.is_empty() { status.to_string() } else { why.to_owned() })
        }
        Ok((Err(error), ..)) => Err(error.to_string()),
        Err(_) => {
            // Whoever has switched to another version sees to what becomes of it.
            if place.trial().is_ok_and(|trial| trial.is_none()) {
                let _ = child.start_kill();
            }
            Err(format!("it did not end within {LIMIT:?}"))
        }
    }
}

/// The version that a program says that it is; `None` where it does not say.
///
/// # Cancel safety
/// Cancel safe.
pub async fn version_of(program: &Path) -> Option<Version> {
    let mut command = Command::new(program);
    command.args(["version", "--json"]).stdin(Stdio::null()).kill_on_drop(true);
    let said = tokio::time::timeout(SAYS_WITHIN, command.output()).await.ok()?.ok()?;
    let said: serde_json::Value = serde_json::from_slice(&said.stdout).ok()?;
    said.get("software")?.as_str()?.split_once(' ')?.1.parse().ok()
}

async fn first_line(from: Option<impl AsyncRead + Unpin>) -> String {
    let mut words = Vec::new();
    if let Some(from) = from {
        let mut kept = from.take(WORDS_BYTES);
        let _ = kept.read_to_end(&mut words).await;
        // The rest is taken, so that it never has to wait for a reader.
        let _ = tokio::io::copy(&mut kept.into_inner(), &mut tokio::io::sink()).await;
    }
    String::from_utf8_lossy(&words).lines().next().unwrap_or_default().to_owned()
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
