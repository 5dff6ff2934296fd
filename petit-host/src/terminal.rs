//! What only people at a terminal get: a question before something is gone for good.

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

/// The words of a question, so that it can be asked in any language.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// What is said where somebody has to be asked and cannot be.
    pub no_terminal: &'a str,
    /// What to do about that.
    pub add_yes: &'a str,
    /// What is asked.
    pub prompt: &'a str,
    /// The answer that means yes.
    pub yes: &'a str,
    /// What is said after any other answer.
    pub nothing_changed: &'a str,
}

/// Asks in English whether to go on with `what`, a sentence without its full stop.
///
/// # Errors
/// As [`confirm_in`].
pub fn confirm(ask: Ask, json: bool, what: &str) -> Result<(), Failure> {
    let question = Question {
        no_terminal: &format!("{what}, and there is no terminal to ask on"),
        add_yes: "if that is what you want, add --yes",
        prompt: &format!("{}. Type yes to go on: ", capitalised(what)),
        yes: "yes",
        nothing_changed: "nothing was changed",
    };
    confirm_in(&question, ask, json)
}

/// Asks whether to go on.
///
/// # Errors
/// [`ExitCode::Failed`] when the answer is not yes; [`ExitCode::Usage`] when somebody has to be asked and cannot be.
pub fn confirm_in(question: &Question<'_>, ask: Ask, json: bool) -> Result<(), Failure> {
    let can_ask = !json && io::stdin().is_terminal();
    match (ask, can_ask) {
        (Ask::Never, _) | (Ask::OnTerminal, false) => return Ok(()),
        (Ask::Always, false) => {
            return Err(Failure::new(ExitCode::Usage, question.no_terminal).hint(question.add_yes));
        }
        (Ask::OnTerminal | Ask::Always, true) => {}
    }
    let mut out = io::stdout();
    let _ = out.write_all(question.prompt.as_bytes()).and_then(|()| out.flush());
    let mut line = String::new();
    let _ = io::stdin().read_line(&mut line);
    if line.trim() == question.yes {
        Ok(())
    } else {
        Err(Failure::new(ExitCode::Failed, question.nothing_changed))
    }
}

fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_has_said_yes_is_not_asked() {
        assert_eq!(Ask::Always.unless(true), Ask::Never);
        assert_eq!(Ask::OnTerminal.unless(false), Ask::OnTerminal);
        assert!(confirm(Ask::Never, false, "this is done").is_ok());
        assert!(confirm(Ask::OnTerminal, true, "this is done").is_ok());
        assert_eq!(confirm(Ask::Always, true, "this is done").unwrap_err().exit, ExitCode::Usage);
    }
}
