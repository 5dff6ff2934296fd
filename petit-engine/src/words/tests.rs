use std::collections::{BTreeMap, BTreeSet};

use super::*;

/// The words of one language, in small letters.
fn list(pick: fn((&'static str, &'static str)) -> &'static str) -> Vec<String> {
    pairs().map(|pair| pick(pair).to_lowercase()).collect()
}

fn english() -> Vec<String> {
    list(|(english, _)| english)
}

fn german() -> Vec<String> {
    list(|(_, german)| german)
}

/// Applies replacements in order, each everywhere.
fn replaced(word: &str, table: &[(&str, &str)]) -> String {
    table.iter().fold(word.to_owned(), |word, (from, to)| word.replace(from, to))
}

/// What a bad line leaves of a word: each run of vowels as the class of its first one, voiced and voiceless
/// consonants alike, m and n alike, and nothing twice in a row.
fn heard(word: &str) -> String {
    let mut out = String::new();
    let mut in_vowels = false;
    for c in word.chars() {
        let class = match c {
            'a' => Some('a'),
            'e' | 'i' | 'y' | 'ä' | 'ö' | 'ü' => Some('i'),
            'o' | 'u' => Some('u'),
            _ => None,
        };
        let sound = match c {
            'b' => 'p',
            'd' => 't',
            'g' => 'k',
            'v' | 'F' => 'f',
            'z' | 'ß' => 's',
            'J' => 'C',
            'n' => 'm',
            c => c,
        };
        let next = class.unwrap_or(sound);
        let is_heard_already = out.ends_with(next) || class.is_some() && in_vowels;
        if !is_heard_already {
            out.push(next);
        }
        in_vowels = class.is_some();
    }
    out
}

/// An English word roughly as it sounds. Capitals are sounds that are written with several letters.
fn heard_english(word: &str) -> String {
    let word = match word.get(..2) {
        Some("kn") => format!("n{}", &word[2..]),
        Some("wr") => format!("r{}", &word[2..]),
        _ => word.to_owned(),
    };
    let word = match word.strip_suffix("mb") {
        Some(stem) => format!("{stem}m"),
        None => word,
    };
    let word = replaced(
        &word,
        &[
            ("tch", "C"),
            ("dge", "J"),
            ("sch", "sk"),
            ("ch", "C"),
            ("sh", "S"),
            ("th", "T"),
            ("ph", "f"),
            ("wh", "w"),
            ("igh", "i"),
            ("gh", ""),
            ("ck", "k"),
            ("qu", "kw"),
            ("x", "ks"),
            ("ce", "se"),
            ("ci", "si"),
            ("cy", "sy"),
            ("c", "k"),
            ("ge", "Je"),
            ("gi", "Ji"),
            ("gy", "Jy"),
            ("j", "J"),
        ],
    );
    // A final e is not heard.
    let is_vowel = |c: char| "aeiouy".contains(c);
    match word.strip_suffix('e').filter(|stem| !stem.ends_with(is_vowel)) {
        Some(stem) => heard(stem),
        None => heard(&word),
    }
}

/// A German word roughly as it sounds.
fn heard_german(word: &str) -> String {
    let table = [
        ("sch", "S"),
        ("ch", "X"),
        ("ph", "f"),
        ("ck", "k"),
        ("qu", "kf"),
        ("tz", "C"),
        ("ts", "C"),
        ("z", "C"),
        ("x", "ks"),
        ("th", "t"),
        ("dt", "t"),
        ("pf", "F"),
        ("äu", "A"),
        ("eu", "A"),
        ("ei", "E"),
        ("ai", "E"),
        ("au", "O"),
        ("c", "k"),
        ("w", "f"),
        ("ah", "a"),
        ("eh", "e"),
        ("ih", "i"),
        ("oh", "o"),
        ("uh", "u"),
        ("äh", "ä"),
        ("öh", "ö"),
        ("üh", "ü"),
    ];
    heard(&replaced(word, &table))
}

/// True when one letter changed, added or left out makes one word of the other.
fn is_one_letter_apart(a: &str, b: &str) -> bool {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let head = a.iter().zip(&b).take_while(|(a, b)| a == b).count();
    let (a, b) = (&a[head..], &b[head..]);
    match a.len().abs_diff(b.len()) {
        0 => a.len() <= 1 || a[1..] == b[1..],
        1 if a.len() > b.len() => a[1..] == *b,
        1 => *a == b[1..],
        _ => false,
    }
}

