//! What the README lists is all that there is, and nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use petit_relay::Failure;
use petit_tests::bed::Bed;
use petit_tests::process::Program;
use petit_tests::{program, soon};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::section;

#[test]
fn every_error_of_petits_own_stands_in_the_table_of_errors() {
    let line = |failure: Failure| {
        let again = if failure.should_retry() { "yes" } else { "" };
        format!("| {} | `{}` | {} | {again} |", failure.status().as_u16(), failure.code(), failure.title())
    };
    let expected: Vec<String> = Failure::ALL.into_iter().map(line).collect();
    let is_row = |line: &&str| {
        line.strip_prefix("| ").is_some_and(|row| row.starts_with(|c: char| c.is_ascii_digit()))
    };
    let found: Vec<&str> = section("When a visitor gets an error").lines().filter(is_row).collect();
    assert_eq!(found, expected, "the table has to be:\n{}", expected.join("\n"));
}

#[tokio::test]
async fn what_a_restart_cuts_is_said_in_the_readme_and_by_both_programs() {
    let drain = petit_engine::limits::DRAIN.as_secs();
    let client = format!("what takes longer than {drain} s is cut");
    let server = format!("what takes longer than `drain` ({drain} s) is cut");
    for (program, rule) in [(Program::client(), client), (Program::server().await, server)] {
        let help = program.run(["restart", "--help"]).await.ok().out;
        let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(help.contains(&rule), "{help}");
        let is_row = |line: &&str| line.starts_with("| `restart` |") && line.contains(&rule);
        assert_eq!(super::README.lines().filter(is_row).count(), 1, "{rule}");
    }
    assert!(!super::README.contains("no request fails"));
}

