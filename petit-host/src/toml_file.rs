//! TOML as people write it: read into types, and when something is wrong, where and what to do.
//!
//! A [`Table`] says which keys there are. Keys in the original's camelCase are understood; keys that have no
//! meaning any more are named with what replaced them; a key that nobody knows is an error with a suggestion,
//! because a misspelt option that is silently ignored is worse than a file that is refused.

mod complaint;
mod fault;
mod mistakes;
mod place;

use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

pub use self::fault::Fault;
pub use self::mistakes::mistakes;
use self::place::{Place, position, snake_case};
pub use self::place::{place_in_list, place_of};

/// The keys of a table.
#[derive(Clone, Copy, Debug)]
pub struct Table(pub &'static [Key]);

/// One key of a table.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// Its name, in snake_case.
    pub name: &'static str,
    /// What stands behind it.
    pub kind: ValueKind,
}

/// What stands behind a key.
#[derive(Clone, Copy, Debug)]
pub enum ValueKind {
    /// A value; its type is the type's business.
    Value,
    /// A table with known keys.
    Table(Table),
    /// An array of tables with known keys.
    Tables(Table),
    /// A table whose keys are free.
    Free,
    /// A key of the original that has no meaning any more; what replaced it.
    Retired(&'static str),
    /// Another program's; not looked at.
    Foreign,
}

/// Something in a file that is not wrong but worth saying.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Line, from 1.
    pub line: usize,
    /// What to know.
    pub message: String,
}

/// What is wrong with a file, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}:{line}:{column}: {message}", path.display())]
pub struct TomlError {
    /// Which file.
    pub path: PathBuf,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What is wrong and what to do.
    pub message: String,
    /// The same as a value. Boxed, because errors are handed on by value.
    pub fault: Box<Fault>,
}

/// Reads `text` into a `T` whose fields have the names of `table`.
///
/// # Errors
/// [`TomlError`] with the first thing that is wrong.
pub fn parse<T: DeserializeOwned>(
    path: &Path,
    text: &str,
    table: Table,
) -> Result<(T, Vec<Note>), TomlError> {
    let source = Source { path, text };
    let (parsed, checked) = source.read(table)?;
    if let Some(wrong) = checked.wrong.into_iter().next() {
        return Err(source.wrong(wrong));
    }
    let note = |(span, message): Found| Note { line: position(text, span.start).0, message };
    let notes = checked.notes.into_iter().map(note).collect();
    let value = T::deserialize(toml::de::Deserializer::from(parsed));
    Ok((value.map_err(|error| source.value(&error))?, notes))
}

/// A text, and where it comes from.
#[derive(Clone, Copy)]
struct Source<'a> {
    path: &'a Path,
    text: &'a str,
}

impl<'a> Source<'a> {
    fn read(self, table: Table) -> Result<(Spanned<DeTable<'a>>, Checked), TomlError> {
        let syntax =
            |error: toml::de::Error| self.at(error.span(), error.message().to_owned(), Fault::Syntax);
        let mut parsed = DeTable::parse(self.text).map_err(syntax)?;
        let mut checked = Checked::default();
        check(parsed.get_mut(), table, "", &mut checked);
        Ok((parsed, checked))
    }

    fn wrong(self, wrong: Wrong) -> TomlError {
        match wrong {
            Wrong::Key { span, message, fault } => self.at(Some(span), message, fault),
            Wrong::Value((span, message)) => self.at(Some(span), message, Fault::Value),
        }
    }

    fn value(self, error: &toml::de::Error) -> TomlError {
        let place = error.span().map_or(Place::File, |span| Place::at(self.text, span.start));
        let (message, fault) = complaint::in_words(error.message(), &place);
        self.at(error.span(), message, fault)
    }

    fn at(self, span: Option<Range<usize>>, message: String, fault: Fault) -> TomlError {
        let (line, column) = position(self.text, span.map_or(0, |span| span.start));
        TomlError { path: self.path.to_owned(), line, column, message, fault: Box::new(fault) }
    }
}

type Found = (Range<usize>, String);

