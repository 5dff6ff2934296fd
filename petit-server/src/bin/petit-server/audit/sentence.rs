//! What a change of the registry was, as a sentence. Of whom, by whom and when stands beside it.

use std::collections::BTreeSet;
use std::time::Duration;

use petit_engine::name::{Alias, Tag};
use petit_engine::proto::control::ServiceKind;
use petit_server::registry::{Change, ChangeBody, Enforcement, Event, Note, Policy, Recorded, ServiceBody};

use crate::policy;

/// What was done. Text that a client has chosen is in quotes, so that it cannot pass for ours.
pub(super) fn sentence(change: &Change) -> String {
    match Recorded::of(change) {
        Recorded::Change(body) => of_body(&body),
        Recorded::Event(Event { detail, client: None }) => format!("{detail:?}"),
        Recorded::Event(Event { detail, client: Some(client) }) => {
            format!("{detail:?}, of client {client:?}")
        }
        Recorded::Unknown => format!(
            "not known to petit-server {}; the whole of it is in: petit-server audit list --json",
            env!("CARGO_PKG_VERSION")
        ),
    }
}

const SUSPENDED: &str = "suspended: it stays registered, and is not let in until it is resumed";
const KICKED: &str = "its connection was ended, where it had one; it may come back at once";

fn of_body(body: &ChangeBody) -> String {
    match body {
        ChangeBody::InviteMade { service, alias, note, tags, not_after } => sentence_of([
            Some(format!("made for a service called {service}, good until {not_after}")),
            alias.as_ref().map(|alias| format!("with the alias {alias}")),
            (!tags.is_empty()).then(|| listed(TAG, tags)),
            noted(note),
        ]),
        ChangeBody::InviteWithdrawn {} => "withdrawn: nobody can register with it".to_owned(),
        ChangeBody::InviteReused { from, client } => {
            format!("tried by somebody from {from} after client {client} had used it, and refused")
        }
        ChangeBody::ClientEnrolled {
            invite,
            key: _, // the client's: whose it is stands in the column BY
            name,
            software,
            from,
            service,
            alias,
            alias_refused,
            tags,
            note,
        } => sentence_of([
            Some(format!("registered as {name:?} from {from} with invite {invite} and {software:?}")),
            Some(format!("service {}", of_service(service))),
            alias.as_ref().map(|alias| match alias_refused {
                None => format!("with the alias {alias}"),
                Some(why) => format!("without the alias {alias} ({why})"),
            }),
            (!tags.is_empty()).then(|| listed(TAG, tags)),
            noted(note),
        ]),
        ChangeBody::ClientLabelled { tags, note } => of_labels(tags, note),
        ChangeBody::ClientRenamed { before, name } => format!("is called {name:?} now, and was {before:?}"),
        ChangeBody::ClientSuspended {} => SUSPENDED.to_owned(),
        ChangeBody::ClientResumed {} => "resumed: it is let in again".to_owned(),
        ChangeBody::ClientKicked {} => KICKED.to_owned(),
        ChangeBody::ClientRevoked { services, aliases } => {
            format!("revoked; {}", gone(services, aliases))
        }
        ChangeBody::ClientUnregistered { services, aliases } => {
            format!("has unregistered; {}", gone(services, aliases))
        }
        ChangeBody::ServicesRegistered { services } => {
            let services: Vec<_> = services.iter().map(of_service).collect();
            format!("registered {}", listed(SERVICE, &services))
        }
        ChangeBody::ServiceRemoved { id, name, aliases } => {
            format!("gave a service back; {}", gone(&[format!("{name} ({id})")], aliases))
        }
        ChangeBody::AliasAdded { id, client } => format!("leads to {id} of client {client} now"),
        ChangeBody::AliasRemoved { id, client } => {
            format!("does not lead to {id} of client {client} any more")
        }
        ChangeBody::PolicySet { policy } => of_policy(policy),
        ChangeBody::PolicyRemoved {} => "taken away".to_owned(),
        ChangeBody::KeyCreated { id } => format!("made (key {id})"),
        ChangeBody::KeyRotated { id, previous_until: None } => {
            format!("has another secret; the one before is no good any more (key {id})")
        }
        ChangeBody::KeyRotated { id, previous_until: Some(until) } => {
            format!("has another secret; the one before is good until {until} (key {id})")
        }
        ChangeBody::KeyRevoked { id } => format!("revoked: it is no good any more (key {id})"),
        ChangeBody::RolloutStarted { .. }
        | ChangeBody::RolloutWidened { .. }
        | ChangeBody::RolloutHalted { .. }
        | ChangeBody::RolloutResumed {}
        | ChangeBody::RolloutDone {}
        | ChangeBody::RolloutRolledBack {} => of_rollout(body).unwrap_or_default(),
        ChangeBody::LogTrimmed { through } => {
            format!("all changes up to {through} were older than is kept, and are gone")
        }
        ChangeBody::RegistryRestored { signed } => format!(
            "put back from a backup, which ends with change {}; what was changed after that is not in it",
            signed.head.version
        ),
        ChangeBody::RegistryMadeAnew { signed: _ } => "made anew, with nothing of the one before".to_owned(),
    }
}

