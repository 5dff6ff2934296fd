//! `--help` in the language of its reader. The English stands beside the code, where clap reads it; what stands in
//! `i18n/help.de.json` is put over it.

use std::collections::BTreeMap;

use clap::builder::StyledStr;
use clap::{Arg, ArgAction, Command};
use petit_client::texts::Texts;
use petit_host::brand;

/// Texts by the words that lead to a command, with the name of an argument behind them; a `+` for more than one line.
type Help = BTreeMap<String, String>;

/// The language that a command line asks for, before it is understood: it is needed to say what is not. JSON is English.
pub(crate) fn language(given: &[String]) -> Texts {
    if given.iter().any(|argument| argument == "--json") {
        return Texts::of("en");
    }
    let behind = given.iter().skip_while(|argument| *argument != "--lang").nth(1);
    let lang =
        given.iter().find_map(|argument| argument.strip_prefix("--lang=")).or(behind.map(String::as_str));
    lang.map_or_else(Texts::of_system, Texts::of)
}

/// The command line in a language.
pub(crate) fn in_language(command: Command, texts: &Texts) -> Command {
    match texts.lang() {
        "de" => german(command),
        _ => named(command),
    }
}

/// With the name and the folder of the brand.
fn named(command: Command) -> Command {
    let brand = brand::here();
    if brand.is_petit() {
        return command;
    }
    let say = |text: &StyledStr| brand.placed(&brand.named(&text.to_string()));
    let about = command.get_about().map(say).unwrap_or_default();
    command.about(about).mut_arg("config", |arg| {
        let help = arg.get_help().map(say).unwrap_or_default();
        arg.help(help)
    })
}

fn german(command: Command) -> Command {
    let help = serde_json::from_str(include_str!("../../../i18n/help.de.json")).unwrap_or_default();
    let flag = |name: &'static str, short: char, action: ArgAction| {
        Arg::new(name).long(name).short(short).action(action).help_heading("Optionen")
    };
    let says = |arg: Arg, key: &str| match Help::get(&help, key) {
        Some(text) => arg.help(text.clone()),
        None => arg,
    };
    let asks = says(flag("help", 'h', ArgAction::Help), "--help").global(true);
    let version = says(flag("version", 'V', ArgAction::Version), "--version");
    let mut command = named(translated(command, "", &help))
        .disable_help_flag(true)
        .disable_version_flag(true)
        .arg(asks)
        .arg(version);
    // Only now is there clap's own command that shows help.
    command.build();
    let about = help.get("help").cloned().unwrap_or_default();
    built(command, &about)
}

/// With the text of clap's command `help`, at each level that has one, and with how each command is called.
fn built(mut command: Command, about: &str) -> Command {
    let usage = command.render_usage().to_string();
    let usage = usage.trim_start_matches("Usage:").trim().replace("[OPTIONS]", "[OPTIONEN]");
    command.override_usage(usage).mut_subcommands(|inner| {
        if inner.get_name() == "help" { inner.about(about.to_owned()) } else { built(inner, about) }
    })
}

/// The name of an argument in the catalogue: as it is typed, or called where it has its place.
fn key(path: &str, arg: &Arg) -> String {
    let name = arg.get_long().unwrap_or_else(|| arg.get_id().as_str());
    // Words for its fellow of the original stand beside it: the argument is called by what it is in the code.
    let name = if path == "lease" || path == "evict" { arg.get_id().as_str() } else { name };
    format!("{path} --{name}").trim_start().to_owned()
}

fn translated(command: Command, path: &str, help: &Help) -> Command {
    let mut command = command
        .help_template("{about-with-newline}\nAufruf: {usage}\n\n{all-args}{after-help}")
        .subcommand_help_heading("Befehle")
        .subcommand_value_name("BEFEHL");
    if let Some(about) = help.get(path) {
        let more = help.get(&format!("{path} +"));
        command = command.about(about.clone());
        if let Some(more) = more {
            command = command.long_about(format!("{about}\n\n{more}"));
        }
    }
    if let Some(after) = command.get_after_help().map(ToString::to_string) {
        let after = after.replace("Examples:", "Beispiele:").replace("Example:", "Beispiel:");
        command = command.after_help(after.replace("First steps:", "Erste Schritte:"));
    }
    command = command.mut_args(|arg| {
        let heading = if arg.is_positional() { "Argumente" } else { "Optionen" };
        let text = help.get(&key(path, &arg)).cloned();
        let arg = arg.help_heading(heading);
        match text {
            Some(text) => arg.help(text),
            None => arg,
        }
    });
    command.mut_subcommands(|inner| {
        let path = format!("{path} {}", inner.get_name()).trim_start().to_owned();
        translated(inner, &path, help)
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use clap::CommandFactory;

    use super::*;
    use crate::Cli;

    /// What has to be said of a command: its own text, a longer one where it has one, and that of each argument.
    /// Nothing of those that no help shows.
    fn keys(command: &Command, path: &str, found: &mut BTreeSet<String>) {
        found.insert(path.to_owned());
        if command.get_long_about().is_some() {
            found.insert(format!("{path} +"));
        }
        found.extend(command.get_arguments().filter(|arg| !arg.is_hide_set()).map(|arg| key(path, arg)));
        for inner in command.get_subcommands().filter(|inner| !inner.is_hide_set()) {
            keys(inner, format!("{path} {}", inner.get_name()).trim_start(), found);
        }
    }

    #[test]
    fn everything_that_help_says_is_said_in_german_and_nothing_else() {
        let mut said: BTreeSet<String> = ["--help", "--version", "help"].map(str::to_owned).into();
        keys(&Cli::command(), "", &mut said);
        let german: Help = serde_json::from_str(include_str!("../../../i18n/help.de.json")).unwrap();
        let german: BTreeSet<String> = german.into_keys().collect();
        assert_eq!(said.difference(&german).collect::<Vec<_>>(), Vec::<&String>::new(), "without German");
        assert_eq!(german.difference(&said).collect::<Vec<_>>(), Vec::<&String>::new(), "nobody says these");
    }

    #[test]
    fn the_german_command_line_takes_what_the_english_one_takes() {
        german(Cli::command()).debug_assert();
        for arguments in [
            &["petit-client", "status", "--watch", "--json"][..],
            &["petit-client", "--lang", "de", "service", "add", "web", "localhost:3000", "--tls"],
            &["petit-client", "lease", "-p", "80", "-t", "web", "-s", "true"],
        ] {
            assert!(german(Cli::command()).try_get_matches_from(arguments).is_ok(), "{arguments:?}");
            assert!(Cli::command().try_get_matches_from(arguments).is_ok(), "{arguments:?}");
        }
        for arguments in [
            &["petit-client", "register", "--help"][..],
            &["petit-client", "help", "status"],
            &["petit-client", "service", "--help"],
            &["petit-client"],
        ] {
            let shown = german(Cli::command()).try_get_matches_from(arguments).unwrap_err();
            let shown = shown.to_string();
            assert!(shown.contains("Aufruf: petit-client "), "{arguments:?}: {shown}");
            for english in
                ["Usage:", "Options:", "OPTIONS", "Commands:", "Arguments:", "Print ", "Example", "First"]
            {
                assert!(!shown.contains(english), "{english} in {shown}");
            }
        }
    }

    #[test]
    fn the_language_is_known_before_the_command_line_is_understood() {
        let of = |text: &str| {
            let given: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
            language(&given).lang()
        };
        assert_eq!(of("petit-client --lang de nonsense"), "de");
        assert_eq!(of("petit-client status --lang=de"), "de");
        assert_eq!(of("petit-client status --lang=de --json"), "en");
    }
}