/// What [`check`] finds wrong.
enum Wrong {
    Key { span: Range<usize>, message: String, fault: Fault },
    Value(Found),
}

/// What [`check`] has to say.
#[derive(Default)]
struct Checked {
    notes: Vec<Found>,
    wrong: Vec<Wrong>,
}

/// Checks the keys of a table and brings them into the form that the types know. What is wrong is left out.
fn check(found: &mut DeTable<'_>, table: Table, place: &str, checked: &mut Checked) {
    let mut entries: Vec<_> = std::mem::take(found).into_iter().collect();
    entries.sort_by_key(|(key, _)| key.span().start); // the first mistake in the file is the one to tell
    for (key, mut value) in entries {
        let span = key.span();
        let written = key.get_ref().as_ref();
        let snake = snake_case(written);
        let here = if place.is_empty() { snake.clone() } else { format!("{place}.{snake}") };
        let Some(known) = table.0.iter().find(|known| known.name == snake) else {
            checked.wrong.push(unknown(span, written, &snake, table, place));
            continue;
        };
        match known.kind {
            ValueKind::Foreign => continue,
            ValueKind::Retired(instead) => {
                checked.notes.push((span, format!("{here} has no effect any more: {instead}")));
                continue;
            }
            ValueKind::Value => {}
            ValueKind::Free => {
                if !matches!(value.get_ref(), DeValue::Table(_)) {
                    checked.wrong.push(no_table(value.span(), &here));
                    continue;
                }
            }
            ValueKind::Table(inner) => {
                let DeValue::Table(nested) = value.get_mut() else {
                    checked.wrong.push(no_table(value.span(), &here));
                    continue;
                };
                check(nested, inner, &here, checked);
            }
            ValueKind::Tables(inner) => {
                let span = value.span();
                let is_table = |entry: &Spanned<DeValue<'_>>| matches!(entry.get_ref(), DeValue::Table(_));
                let list = match value.get_mut() {
                    DeValue::Array(list) if list.iter().all(is_table) => list,
                    _ => {
                        let message = format!("{here} is a list; write [[{here}]] for each entry");
                        checked.wrong.push(Wrong::Value((span, message)));
                        continue;
                    }
                };
                for entry in list.iter_mut() {
                    if let DeValue::Table(nested) = entry.get_mut() {
                        check(nested, inner, &here, checked);
                    }
                }
            }
        }
        if found.iter().any(|(other, _)| *other.get_ref() == snake) {
            let message = format!("{here} is set twice, in two spellings");
            checked.wrong.push(Wrong::Value((span, message)));
            continue;
        }
        found.insert(Spanned::new(span, snake.into()), value);
    }
}

fn no_table(span: Range<usize>, here: &str) -> Wrong {
    Wrong::Value((span, format!("{here} is a table; write [{here}] on a line of its own")))
}

