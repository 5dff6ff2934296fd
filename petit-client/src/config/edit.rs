//! Edits that keep what people wrote: comments, order, spelling.

use petit_engine::name::{ServerAddr, ServiceName};
use toml_edit::{ArrayOfTables, DocumentMut, Item, Table, value};

/// Why an edit was not made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// The file is not TOML, or not of the usual form; it was checked before, so this is rare.
    #[error("the config file has a form that cannot be edited; edit it by hand")]
    Form,
    /// A service of this name is there already.
    #[error("there is a service {0:?} already")]
    Exists(String),
    /// There is no such service.
    #[error("there is no service {0:?}")]
    Missing(String),
}

fn document(text: &str) -> Result<DocumentMut, EditError> {
    text.parse().map_err(|_| EditError::Form)
}

/// A text with the line ends of the one that it is made of: all lines of a file from Windows end in CR LF, and stay so.
pub fn with_line_ends_of(before: &str, after: &str) -> String {
    let all = before.matches('\n').count();
    let plain = after.replace("\r\n", "\n");
    if before.matches("\r\n").count() * 2 > all { plain.replace('\n', "\r\n") } else { plain }
}

/// The `[client]` table, made when there is none.
fn client(document: &mut DocumentMut) -> Result<&mut Table, EditError> {
    document
        .entry("client")
        .or_insert_with(|| Item::Table(Table::new()))
        .as_table_mut()
        .ok_or(EditError::Form)
}

fn services(client: &mut Table) -> Result<&mut ArrayOfTables, EditError> {
    let list = client.entry("service").or_insert_with(|| Item::ArrayOfTables(ArrayOfTables::new()));
    list.as_array_of_tables_mut().ok_or(EditError::Form)
}

fn position(list: &ArrayOfTables, name: &str) -> Option<usize> {
    list.iter().position(|table| table.get("name").and_then(Item::as_str) == Some(name))
}

/// Whether a text sets up a service. One without a name may be any; so may those of a text that cannot be read.
pub fn names_service(text: &str, name: &str) -> bool {
    let Ok(document) = document(text) else { return true };
    let Some(client) = document.get("client") else { return false };
    let of_list = |list: &ArrayOfTables| position(list, name).is_some();
    let is_named = client.get("service").is_some_and(|list| list.as_array_of_tables().is_none_or(of_list));
    is_named || client.get("local").is_some()
}

