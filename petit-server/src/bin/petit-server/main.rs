//! `petit-server`: the vendor's side, one binary.
//!
//! Commands are requests to the running server over its control socket; most work without one, on the registry
//! itself.

mod ask;
mod asking;
mod audit;
mod common;
mod explain;
mod fronts;
mod health;
mod key;
mod main_loop;
mod policy;
mod refusals;
#[cfg(unix)]
mod restart;
#[cfg(not(unix))]
#[path = "no_restart.rs"]
mod restart;
mod restarting;
mod run;
mod settings;
mod setup;
mod show;
mod show_invites;

use std::path::PathBuf;
use std::process::ExitCode as ProcessExit;
use std::time::Duration;

use clap::builder::NonEmptyStringValueParser;
use clap::{Parser, Subcommand};
use petit_engine::name::{Alias, RegisteredId, ServiceName, Tag};
use petit_engine::proto::control::PROTOCOL;
use petit_host::cli::{self, Failure};
use petit_host::exit::ExitCode;
use petit_host::files;
use petit_host::logs::Level;
use petit_host::terminal::Ask;
use petit_server::SOFTWARE;
use petit_server::api::{AddAlias, ClientView, ConfigPath, MakeInvite, ProgramVersion, SupposedVisitor};
use petit_server::config;
use petit_server::folder::Folder;
use petit_server::registry::{LabelEdit, Note};

use self::asking::Asking;
use self::common::PROGRAM;
use self::show_invites::QrShown;

