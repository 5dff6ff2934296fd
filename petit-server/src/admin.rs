//! What the operator can ask and do, as requests of the control socket.
//!
//! The same requests work while no server runs: the command line then opens the registry itself and asks an
//! [`Admin`] without a server. What needs the running server says so.

mod commands;
mod overview;
mod rollout;
mod standing;
mod visitors;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use petit_engine::name::{Alias, DeviceId, Endpoint, ServerAddr, VendorName, VisitorHost};
use petit_engine::proto::control::is_harmless;
use petit_engine::secret::{Fingerprint, InviteId};
use petit_host::BoxFuture;
use petit_host::control::{ApiProblem, Handler, Reply, Request};
use petit_host::handover::Trouble;
use petit_host::logs::LevelHandle;
use petit_host::settings::SettingsInForce;
use petit_relay::{FrontKind, Names, UnderWay};
use secrecy::ExposeSecret;
use serde::Serialize;
use tokio::sync::{oneshot, watch};

use crate::api::{
    AddAlias, AdminRequest, AliasAdded, AliasRemoved, BackedUp, CertificateView, CertificatesShown,
    ClientLabelled, ConfigReloaded, ExplainUrl, Explained, FrontStates, FrontView, InviteMade,
    InviteWithdrawn, LabelClient, LogLevel, MakeBackup, MakeInvite, MissingCertificate, PhaseView,
    PolicyLost, Pong, Readiness, RemoveAlias, RestartServer, Revoked, ServerRestarted, ServerStopped,
    ServerVersion, SetLogLevel, WaitsFor,
};
use crate::backup::{self, BackupError};
use crate::certificate::{self, Certificate};
use crate::config::{self, Config};
use crate::directory::Directory;
use crate::explain;
use crate::fronts;
use crate::registry::{
    Actor, InvalidNote, Labels, Note, RolloutStep, StoreError, StoreErrorKind, Suspension,
};
use crate::server::{InviteError, InviteRequest, Phase, Reloaded, Server, Settings, make_invite, tcp_host};
use crate::{SOFTWARE, seconds};

use self::commands::Unheard;
pub use self::commands::{Command, Commands, Inbox, commands};

/// Answers the operator's requests.
pub struct Admin {
    /// The registry.
    pub directory: Directory,
    /// How public addresses are made.
    pub endpoint: Endpoint,
    /// What invites say; follows the config.
    pub invites: watch::Receiver<InviteTerms>,
    /// The server, when one runs.
    pub running: Option<Running>,
    /// The config as it is on the disk, when no server runs.
    pub offline: Option<Config>,
}

/// What invites say about the server.
#[derive(Clone, Debug)]
pub struct InviteTerms {
    /// Where they send clients; `None` while that depends on a port that is chosen when the server starts.
    pub server: Option<ServerAddr>,
    /// The page that their links lead to.
    pub page: String,
    /// The keys they pin.
    pub pins: Vec<Fingerprint>,
    /// How long they last unless their maker says otherwise.
    pub lifetime: Duration,
    /// What the vendor calls itself.
    pub vendor: Option<VendorName>,
}

/// What a running server adds.
pub struct Running {
    /// The server.
    pub server: Arc<Server>,
    /// Commands to its main loop.
    pub commands: Commands,
    /// The level of its log.
    pub level: LevelHandle,
}

type ApiResult<A> = Result<A, ApiProblem>;
/// An answer as text: JSON that needs no further memory to become it.
type Written = Result<String, ApiProblem>;

impl Handler for Admin {
    fn handle(&self, request: Request) -> BoxFuture<'_, Reply> {
        Box::pin(async move {
            // A look, too: what this process knows is of the moment at which the other one took over.
            if self.is_replaced() {
                return Reply::Error(ApiProblem::moved());
            }
            // The socket is its owner's alone.
            let answer = match AdminRequest::read(&request) {
                Ok(asked) => self.answer(asked, Actor::Operator).await,
                Err(problem) => Err(problem),
            };
            answer.unwrap_or_else(Reply::Error)
        })
    }
}

impl Admin {
    /// An admin without a server, for commands while none runs.
    pub fn offline(directory: Directory, config: &Config, invites: InviteTerms) -> Self {
        let (_, invites) = watch::channel(invites);
        Self {
            directory,
            endpoint: config.endpoint.clone(),
            invites,
            running: None,
            offline: Some(config.clone()),
        }
    }

