//! What is said of a command line that cannot be used, in German: clap says it in English alone. By the kind of error that
//! clap has found, and what it is about.

use std::collections::BTreeMap;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use petit_client::texts::Texts;
use petit_engine::name::ServiceName;
use petit_host::cli::{Failure, Wording};
use petit_host::exit::ExitCode;

/// How the command line is spoken of in a language, of which `usage` has the words for what clap finds.
pub(crate) fn wording<'a>(texts: &Texts, usage: &'a dyn Fn(&clap::Error) -> Option<Failure>) -> Wording<'a> {
    let invite = Failure::new(ExitCode::Usage, texts.get("cli.misplaced_invite"))
        .hint(texts.get("cli.misplaced_invite.hint"));
    Wording { error: texts.get("cli.error"), invite, usage }
}

/// What is said in the language of the texts. `None` for what is no failure, such as `--help`, and in clap's own language.
pub(crate) fn failure(texts: &Texts, error: &clap::Error) -> Option<Failure> {
    (texts.lang() == "de" && error.use_stderr() && !shows_help(error.kind())).then(|| german(error))
}

/// True where a command was called without anything, and is told what there is.
fn shows_help(kind: ErrorKind) -> bool {
    kind == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
}

fn german(error: &clap::Error) -> Failure {
    let words: BTreeMap<String, String> =
        serde_json::from_str(include_str!("../../../i18n/usage.de.json")).unwrap_or_default();
    let said = Said { error, words: Texts::of("de").with(words) };
    Failure::new(ExitCode::Usage, said.what()).hint(said.hint())
}

/// One error, and the words for it.
struct Said<'a> {
    error: &'a clap::Error,
    words: Texts,
}

impl Said<'_> {
    fn what(&self) -> String {
        let (arg, value) = (self.of(ContextKind::InvalidArg), self.of(ContextKind::InvalidValue));
        let (about, argument) = ([("arg", arg.as_str()), ("value", value.as_str())], ("arg", arg.as_str()));
        match self.error.kind() {
            ErrorKind::UnknownArgument => self.words.fill("unknown.argument", &[argument]),
            ErrorKind::InvalidSubcommand => {
                let command = self.of(ContextKind::InvalidSubcommand);
                self.words.fill("unknown.command", &[("command", command.as_str())])
            }
            ErrorKind::InvalidValue if value.is_empty() => self.words.fill("value.missing", &[argument]),
            ErrorKind::InvalidValue | ErrorKind::ValueValidation => self.value(&arg, &value),
            ErrorKind::TooManyValues => self.words.fill("too_many", &about),
            ErrorKind::TooFewValues | ErrorKind::WrongNumberOfValues | ErrorKind::NoEquals => {
                self.words.fill("value.missing", &[argument])
            }
            ErrorKind::MissingRequiredArgument => self.words.fill("missing", &[("args", arg.as_str())]),
            ErrorKind::ArgumentConflict => match self.of(ContextKind::PriorArg) {
                other if other == arg => self.words.fill("again", &[argument]),
                other => self.words.fill("conflict", &[argument, ("other", other.as_str())]),
            },
            ErrorKind::InvalidUtf8 => self.words.get("unreadable"),
            _ => self.words.get("unusable"),
        }
    }

    /// A value that does not fit, with what would.
    fn value(&self, arg: &str, value: &str) -> String {
        let about = [("arg", arg), ("value", value)];
        let name = value_name(arg).unwrap_or_default();
        let key = format!("expects.{name}");
        if !self.words.all().contains_key(&key) {
            return self.words.fill("value.wrong", &about);
        }
        let (most, values) = (ServiceName::MAX.to_string(), self.of(ContextKind::ValidValue));
        let expects = self.words.fill(&key, &[("name_max", most.as_str()), ("values", values.as_str())]);
        let [arg, value] = about;
        self.words.fill("value", &[arg, value, ("expects", expects.as_str())])
    }

    /// What to type instead.
    fn hint(&self) -> String {
        let usage = self.of(ContextKind::Usage);
        let help = match usage.trim().trim_start_matches("Usage:").trim() {
            "" => self.words.get("help.only"),
            usage => self.words.fill("help", &[("usage", usage)]),
        };
        match self.nearest() {
            Some(nearest) => {
                self.words.fill("nearest", &[("nearest", nearest.as_str()), ("help", help.as_str())])
            }
            None => help,
        }
    }

    /// What was meant, if anything is like what was typed: clap has what is most like it last.
    fn nearest(&self) -> Option<String> {
        let kinds =
            [ContextKind::SuggestedArg, ContextKind::SuggestedSubcommand, ContextKind::SuggestedValue];
        kinds.into_iter().find_map(|kind| match self.error.get(kind)? {
            ContextValue::String(text) => Some(text.clone()),
            ContextValue::Strings(texts) => texts.last().cloned(),
            _ => None,
        })
    }

    /// What the error is about; several behind one another.
    fn of(&self, kind: ContextKind) -> String {
        match self.error.get(kind) {
            Some(ContextValue::String(text)) => text.clone(),
            Some(ContextValue::Strings(texts)) => texts.join(", "),
            Some(ContextValue::StyledStr(text)) => text.to_string(),
            _ => String::new(),
        }
    }
}

