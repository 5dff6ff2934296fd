//! The config file as a form over its text: read, filled in, checked. Pure.

use std::path::Path;

use petit_client::config;
use petit_client::config::edit::{self, EditError};
use petit_engine::agent::ServiceSpec;
use petit_engine::name::{InvalidName, ServerAddr, ServiceName};
use petit_engine::proto::control::ServiceKind;
use toml_edit::{DocumentMut, Item, Table, value};

use super::contract::{Form, FormService};

/// What of the text the form can show; also of a text with mistakes, as far as it is TOML.
pub(crate) fn form(text: &str, first: &ServiceName) -> Option<Form> {
    if let Ok((config, _)) = config::parse(Path::new(""), text) {
        let service = |spec: ServiceSpec| FormService {
            name: spec.name.to_string(),
            kind: spec.kind,
            target: spec.target.to_string(),
        };
        return Some(Form {
            log_level: config.log_level,
            name: config.device_name.as_ref().map(|name| name.as_str().to_owned()).unwrap_or_default(),
            services: config.specs(first).into_iter().map(service).collect(),
        });
    }
    let document = text.parse::<DocumentMut>().ok()?;
    let client = document.get("client").and_then(Item::as_table);
    let said = |table: Option<&Table>, key: &str| {
        table.and_then(|table| table.get(key)).and_then(Item::as_str).unwrap_or_default().to_owned()
    };
    let services = client.and_then(|client| client.get("service")).and_then(Item::as_array_of_tables);
    let service = |table: &Table| FormService {
        name: said(Some(table), "name"),
        kind: if said(Some(table), "kind") == "tcp" { ServiceKind::Tcp } else { ServiceKind::Http },
        target: said(Some(table), "target"),
    };
    Some(Form {
        log_level: said(client, "log_level").parse().unwrap_or_default(),
        name: said(client, "name"),
        services: services.into_iter().flatten().map(service).collect(),
    })
}

/// The text with the form's values put in; comments, order and what the form does not show are kept.
///
/// # Errors
/// [`EditError`] when the text cannot be edited field by field.
pub(crate) fn fill(text: &str, form: &Form, first: &ServiceName) -> Result<String, EditError> {
    let before = self::form(text, first).ok_or(EditError::Form)?;
    let mut text = text.to_owned();
    if form.log_level != before.log_level {
        text = edit::set(&text, "log_level", &form.log_level.to_string())?;
    }
    if form.name != before.name {
        text =
            if form.name.is_empty() { unset(&text, "name")? } else { edit::set(&text, "name", &form.name)? };
    }
    if form.services == before.services {
        return Ok(text);
    }
    let mut document: DocumentMut = text.parse().map_err(|_| EditError::Form)?;
    let client = document.entry("client").or_insert_with(|| Item::Table(Table::new()));
    let client = client.as_table_mut().ok_or(EditError::Form)?;
    if client.contains_key("local") {
        // The original's one service is rewritten as one of ours, or left alone.
        let local = before.services.first().map(|service| service.name.clone()).unwrap_or_default();
        let kept = form.services.iter().find(|service| service.name == local);
        if kept == before.services.first() {
            let rest = form.services.iter().filter(|service| service.name != local);
            put_services(client, rest, &before.services)?;
            return Ok(edit::with_line_ends_of(&text, &document.to_string()));
        }
        client.remove("local");
    }
    put_services(client, form.services.iter(), &before.services)?;
    Ok(edit::with_line_ends_of(&text, &document.to_string()))
}

