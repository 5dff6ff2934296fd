//! `docs/conformance.md`: what the tests have shown to pass, row by row.
//!
//! Each test leaves a small file per row beside what cargo has built; here they become one document, in an order
//! that depends on nothing but their words.

use std::cmp::Reverse;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::run::{Outcome, build_programs, cargo, root, succeed, target};
use crate::setup;

const HEAD: &str = "\
# Conformance

What passes through the tunnel, each row shown by the test that is named beside it, most of them with real programs
at both ends. Made by `cargo xtask conformance`; `cargo xtask test` fails when the tests find anything else.

✔ passes as it should. ➜ is not passed on, on purpose; the note says what happens instead. ✘ fails.
";

/// One row.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Row {
    area_number: u64,
    area: String,
    /// What passes first.
    verdict: Reverse<String>,
    what: String,
    note: String,
    test: String,
}

/// Runs the tests of traffic and writes the document.
pub(crate) fn run() -> Outcome {
    setup::run()?;
    let programs = build_programs()?;
    forget()?;
    let mut command = cargo(&["test", "--locked", "-p", "petit-tests", "--test", "e2e", "traffic::"]);
    let tested = succeed(command.env("PETIT_PROGRAMS", programs));
    std::fs::write(document(), render()?).map_err(|error| format!("cannot write the document: {error}"))?;
    tested
}

/// Forgets what earlier runs have found.
pub(crate) fn forget() -> Outcome {
    match std::fs::remove_dir_all(found()?) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(format!("cannot forget what was found before: {error}"))
        }
        _ => Ok(()),
    }
}

/// Compares the document with what the tests have found; returns how many rows there are.
pub(crate) fn check() -> Result<String, String> {
    let found = render()?;
    let written = std::fs::read_to_string(document()).unwrap_or_default();
    if found == written {
        return Ok(format!("{} rows", rows()?.len()));
    }
    let mut problem = "docs/conformance.md does not say what the tests have found:\n".to_owned();
    let only_in = |here: &str, there: &str| -> Vec<String> {
        here.lines().filter(|line| !there.lines().any(|other| other == *line)).map(str::to_owned).collect()
    };
    for (mark, lines) in [('-', only_in(&written, &found)), ('+', only_in(&found, &written))] {
        for line in lines {
            let _ = writeln!(problem, "{mark} {line}");
        }
    }
    Err(problem + "if that is right, write it down with: cargo xtask conformance")
}

fn document() -> PathBuf {
    root().join("docs/conformance.md")
}

fn found() -> Result<PathBuf, String> {
    Ok(target()?.join("conformance"))
}

fn rows() -> Result<Vec<Row>, String> {
    let folder = found()?;
    let entries =
        std::fs::read_dir(&folder).map_err(|error| format!("no test has found anything: {error}"))?;
    let mut rows = Vec::new();
    for entry in entries {
        let path = entry.map_err(|error| error.to_string())?.path();
        // Others are being written by tests that run at this moment.
        if path.extension().is_some_and(|end| end == "json") {
            rows.push(read(&path).map_err(|problem| format!("{}: {problem}", path.display()))?);
        }
    }
    rows.sort();
    Ok(rows)
}

fn read(path: &Path) -> Result<Row, String> {
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    let row: Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
    let field = |name: &str| {
        row.get(name).and_then(Value::as_str).map(str::to_owned).ok_or_else(|| format!("no {name}"))
    };
    Ok(Row {
        area_number: row.get("number").and_then(Value::as_u64).ok_or("no number")?,
        area: field("area")?,
        verdict: Reverse(field("verdict")?),
        what: field("what")?,
        note: field("note")?,
        test: field("test")?,
    })
}

fn render() -> Result<String, String> {
    let rows = rows()?;
    let mut text = HEAD.to_owned();
    let mut area = "";
    for row in &rows {
        if row.area != area {
            area = &row.area;
            let _ = write!(text, "\n## {area}\n\n| | what | note | test |\n|---|---|---|---|\n");
        }
        let mark = match row.verdict.0.as_str() {
            "carried" => "✔",
            "instead" => "➜",
            _ => "✘",
        };
        let cell = |text: &str| text.replace('|', "\\|");
        let test = row.test.strip_prefix("traffic::").unwrap_or(&row.test);
        let _ = writeln!(text, "| {mark} | {} | {} | `{test}` |", cell(&row.what), cell(&row.note));
    }
    Ok(text)
}