#[derive(Parser)]
#[command(
    name = PROGRAM,
    version,
    about = "The vendor's side of Petit: hands out invites, keeps the registry, routes requests down the tunnels.",
    after_help = "First steps:\n  petit-server init\n  petit-server start\n  petit-server invite",
    arg_required_else_help = true
)]
struct Cli {
    /// The config file (default: $PETIT_CONFIG, else ~/.petit/config.toml)
    #[arg(short, long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print JSON
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Make a config file, the server's keys and the registry
    #[command(after_help = "Example:\n  petit-server init --endpoint https://REGID.example.com --port 443")]
    Init {
        /// How public addresses are made; REGID stands for the name of a service
        #[arg(long, value_name = "URL")]
        endpoint: Option<petit_engine::name::Endpoint>,
        /// Where clients, and HTTPS visitors, come in (default: 8453)
        #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
        port: Option<u16>,
        /// Begin anew though the registry is missing; every client has to register again
        #[arg(long)]
        new_registry: bool,
        /// Ask nothing of visitors: whoever knows the name of a service gets in
        #[arg(long)]
        open: bool,
    },
    /// Run in the foreground until Ctrl-C
    #[command(after_help = "Example:\n  petit-server run -c /etc/petit/config.toml")]
    Run {
        /// Started by `start`: log to the file only and say when it is up
        #[arg(long, hide = true)]
        background: bool,
        /// Started by a running server whose place it is to take
        #[arg(long, hide = true)]
        takeover: bool,
    },
    /// Run in the background
    #[command(after_help = "Example:\n  petit-server start")]
    Start,
    /// Have a new process take the running server's place; no connection is refused meanwhile
    ///
    /// The new process reads the config file and runs the program as it is on the disk now. When it is not ready in
    /// time, the old one goes on. What is under way at the old one is finished there; what takes longer than `drain`
    /// (30 s) is cut.
    #[command(after_help = "Examples:\n  petit-server restart\n  petit-server restart --within 2m")]
    Restart {
        /// How long the new process may take until it serves (default: 30s)
        #[arg(long, value_name = "TIME", value_parser = parse_within)]
        within: Option<Duration>,
    },
    /// Stop the running server; what is under way is finished first. Asked again, it ends at once
    #[command(after_help = "Example:\n  petit-server stop")]
    Stop,
    /// Read the config file again; exits with 6 when some of it counts only after a restart
    #[command(after_help = "Example:\n  petit-server reload")]
    Reload,
    /// Show the server, or one client: + online, / leaving, - away
    #[command(after_help = "Examples:\n  petit-server status\n  petit-server status acme")]
    Status {
        /// A client's ID, a registered ID or an alias
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        id: Option<String>,
    },
    /// Make an invite: a link that lets one client register, once
    #[command(
        after_help = "Examples:\n  petit-server invite --service-name accounts --alias acme --expires 4h\n  petit-server invite --list"
    )]
    Invite {
        /// What the service is called between you and the customer
        #[arg(long, value_name = "NAME", default_value = "web")]
        service_name: ServiceName,
        /// A readable name for the service: one label, or a whole domain
        #[arg(long)]
        alias: Option<Alias>,
        /// Also an alias that another client had not long ago
        #[arg(long, requires = "alias")]
        force: bool,
        /// How long it lasts, such as 30m, 4h or 3days; at most 7days (default: 1h)
        #[arg(long, value_name = "TIME", value_parser = config::parse_lifetime)]
        expires: Option<Duration>,
        /// Something to remember it, and its client, by
        #[arg(long, default_value = "")]
        note: String,
        /// A word to find its client by, such as pilot; again for another one. With --list: only invites that have it
        #[arg(long, value_name = "TAG")]
        tag: Vec<Tag>,
        /// Show the QR code also when the output is no terminal
        #[arg(long)]
        qr: bool,
        /// List the invites instead of making one
        #[arg(long, conflicts_with_all = ["alias", "expires", "qr", "withdraw"])]
        list: bool,
        /// Take an invite back that has not been used
        #[arg(long, value_name = "ID", conflicts_with_all = ["alias", "expires", "qr"],
              value_parser = NonEmptyStringValueParser::new())]
        withdraw: Option<String>,
    },
    /// Registered clients
    #[command(
        after_help = "Examples:\n  petit-server clients list\n  petit-server clients show acme\n  petit-server clients revoke nzvkqe5b3wj2m4yha7fdtxs6pu"
    )]
    Clients {
        #[command(subcommand)]
        verb: ClientsVerb,
    },
    /// Give a service a readable name
    #[command(after_help = "Example:\n  petit-server addalias k3v5qyz2m7wbn4ta acme")]
    Addalias {
        /// The service's registered ID
        id: RegisteredId,
        /// One label, or a whole domain
        alias: Alias,
        /// Also when it belonged to another client not long ago
        #[arg(long)]
        force: bool,
    },
    /// Take a readable name from a service
    #[command(after_help = "Example:\n  petit-server removealias k3v5qyz2m7wbn4ta acme")]
    Removealias {
        /// The service's registered ID
        id: RegisteredId,
        /// The name
        alias: Alias,
        /// Do not ask; needed where there is no terminal, and with --json
        #[arg(short, long)]
        yes: bool,
    },
    /// Readable names
    #[command(after_help = "Example:\n  petit-server alias list")]
    Alias {
        #[command(subcommand)]
        verb: AliasVerb,
    },
    /// Say where a URL would lead, and why
    #[command(
        after_help = "Example:\n  petit-server explain https://acme.example.com/invoices\n  petit-server explain acme --as key:billing --from 203.0.113.7"
    )]
    Explain {
        /// The URL (tcp://HOST:PORT too), or just its host, its alias or its registered ID
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        url: String,
        /// Suppose a visitor who holds this key, such as key:billing; its secret is not needed
        #[arg(long = "as", value_name = "key:NAME")]
        visitor: Option<explain::VisitorArg>,
        /// Suppose a visitor who comes from this address
        #[arg(long, value_name = "IP")]
        from: Option<std::net::IpAddr>,
    },
    /// What is asked of visitors: where they come from, which key they show, how much they may do
    #[command(
        after_help = "Examples:\n  petit-server policy list\n  petit-server policy set cloud --services default --key billing\n  petit-server policy test cloud --from 203.0.113.7 --as key:billing"
    )]
    Policy {
        #[command(subcommand)]
        verb: policy::PolicyVerb,
    },
    /// The keys that visitors show
    #[command(after_help = "Examples:\n  petit-server key create billing\n  petit-server key list")]
    Key {
        #[command(subcommand)]
        verb: key::KeyVerb,
    },
    /// Who has changed what in the registry, and whether that log is whole
    #[command(after_help = "Examples:\n  petit-server audit list\n  petit-server audit verify")]
    Audit {
        #[command(subcommand)]
        verb: audit::AuditVerb,
    },
    /// Show the log: logs/server.log beside the config file
    #[command(after_help = "Examples:\n  petit-server logs\n  petit-server logs -f")]
    Logs {
        /// Go on and show new lines
        #[arg(short, long)]
        follow: bool,
        /// How many lines
        #[arg(short = 'n', long, value_name = "LINES", default_value_t = 50)]
        lines: usize,
    },
    /// Change how much the running server logs: error, warn, info, debug, trace
    #[command(after_help = "Example:\n  petit-server log debug")]
    Log {
        /// The level
        level: Level,
    },
    /// Write everything that the server cannot do without into a folder; it may run meanwhile
    #[command(after_help = "Example:\n  petit-server backup /mnt/backup/petit-2026-11-24")]
    Backup {
        /// A folder that is not there yet, or is empty
        folder: PathBuf,
    },
    /// Put a backup back; what it replaces is moved aside
    #[command(after_help = "Example:\n  petit-server restore /mnt/backup/petit-2026-11-24")]
    Restore {
        /// The folder of the backup
        folder: PathBuf,
    },
    /// The config file
    #[command(after_help = "Example:\n  petit-server config check")]
    Config {
        #[command(subcommand)]
        verb: ConfigVerb,
    },
    /// Print the version
    #[command(after_help = "Example:\n  petit-server version --json")]
    Version,
    /// Print completions for a shell
    #[command(after_help = "Example:\n  petit-server completion bash > /etc/bash_completion.d/petit-server")]
    Completion {
        /// Which shell
        shell: clap_complete::Shell,
    },
}

