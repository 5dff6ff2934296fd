//! `config show`: every setting, where its value comes from, what a change of it takes, and whether it is in force.

use petit_host::cli::{self, Failure};
use petit_server::api::GetStatus;
use petit_server::config::shown::{self, Origin, Setting, Takes};
use petit_server::folder::Folder;
use serde::Serialize;
use serde_json::{Map, Value};

use super::ask::Running;
use super::common::{PROGRAM, load};

/// What is said of a setting stands from this column on.
const COLUMN: usize = 44;

/// Shows all settings.
pub(crate) async fn show(json: bool, folder: &Folder) -> Result<(), Failure> {
    let path = &folder.config;
    load(path)?;
    let text = std::fs::read_to_string(path).map_err(|error| Failure::of(&error))?;
    let settings = shown::settings(path, &text).map_err(|error| Failure::of(&error))?;
    // While no server runs nothing is in force.
    let status = Running::new(folder).ask_if_running(&GetStatus).await?;
    let due = status.as_ref().map(|status| status.needs_restart.as_slice()).unwrap_or_default();
    let is_due = |setting: &Setting| due.iter().any(|name| name == setting.group);
    let mut out = format!("# {}\n", path.display());
    if let Some(problem) = status.as_ref().and_then(|status| status.config_problem.as_ref()) {
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

/// What is printed with `--json`.
#[derive(Serialize)]
struct Shown<'a> {
    /// The values by their keys.
    #[serde(flatten)]
    values: Map<String, Value>,
    /// The original's place for it.
    endpoint: Value,
    settings: Vec<KnownSetting<'a>>,
}

/// All that is known of a setting.
#[derive(Serialize)]
struct KnownSetting<'a> {
    #[serde(flatten)]
    setting: &'a Setting,
    /// The file says something else than what is in force.
    waits_for_restart: bool,
}

/// The values by their keys, and all that is known of each.
fn value<'a>(settings: &'a [Setting], is_due: &dyn Fn(&Setting) -> bool) -> Shown<'a> {
    let mut values = Map::new();
    for setting in settings {
        let place = match setting.table {
            "" => &mut values,
            table => match values.entry(table).or_insert_with(|| Value::Object(Map::new())) {
                Value::Object(nested) => nested,
                _ => continue,
            },
        };
        place.insert(setting.name.clone(), setting.value.clone());
    }
    let known: Vec<KnownSetting<'_>> =
        settings.iter().map(|setting| KnownSetting { setting, waits_for_restart: is_due(setting) }).collect();
    let endpoint = values.get("vitae").and_then(|vitae| vitae.get("endpoint")).cloned();
    Shown { values, endpoint: endpoint.unwrap_or_default(), settings: known }
}
