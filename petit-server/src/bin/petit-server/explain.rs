//! What `explain` has found, in the operator's words.

use std::str::FromStr;

use petit_engine::cause::{Health, ServiceCause};
use petit_engine::limits;
use petit_engine::name::{InvalidName, VisitorKeyName};
use petit_engine::proto::control::{FrontState, Hop};
use petit_server::api::{
    Decision, EntryPoint, Explained, FoundBy, KeyState, PolicyExplained, PolicyStep, PolicyVerdict,
    StepExplained, UrlScheme, VisitOutcome,
};
use petit_server::registry::PolicyTarget;

use super::show::or_nothing;
use super::{fronts, refusals};

/// A visitor on the command line: `key:` and the name of a key.
#[derive(Clone, Debug)]
pub(crate) struct VisitorArg(pub(crate) VisitorKeyName);

impl FromStr for VisitorArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let name =
            text.strip_prefix("key:").ok_or("write key: and the name of a key, such as key:billing")?;
        name.parse().map(Self).map_err(|error: InvalidName| error.to_string())
    }
}

/// The whole answer: what it is, hop by hop, and what a visitor gets.
pub(crate) fn explain(found: &Explained) -> String {
    let mut lines = vec![what(found), entry_point(found)];
    if found.decision == Decision::Service {
        lines.extend(policy(found));
        lines.push(tunnel(found));
        lines.extend(service(found));
    }
    lines.push(outcome(found));
    lines.join("\n")
}

/// What the host or the port stands for.
fn what(found: &Explained) -> String {
    let Explained { host, domain, port, .. } = found;
    let is_tcp = found.scheme == UrlScheme::Tcp;
    match found.decision {
        Decision::Foreign => format!("{host} is not under {domain} and no alias."),
        Decision::Unknown if is_tcp => format!("No raw TCP service has port {port}."),
        Decision::Unknown => format!(
            "{host} is no service's name: neither an alias, nor a single label under {domain} that begins with a registered ID."
        ),
        Decision::Service => {
            let name = if is_tcp { format!("Port {port}") } else { host.clone() };
            let via = match found.via {
                Some(FoundBy::Alias) => "alias",
                Some(FoundBy::RegisteredId) => "registered ID",
                Some(FoundBy::Port) => "port",
                None => "",
            };
            format!(
                "{name} is service {:?} of client {}, found by its {via} ({}).",
                or_nothing(found.service.as_ref()),
                or_nothing(found.client),
                or_nothing(found.id),
            )
        }
    }
}

/// How the entry point of the server is.
fn entry_point(found: &Explained) -> String {
    if !found.server_running {
        return "✘ server: it is not running.".to_owned();
    }
    let (scheme, port) = (found.scheme, found.port);
    let url = found.url.to_ascii_lowercase();
    if let Some(policy) = &found.shut_by {
        return format!("✘ port {port}: it is not listened on: {}.", refusals::why(policy));
    }
    match (found.entry_point, found.public) {
        (EntryPoint::Endpoint | EntryPoint::TcpPort, Some(public)) => {
            format!("{} public address: {}.", fronts::mark(public), said(public, &url))
        }
        (EntryPoint::Endpoint, None) => {
            let host = &found.host;
            format!("? public address: not looked at, because {host} is not a name of this server's.")
        }
        (EntryPoint::PlainSocket, _) if scheme == UrlScheme::Https => {
            format!("✘ port {port}: plain HTTP is spoken there, no TLS.")
        }
        (EntryPoint::TlsSocket, _) if scheme == UrlScheme::Http => {
            format!("✘ port {port}: only TLS is spoken there.")
        }
        (EntryPoint::TlsSocket, _) if found.outcome == VisitOutcome::NoTls => {
            format!("✘ port {port}: there is no certificate for HTTPS visitors.")
        }
        (EntryPoint::PlainSocket | EntryPoint::TlsSocket, _) => {
            format!(
                "? port {port}: the server's own, and not the one that public addresses say; whether visitors reach it was not looked at."
            )
        }
        (EntryPoint::Nowhere, _) | (EntryPoint::TcpPort, None) => {
            format!("✘ port {port}: this server listens for no {} there.", scheme.as_str())
        }
    }
}

