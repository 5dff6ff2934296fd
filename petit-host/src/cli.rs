//! How commands speak: results as text or JSON, failures with a reason and the next thing to type.

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};

use serde_json::{Value, json};

use crate::control::client::CallError;
use crate::exit::ExitCode;

/// A command that did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// How the process exits.
    pub exit: ExitCode,
    /// What went wrong, with its causes.
    pub message: String,
    /// What to do or type next.
    pub hint: Option<String>,
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

    /// Adds what to do next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// What a call to the running program came to. `program` is its name, for the hint.
    pub fn of_call(error: CallError, program: &str) -> Self {
        match error {
            CallError::NotRunning => Self::new(ExitCode::NotRunning, format!("{program} is not running"))
                .hint(format!("start it with: {program} start")),
            CallError::Refused(problem) => {
                let exit = match problem.code.as_str() {
                    "not_registered" => ExitCode::NotRegistered,
                    "refused" => ExitCode::Refused,
                    _ => ExitCode::Failed,
                };
                Self::new(exit, problem.message)
            }
            other => Self::of(&other),
        }
    }
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

/// Prints what a command has to say: `text` for people, `value` with `--json`.
pub fn say(json: bool, text: &str, value: &Value) {
    let mut stdout = io::stdout().lock();
    // A reader that has gone (`| head`) is no failure of ours.
    let _ = if json { writeln!(stdout, "{value:#}") } else { writeln!(stdout, "{}", text.trim_end()) };
}

/// Prints a failure and returns its exit code.
pub fn fail(json: bool, failure: &Failure) -> std::process::ExitCode {
    if json {
        let value = json!({ "error": { "message": failure.message, "hint": failure.hint, "exit": failure.exit as u8 } });
        say(true, "", &value);
    } else {
        let mut stderr = io::stderr().lock();
        let _ = writeln!(stderr, "error: {}", failure.message);
        if let Some(hint) = &failure.hint {
            let _ = writeln!(stderr, "  {hint}");
        }
    }
    failure.exit.into()
}

/// True when somebody reads standard output on a terminal.
pub fn on_terminal() -> bool {
    io::stdout().is_terminal()
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
pub fn ago(duration: std::time::Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..=89 => format!("{seconds} s"),
        90..=5399 => format!("{} min", (seconds + 30) / 60),
        5400..=129_599 => format!("{} h", (seconds + 1800) / 3600),
        _ => format!("{} days", (seconds + 43_200) / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn tables_line_up() {
        let rows = [vec!["ID".into(), "NAME".into()], vec!["abcdef".into(), "ü".into()], vec!["x".into()]];
        assert_eq!(table(&rows), "ID      NAME\nabcdef  ü\nx\n");
    }

    #[test]
    fn durations_read_well() {
        let said: Vec<String> =
            [5, 89, 90, 5399, 5400, 86_400 * 3].map(|s| ago(Duration::from_secs(s))).to_vec();
        assert_eq!(said, ["5 s", "89 s", "2 min", "90 min", "2 h", "3 days"]);
    }
}