fn unknown(span: Range<usize>, written: &str, snake: &str, table: Table, place: &str) -> Wrong {
    let usable = || table.0.iter().filter(|key| !matches!(key.kind, ValueKind::Retired(_)));
    let nearest = usable()
        .map(|key| (strsim::damerau_levenshtein(snake, key.name), key.name))
        .min()
        .filter(|(distance, name)| *distance <= 1 + name.len() / 4)
        .map(|(_, name)| name);
    let said = if place.is_empty() { "this file".to_owned() } else { format!("[{place}]") };
    let message = match nearest {
        Some(name) => format!("{said} has no key {written:?}; did you mean {name:?}?"),
        None => {
            let names: Vec<&str> = usable().map(|key| key.name).collect();
            format!("{said} has no key {written:?}; it knows {}", names.join(", "))
        }
    };
    let fault = Fault::UnknownKey { key: written.to_owned(), place: place.to_owned(), nearest };
    Wrong::Key { span, message, fault }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields)]
    pub(super) struct File {
        client: Option<Client>,
    }

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Client {
        log_level: Option<String>,
        #[serde(default)]
        service: Vec<Service>,
        vitae: Option<std::collections::BTreeMap<String, String>>,
    }

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Service {
        port: u16,
    }

    const fn key(name: &'static str, kind: ValueKind) -> Key {
        Key { name, kind }
    }

    pub(super) const FILE: Table = Table(&[
        key(
            "client",
            ValueKind::Table(Table(&[
                key("log_level", ValueKind::Value),
                key("service", ValueKind::Tables(Table(&[key("port", ValueKind::Value)]))),
                key("vitae", ValueKind::Free),
                key("back_port", ValueKind::Retired("Petit needs one port only")),
            ])),
        ),
        key("server", ValueKind::Foreign),
    ]);

    pub(super) fn read(text: &str) -> Result<(File, Vec<Note>), TomlError> {
        parse(Path::new("config.toml"), text, FILE)
    }

    fn error(text: &str) -> String {
        read(text).unwrap_err().to_string()
    }

    #[test]
    fn the_originals_spelling_is_understood_and_retired_keys_are_named() {
        let text = "[client]\nlogLevel = \"warn\"\nbackPort = 3014\n[client.vitae]\nAny_Tag = \"x\"\n[server]\nwhat = 1\n";
        let (file, notes) = read(text).unwrap();
        let client = file.client.unwrap();
        assert_eq!(client.log_level.as_deref(), Some("warn"));
        assert_eq!(client.vitae.unwrap()["Any_Tag"], "x");
        let message = "client.back_port has no effect any more: Petit needs one port only".to_owned();
        assert_eq!(notes, [Note { line: 3, message }]);
    }

    #[test]
    fn mistakes_are_named_with_line_column_and_a_way_out() {
        assert_eq!(
            error("[client]\nlog_levle = \"x\""),
            "config.toml:2:1: [client] has no key \"log_levle\"; did you mean \"log_level\"?"
        );
        assert_eq!(
            error("[client]\nfoo = 1"),
            "config.toml:2:1: [client] has no key \"foo\"; it knows log_level, service, vitae"
        );
        assert_eq!(
            error("[clint]"),
            "config.toml:1:2: this file has no key \"clint\"; did you mean \"client\"?"
        );
        assert_eq!(
            error("[client]\nservice = 3"),
            "config.toml:2:11: client.service is a list; write [[client.service]] for each entry"
        );
        assert_eq!(
            error("client = 3"),
            "config.toml:1:10: client is a table; write [client] on a line of its own"
        );
        assert!(
            error("[[client.service]]\nport = \"x\"").starts_with("config.toml:2:8: "),
            "type errors too"
        );
        assert!(error("[[client.service]]\nport = 99999").starts_with("config.toml:2:8: "));
        assert!(error("[client\n").starts_with("config.toml:1:8: "), "{}", error("[client\n"));
        assert!(
            error("[client]\n\nlog_level = \"é\" = 3").starts_with("config.toml:3:17: "),
            "columns are characters"
        );
        for (text, expected) in [
            (
                "[[client.service]]\nport = 99999",
                ": client.service.port: expected a whole number from 0 to 65535; found the number 99999",
            ),
            (
                "[[client.service]]\nport = \"x\"",
                ": client.service.port: expected a whole number from 0 to 65535; found the text \"x\"",
            ),
            (
                "[[client.service]]\nport = 1.5",
                ": client.service.port: expected a whole number from 0 to 65535; found the number 1.5",
            ),
            (
                "[client]\nlog_level = true",
                ": client.log_level: expected a text in quotes, such as \"…\"; found true",
            ),
            (
                "[client]\nlog_level = [1]",
                ": client.log_level: expected a text in quotes, such as \"…\"; found a list",
            ),
            (
                "[client]\nlog_level = {}",
                ": client.log_level: expected a text in quotes, such as \"…\"; found a table",
            ),
        ] {
            assert!(error(text).ends_with(expected), "{}", error(text));
        }
        assert_eq!(
            error("[client]\n\n[[client.service]]\n"),
            "config.toml:3:1: [[client.service]] has no \"port\"; write port = … below it"
        );
        let twice = error("[client]\nlogLevel = \"a\"\nlog_level = \"b\"");
        assert_eq!(twice, "config.toml:3:1: client.log_level is set twice, in two spellings");
    }
}
