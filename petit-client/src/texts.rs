//! The catalogue: what is said to the customer, in English and German, for command line, doctor, tray and window.
//!
//! One JSON file per language under `i18n/`, key to text, `{name}` for what is filled in. What is the matter stands once,
//! as `….what`: a sentence without capital and full stop, so that it can stand behind a colon; [`Texts::sentence`] makes it
//! one that stands alone. What to do about it has two keys, because it is a click in the window (`….todo`) and a command on
//! the command line (`….cli`). What only the tray app says is in a catalogue of its own, which is put behind this one.
//!
//! Logs, what the control socket says, and everything with `--json` is English whatever the language.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use petit_host::brand;

/// The languages that there are.
pub const LANGUAGES: [&str; 2] = ["en", "de"];

/// The texts of one language. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Texts {
    lang: &'static str,
    texts: Arc<BTreeMap<String, String>>,
}

impl Texts {
    /// Of a language; English when there is no such.
    pub fn of(lang: &str) -> Self {
        let (lang, source) = match lang {
            "de" => ("de", include_str!("../i18n/de.json")),
            _ => ("en", include_str!("../i18n/en.json")),
        };
        // Both files are checked by a test.
        Self { lang, texts: Arc::new(serde_json::from_str(source).unwrap_or_default()) }.named()
    }

    /// Of the language that the system speaks.
    pub fn of_system() -> Self {
        Self::of(&system_language())
    }

    /// With another catalogue of the same language behind this one.
    #[must_use]
    pub fn with(&self, more: BTreeMap<String, String>) -> Self {
        let mut texts = more;
        texts.extend(BTreeMap::clone(&self.texts));
        Self { lang: self.lang, texts: Arc::new(texts) }
    }

    /// With Petit called as the brand of this program calls it.
    #[must_use]
    pub fn named(self) -> Self {
        let brand = brand::here();
        if brand.is_petit() { self } else { self.map(|text| brand.named(text)) }
    }

    /// With each text made another one.
    #[must_use]
    pub fn map(&self, change: impl Fn(&str) -> String) -> Self {
        let texts = self.texts.iter().map(|(key, text)| (key.clone(), change(text))).collect();
        Self { lang: self.lang, texts: Arc::new(texts) }
    }

    /// `en` or `de`.
    pub fn lang(&self) -> &'static str {
        self.lang
    }

    /// The whole catalogue.
    pub fn all(&self) -> BTreeMap<String, String> {
        BTreeMap::clone(&self.texts)
    }

    /// A text. One that is missing is its key, so that its absence is seen.
    pub fn get(&self, key: &str) -> String {
        self.texts.get(key).cloned().unwrap_or_else(|| key.to_owned())
    }

    /// A text with values of any kind filled in.
    pub fn format(&self, key: &str, values: &[(&str, &dyn Display)]) -> String {
        let values: Vec<(&str, String)> =
            values.iter().map(|(name, value)| (*name, value.to_string())).collect();
        let values: Vec<(&str, &str)> = values.iter().map(|(name, value)| (*name, value.as_str())).collect();
        self.fill(key, &values)
    }

    /// A text with values filled in, as a sentence that stands alone: with a capital, unless it begins with a value,
    /// which is spelt as it is.
    pub fn sentence(&self, key: &str, values: &[(&str, &str)]) -> String {
        let text = self.fill(key, values);
        let begins_with_value = self.texts.get(key).is_some_and(|text| text.starts_with('{'));
        if begins_with_value { text } else { capital(&text) }
    }

    /// A text with values filled in.
    pub fn fill(&self, key: &str, values: &[(&str, &str)]) -> String {
        let text = self.get(key);
        let mut out = String::with_capacity(text.len() + 32);
        let mut rest = text.as_str();
        // What was filled in is not looked at again.
        while let Some((before, after)) = rest.split_once('{') {
            out.push_str(before);
            let found = after
                .split_once('}')
                .and_then(|(name, tail)| Some((values.iter().find(|(key, _)| *key == name)?.1, tail)));
            match found {
                Some((value, tail)) => {
                    out.push_str(value);
                    rest = tail;
                }
                None => {
                    out.push('{');
                    rest = after;
                }
            }
        }
        out.push_str(rest);
        out
    }
}

/// A duration as people say it of what has been for that long, or was that long ago: `3 min`, `2 h`, `5 days`. Where
/// languages decline, that is another form than that of [`lasting`].
pub fn ago(texts: &Texts, duration: Duration) -> String {
    rough(texts, duration, "ago")
}

/// A duration as people say it of what takes that long: `3 min`, `2 h`, `5 days`.
pub fn lasting(texts: &Texts, duration: Duration) -> String {
    rough(texts, duration, "lasting")
}

fn rough(texts: &Texts, duration: Duration, form: &str) -> String {
    let (number, unit) = petit_host::cli::rough(duration);
    texts.fill(&format!("time.{form}.{unit}"), &[("n", &number.to_string())])
}

/// A text with a capital at its beginning.
pub fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

