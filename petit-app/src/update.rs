//! What is said of another version that is there, and of this one where it is not to be used any more. Pure.

use petit_client::status::{Status, UpdatePlan, VersionStanding};

use super::contract::Tone;
use super::texts::Texts;

/// The notices: the id of each, how bad it is, and its words.
pub(crate) fn said(texts: &Texts, status: &Status) -> Vec<(&'static str, Tone, String)> {
    let newer = newer(texts, status).map(|text| ("update", Tone::Off, text));
    let standing = standing(texts, status).map(|text| ("standing", Tone::Warn, text));
    standing.into_iter().chain(newer).collect()
}

/// That there is a newer version, and who installs it when.
fn newer(texts: &Texts, status: &Status) -> Option<String> {
    let version = status.available.as_ref()?.to_string();
    let (from, until) = match &status.update {
        Some(UpdatePlan::Itself { hours: Some(hours) }) => hours.ends(),
        _ => Default::default(),
    };
    let key = match &status.update {
        Some(UpdatePlan::Other) => "note.update.other",
        Some(UpdatePlan::Itself { hours: Some(_) }) => "note.update.hours",
        Some(UpdatePlan::Itself { hours: None }) => "note.update.itself",
        Some(UpdatePlan::Later) => "note.update.later",
        Some(UpdatePlan::Nobody) => "note.update.nobody",
        Some(UpdatePlan::AfterTrial) => "note.update.after_trial",
        Some(UpdatePlan::GivenUp) => "note.update.given_up",
        None | Some(UpdatePlan::Hand | UpdatePlan::Unknown) => "note.update.hand",
    };
    Some(texts.fill(key, &[("version", &version), ("from", &from), ("until", &until)]))
}

/// That this version is not to be used any more. What helps is the newer one, which is told of where there is one.
fn standing(texts: &Texts, status: &Status) -> Option<String> {
    let what = match status.standing.as_ref()? {
        VersionStanding::Revoked => texts.get("note.revoked"),
        VersionStanding::TooOld { minimum } => {
            texts.fill("note.too_old", &[("minimum", &minimum.to_string())])
        }
        VersionStanding::Unknown => return None,
    };
    let todo = if status.available.is_some() { "note.standing.newer" } else { "note.standing.none" };
    Some(format!("{what} {}", texts.get(todo)))
}

#[cfg(test)]
mod tests {
    use super::super::testing::online;
    use super::super::texts::LANGUAGES;
    use super::*;

    /// All that may be said of who installs a version.
    fn plans() -> Vec<Option<UpdatePlan>> {
        let hours = Some("22:00-05:00".parse().unwrap());
        vec![
            None,
            Some(UpdatePlan::Hand),
            Some(UpdatePlan::Itself { hours }),
            Some(UpdatePlan::Itself { hours: None }),
            Some(UpdatePlan::Later),
            Some(UpdatePlan::Other),
            Some(UpdatePlan::Nobody),
            Some(UpdatePlan::AfterTrial),
            Some(UpdatePlan::GivenUp),
            Some(UpdatePlan::Unknown),
        ]
    }

    #[test]
    fn a_newer_version_is_named_with_whoever_installs_it_in_every_language() {
        for lang in LANGUAGES {
            let texts = Texts::of(lang);
            let mut status = online(Vec::new());
            assert_eq!(said(&texts, &status), []);
            status.available = Some("0.2.0".parse().unwrap());
            for plan in plans() {
                status.update = plan;
                let said = said(&texts, &status);
                assert!(matches!(&said[..], [("update", Tone::Off, _)]), "{said:?}");
                let text = &said[0].2;
                assert!(text.contains("0.2.0") && !text.contains(['{', '}']), "{text}");
            }
            status.update = Some(UpdatePlan::Itself { hours: Some("22:00-05:00".parse().unwrap()) });
            assert!(said(&texts, &status)[0].2.contains("22:00"), "{lang}");
        }
    }

    #[test]
    fn a_version_that_is_not_to_be_used_any_more_is_said_first_with_what_helps() {
        let texts = Texts::of("en");
        let mut status = online(Vec::new());
        status.standing = Some(VersionStanding::TooOld { minimum: "0.1.4".parse().unwrap() });
        let alone = said(&texts, &status);
        assert!(
            matches!(&alone[..], [("standing", Tone::Warn, text)] if text.contains("0.1.4")),
            "{alone:?}"
        );
        assert!(alone[0].2.contains("your vendor"), "{alone:?}");
        status.available = Some("0.2.0".parse().unwrap());
        let both = said(&texts, &status);
        assert_eq!(both.iter().map(|(id, ..)| *id).collect::<Vec<_>>(), ["standing", "update"]);
        assert!(!both[0].2.contains("your vendor"), "the newer one helps: {both:?}");
    }
}