impl Verb {
    /// True for what is of no use without a config file. The rest makes one, or reads none.
    fn needs_config(&self) -> bool {
        let needs_none = matches!(
            self,
            Self::Init { .. }
                | Self::Restore { .. }
                | Self::Config { verb: ConfigVerb::Path }
                | Self::Version
                | Self::Completion { .. }
        );
        !needs_none && !self.is_started()
    }

    /// True for a process that another of ours has started, which has looked at the config file, and hears of it.
    fn is_started(&self) -> bool {
        matches!(self, Self::Run { background: true, .. } | Self::Run { takeover: true, .. })
    }
}

#[derive(Subcommand)]
enum ClientsVerb {
    /// All clients
    List {
        /// Also those whose registration has ended
        #[arg(long)]
        all: bool,
        /// Only those that have this tag; again for another one that they have to have, too
        #[arg(long, value_name = "TAG")]
        tag: Vec<Tag>,
    },
    /// One client
    Show {
        /// Its ID, a registered ID or an alias of one of its services
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        id: String,
    },
    /// Give a client tags: words to find it by, such as pilot or eu
    #[command(after_help = "Example:\n  petit-server clients tag acme pilot eu")]
    Tag {
        /// Its ID, a registered ID or an alias of one of its services
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        id: String,
        /// The tags
        #[arg(required = true)]
        tags: Vec<Tag>,
    },
    /// Take tags from a client
    #[command(after_help = "Example:\n  petit-server clients untag acme pilot")]
    Untag {
        /// Its ID, a registered ID or an alias of one of its services
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        id: String,
        /// The tags
        #[arg(required = true)]
        tags: Vec<Tag>,
    },
    /// Write one line about a client down, in place of the one that there is
    #[command(
        after_help = "Examples:\n  petit-server clients note acme \"moves in May\"\n  petit-server clients note acme \"\""
    )]
    Note {
        /// Its ID, a registered ID or an alias of one of its services
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        id: String,
        /// The line; an empty one takes it away
        text: Note,
    },
    /// End a client's registration for good; its connections are closed within a second
    Revoke {
        /// The client's own ID, as `clients list` shows it
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        id: String,
        /// Do not ask; needed where there is no terminal, and with --json
        #[arg(short, long)]
        yes: bool,
    },
}

#[derive(Subcommand)]
enum AliasVerb {
    /// All readable names
    List,
}

#[derive(Subcommand)]
enum ConfigVerb {
    /// Read the file and say what is wrong with it
    Check,
    /// Say which file is used, and why
    Path,
    /// Show every setting, where its value comes from, what a change of it takes, and what waits for a restart
    Show,
}

fn parse_within(text: &str) -> Result<Duration, String> {
    let within = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    let range = Duration::from_secs(1)..=Duration::from_secs(600);
    if range.contains(&within) { Ok(within) } else { Err("expected a time between 1s and 10m".to_owned()) }
}

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
    petit_host::harden::no_core_dumps();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let result = match runtime {
        Ok(runtime) => {
            let result = runtime.block_on(dispatch(&cli));
            // What blocks (a name look-up, a disk) is not waited for.
            runtime.shutdown_background();
            result
        }
        Err(error) => Err(Failure::of(&error)),
    };
    match result {
        Ok(code) => cli::exit(code),
        Err(failure) => cli::fail(cli.json, &failure),
    }
}

/// Which file, and where it was found.
fn locate(cli: &Cli) -> Result<(PathBuf, &'static str), Failure> {
    files::locate_config(cli.config.as_deref()).ok_or_else(|| {
        Failure::new(ExitCode::Failed, "this user has no home folder").hint("name a config file with -c FILE")
    })
}

