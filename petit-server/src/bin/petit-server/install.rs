//! `install` and `uninstall`.

use petit_host::cli::{self, Failure};
use petit_host::service::install::{self, Installed, Service, Uninstalled};
use petit_host::terminal::{self, Ask};
use petit_server::folder::NAME;

use super::common::PROGRAM;

const SERVICE: Service = Service {
    program: PROGRAM,
    name: NAME,
    units: &[
        ("petit-server.service", include_str!("../../../../packaging/systemd/petit-server.service")),
        ("petit-server.socket", include_str!("../../../../packaging/systemd/petit-server.socket")),
        (
            "petit-server-backup.service",
            include_str!("../../../../packaging/systemd/petit-server-backup.service"),
        ),
        (
            "petit-server-backup.timer",
            include_str!("../../../../packaging/systemd/petit-server-backup.timer"),
        ),
    ],
    secrets: &["petit-server.key", "petit-backup.key", "petit-backup.pin"],
    config: include_str!("../../../../packaging/systemd/server.toml"),
};

/// Makes a service of this program.
pub(crate) fn install(json: bool) -> Result<(), Failure> {
    let made = install::install(&SERVICE).map_err(|error| cli::install_failure(&SERVICE, &error))?;
    let Installed { program, unit, config, restarted } = &made;
    let next = match (restarted, petit_server::config::load(config)) {
        (true, _) => "It ran, and a new process has taken over.".to_owned(),
        (false, Ok(_)) => format!("See it with: {PROGRAM} status"),
        (false, Err(_)) => format!("Next: {PROGRAM} init --endpoint https://REGID.example.com --port 443"),
    };
    let text = format!(
        "Service    {unit}, which starts at boot\nProgram    {}\nConfig     {}\n\n{next}",
        program.display(),
        config.display()
    );
    cli::say(json, &text, &made);
    Ok(())
}

/// Takes the service away.
pub(crate) fn uninstall(json: bool, ask: Ask) -> Result<(), Failure> {
    terminal::confirm(ask, json, "no client is served any more, nor is the server started at boot")?;
    let done = install::uninstall(&SERVICE).map_err(|error| cli::install_failure(&SERVICE, &error))?;
    let Uninstalled { unit, removed, kept } = &done;
    let mut text = format!("{unit} is no service of this system any more.");
    for path in removed {
        text.push_str(&format!("\nremoved  {}", path.display()));
    }
    for path in kept {
        text.push_str(&format!("\nkept     {}", path.display()));
    }
    cli::say(json, &text, &done);
    Ok(())
}
