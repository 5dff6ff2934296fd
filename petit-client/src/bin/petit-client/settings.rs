//! `config show`: every setting, where its value comes from, what a change of it takes, and what is in force.

use petit_client::config::shown::{self, Takes};
use petit_client::texts::Texts;
use petit_engine::agent::ServiceSpec;
use petit_engine::name::{ServerAddr, ServiceName};
use petit_engine::proto::control::ServiceKind;
use petit_host::cli::Failure;
use petit_host::exit::ExitCode;
use petit_host::settings::{InForce, Origin, ShownSetting, ShownSettings, Words};
use serde::Serialize;
use serde_json::{Map, Value};

use super::configure::{first_service, load};
use super::context::Context;

/// Shows all settings. What the file says is shown, too, where the running client does not answer; that fails all the
/// same, because it is not known then what is in force.
pub(crate) async fn show(context: &Context) -> Result<ExitCode, Failure> {
    let path = &context.folder.config;
    let (config, first) = (load(context)?, first_service(context));
    let text = std::fs::read_to_string(path).map_err(|error| Failure::of(&error))?;
    let file = shown::settings(path, &text, &first).map_err(|error| Failure::of(&error))?;
    let in_force = InForce::of(context.if_running(context.client().settings().await));
    let settings = ShownSettings::new(file, in_force);
    let service = |spec: ServiceSpec| Service { name: spec.name, target: spec.target, kind: spec.kind };
    let mut values = settings.values();
    values.entry("vitae").or_insert_with(|| Value::Object(Map::new()));
    let value = Shown {
        values,
        services: config.specs(&first).into_iter().map(service).collect(),
        running: settings.is_running(),
        settings: &settings.settings,
        error: settings.unknown().map(Failure::typed),
    };
    context.say(&settings.text(path, "client", &Catalogue(&context.texts)), &value);
    settings.outcome(context.json)
}

/// What is printed with `--json`.
#[derive(Serialize)]
struct Shown<'a> {
    /// The values by their keys.
    #[serde(flatten)]
    values: Map<String, Value>,
    services: Vec<Service>,
    /// Null where it is not known.
    running: Option<bool>,
    settings: &'a [ShownSetting<Takes>],
    /// Why it is not known what is in force.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Failure>,
}

/// What a service is in short.
#[derive(Serialize)]
struct Service {
    name: ServiceName,
    target: ServerAddr,
    kind: ServiceKind,
}

/// The words of the catalogue.
struct Catalogue<'a>(&'a Texts);

impl Words<Takes> for Catalogue<'_> {
    fn not_running(&self) -> String {
        self.0.get("cli.settings.not_running")
    }

    fn problem(&self, why: &str) -> String {
        self.0.format("cli.settings.problem", &[("why", &why)])
    }

    fn unknown(&self) -> String {
        self.0.get("cli.settings.unknown")
    }

    fn origin(&self, origin: Origin) -> String {
        self.0.get(match origin {
            Origin::File => "cli.settings.file",
            Origin::Default => "cli.settings.default",
        })
    }

    fn takes(&self, takes: Takes) -> String {
        self.0.get(match takes {
            Takes::Reload => "cli.settings.reload",
            Takes::Reconnect => "cli.settings.reconnect",
            Takes::Registration => "cli.settings.registration",
        })
    }

    fn waits_for(&self, takes: Takes) -> String {
        self.0.get(match takes {
            Takes::Reload => "cli.settings.waits.reload",
            Takes::Reconnect => "cli.settings.waits.reconnect",
            Takes::Registration => "cli.settings.waits.registration",
        })
    }

    fn in_force(&self, value: &Value) -> String {
        self.0.format("cli.settings.in_force", &[("value", value)])
    }

    fn gone(&self, setting: &str) -> String {
        self.0.format("cli.settings.gone", &[("setting", &setting)])
    }
}
