//! Instruction counts of the pure parts, by callgrind.
//!
//! `petit-counts` does one thing so many times, in a function that callgrind counts alone. It is run twice, with
//! different numbers, and the difference is what the repetitions cost: buffers that grow once and the end cancel
//! out. Times and caches play no part, so a change of one in a hundred is a change of the code.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::process::output;
use crate::section::{Cell, Section};

/// Counts everything that `petit-counts` knows.
pub(crate) fn run(work: &Path) -> Result<Section> {
    std::fs::create_dir_all(work).context("cannot make a folder")?;
    let program = std::env::current_exe().context("where are we?")?.with_file_name("petit-counts");
    let names = output(Command::new(&program).arg("list"))?;
    let mut section = Section::new(
        "counts",
        "Instructions",
        "User-space instructions for one of each, counted by callgrind (`cargo xtask bench --counts`). They depend \
         on the compiler and the processor's features, not on what else the machine does: compare them from commit \
         to commit. A large copy counts about one for each byte, because it is one instruction that repeats itself.",
        &["what", "instructions"],
    );
    for line in names.lines() {
        let (name, what) = line.split_once('\t').context("a name and what it is")?;
        eprintln!("counting: {name}");
        let (few, many) = (200, 1200);
        let difference = count(&program, work, name, many)?.saturating_sub(count(&program, work, name, few)?);
        section.row([Cell::text(what), Cell::Number(difference as f64 / f64::from(many - few), 0)]);
    }
    Ok(section)
}

/// All instructions of one run.
fn count(program: &Path, work: &Path, name: &str, times: u32) -> Result<u64> {
    let out = work.join(format!("callgrind.{name}"));
    let mut valgrind = Command::new("valgrind");
    valgrind
        .args(["--tool=callgrind", "--error-exitcode=0"])
        .arg(format!("--callgrind-out-file={}", out.display()));
    output(valgrind.arg(program).arg(name).arg(times.to_string()))?;
    let text = std::fs::read_to_string(&out).context("callgrind wrote nothing")?;
    let total =
        text.lines().find_map(|line| line.strip_prefix("totals: ").or(line.strip_prefix("summary: ")));
    let total =
        total.and_then(|total| total.split_whitespace().next()).context("callgrind counted nothing")?;
    total.parse().context("callgrind's count")
}
