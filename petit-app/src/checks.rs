//! What the doctor found, in the words of the catalogue.

use std::time::Duration;

use petit_client::config::KeyStore;
use petit_client::doctor::{Fact, Fault, Finding, Found};
use petit_host::cli::chain;

use super::contract::{Check, Words};
use super::texts::{Texts, capital};
use super::words;

pub(crate) fn check(texts: &Texts, finding: &Finding) -> Check {
    let (detail, advice) = match &finding.found {
        Found::Good(fact) => (self::fact(texts, fact), String::new()),
        Found::Bad(fault) => {
            let Words { what, todo } = self::fault(texts, fault);
            (what, todo)
        }
        Found::Untried { why, url } => (words::untried(texts, *why, url), String::new()),
        Found::Skipped => (texts.sentence("doctor.skipped", &[]), String::new()),
    };
    Check { name: capital(&finding.of.name(texts)), result: finding.found.result(), detail, advice }
}

fn fact(texts: &Texts, fact: &Fact) -> String {
    let ms = |took: Duration| took.as_millis().max(1).to_string();
    match fact {
        Fact::Config { path, notes } => {
            let mut detail = path.display().to_string();
            for note in notes {
                let values = [("line", &*note.line.to_string()), ("message", note.message.as_str())];
                detail.push_str(&texts.fill("doctor.config.note", &values));
            }
            detail
        }
        Fact::Registered { server, .. } => texts.sentence("doctor.registered", &[("server", server.host())]),
        Fact::KeyIn { store: KeyStore::Keychain, .. } => texts.sentence("doctor.key.keychain", &[]),
        Fact::KeyIn { store: KeyStore::File, .. } => texts.sentence("doctor.key.file", &[]),
        Fact::NoProxy => texts.sentence("doctor.proxy.none", &[]),
        Fact::Proxy { proxy, server } => {
            texts.sentence("doctor.proxy.leads", &[("proxy", proxy), ("server", &server.to_string())])
        }
        Fact::NameByProxy { host } => texts.sentence("doctor.name.by_proxy", &[("host", host)]),
        Fact::Name { host, addresses } => {
            let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
            format!("{host}: {}", addresses.join(", "))
        }
        Fact::Answers { took: None, .. } => texts.sentence("doctor.way.answers", &[]),
        Fact::Answers { took: Some(took), .. } => {
            texts.sentence("doctor.way.answers_in", &[("ms", &ms(*took))])
        }
        Fact::Pinned { keys } => {
            let mut detail = texts.sentence("doctor.pinned", &[]);
            match keys.as_ref().map(|keys| keys.post_quantum) {
                Some(true) => detail.push_str(&texts.get("doctor.pinned.post_quantum")),
                Some(false) => detail.push_str(&texts.get("doctor.pinned.classical")),
                None => {}
            }
            detail
        }
        Fact::Known { .. } => texts.sentence("doctor.known", &[]),
        Fact::Agrees { apart } if apart.as_secs() < 2 => texts.sentence("doctor.clock.agrees", &[]),
        Fact::Agrees { apart } => {
            texts.sentence("doctor.clock.apart", &[("s", &apart.as_secs().to_string())])
        }
        Fact::Connected { server } => {
            texts.sentence("doctor.connection.online", &[("server", server.host())])
        }
        Fact::PublicAddress { url } => texts.sentence("doctor.public.passed", &[("url", url)]),
        Fact::Accepts { target, took } => {
            let values = [("target", &*target.to_string()), ("ms", &*ms(*took))];
            texts.sentence("doctor.service.accepts", &values)
        }
    }
}

fn fault(texts: &Texts, fault: &Fault) -> Words {
    let words = words::said(texts, &fault.message(texts));
    match fault {
        Fault::Config(error) => with(words, &format!(" ({})", chain(error))),
        Fault::Registration(error) => Words { what: chain(error), todo: String::new() },
        Fault::Server { said, .. } => with(words, said),
        Fault::Service { .. } => with(words, &fault.shown_certificate(texts)),
        Fault::PublicAddress { url, .. } => with(words, &format!(" ({url})")),
        Fault::NotRunning => words::words(texts, "problem.app_not_running", &[]),
        Fault::Unregistered
        | Fault::Vault(_)
        | Fault::KeyGone(_)
        | Fault::Clock { .. }
        | Fault::Connection(_)
        | Fault::NoService { .. }
        | Fault::Broken(_) => words,
    }
}

/// Words with something behind them that is for whoever looks after the network.
fn with(words: Words, more: &str) -> Words {
    Words { what: format!("{}{more}", words.what), ..words }
}

