//! `petit-server`: the vendor's side, one binary.
//!
//! Commands are requests to the running server over its control socket; most work without one, on the registry
//! itself.

mod as_service;
mod ask;
mod asking;
mod audit;
mod backup_out;
mod certificate_put;
mod common;
mod config_put;
mod explain;
mod fronts;
mod health;
mod init;
mod init_order;
#[cfg(any(target_os = "linux", windows))]
mod install;
#[cfg(not(any(target_os = "linux", windows)))]
#[path = "no_install.rs"]
mod install;
mod key;
mod main_loop;
mod policy;
mod refusals;
mod release;
mod replace;
#[cfg(unix)]
mod restart;
#[cfg(not(unix))]
#[path = "no_restart.rs"]
mod restart;
mod restarting;
mod rollout;
mod run;
mod service;
mod settings;
mod setup;
mod show;
mod show_invites;
mod socket_unit;
mod verbs;

use std::process::ExitCode as ProcessExit;

use petit_engine::proto::control::PROTOCOL;
use petit_host::brand::Brand;
use petit_host::cli::{self, Failure, HealthCheck};
use petit_host::exit::ExitCode;
use petit_host::service::ManagerVerb;
use petit_host::terminal::Ask;
use petit_server::SOFTWARE;
use petit_server::api::{AddAlias, ClientView, MakeInvite, ProgramVersion, SupposedVisitor};
use petit_server::folder::Folder;
use petit_server::registry::LabelEdit;
use petit_server::server::LostRegistry;

use self::asking::Asking;
use self::certificate_put::Source;
use self::common::PROGRAM;
use self::init_order::{FirstVisitors, InitArgs};
use self::service::unit;
use self::show_invites::QrShown;
use self::verbs::{AliasVerb, CertificateVerb, Cli, ClientsVerb, ConfigVerb, Verb};

/// How much memory is in use is told by what the process has (`memory`), so what was freed after a peak has to go
/// back to the system: glibc's allocator kept 98 of 100 MB, and visitors were shed for good.
#[cfg(target_os = "linux")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ProcessExit {
    let cli: Cli = cli::arguments();
    if matches!(cli.verb, Verb::Run { .. }) {
        petit_host::harden::close_inherited();
    }
    if let Some(config) = cli.config.as_deref().filter(|_| !cli.verb.is_started()) {
        cli::called_with::<Cli>(PROGRAM, config);
    }
    if cli.verb.is_service() {
        return cli::run_as_service(&unit(), move || cli::outcome(dispatch(&cli)));
    }
    cli::run(cli.json, cli::ERROR, dispatch(&cli))
}

