//! How commands speak: results as text or JSON, failures with a reason and the next thing to type.

mod arguments;
mod frame;
mod health;

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde::{Serialize, Serializer};
use serde_json::json;

pub use self::arguments::{Wording, arguments, arguments_of, completions, manual};
pub use self::frame::{
    config_place, config_place_with_service, leads_nowhere, outcome, passed_by, run, run_as_service,
};
pub use self::health::{HEALTH_LIMIT, HealthCheck, health};
use crate::colour::coloured;
use crate::control::api::AskError;
use crate::control::client::CallError;
use crate::exit::ExitCode;
use crate::lock::Lock;
use crate::logs::{self, Follow};
#[cfg(any(target_os = "linux", target_os = "macos", windows))]
use crate::service::install::{InstallError, Service};
use crate::service::{self, ManagerVerb};

/// A command that did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// How the process exits.
    #[serde(serialize_with = "as_number")]
    pub exit: ExitCode,
    /// What went wrong, with its causes.
    pub message: String,
    /// What to do or type next.
    pub hint: Option<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn as_number<S: Serializer>(exit: &ExitCode, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u8(*exit as u8)
}

impl Failure {
    /// A failure without a hint.
    pub fn new(exit: ExitCode, message: impl Into<String>) -> Self {
        Self { exit, message: message.into(), hint: None }
    }

    /// What an error and its sources say.
    pub fn of(error: &(dyn std::error::Error + 'static)) -> Self {
        Self::new(ExitCode::Failed, chain(error))
    }

    /// All that is wrong with a config file, with a line for each.
    pub fn of_mistakes(config: &Path, found: &[String]) -> Self {
        let text = match found {
            [one] => one.clone(),
            many => format!("{} has {} mistakes:\n  {}", config.display(), many.len(), many.join("\n  ")),
        };
        Self::new(ExitCode::Failed, text)
    }

    /// Adds what to do next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same, with the commands that it suggests as they can be typed.
    #[must_use]
    pub fn typed(&self) -> Self {
        Self { exit: self.exit, message: typed(&self.message), hint: self.hint.as_deref().map(typed) }
    }

    /// What a call to the running program came to. `program` is its name, for the hint.
    pub fn of_call(error: CallError, program: &str) -> Self {
        match error {
            CallError::NotRunning => Self::new(ExitCode::NotRunning, format!("{program} is not running"))
                .hint(format!("start it with: {program} start")),
            CallError::Refused(problem) => {
                let exit = match problem.code.as_str() {
                    "not_running" => ExitCode::NotRunning,
                    "not_registered" => ExitCode::NotRegistered,
                    "refused" => ExitCode::Refused,
                    _ if problem.status == 400 => ExitCode::Usage,
                    _ => ExitCode::Failed,
                };
                let failure = Self::new(exit, problem.message);
                match problem.code.as_str() {
                    "not_running" => failure.hint(format!("start it with: {program} start")),
                    // A command line of the same version asks for nothing that is not known.
                    "not_found" | "bad_request" => failure.hint(other_version(program)),
                    _ => failure,
                }
            }
            CallError::NotAllowed { .. } => {
                Self::of(&error).hint("run this as that user, or name a config file of your own with -c")
            }
            // It has ended, or was replaced, while it was asked.
            CallError::Broken(_) => {
                Self::of(&error).hint(format!("see whether it still runs with: {program} status"))
            }
        }
    }
}

impl Failure {
    /// What a typed request to the running program came to. `program` is its name, for the hint.
    pub fn of_asked(error: AskError, program: &str) -> Self {
        match error {
            AskError::Call(error) => Self::of_call(error, program),
            AskError::OtherVersion(_) => Self::of(&error).hint(other_version(program)),
        }
    }

