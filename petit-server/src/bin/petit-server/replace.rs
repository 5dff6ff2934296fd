//! `init --replace`: other addresses for a server that is set up already, but that nobody has registered with.
//!
//! Whoever tries the server on one machine first, by `init` alone, comes here with the domain. Only the settings that were
//! named change; keys, registry and policies stay.

use petit_host::cli::Failure;
use petit_host::config::read;
use petit_host::exit::ExitCode;
use petit_host::files;
use petit_server::api::{ClientList, ListClients};
use petit_server::config::{self, Config};
use petit_server::folder::Folder;
use petit_server::server::LostRegistry;
use toml_edit::{DocumentMut, Item, Table, TableLike, Value};

use super::ask::AdminAccess;
use super::common::config_failure;
use super::init_order::{InitArgs, NewConfig};
use super::service;

/// What to do where `init` does not change a config.
pub(crate) const BY_HAND: &str = "set secure_proxy_port and certificates in it, and endpoint in its [server.vitae], by hand, or put another in its place: petit-server config put FILE";

/// The config that is there with what `init` was asked for in it.
///
/// # Errors
/// [`Failure`] where a client has registered: it goes by the addresses that there are.
pub(crate) async fn replacement(
    folder: &Folder,
    args: &InitArgs<'_>,
    before: &Config,
) -> Result<(Config, NewConfig), Failure> {
    refuse_if_used(folder, args, before).await?;
    let path = &folder.config;
    let text = read(path).map_err(|error| config_failure(&error))?;
    // A config of the original's calls its keys otherwise, and then the two contradict each other.
    let edited = edited(&text, args).and_then(|text| Some((config::parse(path, &text).ok()?.0, text)));
    match edited {
        Some((config, text)) if args.are_those_of(path, &config) => {
            let kept = Some(folder.last_good());
            Ok((config, NewConfig { text, write: files::write_keeping_rights, kept }))
        }
        _ => {
            let problem = format!("{} cannot be changed by this command; it is as it was", path.display());
            Err(Failure::new(ExitCode::Failed, problem).hint(BY_HAND))
        }
    }
}

/// Refuses to change a server that clients have registered with, also where they have gone since: somebody may have noted
/// their addresses.
async fn refuse_if_used(folder: &Folder, args: &InitArgs<'_>, before: &Config) -> Result<(), Failure> {
    let has_key = folder.has_key().map_err(|error| Failure::of(&error))?;
    let is_made_anew = args.lost == LostRegistry::MadeAnew && !before.registry_file.exists();
    if !has_key || is_made_anew {
        return Ok(()); // what is lost is refused, or made, by whoever looks for it next
    }
    let ClientList { clients } = match folder.is_out_of_bounds() {
        true => service::clients()?,
        false => AdminAccess::new(folder).ask(&ListClients).await?,
    };
    if clients.is_empty() {
        return Ok(());
    }
    let problem = format!(
        "clients have registered with this server ({}), so it was not changed: other addresses would cut off them and their visitors",
        clients.len()
    );
    Err(Failure::new(ExitCode::Failed, problem).hint(format!("if it has to be: {BY_HAND}")))
}

/// A config's text with the settings in it that `init` was asked for; comments and everything else stay.
fn edited(text: &str, args: &InitArgs<'_>) -> Option<String> {
    let mut document: DocumentMut = text.parse().ok()?;
    let server = document.get_mut("server")?.as_table_like_mut()?;
    if let Some(port) = args.port {
        set(server, "secure_proxy_port", i64::from(port));
    }
    if let Some(folder) = args.certificates {
        set(server, "certificates", folder.display().to_string());
    }
    if let Some(endpoint) = args.endpoint {
        let vitae = server.entry("vitae").or_insert_with(|| Item::Table(Table::new()));
        set(vitae.as_table_like_mut()?, "endpoint", endpoint.to_string());
    }
    Some(document.to_string())
}

/// Sets a key. The comments around one that is there stay.
fn set(table: &mut dyn TableLike, key: &str, wanted: impl Into<Value>) {
    let mut wanted: Value = wanted.into();
    match table.get_mut(key).and_then(Item::as_value_mut) {
        Some(there) => {
            *wanted.decor_mut() = there.decor().clone();
            *there = wanted;
        }
        None => {
            table.insert(key, Item::Value(wanted));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::init_order::FirstVisitors;
    use super::*;

    #[test]
    fn only_what_was_asked_for_changes_in_a_config() {
        let endpoint = "https://REGID.example.com".parse().unwrap();
        let args = InitArgs {
            endpoint: Some(&endpoint),
            port: Some(443),
            certificates: Some(Path::new("/certs")),
            lost: LostRegistry::Refused,
            visitors: FirstVisitors::Keyed,
            replace: true,
        };
        let text = edited(&config::template(), &args).unwrap();
        let (config, notes) = config::parse(Path::new("/p/config.toml"), &text).unwrap();
        assert!(notes.is_empty(), "{notes:?}");
        assert!(args.are_those_of(Path::new("/p/config.toml"), &config), "{text}");
        let kept = config::template();
        let is_kept = |line: &&str| !line.starts_with("endpoint = ");
        assert!(kept.lines().filter(is_kept).all(|line| text.lines().any(|kept| kept == line)), "{text}");

        let own = "[server]\ntcp_ports = \"\" # none\nsecure_proxy_port = 1 # ours\n[client]\nname = \"x\"\n";
        let text = edited(own, &args).unwrap();
        assert!(
            text.contains("tcp_ports = \"\" # none\n") && text.contains("[client]\nname = \"x\"\n"),
            "{text}"
        );
        assert!(text.contains("\nsecure_proxy_port = 443 # ours\n"), "{text}");
        assert!(text.contains("[server.vitae]\nendpoint = \"https://REGID.example.com\"\n"), "{text}");
    }
}