async fn dispatch(cli: &Cli) -> Result<ExitCode, Failure> {
    let (path, found) = locate(cli)?;
    let folder = Folder::of(&path);
    if cli.config.is_some() && cli.verb.needs_config() {
        cli::check_named(&path, &folder.lock(), PROGRAM)?;
    }
    files::check_owner(folder.path()).map_err(|error| Failure::of(&error))?;
    match &cli.verb {
        Verb::Init { endpoint, port, new_registry, open } => {
            let visitors = if *open { setup::FirstVisitors::Open } else { setup::FirstVisitors::Keyed };
            let (endpoint, port, new_registry) = (endpoint.as_ref(), *port, *new_registry);
            let args = setup::InitArgs { endpoint, port, new_registry, visitors };
            setup::init(cli.json, &folder, &args).await?;
        }
        Verb::Run { background, takeover } => {
            let how = main_loop::How { background: *background, takeover: *takeover };
            return run::run(&folder, how).await;
        }
        Verb::Restart { within } => restarting::restart(cli.json, &folder, *within).await?,
        Verb::Stop => restarting::stop(cli.json, &folder).await?,
        Verb::Reload => return restarting::reload(cli.json, &folder).await,
        Verb::Backup { folder: to } => setup::backup(cli.json, &folder, to).await?,
        Verb::Restore { folder: from } => setup::restore(cli.json, &folder, from).await?,
        Verb::Policy { verb } => policy::policy(cli.json, &folder, verb).await?,
        Verb::Key { verb } => key::key(cli.json, &folder, verb).await?,
        Verb::Audit { verb } => audit::audit(cli.json, &folder, verb).await?,
        Verb::Start => run::start(cli.json, &folder).await?,
        Verb::Logs { follow, lines } => cli::logs(cli.json, &folder.log(), *follow, *lines).await?,
        Verb::Completion { shell } => cli::completions::<Cli>(*shell, PROGRAM),
        Verb::Version => {
            let text = format!("{SOFTWARE}\nprotocol {PROTOCOL}");
            let version = ProgramVersion { protocol: PROTOCOL, software: SOFTWARE.to_owned() };
            cli::say(cli.json, &text, &version);
        }
        Verb::Config { verb } => match verb {
            ConfigVerb::Path => {
                let text = format!("{} ({found})", path.display());
                let exists = path.exists();
                cli::say(cli.json, &text, &ConfigPath { because: found.to_owned(), exists, path });
            }
            ConfigVerb::Check => setup::check(cli.json, &folder).await?,
            ConfigVerb::Show => return settings::show(cli.json, &folder).await,
        },
        verb => ask(verb, &Asking::new(cli.json, &folder)).await?,
    }
    Ok(ExitCode::Ok)
}

/// Commands that are requests to a server, running or not. The others were taken care of before.
async fn ask(verb: &Verb, asking: &Asking<'_>) -> Result<(), Failure> {
    match verb {
        Verb::Log { level } => asking.log(*level).await,
        Verb::Status { id: None } => asking.status().await,
        Verb::Status { id: Some(id) } | Verb::Clients { verb: ClientsVerb::Show { id } } => {
            asking.client(id).await
        }
        Verb::Clients { verb: ClientsVerb::List { all, tag } } => {
            let has_all = |client: &ClientView| tag.iter().all(|tag| client.tags.contains(tag));
            asking.clients(|client| (*all || client.is_registered()) && has_all(client)).await
        }
        Verb::Clients { verb: ClientsVerb::Tag { id, tags } } => {
            let add = tags.iter().cloned().collect();
            asking.label(id, LabelEdit { add, ..LabelEdit::default() }).await
        }
        Verb::Clients { verb: ClientsVerb::Untag { id, tags } } => {
            let remove = tags.iter().cloned().collect();
            asking.label(id, LabelEdit { remove, ..LabelEdit::default() }).await
        }
        Verb::Clients { verb: ClientsVerb::Note { id, text } } => {
            asking.label(id, LabelEdit { note: Some(text.clone()), ..LabelEdit::default() }).await
        }
        Verb::Clients { verb: ClientsVerb::Revoke { id, yes } } => {
            asking.revoke(id, Ask::Always.unless(*yes)).await
        }
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
        | Verb::Start
        | Verb::Stop
        | Verb::Restart { .. }
        | Verb::Reload
        | Verb::Logs { .. }
        | Verb::Audit { .. }
        | Verb::Policy { .. }
        | Verb::Key { .. }
        | Verb::Backup { .. }
        | Verb::Restore { .. }
        | Verb::Config { .. }
        | Verb::Version
        | Verb::Completion { .. } => Ok(()),
    }
}
