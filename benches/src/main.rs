//! `cargo xtask bench`: Petit beside other ways to make a private service reachable.
//!
//! [`systems`] says how each is set up, in front of the one origin of [`place`]; [`load`] what visitors do;
//! [`rounds`] puts them side by side. [`pipe`], [`scale`] and [`client`] look at Petit alone: over lines that are
//! no cable, with many of everything, and on the laptop that the client runs on. [`counts`] counts instructions,
//! which do not depend on the machine's mood. [`report`] writes it all down.
//!
//! A benchmark, never a test: it judges nothing but prints what was reached beside what was to be.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a tool for people")]

mod chart;
mod client;
mod counts;
mod figures;
mod fleet;
mod ladder;
mod load;
mod petit;
mod pipe;
mod place;
mod process;
mod profile;
mod report;
mod rounds;
mod scale;
mod section;
mod systems;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;

use crate::place::Place;
use crate::report::Setting;
use crate::rounds::Plan;
use crate::section::Section;

/// Parts other than the systems side by side.
const PARTS: [&str; 7] = ["pipe", "slow", "scale", "ladder", "client", "counts", "peers"];

#[derive(Parser)]
#[command(
    name = "cargo xtask bench",
    override_usage = "cargo xtask bench [OPTIONS]",
    about = "Measures Petit beside other ways to make a service reachable"
)]
struct Cli {
    /// Rounds of the side-by-side part
    #[arg(long, value_name = "N")]
    rounds: Option<usize>,
    /// Everything that matters from day to day, in less than three minutes
    #[arg(long)]
    quick: bool,
    /// Only these systems and parts. Systems: petit, rathole-tls, rathole-tcp, ssh-R, haproxy, direct; parts: peers
    /// (all systems side by side), pipe, slow, scale, ladder, client, counts
    #[arg(long, value_name = "A,B", value_delimiter = ',')]
    only: Vec<String>,
    /// Only the instruction counts
    #[arg(long)]
    counts: bool,
    /// Only where the CPU time goes: profiles of server and client, by perf
    #[arg(long)]
    profile: bool,
    /// Write everything there as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Tables of another run, as its --json wrote them, behind those of this one; may be repeated
    #[arg(long, value_name = "FILE")]
    with: Vec<PathBuf>,
    /// Write docs/benchmarks.md and docs/benchmarks.svg
    #[arg(long)]
    docs: bool,
    /// A line for the server part of Petit's config; may be repeated
    #[arg(long, value_name = "LINE")]
    config: Vec<String>,
    /// Programs of another build of Petit, measured beside as petit-beside
    #[arg(long, value_name = "DIR")]
    beside: Option<PathBuf>,
    /// A line for the server part of petit-beside's config; may be repeated
    #[arg(long, value_name = "LINE")]
    beside_config: Vec<String>,

    // What cargo xtask says of itself.
    #[arg(long, hide = true)]
    root: PathBuf,
    #[arg(long, hide = true)]
    programs: PathBuf,
    #[arg(long, hide = true)]
    peers_dir: PathBuf,
    #[arg(long, hide = true)]
    work: PathBuf,
}

impl Cli {
    fn wants(&self, part: &str) -> bool {
        if self.counts || self.profile {
            return (self.counts && part == "counts") || (self.profile && part == "profile");
        }
        // Counting takes a minute by itself, and the ladder a quarter of an hour.
        if self.only.is_empty() {
            !(self.quick && ["counts", "ladder"].contains(&part))
        } else {
            self.only.iter().any(|it| it == part)
        }
    }

    fn plan(&self) -> Plan {
        let quick = ["petit", "petit-beside", "rathole-tls", "haproxy", "direct"];
        let named: Vec<String> =
            self.only.iter().filter(|it| !PARTS.contains(&it.as_str())).cloned().collect();
        let only = match (named.is_empty(), self.quick) {
            (true, true) => quick.map(str::to_owned).to_vec(),
            _ => named,
        };
        let rounds = self.rounds.unwrap_or(if self.quick { 1 } else { 5 });
        Plan { rounds, seconds: if self.quick { 2 } else { 4 }, only }
    }