    /// As [`Failure::of_asked`], where the program may well run and not answer: then it holds its lock.
    pub fn of_unanswered(error: AskError, program: &str, lock: &Path) -> Self {
        match (&error, Lock::holder(lock)) {
            (AskError::Call(CallError::NotRunning), Some(holder)) => {
                Self::unanswering(program, lock, holder.pid)
            }
            _ => Self::of_asked(error, program),
        }
    }

    /// A program runs, but its control socket is gone, or nobody answers there.
    pub fn unanswering(program: &str, lock: &Path, pid: Option<u32>) -> Self {
        let end = how_to_end(lock, pid);
        let pid = pid.filter(|_| !service::is_in_state_folder(lock));
        let who = pid.map(|pid| format!(" (process {pid})")).unwrap_or_default();
        let end = end.map_or_else(String::new, |end| format!(": {end}"));
        Self::new(ExitCode::Failed, format!("{program} runs{who} but does not answer on its socket"))
            .hint(format!("it may be starting or stopping, or its socket was removed, which it mends by itself: try again in a few seconds; otherwise end it{end}"))
    }
}

/// What ends a program that holds a lock and does not answer. What stands in a service's lock its user has written, and
/// root is not told to end that.
pub fn how_to_end(lock: &Path, pid: Option<u32>) -> Option<String> {
    match service::of_state_folder(lock) {
        Some(name) if cfg!(windows) => Some(format!("sc stop petit-{name}")),
        Some(name) if cfg!(target_os = "macos") => {
            Some(format!("launchctl kill SIGTERM system/{}", service::unit(name)))
        }
        Some(name) => Some(format!("systemctl stop petit-{name}")),
        None => pid.map(|pid| format!("kill {pid}")),
    }
}

/// What to do when the program that runs is not the one that asks.
fn other_version(program: &str) -> String {
    format!(
        "the running program and this one seem to be of different versions; put the one on the disk in its place: {program} restart (or, where the running one knows no restart: {program} stop, and then {program} start)"
    )
}

/// An error with its sources, in one line.
pub fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let said = error.to_string();
        // Some libraries repeat their source in their own text.
        if !text.ends_with(&said) {
            let _ = write!(text, ": {said}");
        }
        source = error.source();
    }
    text
}

/// How this program was called, when it was told which config file to use.
static CALLED: OnceLock<Called> = OnceLock::new();

struct Called {
    program: &'static str,
    verbs: Vec<String>,
    config: String,
}

/// From here on every command that is suggested carries `-c FILE`, so that it can be typed as it stands. Call it
/// when a config file was named on the command line.
pub fn called_with<T: clap::CommandFactory>(program: &'static str, config: &Path) {
    let verbs = T::command().get_subcommands().map(|verb| verb.get_name().to_owned()).collect();
    let config = config.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "_@%+=:,./-".contains(c);
    let config =
        if config.chars().all(plain) { config } else { format!("'{}'", config.replace('\'', "'\\''")) };
    let _ = CALLED.set(Called { program, verbs, config });
}

impl Called {
    /// `petit-client start` as `petit-client -c FILE start`, wherever it stands in a text.
    fn typed(&self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find(self.program) {
            let (before, found) = rest.split_at(at);
            let (program, after) = found.split_at(self.program.len());
            out.push_str(before);
            out.push_str(program);
            let verb = after.strip_prefix(' ').map(|after| {
                let end = after.find(|c: char| !c.is_ascii_lowercase()).unwrap_or(after.len());
                after.split_at(end).0
            });
            if verb.is_some_and(|verb| self.verbs.iter().any(|known| known == verb)) {
                out.push_str(&format!(" -c {}", self.config));
            }
            rest = after;
        }
        out.push_str(rest);
        out
    }
}

fn typed(text: &str) -> String {
    CALLED.get().map_or_else(|| text.to_owned(), |called| called.typed(text))
}

/// Set when something could not be printed, so that a command whose answer is lost does not seem to have gone well.
static LOST: AtomicBool = AtomicBool::new(false);

