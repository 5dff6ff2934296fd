//! The licences of what is built into a program, which ask for their words to come along.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::built_in::BuiltIn;

/// What the file is called wherever it lies.
pub(crate) const FILE: &str = "THIRD-PARTY.txt";

/// How files with a licence's words begin.
const NAMES: [&str; 5] = ["licen", "copying", "copyright", "notice", "unlicense"];

/// The words of all licences of what is built into some programs for a target, each once, with whose they are.
pub(crate) fn of(programs: &[&str], target: &str) -> Result<String, String> {
    let mut packages = BTreeMap::new();
    for program in programs {
        for package in BuiltIn::of(program, target)?.others {
            let of = |key: &str| package.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
            // Our own have the licence that lies beside this file.
            if package.get("source").is_some_and(|source| !source.is_null()) {
                packages.insert(format!("{} {}", of("name"), of("version")), package);
            }
        }
    }
    let mut texts: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut out = format!("{} is built from these packages:\n\n", programs.join(" and "));
    for (name, package) in &packages {
        let of = |key: &str| package.get(key).and_then(Value::as_str).unwrap_or_default();
        out.push_str(&format!("{name}  {}  {}\n", of("license"), of("repository")));
        for text in words(Path::new(of("manifest_path")))? {
            texts.entry(text).or_default().insert(name.clone());
        }
    }
    for (text, whose) in texts {
        let whose: Vec<String> = whose.into_iter().collect();
        out.push_str(&format!("\n{}\n{}\n\n{text}\n", "-".repeat(72), whose.join(", ")));
    }
    Ok(out)
}

/// The words of a package's licences, as they lie in it.
fn words(manifest: &Path) -> Result<Vec<String>, String> {
    let folder = manifest.parent().unwrap_or(manifest);
    let failed = |error: std::io::Error| format!("{}: {error}", folder.display());
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
        let is_code = name.ends_with(".rs");
        if NAMES.iter().any(|begin| name.starts_with(begin)) && !is_code && path.is_file() {
            // Without what differs between systems and editors, so that the same words are the same.
            let text = String::from_utf8_lossy(&fs::read(&path).map_err(failed)?).into_owned();
            let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
            found.push(lines.join("\n").trim_matches('\n').to_owned());
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_what_is_built_in_come_along_each_once() {
        let text = of(&["petit-client"], "x86_64-unknown-linux-gnu").unwrap();
        assert!(text.contains("\nrustls ") && text.contains("\ntokio "), "{}", text.len());
        assert!(!text.contains("\nproptest ") && !text.contains("\npetit-engine "));
        assert!(text.contains("Copyright (c) Tokio Contributors"));
        assert!(text.contains("TERMS AND CONDITIONS FOR USE, REPRODUCTION, AND DISTRIBUTION"));
        let blocks: Vec<&str> = text.split(&"-".repeat(72)).skip(1).collect();
        let words: BTreeSet<&str> = blocks
            .iter()
            .filter_map(|block| block.trim_start().split_once("\n\n").map(|(_, words)| words))
            .collect();
        assert_eq!(words.len(), blocks.len());
        assert!(blocks.len() > 50, "{}", blocks.len());
    }
}
