//! Findings in the words of the command line.

use petit_engine::cause::ServiceCause;
use petit_host::cli::{ago, chain};

use super::finding::{Check, Fact, Fault, Finding, Found, Subject};
use crate::client::ClientStartError;
use crate::messages::{self, Advice};

pub(super) fn check(finding: &Finding) -> Check {
    let (detail, advice) = match &finding.found {
        Found::Good(fact) => (self::fact(fact), String::new()),
        Found::Bad(fault) => {
            let Advice { what, todo } = self::fault(fault);
            let advice = match fault {
                Fault::NoService { invited } => {
                    format!("add one with: {}", messages::add_service(invited.as_ref()))
                }
                _ => todo.to_owned(),
            };
            (what, advice)
        }
        Found::Untried { why, url } => {
            (format!("not tried, because {}", messages::untried(*why, url)), String::new())
        }
        Found::Skipped => ("not looked at: something before it is not right".to_owned(), String::new()),
    };
    Check { name: name(&finding.of), result: finding.found.result(), detail, advice }
}

fn name(of: &Subject) -> String {
    match of {
        Subject::Config => "config file".to_owned(),
        Subject::Registration => "registration".to_owned(),
        Subject::Key => "device key".to_owned(),
        Subject::Proxy => "proxy".to_owned(),
        Subject::Name => "server's name".to_owned(),
        Subject::Reachability => "way to the server".to_owned(),
        Subject::ServerIdentity => "server's identity".to_owned(),
        Subject::OwnIdentity => "this computer's identity".to_owned(),
        Subject::Clock => "clock".to_owned(),
        Subject::Connection => "connection".to_owned(),
        Subject::Services => "services".to_owned(),
        Subject::Service(name) => format!("service {name}"),
        Subject::AtServer(name) => format!("service {name} at the server"),
        Subject::PublicAddress(name) => format!("public address of {name}"),
    }
}

fn fact(fact: &Fact) -> String {
    match fact {
        Fact::Config { path, notes } => {
            let mut detail = path.display().to_string();
            for note in notes {
                detail.push_str(&format!("; line {}: {}", note.line, note.message));
            }
            detail
        }
        Fact::Registered { server, device } => format!("with {server} as {device}"),
        Fact::KeyIn { store, key } => format!("in the {store}, {key}"),
        Fact::NoProxy => "none on the way".to_owned(),
        Fact::Proxy { proxy, server } => format!("{proxy} leads to {server}"),
        Fact::NameByProxy { host } => format!("{host} is looked up by the proxy"),
        Fact::Name { host, addresses } => {
            let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
            format!("{host} is {}", addresses.join(", "))
        }
        Fact::Answers { server, took: None } => format!("{server} answers"),
        Fact::Answers { server, took: Some(took) } => format!("{server} answers in {} ms", took.as_millis()),
        Fact::Pinned { keys } => {
            let keys = keys.as_ref().map_or_else(String::new, |keys| {
                let kind = if keys.post_quantum { "post-quantum" } else { "classical" };
                format!("; {kind} ({})", keys.name)
            });
            format!("its key is one that the invite named{keys}")
        }
        Fact::Known { device } => format!("the server knows this computer as {device}"),
        Fact::Agrees { apart } => format!("agrees with the server's ({} s apart)", apart.as_secs()),
        Fact::Connected { server } => format!("the client is connected to {server}"),
        Fact::PublicAddress { url } => format!("the server has come in by {url}"),
        Fact::Accepts { target, took } => format!("{target} accepts in {} ms", took.as_millis()),
    }
}

fn fault(fault: &Fault) -> Advice {
    match fault {
        Fault::Config(error) => {
            let todo = "correct it with: petit-client config edit (or make one with: petit-client init)";
            Advice { what: chain(error), todo }
        }
        Fault::Unregistered => {
            let what = "this computer is not registered".to_owned();
            Advice { what, todo: "petit-client register" }
        }
        Fault::Registration(error) => Advice { what: chain(error), todo: "" },
        Fault::Vault(error) => messages::vault(error),
        Fault::KeyGone(store) => messages::start(&ClientStartError::KeyGone(*store)),
        Fault::Server { cause, said } => {
            let Advice { what, todo } = messages::cause(*cause);
            Advice { what: format!("{what}{said}"), todo }
        }
        Fault::Clock { apart, is_ahead } => {
            let direction = if *is_ahead { "ahead of" } else { "behind" };
            let what = format!("this computer's clock is {} {direction} the server's", ago(*apart));
            Advice { what, todo: "let the computer set its clock by itself; invites go by the server's" }
        }
        Fault::NotRunning => {
            Advice { what: "petit-client is not running".to_owned(), todo: "petit-client start" }
        }
        Fault::Connection(connection) => {
            Advice { what: messages::connection(connection), todo: messages::connection_todo(connection) }
        }
        // What to do has a name in it, and is said by `check`.
        Fault::NoService { invited: _ } => Advice { what: "no service is set up".to_owned(), todo: "" },
        Fault::Service { target, cause, certificate } => {
            let Advice { what, mut todo } = messages::service(*cause);
            let mut what = format!("{target}: {what}");
            if *cause == ServiceCause::Untrusted {
                // Whose it is has just been said; elsewhere the advice is to look here.
                todo =
                    "if it is the right one, set tls_fingerprint or tls_ca of the service in the config file";
            }
            if let Some(shown) = certificate {
                let (other, hex) = (if shown.poses { "" } else { ", for another name" }, &shown.fingerprint);
                what.push_str(&format!(" (signed by {}{other}; tls_fingerprint = \"{hex}\")", shown.issuer));
            }
            Advice { what, todo }
        }
        Fault::Refused(at) => messages::broken(*at),
        Fault::PublicAddress { url, cause } => {
            let Advice { what, todo } = messages::front(*cause);
            Advice { what: format!("{url}: {what}"), todo }
        }
    }
}
