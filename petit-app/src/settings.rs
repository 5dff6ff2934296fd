//! The config file as the window shows it: text, form and mistakes, and what a change would change. Pure.

use std::path::Path;

use petit_engine::name::ServiceName;

use super::contract::{Diff, DiffKind, DiffLine, Settings};
use super::form::form;
use super::mistakes::problems;
use super::texts::Texts;

/// Text, form and mistakes of a config file. `first` is what the original's `[client.local]` is called.
pub(crate) fn settings(texts: &Texts, path: &Path, text: &str, first: &ServiceName) -> Settings {
    Settings { text: text.to_owned(), form: form(text, first), problems: problems(texts, path, text) }
}

/// What would change, line by line.
pub(crate) fn diff(texts: &Texts, path: &Path, before: &str, after: &str) -> Diff {
    Diff { lines: lines(before, after), problems: problems(texts, path, after) }
}

/// The longest common subsequence of both texts' lines, with what was added and removed around it. Config files are
/// small; what is equal at both ends is set aside first.
fn lines(before: &str, after: &str) -> Vec<DiffLine> {
    /// A table of this many cells is made; beyond it everything counts as replaced.
    const MOST_CELLS: usize = 4_000_000;
    let (old, new): (Vec<&str>, Vec<&str>) = (before.lines().collect(), after.lines().collect());
    let head = old.iter().zip(&new).take_while(|(a, b)| a == b).count();
    let (old_rest, new_rest) = (old.get(head..).unwrap_or_default(), new.get(head..).unwrap_or_default());
    let tail = old_rest.iter().rev().zip(new_rest.iter().rev()).take_while(|(a, b)| a == b).count();
    let old_mid = old_rest.get(..old_rest.len() - tail).unwrap_or_default();
    let new_mid = new_rest.get(..new_rest.len() - tail).unwrap_or_default();

    let width = new_mid.len() + 1;
    let cells = (old_mid.len() + 1) * width;
    let mut longest = vec![0_u32; if cells <= MOST_CELLS { cells } else { 0 }];
    let at = |table: &[u32], row: usize, column: usize| table.get(row * width + column).copied().unwrap_or(0);
    if !longest.is_empty() {
        for (row, a) in old_mid.iter().enumerate().rev() {
            for (column, b) in new_mid.iter().enumerate().rev() {
                let best = if a == b {
                    at(&longest, row + 1, column + 1) + 1
                } else {
                    at(&longest, row + 1, column).max(at(&longest, row, column + 1))
                };
                if let Some(cell) = longest.get_mut(row * width + column) {
                    *cell = best;
                }
            }
        }
    }
    let line = |kind, text: &str| DiffLine { kind, text: text.to_owned() };
    let mut out: Vec<DiffLine> = old.iter().take(head).map(|text| line(DiffKind::Same, text)).collect();
    let (mut row, mut column) = (0, 0);
    loop {
        match (old_mid.get(row), new_mid.get(column)) {
            (Some(a), Some(b)) if a == b && !longest.is_empty() => {
                out.push(line(DiffKind::Same, a));
                row += 1;
                column += 1;
            }
            (Some(a), b) if b.is_none() || at(&longest, row + 1, column) >= at(&longest, row, column + 1) => {
                out.push(line(DiffKind::Removed, a));
                row += 1;
            }
            (_, Some(b)) => {
                out.push(line(DiffKind::Added, b));
                column += 1;
            }
            _ => break,
        }
    }
    let same = old.get(old.len() - tail..).unwrap_or_default();
    out.extend(same.iter().map(|text| line(DiffKind::Same, text)));
    out
}

#[cfg(test)]
#[path = "settings_tests.rs"]
mod tests;
