//! What is wrong with the config file: all of it at once, each with its place, in the language of the window. Pure.

use std::path::Path;

use petit_client::config::{self, ConfigError, ServiceFault};
use petit_engine::name::{InvalidName, ServiceName};
use petit_host::files::FileError;
use petit_host::toml_file::{Fault, TomlError};

use super::contract::{Problem, Words};
use super::texts::Texts;
use super::{form, words};

/// More than anybody corrects in one go.
const MOST: usize = 20;

/// What is wrong with a text, in the order in which it is read. Reading ends at the first mistake, so each that is
/// found is set right in a copy, for the next one to be found behind it.
pub(crate) fn problems(texts: &Texts, path: &Path, text: &str) -> Vec<Problem> {
    let mut copy = text.to_owned();
    let mut found: Vec<Problem> = Vec::new();
    while let Err(error) = config::parse(path, &copy) {
        let follows = match &error {
            // It may be missing because we have taken it out.
            ConfigError::Invalid(error) => {
                let is_known = found.iter().any(|known| known.line == Some(error.line));
                !found.is_empty() && (is_known || matches!(*error.fault, Fault::Missing { .. }))
            }
            // What is wrong with all services together is known when each is right.
            _ => !found.is_empty(),
        };
        if follows || found.len() == MOST {
            break;
        }
        found.push(problem_in(texts, &error, text));
        match error {
            ConfigError::Invalid(error) if *error.fault != Fault::Syntax => copy = without(&copy, &error),
            _ => break,
        }
    }
    found
}

/// The text with something in the place of a mistake that is right, or with nothing there.
fn without(text: &str, error: &TomlError) -> String {
    let line = |(at, line): (usize, &str)| {
        if at + 1 != error.line {
            return line.to_owned();
        }
        let written = line.split('=').next().unwrap_or_default().trim();
        let key = match &*error.fault {
            Fault::UnknownKey { nearest: Some(nearest), .. } => nearest,
            _ => written,
        };
        match (key, field(text, error.line)) {
            ("target", _) => "target = \"localhost:1\"".to_owned(),
            ("name", Some(_)) => format!("name = \"n{at}\""),
            _ => String::new(),
        }
    };
    text.lines().enumerate().map(line).collect::<Vec<_>>().join("\n")
}

/// A mistake in the config file, without the text that it is in.
pub(crate) fn problem(texts: &Texts, error: &ConfigError) -> Problem {
    problem_in(texts, error, "")
}

fn problem_in(texts: &Texts, error: &ConfigError, text: &str) -> Problem {
    match error {
        ConfigError::Invalid(error) => {
            let field = field(text, error.line);
            Problem {
                message: message(texts, error, field.as_deref(), text),
                line: Some(error.line),
                column: Some(error.column),
                field,
            }
        }
        ConfigError::Part { misfit, .. } => whole(services(texts, misfit)),
        ConfigError::Missing { .. } => whole(texts.sentence("problem.config.missing.what", &[])),
        ConfigError::Unreadable { source, .. } => whole(unreadable(texts, &source.to_string())),
        ConfigError::Unsafe(FileError::Unsafe { .. }) => whole(texts.get("problem.config.unsafe")),
        ConfigError::Unsafe(error) => whole(unreadable(texts, &petit_host::cli::chain(error))),
    }
}

/// A mistake that stands in no line.
fn whole(message: String) -> Problem {
    Problem { message, line: None, column: None, field: None }
}

fn unreadable(texts: &Texts, why: &str) -> String {
    texts.fill("problem.config.unreadable.why", &[("why", why)])
}

/// What is wrong with services whose values can each be read.
fn services(texts: &Texts, fault: &ServiceFault) -> String {
    let say = |key: &str, values: &[(&str, &str)]| texts.fill(&format!("problem.services.{key}"), values);
    match fault {
        ServiceFault::TooMany { most } => say("too_many", &[("most", &most.to_string())]),
        ServiceFault::SameName { name } => say("same_name", &[("name", name.as_str())]),
        ServiceFault::HttpOnly { name } => say("http_only", &[("name", name.as_str())]),
        ServiceFault::TwoTrusts { name } => say("two_trusts", &[("name", name.as_str())]),
        ServiceFault::Tls { name, problem } => say("tls", &[("name", name.as_str()), ("why", problem)]),
        ServiceFault::Local { problem } => say("local", &[("why", problem)]),
    }
}

