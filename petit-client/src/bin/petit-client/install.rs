//! `install` and `uninstall`.

use std::fmt::Display;

use petit_client::folder::NAME;
use petit_host::brand;
use petit_host::cli::{self, Failure};
use petit_host::service::install::{self, Branding, Installed, Service, Uninstalled};
use petit_host::terminal::Ask;

use super::asking;
use super::context::{Context, PROGRAM};

const SERVICE: Service = Service {
    program: PROGRAM,
    branding: Branding::ByFile,
    name: NAME,
    units: &[("petit-client.service", include_str!("../../../../packaging/systemd/petit-client.service"))],
    title: "Petit client",
    about: "Makes services of this computer reachable for one vendor, and only for that vendor.",
    secrets: &[],
    config,
    // Without a registration it waits for one.
    is_set_up: |_| true,
    check: |config| petit_client::config::load(config).map(drop).map_err(|error| cli::chain(&error)),
};

/// The invites of one server only, where the brand is of one.
fn config() -> String {
    let text = include_str!("../../../../packaging/systemd/client.toml");
    match brand::here().server() {
        Some(server) => format!("{text}host = \"{server}\"\n"),
        None => text.to_owned(),
    }
}

/// Makes a service of this program.
pub(crate) fn install(context: &Context) -> Result<(), Failure> {
    let made = install::install(&SERVICE).map_err(|error| cli::install_failure(&SERVICE, &error))?;
    let Installed { program, unit, config, restarted } = &made;
    let values: [(&str, &dyn Display); 3] =
        [("unit", unit), ("program", &program.display()), ("config", &config.display())];
    let next = match (*restarted, cfg!(windows)) {
        (false, _) => "cli.install.next",
        (true, false) => "cli.install.restarted",
        (true, true) => "cli.install.anew",
    };
    let text = format!("{}\n{}", context.texts.format("cli.install.done", &values), context.texts.get(next));
    context.say(&text, &made);
    Ok(())
}

/// Takes the service away.
pub(crate) fn uninstall(context: &Context, ask: Ask) -> Result<(), Failure> {
    asking::ask(context, ask, &context.texts.get("cli.uninstall.question"))?;
    let done = install::uninstall(&SERVICE).map_err(|error| cli::install_failure(&SERVICE, &error))?;
    let Uninstalled { unit, removed, kept, instead } = &done;
    let mut text = match instead {
        None => context.texts.format("cli.uninstall.done", &[("unit", unit)]),
        Some(packaged) => {
            let values: [(&str, &dyn Display); 2] = [("unit", unit), ("packaged", &packaged.display())];
            context.texts.format("cli.uninstall.packaged", &values)
        }
    };
    for (key, paths) in [("cli.uninstall.removed", removed), ("cli.uninstall.kept", kept)] {
        for path in paths {
            text.push_str(&format!("\n{}", context.texts.format(key, &[("path", &path.display())])));
        }
    }
    context.say(&text, &done);
    Ok(())
}