#[cfg(test)]
mod tests {
    use petit_client::doctor::Subject;
    use petit_client::status::{BrokenAt, Connection};
    use petit_client::vault::VaultError;

    use super::*;
    use crate::texts::LANGUAGES;

    #[test]
    fn every_finding_has_words_in_every_language() {
        let target = || "localhost:3000".parse().unwrap();
        let service = || Subject::Service("shop".parse().unwrap());
        let public = || Subject::PublicAddress("shop".parse().unwrap());
        let facts = [
            (Subject::Config, Fact::Config { path: "/x".into(), notes: Vec::new() }),
            (
                Subject::Key,
                Fact::KeyIn { store: KeyStore::File, key: petit_engine::secret::Fingerprint([1; 32]) },
            ),
            (Subject::Proxy, Fact::NoProxy),
            (Subject::Proxy, Fact::Proxy { proxy: "http://p:1".to_owned(), server: target() }),
            (Subject::Name, Fact::NameByProxy { host: "h".to_owned() }),
            (Subject::Reachability, Fact::Answers { server: target(), took: None }),
            (Subject::Reachability, Fact::Answers { server: target(), took: Some(Duration::from_millis(7)) }),
            (Subject::ServerIdentity, Fact::Pinned { keys: None }),
            (Subject::Clock, Fact::Agrees { apart: Duration::from_secs(1) }),
            (Subject::Clock, Fact::Agrees { apart: Duration::from_secs(9) }),
            (Subject::Connection, Fact::Connected { server: target() }),
            (service(), Fact::Accepts { target: target(), took: Duration::ZERO }),
            (public(), Fact::PublicAddress { url: "https://x.example".to_owned() }),
        ];
        let faults = [
            (Subject::Registration, Fault::Unregistered),
            (Subject::Key, Fault::Vault(VaultError::Locked)),
            (Subject::Key, Fault::KeyGone(KeyStore::Keychain)),
            (
                Subject::Reachability,
                Fault::Server { cause: petit_engine::cause::Cause::Unanswered, said: " (x)".to_owned() },
            ),
            (Subject::Clock, Fault::Clock { apart: Duration::from_secs(600), is_ahead: true }),
            (Subject::Clock, Fault::Clock { apart: Duration::from_secs(600), is_ahead: false }),
            (Subject::Connection, Fault::NotRunning),
            (Subject::Connection, Fault::Connection(Connection::Off)),
            (Subject::Connection, Fault::Connection(Connection::Connecting)),
            (
                Subject::Connection,
                Fault::Connection(Connection::Stopped { cause: petit_engine::cause::Cause::InUseElsewhere }),
            ),
            (Subject::Services, Fault::NoService { invited: None }),
            (
                service(),
                Fault::Service {
                    target: target(),
                    cause: petit_engine::cause::ServiceCause::Refused,
                    certificate: None,
                },
            ),
            (
                Subject::AtServer("shop".parse().unwrap()),
                Fault::Broken(BrokenAt::Server(petit_engine::proto::control::GrantRefusal::TooMany)),
            ),
            (
                public(),
                Fault::PublicAddress {
                    url: "https://x.example".to_owned(),
                    cause: petit_engine::cause::FrontCause::Gateway,
                },
            ),
        ];
        let facts = facts.into_iter().map(|(of, fact)| Finding { of, found: Found::Good(fact) });
        let faults = faults.into_iter().map(|(of, fault)| Finding { of, found: Found::Bad(fault) });
        let why = petit_engine::cause::FrontUntried::Unreachable;
        let untried =
            [Finding { of: public(), found: Found::Untried { why, url: "https://x.example".to_owned() } }];
        let skipped =
            [Subject::OwnIdentity, Subject::Services].map(|of| Finding { of, found: Found::Skipped });
        for finding in facts.chain(faults).chain(untried).chain(skipped) {
            let said = LANGUAGES.map(|lang| {
                let check = check(&Texts::of(lang), &finding);
                for text in [&check.name, &check.detail, &check.advice] {
                    let key = text.starts_with("doctor.") || text.starts_with("problem.");
                    assert!(!key && !text.contains('{'), "{lang}: {text}");
                }
                assert!(!check.name.is_empty() && !check.detail.is_empty(), "{finding:?}");
                check
            });
            let plain = matches!(finding.found, Found::Good(Fact::Config { .. }));
            assert!(plain || said[0].detail != said[1].detail, "{finding:?}");
        }
    }
}
