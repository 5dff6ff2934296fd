//! What comes out: tables on the terminal, JSON, and the page `docs/benchmarks.md`.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::{Map, Value};

use crate::chart;
use crate::figures::{BARS, Figure};
use crate::process::output;
use crate::rounds::{Measured, Plan};
use crate::section::{Cell, Section};

/// Where this was measured, and how.
pub(crate) struct Setting {
    pub(crate) date: String,
    pub(crate) machine: String,
    pub(crate) commit: String,
    pub(crate) command: String,
}

impl Setting {
    pub(crate) fn look(root: &Path, command: &str) -> Self {
        let date = humantime::format_rfc3339_seconds(std::time::SystemTime::now()).to_string();
        let mut git = Command::new("git");
        let commit =
            output(git.args(["describe", "--always", "--dirty"]).current_dir(root)).unwrap_or_default();
        Self {
            date: date.chars().take(10).collect(),
            machine: machine(),
            commit: commit.trim().to_owned(),
            command: command.to_owned(),
        }
    }
}

/// Its kind, not its name.
fn machine() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let field = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name))?;
        line.split_once(':').map(|(_, value)| value.trim().to_owned())
    };
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let model = field(&read("/proc/cpuinfo"), "model name").unwrap_or_else(|| "unknown processor".to_owned());
    let memory = field(&read("/proc/meminfo"), "MemTotal").unwrap_or_default();
    let memory = memory.split_whitespace().next().and_then(|kib| kib.parse::<f64>().ok()).unwrap_or_default();
    let system = field(&read("/etc/os-release").replace('=', ":"), "PRETTY_NAME").unwrap_or_default();
    let kernel = output(Command::new("uname").arg("-r")).unwrap_or_default();
    // A suffix behind the version says who built it, which says nothing.
    let kernel: String = kernel.chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect();
    let system = system.trim_matches('"');
    format!(
        "{cores} cores ({model}), {:.0} GB of memory, {system}, Linux {kernel}; load, origin and both ends of the \
         tunnel share the cores",
        memory / 1e6
    )
}

/// The side-by-side tables.
pub(crate) fn side_by_side(measured: &[Measured], plan: &Plan) -> Vec<Section> {
    let mut heads = vec!["system"];
    heads.extend(Figure::ALL.map(Figure::head));
    let rounds = plan.rounds;
    let mut figures = Section::new(
        "side_by_side",
        "Side by side",
        &format!(
            "Median of {rounds} round{}. Every system makes the same nginx reachable on the same machine, and all \
             take their turns in each round.",
            if rounds == 1 { "" } else { "s" }
        ),
        &heads,
    );
    for system in measured {
        let cells = Figure::ALL.map(|figure| Cell::number(system.results.of(figure), figure.digits()));
        figures.row(std::iter::once(Cell::text(system.name)).chain(cells));
    }
    let mut sections = vec![figures];
    let find = |name: &str| measured.iter().find(|system| system.name == name);
    if let Some(petit) = find("petit") {
        for (key, reference) in [("ratios_rathole_tls", "rathole-tls"), ("ratios_haproxy", "haproxy")] {
            let Some(other) = find(reference) else { continue };
            let mut ratios = Section::new(
                key,
                &format!("Divided by {reference}"),
                &format!(
                    "The same figures as multiples of {reference}'s, taken within each round; then the median."
                ),
                &heads,
            );
            for system in measured.iter().filter(|system| system.name != reference) {
                let cells =
                    Figure::ALL.map(|figure| Cell::number(system.results.ratio(figure, &other.results), 2));
                ratios.row(std::iter::once(Cell::text(system.name)).chain(cells));
            }
            sections.push(ratios);
        }
        let mut bars = Section::new(
            "bars",
            "What Petit sets out to reach",
            "Each as the median of the rounds' ratios, and the rounds themselves.",
            &["figure", "against", "bar", "ratio", "met", "rounds"],
        );
        for bar in &BARS {
            let Some(other) = find(bar.against) else { continue };
            let Some(ratio) = petit.results.ratio(bar.figure, &other.results) else { continue };
            let (own, others) = (petit.results.rounds(bar.figure), other.results.rounds(bar.figure));
            let each = own.iter().zip(others).map(|(own, other)| format!("{:.2}", own / other));
            bars.row([
                Cell::text(bar.figure.head()),
                Cell::text(bar.against),
                Cell::text(format!("{} {}", bar.sign(), bar.limit)),
                Cell::Number(ratio, 2),
                Cell::text(if bar.is_met(ratio) { "yes" } else { "no" }),
                Cell::text(each.collect::<Vec<_>>().join(" ")),
            ]);
        }
        sections.push(bars);
    }
    sections
}