    async fn answer(&self, asked: AdminRequest, actor: Actor) -> ApiResult<Reply> {
        match asked {
            AdminRequest::Ping(_) => Ok(Reply::of(&Pong { pong: true })),
            AdminRequest::Readiness(_) => {
                reply(self.running().map(|running| Readiness { not_ready: running.server.not_ready() }))
            }
            AdminRequest::Version(_) => Ok(Reply::of(&ServerVersion { software: SOFTWARE.to_owned() })),
            AdminRequest::Status(_) => self.status().await.map(Reply::Text),
            AdminRequest::Settings(_) => reply(self.settings()),
            AdminRequest::ListClients(_) => self.clients().await.map(Reply::Text),
            AdminRequest::ShowClient(asked) => self.client(&asked.name).await.map(Reply::Text),
            AdminRequest::RevokeClient(asked) => reply(self.revoke(&asked.id, actor).await),
            AdminRequest::SuspendClient(asked) => {
                reply(self.suspend(&asked.name, Suspension::Suspend, actor).await)
            }
            AdminRequest::ResumeClient(asked) => {
                reply(self.suspend(&asked.name, Suspension::Resume, actor).await)
            }
            AdminRequest::KickClient(asked) => reply(self.kick(&asked.name, actor).await),
            AdminRequest::LabelClient(asked) => reply(self.label(asked, actor).await),
            AdminRequest::ListAliases(_) => self.aliases().await.map(Reply::Text),
            AdminRequest::AddAlias(asked) => reply(self.add_alias(asked, actor).await),
            AdminRequest::RemoveAlias(asked) => reply(self.remove_alias(asked, actor).await),
            AdminRequest::ListPolicies(_) => Ok(Reply::of(&self.policies())),
            AdminRequest::ShowPolicy(asked) => reply(self.policy(&asked.name)),
            AdminRequest::SetPolicy(edit) => reply(self.set_policy(edit, actor).await),
            AdminRequest::RemovePolicy(asked) => reply(self.remove_policy(asked.name, actor).await),
            AdminRequest::MovePolicyToFile(asked) => reply(self.move_policy(asked.name, actor).await),
            AdminRequest::TestPolicy(asked) => reply(self.test_policy(asked)),
            AdminRequest::ListKeys(_) => Ok(Reply::of(&self.keys())),
            AdminRequest::CreateKey(asked) => reply(self.create_key(asked, actor).await),
            AdminRequest::RevokeKey(asked) => reply(self.revoke_key(asked.name, actor).await),
            AdminRequest::ListInvites(_) => self.list_invites().await.map(Reply::Text),
            AdminRequest::MakeInvite(asked) => reply(self.invite(asked, actor).await),
            AdminRequest::WithdrawInvite(asked) => reply(self.withdraw(&asked.id, actor).await),
            AdminRequest::Rollout(_) => reply(self.rollout().await),
            AdminRequest::StartRollout(asked) => reply(self.start_rollout(asked, actor).await),
            AdminRequest::HaltRollout(asked) => reply(self.halt_rollout(asked, actor).await),
            AdminRequest::ResumeRollout(_) => reply(self.step_rollout(RolloutStep::Resume, actor).await),
            AdminRequest::WidenRollout(_) => reply(self.step_rollout(RolloutStep::OpenNext, actor).await),
            AdminRequest::RollBack(_) => reply(self.step_rollout(RolloutStep::RollBack, actor).await),
            AdminRequest::ListChanges(asked) => self.changes(asked).await.map(Reply::Text),
            AdminRequest::Explain(asked) => reply(self.explain(&asked).await),
            AdminRequest::Backup(asked) => reply(self.backup(asked).await),
            AdminRequest::Stop(_) => reply(self.stop()),
            AdminRequest::Reload(_) => reply(self.reload().await),
            AdminRequest::RenewCertificates(_) => reply(self.renew_certificates().await),
            AdminRequest::Restart(asked) => reply(self.restart(asked).await),
            AdminRequest::SetLogLevel(asked) => reply(self.log(asked)),
        }
    }

    /// True while another process serves in this one's place, and answers its operator.
    fn is_replaced(&self) -> bool {
        self.running.as_ref().is_some_and(|running| matches!(running.server.phase(), Phase::Replaced { .. }))
    }

    fn running(&self) -> Result<&Running, ApiProblem> {
        self.running.as_ref().ok_or_else(|| ApiProblem::new(409, "not_running", "the server is not running"))
    }

