//! What takes long and is run by hand: the soak, and the figures of `docs/reliability.md`.

use crate::Outcome;
use crate::run::{build_programs, cargo, succeed, target};
use crate::setup;
use crate::watch::watch;

/// Ordinary life for so many minutes, with the programs as they are shipped.
pub(crate) fn soak(arguments: &[String]) -> Outcome {
    let minutes = match arguments {
        [] => 5,
        [flag, minutes] if flag == "--minutes" => {
            minutes.parse::<u64>().map_err(|_| format!("{minutes:?} is no number of minutes"))?
        }
        _ => return Err("usage: cargo xtask soak [--minutes N]".to_owned()),
    };
    setup::run()?;
    succeed(&mut cargo(&["build", "--release", "--locked", "-p", "petit-client", "-p", "petit-server"]))?;
    let mut command =
        cargo(&["run", "--locked", "--quiet", "-p", "petit-tests", "--bin", "petit-soak", "--"]);
    let release = target()?.join("release");
    succeed(command.arg(minutes.to_string()).env("PETIT_PROGRAMS", release))
}

/// The tests that measure, one after the other and as often as the figures speak of.
pub(crate) fn figures() -> Outcome {
    setup::run()?;
    let programs = build_programs()?;
    let mut command = cargo(&["test", "--locked", "-p", "petit-tests", "--test", "e2e", "--"]);
    command.args(["network::", "crash::", "strangers::", "revoke::", "recover::"]);
    command.arg("--test-threads=1").env("PETIT_LONG", "1").env("PETIT_PROGRAMS", programs);
    let watched = watch(&mut command)?;
    for figure in &watched.figures {
        println!("figure {figure}");
    }
    print!("{}", watched.failures());
    if watched.success { Ok(()) } else { Err("some tests failed".to_owned()) }
}