/// Writes the services, reusing the table of each that keeps its name, so that its comments stay, and so do settings
/// that the form does not show: what did not change in the form is not written.
fn put_services<'a>(
    client: &mut Table,
    services: impl Iterator<Item = &'a FormService>,
    before: &[FormService],
) -> Result<(), EditError> {
    let mut old: Vec<Table> = match client.remove("service") {
        None => Vec::new(),
        Some(item) => item.into_array_of_tables().map_err(|_| EditError::Form)?.into_iter().collect(),
    };
    let named = |table: &Table, name: &str| table.get("name").and_then(Item::as_str) == Some(name);
    let services: Vec<&FormService> = services.collect();
    // A service that was renamed in place keeps its table too.
    let renamed: Vec<bool> =
        old.iter().map(|table| !services.iter().any(|service| named(table, &service.name))).collect();
    let mut slots: Vec<Option<Table>> = old.drain(..).map(Some).collect();
    let mut list = toml_edit::ArrayOfTables::new();
    for (at, service) in services.into_iter().enumerate() {
        let same =
            slots.iter().position(|slot| slot.as_ref().is_some_and(|table| named(table, &service.name)));
        let place = same.or_else(|| renamed.get(at).copied().unwrap_or_default().then_some(at));
        let table = place.and_then(|place| slots.get_mut(place)).and_then(Option::take);
        let mut table = table.unwrap_or_default();
        // An old place in the file would put it before what was moved.
        table.set_position(None);
        let was = table.get("name").and_then(Item::as_str).map(str::to_owned);
        let known = before.iter().find(|known| Some(&known.name) == was.as_ref());
        put(&mut table, "name", &service.name);
        if known.is_none_or(|known| known.target != service.target) {
            put(&mut table, "target", &service.target);
        }
        let is_default = service.kind == ServiceKind::Http && !table.contains_key("kind");
        if !is_default && known.is_none_or(|known| known.kind != service.kind) {
            put(&mut table, "kind", if service.kind == ServiceKind::Tcp { "tcp" } else { "http" });
        }
        list.push(table);
    }
    if !list.is_empty() {
        client.insert("service", Item::ArrayOfTables(list));
    }
    Ok(())
}

/// Sets a text, keeping the comment behind it.
fn put(table: &mut Table, key: &str, text: &str) {
    match table.get_mut(key) {
        Some(Item::Value(old)) if old.as_str() == Some(text) => {}
        Some(Item::Value(old)) => {
            let decor = old.decor().clone();
            *old = text.into();
            *old.decor_mut() = decor;
        }
        _ => drop(table.insert(key, value(text))),
    }
}

fn unset(text: &str, key: &str) -> Result<String, EditError> {
    let mut document: DocumentMut = text.parse().map_err(|_| EditError::Form)?;
    if let Some(client) = document.get_mut("client").and_then(Item::as_table_mut) {
        client.remove(key);
    }
    Ok(edit::with_line_ends_of(text, &document.to_string()))
}

/// Checks what a person typed for a service.
///
/// # Errors
/// The field that is wrong, and why.
pub(crate) fn check_service(service: &FormService) -> Result<ServiceSpecParts, (&'static str, InvalidName)> {
    let name = service.name.parse().map_err(|why| ("name", why))?;
    let target = target(&service.target).map_err(|why| ("target", why))?;
    Ok((name, service.kind, target))
}

/// A service's name, kind and target.
pub(crate) type ServiceSpecParts = (ServiceName, ServiceKind, ServerAddr);

/// A target as people type it: a port alone is a service on this computer, and a pasted address loses what a target
/// does not have.
///
/// # Errors
/// Why it is none.
pub(crate) fn target(text: &str) -> Result<ServerAddr, InvalidName> {
    let text = text.trim();
    let is_tls = is_tls(text);
    let text = text.strip_prefix("http://").or(text.strip_prefix("https://")).unwrap_or(text);
    let text = text.split('/').next().unwrap_or_default();
    let text = match text.parse::<u16>() {
        Ok(port) => format!("localhost:{port}"),
        Err(_) if is_tls && !text.contains(':') => format!("{text}:443"),
        Err(_) => text.to_owned(),
    };
    text.parse()
}

/// True for a service that speaks TLS; the config file says so by the scheme.
pub(crate) fn is_tls(text: &str) -> bool {
    text.trim_start().starts_with("https://")
}
