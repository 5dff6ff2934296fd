//! All mistakes of a file in one go: each is taken out of what was read, for the next one to be found behind it.

use std::path::Path;

use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

use super::{Fault, Source, Table, TomlError};

/// More than anybody corrects in one go.
const MOST_MISTAKES: usize = 20;

/// All that is wrong with `text`, in its order, as far as it can be found: behind what is not TOML nothing is read, and
/// what may be missing only because it was wrong is not told.
pub fn mistakes<T: DeserializeOwned>(path: &Path, text: &str, table: Table) -> Vec<TomlError> {
    let source = Source { path, text };
    let (mut parsed, checked) = match source.read(table) {
        Ok(read) => read,
        Err(error) => return vec![error],
    };
    let mut found: Vec<TomlError> = checked.wrong.into_iter().map(|wrong| source.wrong(wrong)).collect();
    // Reading ends at the first value that does not fit, so each is taken out for the next one to be found.
    while found.len() < MOST_MISTAKES
        && let Err(error) = T::deserialize(toml::de::Deserializer::from(parsed.clone()))
    {
        let told = source.value(&error);
        let at = error.span().map(|span| span.start);
        // It may be missing because it was wrong; the rest of its table is whole.
        let taken_out = if matches!(*told.fault, Fault::Missing { .. }) && !found.is_empty() {
            at.is_some_and(|at| take_out_table(parsed.get_mut(), at))
        } else {
            found.push(told);
            at.is_some_and(|at| take_out(parsed.get_mut(), at))
        };
        if !taken_out {
            break;
        }
    }
    found.truncate(MOST_MISTAKES);
    found.sort_by_key(|error| (error.line, error.column));
    found
}

/// Takes out the entry whose value holds a byte of the text, and nothing around it. False where there is none.
fn take_out(table: &mut DeTable<'_>, at: usize) -> bool {
    let is_it = |value: &Spanned<DeValue<'_>>| match value.get_ref() {
        DeValue::Table(_) => false,
        DeValue::Array(list) if list.iter().any(|entry| matches!(entry.get_ref(), DeValue::Table(_))) => {
            false
        }
        _ => value.span().contains(&at),
    };
    if let Some(key) = table.iter().find(|(_, value)| is_it(value)).map(|(key, _)| key.clone()) {
        return table.remove(&key).is_some();
    }
    let inner = |value: &mut DeValue<'_>| match value {
        DeValue::Table(nested) => take_out(nested, at),
        DeValue::Array(list) => list.iter_mut().any(|entry| match entry.get_mut() {
            DeValue::Table(nested) => take_out(nested, at),
            _ => false,
        }),
        _ => false,
    };
    table.iter_mut().any(|(_, value)| inner(value.get_mut()))
}

/// Takes out the table whose place in the text holds a byte, the innermost. False where there is none.
fn take_out_table(table: &mut DeTable<'_>, at: usize) -> bool {
    let is_it = |value: &Spanned<DeValue<'_>>| {
        matches!(value.get_ref(), DeValue::Table(_)) && value.span().contains(&at)
    };
    let within = |value: &mut DeValue<'_>| match value {
        DeValue::Table(nested) => take_out_table(nested, at),
        DeValue::Array(list) => {
            let is_within = list.iter_mut().any(|entry| match entry.get_mut() {
                DeValue::Table(nested) => take_out_table(nested, at),
                _ => false,
            });
            let mut others = DeArray::new();
            list.iter().filter(|entry| !is_it(entry)).cloned().for_each(|entry| others.push(entry));
            let is_here = !is_within && others.len() < list.len();
            if is_here {
                *list = others;
            }
            is_within || is_here
        }
        _ => false,
    };
    if table.iter_mut().any(|(_, value)| within(value.get_mut())) {
        return true;
    }
    let key = table.iter().find(|(_, value)| is_it(value)).map(|(key, _)| key.clone());
    key.is_some_and(|key| table.remove(&key).is_some())
}

#[cfg(test)]
mod tests {
    use super::super::tests::{FILE, File, read};
    use super::*;

    #[test]
    fn all_mistakes_are_found_in_one_go_and_none_that_follows_from_another() {
        let found = |text: &str| -> Vec<(usize, usize)> {
            let found = mistakes::<File>(Path::new("config.toml"), text, FILE);
            found.iter().map(|error| (error.line, error.column)).collect()
        };
        let text = "[client]\nlog_levle = 1\nlog_level = 7\nbackPort = 1\nfoo = 2\n[client.vitae]\na = 1\n\
            [[client.service]]\nport = 1\n[[client.service]]\nport = 99999\n[[client.service]]\nprt = 1\nport = \"x\"\n";
        assert_eq!(found(text), [(2, 1), (3, 13), (5, 1), (7, 5), (11, 8), (13, 1), (14, 8)]);
        assert_eq!(read(text).unwrap_err().line, 2, "the first is the one that stands in the way");
        assert_eq!(found("[[client.service]]\nprt = 1"), [(2, 1)], "it is missing because it is misspelt");
        assert_eq!(found("[client\nfoo = 1").len(), 1, "what follows cannot be read");
        assert!(found("[client]\nlog_level = \"info\"").is_empty());
        let many: String = (0..50).map(|n| format!("x{n} = 1\n")).collect();
        assert_eq!(found(&format!("[client]\n{many}")).len(), MOST_MISTAKES);
    }
}
