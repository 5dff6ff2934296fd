//! What is to be said of causes and errors: which key of the catalogue, with which values. No decisions, and no
//! sentences: these are in [`crate::texts`].

use std::fmt::Display;

use petit_engine::agent::{AskError, EnrolError};
use petit_engine::cause::{Cause, FrontUntried, ServiceCause};
use petit_engine::invite::InvalidInvite;
use petit_engine::name::ServiceName;
use petit_engine::proto::control::Admits;
use petit_host::cli::chain;
use serde::Serialize;

use crate::client::ClientStartError;
use crate::config::ConfigError;
use crate::enrol::RegisterError;
use crate::registration::RegistrationError;
use crate::status::{BrokenAt, Connection, KeyTrouble, Status, is_server_only};
use crate::texts::Texts;
use crate::vault::VaultError;

/// Something that is to be said: what is the matter, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    key: String,
    values: Vec<(&'static str, String)>,
    /// What is for whoever looks more closely, in English: the command line says it behind what is the matter.
    detail: Option<String>,
}

/// What is the matter, and what to type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advice {
    /// What is the matter, as a sentence without its full stop.
    pub what: String,
    /// What to do; empty when there is nothing to do but wait.
    pub todo: String,
}

impl Message {
    /// A message by its key.
    pub fn new(key: impl Into<String>) -> Self {
        Self { key: key.into(), values: Vec::new(), detail: None }
    }

    /// With a value that is filled in.
    #[must_use]
    pub fn value(mut self, name: &'static str, value: &(impl Display + ?Sized)) -> Self {
        self.values.push((name, value.to_string()));
        self
    }

    fn detail(mut self, detail: &(impl Display + ?Sized)) -> Self {
        self.detail = Some(detail.to_string());
        self
    }

    /// Its key in the catalogue, without `.what`.
    pub fn key(&self) -> &str {
        &self.key
    }

    fn filled(&self, texts: &Texts, part: &str) -> String {
        let values: Vec<(&str, &str)> =
            self.values.iter().map(|(name, value)| (*name, value.as_str())).collect();
        texts.fill(&format!("{}.{part}", self.key), &values)
    }

    /// What is the matter, as a sentence without capital and full stop.
    pub fn what(&self, texts: &Texts) -> String {
        self.filled(texts, "what")
    }

    /// The same as a sentence that stands alone, without its full stop.
    pub fn sentence(&self, texts: &Texts) -> String {
        let values: Vec<(&str, &str)> =
            self.values.iter().map(|(name, value)| (*name, value.as_str())).collect();
        texts.sentence(&format!("{}.what", self.key), &values)
    }

    /// What to click.
    pub fn to_click(&self, texts: &Texts) -> String {
        self.filled(texts, "todo")
    }

    /// What to type.
    pub fn to_type(&self, texts: &Texts) -> String {
        self.filled(texts, "cli")
    }

    /// In the words of the command line.
    pub fn advice(&self, texts: &Texts) -> Advice {
        let mut what = self.what(texts);
        if let Some(detail) = &self.detail {
            what.push_str(&format!(" ({detail})"));
        }
        Advice { what, todo: self.to_type(texts) }
    }
}

/// The name under which a cause is sent and stands in the catalogue.
fn name(of: impl Serialize) -> String {
    match serde_json::to_value(of) {
        Ok(serde_json::Value::String(name)) => name,
        _ => "unknown".to_owned(),
    }
}

/// What to type to add a service. `wanted`: the one that is to be set up next, as far as that is known.
pub fn add_service(wanted: Option<&ServiceName>) -> String {
    let name = wanted.map_or("NAME", ServiceName::as_str);
    format!("petit-client service add {name} HOST:PORT")
}

/// Why the client is not connected.
pub fn cause(cause: Cause) -> Message {
    Message::new(format!("cause.{}", name(cause)))
}

/// Why a private service is not reached.
pub fn service(cause: ServiceCause, target: &(impl Display + ?Sized)) -> Message {
    Message::new(format!("service.{}", name(cause))).value("target", target)
}

/// A public address, as it is shown. That of a port which is open on the server's own machine only would be taken for one
/// of this computer.
pub fn address(texts: &Texts, url: &str) -> String {
    if is_server_only(url) { texts.format("address.server_only", &[("url", &url)]) } else { url.to_owned() }
}