/// A service to be written down.
#[derive(Clone, Debug, Default)]
pub struct NewService {
    pub name: String,
    /// Where it is.
    pub target: String,
    /// `http`, `h2` or `tcp`.
    pub kind: &'static str,
    /// Further keys with their texts, such as `tls_ca`.
    pub more: Vec<(&'static str, String)>,
    /// It speaks TLS, and whoever this computer trusts may vouch for it.
    pub tls: bool,
}

impl NewService {
    /// A service with a name, a place and a kind.
    pub fn plain(name: &ServiceName, target: &ServerAddr, kind: &'static str) -> Self {
        Self { name: name.to_string(), target: target.to_string(), kind, ..Self::default() }
    }
}

/// Adds a service at the end.
///
/// # Errors
/// [`EditError::Exists`] when its name is taken.
pub fn add_service(text: &str, new: &NewService) -> Result<String, EditError> {
    let mut document = document(text)?;
    // Comments at the end of the file stay where they are read: before what is added. Behind it they would seem
    // to belong to it, and a key that somebody uncomments there would.
    let is_last = document.iter().all(|(key, _)| key == "client");
    let comments = document.trailing().as_str().unwrap_or_default().to_owned();
    let client = client(&mut document)?;
    let list = services(client)?;
    if position(list, &new.name).is_some() {
        return Err(EditError::Exists(new.name.clone()));
    }
    let mut table = Table::new();
    let moves = is_last && !comments.trim().is_empty();
    if moves {
        table.decor_mut().set_prefix(format!("{}\n\n", comments.trim_end()));
    }
    table.insert("name", value(&new.name));
    table.insert("target", value(&new.target));
    if new.kind != "http" {
        table.insert("kind", value(new.kind));
    }
    if new.tls {
        table.insert("tls", value(true));
    }
    for (key, setting) in &new.more {
        table.insert(key, value(setting));
    }
    list.push(table);
    if moves {
        document.set_trailing("");
    }
    Ok(with_line_ends_of(text, &document.to_string()))
}

/// Takes a service out. `first` is what the original's `[client.local]` is called now.
///
/// # Errors
/// [`EditError::Missing`] when there is none of that name.
pub fn remove_service(text: &str, name: &ServiceName, first: &ServiceName) -> Result<String, EditError> {
    let mut document = document(text)?;
    let client = client(&mut document)?;
    if client.contains_key("service") {
        let list = services(client)?;
        if let Some(position) = position(list, name.as_str()) {
            list.remove(position);
            if list.is_empty() {
                client.remove("service");
            }
            return Ok(with_line_ends_of(text, &document.to_string()));
        }
    }
    if name == first && client.contains_key("local") {
        client.remove("local");
        return Ok(with_line_ends_of(text, &document.to_string()));
    }
    Err(EditError::Missing(name.to_string()))
}

/// Sets one key of `[client]` to a text.
///
/// # Errors
/// [`EditError::Form`].
pub fn set(text: &str, key: &str, setting: &str) -> Result<String, EditError> {
    let mut document = document(text)?;
    let client = client(&mut document)?;
    match client.get_mut(key) {
        // The comment behind the old value stays.
        Some(Item::Value(old)) => {
            let decor = old.decor().clone();
            *old = setting.into();
            *old.decor_mut() = decor;
        }
        _ => {
            client.insert(key, value(setting));
        }
    }
    Ok(with_line_ends_of(text, &document.to_string()))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_service_is_set_up_unless_the_text_shows_that_it_is_not() {
        let listed = "[client]\n[[client.service]]\nname = \"web\"\ntarget = \"localhost:1\"\nnew = 1\n";
        for (text, name, expected) in [
            (listed, "web", true),
            (listed, "db", false),
            ("[client]\nhost = \"web\"\n", "web", false),
            ("", "web", false),
            // One without a name has that of the registration.
            ("[client]\nlocal = 3000\n", "web", true),
            ("[client]\nservice = \"of another form\"\n", "web", true),
            ("no toml", "web", true),
        ] {
            assert_eq!(names_service(text, name), expected, "{text:?} {name}");
        }
    }

    #[test]
    fn a_file_from_windows_keeps_its_line_ends() {
        let text = "# ours\r\n[client]\r\nlog_level = \"info\" # all\r\n\r\n[[client.service]]\r\nname = \"web\"\r\ntarget = \"localhost:1\"\r\n";
        let name = |name: &str| name.parse::<ServiceName>().unwrap();
        let target = "localhost:2".parse().unwrap();
        let added = add_service(text, &NewService::plain(&name("shop"), &target, "tcp")).unwrap();
        assert!(added.starts_with(text), "{added:?}");
        assert_eq!(remove_service(&added, &name("shop"), &name("web")).unwrap(), text);
        let set = set(&added, "log_level", "debug").unwrap();
        assert_eq!(set, added.replace("info", "debug"));
        assert_eq!(set.matches("\r\n").count(), set.matches('\n').count());
        assert!(!super::set("[client]\nname = \"a\"\n", "name", "b").unwrap().contains('\r'));
    }
    use crate::config::{self, Config};

    fn spec(name: &str, kind: &'static str) -> NewService {
        NewService::plain(&name.parse().unwrap(), &"localhost:3000".parse().unwrap(), kind)
    }

    fn parse(text: &str) -> Config {
        config::parse(Path::new("c"), text).unwrap().0
    }

    const WRITTEN: &str = "# mine\n[client]\nlogLevel = \"warn\" # quiet\n\n# the shop\n[[client.service]]\nname = \"shop\"\ntarget = \"localhost:1\" # here\n\n[other]\n";

    #[test]
    fn a_service_is_added_and_all_else_stays() {
        let text = add_service(WRITTEN.trim_end_matches("\n[other]\n"), &spec("db", "tcp")).unwrap();
        for kept in
            ["# mine\n", "logLevel = \"warn\" # quiet", "# the shop\n", "target = \"localhost:1\" # here"]
        {
            assert!(text.contains(kept), "{text}");
        }
        let names: Vec<String> =
            parse(&text).specs(&ServiceName::first()).iter().map(|s| s.name.to_string()).collect();
        assert_eq!(names, ["shop", "db"]);
        assert_eq!(add_service(&text, &spec("db", "http")), Err(EditError::Exists("db".into())));
        let text = remove_service(&text, &"shop".parse().unwrap(), &ServiceName::first()).unwrap();
        assert_eq!(parse(&text).services.len(), 1);
        assert!(text.contains("# quiet"));
    }

    #[test]
    fn an_empty_file_gets_what_it_needs() {
        let text = add_service("", &spec("web", "http")).unwrap();
        assert_eq!(text, "[client]\n\n[[client.service]]\nname = \"web\"\ntarget = \"localhost:3000\"\n");
        let text = add_service(&config::template(), &spec("web", "http")).unwrap();
        assert!(text.starts_with("# Petit on this computer"));
        assert_eq!(parse(&text).services.len(), 1);
        // A key that is uncommented is still one of [client].
        let text = add_service(&text, &spec("db", "tcp")).unwrap();
        assert_eq!(
            parse(&text.replacen("# name = ", "name = ", 1)).device_name.unwrap().as_str(),
            "Front desk"
        );
        let both = format!("{}\n[server]\nproxy_port = 1\n# the end\n", config::template());
        let text = add_service(&both, &spec("web", "http")).unwrap();
        assert!(text.ends_with("[server]\nproxy_port = 1\n# the end\n"), "{text}");
    }

    #[test]
    fn the_originals_local_service_can_be_removed_by_its_name() {
        let text = "[client]\nhost = \"h\"\n[client.local]\nport = 80\n";
        let gone = remove_service(text, &"accounts".parse().unwrap(), &"accounts".parse().unwrap()).unwrap();
        assert!(parse(&gone).services.is_empty() && gone.contains("host"));
        let missing = remove_service(text, &"x".parse().unwrap(), &ServiceName::first());
        assert_eq!(missing, Err(EditError::Missing("x".into())));
    }

    #[test]
    fn a_setting_keeps_its_comment() {
        let text = set("[client]\nlog_level = \"warn\" # quiet\n", "log_level", "debug").unwrap();
        assert_eq!(text, "[client]\nlog_level = \"debug\" # quiet\n");
        assert_eq!(parse(&set("", "key_store", "file").unwrap()).key_store, config::KeyStore::File);
    }

    proptest! {
        #[test]
        fn adding_and_removing_a_service_changes_nothing_else(
            names in proptest::collection::btree_set("[a-z][a-z0-9]{0,8}", 0..5),
            new in "[a-z][a-z0-9]{9,12}",
            comment in "[a-zA-Z0-9 #=\"\\[\\]]{0,30}",
        ) {
            let mut text = format!("# {comment}\n[client]\nlog_level = \"warn\" # {comment}\n");
            for name in &names {
                text.push_str(&format!("\n# {comment}\n[[client.service]]\nname = \"{name}\"\ntarget = \"h:1\"\n"));
            }
            let before = parse(&text);
            let added = add_service(&text, &spec(&new, "http")).unwrap();
            prop_assert_eq!(parse(&added).services.len(), names.len() + 1);
            prop_assert_eq!(added.matches(&format!("# {comment}")).count(), text.matches(&format!("# {comment}")).count());
            let removed = remove_service(&added, &new.parse().unwrap(), &ServiceName::first()).unwrap();
            prop_assert_eq!(parse(&removed), before);
        }
    }
}