/// The language that the system speaks: what messages are to be in by POSIX (`LC_ALL`, `LC_MESSAGES`, `LANG`, the first
/// that is set), and where none is set what Windows and macOS have been told.
fn system_language() -> String {
    let set = |name: &&str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let locale = ["LC_ALL", "LC_MESSAGES", "LANG"].iter().find_map(set);
    language_of(&locale.or_else(sys_locale::get_locale).unwrap_or_default()).to_owned()
}

/// The language of a locale such as `de_DE.UTF-8` or `de-DE`.
fn language_of(locale: &str) -> &str {
    locale.split(['-', '_', '.', '@']).next().unwrap_or_default()
}

// That both languages have the same keys, and that nothing is said twice, is tested in petit-app, where all of both
// catalogues is together.
#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::path::Path;

    use super::*;

    #[test]
    fn what_is_the_matter_has_advice_for_both_who_click_and_who_type() {
        for lang in LANGUAGES {
            let texts = Texts::of(lang).all();
            let mut said = 0;
            for (key, text) in texts.iter().filter(|(key, _)| key.ends_with(".what")) {
                said += 1;
                let cause = key.trim_end_matches(".what");
                assert!(texts.contains_key(&format!("{cause}.todo")), "{lang}: nothing to click for {cause}");
                assert!(texts.contains_key(&format!("{cause}.cli")), "{lang}: nothing to type for {cause}");
                // It can stand behind a colon.
                assert!(!text.ends_with('.'), "{lang}: {key}");
            }
            assert!(said > 60, "{said}");
        }
    }

    #[test]
    fn what_the_window_says_to_click_is_no_command_and_what_is_typed_is_known_in_both_languages() {
        let commands = |text: &str| text.matches("petit-client").count();
        let (en, de) = (Texts::of("en").all(), Texts::of("de").all());
        for (key, text) in &en {
            assert!(!key.ends_with(".todo") || commands(text) == 0, "{key}");
            assert_eq!(commands(text), commands(&de[key]), "{key}");
        }
    }

    /// All that is written in the sources below a folder.
    fn sources(dir: &Path, text: &mut String) {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                sources(&path, text);
            } else {
                text.push_str(&std::fs::read_to_string(path).unwrap());
            }
        }
    }

    #[test]
    fn every_sentence_of_the_command_line_is_said_and_every_key_that_it_names_is_there() {
        let mut code = String::new();
        sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut code);
        let texts = Texts::of("en").all();
        let own = texts.keys().filter(|key| key.starts_with("cli."));
        let unused: Vec<&String> = own.filter(|key| !code.contains(&format!("\"{key}\""))).collect();
        assert!(unused.is_empty(), "nobody says {unused:?}");
        let named = code.split('"').filter(|text| text.starts_with("cli.") && !text.ends_with('.'));
        let missing: BTreeSet<&str> = named.filter(|key| !texts.contains_key(*key)).collect();
        assert!(missing.is_empty(), "there are no words for {missing:?}");
    }

    #[test]
    fn values_are_filled_in_once_and_a_missing_text_is_seen() {
        let more = BTreeMap::from([("x".to_owned(), "{a} and {b} {c".to_owned())]);
        let texts = Texts::of("en").with(more);
        assert_eq!(texts.fill("x", &[("a", "{b}"), ("b", "2")]), "{b} and 2 {c");
        assert_eq!(texts.get("no.such.key"), "no.such.key");
    }

    #[test]
    fn how_long_ago_something_was_is_declined_where_its_language_does_that() {
        let days = Duration::from_secs(5 * 86_400);
        let (en, de) = (Texts::of("en"), Texts::of("de"));
        assert_eq!((ago(&en, days), lasting(&en, days)), ("5 days".into(), "5 days".into()));
        assert_eq!((ago(&de, days), lasting(&de, days)), ("5 Tagen".into(), "5 Tage".into()));
        assert_eq!(ago(&de, Duration::from_secs(120)), "2 min");
    }

    #[test]
    fn a_sentence_that_stands_alone_has_a_capital_and_a_host_name_keeps_its_own_spelling() {
        let texts = Texts::of("en");
        let of = |key: &str| texts.sentence(key, &[("target", "localhost:3000")]);
        assert_eq!(of("service.unreachable.what"), "localhost:3000 cannot be reached");
        assert_eq!(of("service.refused.what"), "Nothing listens at localhost:3000");
    }

    #[test]
    fn a_reader_of_german_is_called_sie() {
        let informal =
            ["du", "dein", "deine", "deinen", "deiner", "dir", "dich", "prüfe", "starte", "gib", "sieh"];
        for (key, text) in Texts::of("de").all() {
            let words = text.split(|c: char| !c.is_alphabetic()).map(str::to_lowercase);
            let found: Vec<String> = words.filter(|word| informal.contains(&word.as_str())).collect();
            assert!(found.is_empty(), "{key}: {text}");
        }
    }

    #[test]
    fn a_locale_says_its_language() {
        for (locale, lang) in [
            ("de_DE.UTF-8", "de"),
            ("de-AT", "de"),
            ("de", "de"),
            ("C", "en"),
            ("", "en"),
            ("fr_FR@euro", "en"),
        ] {
            assert_eq!(Texts::of(language_of(locale)).lang(), lang, "{locale}");
        }
        assert_eq!(capital("öffentlich"), "Öffentlich");
    }
}
