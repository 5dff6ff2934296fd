//! The Windows programs, built here and run under Wine.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::run::{Outcome, build_programs, cargo, root, succeed, target};
use crate::setup::{Needed, install};
use crate::watch::watch;

/// The target that links with what Debian has. The maker's own needs files that come from its servers alone.
const TARGET: &str = "x86_64-pc-windows-gnu";

const NEEDED: &[Needed] = &[
    ("x86_64-w64-mingw32-gcc", "gcc-mingw-w64-x86-64", "links programs for Windows, and compiles their C"),
    ("x86_64-w64-mingw32-g++", "g++-mingw-w64-x86-64", "compiles their C++"),
    ("nasm", "nasm", "assembles the cryptography for Windows"),
    ("wine", "wine", "runs programs for Windows"),
];

/// Builds client and server for Windows and runs their tests under Wine. Says how many passed.
pub(crate) fn check() -> Result<String, String> {
    install(NEEDED, &[], "The Windows programs need")?;
    succeed(Command::new("rustup").args(["target", "add", TARGET]))?;
    let programs = build()?;
    let wine = Wine::of_the_tests(&programs)?;
    let mut tests = cargo(&["test", "--locked", "-p", "petit-tests", "--test", "windows"]);
    tests.env("PETIT_PROGRAMS", build_programs()?).env("PETIT_WINDOWS_PROGRAMS", &programs);
    let watched = watch(wine.set(&mut tests))?;
    // What only Windows has, among the unit tests.
    let mut units = for_windows("test", &["petit-windows", "petit-app"]);
    units.args(["--lib", "--", "pipe::", "autostart::"]);
    let units = watch(wine.set(&mut units))?;
    wine.end();
    let all = watched.and(units);
    if all.success { Ok(format!("{} passed under Wine", all.passed)) } else { Err(all.failures()) }
}

/// Builds client and server; returns the folder that they are in.
fn build() -> Result<PathBuf, String> {
    succeed(&mut for_windows("build", &["petit-client", "petit-server"]))?;
    Ok(target()?.join(TARGET).join("debug"))
}

/// `cargo`, for Windows. With flags that are the same each time, so that it builds everything once.
fn for_windows(verb: &str, packages: &[&str]) -> Command {
    let mut command = cargo(&[verb, "--locked", "--target", TARGET]);
    command.args(packages.iter().flat_map(|package| ["-p", package]));
    command.env("CARGO_TARGET_X86_64_PC_WINDOWS_GNU_RUSTFLAGS", "-D warnings");
    command.env("CARGO_TARGET_X86_64_PC_WINDOWS_GNU_RUNNER", "wine");
    command
}

/// A Windows of the tests' own.
struct Wine {
    prefix: PathBuf,
}

impl Wine {
    /// Makes it, once, beside what cargo builds.
    fn of_the_tests(programs: &Path) -> Result<Self, String> {
        let prefix = target()?.join("wine");
        let this = Self { prefix };
        let made = this.prefix.join("made");
        if !made.exists() {
            std::fs::create_dir_all(&this.prefix)
                .map_err(|error| format!("{}: {error}", this.prefix.display()))?;
            println!("Making a Windows for the tests in {}.", this.prefix.display());
            succeed(this.set(Command::new("wineboot").arg("-i")))?;
            succeed(this.set(Command::new("wine").args(["winecfg", "-v", "win10"])))?;
            // With its own server, which writes down what was set when nobody uses it any more.
            succeed(this.set(Command::new("wineserver").arg("-w")))?;
            std::fs::write(&made, "").map_err(|error| format!("{}: {error}", made.display()))?;
        }
        this.fill_gap(programs)?;
        this.begin()?;
        Ok(this)
    }

    /// Starts what Wine runs beside programs. A test's own program would give them its output, and keep it open.
    fn begin(&self) -> Outcome {
        succeed(self.set(Command::new("wineserver").arg("-p")))?;
        let mut boot = Command::new("wineboot");
        succeed(self.set(&mut boot).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()))
    }

    /// Wine 8 lacks the library that Rust's standard library takes randomness from, which every Windows has since 7.
    fn fill_gap(&self, programs: &Path) -> Outcome {
        let source = root().join("tests/windows/bcryptprimitives.c");
        for folder in [programs.to_owned(), programs.join("deps")] {
            let mut compile = Command::new("x86_64-w64-mingw32-gcc");
            compile.args(["-shared", "-Os", "-s"]).arg(&source).arg("-o");
            compile.arg(folder.join("bcryptprimitives.dll")).arg("-ladvapi32");
            succeed(&mut compile)?;
        }
        Ok(())
    }

    fn set<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command.env("WINEPREFIX", &self.prefix).env("WINEARCH", "win64").env("WINEDEBUG", "-all");
        // Without .NET and the browser, which would be asked for.
        command.env("WINEDLLOVERRIDES", "mscoree,mshtml=")
    }

    /// Ends all that runs in it.
    fn end(&self) {
        let _ = self.set(Command::new("wineserver").arg("-k")).status();
    }
}