fn said(public: FrontState, url: &str) -> String {
    match public {
        FrontState::Passed => "visitors get in, tried just now".to_owned(),
        FrontState::Failed(_) if url.starts_with("tcp://") => {
            "no connection to that host and port comes in at this server; raw TCP services listen on tcp_bind alone"
                .to_owned()
        }
        other => fronts::said_of(other, url),
    }
}

/// What the service's policy says to the visitor, step by step.
fn policy(found: &Explained) -> Vec<String> {
    let Some(policy) = &found.policy else {
        return vec!["! policy: none; the service is open to anybody who knows the name.".to_owned()];
    };
    let PolicyExplained { name, enforced, from, key, .. } = policy;
    let asked = |step: &&StepExplained| step.verdict != PolicyVerdict::NotAsked;
    let steps: Vec<String> = policy.steps.iter().filter(asked).map(|step| said_of(step, policy)).collect();
    if steps.is_empty() {
        return vec![format!(
            "! policy {name:?}: it asks for nothing; the service is open to anybody who knows the name."
        )];
    }
    let who = match (key, found.scheme) {
        (Some(key), UrlScheme::Http | UrlScheme::Https) => format!("{from} with key {key:?}"),
        (None, _) | (Some(_), UrlScheme::Tcp) => from.to_string(),
    };
    let only_counts = if *enforced { "" } else { " It only counts, and refuses nobody." };
    let head = format!("Policy {name:?} ({}), for a visitor from {who}:{only_counts}", why(policy));
    [head].into_iter().chain(steps).collect()
}

/// Why it is this policy.
fn why(policy: &PolicyExplained) -> String {
    let by = match &policy.by {
        PolicyTarget::Id(_) => "it names the service's ID".to_owned(),
        PolicyTarget::Alias(alias) => format!("it names the service's alias {alias}"),
        PolicyTarget::Tag(_) => format!("it names {}, which the client has", policy.by),
        PolicyTarget::DefaultTcp => "the one for raw TCP services that no other one names".to_owned(),
        PolicyTarget::Default => "the one for services that no other one names".to_owned(),
    };
    match &policy.disagrees_with {
        None => by,
        Some(other) if matches!(policy.by, PolicyTarget::Tag(_)) => {
            format!("{by}; the policy {other} names another tag of it, so that nobody is let in")
        }
        Some(other) => format!("{by}; the policy {other} names it, too, so that nobody is let in"),
    }
}

fn said_of(step: &StepExplained, policy: &PolicyExplained) -> String {
    let what = match step.step {
        PolicyStep::Address => "address",
        PolicyStep::AddressLimits => "limits of the address",
        PolicyStep::Key => "key",
        PolicyStep::KeyLimits if policy.key.is_some() => "limits of the key",
        PolicyStep::KeyLimits => "limits of the service",
        PolicyStep::Body => "body",
    };
    let why = match (step.step, policy.key_state) {
        (PolicyStep::Key, Some(KeyState::Revoked)) => "that key is revoked; ",
        _ => "",
    };
    match (&step.code, step.step, policy.max_body) {
        (Some(code), ..) if policy.enforced => format!("✘ {what}: {why}refused with Petit-Error: {code}."),
        (Some(code), ..) => format!("! {what}: {why}would be refused with Petit-Error: {code}."),
        (None, PolicyStep::Body, Some(most)) => format!("✔ {what}: up to {most} bytes."),
        (None, PolicyStep::AddressLimits | PolicyStep::KeyLimits, _) => {
            format!("✔ {what}: not used up just now.")
        }
        (None, ..) => format!("✔ {what}: let in."),
    }
}