/// Why the public address `url` was not tried, as the end of a sentence.
pub fn untried(texts: &Texts, why: FrontUntried, url: &str) -> String {
    if why == FrontUntried::PrivateAddress && is_server_only(url) {
        return texts.get("front.untried.server_only");
    }
    texts.get(&format!("front.untried.{}", name(why)))
}

/// The first broken hop on the way to a service at `target`.
pub fn broken(at: BrokenAt, target: &(impl Display + ?Sized)) -> Message {
    match at {
        BrokenAt::Registration => unregistered(),
        BrokenAt::Front(cause) => Message::new(format!("front.{}", name(cause))),
        BrokenAt::Connection(cause) => self::cause(cause),
        BrokenAt::Server(refusal) => Message::new(format!("service.{}", name(refusal))),
        BrokenAt::Shut => Message::new("service.shut"),
        BrokenAt::Client => Message::new("service.client"),
        BrokenAt::Tunnel => Message::new("service.tunnel"),
        BrokenAt::Service(cause) => service(cause, target),
    }
}

/// Who can come to a service, as its server says, as a sentence without capital and full stop.
pub fn admits(texts: &Texts, admits: Admits) -> String {
    texts.get(&format!("service.admits.{}", name(admits)))
}

/// This computer is not registered.
pub fn unregistered() -> Message {
    Message::new("service.registration")
}

/// What is the matter with a connection; `None` when nothing is.
pub fn trouble(connection: &Connection) -> Option<Message> {
    match connection {
        Connection::Waiting { cause, .. } | Connection::Stopped { cause } => Some(self::cause(*cause)),
        Connection::NoKey { trouble } => Some(key(*trouble)),
        Connection::Unregistered => Some(unregistered()),
        Connection::Off | Connection::Connecting | Connection::Online { .. } => None,
    }
}

/// Where the connection stands, as a line of the command line.
pub fn connection(texts: &Texts, connection: &Connection) -> String {
    let because = |cause: &Cause| self::cause(*cause).what(texts);
    match connection {
        Connection::Unregistered => texts.get("cli.connection.unregistered"),
        Connection::Off => texts.get("cli.connection.off"),
        Connection::NoKey { trouble } => key(*trouble).what(texts),
        Connection::Connecting => texts.get("cli.connection.connecting"),
        Connection::Online { .. } => texts.get("cli.connection.online"),
        Connection::Waiting { cause, retry_in_ms } => {
            let seconds = retry_in_ms.div_ceil(1000).to_string();
            texts.fill("cli.connection.waiting", &[("why", &because(cause)), ("s", &seconds)])
        }
        Connection::Stopped { cause } => texts.fill("cli.connection.stopped", &[("why", &because(cause))]),
    }
}

/// Where a client stands, for whoever looks after services, in English.
pub fn in_a_line(status: &Status) -> String {
    let texts = Texts::of("en");
    let connection = connection(&texts, &status.connection);
    match (&status.registered, &status.connection) {
        (None, _) | (_, Connection::Unregistered) => unregistered().sentence(&texts),
        (Some(at), _) => format!("{}: {connection}", at.server),
    }
}

/// What to type about the connection; empty when there is nothing to do but wait.
pub fn connection_todo(texts: &Texts, connection: &Connection) -> String {
    trouble(connection).map(|trouble| trouble.to_type(texts)).unwrap_or_default()
}

/// Why a text is not an invite.
pub fn invite(error: &InvalidInvite) -> Message {
    match error {
        InvalidInvite::NotAnInvite => Message::new("problem.invite.none"),
        InvalidInvite::Version { version } => {
            Message::new("problem.invite.version").value("version", version)
        }
        InvalidInvite::Damaged { characters } => {
            Message::new("problem.invite.damaged").value("characters", characters)
        }
    }
}

/// Why an invite did not lead to a registration.
pub fn register(error: &RegisterError) -> Message {
    match error {
        RegisterError::Registered(known) => {
            Message::new("problem.register.registered").value("server", &known.server)
        }
        RegisterError::OtherServer { invite, config } => {
            Message::new("problem.register.other_server").value("invite", invite).value("config", config)
        }
        RegisterError::Enrol(error) => enrol(error),
        RegisterError::Vault(error) => vault(error),
        RegisterError::Key(_) => Message::new("problem.register.key").detail(&chain(error)),
        RegisterError::KeyGone(_) => key(KeyTrouble::Gone),
        RegisterError::Registration(RegistrationError::Damaged { .. }) => {
            Message::new("problem.registration.unreadable").detail(&chain(error))
        }
        RegisterError::Registration(RegistrationError::File(_)) => {
            Message::new("problem.register.not_written").detail(&chain(error))
        }
    }
}

