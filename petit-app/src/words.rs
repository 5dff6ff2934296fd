//! Causes as words for the window, the tray and notifications, from the catalogue. No decisions.
//!
//! What a cause is called stands in [`petit_client::messages`], for the command line too; here it begins with a capital,
//! and the advice is what to click.

use petit_client::config::ConfigError;
use petit_client::enrol::{FormerEnd, RegisterError};
use petit_client::messages::{self, Message};
use petit_client::status::{BrokenAt, KeyTrouble, ServiceStatus};
use petit_client::vault::VaultError;
use petit_engine::agent::AskError;
use petit_engine::cause::{Cause, FrontUntried, ServiceCause};
use petit_engine::invite::InvalidInvite;
use petit_engine::name::InvalidName;
use petit_engine::proto::control::{Admits, FrontState};
use petit_host::cli::chain;

use super::contract::{Refused, Words};
use super::texts::{Texts, capital};

/// `what` and `todo` of a key.
pub(crate) fn words(texts: &Texts, key: &str, values: &[(&str, &str)]) -> Words {
    Words {
        what: texts.sentence(&format!("{key}.what"), values),
        todo: texts.fill(&format!("{key}.todo"), values),
    }
}

/// A message as the window says it.
pub(crate) fn said(texts: &Texts, message: &Message) -> Words {
    Words { what: message.sentence(texts), todo: message.to_click(texts) }
}

/// Why the client is not connected.
pub(crate) fn cause(texts: &Texts, cause: Cause) -> Words {
    said(texts, &messages::cause(cause))
}

/// Why a private service is not reached.
pub(crate) fn service(texts: &Texts, cause: ServiceCause, target: &str) -> Words {
    said(texts, &messages::service(cause, target))
}

/// The first broken hop on the way to a service.
pub(crate) fn broken(texts: &Texts, at: BrokenAt, target: &str) -> Words {
    said(texts, &messages::broken(at, target))
}

/// Who can come to a service.
pub(crate) fn admits(texts: &Texts, admits: Admits) -> String {
    capital(&messages::admits(texts, admits))
}

/// A service whose way was proved from the server's own front on.
pub(crate) fn up_to_server(texts: &Texts, service: &ServiceStatus) -> Words {
    let why = match service.front.state {
        FrontState::Untried(why) => messages::untried(texts, why, service.url.as_deref().unwrap_or_default()),
        FrontState::Checking | FrontState::Passed | FrontState::Failed(_) => String::new(),
    };
    words(texts, "service.up_to_server", &[("why", &why)])
}

/// A public address that was not tried.
pub(crate) fn untried(texts: &Texts, why: FrontUntried, url: &str) -> String {
    texts.sentence("doctor.public.untried", &[("why", &messages::untried(texts, why, url))])
}

/// Why the key of this computer cannot be had.
pub(crate) fn key(texts: &Texts, trouble: KeyTrouble) -> Words {
    said(texts, &messages::key(trouble))
}

/// A refusal with the words of a key.
pub(crate) fn refused(texts: &Texts, code: &str, values: &[(&str, &str)]) -> Refused {
    Refused::new(code, words(texts, &format!("problem.{code}"), values))
}

/// Why a text is not a name, or no target, whichever `field` it was typed into.
pub(crate) fn invalid(texts: &Texts, field: &str, why: &InvalidName) -> Refused {
    let (key, values) = match why {
        InvalidName::Length { min, max, .. } => {
            ("length", vec![("min", min.to_string()), ("max", max.to_string())])
        }
        InvalidName::Character { found, .. } => ("character", vec![("found", found.to_string())]),
        InvalidName::Reserved { name } => ("reserved", vec![("name", name.clone())]),
        InvalidName::Form { .. } => ("form", Vec::new()),
    };
    let values: Vec<(&str, &str)> = values.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let what = if field == "name" { format!("problem.name.{key}") } else { "problem.target.what".to_owned() };
    let todo = texts.get(&format!("problem.{field}.todo"));
    Refused::new(field, Words { what: texts.fill(&what, &values), todo }).field(field)
}

/// Something that failed in a way for which there are no words of its own.
pub(crate) fn failed(texts: &Texts, error: &(dyn std::error::Error + 'static)) -> Refused {
    refused(texts, "failed", &[("why", &chain(error))])
}

/// Why a text is not an invite.
pub(crate) fn invite(texts: &Texts, error: &InvalidInvite) -> Refused {
    let message = messages::invite(error);
    Refused::new(message.key().trim_start_matches("problem."), said(texts, &message)).field("text")
}

/// Why an invite did not lead to a registration.
pub(crate) fn register(texts: &Texts, error: &RegisterError) -> Refused {
    let message = messages::register(error);
    // The page offers a file where there is no keychain, and only then.
    let code = match error {
        RegisterError::Vault(VaultError::NoKeychain) => "no_keychain",
        _ => message.key().trim_start_matches("problem."),
    };
    Refused::new(code, said(texts, &message))
}

/// What became of a registration that another one took the place of; `None` when there is nothing to know.
pub(crate) fn former(texts: &Texts, end: FormerEnd, vendor: &str) -> Option<Words> {
    let vendor = ("vendor", vendor);
    match end {
        FormerEnd::Told | FormerEnd::Unknown => None,
        FormerEnd::Unreachable { cause } => {
            let why = messages::cause(cause).what(texts);
            Some(words(texts, "former.unreachable", &[vendor, ("why", &why)]))
        }
        FormerEnd::NoKey => Some(words(texts, "former.no_key", &[vendor])),
    }
}

/// Why a question to the server came to nothing.
pub(crate) fn asked(texts: &Texts, error: AskError) -> Refused {
    let message = messages::asked(error);
    Refused::new(message.key().trim_start_matches("problem."), said(texts, &message))
}

/// Why there is no config to run with.
pub(crate) fn config(texts: &Texts, error: &ConfigError) -> Words {
    said(texts, &messages::config(error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::variants;

    #[test]
    fn every_cause_has_words() {
        let engine = include_str!("../../petit-engine/src/cause.rs");
        let control = include_str!("../../petit-engine/src/proto/control/mod.rs");
        let enrol = include_str!("../../petit-engine/src/proto/control/enrol.rs");
        let status = include_str!("../../petit-client/src/status.rs");
        for (source, name, prefix) in [
            (engine, "Cause", "cause"),
            (engine, "ServiceCause", "service"),
            (engine, "FrontCause", "front"),
            (control, "GrantRefusal", "service"),
            (enrol, "EnrolRefusal", "problem.register"),
            (status, "KeyTrouble", "problem.key"),
        ] {
            let variants = variants(source, name);
            assert!(variants.len() > 2, "{name}");
            for lang in crate::texts::LANGUAGES {
                let texts = Texts::of(lang).all();
                for variant in &variants {
                    assert!(
                        texts.contains_key(&format!("{prefix}.{variant}.what")),
                        "{lang} {prefix}.{variant}"
                    );
                }
            }
        }
        for variant in variants(engine, "FrontUntried") {
            for lang in crate::texts::LANGUAGES {
                let texts = Texts::of(lang).all();
                assert!(texts.contains_key(&format!("front.untried.{variant}")), "{lang} {variant}");
            }
        }
        let en = Texts::of("en");
        assert!(cause(&en, Cause::NameNotFound).what.starts_with("The server's name"));
        assert_eq!(service(&en, ServiceCause::Refused, "localhost:3").what, "Nothing listens at localhost:3");
    }
}
