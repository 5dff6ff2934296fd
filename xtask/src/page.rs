//! The suite of the page in the window: types, then every page and state in a browser.

use std::ffi::OsString;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::run::{root, succeed, target};

/// What the suite came to.
#[derive(Default)]
pub(crate) struct Page {
    /// Tests that passed.
    pub passed: u64,
    /// Whether all did.
    pub success: bool,
    /// What failed, each with the begin of what it said.
    pub failures: String,
}

/// Lines of one failed test that are repeated at the end.
const LINES: usize = 12;

/// The oldest Node.js that Playwright runs on.
const NODE: u32 = 20;

/// Installs the suite's packages as its lock file names them, and runs it.
pub(crate) fn run() -> Result<Page, String> {
    let path = path_of_node()?;
    let npm = |arguments: &[&str]| npm(arguments, &path);
    succeed(
        npm(&["ci", "--prefer-offline", "--no-audit", "--no-fund"])
            .env("npm_config_update_notifier", "false"),
    )?;
    let mut page = Page { success: true, ..Page::default() };
    if let Err(problem) = succeed(&mut npm(&["run", "--silent", "types"])) {
        page.success = false;
        page.failures.push_str(&format!("FAILED types of the page: {problem}\n"));
    }
    let report = target()?.join("page.json");
    // One of an earlier run would be believed.
    let _ = std::fs::remove_file(&report);
    let mut walk = npm(&["run", "--silent", "walk", "--", "--reporter=list,json"]);
    let walked = succeed(walk.env("PLAYWRIGHT_JSON_OUTPUT_NAME", &report));
    let text = std::fs::read_to_string(&report).map_err(|error| match walked.as_ref() {
        Err(problem) => problem.clone(),
        Ok(()) => format!("{}: {error}", report.display()),
    })?;
    let report: Value =
        serde_json::from_str(&text).map_err(|error| format!("Playwright's report: {error}"))?;
    page.passed = report.pointer("/stats/expected").and_then(Value::as_u64).unwrap_or_default();
    for error in children(&report, "errors") {
        page.failures.push_str(&format!("FAILED page\n{}", begin(error)));
    }
    for suite in children(&report, "suites") {
        collect(suite, &mut page.failures);
    }
    page.success &= walked.is_ok() && page.failures.is_empty();
    if let Err(problem) = walked
        && page.failures.is_empty()
    {
        page.failures = format!("FAILED page: {problem}\n");
    }
    Ok(page)
}

/// Takes the failed tests out of a file's or a group's report.
fn collect(suite: &Value, failures: &mut String) {
    for spec in children(suite, "specs").filter(|spec| spec.get("ok") != Some(&Value::Bool(true))) {
        let of = |name| spec.get(name).and_then(Value::as_str).unwrap_or_default();
        failures.push_str(&format!("FAILED page {}: {}\n", of("file"), of("title")));
        let results = children(spec, "tests").flat_map(|test| children(test, "results"));
        for error in results.flat_map(|result| children(result, "errors")) {
            failures.push_str(&begin(error));
        }
    }
    for suite in children(suite, "suites") {
        collect(suite, failures);
    }
}

fn children<'report>(value: &'report Value, name: &str) -> impl Iterator<Item = &'report Value> {
    value.get(name).and_then(Value::as_array).into_iter().flatten()
}

/// The first lines of what an error says, without colours.
fn begin(error: &Value) -> String {
    let message = error.get("message").and_then(Value::as_str).unwrap_or_default();
    let lines = message.lines().filter(|line| !line.trim().is_empty()).take(LINES);
    lines.map(|line| format!("    {}\n", plain(line))).collect()
}

/// A line without the escapes that colour it in a terminal.
fn plain(line: &str) -> String {
    let mut parts = line.split('\u{1b}');
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        text.push_str(part.split_once('m').map_or(part, |(_, rest)| rest));
    }
    text
}

/// `PATH` with a Node.js that is new enough: the system's, or one from the npm registry where that is older.
fn path_of_node() -> Result<OsString, String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    if is_new_enough(Path::new("node")) {
        return Ok(path);
    }
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "x64",
        "aarch64" => "arm64",
        other => {
            return Err(format!("the page's suite needs Node.js {NODE} or newer; there is none for {other}"));
        }
    };
    let (folder, package) = (target()?.join("node"), format!("node-linux-{architecture}"));
    let bin = folder.join("node_modules").join(&package).join("bin");
    if !is_new_enough(&bin.join("node")) {
        let mut install = Command::new("npm");
        install.args(["install", "--no-audit", "--no-fund", "--prefix"]).arg(&folder);
        succeed(install.arg(format!("{package}@{NODE}")))?;
    }
    if !is_new_enough(&bin.join("node")) {
        return Err(format!("{package} brings no Node.js {NODE} that runs here"));
    }
    std::env::join_paths(std::iter::once(bin).chain(std::env::split_paths(&path)))
        .map_err(|error| format!("PATH: {error}"))
}

fn is_new_enough(node: &Path) -> bool {
    let version =
        Command::new(node).arg("--version").output().map(|output| output.stdout).unwrap_or_default();
    let version = String::from_utf8_lossy(&version);
    let major = version.trim_start_matches('v').split('.').next().and_then(|major| major.parse::<u32>().ok());
    major.is_some_and(|major| major >= NODE)
}

/// npm in the suite's folder. No browser is fetched: the system's is used.
fn npm(arguments: &[&str], path: &OsString) -> Command {
    let mut command = Command::new("npm");
    command.args(arguments).current_dir(root().join("ui/test"));
    command.env("PATH", path).env("PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD", "1");
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_test_is_named_with_the_begin_of_what_it_said() {
        let report = serde_json::json!({ "suites": [{ "suites": [{ "specs": [
            { "title": "fine", "ok": true, "file": "a.mjs" },
            { "title": "wrong", "ok": false, "file": "b.mjs", "tests": [{ "results": [{ "errors": [
                { "message": "Error: \u{1b}[2mexpect(\u{1b}[22mreceived\n\nExpected: 2" }
            ] }] }] }
        ] }] }] });
        let mut failures = String::new();
        for suite in children(&report, "suites") {
            collect(suite, &mut failures);
        }
        assert_eq!(failures, "FAILED page b.mjs: wrong\n    Error: expect(received\n    Expected: 2\n");
    }
}
