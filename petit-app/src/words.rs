//! Causes as words for the window, the tray and notifications, from the catalogue. No decisions.
//!
//! The command line has words of its own (`messages.rs`), because its advice is commands.

use petit_client::config::ConfigError;
use petit_client::enrol::{FormerEnd, RegisterError};
use petit_client::status::{BrokenAt, KeyTrouble, ServiceStatus, is_server_only};
use petit_client::vault::VaultError;
use petit_engine::agent::{AskError, EnrolError};
use petit_engine::cause::{Cause, FrontUntried, ServiceCause};
use petit_engine::invite::InvalidInvite;
use petit_engine::name::InvalidName;
use petit_engine::proto::control::FrontState;
use petit_host::cli::chain;
use serde::Serialize;

use super::contract::{Refused, Words};
use super::texts::Texts;

/// `what` and `todo` of a key.
pub(crate) fn words(texts: &Texts, key: &str, values: &[(&str, &str)]) -> Words {
    Words {
        what: texts.fill(&format!("{key}.what"), values),
        todo: texts.fill(&format!("{key}.todo"), values),
    }
}

/// The name under which a cause is sent and stands in the catalogue.
fn name(of: impl Serialize) -> String {
    match serde_json::to_value(of) {
        Ok(serde_json::Value::String(name)) => name,
        _ => "unknown".to_owned(),
    }
}

/// Why the client is not connected.
pub(crate) fn cause(texts: &Texts, cause: Cause) -> Words {
    words(texts, &format!("cause.{}", name(cause)), &[])
}

/// Why a private service is not reached.
pub(crate) fn service(texts: &Texts, cause: ServiceCause, target: &str) -> Words {
    words(texts, &format!("service.{}", name(cause)), &[("target", target)])
}

/// The first broken hop on the way to a service.
pub(crate) fn broken(texts: &Texts, at: BrokenAt, target: &str) -> Words {
    match at {
        BrokenAt::Registration => words(texts, "service.registration", &[]),
        BrokenAt::Front(cause) => words(texts, &format!("front.{}", name(cause)), &[]),
        BrokenAt::Connection(cause) => self::cause(texts, cause),
        BrokenAt::Server(refusal) => words(texts, &format!("service.{}", name(refusal)), &[]),
        BrokenAt::Client => words(texts, "service.client", &[]),
        BrokenAt::Tunnel => words(texts, "service.tunnel", &[]),
        BrokenAt::Service(cause) => service(texts, cause, target),
    }
}

/// A service whose way was proved from the server's own front on.
pub(crate) fn up_to_server(texts: &Texts, service: &ServiceStatus) -> Words {
    let why = match service.front.state {
        FrontState::Untried(why) => because(texts, why, service.url.as_deref().unwrap_or_default()),
        FrontState::Checking | FrontState::Passed | FrontState::Failed(_) => String::new(),
    };
    words(texts, "service.up_to_server", &[("why", &why)])
}

/// A public address that was not tried.
pub(crate) fn untried(texts: &Texts, why: FrontUntried, url: &str) -> String {
    texts.fill("doctor.public.untried", &[("why", &because(texts, why, url))])
}

/// The end of a sentence.
fn because(texts: &Texts, why: FrontUntried, url: &str) -> String {
    if why == FrontUntried::PrivateAddress && is_server_only(url) {
        return texts.get("front.untried.server_only");
    }
    texts.get(&format!("front.untried.{}", name(why)))
}

/// Why the key of this computer cannot be had.
pub(crate) fn key(texts: &Texts, trouble: KeyTrouble) -> Words {
    words(texts, &format!("problem.key.{}", name(trouble)), &[])
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
    let code = match error {
        InvalidInvite::NotAnInvite => "invite.none",
        InvalidInvite::Version { .. } => "invite.version",
        InvalidInvite::Damaged { .. } => "invite.damaged",
    };
    refused(texts, code, &[]).field("text")
}

/// Why an invite did not lead to a registration.
pub(crate) fn register(texts: &Texts, error: &RegisterError) -> Refused {
    let code = match error {
        RegisterError::Registered(_) => "register.registered".to_owned(),
        RegisterError::OtherServer { .. } => "register.other_server".to_owned(),
        RegisterError::Vault(error) => return vault(texts, error),
        RegisterError::KeyGone(_) => {
            return Refused::new(&format!("key.{}", name(KeyTrouble::Gone)), key(texts, KeyTrouble::Gone));
        }
        RegisterError::Key(_) | RegisterError::Enrol(EnrolError::Key(_)) => "register.key".to_owned(),
        RegisterError::Registration(_) => "register.not_written".to_owned(),
        RegisterError::Enrol(EnrolError::NoAnswer { .. }) => "register.no_answer".to_owned(),
        RegisterError::Enrol(EnrolError::BadAnswer { .. }) => "register.bad_answer".to_owned(),
        RegisterError::Enrol(EnrolError::Refused { refusal, .. }) => format!("register.{}", name(refusal)),
        RegisterError::Enrol(error) => {
            let why = error.cause().unwrap_or(Cause::Protocol);
            return Refused::new(&format!("cause.{}", name(why)), cause(texts, why));
        }
    };
    refused(texts, &code, &[])
}

/// What became of a registration that another one took the place of; `None` when there is nothing to know.
pub(crate) fn former(texts: &Texts, end: FormerEnd, vendor: &str) -> Option<Words> {
    let vendor = ("vendor", vendor);
    match end {
        FormerEnd::Told | FormerEnd::Unknown => None,
        FormerEnd::Unreachable { cause } => {
            let why = self::cause(texts, cause).what;
            Some(words(texts, "former.unreachable", &[vendor, ("why", &why)]))
        }
        FormerEnd::NoKey => Some(words(texts, "former.no_key", &[vendor])),
    }
}

/// Why the keychain is of no use.
pub(crate) fn vault(texts: &Texts, error: &VaultError) -> Refused {
    let trouble = KeyTrouble::from(error);
    // The page offers a file then, and only then.
    let code = if trouble == KeyTrouble::Missing {
        "no_keychain".to_owned()
    } else {
        format!("key.{}", name(trouble))
    };
    Refused::new(&code, key(texts, trouble))
}

/// Why a question to the server came to nothing.
pub(crate) fn asked(texts: &Texts, error: AskError) -> Refused {
    let code = match error {
        AskError::Offline => "offline",
        AskError::NoSuchService => "no_service",
        AskError::Unanswered => "unanswered",
    };
    refused(texts, code, &[])
}

/// Why there is no config to run with.
pub(crate) fn config(texts: &Texts, error: &ConfigError) -> Words {
    let key = match error {
        ConfigError::Missing { .. } => "problem.config.missing",
        ConfigError::Invalid(_) | ConfigError::Services { .. } => "problem.config.broken",
        ConfigError::Unreadable { .. } | ConfigError::Unsafe(_) => "problem.config.unreadable",
    };
    words(texts, key, &[])
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