/// What came back through the tunnel.
fn tunnel(found: &Explained) -> String {
    if found.client_suspended {
        let client = found.client.map(|client| format!(" {client}")).unwrap_or_default();
        return format!(
            "✘ tunnel: the client is suspended; let it in again with: petit-server clients resume{client}"
        );
    }
    if !found.server_running {
        return "? tunnel: no server runs, so no client is connected.".to_owned();
    }
    if found.client_online != Some(true) {
        return "✘ tunnel: the client is not connected.".to_owned();
    }
    let Some(probe) = found.probe else {
        return "? tunnel: the client is connected; nothing was sent through it, because it does not offer the service."
            .to_owned();
    };
    if probe.tunnel_us.is_some() {
        return "✔ tunnel: the client has answered through it just now.".to_owned();
    }
    match probe.broken {
        Some(Hop::Tunnel) => "✘ tunnel: the connection to the client takes no request.".to_owned(),
        Some(Hop::Client) => "✘ tunnel: the client has left just now.".to_owned(),
        Some(Hop::Front | Hop::Service(_)) | None => format!(
            "✘ tunnel: the client counts as connected, and has not answered within {} s.",
            limits::PROBE_LIMIT.as_secs()
        ),
    }
}

/// How the client found the service.
fn service(found: &Explained) -> Option<String> {
    match found.health {
        Some(Health::Down(cause)) => {
            let why = down(cause);
            Some(match cause {
                ServiceCause::NoAnswer | ServiceCause::NotHttp => {
                    format!("✘ service: the client says that it has connected to the service, and {why}.")
                }
                _ => format!("✘ service: the client says that it cannot reach the service: {why}."),
            })
        }
        Some(Health::Up) => Some(
            "✔ service: the client has connected to it just now; what it answers was not looked at."
                .to_owned(),
        ),
        Some(Health::Untried) | None => {
            let is_asked = found.server_running && found.client_online == Some(true);
            is_asked.then(|| "? service: nothing is known of it.".to_owned())
        }
    }
}

/// Why the client does not reach it.
fn down(cause: ServiceCause) -> &'static str {
    match cause {
        ServiceCause::Refused => "nothing listens there",
        ServiceCause::NameNotFound => "its host name is not known",
        ServiceCause::Forbidden => "its name leads to an address where no service may be",
        ServiceCause::NotTls => "it does not speak TLS",
        ServiceCause::Untrusted => "its certificate is not trusted",
        ServiceCause::NoAnswer => "it takes requests and gives no answer",
        ServiceCause::NotHttp => "it does not speak HTTP",
        ServiceCause::Unreachable => "it is not reached",
    }
}

