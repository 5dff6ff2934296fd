//! The catalogue: every sentence of tray, window and notifications, in English and German.
//!
//! One JSON file per language under `i18n/`, key to text, `{name}` for what is filled in. The keys `ui.*` are the
//! page's own; all others are used here. Tests hold both languages together.

use std::collections::BTreeMap;
use std::sync::Arc;

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
        Self { lang, texts: Arc::new(serde_json::from_str(source).unwrap_or_default()) }
    }

    /// Of what a user has chosen: a language, or `system`.
    pub fn chosen(choice: &str) -> Self {
        if LANGUAGES.contains(&choice) {
            return Self::of(choice);
        }
        let system = sys_locale::get_locale().unwrap_or_default();
        Self::of(system.split(['-', '_', '.']).next().unwrap_or_default())
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

    /// A text with every letter replaced by a longer, accented one: what does not fit, or does not come from the
    /// catalogue, is seen at once.
    #[cfg(test)]
    pub(crate) fn pseudo() -> Self {
        let texts = Self::of("en").all();
        let strange = |text: &String| {
            let mut inside = 0_i32;
            let mut out = "⟦".to_owned();
            for c in text.chars() {
                inside += i32::from(c == '{') - i32::from(c == '}');
                match c {
                    'a' if inside == 0 => out.push_str("åå"),
                    'e' if inside == 0 => out.push_str("éé"),
                    'o' if inside == 0 => out.push_str("øø"),
                    c => out.push(c),
                }
            }
            out + "⟧"
        };
        let texts = texts.iter().map(|(key, text)| (key.clone(), strange(text))).collect();
        Self { lang: "en", texts: Arc::new(texts) }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn names(text: &str) -> BTreeSet<&str> {
        text.split('{').skip(1).filter_map(|part| part.split_once('}').map(|(name, _)| name)).collect()
    }

    #[test]
    fn both_languages_have_the_same_keys_with_the_same_values_to_fill_in() {
        let (en, de) = (Texts::of("en").all(), Texts::of("de").all());
        assert!(en.len() > 100);
        assert_eq!(en.keys().collect::<Vec<_>>(), de.keys().collect::<Vec<_>>());
        for (key, text) in &en {
            assert_eq!(names(text), names(&de[key]), "{key}");
            let empty_ok = key.ends_with(".todo");
            assert!(empty_ok || !text.trim().is_empty(), "{key} is empty");
            assert_eq!(text.is_empty(), de[key].is_empty(), "{key}");
            assert!(!text.contains("\u{2014}"), "{key}: a dash with spaces reads better");
        }
    }

    #[test]
    fn the_files_are_sorted_and_hold_each_key_once() {
        for source in [include_str!("../i18n/en.json"), include_str!("../i18n/de.json")] {
            let keys: Vec<&str> = source
                .lines()
                .filter_map(|line| line.trim().strip_prefix('"')?.split_once("\": ").map(|(key, _)| key))
                .collect();
            let unique: BTreeSet<&str> = keys.iter().copied().collect();
            assert_eq!(keys.len(), unique.len(), "a key stands twice");
        }
    }

    #[test]
    fn values_are_filled_in_once_and_unknown_names_stay() {
        let texts =
            Texts { lang: "en", texts: Arc::new(BTreeMap::from([("k".into(), "a {x} {y} {".into())])) };
        assert_eq!(texts.fill("k", &[("x", "{y}")]), "a {y} {y} {");
        assert_eq!(texts.get("missing"), "missing");
    }

    #[test]
    fn a_language_that_there_is_not_is_english() {
        assert_eq!(Texts::of("fr").lang(), "en");
        assert_eq!(Texts::chosen("de").lang(), "de");
    }
}