fn of_labels(tags: &BTreeSet<Tag>, note: &Note) -> String {
    sentence_of([
        Some(if tags.is_empty() {
            "has no tags now".to_owned()
        } else {
            format!("has the {} now", listed(TAG, tags))
        }),
        Some(noted(note).unwrap_or_else(|| "no note".to_owned())),
    ])
}

/// Of what was done to a roll-out; nothing of another change.
fn of_rollout(body: &ChangeBody) -> Option<String> {
    Some(match body {
        ChangeBody::RolloutStarted { release: _, rings, soak_seconds } => {
            let soak = soak_seconds.map(Duration::from_secs).map(humantime::format_duration);
            let soak = soak.map(|soak| format!(", each for {soak} at least")).unwrap_or_default();
            format!("begins, in the rings {rings}{soak}")
        }
        ChangeBody::RolloutWidened { open, ring } => {
            let ring = ring.as_ref().map(|ring| format!(": {ring} is open")).unwrap_or_default();
            format!("reaches {open} of its rings now{ring}")
        }
        ChangeBody::RolloutHalted { reason } => format!("halted: {reason}"),
        ChangeBody::RolloutResumed {} => "goes on".to_owned(),
        ChangeBody::RolloutDone {} => "all clients hear of it now".to_owned(),
        ChangeBody::RolloutRolledBack {} => "rolled back: nobody gets it any more".to_owned(),
        _ => return None,
    })
}

