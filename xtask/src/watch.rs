//! Watching `cargo test`: what passed, what failed and why, and the figures that tests measured.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use crate::run::target;

/// Lines of one failed test that are repeated at the end. A summary is no log.
const LINES: usize = 24;

/// What a run of the tests came to.
#[derive(Default)]
pub(crate) struct Watched {
    /// Tests that passed.
    pub passed: usize,
    /// Whether all did.
    pub success: bool,
    /// The figures, in the order in which they were measured.
    pub figures: Vec<String>,
    failed: BTreeMap<String, Vec<String>>,
    section: Option<String>,
}

/// Runs `command`, prints what it prints, and remembers what counts.
pub(crate) fn watch(command: &mut Command) -> Result<Watched, String> {
    let path = target()?.join("figures.txt");
    std::fs::write(&path, "").map_err(|error| format!("{}: {error}", path.display()))?;
    command.env("PETIT_FIGURES", &path).stdout(Stdio::piped());
    let mut child = command.spawn().map_err(|error| format!("cannot run cargo test: {error}"))?;
    let mut watched = Watched::default();
    for line in BufReader::new(child.stdout.take().ok_or("no output")?).lines() {
        let line = line.map_err(|error| format!("cannot read what cargo test says: {error}"))?;
        println!("{line}");
        watched.heard(&line);
    }
    let status = child.wait().map_err(|error| format!("cargo test: {error}"))?;
    watched.success = status.success();
    let figures = std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    watched.figures.extend(figures.lines().map(str::to_owned));
    Ok(watched)
}

impl Watched {
    /// Both runs as one.
    pub(crate) fn and(mut self, other: Self) -> Self {
        let Self { passed, success, figures, failed, section: _ } = other;
        self.passed += passed;
        self.success &= success;
        self.figures.extend(figures);
        self.failed.extend(failed);
        self
    }

    fn heard(&mut self, line: &str) {
        if let Some(counts) = line.strip_prefix("test result: ") {
            let count = counts.split_whitespace().nth(1).and_then(|count| count.parse::<usize>().ok());
            self.passed += count.unwrap_or_default();
            self.section = None;
        } else if let Some(name) =
            line.strip_prefix("test ").and_then(|rest| rest.strip_suffix(" ... FAILED"))
        {
            self.failed.entry(name.to_owned()).or_default();
        } else if let Some(name) =
            line.strip_prefix("---- ").and_then(|rest| rest.strip_suffix(" stdout ----"))
        {
            self.section = Some(name.to_owned());
        } else if line == "stack backtrace:" || line == "failures:" {
            self.section = None;
        } else if let Some(said) = self.section.as_ref().and_then(|name| self.failed.get_mut(name))
            && !line.is_empty()
            && said.len() < LINES
        {
            said.push(line.to_owned());
        }
    }

    /// The failed tests, each with the begin of what it said.
    pub(crate) fn failures(&self) -> String {
        let mut text = String::new();
        for (name, said) in &self.failed {
            text.push_str(&format!("FAILED {name}\n"));
            for line in said {
                text.push_str(&format!("    {line}\n"));
            }
        }
        text
    }
}
