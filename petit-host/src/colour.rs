//! Colour for people at a terminal.

use std::io::{self, IsTerminal};

/// A text with its marks in colour, where colour is seen and wanted: on a terminal that is not `dumb`, unless
/// `NO_COLOR` is set (<https://no-color.org>).
pub fn coloured(text: &str) -> String {
    let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let is_dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
    // The console of Windows would have to be switched first.
    if cfg!(windows) || is_set("NO_COLOR") || is_dumb || !io::stdout().is_terminal() {
        return text.to_owned();
    }
    text.split_inclusive('\n').map(colour_mark).collect()
}

const GREEN: &str = "\x1b[32m";
const YELLOW: &str = "\x1b[33m";
const RED: &str = "\x1b[31m";
const PLAIN: &str = "\x1b[0m";

/// The mark that a line begins with says how something is, and has the colour of that.
fn colour_mark(line: &str) -> String {
    let rest = line.trim_start_matches(' ');
    let (indent, _) = line.split_at(line.len() - rest.len());
    let Some((mark, after)) = rest.split_once(' ') else { return line.to_owned() };
    let colour = match mark {
        "✔" | "+" => GREEN,
        "◐" | "…" | "?" | "/" => YELLOW,
        "✘" | "-" => RED,
        _ => return line.to_owned(),
    };
    format!("{indent}{colour}{mark}{PLAIN} {after}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_have_colour_and_nothing_else_has() {
        assert_eq!(colour_mark("✔ web  localhost:3000\n"), "\x1b[32m✔\x1b[0m web  localhost:3000\n");
        assert_eq!(colour_mark("  ✘ tunnel\n"), "  \x1b[31m✘\x1b[0m tunnel\n");
        for plain in ["Connected to x\n", "a ✔ b\n", "\n", "✔\n", "-f follows\n"] {
            assert_eq!(colour_mark(plain), plain);
        }
    }
}
