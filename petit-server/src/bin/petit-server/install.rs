//! `install` and `uninstall`.

use petit_host::cli::{self, Failure};
use petit_host::service::install::{self, Branding, Installed, Service, Uninstalled};
use petit_host::terminal::{self, Ask};
use petit_server::folder::{Folder, NAME};

use super::common::PROGRAM;

const SERVICE: Service = Service {
    program: PROGRAM,
    branding: Branding::None,
    name: NAME,
    title: "Petit server",
    about: "Lets visitors reach services at customers, whose clients connect to it.",
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
    config: || include_str!("../../../../packaging/systemd/server.toml").to_owned(),
    is_set_up: |config| Folder::of(config).has_key().unwrap_or(false),
    check: |config| petit_server::config::load(config).map(drop).map_err(|error| cli::chain(&error)),
};

/// Makes a service of this program.
pub(crate) fn install(json: bool) -> Result<(), Failure> {
    let made = install::install(&SERVICE).map_err(|error| cli::install_failure(&SERVICE, &error))?;
    let Installed { program, unit, config, restarted } = &made;
    let next = match (restarted, petit_server::config::load(config)) {
        (true, _) if cfg!(windows) => "It ran; it was stopped and started.".to_owned(),
        (true, _) => "It ran, and a new process has taken over.".to_owned(),
        (false, Ok(_)) => format!("See it with: {PROGRAM} status"),
        (false, Err(_)) => format!("Next: {PROGRAM} init --endpoint https://REGID.example.com --port 443"),
    };
    let mut text = format!(
        "Service    {unit}, which starts at boot\nProgram    {}\nConfig     {}\n\n{next}",
        program.display(),
        config.display()
    );
    if cfg!(windows) {
        let program = program.display();
        text.push_str(&format!(
            "\nThe firewall of Windows lets nobody in by itself: netsh advfirewall firewall add rule name=\"Petit server\" dir=in action=allow program=\"{program}\""
        ));
    }
    cli::say(json, &text, &made);
    Ok(())
}

/// Takes the service away.
pub(crate) fn uninstall(json: bool, ask: Ask) -> Result<(), Failure> {
    terminal::confirm(ask, json, "no client is served any more, nor is the server started at boot")?;
    let done = install::uninstall(&SERVICE).map_err(|error| cli::install_failure(&SERVICE, &error))?;
    let Uninstalled { unit, removed, kept, instead } = &done;
    let mut text = match instead {
        None => format!("{unit} is no service of this system any more."),
        Some(packaged) => format!("{unit} is the one of the package from now on: {}", packaged.display()),
    };
    // The package's unit goes by it as well.
    #[cfg(target_os = "linux")]
    let ports = if instead.is_none() { super::socket_unit::forget() } else { None };
    #[cfg(not(target_os = "linux"))]
    let ports: Option<std::path::PathBuf> = None;
    for path in removed.iter().chain(&ports) {
        text.push_str(&format!("\nremoved  {}", path.display()));
    }
    for path in kept {
        text.push_str(&format!("\nkept     {}", path.display()));
    }
    cli::say(json, &text, &done);
    Ok(())
}