    /// The config that the server began with, or that it would begin with.
    fn config(&self) -> Option<&Config> {
        let running = self.running.as_ref().map(|running| &running.server.config);
        running.or(self.offline.as_ref())
    }

    /// The file that the registry is in.
    fn registry_file(&self) -> PathBuf {
        self.config().map(|config| config.registry_file.clone()).unwrap_or_default()
    }

    /// Where visitors find the ports of raw TCP services.
    fn tcp_host(&self) -> String {
        self.config().map(|config| tcp_host(config, &self.endpoint)).unwrap_or_default()
    }

    /// What a failure of the registry is to whoever asks.
    fn problem(&self) -> impl Fn(StoreError) -> ApiProblem + use<> {
        let file = self.registry_file();
        move |error| {
            let error = error.at(&file);
            match error.kind() {
                StoreErrorKind::Replaced => ApiProblem::new(500, "registry_replaced", error.to_string()),
                StoreErrorKind::Busy | StoreErrorKind::Closed => {
                    ApiProblem::new(503, "busy", error.to_string())
                }
                StoreErrorKind::Conflict(conflict) => ApiProblem::new(409, "conflict", conflict.to_string()),
                StoreErrorKind::Elsewhere => ApiProblem::moved(),
                StoreErrorKind::NotARegistry
                | StoreErrorKind::Missing
                | StoreErrorKind::CannotOpen
                | StoreErrorKind::TooNew { .. }
                | StoreErrorKind::Failed
                | StoreErrorKind::Row { .. } => {
                    ApiProblem::new(500, "store_failed", petit_host::cli::chain(&error))
                }
            }
        }
    }

    /// Why the registry is not where it was opened, or what is known is not what it says, if so.
    fn registry_problem(&self) -> Option<String> {
        match self.directory.store().in_place() {
            Err(error) => Some(error.at(&self.registry_file()).to_string()),
            Ok(()) => self.directory.stale().map(|why| {
                format!(
                    "the registry could not be read when this process took it back, and is tried again: {why}"
                )
            }),
        }
    }

    /// What HTTPS visitors are shown, each for its names.
    fn certificates(&self) -> Vec<CertificateView> {
        certificate::views(&self.in_use(), SystemTime::now())
    }

    /// The certificates for HTTPS visitors: those that the running server shows, or those that it would.
    fn in_use(&self) -> Vec<Certificate> {
        match (&self.running, &self.offline) {
            (Some(running), _) => running.server.https().certificates.clone(),
            (None, Some(config)) => certificate::load(config).certificates,
            (None, None) => Vec::new(),
        }
    }

    /// Where certificates for HTTPS visitors are looked for.
    fn certificates_folder(&self) -> Option<PathBuf> {
        let running = self.running.as_ref().map(|running| running.server.settings().in_force.certificates);
        running.or_else(|| self.offline.as_ref().map(|config| config.certificates.clone()))
    }

    /// What has to be known of an alias that HTTPS visitors will be warned off from.
    fn without_certificate(&self, alias: &Alias) -> Option<MissingCertificate> {
        if !self.endpoint.is_https() {
            return None;
        }
        let in_use = self.in_use();
        let host = self.endpoint.host(alias.as_str());
        // Where there is none at all, a proxy in front has one for the domain, but hardly for a domain of its own.
        let is_covered = in_use.iter().any(|certificate| certificate.covers(&host))
            || in_use.is_empty() && !alias.is_domain();
        let others = in_use.len();
        (!is_covered).then(|| MissingCertificate { folder: self.certificates_folder(), host, others })
    }

    async fn revoke(&self, name: &str, actor: Actor) -> ApiResult<Revoked> {
        // Only a device ID: revoking cannot be undone, so it is not guessed whom it concerns.
        let Ok(id) = name.parse::<DeviceId>() else {
            let known = self.find_by_any_name(name).await.ok();
            let hint = known.map_or_else(
                || "see the IDs with: petit-server clients list".to_owned(),
                |row| format!("it belongs to client {0}: petit-server clients revoke {0}", row.id),
            );
            return Err(ApiProblem::new(400, "bad_id", format!("{name:?} is no client's ID; {hint}")));
        };
        self.directory.revoke(id, actor).await.map_err(self.problem())?;
        Ok(Revoked { revoked: id })
    }