/// Prints what a command has to say: `text` for people, `value` with `--json`.
pub fn say(json: bool, text: &str, value: &impl Serialize) {
    let text = if json {
        // By way of a value, whose fields are in order.
        let value = serde_json::to_value(value).unwrap_or_default();
        format!("{value:#}\n")
    } else {
        format!("{}\n", coloured(&printable(&typed(text.trim_end()))))
    };
    print(&text);
}

/// A text without what a terminal would obey: some of it comes from a program that is another user's.
fn printable(text: &str) -> Cow<'_, str> {
    let obeyed = |c: char| c.is_control() && !"\n\t".contains(c);
    if text.contains(obeyed) { Cow::Owned(text.replace(obeyed, "\u{fffd}")) } else { Cow::Borrowed(text) }
}

/// Prints a text as it is. False when nobody reads any more.
pub fn print(text: &str) -> bool {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Ok(()) => true,
        // A reader that has gone (`| head`) is no failure of ours.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => false,
        Err(error) => {
            if !LOST.swap(true, Ordering::Relaxed) {
                let _ = writeln!(io::stderr(), "error: the output could not be written: {error}");
            }
            false
        }
    }
}

/// The exit code of a command that did what it was asked; it failed all the same when its answer was lost.
pub fn exit(code: ExitCode) -> std::process::ExitCode {
    let lost = LOST.load(Ordering::Relaxed) && code == ExitCode::Ok;
    if lost { ExitCode::Failed.into() } else { code.into() }
}

/// Prints a failure and returns its exit code.
pub fn fail(json: bool, failure: &Failure) -> std::process::ExitCode {
    fail_as(ERROR, json, failure)
}

/// What stands before a failure in English.
pub const ERROR: &str = "error";

/// What is printed of a failure with `--json`.
#[derive(Serialize)]
struct Failed<'a> {
    error: &'a Failure,
}

/// As [`fail`], with a word for it in another language.
pub fn fail_as(word: &str, json: bool, failure: &Failure) -> std::process::ExitCode {
    let failure = failure.typed();
    if json {
        say(true, "", &Failed { error: &failure });
    } else {
        let mut stderr = io::stderr().lock();
        let _ = writeln!(stderr, "{word}: {}", printable(&failure.message));
        if let Some(hint) = &failure.hint {
            let _ = writeln!(stderr, "  {}", printable(hint));
        }
    }
    failure.exit.into()
}

/// True when somebody reads standard output on a terminal.
pub fn on_terminal() -> bool {
    io::stdout().is_terminal()
}

/// How often a lock is tried, and after how many tries whoever waits is told what for.
const TRY_EVERY: Duration = Duration::from_millis(20);
const SILENT_TRIES: u32 = 50;

/// Waits until a program has let go of its lock: the kernel does that when the process has ended. When that takes
/// longer than a second, `waiting` is said. False when it has not come to that within `limit`.
///
/// # Cancel safety
/// Cancel safe.
pub async fn until_free(json: bool, lock: &Path, limit: Duration, waiting: &str) -> bool {
    let free = async {
        let mut tries = 0;
        while Lock::holder(lock).is_some() {
            tries += 1;
            if tries == SILENT_TRIES && !json && !waiting.is_empty() {
                print(&format!("{}\n", typed(waiting)));
            }
            // The kernel offers no wait with a limit.
            tokio::time::sleep(TRY_EVERY).await;
        }
    };
    tokio::time::timeout(limit, free).await.is_ok()
}

