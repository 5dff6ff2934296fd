//! Everything that has to be right before a change lands.

use std::io::stdout;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::run::{Outcome, build_all, cargo, succeed, target};
use crate::watch::{Watched, watch};
use crate::{
    arm64, beside::Beside, circles, conformance, dependencies, dist, image, macos, minimum, old, page, setup,
    systemd, windows,
};

/// What a step came to.
struct Step {
    name: &'static str,
    took: Duration,
    result: Result<String, String>,
}

/// Which of the steps are wanted.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Wanted<'a> {
    /// Everything that CI checks.
    Usual,
    /// The same, and what takes longer than anybody wants to wait for each change.
    All,
    /// What takes a minute or two once all is built, and needs nothing that is not there.
    Quick,
    /// The step of this name.
    Step(&'a str),
}

impl<'a> Wanted<'a> {
    pub(crate) fn parse(arguments: &'a [String]) -> Option<Self> {
        match arguments {
            [] => Some(Self::Usual),
            [all] if all == "--all" => Some(Self::All),
            [quick] if quick == "--quick" => Some(Self::Quick),
            [step] if !step.starts_with('-') => Some(Self::Step(step)),
            _ => None,
        }
    }

    /// Whether the steps run one after the other, so that one can be prepared beside another.
    fn is_all_of_ci(self) -> bool {
        matches!(self, Self::Usual | Self::All)
    }

    fn includes(self, step: &str) -> bool {
        match self {
            Self::Usual => step != UNITS && !LONG.contains(&step),
            Self::All => step != UNITS,
            Self::Quick => ["formatting", "circles", "lints", UNITS].contains(&step),
            Self::Step(name) => name == step,
        }
    }
}

/// The steps of [`Wanted::All`] alone.
const LONG: [&str; 5] = ["old", "minimum", "macos", "image", "arm64"];
/// The step that is part of the tests otherwise.
const UNITS: &str = "units";

/// What cargo runs for it.
const UNIT_TESTS: [&str; 6] = ["test", "--workspace", "--locked", "--no-fail-fast", "--lib", "--bins"];

/// Builds the programs and the tests; returns the folder of the programs.
pub(crate) fn prepare() -> Result<PathBuf, String> {
    let programs = build_all()?;
    succeed(&mut cargo(&["test", "--workspace", "--locked", "--no-run"]))?;
    Ok(programs)
}

/// Runs every check that is wanted, also when one has failed, and sums up.
pub(crate) fn run(wanted: Wanted<'_>) -> Outcome {
    let start = Instant::now();
    if wanted != Wanted::Quick {
        setup::run()?;
    }
    if wanted.is_all_of_ci() {
        windows::install_needed()?;
    }
    // Each is made while the steps before its own leave the processors idle.
    let (mut prepared_tests, mut prepared_windows) = (None, None);
    let mut steps = Vec::new();
    let mut figures = Vec::new();
    let mut failures = String::new();
    let mut step = |name: &'static str, check: &mut dyn FnMut() -> Result<String, String>| {
        if !wanted.includes(name) {
            return;
        }
        println!("\n=== {name}");
        let begin = Instant::now();
        let result = check();
        if let Err(problem) = &result {
            eprintln!("{problem}");
        }
        steps.push(Step { name, took: begin.elapsed(), result });
    };
    step("formatting", &mut || succeed(&mut cargo(&["fmt", "--all", "--check"])).map(|()| String::new()));
    step("circles", &mut circles::check);
    step("dependencies", &mut dependencies::check);
    step("lints", &mut lints);
    step("documentation", &mut documentation);
    step("page", &mut || {
        prepared_tests = wanted.is_all_of_ci().then(|| Beside::prepare("tests")).transpose()?;
        let page = page::run()?;
        failures.push_str(&page.failures);
        if page.success {
            Ok(format!("{} passed", page.passed))
        } else {
            Err("the page's suite failed".to_owned())
        }
    });
    step("tests", &mut || {
        if let Some(prepared) = prepared_tests.take() {
            prepared.finish(&mut stdout())?;
        }
        let programs = prepare()?;
        let package = dist::tray(&programs, &target()?.join("dist"))?;
        conformance::forget()?;
        let fast = fast_tests(&programs, &package)?;
        prepared_windows = wanted.is_all_of_ci().then(|| Beside::prepare("windows")).transpose()?;
        let watched = fast.and(tests(&programs, &package)?);
        figures.extend(watched.figures.iter().cloned());
        failures.push_str(&watched.failures());
        if watched.success {
            Ok(format!("{} passed", watched.passed))
        } else {
            Err("tests failed".to_owned())
        }
    });

    step("conformance", &mut conformance::check);
    step("systemd", &mut systemd::check);
    step("windows", &mut || windows::check(prepared_windows.take()));
    step("old", &mut old::check);
    step("minimum", &mut minimum::check);
    step("macos", &mut macos::check);
    step("image", &mut image::check);
    step("arm64", &mut arm64::check);
    step(UNITS, &mut || {
        let watched = watch(&mut cargo(&UNIT_TESTS))?;
        failures.push_str(&watched.failures());
        if watched.success {
            Ok(format!("{} passed", watched.passed))
        } else {
            Err("tests failed".to_owned())
        }
    });

    if steps.is_empty() {
        return Err("there is no step of that name; cargo xtask help lists them".to_owned());
    }
    sum_up(&steps, &figures, start.elapsed());
    print!("{failures}");
    let failed = steps.iter().filter(|step| step.result.is_err()).count();
    if failed == 0 { Ok(()) } else { Err(format!("{failed} of {} steps failed", steps.len())) }
}

