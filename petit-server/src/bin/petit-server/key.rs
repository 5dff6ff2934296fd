//! `key`: what visitors show.

use std::path::Path;
use std::time::{Duration, SystemTime};

use clap::Subcommand;
use petit_engine::name::{Endpoint, PolicyName, VisitorKeyName};
use petit_host::cli::{self, Failure, table};
use petit_host::terminal::{self, Ask};
use petit_server::api::{
    CreateKey, KeyList, KeyMade, KeyRevoked, KeyView, KeylessPolicy, ListKeys, RevokeKey, RotateKey,
};
use petit_server::config;
use petit_server::folder::Folder;
use petit_server::registry::{OVERLAP, OVERLAP_MAX, Timestamp};

use super::ask::AdminAccess;
use super::refusals;

#[derive(Subcommand)]
pub(crate) enum KeyVerb {
    /// Make a key, and show it once; visitors send it in the field Petit-Key
    #[command(
        after_help = "Examples:\n  petit-server key create billing\n  petit-server key create billing --rotate --overlap 7days"
    )]
    Create {
        /// What it is called; services are told it
        name: VisitorKeyName,
        /// Give a key that there is another secret
        #[arg(long)]
        rotate: bool,
        /// How long the secret from before goes on being good (default: 1day; 0s: not at all)
        #[arg(long, value_name = "TIME", requires = "rotate", value_parser = parse_overlap)]
        overlap: Option<Duration>,
    },
    /// All keys, without their secrets
    List,
    /// End a key for good
    Revoke {
        name: VisitorKeyName,
        /// Do not ask; needed where there is no terminal, and with --json
        #[arg(short, long)]
        yes: bool,
    },
}

fn parse_overlap(text: &str) -> Result<Duration, String> {
    let overlap =
        humantime::parse_duration(text).map_err(|_| "expected a time such as 12h or 7days".to_owned())?;
    if overlap <= OVERLAP_MAX { Ok(overlap) } else { Err("expected a time of 90days at most".to_owned()) }
}

pub(crate) async fn key(json: bool, folder: &Folder, verb: &KeyVerb) -> Result<(), Failure> {
    let access = AdminAccess::new(folder);
    match verb {
        KeyVerb::Create { name, rotate, overlap } => {
            let overlap_seconds = overlap.unwrap_or(OVERLAP).as_secs();
            let rotate = rotate.then_some(RotateKey { overlap_seconds });
            let request = CreateKey { name: name.clone(), rotate };
            let answer = access.ask(&request).await?;
            let endpoint = config::load(&folder.config).ok().map(|(config, _)| config.endpoint);
            cli::say(json, &made(&answer, &request, endpoint.as_ref()), &answer);
        }
        KeyVerb::List => {
            let answer = access.ask(&ListKeys).await?;
            cli::say(json, &list(&answer), &answer);
        }
        KeyVerb::Revoke { name, yes } => {
            let keys = access.ask(&ListKeys).await?;
            // What is not there is not asked about: the request itself says what is wrong.
            if keys.keys.iter().any(|key| key.name == *name && key.revoked.is_none()) {
                let what = format!("whoever shows the key {name} is refused then, for good");
                terminal::confirm(Ask::Always.unless(*yes), json, &what)?;
            }
            let answer = access.ask(&RevokeKey { name: name.clone() }).await?;
            cli::say(json, &revoked(&answer, &folder.config), &answer);
        }
    }
    Ok(())
}

/// How visitors show a key: out of a file, because what stands in a command can be read by all users of the computer.
pub(crate) fn how_to_show(key: &str, endpoint: &Endpoint) -> String {
    let url = endpoint.url("REGID");
    format!(
        "put the line into a file that only you can read, such as petit-key:\n\n  Petit-Key: {key}\n\n\
         and ask with the ID or an alias of a service in the place of REGID (petit-server status):\n\n  curl -H @petit-key {url}\n"
    )
}

fn made(
    KeyMade { key, name, policies, previous_until, ended_early }: &KeyMade,
    asked: &CreateKey,
    endpoint: Option<&Endpoint>,
) -> String {
    let mut before = match (previous_until, &asked.rotate) {
        (Some(until), _) => format!("\nThe secret from before is good until {}.", date(*until)),
        (None, Some(_)) => "\nThe secret from before is refused from now on.".to_owned(),
        (None, None) => String::new(),
    };
    if let Some(until) = ended_early {
        let until = date(*until);
        before.push_str(&format!(
            "\nThe one before that was to be good until {until}, and is refused from now on: a key has two secrets at most."
        ));
    }
    let taken = match policies.as_slice() {
        [] => format!("Say which policy takes it with: petit-server policy set POLICY --key {name}"),
        policies => {
            let policies: Vec<&str> = policies.iter().map(PolicyName::as_str).collect();
            format!("It lets in already, by the policies that name it: {}.", policies.join(", "))
        }
    };
    let how = match endpoint {
        Some(endpoint) => format!("; {}", how_to_show(key, endpoint)),
        None => ".".to_owned(),
    };
    format!(
        "{key}\n\nThis is the key {name}. It is shown this once. Visitors send it in the field Petit-Key{how}{before}\n{taken}"
    )
}

fn list(answer: &KeyList) -> String {
    if answer.keys.is_empty() {
        return "No keys. Make one with: petit-server key create NAME".to_owned();
    }
    let mut rows = vec![["KEY", "ID", "MADE", "ROTATED", "POLICIES", ""].map(str::to_owned).to_vec()];
    rows.extend(answer.keys.iter().map(|key: &KeyView| {
        let policies: Vec<String> = key.policies.iter().map(ToString::to_string).collect();
        let note = match (key.revoked, key.previous_until) {
            (Some(at), _) => format!("revoked {}", date(at)),
            (None, Some(until)) => format!("the one from before is good until {}", date(until)),
            (None, None) => String::new(),
        };
        vec![
            key.name.to_string(),
            key.id.to_string(),
            date(key.created),
            key.rotated.map(date).unwrap_or_default(),
            policies.join(" "),
            note,
        ]
    }));
    table(&rows)
}

fn revoked(KeyRevoked { revoked, keyless, .. }: &KeyRevoked, file: &Path) -> String {
    let mut text = format!(
        "The key {revoked} lets nobody in any more. What is under way with it, such as a download or a WebSocket, goes on to its end."
    );
    for KeylessPolicy { policy, origin } in keyless {
        text.push_str(&format!(
            "\nThe policy {policy} has no other, so it lets nobody in; {}",
            refusals::another_key(policy, *origin, file)
        ));
    }
    text
}

fn date(at: Timestamp) -> String {
    humantime::format_rfc3339_seconds(SystemTime::from(at)).to_string()
}