fn message(texts: &Texts, error: &TomlError, field: Option<&str>, text: &str) -> String {
    let said = ("message", error.message.as_str());
    let file = || texts.get("problem.toml.file");
    match &*error.fault {
        Fault::UnknownKey { key, place, nearest } => {
            let place = if place.is_empty() { file() } else { format!("[{place}]") };
            let values = [("place", place.as_str()), ("key", key), ("nearest", nearest.unwrap_or_default())];
            let form =
                if nearest.is_some() { "problem.toml.unknown.nearest" } else { "problem.toml.unknown" };
            texts.fill(form, &values)
        }
        Fault::Syntax => texts.fill("problem.toml.syntax", &[said]),
        Fault::Missing { key, place } => {
            let place = if place.is_empty() { file() } else { place.clone() };
            texts.fill("problem.toml.missing", &[("place", &place), ("key", key)])
        }
        Fault::Value => match value(texts, field, text) {
            Some(Words { what, todo }) => format!("{what}. {todo}"),
            None => texts.fill("problem.toml.value", &[said]),
        },
    }
}

/// The words for a value of a field of the form.
fn value(texts: &Texts, field: Option<&str>, text: &str) -> Option<Words> {
    let field = field?;
    if field == "name" {
        return Some(words::words(texts, "problem.device_name", &[]));
    }
    let (at, key) = field.strip_prefix("services.")?.split_once('.')?;
    let form = form::form(text, &ServiceName::first())?;
    let service = form.services.get(at.parse::<usize>().ok()?)?;
    let why: InvalidName = match key {
        "name" => service.name.parse::<ServiceName>().err()?,
        "target" => form::target(&service.target).err()?,
        _ => return None,
    };
    Some(words::invalid(texts, key, &why).words)
}

/// A mistake that a client has told of, in words of its own: the file is read again to say it in the window's. As long
/// as the file holds another one than the client goes by, or none, it stays as it was told.
pub(crate) fn told(texts: &Texts, said: &str, path: &Path) -> Problem {
    match config::load(path) {
        Err(error) if petit_host::cli::chain(&error) == said => {
            let text = std::fs::read_to_string(path).unwrap_or_default();
            problem_in(texts, &error, &text)
        }
        Ok(_) | Err(_) => problem_of_text(said, path),
    }
}

/// A mistake as a status tells it: `path:line:column: message`, or just a message.
pub(crate) fn problem_of_text(said: &str, path: &Path) -> Problem {
    let Some(rest) = said.strip_prefix(&path.display().to_string()).and_then(|rest| rest.strip_prefix(':'))
    else {
        return whole(said.to_owned());
    };
    let mut parts = rest.splitn(3, ':');
    let number = |part: Option<&str>| part.and_then(|part| part.parse::<usize>().ok());
    match (number(parts.next()), number(parts.next()), parts.next()) {
        (Some(line), Some(column), Some(message)) => Problem {
            message: message.trim_start().to_owned(),
            line: Some(line),
            column: Some(column),
            field: None,
        },
        _ => whole(rest.trim_start().to_owned()),
    }
}

