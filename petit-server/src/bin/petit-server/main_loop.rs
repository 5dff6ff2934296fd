//! What a server has before its main loop begins, and what the loop goes on with. How other processes take its place, and
//! it theirs, is not known here: `H` stands for that.

use std::path::PathBuf;
use std::sync::Arc;

use petit_engine::name::InvalidName;
use petit_host::cli::Failure;
use petit_host::control::server::{Control, Listener};
use petit_host::exit::ExitCode;
use petit_host::logs::{self, FileHandle, LevelHandle, RotatingFile};
use petit_host::shutdown::{Signals, StopCause};
use petit_host::watch::FileWatch;
use petit_server::admin::{Admin, Inbox, InviteTerms, Running, commands};
use petit_server::config::Config;
use petit_server::folder::Folder;
use petit_server::server::{Inherited, Prepared, Server, ServerStartError, tunnel_address};
use tokio::sync::watch;

use super::common::{load, start_failure};

/// How the server is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct How {
    /// By `start`: it belongs to no terminal.
    pub(crate) background: bool,
    /// By a server whose place it is to take.
    pub(crate) takeover: bool,
}

/// What is there before the server serves.
pub(crate) struct Beginning<S = ()> {
    level: LevelHandle,
    log: Option<FileHandle>,
    signals: Signals,
    serving: S,
}

/// What is there when it serves.
pub(crate) struct Serving<P> {
    server: Arc<Server>,
    listener: Listener,
    predecessors: P,
}

impl Beginning {
    pub(crate) async fn new(
        folder: &Folder,
        how: How,
        inherited: Inherited,
    ) -> Result<(Self, Prepared), Failure> {
        let config = load(&folder.config)?;
        folder.make().map_err(|error| Failure::of(&error))?;
        folder.read_key().map_err(|error| start_failure(&ServerStartError::Key(error)))?;
        let (level, log) = log(folder, !how.background, &config).map_err(|error| {
            let path = folder.log();
            Failure::new(ExitCode::Failed, format!("cannot write the log {}: {error}", path.display()))
        })?;
        let open_files = petit_host::harden::raise_open_files();
        tracing::debug!(open_files, "limit of open files");
        let signals = Signals::new().map_err(|error| Failure::of(&error))?;
        let prepared = Prepared::new(config, folder.clone(), inherited).await;
        Ok((Self { level, log, signals, serving: () }, prepared.map_err(|error| start_failure(&error))?))
    }

    pub(crate) fn with<P>(
        self,
        server: Server,
        listener: Listener,
        predecessors: P,
    ) -> Beginning<Serving<P>> {
        let serving = Serving { server: Arc::new(server), listener, predecessors };
        Beginning { level: self.level, log: self.log, signals: self.signals, serving }
    }
}

/// Starts the log. That of a service of the system is kept by the journal alone.
fn log(
    folder: &Folder,
    terminal: bool,
    config: &Config,
) -> std::io::Result<(LevelHandle, Option<FileHandle>)> {
    let log = match folder.is_of_systemd() {
        true => None,
        false => Some(FileHandle::new(RotatingFile::open(&folder.log())?)),
    };
    if let Some(log) = &log {
        log.set_size(config.log_size);
    }
    Ok((logs::start_to(log.as_ref(), terminal, config.log_level)?, log))
}

pub(crate) fn socket_failure(folder: &Folder, error: &std::io::Error) -> Failure {
    let path = folder.socket();
    Failure::new(ExitCode::Failed, format!("cannot open the control socket {}: {error}", path.display()))
}

/// The running server's main loop: one thing after the other.
#[cfg_attr(not(unix), expect(dead_code, reason = "no process takes another one's place there"))]
pub(crate) struct Main<'a, H> {
    pub(crate) folder: &'a Folder,
    pub(crate) how: How,
    pub(crate) program: PathBuf,
    pub(crate) server: Arc<Server>,
    pub(crate) control: Control,
    pub(crate) signals: Signals,
    pub(crate) level: LevelHandle,
    /// `None` where the journal keeps it.
    pub(crate) log: Option<FileHandle>,
    pub(crate) terms: watch::Sender<InviteTerms>,
    pub(crate) inbox: Inbox,
    pub(crate) watch: Option<FileWatch>,
    pub(crate) handover: H,
}

impl<'a, H> Main<'a, H> {
    pub(crate) fn new<P>(
        folder: &'a Folder,
        how: How,
        program: PathBuf,
        beginning: Beginning<Serving<P>>,
        handover: impl FnOnce(&Arc<Server>, P) -> H,
    ) -> Result<Self, Failure> {
        let Beginning { level, log, signals, serving: Serving { server, listener, predecessors } } =
            beginning;
        let has_certificate = !server.https().certificates.is_empty();
        if let Some(note) = petit_server::fronts::notes(&server.config, has_certificate) {
            tracing::warn!(?note, "visitors will not get in by the public addresses");
        }
        let (commands, inbox) = commands();
        let terms = invite_terms(&server, &server.config).map_err(|error| Failure::of(&error))?;
        let terms = watch::Sender::new(terms);
        let admin = Arc::new(Admin {
            directory: server.directory.clone(),
            endpoint: server.endpoint().clone(),
            invites: terms.subscribe(),
            running: Some(Running { server: Arc::clone(&server), commands, level: level.clone() }),
            offline: None,
        });
        let control = listener.spawn(admin);
        let watch = FileWatch::new(&folder.config)
            .inspect_err(
                |error| tracing::warn!(%error, "changes of the config file are not noticed; use reload"),
            )
            .ok();
        let handover = handover(&server, predecessors);
        Ok(Self { folder, how, program, server, control, signals, level, log, terms, inbox, watch, handover })
    }
}

/// What the main loop does next.
#[cfg_attr(not(unix), expect(dead_code, reason = "no process takes another one's place there"))]
pub(crate) enum Turn {
    Stop(StopCause),
    Leave,
    Reload,
    Nothing,
}

pub(crate) fn invite_terms(server: &Server, config: &Config) -> Result<InviteTerms, InvalidName> {
    Ok(InviteTerms {
        server: Some(tunnel_address(config, server.endpoint(), server.tls.port())?),
        page: server.endpoint().enroll_page(server.tls.port()),
        pins: server.pins().to_vec(),
        lifetime: config.invite_lifetime,
        vendor: config.name.clone(),
    })
}
