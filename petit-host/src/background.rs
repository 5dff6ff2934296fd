//! Starting a program of ours in the background, and knowing that it has started.
//!
//! The parent runs the same executable again with its output on pipes. The child does its start-up, says
//! `ready` on standard output and lets go of the terminal; whatever goes wrong before that it says on standard
//! error, and the parent repeats it. Nothing is polled and nothing is guessed.

use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::process::{Command, ExitStatus, Stdio};

/// What the child says when it is up.
const READY: &str = "ready";

/// Why there is no program in the background now.
#[derive(Debug, thiserror::Error)]
pub enum BackgroundError {
    /// It could not be run at all.
    #[error("cannot run this program in the background")]
    Spawn(#[source] io::Error),
    /// It ended before it was up. What it said is in `output`.
    #[error("it ended at once")]
    Ended {
        status: Option<ExitStatus>,
        /// Its last words.
        output: String,
    },
}

/// Runs this executable with `arguments` in the background and returns its process id when it is up.
///
/// # Errors
/// [`BackgroundError`].
pub fn start(arguments: &[OsString]) -> Result<u32, BackgroundError> {
    let program = std::env::current_exe().map_err(BackgroundError::Spawn)?;
    let mut command = Command::new(program);
    // Without the console of the one who starts it, which would take it along when it is closed.
    #[cfg(windows)]
    {
        const DETACHED_PROCESS: u32 = 0x0000_0008;
        const CREATE_NEW_PROCESS_GROUP: u32 = 0x0000_0200;
        let flags = DETACHED_PROCESS | CREATE_NEW_PROCESS_GROUP;
        std::os::windows::process::CommandExt::creation_flags(&mut command, flags);
        // Whoever reads what we say is not to wait for the end of what runs on.
        petit_windows::streams::keep();
    }
    let mut child = command
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(BackgroundError::Spawn)?;
    let mut line = String::new();
    if let Some(stdout) = child.stdout.take() {
        let _ = BufReader::new(stdout).read_line(&mut line);
    }
    if line.trim_end() == READY {
        return Ok(child.id());
    }
    let mut output = String::new();
    if let Some(stderr) = child.stderr.as_mut() {
        let _ = stderr.take(64 * 1024).read_to_string(&mut output);
    }
    Err(BackgroundError::Ended { status: child.wait().ok(), output })
}

/// In the child: leaves the terminal's session, so that closing the terminal does not end it.
pub fn leave_terminal() {
    #[cfg(unix)]
    let _ = rustix::process::setsid();
}

/// In the child: tells the parent that the program is up.
pub fn ready() {
    let mut stdout = io::stdout();
    let _ = writeln!(stdout, "{READY}");
    let _ = stdout.flush();
}