async fn dispatch(cli: &Cli) -> Result<ExitCode, Failure> {
    let place =
        cli::config_place_with_service(cli.config.as_deref(), &Brand::petit(), petit_server::folder::NAME)?;
    let folder = Folder::of(&place.path);
    if cli.verb.needs_config() && place.leads_nowhere(&folder.lock()) {
        return Err(cli::leads_nowhere(&place, PROGRAM));
    }
    folder.check_owner().map_err(|error| Failure::of(&error))?;
    if cli.verb.is_of_an_instance() {
        service::say_if_passed_by(cli.json, &place);
    }
    match &cli.verb {
        Verb::Init { endpoint, port, certificates, replace, new_registry, open, hide_key, first } => {
            let visitors = match (*open, *hide_key) {
                (true, _) => FirstVisitors::Open,
                (false, true) => FirstVisitors::KeyedLater,
                (false, false) => FirstVisitors::Keyed,
            };
            let lost = match (first, new_registry) {
                (true, _) => LostRegistry::NeverWas,
                (false, true) => LostRegistry::MadeAnew,
                (false, false) => LostRegistry::Refused,
            };
            let (endpoint, port, certificates) = (endpoint.as_ref(), *port, certificates.as_deref());
            let args = InitArgs { endpoint, port, certificates, lost, visitors, replace: *replace };
            init::init(cli.json, &folder, &args).await?;
        }
        Verb::Run { service: false, .. } if folder.is_managed() => {
            return Err(never_run());
        }
        Verb::Start if folder.is_managed() => {
            service::start(cli.json, &folder)?;
            run::say_certificate_problem(cli.json, &folder).await;
        }
        Verb::Stop if folder.is_managed() => {
            // The next client that comes back would start it again.
            cli::by_service_manager(cli.json, ManagerVerb::Stop, &["petit-server.socket"], &unit())?;
        }
        // There no process takes another one's place.
        Verb::Restart { .. } if folder.is_managed() && cfg!(windows) => {
            common::load(&folder.config)?;
            cli::by_service_manager(cli.json, ManagerVerb::Restart, &[], &unit())?;
        }
        Verb::Restore { folder: from } if folder.is_out_of_bounds() => {
            return service::restore(cli.json, &folder, from);
        }
        Verb::Logs { follow, lines } if folder.is_of_systemd() => {
            return cli::logs_of_service(cli.json, &unit(), *follow, *lines);
        }
        Verb::Run { background, takeover, service } => {
            // A service has no terminal either.
            let how = main_loop::How { background: *background || *service, takeover: *takeover };
            return run::run(&folder, how).await;
        }
        Verb::Install => install::install(cli.json)?,
        Verb::Uninstall { yes } => install::uninstall(cli.json, Ask::Always.unless(*yes))?,
        Verb::Restart { within } => restarting::restart(cli.json, &folder, *within).await?,
        Verb::Stop => restarting::stop(cli.json, &folder).await?,
        Verb::Reload => return restarting::reload(cli.json, &folder).await,
        Verb::Backup { .. } => backup(cli, &folder).await?,
        Verb::Restore { folder: from } => setup::restore(cli.json, &folder, from).await?,
        Verb::Policy { verb } => policy::policy(cli.json, &folder, verb).await?,
        Verb::Key { verb } => key::key(cli.json, &folder, verb).await?,
        Verb::Release { verb } => return release::release(cli.json, &folder, verb),
        Verb::Audit { verb } => audit::audit(cli.json, &folder, verb).await?,
        Verb::Start => run::start(cli.json, &folder).await?,
        Verb::Logs { follow, lines } => cli::logs(cli.json, &folder.log(), *follow, *lines).await?,
        Verb::Completion { shell } => cli::completions::<Cli>(*shell, PROGRAM),
        Verb::Man { folder } => cli::manual::<Cli>(folder)?,
        Verb::Version => {
            let text = format!("{SOFTWARE}\nprotocol {PROTOCOL}");
            let version = ProgramVersion { protocol: PROTOCOL, software: SOFTWARE.to_owned() };
            cli::say(cli.json, &text, &version);
        }
        Verb::Certificate { verb } => return certificate(cli.json, &folder, verb).await,
        Verb::Config { verb } => return config(cli.json, &place, &folder, verb).await,
        verb => ask(verb, &Asking::new(cli.json, &folder)).await?,
    }
    Ok(ExitCode::Ok)
}

/// `config`.
async fn config(
    json: bool,
    place: &petit_host::config::Place,
    folder: &Folder,
    verb: &ConfigVerb,
) -> Result<ExitCode, Failure> {
    match verb {
        ConfigVerb::Path => {
            let (text, value) = place.shown();
            cli::say(json, &text, &value);
        }
        // What root may read is no proof that the service may.
        ConfigVerb::Check if service::is_set_up(folder) => return service::check_config(json, folder),
        ConfigVerb::Check => setup::check(json, folder).await?,
        ConfigVerb::Put { from } => return config_put::put(json, folder, from).await,
        ConfigVerb::Show => return settings::show(json, folder).await,
    }
    Ok(ExitCode::Ok)
}

/// `certificate`.
async fn certificate(json: bool, folder: &Folder, verb: &CertificateVerb) -> Result<ExitCode, Failure> {
    let CertificateVerb::Put { from, key, name, handed_in } = verb;
    let source = match from {
        Some(from) if !handed_in => Source::Named { from, key: key.as_deref() },
        _ => Source::HandedIn,
    };
    certificate_put::put(json, folder, &source, name.as_deref()).await
}