/// The form's field that a line belongs to.
fn field(text: &str, line: usize) -> Option<String> {
    let before: Vec<&str> = text.lines().take(line).collect();
    let key = before.last()?.split_once('=')?.0.trim();
    let table = before.iter().rposition(|line| line.trim_start().starts_with('['))?;
    let header = |line: &&&str| line.trim().starts_with("[[client.service]]");
    match (before.get(table)?.trim(), key) {
        (table, key @ ("name" | "target" | "kind")) if table.starts_with("[[client.service]]") => {
            let number = before.iter().filter(header).count() - 1;
            Some(format!("services.{number}.{key}"))
        }
        (table, key @ ("name" | "log_level")) if table.starts_with("[client]") => Some(key.to_owned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::texts::LANGUAGES;

    const WRITTEN: &str = "[client]\nlog_level = \"info\"\n\n[[client.service]]\nname = \"shop\"\n\
        target = \"localhost:1\"\n\n[[client.service]]\nname = \"db\"\ntarget = \"localhost:2\"\nkind = \"tcp\"\n";

    fn found(lang: &str, text: &str) -> Vec<(Option<usize>, String)> {
        let problems = problems(&Texts::of(lang), Path::new("/c.toml"), text);
        problems.into_iter().map(|problem| (problem.line, problem.message)).collect()
    }

    #[test]
    fn all_mistakes_are_found_at_once() {
        let text = WRITTEN
            .replace("log_level", "log_levle")
            .replace("target = \"localhost:1\"", "targt = \"localhost:1\"")
            .replace("\"db\"", "\"My DB\"")
            .replace("localhost:2", "nowhere");
        let lines: Vec<_> = found("en", &text).into_iter().map(|(line, _)| line).collect();
        assert_eq!(lines, [Some(2), Some(6), Some(9), Some(10)]);
        assert!(found("en", WRITTEN).is_empty());
        assert_eq!(found("en", &WRITTEN.replace("\"db\"", "\"db")).len(), 1, "what follows cannot be read");
        // What was taken out to look further is not missed.
        assert_eq!(found("en", &WRITTEN.replace("target = \"localhost:1\"", "port = 1")).len(), 1);
    }

    #[test]
    fn a_mistake_is_said_in_the_language_of_the_window() {
        for (from, to) in [
            ("log_level", "log_levle"),
            ("log_level", "quite_else"),
            ("localhost:2", "nowhere"),
            ("\"db\"", "\"My DB\""),
            ("\"db\"", "\"\""),
            ("\"db\"", "\"db"),
            ("log_level = \"info\"", "name = \"\\u202e\""),
            ("\"tcp\"", "7"),
        ] {
            let said = LANGUAGES.map(|lang| found(lang, &WRITTEN.replace(from, to)));
            assert_ne!(said[0], said[1], "{to}");
            for (_, message) in said.iter().flatten() {
                assert!(!message.contains('{') && !message.contains("problem."), "{message}");
            }
        }
    }

    #[test]
    fn a_name_of_the_computer_that_is_too_long_is_wrong_at_its_field() {
        let long = format!("name = \"{}\"", "ü".repeat(40));
        let problems =
            problems(&Texts::of("en"), Path::new("/c.toml"), &WRITTEN.replace("log_level = \"info\"", &long));
        assert_eq!(problems[0].field.as_deref(), Some("name"));
        assert!(problems[0].message.starts_with("This name is too long"), "{problems:?}");
    }

    /// Every mistake of the services together, and every way in which the file cannot be had.
    #[test]
    fn a_mistake_without_a_line_is_said_in_the_language_of_the_window_too() {
        let name: ServiceName = "shop".parse().unwrap();
        let why = String::from("because");
        let faults = [
            ServiceFault::TooMany { most: 9 },
            ServiceFault::SameName { name: name.clone() },
            ServiceFault::HttpOnly { name: name.clone() },
            ServiceFault::TwoTrusts { name: name.clone() },
            ServiceFault::Tls { name, problem: why.clone() },
            ServiceFault::Local { problem: why },
        ];
        let path = Path::new("/c.toml").to_owned();
        let refused = || std::io::Error::from(std::io::ErrorKind::PermissionDenied);
        let io = FileError::Io { action: "look at", path: path.clone(), source: refused() };
        let open = FileError::Unsafe { path: path.clone(), problem: "open", remedy: "close it" };
        let errors =
            faults.map(|fault| ConfigError::Part { path: path.clone(), misfit: fault }).into_iter().chain([
                ConfigError::Missing { path: path.clone() },
                ConfigError::Unreadable { path, source: refused() },
                ConfigError::Unsafe(io),
                ConfigError::Unsafe(open),
            ]);
        for error in errors {
            let said = LANGUAGES.map(|lang| problem(&Texts::of(lang), &error).message);
            assert_ne!(said[0], said[1], "{error}");
            for message in &said {
                assert!(!message.contains('{') && !message.contains("problem."), "{message}");
                let is_of_file = !matches!(error, ConfigError::Part { .. });
                assert!(!is_of_file || message.starts_with(char::is_uppercase), "{message}");
            }
        }
    }

    #[test]
    fn what_a_client_says_of_the_file_is_said_in_the_language_of_the_window() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.toml");
        let text = WRITTEN.replace("log_level", "log_levle");
        petit_host::files::write_private(&path, text.as_bytes()).unwrap();
        let said = petit_host::cli::chain(&config::load(&path).unwrap_err());
        assert!(said.contains("did you mean"), "{said}");
        let problem = told(&Texts::of("de"), &said, &path);
        assert_eq!(problem.line, Some(2));
        assert!(problem.message.contains("meinten Sie"), "{problem:?}");
        // Another one is in the file meanwhile, which the client has not read yet.
        let later = WRITTEN.replace("\"tcp\"", "\"udp\"");
        petit_host::files::write_private(&path, later.as_bytes()).unwrap();
        let problem = told(&Texts::of("de"), &said, &path);
        assert!(problem.line == Some(2) && problem.message.contains("log_levle"), "{problem:?}");
        // Corrected meanwhile, and not read anew yet: it is what the client goes by all the same.
        petit_host::files::write_private(&path, WRITTEN.as_bytes()).unwrap();
        assert!(told(&Texts::of("de"), &said, &path).message.contains("did you mean"));
    }
}
