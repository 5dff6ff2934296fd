//! The running server: start, watch the config, take signals and wishes, drain.

use std::ffi::OsString;
use std::path::Path;
use std::sync::Arc;

use petit_host::background::{self, StartError as BackgroundError};
use petit_host::cli::{self, Failure};
use petit_host::control::server::Listener;
use petit_host::exit::ExitCode;
use petit_host::logs::{self, LevelHandle};
use petit_host::shutdown::{Asked, Signals};
use petit_host::watch::FileWatch;
use petit_server::admin::{Admin, InviteTerms, Running, Wish};
use petit_server::config::{self, Config};
use petit_server::folder::Folder;
use petit_server::server::{Server, StartError};
use serde_json::json;
use tokio::sync::mpsc;

use super::{PROGRAM, load};

/// Runs until a signal or `stop`. The first one drains, the second one ends at once.
pub(crate) async fn run(folder: &Folder, in_background: bool) -> Result<ExitCode, Failure> {
    let config = load(&folder.config)?;
    folder.make().map_err(|error| Failure::of(&error))?;
    let level = logs::start(Some(&folder.log()), !in_background, config.log_level).map_err(|error| {
        Failure::new(ExitCode::Failed, format!("cannot write the log {}: {error}", folder.log().display()))
    })?;
    let open_files = petit_host::harden::raise_open_files();
    tracing::debug!(open_files, "limit of open files");
    let mut signals = Signals::new().map_err(|error| Failure::of(&error))?;
    let server = Server::start(config, folder.clone()).await.map_err(|error| start_failure(&error))?;
    let server = Arc::new(server);
    let (wishes, mut wished) = mpsc::channel(4);
    let tunnel = server.tunnel_address().map_err(|error| Failure::of(&error))?;
    let admin = Arc::new(Admin {
        directory: server.directory.clone(),
        endpoint: server.endpoint().clone(),
        invites: InviteTerms {
            server: tunnel,
            pins: server.pins().to_vec(),
            lifetime: server.config.invite_lifetime,
        },
        running: Some(Running { server: Arc::clone(&server), wishes, level: level.clone() }),
    });
    let listener = Listener::bind(&folder.socket()).map_err(|error| {
        let path = folder.socket();
        Failure::new(ExitCode::Failed, format!("cannot open the control socket {}: {error}", path.display()))
    })?;
    let control = tokio::spawn(listener.serve(admin));
    let mut watch = FileWatch::new(&folder.config).ok();
    if in_background {
        background::leave_terminal();
        background::ready();
    }

    let interrupted = loop {
        let reload = tokio::select! {
            asked = signals.next() => match asked {
                Asked::End { interrupted } => break interrupted,
                Asked::Reload => std::fs::read(&folder.config).ok(),
            },
            Some(wish) = wished.recv() => match wish {
                Wish::Stop => break false,
                Wish::Reload => std::fs::read(&folder.config).ok(),
            },
            content = changed(&mut watch) => Some(content),
        };
        if let Some(content) = reload {
            reload_config(&server, folder, &String::from_utf8_lossy(&content), &level);
        }
    };
    tracing::info!("stopping; requests in flight get 30 seconds");
    tokio::select! {
        () = server.drain() => {}
        _ = signals.next() => tracing::info!("stopping at once"),
    }
    control.abort();
    let _ = control.await;
    tracing::info!("stopped");
    Ok(if interrupted { ExitCode::Interrupted } else { ExitCode::Ok })
}

async fn changed(watch: &mut Option<FileWatch>) -> Vec<u8> {
    match watch {
        Some(watch) => watch.changed().await,
        None => std::future::pending().await,
    }
}

/// Applies what can be applied; a file with a mistake changes nothing.
fn reload_config(server: &Server, folder: &Folder, text: &str, level: &LevelHandle) {
    let config: Config = match config::parse(&folder.config, text) {
        Ok((config, _)) => config,
        Err(error) => {
            tracing::error!(error = %cli::chain(&error), "the config file has a mistake; nothing was changed");
            return;
        }
    };
    level.set(config.log_level);
    server.apply(&config);
    let restart = config.needs_restart(&server.config);
    if restart.is_empty() {
        tracing::info!("config applied");
    } else {
        tracing::warn!(settings = restart.join(", "), "config applied, but these settings need a restart");
    }
}

fn start_failure(error: &StartError) -> Failure {
    let failure = Failure::of(error);
    match error {
        StartError::Running { .. } => failure.hint("see it with: petit-server status"),
        StartError::Bind { source, .. } if source.kind() == std::io::ErrorKind::AddrInUse => {
            failure.hint("another program has this port; choose another one in the config file")
        }
        StartError::Bind { source, .. } if source.kind() == std::io::ErrorKind::PermissionDenied => {
            failure.hint("ports below 1024 need rights: setcap cap_net_bind_service=+ep on the program, or a higher port")
        }
        StartError::Key(_) => failure.hint("make what is missing with: petit-server init"),
        _ => failure,
    }
}

/// Starts the server in the background.
pub(crate) fn start(json: bool, config: &Path) -> Result<(), Failure> {
    let arguments: Vec<OsString> =
        ["run", "--background", "--config"].into_iter().map(OsString::from).chain([config.into()]).collect();
    match background::start(&arguments) {
        Ok(pid) => {
            let text =
                format!("The server is running (process {pid}).\nInvite a client with: petit-server invite");
            cli::say(json, &text, &json!({ "pid": pid }));
            Ok(())
        }
        // What the child said is what happened.
        Err(BackgroundError::Ended { output, .. }) if !output.trim().is_empty() => {
            let mut lines = output.lines().map(|line| line.trim().trim_start_matches("error: "));
            let mut failure = Failure::new(ExitCode::Failed, lines.next().unwrap_or_default());
            failure.hint = lines.next().map(str::to_owned);
            Err(failure)
        }
        Err(error) => Err(Failure::of(&error).hint(format!("see what happens with: {PROGRAM} run"))),
    }
}
