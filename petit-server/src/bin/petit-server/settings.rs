//! `config show`: every setting, where its value comes from, what a change of it takes, and whether it is in force.

use petit_host::cli::{self, Failure};
use petit_server::config::shown::{self, Origin, Setting, Takes};
use petit_server::folder::Folder;
use serde_json::{Map, Value, json};

use super::ask::Running;
use super::common::{PROGRAM, load};
use super::show;

/// What is said of a setting stands from this column on.
const COLUMN: usize = 44;

/// Shows all settings.
pub(crate) async fn show(json: bool, folder: &Folder) -> Result<(), Failure> {
    let path = &folder.config;
    load(path)?;
    let text = std::fs::read_to_string(path).map_err(|error| Failure::of(&error))?;
    let settings = shown::settings(path, &text).map_err(|error| Failure::of(&error))?;
    // While no server runs nothing is in force.
    let status = Running::new(folder).call("GET", "/status", None).await.ok();
    let due = status.as_ref().map(due).unwrap_or_default();
    let is_due = |setting: &Setting| due.iter().any(|name| name == setting.group);
    let mut out = format!("# {}\n", path.display());
    if let Some(problem) = status.as_ref().map(|status| show::text(status, "/config_problem"))
        && !problem.is_empty()
    {
        out.push_str(&format!("# The running server does not use it: {problem}\n"));
    }
    let mut table = None;
    for setting in &settings {
        if table != Some(setting.table) {
            let gap = if table.is_some() { "\n" } else { "" };
            let dot = if setting.table.is_empty() { "" } else { "." };
            out.push_str(&format!("{gap}[server{dot}{}]\n", setting.table));
            table = Some(setting.table);
        }
        out.push_str(&line(setting, is_due(setting)));
    }
    if !due.is_empty() {
        out.push_str(&format!("\nPut what waits in force with: {PROGRAM} restart\n"));
    }
    cli::say(json, &out, &value(&settings, &is_due));
    Ok(())
}

/// What counts only after a restart of the running server.
fn due(status: &Value) -> Vec<String> {
    let names = status.get("needs_restart").and_then(Value::as_array).into_iter().flatten();
    names.filter_map(Value::as_str).map(str::to_owned).collect()
}

fn line(setting: &Setting, is_due: bool) -> String {
    let Setting { name, value, origin, takes, .. } = setting;
    let said = match value {
        Value::Null => format!("# {name} ="),
        value => format!("{name} = {value}"),
    };
    let origin = match origin {
        Origin::File => "file",
        Origin::Default => "default",
    };
    let takes = match (takes, is_due) {
        (_, true) => "waits for a restart",
        (Takes::Reload, false) => "a change needs a reload",
        (Takes::Restart, false) => "a change needs a restart",
    };
    format!("{said:<COLUMN$} # {origin}; {takes}\n")
}

/// The values by their keys, and all that is known of each.
fn value(settings: &[Setting], is_due: &dyn Fn(&Setting) -> bool) -> Value {
    let mut values = Map::new();
    for setting in settings {
        let place = match setting.table {
            "" => &mut values,
            table => match values.entry(table).or_insert_with(|| json!({})) {
                Value::Object(nested) => nested,
                _ => continue,
            },
        };
        place.insert(setting.name.clone(), setting.value.clone());
    }
    let known = settings.iter().map(|setting| {
        let mut known = json!(setting);
        if let Some(known) = known.as_object_mut() {
            known.insert("waits_for_restart".to_owned(), json!(is_due(setting)));
        }
        known
    });
    // The original's place for it.
    let endpoint = values.get("vitae").and_then(|vitae| vitae.get("endpoint")).cloned();
    values.insert("endpoint".to_owned(), endpoint.unwrap_or_default());
    values.insert("settings".to_owned(), Value::Array(known.collect()));
    Value::Object(values)
}
