//! Where a page says that a test shows something, there is that test.

use std::collections::BTreeSet;
use std::path::Path;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// All tests in the sources under a folder, as `cargo test` calls them: `module::of::the::file::name`.
fn tests_under(folder: &Path, modules: &[String], found: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let stem = path.file_stem().unwrap().to_string_lossy().into_owned();
        let mut modules = modules.to_vec();
        if path.is_dir() {
            modules.push(stem);
            tests_under(&path, &modules, found);
        } else if path.extension().is_some_and(|end| end == "rs") {
            if !matches!(stem.as_str(), "mod" | "lib" | "main") {
                modules.push(stem);
            }
            tests_in(&std::fs::read_to_string(&path).unwrap(), &modules.join("::"), found);
        }
    }
}

fn tests_in(source: &str, module: &str, found: &mut BTreeSet<String>) {
    let (mut module, mut is_test) = (module.to_owned(), false);
    for line in source.lines().map(str::trim_start) {
        if line.starts_with("mod tests {") {
            module.push_str("::tests");
        }
        is_test |= line.starts_with("#[test]") || line.starts_with("#[tokio::test");
        let signature = line.strip_prefix("async ").unwrap_or(line).strip_prefix("fn ");
        if let Some((name, _)) = signature.filter(|_| is_test).and_then(|rest| rest.split_once('(')) {
            found.insert(format!("::{module}::{name}"));
            is_test = false;
        }
    }
}

fn all_tests() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for sources in [
        "petit-engine/src",
        "petit-host/src",
        "petit-client/src",
        "petit-app/src",
        "petit-server/src",
        "tests/e2e",
    ] {
        tests_under(&Path::new(ROOT).join(sources), &[], &mut found);
    }
    // Its modules are as short as `enrol` and `probe`, which others have as well.
    tests_under(&Path::new(ROOT).join("petit-relay/src"), &["relay".to_owned()], &mut found);
    found
}

/// True when a page's words for a test, or for all tests of a module, or the begin of a test's name followed by `…`,
/// lead to at least one.
fn leads_to_a_test(name: &str, tests: &BTreeSet<String>) -> bool {
    let (name, ends) = match name.strip_suffix('…') {
        Some(begin) => (format!("::{begin}"), false),
        None => (format!("::{name}"), true),
    };
    tests.iter().any(|test| {
        test.match_indices(&name).any(|(at, _)| {
            let rest = &test[at + name.len()..];
            !ends || rest.is_empty() || rest.starts_with("::")
        })
    })
}

#[test]
fn every_attack_of_the_security_page_has_its_test() {
    let tests = all_tests();
    assert!(tests.len() > 500, "{}", tests.len());
    let page = include_str!("../../docs/security.md");
    let table = page.split_once("## Attacks and tests").unwrap().1;
    let mut attacks = 0;
    for row in table.lines().filter(|line| line.starts_with("| ")) {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [attack, _, shown_by] = cells[..] else { panic!("a row has three cells: {row}") };
        if attack == "attack" {
            continue;
        }
        attacks += 1;
        let names: Vec<&str> = shown_by.split('`').skip(1).step_by(2).collect();
        assert!(!names.is_empty() || shown_by == "the same", "nothing shows {attack:?}");
        for name in names {
            assert!(leads_to_a_test(name, &tests), "there is no test {name}, which is to show {attack:?}");
        }
    }
    assert!(attacks > 60, "{attacks}");
    let fuzzing = page.split_once("### Fuzzing").unwrap().1;
    assert!(fuzzing.contains("`fuzzed::…`") && leads_to_a_test("fuzzed::…", &tests));
}

#[test]
fn what_is_named_in_the_page_of_reliability_is_there() {
    let tests = all_tests();
    let page = include_str!("../../docs/reliability.md");
    let names: Vec<&str> = page.split('`').skip(1).step_by(2).filter(|code| code.contains("::")).collect();
    assert!(!names.is_empty());
    for name in names {
        assert!(leads_to_a_test(name, &tests), "there is no {name}");
    }
}

#[test]
fn a_test_that_is_not_there_is_noticed() {
    let mut tests = BTreeSet::new();
    let source = "mod tests {\n    #[tokio::test]\n    async fn it_holds() {}\n    fn helper() {}\n}";
    tests_in(source, "relay::door", &mut tests);
    for (name, is_there) in [
        ("relay::door::tests::it_holds", true),
        ("door::tests", true),
        ("door::tests::it_h…", true),
        ("door::tests::it_h", false),
        ("door::tests::helper", false),
        ("oor::tests", false),
        ("relay::gate::tests", false),
    ] {
        assert_eq!(leads_to_a_test(name, &tests), is_there, "{name}");
    }
}