/// The tables of another run, each with its version in the title.
pub(crate) fn of_another_run(path: &Path) -> Result<Vec<Section>> {
    let json: Value = serde_json::from_str(&fs::read_to_string(path)?)?;
    let told = |name: &str| json.get(name).and_then(Value::as_str).with_context(|| format!("no {name}"));
    let (commit, date) = (told("commit")?, told("date")?);
    let tables = json.get("tables").and_then(Value::as_object).context("no tables")?;
    let sections = tables.iter().map(|(key, table)| {
        let mut section = Section::from_json(key, table)?;
        section.title = format!("{} (version `{commit}`, {date})", section.title);
        Ok(section)
    });
    sections.collect()
}

/// Everything as JSON.
pub(crate) fn to_json(setting: &Setting, measured: &[Measured], sections: &[Section]) -> Value {
    let mut systems = Map::new();
    for system in measured {
        let mut figures = Map::new();
        for figure in Figure::ALL {
            figures.insert(figure.key().to_owned(), system.results.rounds(figure).into());
        }
        systems.insert(system.name.to_owned(), figures.into());
    }
    let tables: Map<String, Value> =
        sections.iter().map(|section| (section.key.clone(), section.to_json())).collect();
    serde_json::json!({
        "date": setting.date,
        "machine": setting.machine,
        "commit": setting.commit,
        "command": setting.command,
        "rounds": systems,
        "tables": tables,
    })
}

/// Writes the page and its chart.
pub(crate) fn write(
    docs: &Path,
    setting: &Setting,
    measured: &[Measured],
    sections: &[Section],
) -> Result<()> {
    let Setting { date, machine, commit, command } = setting;
    let mut page = format!(
        "# Benchmarks\n\n\
         How fast Petit is, what it costs, and how that grows: measured beside other ways to make a service behind a \
         firewall reachable. Written by the bench itself; do not edit.\n\n\
         - **Machine**: {machine}\n- **Date**: {date}\n- **Version**: `{commit}`\n- **Command**: `{command}`\n\n\
         Trust ratios more than figures: they are taken within one round, so what disturbed the machine disturbed \
         both. Identical code differs by 10 % from run to run. CPU time per request is the steadiest figure.\n\n"
    );
    if !measured.is_empty() {
        page.push_str("![The main figures as bars](benchmarks.svg)\n\n");
    }
    for section in sections {
        page.push_str(&section.to_markdown());
        if section.key == "side_by_side" {
            for system in measured {
                page.push_str(&format!("- **{}**: {}\n", system.name, system.what));
            }
            page.push_str("\n| column | what it says |\n| --- | --- |\n");
            for figure in Figure::ALL {
                page.push_str(&format!("| {} | {} |\n", figure.head(), figure.means()));
            }
            page.push('\n');
        }
    }
    let write = |name: &str, text: &str| {
        let path = docs.join(name);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
    };
    write("benchmarks.md", &format!("{}\n", page.trim_end()))?;
    if measured.is_empty() { Ok(()) } else { write("benchmarks.svg", &chart::draw(measured)) }
}
