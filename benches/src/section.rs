//! A part of the results: a title, some words, a table. Printed as text, as Markdown and as JSON.

use anyhow::{Context, Result};
use serde_json::{Value, json};

/// One table and what it says.
#[derive(Clone, Debug)]
pub(crate) struct Section {
    pub(crate) key: String,
    pub(crate) title: String,
    /// For a reader who has not seen the code.
    pub(crate) words: String,
    pub(crate) heads: Vec<String>,
    pub(crate) rows: Vec<Vec<Cell>>,
}

/// What stands in a table.
#[derive(Clone, Debug)]
pub(crate) enum Cell {
    Text(String),
    /// A number, and how many digits of it behind the point are shown.
    Number(f64, usize),
    Nothing,
}

impl Cell {
    pub(crate) fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    pub(crate) fn number(value: Option<f64>, digits: usize) -> Self {
        value.map_or(Self::Nothing, |value| Self::Number(value, digits))
    }

    fn shown(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Number(value, digits) => grouped(*value, *digits),
            Self::Nothing => "–".to_owned(),
        }
    }

    /// A number of which nobody has said how many digits are shown: three of them say enough.
    fn of(value: &Value) -> Self {
        match value {
            Value::String(text) => Self::Text(text.clone()),
            _ => Self::number(
                value.as_f64(),
                value.as_f64().map_or(0, |it| match it.abs() {
                    it if it.fract() == 0.0 || it >= 100.0 => 0,
                    it if it >= 10.0 => 1,
                    _ => 2,
                }),
            ),
        }
    }

    fn json(&self) -> Value {
        match self {
            Self::Text(text) => json!(text),
            Self::Number(value, _) => json!(value),
            Self::Nothing => Value::Null,
        }
    }
}

impl Section {
    pub(crate) fn new(key: &str, title: &str, words: &str, heads: &[&str]) -> Self {
        Self {
            key: key.to_owned(),
            title: title.to_owned(),
            words: words.to_owned(),
            heads: heads.iter().map(|head| (*head).to_owned()).collect(),
            rows: Vec::new(),
        }
    }

    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// For a terminal.
    pub(crate) fn to_text(&self) -> String {
        let rows: Vec<Vec<String>> = std::iter::once(self.heads.clone())
            .chain(self.rows.iter().map(|row| row.iter().map(Cell::shown).collect()))
            .collect();
        let mut text = format!("\n{}\n", self.title);
        for row in &rows {
            for (column, cell) in row.iter().enumerate() {
                let width = rows.iter().filter_map(|row| row.get(column)).map(|it| it.chars().count()).max();
                let width = width.unwrap_or_default();
                // The first column is words, the others are numbers.
                let cell = if column == 0 { format!("{cell:<width$}") } else { format!("  {cell:>width$}") };
                text.push_str(&cell);
            }
            text.push('\n');
        }
        text
    }

    pub(crate) fn to_markdown(&self) -> String {
        let line = |cells: &mut dyn Iterator<Item = String>| {
            format!("| {} |\n", cells.collect::<Vec<_>>().join(" | "))
        };
        let mut text = format!("## {}\n\n{}\n\n", self.title, self.words);
        text.push_str(&line(&mut self.heads.iter().cloned()));
        let rule = |column: usize| if column == 0 { "---" } else { "---:" }.to_owned();
        text.push_str(&line(&mut (0..self.heads.len()).map(rule)));
        for row in &self.rows {
            text.push_str(&line(&mut row.iter().map(Cell::shown)));
        }
        text.push('\n');
        text
    }

    pub(crate) fn to_json(&self) -> Value {
        let rows: Vec<Vec<Value>> =
            self.rows.iter().map(|row| row.iter().map(Cell::json).collect()).collect();
        json!({ "title": self.title, "words": self.words, "heads": self.heads, "rows": rows })
    }

    /// What [`Section::to_json`] has made.
    pub(crate) fn from_json(key: &str, json: &Value) -> Result<Self> {
        let text =
            |name: &str| json.get(name).and_then(Value::as_str).with_context(|| format!("{key}: no {name}"));
        let list =
            |value: &Value| value.as_array().cloned().with_context(|| format!("{key}: a list is missing"));
        let heads = list(&json["heads"])?;
        let heads: Vec<&str> = heads.iter().filter_map(Value::as_str).collect();
        let mut section = Self::new(key, text("title")?, text("words")?, &heads);
        for row in list(&json["rows"])? {
            section.row(list(&row)?.iter().map(Cell::of));
        }
        Ok(section)
    }
}

/// A number with commas between thousands.
fn grouped(value: f64, digits: usize) -> String {
    let text = format!("{value:.digits$}");
    let (whole, rest) = text.split_at(text.find('.').unwrap_or(text.len()));
    let (sign, whole) = whole.strip_prefix('-').map_or(("", whole), |whole| ("-", whole));
    let mut grouped = String::new();
    for (at, digit) in whole.chars().enumerate() {
        if at > 0 && (whole.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    format!("{sign}{grouped}{rest}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_and_tables_line_up() {
        assert_eq!(grouped(1_234_567.0, 0), "1,234,567");
        assert_eq!(grouped(-999.25, 2), "-999.25");
        let mut section = Section::new("key", "Title", "Words.", &["name", "n"]);
        section.row([Cell::text("a"), Cell::Number(1000.0, 0)]);
        section.row([Cell::text("long"), Cell::Nothing]);
        assert_eq!(section.to_text(), "\nTitle\nname      n\na     1,000\nlong      –\n");
        assert_eq!(
            section.to_markdown(),
            "## Title\n\nWords.\n\n| name | n |\n| --- | ---: |\n| a | 1,000 |\n| long | – |\n\n"
        );
    }

    #[test]
    fn a_table_that_was_written_down_is_the_same_again() {
        let mut section = Section::new("key", "Title", "Words.", &["name", "n", "m", "l"]);
        section.row([Cell::text("a"), Cell::Number(1234.0, 0), Cell::Number(0.31, 2), Cell::Nothing]);
        section.row([Cell::text("b"), Cell::Number(12.5, 1), Cell::Number(123.0, 0), Cell::Number(-0.5, 2)]);
        let again = Section::from_json("key", &section.to_json()).unwrap();
        assert_eq!(again.to_markdown(), section.to_markdown());
        assert!(Section::from_json("key", &json!({ "title": "Title" })).is_err());
    }
}
