//! What a step needs, made beside the steps before it, which leave the processors idle at times.

use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use crate::run::{Outcome, target};

/// `cargo xtask prepare STEP`, which runs and is the step's own: what it says is kept until the step's turn, and so is
/// whether it failed.
pub(crate) struct Beside {
    runs: Child,
    said: PathBuf,
}

impl Beside {
    /// Starts it. It gets what others leave of the processors and of the disk.
    pub(crate) fn prepare(step: &str) -> Result<Self, String> {
        let this =
            std::env::current_exe().map_err(|error| format!("cannot tell where cargo xtask is: {error}"))?;
        let mut command = Command::new("ionice");
        command.args(["-c", "3", "nice", "-n", "19"]).arg(this).args(["prepare", step]);
        Self::start(command, target()?.join(format!("prepared-{step}.txt")))
    }

    fn start(mut command: Command, said: PathBuf) -> Result<Self, String> {
        let failed = |error: io::Error| format!("{}: {error}", said.display());
        let out = fs::File::create(&said).map_err(failed)?;
        let errors = out.try_clone().map_err(failed)?;
        let runs = command.stdin(Stdio::null()).stdout(out).stderr(errors).spawn();
        Ok(Self { runs: runs.map_err(|error| format!("cannot run {command:?}: {error}"))?, said })
    }

    /// Waits for its end, and hands on what it said.
    pub(crate) fn finish(mut self, out: &mut impl Write) -> Outcome {
        let status =
            self.runs.wait().map_err(|error| format!("cannot wait for what was begun before: {error}"))?;
        let failed = |error: io::Error| format!("{}: {error}", self.said.display());
        out.write_all(&fs::read(&self.said).map_err(failed)?).map_err(failed)?;
        if status.success() { Ok(()) } else { Err(format!("what was begun before ended with {status}")) }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may assert by failing")]

    use super::*;

    #[test]
    fn what_it_said_comes_when_it_is_asked_for_and_a_failure_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let run = |line: &str| {
            let mut shell = Command::new("sh");
            shell.args(["-c", line]);
            let mut out = Vec::new();
            let result = Beside::start(shell, folder.path().join("said")).unwrap().finish(&mut out);
            (result, String::from_utf8(out).unwrap())
        };
        assert_eq!(run("echo one; echo two >&2; echo three"), (Ok(()), "one\ntwo\nthree\n".to_owned()));
        let (result, said) = run("echo no; exit 3");
        assert!(result.unwrap_err().contains("3"));
        assert_eq!(said, "no\n");
    }
}
