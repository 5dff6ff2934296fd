//! The running server: start, watch the config, take signals and wishes, drain.

use std::ffi::OsString;
use std::sync::Arc;

use petit_engine::name::InvalidName;
use petit_host::background::{self, StartError as BackgroundError};
use petit_host::cli::{self, Failure};
use petit_host::control::server::Listener;
use petit_host::exit::ExitCode;
use petit_host::logs::{self, FileHandle, LevelHandle, RotatingFile};
use petit_host::shutdown::{Asked, Signals};
use petit_host::watch::FileWatch;
use petit_server::admin::{Admin, InviteTerms, Running, Wish};
use petit_server::config::{self, Config};
use petit_server::folder::{Folder, KeyError};
use petit_server::server::{Reloaded, Server, StartError, tunnel_address};
use petit_server::store::StoreError;
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};

use super::{PROGRAM, ask, fronts, load, show};

/// Runs until a signal or `stop`. The first one drains, the second one ends at once.
pub(crate) async fn run(folder: &Folder, in_background: bool) -> Result<ExitCode, Failure> {
    let config = load(&folder.config)?;
    folder.make().map_err(|error| Failure::of(&error))?;
    folder.read_key().map_err(|error| start_failure(&StartError::Key(error)))?;
    let (level, log) = log(folder, !in_background, &config).map_err(|error| {
        Failure::new(ExitCode::Failed, format!("cannot write the log {}: {error}", folder.log().display()))
    })?;
    let open_files = petit_host::harden::raise_open_files();
    tracing::debug!(open_files, "limit of open files");
    let mut signals = Signals::new().map_err(|error| Failure::of(&error))?;
    let server = Server::start(config, folder.clone()).await.map_err(|error| start_failure(&error))?;
    let server = Arc::new(server);
    let has_certificate = !server.https().certificates.is_empty();
    if let Some(note) = petit_server::fronts::notes(&server.config, has_certificate) {
        tracing::warn!(?note, "visitors will not get in by the public addresses");
    }
    let (wishes, mut wished) = mpsc::channel(4);
    let terms = invite_terms(&server, &server.config).map_err(|error| Failure::of(&error))?;
    let terms = watch::Sender::new(terms);
    let admin = Arc::new(Admin {
        directory: server.directory.clone(),
        endpoint: server.endpoint().clone(),
        invites: terms.subscribe(),
        running: Some(Running { server: Arc::clone(&server), wishes, level: level.clone() }),
        offline: None,
    });
    let listener = Listener::bind(&folder.socket()).map_err(|error| {
        let path = folder.socket();
        Failure::new(ExitCode::Failed, format!("cannot open the control socket {}: {error}", path.display()))
    })?;
    let control = tokio::spawn(listener.serve(admin));
    let mut watch = FileWatch::new(&folder.config)
        .inspect_err(|error| tracing::warn!(%error, "changes of the config file are not noticed; use reload"))
        .ok();
    if in_background {
        background::leave_terminal();
        background::ready();
    }

    let watching = async {
        tokio::join!(server.watch_memory(), server.watch_certificate(), server.watch_registry());
    };
    tokio::pin!(watching);
    let reload = || reload(&server, folder, (&level, &log), &terms);
    let interrupted = loop {
        tokio::select! {
            asked = signals.next() => match asked {
                Asked::End { interrupted } => break interrupted,
                Asked::Reload => drop(reload()), // said in the log
            },
            Some(wish) = wished.recv() => match wish {
                Wish::Stop => break false,
                Wish::Reload(answer) => drop(answer.send(reload())),
            },
            () = changed(&mut watch) => drop(reload()),
            () = &mut watching => {}
        }
    };
    tracing::info!("stopping; requests in flight get 30 seconds");
    let asked_again = async {
        tokio::select! {
            _ = signals.next() => {}
            () = stop_again(&mut wished) => {}
        }
    };
    tokio::select! {
        () = server.drain() => {}
        () = asked_again => tracing::info!("stopping at once"),
    }
    control.abort();
    let _ = control.await;
    tracing::info!("stopped");
    Ok(if interrupted { ExitCode::Interrupted } else { ExitCode::Ok })
}

/// Starts the log.
fn log(folder: &Folder, terminal: bool, config: &Config) -> std::io::Result<(LevelHandle, FileHandle)> {
    let log = FileHandle::new(RotatingFile::open(&folder.log())?);
    log.set_size(config.log_size);
    Ok((logs::start_to(Some(&log), terminal, config.log_level)?, log))
}