fn lints() -> Result<String, String> {
    let arguments = ["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"];
    succeed(&mut cargo(&arguments)).map(|()| String::new())
}

fn documentation() -> Result<String, String> {
    let mut command = cargo(&["doc", "--workspace", "--no-deps", "--locked", "--quiet"]);
    succeed(command.env("RUSTDOCFLAGS", "-D warnings")).map(|()| String::new())
}

/// Says what each step came to.
fn sum_up(steps: &[Step], figures: &[String], took: Duration) {
    println!("\n=== summary");
    for Step { name, took, result } in steps {
        let (mark, said) = match result {
            Ok(said) => ("ok    ", said.as_str()),
            Err(_) => ("FAILED", "see above"),
        };
        println!("{mark} {name:<14} {:>5} s  {said}", took.as_secs());
    }
    for figure in figures {
        println!("figure {figure}");
    }
    println!("       in all         {:>5} s", took.as_secs());
}

/// Tests that wait far more than they work: on a customer's line each of them takes longer than the limits that it
/// waits for.
const WAITING: &str = "home_line::";
/// Those among them that need a line to be as fast as it says, one after the other.
const FAST: &str = "home_line::shares::";

/// Tests of clients that take their time by design, such as half a minute before they ask a server for a release: together
/// they wait for a quarter of an hour (measured: 1,170 of the 2,760 s that all tests of programs take one after the other).
const PATIENT: [&str; 3] = ["updates::tray::", "updates::automatic::", "traffic::idle::"];

/// How many tests of programs run side by side. One after the other they take 448 s of a processor in 2,760 s; they
/// measure times as well, so not as many as would fit.
const OF_PROGRAMS: &str = "--test-threads=3";

/// Runs all tests but those that need a fast line: those that only wait side by side, those of programs a few at a time,
/// the others as many as there are processors.
fn tests(programs: &Path, package: &Path) -> Result<Watched, String> {
    let run = |which: &[&str], more: &[&str]| some_tests(programs, package, &[which, more].concat());
    let apart: Vec<&str> = [WAITING].into_iter().chain(PATIENT).flat_map(|name| ["--skip", name]).collect();
    let (e2e, others) = (["--test", "e2e", "--"], ["--lib", "--bins", "--test", "desktop", "--"]);
    let watched = run(&others, &apart)?
        .and(run(&["--doc"], &[])?)
        .and(run(&e2e, &[&[OF_PROGRAMS], &apart[..]].concat())?)
        .and(run(&e2e, &[&["--test-threads=16"], &PATIENT[..]].concat())?);
    let waiting = ["--lib", "--test", "e2e", "--", WAITING, "--skip", FAST, "--test-threads=64"];
    Ok(watched.and(run(&waiting, &[])?))
}

/// Runs those that need a line to be as fast as it says, which nothing else may slow down.
fn fast_tests(programs: &Path, package: &Path) -> Result<Watched, String> {
    some_tests(programs, package, &["--lib", "--test", "e2e", "--", FAST, "--test-threads=1"])
}

fn some_tests(programs: &Path, package: &Path, which: &[&str]) -> Result<Watched, String> {
    // The whole workspace each time: with fewer packages cargo would build them anew, with fewer features.
    let mut command = cargo(&["test", "--workspace", "--locked", "--no-fail-fast"]);
    watch(command.args(which).env("PETIT_PROGRAMS", programs).env("PETIT_PACKAGE", package))
}
