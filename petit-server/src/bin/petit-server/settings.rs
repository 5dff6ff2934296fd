//! `config show`: every setting, where its value comes from, what a change of it takes, and what is in force.

use petit_host::cli::{self, Failure};
use petit_host::exit::ExitCode;
use petit_host::lock::Lock;
use petit_host::settings::{InForce, Origin, ShownSetting, ShownSettings, TablePlace, Words};
use petit_server::api::GetSettings;
use petit_server::config::shown::{self, Takes};
use petit_server::folder::Folder;
use serde::Serialize;
use serde_json::{Map, Value};

use super::ask::Running;
use super::common::{PROGRAM, load};

/// Shows all settings. What the file says is shown, too, where the running server does not answer; that fails all the
/// same, because it is not known then what is in force.
pub(crate) async fn show(json: bool, folder: &Folder) -> Result<ExitCode, Failure> {
    let path = &folder.config;
    load(path)?;
    let text = std::fs::read_to_string(path).map_err(|error| Failure::of(&error))?;
    let file = shown::settings(path, &text).map_err(|error| Failure::of(&error))?;
    let answer = match Running::new(folder).ask_if_running(&GetSettings).await {
        // It may well run and not answer: then it holds its lock.
        Ok(None) => Lock::holder(&folder.lock())
            .map_or(Ok(None), |holder| Err(Failure::unanswering(PROGRAM, &folder.lock(), holder.pid))),
        answer => answer,
    };
    let mut settings = ShownSettings::new(file, InForce::of(answer));
    // A policy that the file has no longer is out of force with the reload, which the server makes by itself.
    settings.gone.retain(|one| one.place == TablePlace::Below);
    let mut out = settings.text(path, "server", &English);
    if settings.settings.iter().any(is_due) {
        out.push_str(&format!("\nPut what waits in force with: {PROGRAM} restart\n"));
    }
    cli::say(json, &out, &Shown::new(&settings));
    settings.outcome(json)
}

fn is_due(shown: &ShownSetting<Takes>) -> bool {
    shown.waits_for == Some(Takes::Restart)
}

struct English;

impl Words<Takes> for English {
    fn not_running(&self) -> String {
        "No server runs: nothing is in force.".to_owned()
    }

    fn problem(&self, why: &str) -> String {
        format!("The running server does not use it: {why}")
    }

    fn unknown(&self) -> String {
        "What is in force is not known: the running server did not say it.".to_owned()
    }

    fn origin(&self, origin: Origin) -> String {
        match origin {
            Origin::File => "file".to_owned(),
            Origin::Default => "default".to_owned(),
        }
    }

    fn takes(&self, takes: Takes) -> String {
        match takes {
            Takes::Reload => "a change needs a reload".to_owned(),
            Takes::Restart => "a change needs a restart".to_owned(),
        }
    }

    fn waits_for(&self, takes: Takes) -> String {
        match takes {
            Takes::Reload => "waits for a reload".to_owned(),
            Takes::Restart => "waits for a restart".to_owned(),
        }
    }

    fn in_force(&self, value: &Value) -> String {
        format!("in force: {value}")
    }

    fn gone(&self, setting: &str) -> String {
        format!("In force until a restart, though not in the file any more: {setting}")
    }
}

/// What is printed with `--json`.
#[derive(Serialize)]
struct Shown<'a> {
    /// The values by their keys.
    #[serde(flatten)]
    values: Map<String, Value>,
    /// The original's place for it.
    endpoint: Value,
    /// Null where it is not known.
    running: Option<bool>,
    settings: Vec<KnownSetting<'a>>,
    /// Why it is not known what is in force.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Failure>,
}

/// All that is known of a setting.
#[derive(Serialize)]
struct KnownSetting<'a> {
    #[serde(flatten)]
    shown: &'a ShownSetting<Takes>,
    /// The file says something else than what is in force.
    waits_for_restart: bool,
}

impl<'a> Shown<'a> {
    fn new(settings: &'a ShownSettings<Takes>) -> Self {
        let values = settings.values();
        let endpoint = values.get("vitae").and_then(|vitae| vitae.get("endpoint")).cloned();
        let known = |shown| KnownSetting { shown, waits_for_restart: is_due(shown) };
        Self {
            values,
            endpoint: endpoint.unwrap_or_default(),
            running: settings.is_running(),
            settings: settings.settings.iter().map(known).collect(),
            error: settings.unknown().map(Failure::typed),
        }
    }
}
