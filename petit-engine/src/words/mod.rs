//! A fingerprint as six words that two people can compare over the telephone.
//!
//! There are two lists of real words, one English and one German, and a number stands for the words at its place in
//! both. Both rows are always shown together, so that two people compare in the language that they share. Six words
//! out of 1,024 carry 60 bits: more than anybody searches for a second key with the same words.

use serde::{Deserialize, Serialize};

use crate::secret::Fingerprint;

/// How many words a fingerprint has.
pub const WORDS: usize = 6;
/// Bits of the fingerprint that one word stands for.
const BITS: usize = 10;

/// The same six words in English and in German, each row with spaces between its words.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyWords {
    /// The English row.
    #[serde(rename = "en")]
    pub english: String,
    /// The German row.
    #[serde(rename = "de")]
    pub german: String,
}

impl Fingerprint {
    /// The fingerprint's first 60 bits as six words, in both languages.
    pub fn words(&self) -> KeyWords {
        let mut words = KeyWords::default();
        for number in numbers(&self.0) {
            let (english, german) = pairs().nth(number).unwrap_or_default();
            for (row, word) in [(&mut words.english, english), (&mut words.german, german)] {
                if !row.is_empty() {
                    row.push(' ');
                }
                row.push_str(word);
            }
        }
        words
    }
}

/// The first bits of a fingerprint in groups of [`BITS`], most significant bit first.
fn numbers(fingerprint: &[u8; 32]) -> impl Iterator<Item = usize> + '_ {
    let bit = |at: usize| {
        let byte = fingerprint.get(at / 8).copied().unwrap_or_default();
        usize::from(byte >> (7 - at % 8) & 1)
    };
    (0..WORDS).map(move |word| (0..BITS).fold(0, |number, at| number << 1 | bit(word * BITS + at)))
}

/// The pairs of the list, English word first.
fn pairs() -> impl Iterator<Item = (&'static str, &'static str)> {
    include_str!("pairs.txt")
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_once(' '))
}

#[cfg(test)]
mod tests;
