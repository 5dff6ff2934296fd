//! What the client costs the laptop that it runs on.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::figures::median;
use crate::petit::{DialVia, Petit};
use crate::pipe::at_most;
use crate::place::Place;
use crate::process::{cpu_exact, memory, output, resident};
use crate::section::{Cell, Section};

pub(crate) fn run(place: &Place, quick: bool) -> Result<Section> {
    let dir = place.dir("petit-client")?;
    let petit = Petit::new(&place.programs, &dir, &place.server_config)?;
    let mut running = petit.start(place.origin.plain, &DialVia::Straight)?;
    running.front.until_answers()?;

    let mut starts = Vec::new();
    for _ in 0..if quick { 3 } else { 9 } {
        running.processes.stop_last();
        let begin = Instant::now();
        running.client = running.processes.start_ready(&mut petit.client(&["run", "--background"]))?;
        while running.front.fresh().is_err() {
            std::thread::sleep(Duration::from_millis(1));
        }
        starts.push(begin.elapsed().as_secs_f64() * 1e3);
    }
    let start = median(&starts).context("no start was timed")?;

    let idle = Duration::from_secs(if quick { 15 } else { 60 });
    // What belongs to the start is over by then.
    std::thread::sleep(Duration::from_secs(3));
    let before = cpu_exact(running.client);
    std::thread::sleep(idle);
    let used = cpu_exact(running.client).saturating_sub(before);
    let percent = used.as_secs_f64() * 100.0 / idle.as_secs_f64();

    let mut section = Section::new(
        "client",
        "What the client costs",
        &format!(
            "`petit-client` with one registered service that nobody visits, over {} seconds. A start is timed from \
             before the process exists until a visitor's request has been answered through the tunnel; median of {}.",
            idle.as_secs(),
            starts.len()
        ),
        &["figure", "Petit", "bar", "met"],
    );
    at_most(&mut section, "resident memory, MB", resident(running.client).context("no client")?, 10.0);
    let own = memory(&[running.client]);
    section.row([
        Cell::text("its share of that (PSS), MB"),
        Cell::Number(own, 1),
        Cell::Nothing,
        Cell::Nothing,
    ]);
    at_most(&mut section, "CPU, % of one core", percent, 0.1);
    at_most(&mut section, "start to first answer, ms", start, 300.0);
    for program in ["petit-client", "petit-server"] {
        let size = size(&place.programs.join(program), &dir)?;
        section.row([
            Cell::text(format!("size of {program}, MB")),
            Cell::Number(size, 1),
            Cell::Nothing,
            Cell::Nothing,
        ]);
    }
    Ok(section)
}

/// The size of a program as it is released: without the lines that the profile of the bench adds.
fn size(program: &Path, dir: &Path) -> Result<f64> {
    let stripped = dir.join("stripped");
    output(Command::new("strip").arg("--strip-debug").arg("-o").arg(&stripped).arg(program))?;
    let size = std::fs::metadata(&stripped).context("cannot look at the program")?.len();
    Ok(size as f64 / 1e6)
}