    async fn label(&self, asked: LabelClient, actor: Actor) -> ApiResult<ClientLabelled> {
        let LabelClient { name, edit } = asked;
        if let Some(note) = &edit.note {
            check_note(note.as_str())?;
        }
        let client = self.find(&name).await?.id;
        let before = self.shut_ports();
        let labelled = self.directory.label(client, edit, actor).await;
        let Labels { tags, note } = labelled.map_err(self.problem())?;
        Ok(ClientLabelled { client, note, tags, ports: self.port_changes(&before) })
    }

    /// A name under the server's own domain is given as its first label: that is how it is looked up.
    fn check_alias(&self, alias: &Alias) -> Result<(), ApiProblem> {
        let domain = self.endpoint.domain();
        if alias.as_str() == Endpoint::TUNNEL_LABEL {
            let problem = format!("{:?} is reserved: invites lead there", alias.as_str());
            return Err(ApiProblem::new(400, "bad_alias", problem));
        }
        if alias.is_domain() && ends_in_number(alias.as_str()) {
            let problem = format!(
                "browsers read {alias} as an address, because its last label is a number; an alias ends in a name, such as acme.example"
            );
            return Err(ApiProblem::new(400, "bad_alias", problem));
        }
        let host = match VisitorHost::parse(alias.as_str()) {
            Ok(host) if alias.is_domain() && is_under(&host, &self.endpoint) => host,
            _ => return Ok(()),
        };
        let problem = match host.label_under(domain) {
            Some(label) => format!("{alias} lies under {domain}; give its first label alone: {label}"),
            None => format!("{alias} lies under {domain}, where an alias is one label, such as acme"),
        };
        Err(ApiProblem::new(400, "bad_alias", problem))
    }

    async fn add_alias(&self, asked: AddAlias, actor: Actor) -> ApiResult<AliasAdded> {
        let AddAlias { id, alias, force } = asked;
        self.check_alias(&alias)?;
        let before = self.shut_ports();
        self.directory.add_alias(id, alias.clone(), force, actor).await.map_err(self.problem())?;
        let (url, ports) = (self.endpoint.url(alias.as_str()), self.port_changes(&before));
        Ok(AliasAdded { id, url, without_certificate: self.without_certificate(&alias), alias, ports })
    }

    async fn remove_alias(&self, asked: RemoveAlias, actor: Actor) -> ApiResult<AliasRemoved> {
        let RemoveAlias { id, alias } = asked;
        let policy = |directory: &Directory| directory.service(&id).and_then(|route| route.policy);
        let (before, shut_before) = (policy(&self.directory), self.shut_ports());
        self.directory.remove_alias(id, alias.clone(), actor).await.map_err(self.problem())?;
        let now = policy(&self.directory);
        let policy = before.filter(|before| now.as_ref() != Some(before)).map(|before| PolicyLost {
            before: before.name.clone(),
            now: now.as_ref().map(|now| now.name.clone()),
            is_open: now.as_ref().is_none_or(|now| !now.admits_only_chosen()),
        });
        Ok(AliasRemoved { id, removed: alias, policy, ports: self.port_changes(&shut_before) })
    }

    async fn invite(&self, wanted: MakeInvite, actor: Actor) -> ApiResult<InviteMade> {
        if let Some(alias) = &wanted.alias {
            self.check_alias(alias)?;
        }
        let note = check_note(&wanted.note)?;
        let InviteTerms { server, page, pins, lifetime, vendor } = self.invites.borrow().clone();
        let server = server.ok_or_else(|| {
            let why = "the port is chosen when the server starts, so there is nothing to put into an invite";
            ApiProblem::new(409, "not_running", why)
        })?;
        let lifetime = wanted.lifetime_seconds.map_or(lifetime, Duration::from_secs);
        config::check_lifetime(lifetime).map_err(|error| ApiProblem::new(400, "bad_lifetime", error))?;
        let terms = InviteRequest {
            service: wanted.service.clone(),
            alias: wanted.alias.clone(),
            force: wanted.force,
            labels: Labels { tags: wanted.tags.clone(), note },
            lifetime,
            vendor,
            actor,
        };
        let invite = make_invite(&self.directory, server, &pins, terms).await;
        let invite = invite.map_err(|error| match error {
            InviteError::Store(error) => self.problem()(error),
            InviteError::NoRandom(error) => ApiProblem::new(500, "failed", error.to_string()),
        })?;
        Ok(InviteMade {
            app_link: Some(invite.to_app_link().expose_secret().to_owned()),
            id: invite.id.to_string(),
            key_words: invite.pins.first().map(Fingerprint::words),
            lifetime_seconds: lifetime.as_secs(),
            link: invite.to_link_on(&page).expose_secret().to_owned(),
            not_after: seconds(invite.not_after),
            server: invite.server,
            service: wanted.service,
            tags: wanted.tags,
            vendor: invite.vendor,
            without_certificate: wanted.alias.as_ref().and_then(|alias| self.without_certificate(alias)),
            alias: wanted.alias,
        })
    }

