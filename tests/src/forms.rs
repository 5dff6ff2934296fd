//! The form of JSON as other programs read it: its fields with the kind of each. Words for programs stand as they are;
//! texts, numbers and what depends on the moment do not.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use petit_host::control::client::{CallError, Client};
use serde_json::Value;

use crate::process::Program;

/// What may be there or not, from one moment to the next.
const MOMENTARY: [&str; 7] =
    ["round_trip_us", "front_us", "tunnel_us", "service_us", "streams", "took_us", "tried"];
/// Random, and sometimes without a digit; or the computer's own.
const NAMES: [&str; 4] = ["id", "device", "client", "hostname"];

/// The fields of a value, with the kind of each.
pub fn form(value: &Value) -> String {
    let mut lines = BTreeSet::new();
    fields("", value, &mut lines);
    lines.into_iter().collect::<Vec<_>>().join("\n")
}

fn fields(at: &str, value: &Value, lines: &mut BTreeSet<String>) {
    // An ID has a digit mostly, but not always; no word is as long without an underscore.
    let is_word = |text: &str| {
        let letters = text.chars().all(|c| c.is_ascii_lowercase() || c == '_');
        letters && text.len() < if text.contains('_') { 32 } else { 16 }
    };
    let ends_in = |names: &[&str]| names.iter().any(|name| at.ends_with(&format!("/{name}")));
    let kind = match value {
        Value::Object(map) if !map.is_empty() => {
            for (name, value) in map {
                fields(&format!("{at}/{name}"), value, lines);
            }
            return;
        }
        Value::Array(list) if !list.is_empty() => {
            for value in list {
                fields(&format!("{at}/-"), value, lines);
            }
            return;
        }
        _ if ends_in(&MOMENTARY) => "of the moment".to_owned(),
        Value::String(_) if ends_in(&NAMES) => "text".to_owned(),
        Value::String(word) if is_word(word) => format!("{word:?}"),
        Value::String(_) => "text".to_owned(),
        Value::Number(_) => "number".to_owned(),
        other => other.to_string(),
    };
    lines.insert(format!("{at}: {kind}"));
}

/// The forms of what a program has answered so far, with a paragraph for each request.
#[derive(Debug, Default)]
pub struct Forms {
    written: String,
}

impl Forms {
    fn write(&mut self, what: &str, value: &Value) {
        let _ = write!(self.written, "{what}\n{}\n\n", form(value));
    }

    /// What a command prints with `--json`. Arguments of which `names` has a name, because they are others each time,
    /// stand as that in the file.
    pub async fn command(
        &mut self,
        program: &Program,
        arguments: &[&str],
        names: &[(&str, &str)],
        input: &str,
    ) {
        let said = program.run_with([arguments, &["--json"]].concat(), input).await;
        let words: Vec<&str> = arguments.iter().map(|argument| named(argument, names)).collect();
        self.write(&format!("{} {} (exit {})", program.name(), words.join(" "), said.exit), &said.json());
    }

    /// What the control socket of a program answers. `shown` is the target as it stands in the file.
    pub async fn ask(
        &mut self,
        socket: &Path,
        method: &str,
        (target, shown): (&str, &str),
        body: Option<Value>,
    ) {
        let with = body.as_ref().map(|body| {
            let mut names: Vec<&str> = body.as_object().unwrap().keys().map(String::as_str).collect();
            names.sort_unstable();
            format!(" with {}", names.join(", "))
        });
        let what = format!("{method} {shown}{}", with.unwrap_or_default());
        match Client::new(socket).call(method, target, body.as_ref()).await {
            Ok(value) => self.write(&what, &value),
            Err(CallError::Refused(problem)) => {
                let _ = write!(self.written, "{what}\nrefused: {} {}\n\n", problem.status, problem.code);
            }
            Err(error) => panic!("{what}: {error}"),
        }
    }

    /// Compares all of it with a file of `e2e/fixtures`; `PETIT_EXAMPLES=write` writes the file anew.
    pub fn compare(&self, file: &str) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("e2e/fixtures").join(file);
        if std::env::var_os("PETIT_EXAMPLES").is_some_and(|wanted| wanted == "write") {
            std::fs::write(&path, &self.written).unwrap();
        }
        let known = std::fs::read_to_string(&path).unwrap();
        let (known, found): (Vec<&str>, Vec<&str>) =
            (known.split("\n\n").collect(), self.written.split("\n\n").collect());
        for (known, found) in known.iter().zip(&found) {
            assert_eq!(found, known);
        }
        assert_eq!(known.len(), found.len());
    }
}

fn named<'a>(argument: &'a str, names: &[(&str, &'a str)]) -> &'a str {
    names.iter().find(|(value, _)| *value == argument).map_or(argument, |(_, name)| *name)
}