/// How often a log that is followed is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Prints the last lines of a log, and with `follow` new ones as they come, until nobody reads any more.
///
/// # Errors
/// [`Failure`] when the log cannot be read.
///
/// # Cancel safety
/// Cancelling stops printing.
pub async fn logs(json: bool, path: &Path, follow: bool, lines: usize) -> Result<(), Failure> {
    let failed =
        |error: io::Error| Failure::new(ExitCode::Failed, format!("cannot read {}: {error}", path.display()));
    let mut following = Follow::from_end(path);
    let tail = logs::tail(path, lines).map_err(failed)?;
    if !follow && (json || !path.exists()) {
        let none = format!("There is no log yet at {}.", path.display());
        say(json, &none, &json!({ "path": path, "lines": tail }));
        return Ok(());
    }
    let print = |lines: Vec<String>| lines.is_empty() || print(&(lines.join("\n") + "\n"));
    let mut goes_on = print(tail) && follow;
    while goes_on {
        tokio::time::sleep(LOOK_EVERY).await;
        goes_on = print(following.next_lines().map_err(failed)?);
    }
    Ok(())
}

/// As [`logs()`], of a service of the system, whose log the journal keeps.
///
/// # Errors
/// [`Failure`] where there is no journal.
pub fn logs_of_service(json: bool, unit: &str, follow: bool, lines: usize) -> Result<ExitCode, Failure> {
    let mut command = service::journal(unit, lines);
    if follow {
        command.arg("--follow");
    }
    if json {
        command.args(["--output", "json"]);
    }
    let failed = |error: &dyn std::fmt::Display| {
        Failure::new(ExitCode::Failed, format!("cannot read the journal: {error}"))
    };
    let status = command.status().map_err(|error| failed(&error))?;
    if status.success() { Ok(ExitCode::Ok) } else { Err(failed(&status)) }
}

/// Why a service was not installed or removed, and what to do next.
#[cfg(any(target_os = "linux", target_os = "macos", windows))]
pub fn install_failure(service: &Service, error: &InstallError) -> Failure {
    Failure { hint: error.hint(service), ..Failure::of(error) }
}

/// Has the service manager start or stop a service; before that, units of `with` it.
///
/// # Errors
/// [`Failure`] when it does not.
#[cfg(not(any(target_os = "macos", windows)))]
pub fn by_service_manager(json: bool, verb: ManagerVerb, with: &[&str], unit: &str) -> Result<(), Failure> {
    let verb = verb.name();
    let hint = format!("see what happens with: journalctl --unit {unit}");
    let status = service::systemctl(verb, &[with, &[unit]].concat())
        .map_err(|error| Failure::new(ExitCode::Failed, format!("systemctl cannot be run: {error}")))?;
    if !status.success() {
        let failure = Failure::new(ExitCode::Failed, format!("systemctl {verb} {unit} failed"));
        return Err(failure.hint(hint));
    }
    let all = [with, &[unit]].concat().join(" ");
    say(json, &format!("systemctl {verb} {all}: done."), &json!({ "unit": unit, "done": verb }));
    Ok(())
}

/// Has launchd start or stop a service, which is alone there.
///
/// # Errors
/// [`Failure`] when it does not.
#[cfg(target_os = "macos")]
pub fn by_service_manager(json: bool, verb: ManagerVerb, _: &[&str], unit: &str) -> Result<(), Failure> {
    let target = format!("system/{unit}");
    let words: &[&str] = match verb {
        ManagerVerb::Start => &["kickstart", &target],
        // It ends well then, and is not started anew.
        ManagerVerb::Stop => &["kill", "SIGTERM", &target],
        ManagerVerb::Restart => &["kickstart", "-k", &target],
    };
    let status = service::launchctl(words)
        .map_err(|error| Failure::new(ExitCode::Failed, format!("launchctl cannot be run: {error}")))?;
    let all = words.join(" ");
    if !status.success() {
        let failure = Failure::new(ExitCode::Failed, format!("launchctl {all} failed"));
        return Err(failure.hint(format!("see what it says of the service: launchctl print {target}")));
    }
    say(json, &format!("launchctl {all}: done."), &json!({ "unit": unit, "done": verb.name() }));
    Ok(())
}

