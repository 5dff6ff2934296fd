//! What stands where in a text: lines and columns of keys, and the key that a byte belongs to.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Where a key stands, in either spelling, by the names of the tables around it and its own: line and column, both
/// from 1. `None` where it does not, or where the text is not TOML.
pub fn place_of(text: &str, keys: &[&str]) -> Option<(usize, usize)> {
    let parsed = DeTable::parse(text).ok()?;
    let (own, around) = keys.split_last()?;
    let mut table = parsed.get_ref();
    for name in around {
        let (_, DeValue::Table(inner)) = entry(table, name)? else { return None };
        table = inner;
    }
    entry(table, own).map(|(span, _)| position(text, span.start))
}

/// As [`place_of`], of a key in an entry of a list of tables (`[[list]]`), the first being 0; where the key does not stand
/// there, of the entry.
pub fn place_in_list(text: &str, list: &str, number: usize, key: &str) -> Option<(usize, usize)> {
    let parsed = DeTable::parse(text).ok()?;
    let (_, DeValue::Array(entries)) = entry(parsed.get_ref(), list)? else { return None };
    let found = entries.get(number)?;
    let DeValue::Table(table) = found.get_ref() else { return None };
    let span = entry(table, key).map_or_else(|| found.span(), |(span, _)| span);
    Some(position(text, span.start))
}

/// What a key of a table holds, in either spelling, and where the key stands.
fn entry<'a, 'i>(table: &'a DeTable<'i>, name: &str) -> Option<(Range<usize>, &'a DeValue<'i>)> {
    let (key, value) = table.iter().find(|(key, _)| snake_case(key.get_ref()) == name)?;
    Some((key.span(), value.get_ref()))
}

/// What stands at a byte of the text.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// The file as a whole.
    File,
    /// A table, by the names that lead to it.
    Table(String, Written),
    /// A table of a list of tables, by the names that lead to the list.
    Entry(String, Written),
    /// A value, by the names that lead to its key.
    Value(String),
}

/// How a table is written, which says where a further key of it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Written {
    /// Below a heading.
    Heading,
    /// On one line, between braces.
    Inline,
    /// As keys with dots.
    Dotted,
}

impl Written {
    fn at(text: &str, byte: usize) -> Self {
        match text.as_bytes().get(byte) {
            Some(b'[') => Self::Heading,
            Some(b'{') => Self::Inline,
            _ => Self::Dotted,
        }
    }
}

impl Place {
    /// The innermost that holds the byte.
    pub(super) fn at(text: &str, byte: usize) -> Self {
        let innermost = |table: Spanned<DeTable<'_>>| Search { text, byte }.within(table.get_ref(), "");
        DeTable::parse(text).ok().and_then(innermost).unwrap_or(Self::File)
    }
}

/// What is looked for.
#[derive(Clone, Copy)]
struct Search<'a> {
    text: &'a str,
    byte: usize,
}

impl Search<'_> {
    /// What of a table holds the byte. A table whose heading stands once is as large as that heading, so it is looked
    /// into whether it holds the byte or not.
    fn within(self, table: &DeTable<'_>, around: &str) -> Option<Place> {
        let named = |key: &str| match around {
            "" => snake_case(key),
            around => format!("{around}.{}", snake_case(key)),
        };
        table.iter().find_map(|(key, value)| {
            let name = named(key.get_ref());
            match value.get_ref() {
                DeValue::Table(inner) => self
                    .within(inner, &name)
                    .or_else(|| self.is_in(value).then(|| Place::Table(name, self.written(value)))),
                DeValue::Array(list) => {
                    let entry = list.iter().find_map(|entry| match entry.get_ref() {
                        DeValue::Table(inner) => self.within(inner, &name).or_else(|| {
                            self.is_in(entry).then(|| Place::Entry(name.clone(), self.written(entry)))
                        }),
                        _ => None,
                    });
                    entry.or_else(|| self.is_in(value).then_some(Place::Value(name)))
                }
                _ => self.is_in(value).then_some(Place::Value(name)),
            }
        })
    }

    fn is_in(self, value: &Spanned<DeValue<'_>>) -> bool {
        value.span().contains(&self.byte)
    }

    fn written(self, table: &Spanned<DeValue<'_>>) -> Written {
        Written::at(self.text, table.span().start)
    }
}

/// `logLevel` as `log_level`. Other spellings stay as they are.
pub(super) fn snake_case(key: &str) -> String {
    let mut out = String::with_capacity(key.len() + 4);
    for c in key.chars() {
        if c.is_ascii_uppercase() && !out.is_empty() && !out.ends_with('_') {
            out.push('_');
        }
        out.push(c.to_ascii_lowercase());
    }
    out
}

/// Line and column of a byte, both from 1; the column counts characters.
pub(super) fn position(text: &str, byte: usize) -> (usize, usize) {
    let before = text.get(..byte.min(text.len())).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().map_or(0, |rest| rest.chars().count()) + 1;
    (line, column)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_found_in_either_spelling() {
        let text = "[client]\nlogLevel = \"info\"\n[client.vitae]\nport = 1\n";
        assert_eq!(place_of(text, &["client", "log_level"]), Some((2, 1)));
        assert_eq!(place_of(text, &["client", "vitae", "port"]), Some((4, 1)));
        assert_eq!(place_of(text, &["client", "port"]), None);
        assert_eq!(place_of("[client", &["client"]), None);
        let text = "[[service]]\nport = 1\n\n[[service]]\nname = \"x\"\nPort = 2\n";
        assert_eq!(place_in_list(text, "service", 0, "port"), Some((2, 1)));
        assert_eq!(place_in_list(text, "service", 1, "port"), Some((6, 1)));
        assert_eq!(place_in_list(text, "service", 0, "name"), Some((1, 1)));
        assert_eq!(place_in_list(text, "service", 2, "port"), None);
    }

    #[test]
    fn what_stands_at_a_byte_is_found_by_the_names_that_lead_to_it() {
        let text = "x = 1\n[client]\nlogLevel = 7\nlist = [1, 2]\n[client.vitae]\na = 1\n[[client.service]]\n[[client.service]]\nport = 3\n";
        let at = |what: &str| Place::at(text, text.rfind(what).unwrap());
        assert_eq!(at("7"), Place::Value("client.log_level".to_owned()));
        assert_eq!(at("2]"), Place::Value("client.list".to_owned()));
        assert_eq!(at("1\n[["), Place::Value("client.vitae.a".to_owned()));
        assert_eq!(at("3"), Place::Value("client.service.port".to_owned()));
        assert_eq!(
            at("[[client.service]]\nport"),
            Place::Entry("client.service".to_owned(), Written::Heading)
        );
        assert_eq!(at("[client]"), Place::Table("client".to_owned(), Written::Heading));
        assert_eq!(Place::at("x", 0), Place::File);
        let text = "[a]\nb = { c = 1 }\nd = [{ e = 1 }]\nf.g = 1\n";
        let at = |what: &str| Place::at(text, text.find(what).unwrap());
        assert_eq!(at("{ c"), Place::Table("a.b".to_owned(), Written::Inline));
        assert_eq!(at("{ e"), Place::Entry("a.d".to_owned(), Written::Inline));
        assert_eq!(at("f.g"), Place::Table("a.f".to_owned(), Written::Dotted));
    }
}
