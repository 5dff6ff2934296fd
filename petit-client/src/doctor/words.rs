//! Findings in the words of the command line.

use std::fmt::Display;

use petit_engine::cause::ServiceCause;
use petit_host::cli::chain;

use super::finding::{Check, Fact, Fault, Finding, Found, Subject};
use crate::config::KeyStore;
use crate::messages::{self, Advice, Message};
use crate::status::{BrokenAt, Connection, KeyTrouble};
use crate::texts::{Texts, lasting};

pub(super) fn check(texts: &Texts, finding: &Finding) -> Check {
    let (detail, advice) = match &finding.found {
        Found::Good(fact) => (self::fact(texts, fact), String::new()),
        Found::Bad(fault) => {
            let Advice { what, todo } = self::fault(texts, fault);
            (what, todo)
        }
        Found::Untried { why, url } => {
            let why = messages::untried(texts, *why, url);
            (texts.fill("doctor.public.untried", &[("why", &why)]), String::new())
        }
        Found::Skipped => (texts.get("doctor.skipped"), String::new()),
    };
    Check { name: finding.of.name(texts), result: finding.found.result(), detail, advice }
}

impl Subject {
    /// What it is called.
    pub fn name(&self, texts: &Texts) -> String {
        let of = |key: &str, name: &dyn Display| texts.format(key, &[("service", name)]);
        match self {
            Self::Config => texts.get("doctor.config"),
            Self::Registration => texts.get("doctor.registration"),
            Self::Key => texts.get("doctor.key"),
            Self::Proxy => texts.get("doctor.proxy"),
            Self::Name => texts.get("doctor.name"),
            Self::Reachability => texts.get("doctor.way"),
            Self::ServerIdentity => texts.get("doctor.server_identity"),
            Self::OwnIdentity => texts.get("doctor.own_identity"),
            Self::Clock => texts.get("doctor.clock"),
            Self::Connection => texts.get("doctor.connection"),
            Self::Services => texts.get("doctor.services"),
            Self::Service(name) => of("doctor.service", name),
            Self::AtServer(name) => of("doctor.at_server", name),
            Self::PublicAddress(name) => of("doctor.public", name),
        }
    }
}

fn fact(texts: &Texts, fact: &Fact) -> String {
    let fill = |key: &str, values: &[(&str, &dyn Display)]| texts.format(key, values);
    match fact {
        Fact::Config { path, notes } => {
            let mut detail = path.display().to_string();
            for note in notes {
                let values: [(&str, &dyn Display); 2] = [("line", &note.line), ("message", &note.message)];
                detail.push_str(&fill("doctor.config.note", &values));
            }
            detail
        }
        Fact::Registered { server, device } => {
            fill("doctor.registered.cli", &[("server", server), ("device", device)])
        }
        Fact::KeyIn { store: KeyStore::Keychain, key } => fill("doctor.key.keychain.cli", &[("key", key)]),
        Fact::KeyIn { store: KeyStore::File, key } => fill("doctor.key.file.cli", &[("key", key)]),
        Fact::NoProxy => texts.get("doctor.proxy.none"),
        Fact::Proxy { proxy, server } => fill("doctor.proxy.leads", &[("proxy", proxy), ("server", server)]),
        Fact::NameByProxy { host } => fill("doctor.name.by_proxy", &[("host", host)]),
        Fact::Name { host, addresses } => {
            let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
            fill("doctor.name.cli", &[("host", host), ("addresses", &addresses.join(", "))])
        }
        Fact::Answers { server, took: None } => fill("doctor.way.answers.cli", &[("server", server)]),
        Fact::Answers { server, took: Some(took) } => {
            fill("doctor.way.answers_in.cli", &[("server", server), ("ms", &took.as_millis())])
        }
        Fact::Pinned { keys } => {
            let mut detail = texts.get("doctor.pinned.cli");
            if let Some(keys) = keys {
                let kind = if keys.post_quantum { "post_quantum" } else { "classical" };
                detail.push_str(&fill(&format!("doctor.pinned.{kind}.cli"), &[("name", &keys.name)]));
            }
            detail
        }
        Fact::Known { device } => fill("doctor.known.cli", &[("device", device)]),
        Fact::Agrees { apart } => fill("doctor.clock.agrees.cli", &[("s", &apart.as_secs())]),
        Fact::Connected { server } => fill("doctor.connection.online.cli", &[("server", server)]),
        Fact::PublicAddress { url } => fill("doctor.public.passed", &[("url", url)]),
        Fact::Accepts { target, took } => {
            fill("doctor.service.accepts", &[("target", target), ("ms", &took.as_millis())])
        }
    }
}