fn enrol(error: &EnrolError) -> Message {
    match error {
        EnrolError::Refused { refusal, .. } => Message::new(format!("problem.register.{}", name(refusal))),
        EnrolError::NoAnswer { .. } => Message::new("problem.register.no_answer"),
        EnrolError::BadAnswer { .. } => Message::new("problem.register.bad_answer"),
        EnrolError::Dial(dial) => cause(dial.cause()).detail(dial),
        EnrolError::Key(_) => Message::new("problem.register.key").detail(&chain(error)),
    }
}

/// Why the key of this computer is out of reach.
pub fn vault(error: &VaultError) -> Message {
    match error {
        VaultError::NoKeychain | VaultError::Locked | VaultError::Denied | VaultError::Unanswered(_) => {
            key(KeyTrouble::from(error))
        }
        VaultError::Failed(_) => Message::new("problem.key.keychain").detail(&chain(error)),
        VaultError::File(_) => Message::new("problem.key.file").detail(&chain(error)),
        VaultError::NotAKey(_) => Message::new("problem.key.unusable").detail(&chain(error)),
    }
}

/// Why the key of this computer cannot be had, as a running client tells it.
pub fn key(trouble: KeyTrouble) -> Message {
    Message::new(format!("problem.key.{}", name(trouble)))
}

/// Why there is no client running. What only the chain of the error says is its detail.
pub fn start(error: &ClientStartError) -> Message {
    match error {
        ClientStartError::Vault(error) => vault(error),
        ClientStartError::KeyGone(_) => key(KeyTrouble::Gone),
        ClientStartError::Registration(error) => {
            Message::new("problem.registration.unreadable").detail(&chain(error))
        }
        ClientStartError::Key(error) => Message::new("problem.key.unusable").detail(&chain(error)),
    }
}

/// Why there is no config to run with.
pub fn config(error: &ConfigError) -> Message {
    Message::new(match error {
        ConfigError::Missing { .. } => "problem.config.missing",
        ConfigError::Invalid(_) | ConfigError::Part { .. } => "problem.config.broken",
        ConfigError::Unreadable { .. } | ConfigError::Unsafe(_) => "problem.config.unreadable",
    })
}

/// Why a question to the server came to nothing.
pub fn asked(error: AskError) -> Message {
    Message::new(match error {
        AskError::Offline => "problem.offline",
        AskError::NoSuchService => "problem.no_service",
        AskError::Unanswered => "problem.unanswered",
    })
}

#[cfg(test)]
mod tests {
    use petit_engine::secret::PrivateKey;
    use petit_host::files::FileError;

    use super::*;
    use crate::texts::LANGUAGES;

    #[test]
    fn a_registration_that_cannot_be_read_is_not_said_to_be_one_that_could_not_be_written() {
        let damaged = RegistrationError::Damaged { path: "/registration.json".into() };
        let message = register(&RegisterError::Registration(damaged));
        assert_eq!(message.key(), "problem.registration.unreadable");
        let full = std::io::Error::from(std::io::ErrorKind::StorageFull);
        let file = FileError::Io { action: "write", path: "/registration.json".into(), source: full };
        let message = register(&RegisterError::Registration(file.into()));
        assert_eq!(message.key(), "problem.register.not_written");
    }

    #[test]
    fn what_a_keychain_or_a_key_file_does_not_do_leads_to_no_command_that_says_the_same_again() {
        let invalid = PrivateKey::from_text(b"no key").unwrap_err();
        let refused = std::io::Error::from(std::io::ErrorKind::PermissionDenied);
        let file = FileError::Io { action: "read", path: "/client.key".into(), source: refused };
        for error in [VaultError::Failed("why".into()), VaultError::File(file), VaultError::NotAKey(invalid)]
        {
            for lang in LANGUAGES {
                let Advice { what, todo } = vault(&error).advice(&Texts::of(lang));
                assert!(!todo.is_empty() && !todo.contains("petit-client doctor"), "{what}: {todo}");
                assert!(what.contains('('), "{what} without what it was");
            }
        }
    }
}
