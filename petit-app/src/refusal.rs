//! Why a client did not do what it was asked, for the window.

use petit_client::messages;
use petit_client::status::KeyTrouble;

use super::contract::Refused;
use super::link::LinkError;
use super::texts::Texts;
use super::words;

/// Why a client did not do what it was asked, for the window.
pub(crate) fn refused(texts: &Texts, error: LinkError) -> Refused {
    match error {
        LinkError::Register(error) => words::register(texts, &error),
        LinkError::Ask(error) => words::asked(texts, error),
        LinkError::NotRegistered => {
            Refused::new("not_registered", words::said(texts, &messages::unregistered()))
        }
        LinkError::Config(why) => words::refused(texts, "failed", &[("why", &why)]),
        LinkError::Refused(why) => words::refused(texts, "other", &[("why", &why)]),
        LinkError::Gone => words::refused(texts, "gone", &[]),
        LinkError::Registration(error) => words::register(texts, &error.into()),
        LinkError::Older => words::refused(texts, "older", &[]),
        LinkError::NotHere => words::refused(texts, "not_with_other", &[]),
        LinkError::Start(error) => {
            let trouble = KeyTrouble::from(&error);
            Refused::new("key", words::key(texts, trouble))
        }
    }
}