impl Fault {
    /// What is to be said of it.
    pub fn message(&self, texts: &Texts) -> Message {
        match self {
            Self::Config(error) => messages::config(error),
            Self::Registration(_) => Message::new("problem.registration.unreadable"),
            Self::Unregistered => messages::unregistered(),
            Self::Vault(error) => messages::vault(error),
            Self::KeyGone(_) => messages::key(KeyTrouble::Gone),
            Self::Server { cause, .. } => messages::cause(*cause),
            Self::Clock { apart, is_ahead } => {
                let key = if *is_ahead { "doctor.clock.ahead" } else { "doctor.clock.behind" };
                Message::new(key).value("time", &lasting(texts, *apart))
            }
            Self::NotRunning => Message::new("doctor.connection.not_running"),
            Self::Connection(connection) => {
                messages::trouble(connection).unwrap_or_else(|| match connection {
                    Connection::Off => Message::new("doctor.connection.off"),
                    _ => Message::new("doctor.connection.connecting"),
                })
            }
            Self::NoService { invited } => {
                let command = messages::add_service(invited.as_ref());
                Message::new("doctor.no_service").value("command", &command)
            }
            Self::Service { target, cause, .. } => messages::service(*cause, target),
            Self::Broken(at) => messages::broken(*at, ""),
            Self::PublicAddress { cause, .. } => messages::broken(BrokenAt::Front(*cause), ""),
        }
    }

    /// What stands behind a certificate that is not trusted: whose it is. Empty for everything else.
    pub fn shown_certificate(&self, texts: &Texts) -> String {
        let Self::Service { certificate: Some(shown), .. } = self else { return String::new() };
        let key = if shown.poses { "doctor.certificate" } else { "doctor.certificate.other" };
        texts.fill(key, &[("issuer", &shown.issuer), ("hex", &shown.fingerprint)])
    }
}

fn fault(texts: &Texts, fault: &Fault) -> Advice {
    let Advice { what, todo } = fault.message(texts).advice(texts);
    match fault {
        Fault::Config(error) => Advice { what: chain(error), todo: texts.get("doctor.config.cli") },
        Fault::Registration(error) => Advice { what: chain(error), todo },
        Fault::Server { said, .. } => Advice { what: format!("{what}{said}"), todo },
        // The line says also when it is tried again.
        Fault::Connection(connection) => Advice { what: messages::connection(texts, connection), todo },
        Fault::Service { cause, .. } => {
            // Whose it is has just been said; elsewhere the advice is to look here.
            let is_shown = *cause == ServiceCause::Untrusted;
            let todo = if is_shown { texts.get("doctor.certificate.cli") } else { todo };
            Advice { what: format!("{what}{}", fault.shown_certificate(texts)), todo }
        }
        Fault::PublicAddress { url, .. } => Advice { what: format!("{url}: {what}"), todo },
        Fault::Unregistered
        | Fault::Vault(_)
        | Fault::KeyGone(_)
        | Fault::Clock { .. }
        | Fault::NotRunning
        | Fault::NoService { .. }
        | Fault::Broken(_) => Advice { what, todo },
    }
}
