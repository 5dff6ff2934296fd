//! What a deserializer complains of, in the words of people who write TOML and not Rust, with the key that it is about.

use super::fault::Fault;
use super::place::{Place, Written};

fn missing_key(message: &str) -> Option<&str> {
    message.strip_prefix("missing field `")?.strip_suffix('`')
}

/// A complaint, with the key that it is about and what would be right there.
pub(super) fn in_words(message: &str, place: &Place) -> (String, Fault) {
    if let Some(key) = missing_key(message) {
        return missing(key, place);
    }
    let said = plain(message);
    let message = match place {
        Place::File => said,
        Place::Table(name, _) | Place::Entry(name, _) | Place::Value(name) => format!("{name}: {said}"),
    };
    (message, Fault::Value)
}

/// A key that has to be in a table, and where to write it.
fn missing(key: &str, place: &Place) -> (String, Fault) {
    let (place, said, at) = match place {
        Place::Table(name, Written::Heading) => (format!("[{name}]"), format!("[{name}]"), " below it"),
        Place::Entry(name, Written::Heading) => (format!("[[{name}]]"), format!("[[{name}]]"), " below it"),
        Place::Table(name, Written::Inline) => (name.clone(), name.clone(), " between its braces"),
        Place::Entry(name, Written::Inline) => {
            (name.clone(), format!("an entry of {name}"), " between its braces")
        }
        Place::Table(name, Written::Dotted) | Place::Entry(name, Written::Dotted) => {
            (name.clone(), name.clone(), " beside its other keys")
        }
        Place::Value(name) => (name.clone(), name.clone(), ""),
        Place::File => (String::new(), "this file".to_owned(), ""),
    };
    let message = format!("{said} has no {key:?}; write {key} = …{at}");
    (message, Fault::Missing { key: key.to_owned(), place })
}

/// A complaint about a value; one of our own is in such words already.
fn plain(message: &str) -> String {
    if let Some((found, variants)) =
        message.strip_prefix("unknown variant `").and_then(|rest| rest.split_once("`, expected "))
    {
        let variants = variants.trim_start_matches("one of ").replace('`', "\"");
        return format!("expected {variants}; found \"{found}\"");
    }
    let complaint = message
        .strip_prefix("invalid type: ")
        .or_else(|| message.strip_prefix("invalid value: "))
        .and_then(|complaint| complaint.rsplit_once(", expected "));
    match complaint {
        Some((found, expected)) => format!("expected {}; found {}", right(expected), written(found)),
        None => match message {
            "invalid IP address syntax" => "expected an address such as \"127.0.0.1\" or \"::1\"".to_owned(),
            // Where one of some words has to stand.
            "wanted string or table" => format!("expected {TEXT}"),
            "integer number overflowed" | "floating-point number overflowed" => {
                "expected a number; this one is too large".to_owned()
            }
            other => other.to_owned(),
        },
    }
}

const TEXT: &str = "a text in quotes, such as \"…\"";

fn right(expected: &str) -> &str {
    match expected {
        "u8" | "i8" => "a whole number from 0 to 255",
        "u16" => "a whole number from 0 to 65535",
        "u32" | "u64" | "usize" | "i32" | "i64" => "a whole number",
        "a nonzero u8" | "a nonzero u16" | "a nonzero u32" | "a nonzero u64" | "a nonzero usize" => {
            "a whole number from 1"
        }
        "f32" | "f64" => "a number",
        "a string" | "string" | "path string" | "IP address" | "IPv4 address" | "IPv6 address" => TEXT,
        "a boolean" => "true or false, without quotes",
        "a sequence" => "a list, such as [\"…\", \"…\"]",
        "a map" => "a table",
        // By the name that it has in the code.
        other if other.starts_with("struct ") => "a table",
        other => other,
    }
}

fn written(found: &str) -> String {
    match found.split_once(' ') {
        Some(("string", text)) => format!("the text {text}"),
        Some(("integer", number)) => format!("the number {}", number.trim_matches('`')),
        Some(("floating", number)) => {
            format!("the number {}", number.trim_start_matches("point ").trim_matches('`'))
        }
        Some(("boolean", word)) => word.trim_matches('`').to_owned(),
        _ => match found {
            "sequence" => "a list".to_owned(),
            "map" => "a table".to_owned(),
            other => other.to_owned(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_word_of_a_deserializer_is_left() {
        let value = Place::Value("client.x".to_owned());
        for (message, said) in [
            ("invalid type: map, expected u16", "expected a whole number from 0 to 65535; found a table"),
            (
                "invalid value: integer `0`, expected a nonzero u32",
                "expected a whole number from 1; found the number 0",
            ),
            ("unknown variant `x`, expected `a` or `b`", "expected \"a\" or \"b\"; found \"x\""),
            (
                "unknown variant `x`, expected one of `a`, `b`, `c`",
                "expected \"a\", \"b\", \"c\"; found \"x\"",
            ),
            (
                "invalid type: integer `7`, expected path string",
                "expected a text in quotes, such as \"…\"; found the number 7",
            ),
            (
                "invalid type: string \"x\", expected struct ServerForm",
                "expected a table; found the text \"x\"",
            ),
            ("invalid IP address syntax", "expected an address such as \"127.0.0.1\" or \"::1\""),
            ("wanted string or table", "expected a text in quotes, such as \"…\""),
            ("a text of our own", "a text of our own"),
        ] {
            assert_eq!(in_words(message, &value).0, format!("client.x: {said}"));
        }
        let missing = |place| in_words("missing field `port`", &place).0;
        let service = || "client.service".to_owned();
        assert_eq!(
            missing(Place::Entry(service(), Written::Heading)),
            "[[client.service]] has no \"port\"; write port = … below it"
        );
        assert_eq!(
            missing(Place::Table(service(), Written::Heading)),
            "[client.service] has no \"port\"; write port = … below it"
        );
        assert_eq!(missing(Place::File), "this file has no \"port\"; write port = …");
    }
}