/// Commands that are requests to a server, running or not. The others were taken care of before.
async fn ask(verb: &Verb, asking: &Asking<'_>) -> Result<(), Failure> {
    match verb {
        Verb::Log { level } => asking.log(*level).await,
        Verb::Status { id: None } => asking.status().await,
        Verb::Check { live, ready } => match HealthCheck::of(*live, *ready) {
            Some(check) => asking.health(check).await,
            None => Ok(()),
        },
        Verb::Status { id: Some(id) } => asking.client(id).await,
        Verb::Clients { verb } => clients(asking, verb).await,
        Verb::Addalias { id, alias, force } => {
            asking.add_alias(&AddAlias { id: *id, alias: alias.clone(), force: *force }).await
        }
        Verb::Removealias { id, alias, yes } => {
            asking.remove_alias(*id, alias, Ask::Always.unless(*yes)).await
        }
        Verb::Alias { verb: AliasVerb::List } => asking.aliases().await,
        Verb::Explain { url, visitor, from } => {
            let key = visitor.as_ref().map(|explain::VisitorArg(key)| key.clone());
            asking.explain(url, SupposedVisitor { from: *from, key }).await
        }
        Verb::Rollout { verb } => asking.rollout(verb).await,
        Verb::Invite { list: true, tag, .. } => asking.invites(tag).await,
        Verb::Invite { withdraw: Some(id), .. } => asking.withdraw(id).await,
        Verb::Invite { service_name, alias, force, expires, note, tag, qr, .. } => {
            let wanted = MakeInvite {
                service: service_name.clone(),
                alias: alias.clone(),
                force: *force,
                note: note.clone(),
                tags: tag.iter().cloned().collect(),
                lifetime_seconds: expires.map(|expires| expires.as_secs()),
            };
            let qr = if *qr || cli::on_terminal() { QrShown::Yes } else { QrShown::No };
            asking.invite(&wanted, qr).await
        }
        Verb::Init { .. }
        | Verb::Run { .. }
        | Verb::Install
        | Verb::Uninstall { .. }
        | Verb::Start
        | Verb::Stop
        | Verb::Restart { .. }
        | Verb::Reload
        | Verb::Logs { .. }
        | Verb::Audit { .. }
        | Verb::Release { .. }
        | Verb::Policy { .. }
        | Verb::Key { .. }
        | Verb::Backup { .. }
        | Verb::Restore { .. }
        | Verb::Certificate { .. }
        | Verb::Config { .. }
        | Verb::Version
        | Verb::Completion { .. }
        | Verb::Man { .. } => Ok(()),
    }
}

/// What an administrator is told who would run a service's program himself.
fn never_run() -> Failure {
    let whom = if cfg!(windows) { "an administrator" } else { "root" };
    let problem = format!("{} is never run by {whom}", unit());
    Failure::new(ExitCode::Failed, problem).hint(format!("start it with: {PROGRAM} start"))
}

/// `backup`: by whoever can write where it is to be.
async fn backup(cli: &Cli, folder: &Folder) -> Result<(), Failure> {
    match &cli.verb {
        Verb::Backup { handed_over: true, .. } => backup_out::hand_over(folder).await,
        Verb::Backup { folder: Some(to), keep, .. } if backup_out::is_roots(folder, to) => {
            backup_out::receive(cli.json, folder, to, *keep)
        }
        Verb::Backup { folder: to, keep, .. } => setup::backup(cli.json, folder, to.as_deref(), *keep).await,
        _ => Ok(()),
    }
}

/// What is asked of clients, and done to them.
async fn clients(asking: &Asking<'_>, verb: &ClientsVerb) -> Result<(), Failure> {
    match verb {
        ClientsVerb::Show { id } => asking.client(id).await,
        ClientsVerb::List { all, tag } => {
            let has_all = |client: &ClientView| tag.iter().all(|tag| client.tags.contains(tag));
            asking.clients(|client| (*all || client.is_registered()) && has_all(client)).await
        }
        ClientsVerb::Tag { id, tags } => {
            let add = tags.iter().cloned().collect();
            asking.label(id, LabelEdit { add, ..LabelEdit::default() }).await
        }
        ClientsVerb::Untag { id, tags } => {
            let remove = tags.iter().cloned().collect();
            asking.label(id, LabelEdit { remove, ..LabelEdit::default() }).await
        }
        ClientsVerb::Note { id, text } => {
            asking.label(id, LabelEdit { note: Some(text.clone()), ..LabelEdit::default() }).await
        }
        ClientsVerb::Suspend { id } => asking.suspend(id).await,
        ClientsVerb::Resume { id } => asking.resume(id).await,
        ClientsVerb::Kick { id } => asking.kick(id).await,
        ClientsVerb::Revoke { id, yes } => asking.revoke(id, Ask::Always.unless(*yes)).await,
    }
}