/// What the value of an argument is called, as clap shows it: `--service <HOST:PORT>`, `<NAME>`, `[NAME]`.
fn value_name(arg: &str) -> Option<&str> {
    let (_, behind) = arg.split_once(['<', '['])?;
    behind.split(['>', ']']).next()
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::{Cli, help};

    fn said(arguments: &[&str]) -> Failure {
        let texts = Texts::of("de");
        let command = help::in_language(Cli::command(), &texts);
        let given = ["petit-client"].iter().chain(arguments);
        let error = command.try_get_matches_from(given).unwrap_err();
        failure(&texts, &error).unwrap()
    }

    #[test]
    fn what_is_wrong_with_a_command_line_is_said_in_german_with_what_to_do() {
        for (arguments, what, hint) in [
            (&["--jsn"][..], "das Argument --jsn gibt es nicht", "meinten Sie --json? "),
            (&["stauts"], "den Befehl stauts gibt es nicht", "meinten Sie status"),
            (&["service", "ad"], "den Befehl ad gibt es nicht", "meinten Sie add"),
            (
                &["status", "extra"],
                "das Argument extra gibt es nicht",
                "Aufruf: petit-client status [OPTIONEN]; ",
            ),
            (
                &["--lang", "fr", "status"],
                "„fr“ passt nicht zu --lang <LANG>: erwartet wird en oder de",
                "--help",
            ),
            (&["status", "--lang"], "zu --lang <LANG> fehlt ein Wert", "--help"),
            (&["service", "add", "web"], "es fehlt: <HOST:PORT>", "Aufruf: petit-client service add "),
            (
                &["service", "add", "web", "3000"],
                "„3000“ passt nicht zu <HOST:PORT>: erwartet wird ein Rechner",
                "--help",
            ),
            (
                &["service", "add", "WEB", "localhost:3000"],
                "„WEB“ passt nicht zu <NAME>: ein Dienst heißt mit 1 bis 40 Zeichen",
                "--help",
            ),
            (
                &["lease", "-p", "x"],
                "„x“ passt nicht zu --port <PORT>: erwartet wird eine ganze Zahl",
                "--help",
            ),
            (
                &["logs", "-n", "x"],
                "„x“ passt nicht zu --lines <LINES>: erwartet wird eine ganze Zahl",
                "--help",
            ),
            (&["log", "loud"], "„loud“ passt nicht zu <LEVEL>: erwartet wird error", "--help"),
            (
                &["register", "--key-store", "x"],
                "passt nicht zu --key-store <WHERE>: erwartet wird keychain",
                "--help",
            ),
            (&["unregister", "-r", "x"], "„x“ passt nicht zu --id <ID>: eine registrierte ID hat", "--help"),
            (&["unregister", "--local", "--all", "-t", "web"], "geht nicht zusammen mit", "--help"),
            (&["status", "--watch", "--watch"], "--watch darf nur einmal dastehen", "--help"),
            (&["completion", "csh"], "„csh“ passt nicht zu <SHELL>: erwartet wird bash, ", "--help"),
            (&["register", "--tcp"], "es fehlt: --service <HOST:PORT>", "--help"),
        ] {
            let failure = said(arguments);
            let said = failure.hint.clone().unwrap_or_default();
            assert!(failure.message.contains(what) && said.contains(hint), "{arguments:?}: {failure:?}");
            assert_eq!(failure.exit, ExitCode::Usage);
            for english in ["Usage", "OPTIONS", "expected", "unexpected", "invalid", "cannot", "required"] {
                assert!(!format!("{} {said}", failure.message).contains(english), "{english} in {failure:?}");
            }
        }
    }

    #[test]
    fn each_word_for_a_usage_error_is_used_and_each_value_that_is_checked_has_one() {
        let words: BTreeMap<String, String> =
            serde_json::from_str(include_str!("../../../i18n/usage.de.json")).unwrap();
        let code = include_str!("usage.rs");
        let own = words.keys().filter(|key| !key.starts_with("expects."));
        let unused: Vec<&String> = own.filter(|key| !code.contains(&format!("\"{key}\""))).collect();
        assert!(unused.is_empty(), "nobody says {unused:?}");
        // These are taken as they are typed.
        let unchecked = ["FILE", "FOLDER", "HOST", "SHA256"];
        let mut commands = vec![Cli::command()];
        while let Some(command) = commands.pop() {
            for arg in
                command.get_arguments().filter(|arg| !arg.is_hide_set() && arg.get_action().takes_values())
            {
                let named = arg.get_value_names().and_then(|names| names.first().map(ToString::to_string));
                let name = named.unwrap_or_else(|| arg.get_id().as_str().to_ascii_uppercase());
                let has_words = words.contains_key(&format!("expects.{name}"));
                assert!(has_words || unchecked.contains(&&*name), "{name}");
            }
            commands.extend(command.get_subcommands().cloned());
        }
    }

    #[test]
    fn help_and_english_are_left_to_clap() {
        let of = |lang: &str, arguments: &[&str]| {
            let texts = Texts::of(lang);
            let command = help::in_language(Cli::command(), &texts);
            failure(&texts, &command.try_get_matches_from(arguments).unwrap_err())
        };
        assert_eq!(of("de", &["petit-client", "--help"]), None);
        assert_eq!(of("de", &["petit-client"]), None);
        assert_eq!(of("en", &["petit-client", "nonsense"]), None);
    }
}
