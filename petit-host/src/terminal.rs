//! What only people at a terminal get: colour, and a question before something is gone for good.

use std::io::{self, IsTerminal, Write};

use crate::cli::Failure;
use crate::exit::ExitCode;

/// When somebody is asked before something is done that cannot be undone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// Never: it was said beforehand (`--yes`).
    Never,
    /// On a terminal. Where there is none, a script knows what it does: for commands of the original alone.
    OnTerminal,
    /// Always; where nobody can be asked, it has to be said beforehand.
    Always,
}

impl Ask {
    /// As usual, unless `yes` was said beforehand.
    #[must_use]
    pub fn unless(self, yes: bool) -> Self {
        if yes { Self::Never } else { self }
    }
}

/// Asks whether to go on with `what`, a sentence without its full stop.
///
/// # Errors
/// [`ExitCode::Failed`] when the answer is not `yes`; [`ExitCode::Usage`] when somebody has to be asked and cannot be.
pub fn confirm(ask: Ask, json: bool, what: &str) -> Result<(), Failure> {
    let can_ask = !json && io::stdin().is_terminal();
    match (ask, can_ask) {
        (Ask::Never, _) | (Ask::OnTerminal, false) => return Ok(()),
        (Ask::Always, false) => {
            let problem = format!("{what}, and there is no terminal to ask on");
            return Err(Failure::new(ExitCode::Usage, problem).hint("if that is what you want, add --yes"));
        }
        (Ask::OnTerminal | Ask::Always, true) => {}
    }
    let mut out = io::stdout();
    let _ = write!(out, "{}. Type yes to go on: ", capitalised(what)).and_then(|()| out.flush());
    let mut line = String::new();
    let _ = io::stdin().read_line(&mut line);
    if line.trim() == "yes" { Ok(()) } else { Err(Failure::new(ExitCode::Failed, "nothing was changed")) }
}

fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// A text with its marks in colour, where colour is seen and wanted: on a terminal that is not `dumb`, unless
/// `NO_COLOR` is set (<https://no-color.org>).
pub fn coloured(text: &str) -> String {
    let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let is_dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
    // The console of Windows would have to be switched first.
    if cfg!(windows) || is_set("NO_COLOR") || is_dumb || !io::stdout().is_terminal() {
        return text.to_owned();
    }
    text.split_inclusive('\n').map(colour_mark).collect()
}

const GREEN: &str = "\x1b[32m";
const YELLOW: &str = "\x1b[33m";
const RED: &str = "\x1b[31m";
const PLAIN: &str = "\x1b[0m";

/// The mark that a line begins with says how something is, and has the colour of that.
fn colour_mark(line: &str) -> String {
    let rest = line.trim_start_matches(' ');
    let (indent, _) = line.split_at(line.len() - rest.len());
    let Some((mark, after)) = rest.split_once(' ') else { return line.to_owned() };
    let colour = match mark {
        "✔" | "+" => GREEN,
        "◐" | "…" | "?" | "/" => YELLOW,
        "✘" | "-" => RED,
        _ => return line.to_owned(),
    };
    format!("{indent}{colour}{mark}{PLAIN} {after}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_have_colour_and_nothing_else_has() {
        assert_eq!(colour_mark("✔ web  localhost:3000\n"), "\x1b[32m✔\x1b[0m web  localhost:3000\n");
        assert_eq!(colour_mark("  ✘ tunnel\n"), "  \x1b[31m✘\x1b[0m tunnel\n");
        for plain in ["Connected to x\n", "a ✔ b\n", "\n", "✔\n", "-f follows\n"] {
            assert_eq!(colour_mark(plain), plain);
        }
    }

    #[test]
    fn whoever_has_said_yes_is_not_asked() {
        assert_eq!(Ask::Always.unless(true), Ask::Never);
        assert_eq!(Ask::OnTerminal.unless(false), Ask::OnTerminal);
        assert!(confirm(Ask::Never, false, "this is done").is_ok());
        assert!(confirm(Ask::OnTerminal, true, "this is done").is_ok());
        assert_eq!(confirm(Ask::Always, true, "this is done").unwrap_err().exit, ExitCode::Usage);
    }
}