/// Waits until somebody asks to stop once more. A wish to reload is too late now.
async fn stop_again(wished: &mut mpsc::Receiver<Wish>) {
    loop {
        match wished.recv().await {
            Some(Wish::Stop) => return,
            Some(Wish::Reload(_)) => {}
            None => std::future::pending().await,
        }
    }
}

async fn changed(watch: &mut Option<FileWatch>) {
    match watch {
        Some(watch) => drop(watch.changed().await),
        None => std::future::pending().await,
    }
}

fn invite_terms(server: &Server, config: &Config) -> Result<InviteTerms, InvalidName> {
    Ok(InviteTerms {
        server: tunnel_address(config, server.endpoint(), server.tls.port())?,
        page: server.endpoint().enroll_page(server.tls.port()),
        pins: server.pins().to_vec(),
        lifetime: config.invite_lifetime,
    })
}

/// Applies what can be applied; a file with a mistake, or a certificate that cannot be used, changes nothing.
fn reload(
    server: &Server,
    folder: &Folder,
    (level, log): (&LevelHandle, &FileHandle),
    terms: &watch::Sender<InviteTerms>,
) -> Result<Reloaded, String> {
    let config = config::load(&folder.config).map(|(config, _)| config).map_err(|error| cli::chain(&error));
    let reloaded = config.and_then(|config| {
        let new_terms = invite_terms(server, &config).map_err(|error| error.to_string())?;
        let reloaded = server.reload(&config).map_err(|error| cli::chain(&error))?;
        level.set(config.log_level);
        log.set_size(config.log_size);
        terms.send_replace(new_terms);
        Ok(reloaded)
    });
    match &reloaded {
        Err(problem) => {
            tracing::error!(problem, "the config cannot be put in force; nothing was changed");
            server.refuse(problem.clone());
        }
        Ok(Reloaded { needs_restart, .. }) if needs_restart.is_empty() => tracing::info!("config applied"),
        Ok(Reloaded { needs_restart, .. }) => {
            let settings = needs_restart.join(", ");
            tracing::warn!(settings, "config applied, but these settings need a restart");
        }
    }
    reloaded
}

/// What is wrong, and what to do next.
pub(crate) fn start_failure(error: &StartError) -> Failure {
    let failure = Failure::of(error);
    match error {
        StartError::Running { .. } => failure.hint("see it with: petit-server status"),
        StartError::Bind { source, .. } if source.kind() == std::io::ErrorKind::AddrInUse => {
            failure.hint("another program has this port; choose another one in the config file")
        }
        StartError::Bind { source, .. } if source.kind() == std::io::ErrorKind::PermissionDenied => {
            failure.hint("ports below 1024 need rights: setcap cap_net_bind_service=+ep on the program, or a higher port")
        }
        StartError::Key(KeyError::Missing { .. }) => failure.hint("make it with: petit-server init"),
        StartError::Key(KeyError::Lost { .. }) => failure.hint(
            "put it back from a copy; or use the backup key, which clients accept too: mv backup.key server.key",
        ),
        StartError::Store(StoreError::Missing { .. }) => failure.hint(
            "put it back with: petit-server restore FOLDER; to begin anew without clients: petit-server init --new-registry",
        ),
        StartError::Store(StoreError::NotARegistry { .. }) => failure.hint("put a backup back with: petit-server restore FOLDER"),
        _ => failure,
    }
}

/// Starts the server in the background.
pub(crate) async fn start(json: bool, folder: &Folder) -> Result<(), Failure> {
    let config = folder.config.as_path();
    let arguments: Vec<OsString> =
        ["run", "--background", "--config"].into_iter().map(OsString::from).chain([config.into()]).collect();
    match background::start(&arguments) {
        Ok(pid) => {
            let mut text = format!("The server is running (process {pid}).\n");
            // It serves its clients all the same, so this is no reason not to start.
            let status = ask::Running::new(folder).call("GET", "/status", None).await.unwrap_or_default();
            let problem = show::text(&status, "/certificate_problem");
            if !problem.is_empty() {
                text.push_str(&format!("HTTPS visitors are not served as they should be: {problem}\n"));
            }
            let has_certificate =
                status.get("certificates").and_then(Value::as_array).is_some_and(|shown| !shown.is_empty());
            let config = load(config)?;
            if let Some(note) = petit_server::fronts::notes(&config, has_certificate) {
                text.push_str(&format!("note: {}\n", fronts::note(&note)));
            }
            text.push_str("Invite a client with: petit-server invite");
            let problem = (!problem.is_empty()).then_some(problem);
            cli::say(json, &text, &json!({ "pid": pid, "certificate_problem": problem }));
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