    async fn withdraw(&self, id: &str, actor: Actor) -> ApiResult<InviteWithdrawn> {
        let bad = || {
            ApiProblem::new(
                400,
                "bad_id",
                "an invite's ID has 32 hex digits; see: petit-server invite --list",
            )
        };
        let bytes = data_encoding::HEXLOWER_PERMISSIVE.decode(id.as_bytes()).map_err(|_| bad())?;
        let id = InviteId(bytes.try_into().map_err(|_| bad())?);
        self.directory.store().withdraw(id, actor).await.map_err(self.problem())?;
        Ok(InviteWithdrawn { withdrawn: id.to_string() })
    }

    /// Where a URL would lead, and why.
    async fn explain(&self, asked: &ExplainUrl) -> ApiResult<Explained> {
        self.check_holder(asked.visitor.key.as_ref())?;
        let server = self.running.as_ref().map(|running| running.server.as_ref());
        explain::explain(asked, &self.endpoint, &self.directory, server).await
    }

    /// How the public front of each kind of service is.
    fn front_states(&self) -> FrontStates {
        let front = |kind| self.running.as_ref().map(|running| running.server.relay.front(&kind));
        FrontStates { http: front(FrontKind::Endpoint), tcp: front(FrontKind::TcpHost) }
    }

    /// How the ways in are, as the running server has tried them.
    fn fronts(&self) -> Vec<FrontView> {
        let fronts = self.running.as_ref().map(|running| running.server.relay.fronts()).unwrap_or_default();
        fronts.iter().map(|front| fronts::view(front, &self.endpoint)).collect()
    }

    /// By the running server itself, which still has its registry when somebody has removed the file.
    async fn backup(&self, asked: MakeBackup) -> ApiResult<BackedUp> {
        let MakeBackup { folder: to, keep } = asked;
        let server = &self.running()?.server;
        let config = server.settings().in_force;
        let store = self.directory.store().as_ref();
        let left_out = backup::backup(store, &config, &server.folder, &to).await.map_err(|error| {
            let code = match error {
                BackupError::NotEmpty(_) => MakeBackup::NOT_EMPTY,
                _ => "failed",
            };
            ApiProblem::new(500, code, petit_host::cli::chain(&error))
        })?;
        let removed = backup::dated::keep(&to, keep);
        Ok(BackedUp { backup: to, left_out, removed })
    }

    fn stop(&self) -> ApiResult<ServerStopped> {
        self.command(Command::Stop)?;
        let running = self.running()?;
        Ok(ServerStopped { pid: std::process::id(), waits_for: Some(waits_for(&running.server)) })
    }

    /// Asks the main loop to do something.
    fn command(&self, command: Command) -> Result<(), ApiProblem> {
        self.running()?.commands.give(command).map_err(|why| match why {
            Unheard::Busy => {
                let why = "other commands wait for the server; try again in a moment";
                ApiProblem::new(503, "busy", why)
            }
            Unheard::Ended => self.unheard(),
        })
    }

    /// Why the main loop has not answered.
    fn unheard(&self) -> ApiProblem {
        if self.is_replaced() {
            return ApiProblem::moved(); // it has passed on what it was asked
        }
        ApiProblem::new(409, "stopping", "the server is stopping")
    }

    async fn reload(&self) -> ApiResult<ConfigReloaded> {
        let (answer, asked) = oneshot::channel();
        let (before, shut_before) = (self.directory.exposure(), self.shut_ports());
        self.command(Command::Reload(answer))?;
        match asked.await.map_err(|_| self.unheard())? {
            Ok(Reloaded { certificate_problem, needs_restart, new_certificate }) => Ok(ConfigReloaded {
                certificate_problem,
                certificates: self.certificates(),
                keyless: self.keyless(),
                needs_restart: needs_restart.into_iter().map(str::to_owned).collect(),
                new_certificate,
                opened: Some(self.directory.exposure()).filter(|now| now.is_more_than(before)),
                ports: self.port_changes(&shut_before),
            }),
            Err(problem) => Err(ApiProblem::new(422, "config", problem)),
        }
    }

