//! The command line as clap reads it, and what is said of one that cannot be used.

use std::path::Path;

use clap::{ArgMatches, CommandFactory, Parser};

use super::{ERROR, Failure, fail_as, print};
use crate::exit::ExitCode;

/// How a command line is spoken of in another language than clap's and ours.
pub struct Wording<'a> {
    /// What stands before a failure.
    pub error: String,
    /// What is said of an invite that stands on the command line.
    pub invite: Failure,
    /// What is said in place of what clap says; `None` leaves that.
    pub usage: &'a dyn Fn(&clap::Error) -> Option<Failure>,
}

impl Wording<'_> {
    /// English, as clap has it.
    pub fn english() -> Self {
        let invite = Failure::new(
            ExitCode::Usage,
            "an invite must not stand on the command line: other users can see it there, and the shell keeps it",
        )
        .hint("type only: petit-client register, and paste it when asked; or use --invite-file");
        Self { error: ERROR.to_owned(), invite, usage: &|_| None }
    }
}

/// Reads the command line. Ends the process for `--help`, `--version` and what is not understood; the last with
/// JSON when that was asked for.
///
/// An argument that holds an invite is refused without repeating it: other users can see a command line, and the
/// shell keeps it.
pub fn arguments<T: Parser>() -> T {
    arguments_of(T::command(), &Wording::english())
}

/// As [`arguments`], with a command line whose texts are in another language. What is said with JSON is English.
pub fn arguments_of<T: Parser>(mut command: clap::Command, wording: &Wording<'_>) -> T {
    let given: Vec<std::ffi::OsString> = std::env::args_os().collect();
    let json = given.iter().any(|argument| argument == "--json");
    let end = |failure: &Failure| -> ! {
        let _ = fail_as(&wording.error, json, failure);
        std::process::exit(ExitCode::Usage as i32);
    };
    let holds_invite = |argument: &std::ffi::OsString| argument.to_string_lossy().contains("#v1.");
    if given.iter().any(holds_invite) {
        let english = Wording::english();
        end(if json { &english.invite } else { &wording.invite });
    }
    let of = |found: ArgMatches| T::from_arg_matches(&found);
    let parsed = command.try_get_matches_from_mut(given).and_then(of);
    parsed.unwrap_or_else(|error| {
        if json && error.use_stderr() {
            let text = error.render().to_string();
            let text = text.trim().trim_start_matches("error: ");
            let (message, rest) = text.split_once("\n\n").unwrap_or((text, ""));
            end(&Failure::new(ExitCode::Usage, message).hint(rest.replace('\n', " ")));
        }
        if let Some(failure) = (wording.usage)(&error) {
            end(&failure);
        }
        let _ = error.print();
        std::process::exit(error.exit_code());
    })
}

/// Writes the manual pages of a program into a folder, one for each command.
///
/// # Errors
/// [`Failure`] when they cannot be written.
pub fn manual<T: CommandFactory>(folder: &Path) -> Result<(), Failure> {
    clap_mangen::generate_to(T::command(), folder).map_err(|error| {
        let problem = format!("cannot write manual pages into {}: {error}", folder.display());
        Failure::new(ExitCode::Failed, problem)
    })
}

/// Prints the completions of a program for a shell.
pub fn completions<T: CommandFactory>(shell: clap_complete::Shell, program: &str) {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut T::command(), program, &mut text);
    print(&String::from_utf8_lossy(&text));
}