/// What there is of these, one behind the other.
fn sentence_of<const N: usize>(parts: [Option<String>; N]) -> String {
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

const TAG: (&str, &str) = ("tag", "tags");
const SERVICE: (&str, &str) = ("service", "services");
const ALIAS: (&str, &str) = ("alias", "aliases");

/// Some things of a kind, behind the word for one or for many.
fn listed<'a, T: ToString + 'a>(
    (one, many): (&str, &str),
    things: impl IntoIterator<Item = &'a T>,
) -> String {
    let things: Vec<_> = things.into_iter().map(ToString::to_string).collect();
    let word = if things.len() == 1 { one } else { many };
    format!("{word} {}", if things.is_empty() { "none".to_owned() } else { things.join(", ") })
}

fn noted(note: &Note) -> Option<String> {
    (!note.as_str().is_empty()).then(|| format!("note {:?}", note.as_str()))
}

fn of_service(ServiceBody { id, name, kind, port }: &ServiceBody) -> String {
    let kind = match kind {
        ServiceKind::Http => "HTTP",
        ServiceKind::Tcp => "raw TCP",
    };
    let port = port.map(|port| format!(", port {port}")).unwrap_or_default();
    format!("{name} ({kind}{port}) as {id}")
}

/// What nobody reaches any more.
fn gone(services: &[impl ToString], aliases: &[Alias]) -> String {
    let aliases = (!aliases.is_empty()).then(|| format!(" with the {}", listed(ALIAS, aliases)));
    format!("gone: {}{}", listed(SERVICE, services), aliases.unwrap_or_default())
}

fn of_policy(policy: &Policy) -> String {
    let limits = policy::limits(policy);
    sentence_of([
        Some(format!("for {}", policy::joined(&policy.services))),
        Some(format!("visitors from {}", policy::from(policy))),
        Some(format!("keys {}", policy::keys_of(policy, &[]))),
        (!limits.is_empty()).then(|| limits.join(", ")),
        (policy.enforcement == Enforcement::CountOnly)
            .then(|| "only counting whom it would refuse".to_owned()),
    ])
}

#[cfg(test)]
mod tests {
    use petit_engine::name::{DeviceId, RegisteredId, VisitorKeyId};
    use petit_engine::secret::PrivateKey;
    use petit_server::registry::{Actor, ChangeHash, Head, SignedFor, SignedHead, Timestamp};
    use serde_json::Value;

    use super::*;

    fn change(kind: &str, body: Value) -> Change {
        let head = Head { version: 0, hash: ChangeHash::NONE };
        let what = (kind.to_owned().into(), "subject".to_owned());
        Change::after(head, (Timestamp(0), Actor::Operator), what, body)
    }

    /// Each kind, its body as the log has it, and what is said of it.
    const SAID: &[(&str, &str, &str)] = &[
        (
            "invite-made",
            r#"{"service":"web","alias":"acme","note":"for Anna","tags":["eu","pilot"],"not_after":60}"#,
            r#"made for a service called web, good until 1970-01-01T00:01:00Z, with the alias acme, tags eu, pilot, note "for Anna""#,
        ),
        (
            "invite-made",
            r#"{"service":"web","alias":null,"note":"","not_after":60}"#,
            "made for a service called web, good until 1970-01-01T00:01:00Z",
        ),
        ("invite-withdrawn", r#"{}"#, "withdrawn: nobody can register with it"),
        (
            "invite-reused",
            r#"{"from":"192.0.2.7","client":"DEVICE"}"#,
            "tried by somebody from 192.0.2.7 after client DEVICE had used it, and refused",
        ),
        (
            "client-enrolled",
            r#"{"invite":"INVITE","key":"AAAA","name":"Anna's laptop","software":"petit 0.1.0","from":"192.0.2.7","service":{"id":"ID","name":"web","kind":"http","port":null},"alias":"acme","alias_refused":null,"tags":["eu"],"note":"for Anna"}"#,
            r#"registered as "Anna's laptop" from 192.0.2.7 with invite INVITE and "petit 0.1.0", service web (HTTP) as ID, with the alias acme, tag eu, note "for Anna""#,
        ),
        (
            "client-enrolled",
            r#"{"invite":"INVITE","key":"AAAA","name":"x","software":"y","from":"192.0.2.7","service":{"id":"ID","name":"web","kind":"http","port":null},"alias":"acme","alias_refused":"it is taken"}"#,
            r#"registered as "x" from 192.0.2.7 with invite INVITE and "y", service web (HTTP) as ID, without the alias acme (it is taken)"#,
        ),
        (
            "client-labelled",
            r#"{"tags":["eu"],"note":"moves in May"}"#,
            r#"has the tag eu now, note "moves in May""#,
        ),
        ("client-labelled", r#"{"tags":[],"note":""}"#, "has no tags now, no note"),
        ("client-renamed", r#"{"before":"x","name":"y"}"#, r#"is called "y" now, and was "x""#),
        ("client-suspended", "{}", "suspended: it stays registered, and is not let in until it is resumed"),
        ("client-resumed", "{}", "resumed: it is let in again"),
        ("client-kicked", "{}", "its connection was ended, where it had one; it may come back at once"),
        (
            "client-revoked",
            r#"{"services":["ID"],"aliases":["acme","shop"]}"#,
            "revoked; gone: service ID with the aliases acme, shop",
        ),
        ("client-unregistered", r#"{"services":[],"aliases":[]}"#, "has unregistered; gone: services none"),
        (
            "services-registered",
            r#"{"services":[{"id":"ID","name":"web","kind":"http","port":null},{"id":"ID","name":"db","kind":"tcp","port":9001}]}"#,
            "registered services web (HTTP) as ID, db (raw TCP, port 9001) as ID",
        ),
        (
            "service-removed",
            r#"{"id":"ID","name":"web","aliases":["acme"]}"#,
            "gave a service back; gone: service web (ID) with the alias acme",
        ),
        ("alias-added", r#"{"id":"ID","client":"DEVICE"}"#, "leads to ID of client DEVICE now"),
        (
            "alias-removed",
            r#"{"id":"ID","client":"DEVICE"}"#,
            "does not lead to ID of client DEVICE any more",
        ),
        (
            "policy-set",
            r#"{"name":"cloud","services":["default"],"from":["203.0.113.0/24"],"keys":["billing"],"rate":50,"burst":null,"concurrent":null,"per":"visitor","max_body":null,"enforcement":"count_only"}"#,
            "for default, visitors from 203.0.113.0/24, keys billing, 50 a second for a visitor, only counting whom it would refuse",
        ),
        (
            "policy-set",
            r#"{"name":"cloud","services":["default"],"from":null,"keys":null,"rate":null,"burst":null,"concurrent":null,"per":"visitor","max_body":null,"enforcement":"enforce"}"#,
            "for default, visitors from anywhere, keys not asked for",
        ),
        ("policy-removed", r#"{}"#, "taken away"),
        ("key-created", r#"{"id":"KEY"}"#, "made (key KEY)"),
        (
            "key-rotated",
            r#"{"id":"KEY","previous_until":null}"#,
            "has another secret; the one before is no good any more (key KEY)",
        ),
        (
            "key-rotated",
            r#"{"id":"KEY","previous_until":60}"#,
            "has another secret; the one before is good until 1970-01-01T00:01:00Z (key KEY)",
        ),
        ("key-revoked", r#"{"id":"KEY"}"#, "revoked: it is no good any more (key KEY)"),
        ("log-trimmed", r#"{"through":7}"#, "all changes up to 7 were older than is kept, and are gone"),
        (
            "registry-restored",
            r#"{"signed":"HEAD"}"#,
            "put back from a backup, which ends with change 7; what was changed after that is not in it",
        ),
        ("registry-made-anew", r#"{"signed":"HEAD"}"#, "made anew, with nothing of the one before"),
    ];

    #[test]
    fn each_kind_of_change_is_said_in_a_sentence_and_written_as_it_was_read() {
        let key = PrivateKey::generate().unwrap();
        let head = Head { version: 7, hash: ChangeHash::NONE };
        let head = SignedHead::sign(SignedFor::Restored, head, Timestamp(0), &key).unwrap();
        let names = [
            ("DEVICE", DeviceId::random().unwrap().to_string()),
            ("INVITE", "x7".to_owned()),
            ("KEY", VisitorKeyId::random().unwrap().to_string()),
            ("HEAD", head.to_string()),
            ("ID", RegisteredId::random().unwrap().to_string()),
        ];
        let named =
            |text: &str| names.iter().fold(text.to_owned(), |text, (word, name)| text.replace(word, name));
        for &(kind, body, said) in SAID {
            let body: Value = serde_json::from_str(&named(body)).unwrap();
            let change = change(kind, body.clone());
            assert_eq!(sentence(&change), named(said), "{kind}");
            let Recorded::Change(read) = Recorded::of(&change) else { panic!("{kind}") };
            assert_eq!(read.written().unwrap(), (kind.to_owned(), body));
        }
    }

    #[test]
    fn what_the_log_has_from_another_version_is_said_too() {
        let event = serde_json::json!({ "detail": "web\u{1b}", "client": "x" });
        assert_eq!(sentence(&change("device-enrolled", event)), r#""web\u{1b}", of client "x""#);
        let event = serde_json::json!({ "detail": "web" });
        assert_eq!(sentence(&change("invite-used", event)), r#""web""#);
        let later = sentence(&change("moon-landed", serde_json::json!({ "crew": 3 })));
        assert!(later.starts_with("not known to petit-server"), "{later}");
    }
}
