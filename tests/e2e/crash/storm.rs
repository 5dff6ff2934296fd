//! A storm of enrolments, aliases and revocations, and kill -9 in the middle of it: what was acknowledged is there
//! afterwards, and nothing is half done.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use petit_engine::agent;
use petit_engine::invite::Invite;
use petit_engine::net::dial::DialRoute;
use petit_engine::proto::control::Text;
use petit_engine::secret::PrivateKey;
use petit_host::control::client::Client;
use petit_tests::figures::{Times, figure, rounds};
use petit_tests::process::Program;
use petit_tests::soon;
use secrecy::SecretString;
use serde_json::{Value, json};

/// What the server has said, and what it was asked without an answer.
#[derive(Default)]
struct Journal {
    /// Device and its service's ID, as acknowledged.
    devices: BTreeMap<String, String>,
    /// Invites whose enrolment was acknowledged.
    used: BTreeSet<String>,
    /// Revocations that were asked for, and those that were acknowledged.
    revoking: BTreeSet<String>,
    revoked: BTreeSet<String>,
    /// Aliases that were acknowledged: alias to service.
    aliases: BTreeMap<String, String>,
    acknowledged: usize,
}

type Shared = Arc<Mutex<Journal>>;

/// One who keeps changing things until the server is gone.
async fn rage(control: Client, journal: Shared, name: String) {
    for step in 0.. {
        let done = match step % 4 {
            0 | 1 => enrol(&control, &journal).await,
            2 => alias(&control, &journal, &format!("{name}-{step}")).await,
            _ => revoke(&control, &journal).await,
        };
        if done.is_none() {
            return;
        }
    }
}

async fn enrol(control: &Client, journal: &Shared) -> Option<()> {
    let made = control.call("POST", "/invites", Some(&json!({ "service": "web" }))).await.ok()?;
    let link = SecretString::from(made["link"].as_str().unwrap().to_owned());
    let invite = Invite::parse(&link).unwrap();
    let key = PrivateKey::generate().unwrap();
    let text = Text::lossy("storm");
    let registered = agent::enrol(&invite, &DialRoute::default(), &key, "storm", &text).await.ok()?;
    let mut journal = journal.lock().unwrap();
    journal.devices.insert(registered.device.to_string(), registered.id.to_string());
    journal.used.insert(invite.id.to_string());
    journal.acknowledged += 2;
    Some(())
}

async fn alias(control: &Client, journal: &Shared, alias: &str) -> Option<()> {
    let service = {
        let journal = journal.lock().unwrap();
        let mut live = journal.devices.iter().filter(|(device, _)| !journal.revoking.contains(*device));
        live.next_back().map(|(_, id)| id.clone())
    };
    let Some(service) = service else { return Some(()) };
    let body = json!({ "id": service, "alias": alias, "force": false });
    match control.call("POST", "/aliases", Some(&body)).await {
        Ok(_) => {
            let mut journal = journal.lock().unwrap();
            journal.aliases.insert(alias.to_owned(), service);
            journal.acknowledged += 1;
            Some(())
        }
        // Somebody else has just revoked its owner.
        Err(petit_host::control::client::CallError::Refused(_)) => Some(()),
        Err(_) => None,
    }
}

async fn revoke(control: &Client, journal: &Shared) -> Option<()> {
    let device = {
        let mut journal = journal.lock().unwrap();
        let live = journal.devices.keys().find(|device| !journal.revoking.contains(*device)).cloned();
        journal.revoking.extend(live.clone());
        live
    };
    let Some(device) = device else { return Some(()) };
    control.call("POST", &format!("/clients/{device}/revoke"), None).await.ok()?;
    let mut journal = journal.lock().unwrap();
    journal.revoked.insert(device);
    journal.acknowledged += 1;
    Some(())
}

