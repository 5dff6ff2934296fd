//! What is said of another version that is there, and of this one where it is not to be used any more. Pure.

use petit_client::status::{Status, UpdateFault, UpdatePlan, VersionStanding};

use super::contract::{Notice, NoticeAction, Tone};
use super::facts::Owner;
use super::texts::Texts;

/// The notices.
pub(crate) fn said(texts: &Texts, status: &Status, owner: Owner) -> Vec<Notice> {
    let standing = standing(texts, status).map(|text| Notice {
        id: "standing".to_owned(),
        tone: Tone::Warn,
        text,
        action: None,
    });
    standing.into_iter().chain(newer(texts, status, owner)).collect()
}

/// That there is a newer version, who installs it when, and how that goes.
fn newer(texts: &Texts, status: &Status, owner: Owner) -> Option<Notice> {
    let version = status.available.as_ref()?.to_string();
    let (mut from, mut until, mut percent) = Default::default();
    let (tone, key) = match &status.update {
        Some(UpdatePlan::Other) => (Tone::Off, "note.update.other"),
        Some(UpdatePlan::Window) => (Tone::Off, "note.update.window"),
        Some(UpdatePlan::Now { fetched: None }) => (Tone::Busy, "note.update.installing"),
        Some(UpdatePlan::Now { fetched: Some(fetched) }) => {
            percent = fetched.to_string();
            (Tone::Busy, "note.update.now")
        }
        Some(UpdatePlan::Failed { why: UpdateFault::NotSigned }) => {
            (Tone::Bad, "note.update.failed.not_signed")
        }
        Some(UpdatePlan::Failed { why: UpdateFault::Installer }) => {
            (Tone::Warn, "note.update.failed.installer")
        }
        Some(UpdatePlan::Failed { why: UpdateFault::Fetch | UpdateFault::Unknown }) => {
            (Tone::Warn, "note.update.failed.fetch")
        }
        Some(UpdatePlan::Itself { hours: Some(hours) }) => {
            (from, until) = hours.ends();
            (Tone::Off, "note.update.hours")
        }
        Some(UpdatePlan::Itself { hours: None }) => (Tone::Off, "note.update.itself"),
        Some(UpdatePlan::Later) => (Tone::Warn, "note.update.later"),
        Some(UpdatePlan::Nobody) => (Tone::Off, "note.update.nobody"),
        Some(UpdatePlan::AfterTrial) => (Tone::Off, "note.update.after_trial"),
        Some(UpdatePlan::GivenUp) => (Tone::Warn, "note.update.given_up"),
        None | Some(UpdatePlan::Hand | UpdatePlan::Unknown) => (Tone::Off, "note.update.hand"),
    };
    let values = [("version", &*version), ("from", &from), ("until", &until), ("percent", &percent)];
    let action = install(status, owner)
        .map(|label| NoticeAction { name: "install_update".to_owned(), label: texts.get(label) });
    Some(Notice { id: "update".to_owned(), tone, text: texts.fill(key, &values), action })
}

/// The button that has it installed now, where the client is the one of this process.
fn install(status: &Status, owner: Owner) -> Option<&'static str> {
    match &status.update {
        _ if owner != Owner::Ours => None,
        Some(UpdatePlan::Window | UpdatePlan::Itself { .. }) => Some("note.update.install"),
        Some(UpdatePlan::Failed { .. } | UpdatePlan::Later | UpdatePlan::GivenUp) => {
            Some("note.update.again")
        }
        None
        | Some(
            UpdatePlan::Hand
            | UpdatePlan::Now { .. }
            | UpdatePlan::Other
            | UpdatePlan::Nobody
            | UpdatePlan::AfterTrial
            | UpdatePlan::Unknown,
        ) => None,
    }
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

    /// All that may be said of who installs a version, and whether there is a button for it.
    fn plans() -> Vec<(Option<UpdatePlan>, Tone, bool)> {
        let hours = Some("22:00-05:00".parse().unwrap());
        vec![
            (None, Tone::Off, false),
            (Some(UpdatePlan::Hand), Tone::Off, false),
            (Some(UpdatePlan::Window), Tone::Off, true),
            (Some(UpdatePlan::Now { fetched: Some(37) }), Tone::Busy, false),
            (Some(UpdatePlan::Now { fetched: None }), Tone::Busy, false),
            (Some(UpdatePlan::Failed { why: UpdateFault::Fetch }), Tone::Warn, true),
            (Some(UpdatePlan::Failed { why: UpdateFault::NotSigned }), Tone::Bad, true),
            (Some(UpdatePlan::Failed { why: UpdateFault::Installer }), Tone::Warn, true),
            (Some(UpdatePlan::Failed { why: UpdateFault::Unknown }), Tone::Warn, true),
            (Some(UpdatePlan::Itself { hours }), Tone::Off, true),
            (Some(UpdatePlan::Itself { hours: None }), Tone::Off, true),
            (Some(UpdatePlan::Later), Tone::Warn, true),
            (Some(UpdatePlan::Other), Tone::Off, false),
            (Some(UpdatePlan::Nobody), Tone::Off, false),
            (Some(UpdatePlan::AfterTrial), Tone::Off, false),
            (Some(UpdatePlan::GivenUp), Tone::Warn, true),
            (Some(UpdatePlan::Unknown), Tone::Off, false),
        ]
    }

    fn newer(update: Option<UpdatePlan>) -> Status {
        Status { available: "0.2.0".parse().ok(), update, ..online(Vec::new()) }
    }

    #[test]
    fn a_newer_version_is_named_with_whoever_installs_it_in_every_language() {
        for lang in LANGUAGES {
            let texts = Texts::of(lang);
            assert_eq!(said(&texts, &online(Vec::new()), Owner::Ours), []);
            for (plan, tone, button) in plans() {
                let said = said(&texts, &newer(plan.clone()), Owner::Ours);
                let [Notice { id, text, action, .. }] = &said[..] else { panic!("{said:?}") };
                assert!(id == "update" && said[0].tone == tone, "{said:?}");
                assert!(text.contains("0.2.0") && !text.contains(['{', '}']), "{text}");
                assert_eq!(action.is_some(), button, "{plan:?}");
                // Another process's is not this window's to install.
                let others = super::said(&texts, &newer(plan), Owner::Another { pid: None });
                assert_eq!(others[0].action, None);
            }
            let hours = Some("22:00-05:00".parse().unwrap());
            let said = |plan| said(&texts, &newer(Some(plan)), Owner::Ours).remove(0).text;
            assert!(said(UpdatePlan::Itself { hours }).contains("22:00"), "{lang}");
            assert!(said(UpdatePlan::Now { fetched: Some(37) }).contains("37"), "{lang}");
        }
    }

    #[test]
    fn a_version_that_is_not_to_be_used_any_more_is_said_first_with_what_helps() {
        let texts = Texts::of("en");
        let mut status = online(Vec::new());
        status.standing = Some(VersionStanding::TooOld { minimum: "0.1.4".parse().unwrap() });
        let alone = said(&texts, &status, Owner::Ours);
        assert!(alone.len() == 1 && alone[0].tone == Tone::Warn, "{alone:?}");
        assert!(alone[0].text.contains("0.1.4") && alone[0].text.contains("your vendor"), "{alone:?}");
        status.available = Some("0.2.0".parse().unwrap());
        let both = said(&texts, &status, Owner::Ours);
        assert_eq!(both.iter().map(|notice| notice.id.as_str()).collect::<Vec<_>>(), ["standing", "update"]);
        assert!(!both[0].text.contains("your vendor"), "the newer one helps: {both:?}");
    }
}