    async fn renew_certificates(&self) -> ApiResult<CertificatesShown> {
        let server = &self.running()?.server;
        server.renew_certificates().await;
        let problems = server.https().problems.clone();
        Ok(CertificatesShown { certificates: self.certificates(), problems })
    }

    async fn restart(&self, asked: RestartServer) -> ApiResult<ServerRestarted> {
        let running = self.running()?;
        let within = asked.within();
        let (answer, asked) = oneshot::channel();
        self.command(Command::Restart { within, answer })?;
        let busy = || ApiProblem::new(409, "busy", "the server is stopping, or being restarted already");
        match asked.await.map_err(|_| busy())? {
            Ok(pid) => Ok(ServerRestarted {
                pid,
                replaced: std::process::id(),
                waits_for: waits_for(&running.server),
            }),
            Err(Trouble { message, hint, fault: _ }) => {
                let hint = hint.map(|hint| format!("; {hint}")).unwrap_or_default();
                let text = format!("the new process did not take over: {message}{hint}");
                Err(ApiProblem::new(422, "not_ready", text))
            }
        }
    }

    fn settings(&self) -> ApiResult<SettingsInForce> {
        let running = self.running()?;
        let Settings { mut in_force, problem, .. } = running.server.settings();
        in_force.log_level = running.level.level(); // `log` changes it, too
        Ok(SettingsInForce { problem, settings: in_force.settings() })
    }

    fn log(&self, SetLogLevel { level }: SetLogLevel) -> ApiResult<LogLevel> {
        self.running()?.level.set(level);
        tracing::info!(%level, "log level changed");
        Ok(LogLevel { level })
    }
}

/// What an operator may write down of a client or an invite. Narrower than what is read: older notes are shown as they are.
fn check_note(text: &str) -> ApiResult<Note> {
    let bad = |problem: String| ApiProblem::new(400, "bad_note", problem);
    if let Some(unseen) = text.chars().find(|c| !c.is_control() && !is_harmless(*c)) {
        let problem =
            format!("a note has no {unseen:?}, which is not seen or turns the direction of other characters");
        return Err(bad(problem));
    }
    text.parse().map_err(|error: InvalidNote| bad(error.to_string()))
}

/// True for a host that browsers read as an IPv4 address: its last label is a number, decimal or hexadecimal (WHATWG URL,
/// "ends in a number").
fn ends_in_number(host: &str) -> bool {
    let last = host.rsplit('.').next().unwrap_or_default();
    let hexadecimal =
        last.strip_prefix("0x").is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_hexdigit()));
    hexadecimal || !last.is_empty() && last.bytes().all(|byte| byte.is_ascii_digit())
}

fn reply<A: Serialize>(answer: ApiResult<A>) -> ApiResult<Reply> {
    answer.map(|answer| Reply::of(&answer))
}

/// Why what lies on the disk is not what HTTPS visitors are shown.
fn certificate_problem(server: &Server) -> Option<String> {
    let https = server.https();
    (!https.problems.is_empty()).then(|| https.problems.join("; "))
}

fn state(phase: Phase) -> PhaseView {
    match phase {
        Phase::Running => PhaseView::Running,
        Phase::Restarting => PhaseView::Restarting,
        Phase::Stopping { .. } | Phase::Replaced { .. } => PhaseView::Stopping,
    }
}

/// What is under way at a server that is to end, and for how long that may go on.
pub fn waits_for(server: &Server) -> WaitsFor {
    let UnderWay { requests, event_streams, websockets, tcp } = server.relay.under_way();
    let left = match server.phase() {
        Phase::Stopping { until } | Phase::Replaced { until } => {
            until.saturating_duration_since(Instant::now())
        }
        Phase::Running | Phase::Restarting => server.settings().in_force.drain,
    };
    WaitsFor {
        event_streams,
        pid: std::process::id(),
        requests,
        seconds_left: left.as_secs() + u64::from(left.subsec_nanos() > 0),
        tcp_connections: tcp,
        websockets,
    }
}

fn is_under(host: &VisitorHost, endpoint: &Endpoint) -> bool {
    host.name().strip_suffix(endpoint.domain()).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}