#[test]
fn the_words_are_those_of_the_first_sixty_bits() {
    let mut bytes = [0; 32];
    let words = |bytes: [u8; 32]| Fingerprint(bytes).words();
    let first = "acrobat acrobat acrobat acrobat acrobat acrobat";
    assert_eq!(words(bytes).english, first);
    assert_eq!(words(bytes).german, "Akrobat Akrobat Akrobat Akrobat Akrobat Akrobat");
    bytes[7] = 0x0f;
    bytes[31] = 0xff;
    assert_eq!(words(bytes).english, first, "the rest of the fingerprint is not in them");
    bytes[7] = 0x10;
    assert_eq!(words(bytes).english, "acrobat acrobat acrobat acrobat acrobat admiral");
    bytes[..2].copy_from_slice(&[0xff, 0xc0]);
    let last = words(bytes);
    assert_eq!(last.english, "zucchini acrobat acrobat acrobat acrobat admiral");
    assert_eq!(last.german, "Zucchini Akrobat Akrobat Akrobat Akrobat Admiral");
}

#[test]
fn different_bits_are_different_words() {
    let seen: BTreeSet<String> = (0..1024_u16)
        .map(|number| {
            let mut bytes = [0; 32];
            bytes[..2].copy_from_slice(&(number << 6).to_be_bytes());
            Fingerprint(bytes).words().english
        })
        .collect();
    assert_eq!(seen.len(), 1024);
}

/// A changed list would give every key another name, on one side only.
#[test]
fn the_lists_are_the_ones_that_were_handed_out() {
    let lists: Vec<String> = pairs().map(|(english, german)| format!("{english} {german}")).collect();
    assert_eq!(lists.len(), 1 << BITS);
    let hash = crate::secret::sha256(lists.join("\n").as_bytes());
    assert_eq!(
        data_encoding::HEXLOWER.encode(&hash),
        "1aa25c97b45f29aef1970a507b954c90e8eae90ff06bbeda81e8bd929ab3ca17"
    );
}

#[test]
fn every_word_can_be_said_and_written_by_anybody() {
    for (english, german) in pairs() {
        assert!(
            (3..=8).contains(&english.len()) && english.bytes().all(|b| b.is_ascii_lowercase()),
            "{english}"
        );
        let letters = german.chars().count();
        let mut rest = german.chars();
        assert!((3..=10).contains(&letters), "{german}");
        assert!(rest.next().is_some_and(char::is_uppercase), "a German noun has a capital: {german}");
        assert!(rest.all(|c| c.is_ascii_lowercase() || "äöüß".contains(c)), "{german}");
    }
}

#[test]
fn no_word_can_be_taken_for_another_of_its_list() {
    type Heard = fn(&str) -> String;
    let lists: [(Vec<String>, Heard); 2] = [(english(), heard_english), (german(), heard_german)];
    for (words, sound) in lists {
        let mut sounds = BTreeMap::new();
        for (at, word) in words.iter().enumerate() {
            for other in &words[..at] {
                assert!(
                    !word.starts_with(other.as_str()) && !other.starts_with(word.as_str()),
                    "{word} {other}"
                );
                assert!(!is_one_letter_apart(word, other), "{word} {other}");
            }
            if let Some(other) = sounds.insert(sound(word), word) {
                panic!("{word} sounds like {other}");
            }
        }
    }
}

/// Whoever reads the wrong row out must not say another pair's word by that.
#[test]
fn a_word_of_both_lists_stands_at_one_place() {
    let (english, german) = (english(), german());
    for (at, word) in english.iter().enumerate() {
        let other = german.iter().position(|other| other == word);
        assert!(other.is_none_or(|other| other == at), "{word}");
    }
}

#[test]
fn the_rules_find_what_they_are_for() {
    assert_eq!(heard_english("pear"), heard_english("bear"));
    assert_eq!(heard_english("knight"), heard_english("night"));
    assert_eq!(heard_german("rad"), heard_german("rat"));
    assert_eq!(heard_german("seite"), heard_german("saite"));
    assert_ne!(heard_english("candle"), heard_english("castle"));
    assert!(is_one_letter_apart("house", "horse") && is_one_letter_apart("snail", "nail"));
    assert!(!is_one_letter_apart("house", "mice") && is_one_letter_apart("cart", "car"));
}