/// Compares what the server holds with what it has said.
async fn compare(control: &Client, journal: &Shared) {
    let list = |value: Value, name: &str| value[name].as_array().cloned().unwrap_or_default();
    let clients = list(control.call("GET", "/clients", None).await.unwrap(), "clients");
    let invites = list(control.call("GET", "/invites", None).await.unwrap(), "invites");
    let aliases = list(control.call("GET", "/aliases", None).await.unwrap(), "aliases");
    let journal = journal.lock().unwrap();
    let found: BTreeMap<&str, &Value> =
        clients.iter().map(|client| (client["id"].as_str().unwrap(), client)).collect();
    for (device, id) in &journal.devices {
        let client = found.get(device.as_str()).unwrap_or_else(|| panic!("{device} is lost"));
        let ended = !client["ended"].is_null();
        if journal.revoked.contains(device) {
            assert!(ended, "{device} was revoked and is back");
        } else if !journal.revoking.contains(device) {
            assert!(!ended, "{device} was never revoked");
            assert_eq!(client["services"][0]["id"], id.as_str(), "the same address");
        }
    }
    let used: BTreeMap<&str, &Value> =
        invites.iter().map(|invite| (invite["id"].as_str().unwrap(), invite)).collect();
    for invite in &journal.used {
        assert_eq!(used[invite.as_str()]["state"], "used", "an invite that was used");
    }
    let mut owners = BTreeSet::new();
    for invite in invites.iter().filter(|invite| invite["state"] == "used") {
        assert!(owners.insert(invite["client"].as_str().unwrap()), "one invite, one device");
        assert!(found.contains_key(invite["client"].as_str().unwrap()), "a used invite has its device");
    }
    for client in &clients {
        let services = client["services"].as_array().unwrap().len();
        assert_eq!(services, usize::from(client["ended"].is_null()), "nothing is half done: {client}");
    }
    let given: BTreeSet<(&str, &str)> =
        aliases.iter().map(|row| (row["alias"].as_str().unwrap(), row["id"].as_str().unwrap())).collect();
    for (alias, id) in &journal.aliases {
        let owner = journal.devices.iter().find(|(_, service)| *service == id).map(|(device, _)| device);
        if owner.is_some_and(|owner| !journal.revoking.contains(owner)) {
            assert!(given.contains(&(alias.as_str(), id.as_str())), "{alias} is lost");
        }
    }
}

#[tokio::test]
async fn what_was_acknowledged_survives_kill_9_in_a_storm() {
    let server = Program::server().await;
    let control = Client::new(&server.dir().join("server.sock"));
    let journal = Shared::default();
    let mut starts = Times::default();
    let kills = rounds(20, 2000);
    for round in 0..kills {
        let start = std::time::Instant::now();
        let running = server.up().await;
        starts.add(start.elapsed());
        let mut storm = tokio::task::JoinSet::new();
        for number in 0..4 {
            storm.spawn(rage(control.clone(), Arc::clone(&journal), format!("a{round}-{number}")));
        }
        // An end in the middle, at another moment in every round; a machine that is busy has begun by then, too, and has
        // done something of each kind once.
        let begun = journal.lock().unwrap().acknowledged;
        let has_begun = |journal: &Journal| match round {
            0 => !journal.revoked.is_empty() && !journal.aliases.is_empty(),
            _ => journal.acknowledged > begun,
        };
        soon("the storm to begin", async {
            while !has_begun(&journal.lock().unwrap()) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        })
        .await;
        tokio::time::sleep(Duration::from_millis(3 + (round as u64 * 37) % 150)).await;
        running.kill().await;
        while storm.join_next().await.is_some() {}
        if round % 100 == 99 || round + 1 == kills {
            let running = server.up().await;
            compare(&control, &journal).await;
            running.kill().await;
        }
    }
    let journal = journal.lock().unwrap();
    assert!(journal.acknowledged > kills, "the storms did something: {}", journal.acknowledged);
    assert!(!journal.revoked.is_empty() && !journal.aliases.is_empty());
    figure(format!(
        "R6 server killed {kills} times in a storm: {} changes acknowledged, none lost, none half done; starts: {}",
        journal.acknowledged,
        starts.summary()
    ));
}
