//! The README: its tables are those of the programs, and its recipes are run as they stand.

#[cfg(target_os = "linux")]
mod recipes;
mod tables;

/// The text.
const README: &str = include_str!("../../../README.md");

/// The part of the README under a heading, to the next one of the same rank.
fn section(heading: &str) -> &'static str {
    let start =
        README.find(&format!("\n## {heading}\n")).unwrap_or_else(|| panic!("there is no part {heading:?}"));
    let body = &README[start + 1..];
    let end = body[3..].find("\n## ").map_or(body.len(), |at| at + 4);
    &body[..end]
}