/// What a visitor gets.
fn outcome(found: &Explained) -> String {
    let answer = found.answer.as_ref();
    let answer = answer.map(|answer| format!("{} with Petit-Error: {}", answer.status, answer.code));
    let tcp = match (&found.address, &answer) {
        (Some(address), Some(_)) => format!(" The service is reached at {address}."),
        (None, _) | (_, None) => String::new(),
    };
    // Only of an address that was tried is it known that visitors get in.
    let is_proved = found.public == Some(FrontState::Passed);
    let who = match found.decision {
        Decision::Foreign => "Whoever comes here under that name",
        Decision::Service | Decision::Unknown if is_proved => "A visitor",
        Decision::Service | Decision::Unknown => "Whoever gets in",
    };
    match found.outcome {
        VisitOutcome::ConnectionRefused if !found.server_running => {
            let later =
                answer.map(|answer| format!(" While the server runs they get {answer}.")).unwrap_or_default();
            format!("A visitor's connection is refused; a proxy in front may say 502.{later}")
        }
        VisitOutcome::ConnectionRefused => {
            "A visitor's connection is refused, or ends at another program.".to_owned()
        }
        VisitOutcome::NoTls => "A visitor's connection ends in the TLS handshake.".to_owned(),
        VisitOutcome::OnlyTls => "A visitor's connection is closed without an answer.".to_owned(),
        VisitOutcome::KeptOut => "A visitor does not get in.".to_owned(),
        VisitOutcome::Reset if is_proved => "A visitor's connection is reset at once.".to_owned(),
        VisitOutcome::Reset => "The connection of whoever gets in is reset at once.".to_owned(),
        VisitOutcome::Answer => format!("{who} gets {}.{tcp}", answer.unwrap_or_default()),
        VisitOutcome::Service if is_proved => {
            "A visitor's request goes through the tunnel to the service.".to_owned()
        }
        VisitOutcome::Service => {
            "The request of whoever gets in goes through the tunnel to the service.".to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found() -> serde_json::Value {
        serde_json::json!({
            "url": "acme", "scheme": "https", "host": "acme.example.com", "port": 443, "domain": "example.com",
            "decision": "service", "way_in": "endpoint", "outcome": "service", "server_running": true,
            "client_suspended": false,
        })
    }

    #[test]
    fn a_suspended_client_is_said_to_be_one_and_how_it_is_let_in_again() {
        let mut suspended = found();
        suspended["client_suspended"] = true.into();
        suspended["client"] = "abcdefghijklmnopqrstuvwxyz".into();
        assert_eq!(
            tunnel(&serde_json::from_value(suspended).unwrap()),
            "✘ tunnel: the client is suspended; let it in again with: petit-server clients resume abcdefghijklmnopqrstuvwxyz"
        );
    }

    fn explained(policy: &serde_json::Value) -> Vec<String> {
        let mut found = found();
        found.as_object_mut().unwrap().insert("policy".to_owned(), policy.clone());
        super::policy(&serde_json::from_value(found).unwrap())
    }

    #[test]
    fn a_policy_is_said_step_by_step_to_the_one_that_refuses() {
        let step = |step: &str, verdict: &str, code: Option<&str>| serde_json::json!({ "step": step, "verdict": verdict, "code": code });
        let of = |enforced: bool, key: Option<&str>, steps: &[serde_json::Value]| {
            explained(&serde_json::json!({
                "name": "cloud", "by": "tag:erp", "enforced": enforced, "from": "203.0.113.7", "key": key, "max_body": 1000, "steps": steps,
            }))
        };
        let kept = [
            step("address", "kept", None),
            step("address_limits", "kept", None),
            step("key", "kept", None),
            step("key_limits", "kept", None),
            step("body", "kept", None),
        ];
        assert_eq!(
            of(true, Some("billing"), &kept),
            [
                "Policy cloud (it names tag:erp, which the client has), for a visitor from 203.0.113.7 with key billing:",
                "✔ address: let in.",
                "✔ limits of the address: not used up just now.",
                "✔ key: let in.",
                "✔ limits of the key: not used up just now.",
                "✔ body: up to 1000 bytes.",
            ]
        );
        let refused = [step("address", "not_asked", None), step("key", "broken", Some("key-required"))];
        assert_eq!(
            of(true, None, &refused),
            [
                "Policy cloud (it names tag:erp, which the client has), for a visitor from 203.0.113.7:",
                "✘ key: refused with Petit-Error: key-required."
            ]
        );
        assert_eq!(
            of(false, None, &refused),
            [
                "Policy cloud (it names tag:erp, which the client has), for a visitor from 203.0.113.7: It only counts, and refuses nobody.",
                "! key: would be refused with Petit-Error: key-required.",
            ]
        );
        let revoked = explained(&serde_json::json!({
            "name": "cloud", "by": "default", "enforced": true, "from": "203.0.113.7", "key": "billing", "key_state": "revoked",
            "max_body": null, "steps": [step("key", "broken", Some("key-refused"))],
        }));
        assert_eq!(revoked[1..], ["✘ key: that key is revoked; refused with Petit-Error: key-refused."]);
        assert_eq!(
            of(true, None, &[step("address", "not_asked", None)]),
            ["! policy cloud: it asks for nothing; the service is open to anybody who knows the name."]
        );
        assert_eq!(
            explained(&serde_json::Value::Null),
            ["! policy: none; the service is open to anybody who knows the name."]
        );
    }

    #[test]
    fn a_visitor_is_named_by_a_key() {
        let key = |text: &str| text.parse::<VisitorArg>().map(|VisitorArg(name)| name.to_string());
        assert_eq!(key("key:billing").as_deref(), Ok("billing"));
        for wrong in ["billing", "", "key:", "key:Billing", "user:anna"] {
            assert!(key(wrong).is_err(), "{wrong}");
        }
        assert!(key("billing").unwrap_err().contains("key:billing"), "it says how one is written");
    }
}
