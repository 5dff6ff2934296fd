//! The texts of tray, window and notifications: those of the client, and behind them what only the app says.
//!
//! One JSON file per language under `i18n/`, as in [`petit_client::texts`]. The keys `ui.*` are the page's own; all
//! others are used here.

use std::ops::Deref;

use petit_client::texts;
pub use petit_client::texts::{LANGUAGES, capital};

/// The texts of one language. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Texts(texts::Texts);

impl Deref for Texts {
    type Target = texts::Texts;

    fn deref(&self) -> &texts::Texts {
        &self.0
    }
}

impl Texts {
    /// Of a language; English when there is no such.
    pub fn of(lang: &str) -> Self {
        Self::behind(&texts::Texts::of(lang))
    }

    /// Of what a user has chosen: a language, or `system`.
    pub fn chosen(choice: &str) -> Self {
        if LANGUAGES.contains(&choice) {
            return Self::of(choice);
        }
        Self::behind(&texts::Texts::of_system())
    }

    fn behind(client: &texts::Texts) -> Self {
        let source = match client.lang() {
            "de" => include_str!("../i18n/de.json"),
            _ => include_str!("../i18n/en.json"),
        };
        // Both files are checked by a test.
        Self(client.with(serde_json::from_str(source).unwrap_or_default()).named())
    }

    /// A text with every letter replaced by a longer, accented one: what does not fit, or does not come from the
    /// catalogue, is seen at once.
    #[cfg(test)]
    pub(crate) fn pseudo() -> Self {
        let strange = |text: &str| {
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
        Self(Self::of("en").map(strange))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;

    const OWN: [&str; 2] = [include_str!("../i18n/en.json"), include_str!("../i18n/de.json")];

    fn names(text: &str) -> BTreeSet<&str> {
        text.split('{').skip(1).filter_map(|part| part.split_once('}').map(|(name, _)| name)).collect()
    }

    #[test]
    fn both_languages_have_the_same_keys_with_the_same_values_to_fill_in() {
        let (en, de) = (Texts::of("en").all(), Texts::of("de").all());
        let client = texts::Texts::of("en").all();
        assert!(client.len() > 300 && en.len() > client.len() + 100, "{} {}", client.len(), en.len());
        assert_eq!(en.keys().collect::<Vec<_>>(), de.keys().collect::<Vec<_>>());
        for (key, text) in &en {
            assert_eq!(names(text), names(&de[key]), "{key}");
            let empty_ok = key.ends_with(".todo") || key.ends_with(".cli");
            assert!(empty_ok || !text.trim().is_empty(), "{key} is empty");
            assert_eq!(text.is_empty(), de[key].is_empty(), "{key}");
            assert!(!text.contains('\u{2014}'), "{key}: a dash with spaces reads better");
        }
    }

    #[test]
    fn the_files_hold_each_key_once_and_none_that_the_client_has() {
        for (lang, source) in LANGUAGES.into_iter().zip(OWN) {
            let keys: Vec<&str> = source
                .lines()
                .filter_map(|line| line.trim().strip_prefix('"')?.split_once("\": ").map(|(key, _)| key))
                .collect();
            let unique: BTreeSet<&str> = keys.iter().copied().collect();
            assert_eq!(keys.len(), unique.len(), "a key stands twice");
            let client = texts::Texts::of(lang).all();
            let shared: Vec<&&str> = keys.iter().filter(|key| client.contains_key(**key)).collect();
            assert!(shared.is_empty(), "the client says these: {shared:?}");
        }
    }

    #[test]
    fn what_is_the_matter_is_said_once_by_client_and_app_together() {
        for lang in LANGUAGES {
            let texts = Texts::of(lang).all();
            let mut said: BTreeMap<String, &str> = BTreeMap::new();
            for (key, text) in texts.iter().filter(|(key, _)| key.ends_with(".what")) {
                if let Some(other) = said.insert(capital(text), key) {
                    panic!("{lang}: {other} and {key} say the same");
                }
            }
        }
    }

    #[test]
    fn a_language_that_there_is_not_is_english() {
        assert_eq!(Texts::of("fr").lang(), "en");
        assert_eq!(Texts::chosen("de").lang(), "de");
    }
}
