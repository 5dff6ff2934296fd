//! A fingerprint as six words that two people can compare over the telephone, in any language.
//!
//! Each word carries sixteen bits as consonant, vowel, consonant, vowel, consonant; six of them are 96 bits, more
//! than anybody can search for a second key with the same words.

use crate::secret::Fingerprint;

const CONSONANTS: &[u8; 16] = b"bdfghjklmnprstvz";
const VOWELS: &[u8; 4] = b"aiou";

/// How many words a fingerprint has.
pub const WORDS: usize = 6;

impl Fingerprint {
    /// The fingerprint's first 96 bits as six words with hyphens between them.
    pub fn words(&self) -> String {
        let words = self.0.chunks_exact(2).take(WORDS).map(|pair| {
            let bits = pair.iter().fold(0_usize, |bits, byte| bits << 8 | usize::from(*byte));
            let letter = |from: &[u8], at: usize| char::from(from.get(at).copied().unwrap_or(b'a'));
            let consonant = |shift: usize| letter(CONSONANTS, bits >> shift & 15);
            let vowel = |shift: usize| letter(VOWELS, bits >> shift & 3);
            String::from_iter([consonant(12), vowel(10), consonant(6), vowel(4), consonant(0)])
        });
        words.collect::<Vec<_>>().join("-")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_are_those_of_the_first_ninety_six_bits() {
        let mut bytes = [0; 32];
        assert_eq!(Fingerprint(bytes).words(), "babab-babab-babab-babab-babab-babab");
        bytes[0] = 0x7f;
        bytes[11] = 0xff;
        bytes[31] = 0xff;
        assert_eq!(Fingerprint(bytes).words(), "lusab-babab-babab-babab-babab-baguz");
    }

    #[test]
    fn different_bits_are_different_words() {
        let seen: std::collections::BTreeSet<String> = (0..=u16::MAX)
            .map(|bits| {
                let mut bytes = [0; 32];
                bytes[..2].copy_from_slice(&bits.to_be_bytes());
                Fingerprint(bytes).words()
            })
            .collect();
        assert_eq!(seen.len(), 65_536);
    }
}