/// Has the service manager start or stop a service, which is alone on Windows.
///
/// # Errors
/// [`Failure`] when it does not.
#[cfg(windows)]
pub fn by_service_manager(json: bool, verb: ManagerVerb, _: &[&str], unit: &str) -> Result<(), Failure> {
    use crate::service::manager;

    let done = match verb {
        ManagerVerb::Start => manager::start(unit),
        ManagerVerb::Stop => manager::stop(unit),
        ManagerVerb::Restart => manager::stop(unit).and_then(|_| manager::start(unit)),
    };
    let hint = format!("see what happened with: {unit} logs, or in the event log under {unit}");
    done.map_err(|error| Failure::of(&error).hint(hint))?;
    let verb = verb.name();
    say(json, &format!("{verb} {unit}: done."), &json!({ "unit": unit, "done": verb }));
    Ok(())
}

/// Columns that line up. The first row is the heading.
pub fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width =
        |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    let mut out = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            let _ = write!(line, "{cell:<width$}  ");
        }
        let _ = writeln!(out, "{}", line.trim_end());
    }
    out
}

/// A duration as people say it: `3 min`, `2 h`, `5 days`.
pub fn ago(duration: Duration) -> String {
    let (number, unit) = rough(duration);
    format!("{number} {unit}")
}

/// A duration as a number and its unit (`s`, `min`, `h`, `days`), as exact as people say it.
pub fn rough(duration: Duration) -> (u64, &'static str) {
    let seconds = duration.as_secs();
    match seconds {
        0..=89 => (seconds, "s"),
        90..=5399 => ((seconds + 30) / 60, "min"),
        5400..=129_599 => ((seconds + 1800) / 3600, "h"),
        _ => ((seconds + 43_200) / 86_400, "days"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_line_up() {
        let rows = [vec!["ID".into(), "NAME".into()], vec!["abcdef".into(), "ü".into()], vec!["x".into()]];
        assert_eq!(table(&rows), "ID      NAME\nabcdef  ü\nx\n");
    }

    #[test]
    fn a_terminal_obeys_nothing_of_what_is_said() {
        assert_eq!(printable("web\t✔\nü"), "web\t✔\nü");
        assert_eq!(printable("\x1b[2J\u{9b}8m\r\x07"), "\u{fffd}[2J\u{fffd}8m\u{fffd}\u{fffd}");
    }

    #[test]
    fn of_a_service_no_process_is_named_to_be_ended() {
        let lock = service::state_folder("server").join("server.lock");
        let failure = Failure::unanswering("petit-server", &lock, Some(1));
        let hint = failure.hint.unwrap();
        assert!(hint.ends_with("stop petit-server") && !failure.message.contains("process"), "{hint}");
        let failure = Failure::unanswering("petit-server", Path::new("/home/x/.petit/server.lock"), Some(7));
        assert!(failure.hint.unwrap().ends_with("kill 7") && failure.message.contains("(process 7)"));
    }

    #[test]
    fn commands_that_are_suggested_carry_the_config_file() {
        let called = Called {
            program: "petit-client",
            verbs: vec!["start".into(), "unregister".into()],
            config: "/x/c.toml".into(),
        };
        for (text, typed) in [
            ("start it with: petit-client start", "start it with: petit-client -c /x/c.toml start"),
            (
                "petit-client unregister --local, petit-client start",
                "petit-client -c /x/c.toml unregister --local, petit-client -c /x/c.toml start",
            ),
            ("petit-client is not running", "petit-client is not running"),
            ("petit-client 0.1.0", "petit-client 0.1.0"),
            ("petit-client -c y start", "petit-client -c y start"),
            ("petit-client startled petit-client", "petit-client startled petit-client"),
        ] {
            assert_eq!(called.typed(text), typed);
        }
    }

    #[test]
    fn durations_read_well() {
        let said: Vec<String> =
            [5, 89, 90, 5399, 5400, 86_400 * 3].map(|s| ago(Duration::from_secs(s))).to_vec();
        assert_eq!(said, ["5 s", "89 s", "2 min", "90 min", "2 h", "3 days"]);
    }
}