#[tokio::test]
async fn what_cannot_be_read_as_a_request_is_answered_like_all_else() {
    let bed = Bed::start().await;
    let mut tcp = TcpStream::connect(bed.http()).await.unwrap();
    tcp.write_all(b"no HTTP\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    soon("an answer", tcp.read_to_string(&mut answer)).await.unwrap();
    let mut curl = program::curl(bed.http());
    let field = format!("x: {}", "a".repeat(17_000));
    curl.args(["--include", "--http2-prior-knowledge", "--header", &field, "http://x.localhost/"]);
    let said = program::run(curl).await.ok().out;
    for (answer, status) in [(answer, "HTTP/1.1 400"), (said, "HTTP/2 431")] {
        assert!(answer.starts_with(status) && answer.to_lowercase().contains("petit-error: "), "{answer}");
    }
}

/// Verbs, each with the verbs below it.
type Verbs = BTreeMap<String, BTreeSet<String>>;

/// What a program knows, by its own help.
async fn known(program: &Program) -> Verbs {
    let listed = async |above: &[&str]| -> Vec<String> {
        let help = program.run([above, &["--help"]].concat()).await.ok().out;
        let Some((_, rest)) = help.split_once("\nCommands:\n") else { return Vec::new() };
        let rest = rest.split_once("\n\n").map_or(rest, |(commands, _)| commands);
        let names = rest.lines().filter(|line| line.starts_with("  ") && !line.starts_with("   "));
        let names = names.filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help");
        names.map(str::to_owned).collect()
    };
    let mut verbs = Verbs::new();
    for verb in listed(&[]).await {
        let below = listed(&[&verb]).await.into_iter().collect();
        verbs.insert(verb, below);
    }
    verbs
}

/// The columns of a program's table of commands.
fn columns(program: &str) -> (String, String) {
    let part = section("The commands, beside the original's");
    let begin = part.find(&format!("| `{program}` | original |")).expect("a table");
    let rows: Vec<&str> = part[begin..].lines().skip(2).take_while(|line| line.starts_with('|')).collect();
    let column = |number: usize| -> String {
        let cells = rows.iter().map(|row| row.replace("\\|", "/").split('|').nth(number).unwrap().to_owned());
        cells.collect::<Vec<_>>().join("\n")
    };
    (column(1), column(2))
}

/// The words in `code` in a text.
fn codes(text: &str) -> impl Iterator<Item = Vec<&str>> {
    text.split('`').skip(1).step_by(2).map(|code| code.split_whitespace().collect())
}

#[tokio::test]
async fn every_command_stands_in_the_table_of_commands_and_no_other() {
    for (name, program) in
        [("petit-client", Program::client()), ("petit-server", Program::uninitialised_server())]
    {
        let (ours, originals) = columns(name);
        let mut said = Verbs::new();
        for words in codes(&ours) {
            let below = said.entry(words[0].to_owned()).or_default();
            let is_verb = |word: &&&str| word.chars().all(|c| c.is_ascii_lowercase() || c == '/');
            if let Some(verbs) = words.get(1).filter(is_verb) {
                below.extend(verbs.split('/').map(str::to_owned));
            }
        }
        // Some of the original's names are commands of their own here.
        let known = known(&program).await;
        let old: BTreeSet<&str> = codes(&originals).map(|words| words[0]).collect();
        for verb in known.keys().filter(|verb| old.contains(verb.as_str())) {
            said.entry(verb.clone()).or_default();
        }
        // An alias has no line of its own in the help, but works.
        let aliases: Vec<String> = said.keys().filter(|verb| !known.contains_key(*verb)).cloned().collect();
        for alias in aliases {
            program.run([&alias, "--help"]).await.ok();
            said.remove(&alias);
        }
        assert_eq!(said, known, "{name}");
    }
}

#[tokio::test]
async fn every_option_that_the_readme_names_is_one() {
    let programs = [("petit-client", Program::client()), ("petit-server", Program::uninitialised_server())];
    let mut seen = 0;
    let commands = super::README.lines().flat_map(|line| line.split('`')).map(str::trim);
    for words in commands.map(|text| text.split_whitespace().collect::<Vec<_>>()) {
        let Some((_, program)) = programs.iter().find(|(name, _)| words.first() == Some(name)) else {
            continue;
        };
        let before_comment = words.iter().skip(1).take_while(|word| **word != "#");
        let options: Vec<&str> =
            before_comment.clone().filter(|word| word.starts_with("--")).copied().collect();
        let is_verb = |word: &&&str| word.chars().all(|c| c.is_ascii_lowercase());
        let verbs: Vec<&str> = before_comment.take(2).take_while(is_verb).copied().collect();
        let Some(verb) = verbs.first() else { continue };
        let mut help = program.run([verb, "--help"]).await.ok().out;
        if let Some(below) = verbs.get(1).filter(|below| help.contains(&format!("\n  {below} "))) {
            help = program.run([verb, below, "--help"]).await.ok().out;
        }
        for option in options {
            let option = option.trim_end_matches([',', ']']).split('=').next().unwrap();
            assert!(
                help.contains(&format!("{option} ")) || help.contains(&format!("{option}\n")),
                "{words:?}"
            );
            seen += 1;
        }
    }
    assert!(seen >= 3, "the README names options: {seen}");
}

/// The text of all Rust files under a folder.
fn sources(folder: &Path, found: &mut Vec<String>) {
    for path in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() && !["target", "node_modules"].contains(&name) && !name.starts_with('.') {
            sources(&path, found);
        } else if name.ends_with(".rs") {
            found.push(std::fs::read_to_string(&path).unwrap());
        }
    }
}

#[test]
fn every_test_that_a_document_names_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut texts = Vec::new();
    sources(root, &mut texts);
    let is_there = |name: &str| texts.iter().any(|text| text.contains(&format!("fn {name}")));
    let mut seen = 0;
    for document in std::fs::read_dir(root.join("docs")).unwrap().map(|entry| entry.unwrap().path()) {
        if document.extension().is_none_or(|end| end != "md") {
            continue;
        }
        let text = std::fs::read_to_string(&document).unwrap();
        for code in text.split('`').skip(1).step_by(2) {
            // A sentence behind a module; `…` ends one that is cut.
            let Some((_, name)) = code.rsplit_once("::").filter(|(_, name)| name.matches('_').count() > 2)
            else {
                continue;
            };
            let name = name.strip_suffix('…').map_or_else(|| format!("{name}("), str::to_owned);
            assert!(is_there(&name), "{}: there is no test {code}", document.display());
            seen += 1;
        }
    }
    assert!(seen > 100, "the documents name tests: {seen}");
}
