//! What takes long and is run by hand: the soak, and the figures of `docs/reliability.md`.

use std::process::Command;

use crate::run::{Outcome, build_programs, cargo, succeed, target};
use crate::setup;
use crate::watch::watch;

/// What goes on for so long.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Soak {
    /// Ordinary life, with the programs as they are shipped.
    Ordinary,
    /// Customers' lines that are full in both directions.
    HomeLine,
}

/// A soak of so many minutes.
pub(crate) fn soak(arguments: &[String]) -> Outcome {
    let (mut kind, mut minutes) = (Soak::Ordinary, 5);
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        match (argument.as_str(), arguments.as_slice().first()) {
            ("--home-line", _) => kind = Soak::HomeLine,
            ("--minutes", Some(number)) => {
                minutes = number.parse::<u64>().map_err(|_| format!("{number:?} is no number of minutes"))?;
                arguments.next();
            }
            _ => return Err("usage: cargo xtask soak [--home-line] [--minutes N]".to_owned()),
        }
    }
    setup::run()?;
    let mut command = match kind {
        Soak::Ordinary => {
            let programs = ["build", "--release", "--locked", "-p", "petit-client", "-p", "petit-server"];
            succeed(&mut cargo(&programs))?;
            let mut command = soaking("petit-soak");
            command.env("PETIT_PROGRAMS", target()?.join("release"));
            command
        }
        Soak::HomeLine => soaking("petit-soak-line"),
    };
    succeed(command.arg(minutes.to_string()))
}

/// One of the programs that do it.
fn soaking(program: &str) -> Command {
    cargo(&["run", "--locked", "--quiet", "-p", "petit-tests", "--bin", program, "--"])
}

/// The tests that measure, one after the other and as often as the figures speak of.
pub(crate) fn figures() -> Outcome {
    setup::run()?;
    let programs = build_programs()?;
    let mut command = cargo(&["test", "--locked", "-p", "petit-tests", "--test", "e2e", "--"]);
    command.args(["network::", "restart::", "crash::", "strangers::", "revoke::", "recover::"]);
    command.arg("--test-threads=1").env("PETIT_LONG", "1").env("PETIT_PROGRAMS", programs);
    let watched = watch(&mut command)?;
    for figure in &watched.figures {
        println!("figure {figure}");
    }
    print!("{}", watched.failures());
    if watched.success { Ok(()) } else { Err("some tests failed".to_owned()) }
}