    /// What a person would type to get the same.
    fn command(&self) -> String {
        let mut words: Vec<String> = vec!["cargo xtask bench".to_owned()];
        words.extend(self.rounds.map(|rounds| format!("--rounds {rounds}")));
        words.extend(self.quick.then(|| "--quick".to_owned()));
        words.extend((!self.only.is_empty()).then(|| format!("--only {}", self.only.join(","))));
        words.extend(self.config.iter().map(|line| format!("--config '{line}'")));
        // Its folder means nothing elsewhere.
        let names = self.with.iter().filter_map(|path| path.file_name());
        words.extend(names.map(|name| format!("--with {}", name.display())));
        words.extend(self.docs.then(|| "--docs".to_owned()));
        words.join(" ")
    }
}

fn main() -> ExitCode {
    match run(&Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: &Cli) -> Result<()> {
    raise_open_files();
    let plan = cli.plan();
    let named = cli.only.iter().any(|it| !PARTS.contains(&it.as_str()));
    let mut measured = Vec::new();
    let mut sections: Vec<Section> = Vec::new();
    if cli.profile || PARTS.iter().any(|part| *part != "counts" && cli.wants(part)) || named {
        let config = lines(&cli.config);
        let beside = match (&cli.beside, cli.beside_config.is_empty()) {
            (None, true) => None,
            (dir, _) => {
                let programs = dir.clone().unwrap_or_else(|| cli.programs.clone());
                Some((programs, format!("{config}{}", lines(&cli.beside_config))))
            }
        };
        let place =
            Place::new(cli.programs.clone(), config, beside, cli.peers_dir.clone(), cli.work.clone())?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .context("cannot start the proxies")?;
        if cli.wants("peers") || named {
            measured = rounds::run(&place, &plan);
            sections.extend(report::side_by_side(&measured, &plan));
        }
        // A part that fails is said to have failed and takes no other with it.
        let mut part = |name: &str, run: &dyn Fn() -> Result<Vec<Section>>| {
            if cli.wants(name) {
                eprintln!("{name} …");
                match run() {
                    Ok(found) => sections.extend(found),
                    Err(error) => eprintln!("{name} was not measured: {error:#}"),
                }
            }
        };
        part("pipe", &|| Ok(vec![pipe::long(&place, &runtime, cli.quick)?]));
        part("slow", &|| Ok(vec![pipe::slow(&place, &runtime, cli.quick)?]));
        part("scale", &|| scale::run(&place, &runtime, cli.quick));
        part("ladder", &|| ladder::run(&place, &runtime, cli.quick));
        part("client", &|| Ok(vec![client::run(&place, cli.quick)?]));
        if cli.profile {
            part("profile", &|| profile::run(&place, cli.quick));
        }
    }
    if cli.wants("counts") {
        sections.push(counts::run(&cli.work)?);
    }
    for path in &cli.with {
        sections.extend(report::of_another_run(path).with_context(|| path.display().to_string())?);
    }
    for section in &sections {
        print!("{}", section.to_text());
    }
    let setting = Setting::look(&cli.root, &cli.command());
    if let Some(path) = &cli.json {
        let json = serde_json::to_string_pretty(&report::to_json(&setting, &measured, &sections))?;
        std::fs::write(path, json).with_context(|| format!("cannot write {}", path.display()))?;
    }
    if cli.docs {
        report::write(&cli.root.join("docs"), &setting, &measured, &sections)?;
    }
    Ok(())
}

fn lines(lines: &[String]) -> String {
    lines.iter().map(|line| format!("{line}\n")).collect()
}

/// A hundred thousand visitors need as many descriptors, here and in the server that is started from here.
fn raise_open_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let many = Some(500_000.max(limit.maximum.unwrap_or(u64::MAX)));
    if setrlimit(Resource::Nofile, Rlimit { current: many, maximum: many }).is_ok() {
        return; // only root may go beyond the limit
    }
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}
