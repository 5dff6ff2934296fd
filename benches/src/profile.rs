//! Where the CPU time goes: samples of server and client under load, by perf.
//!
//! Two outputs: the functions that the processor was found in most, and whole stacks in the folded form that
//! flame graph tools read, in `target/bench/profile/`.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::load::Direction;
use crate::petit::{DialVia, Petit};
use crate::place::Place;
use crate::process::{Processes, output};
use crate::section::{Cell, Section};

/// Samples per second and process.
const FREQUENCY: &str = "999";
/// Stack that is kept with each sample; frame pointers are not there to follow.
const STACK: &str = "dwarf,8192";
/// Functions that are listed.
const MOST: usize = 40;

/// Profiles requests and downloads.
pub(crate) fn run(place: &Place, quick: bool) -> Result<Vec<Section>> {
    let dir = place.dir("petit-profile")?;
    let petit = Petit::new(&place.programs, &dir, &place.server_config)?;
    let petit = petit.start(place.origin.plain, &DialVia::Straight)?;
    petit.front.until_answers()?;
    let folder = place.dir("profile")?;
    let seconds = if quick { 4 } else { 20 };
    let mut sections = Vec::new();
    let loads = [
        ("requests", "kept-alive requests, 64 connections"),
        ("download", "two downloads"),
        ("upload", "two uploads"),
    ];
    for (load, title) in loads {
        let mut recording = Processes::default();
        let sides = [("server", petit.server), ("client", petit.client)];
        for (side, id) in sides {
            let mut perf = Command::new("perf");
            perf.args(["record", "-q", "-e", "cpu-clock", "-F", FREQUENCY, "--call-graph", STACK]);
            perf.args(["-p", &id.to_string(), "-o"]).arg(folder.join(format!("{load}-{side}.data")));
            // It stops with the command that it is given.
            perf.args(["--", "sleep", &seconds.to_string()]);
            recording.start(&mut perf, &folder.join(format!("{load}-{side}.log")))?;
        }
        if load == "requests" {
            petit.front.wrk(64, seconds, false)?;
        } else {
            let direction = if load == "upload" { Direction::Up } else { Direction::Down };
            let bulk = petit.front.bulk(2, direction)?;
            std::thread::sleep(Duration::from_secs(seconds));
            bulk.stop()?;
        }
        recording.wait()?;
        for (side, _) in sides {
            let samples = read(&folder, &format!("{load}-{side}"))?;
            sections.push(table(load, title, side, &samples));
        }
    }
    eprintln!("folded stacks: {}/*.folded", folder.display());
    Ok(sections)
}

/// Whole stacks, outermost first, and how often each was found.
type Samples = BTreeMap<Vec<String>, u64>;

fn read(folder: &Path, name: &str) -> Result<Samples> {
    let mut perf = Command::new("perf");
    // Resolving what was inlined takes minutes and more memory than the rest together.
    perf.args(["script", "--no-inline", "-F", "comm,ip,sym", "-i"]).arg(folder.join(format!("{name}.data")));
    let samples = fold(&output(&mut perf)?);
    let lines: String =
        samples.iter().map(|(stack, count)| format!("{} {count}\n", stack.join(";"))).collect();
    fs::write(folder.join(format!("{name}.folded")), lines).context("cannot write the stacks")?;
    Ok(samples)
}

/// perf prints a line with the thread's name, a line per frame from the innermost out, and an empty one.
fn fold(text: &str) -> Samples {
    let mut samples = Samples::new();
    for sample in text.split("\n\n") {
        let mut stack: Vec<String> = sample
            .lines()
            .filter(|line| line.starts_with(['\t', ' ']))
            .filter_map(|line| line.trim().split_once(' ').map(|(_, symbol)| short(symbol)))
            .collect();
        if !stack.is_empty() {
            stack.reverse();
            *samples.entry(stack).or_default() += 1;
        }
    }
    samples
}

/// A symbol without the hash of its crate; `;` separates frames.
fn short(symbol: &str) -> String {
    let symbol = symbol.trim().replace(';', ":");
    match symbol.rsplit_once("::h") {
        Some((name, hash)) if hash.len() == 16 && hash.bytes().all(|b| b.is_ascii_hexdigit()) => {
            name.to_owned()
        }
        _ => symbol,
    }
}

fn table(load: &str, title: &str, side: &str, samples: &Samples) -> Section {
    let (mut own, mut within): (BTreeMap<&str, u64>, BTreeMap<&str, u64>) = Default::default();
    for (stack, count) in samples {
        if let Some(leaf) = stack.last() {
            *own.entry(leaf).or_default() += count;
        }
        let mut seen: Vec<&str> = stack.iter().map(String::as_str).collect();
        seen.sort_unstable();
        seen.dedup();
        for function in seen {
            *within.entry(function).or_default() += count;
        }
    }
    let all: u64 = samples.values().sum();
    let percent = |count: u64| count as f64 * 100.0 / all.max(1) as f64;
    let key = match (load, side) {
        ("requests", "server") => "profile_requests_server",
        ("requests", _) => "profile_requests_client",
        ("download", "server") => "profile_download_server",
        ("download", _) => "profile_download_client",
        (_, "server") => "profile_upload_server",
        _ => "profile_upload_client",
    };
    let mut section = Section::new(
        key,
        &format!("Where petit-{side} spends its time: {title}"),
        &format!("{all} samples: the function itself, and it with all that it calls."),
        &["function", "own %", "with callees %"],
    );
    let mut ranked: Vec<(&str, u64)> = own.into_iter().collect();
    ranked.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    for (function, count) in ranked.into_iter().take(MOST) {
        let function_within = within.get(function).copied().unwrap_or_default();
        let name: String = function.chars().take(100).collect();
        section.row([
            Cell::text(name.replace('|', "/")),
            Cell::Number(percent(count), 1),
            Cell::Number(percent(function_within), 1),
        ]);
    }
    section
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stacks_are_folded_from_the_outermost_in() {
        let text = "petit-server \n\t  55a0 inner::h0123456789abcdef\n\t  55b0 outer\n\npetit-server \n\t  55a0 inner::h0123456789abcdef\n\t  55b0 outer\n\n";
        let samples = fold(text);
        assert_eq!(samples, Samples::from([(vec!["outer".to_owned(), "inner".to_owned()], 2)]));
    }
}
