//! `petit-client`: the customer's side without a window.
//!
//! Commands talk to the running client over its control socket; those that change files take its lock.

mod asking;
mod beginning;
mod configure;
mod context;
mod fetching;
#[cfg(unix)]
mod handover;
#[cfg(windows)]
#[path = "without_handles/handover.rs"]
mod handover;
mod health;
mod help;
mod inspect;
#[cfg(any(target_os = "linux", target_os = "macos", windows))]
mod install;
#[cfg(not(any(target_os = "linux", target_os = "macos", windows)))]
#[path = "no_install.rs"]
mod install;
mod lifecycle;
mod registering;
#[cfg(unix)]
mod restart;
#[cfg(windows)]
#[path = "without_handles/restart.rs"]
mod restart;
mod serving;
mod settings;
mod succeeding;
mod unregistering;
mod upgrade;
mod usage;

use std::path::PathBuf;
use std::process::ExitCode as ProcessExit;
use std::time::Duration;

use clap::{ArgAction, Args, CommandFactory, Parser, Subcommand};
use petit_client::SOFTWARE;
use petit_client::config::edit::NewService;
use petit_client::config::{self, KeyStore};
use petit_client::folder::{self, Folder};
use petit_client::texts::{LANGUAGES, Texts};
use petit_client::updates;
use petit_engine::name::{RegisteredId, ServerAddr, ServiceName};
use petit_engine::proto::control::{FetchedBy, PROTOCOL};
use petit_host::brand;
use petit_host::cli::{self, Failure, HealthCheck};
use petit_host::config::Place;
use petit_host::exit::ExitCode;
use petit_host::logs::Level;
use petit_host::service::ManagerVerb;
use petit_host::terminal::Ask;
use serde_json::json;

use self::context::{Context, PROGRAM};

#[derive(Parser)]
#[command(
    name = PROGRAM,
    version,
    about = "Petit without a window: makes a service on this computer reachable for one vendor, and only for that vendor.",
    after_help = "First steps:\n  petit-client register\n  petit-client start\n  petit-client status",
    arg_required_else_help = true
)]
struct Cli {
    /// The config file (default: $PETIT_CONFIG, else for root that of the system's service, else ~/.petit/config.toml)
    #[arg(short, long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print JSON, which is English in every language
    #[arg(long, global = true)]
    json: bool,
    /// Speak this language: en or de (default: what the system speaks)
    #[arg(long, global = true, value_name = "LANG", value_parser = LANGUAGES)]
    lang: Option<String>,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Make a config file
    #[command(after_help = "Example:\n  petit-client init")]
    Init,
    /// Register this computer with an invite, and say which service it is for
    ///
    /// The invite is a secret: it is asked for, or read from a file or standard input, and never taken from the
    /// command line, where other users of the computer could see it.
    #[command(
        after_help = "Examples:\n  petit-client register\n  petit-client register --invite-file invite.txt --service localhost:3000\n  petit-client register --replace --share-none --invite-file invite.txt\n  cat invite.txt | petit-client register --invite-file -"
    )]
    Register {
        /// Read the invite from a file; - is standard input
        #[arg(long, value_name = "FILE")]
        invite_file: Option<PathBuf>,
        /// Where the service is that the invite was made for
        #[arg(long, value_name = "HOST:PORT", value_parser = config::target)]
        service: Option<ServerAddr>,
        /// The service speaks another protocol than HTTP
        #[arg(long, requires = "service")]
        tcp: bool,
        /// Where the key of this computer is kept: keychain or file
        #[arg(long, value_name = "WHERE")]
        key_store: Option<KeyStore>,
        /// A service of the config file that the vendor may reach; repeat it for more
        #[arg(long, value_name = "NAME", conflicts_with = "share_none")]
        share: Vec<ServiceName>,
        /// No service of the config file may be reached
        #[arg(long)]
        share_none: bool,
        /// Take the place of the registration that there is; it ends once the new one stands
        #[arg(long)]
        replace: bool,
        /// Not here: an invite must not stand on the command line
        #[arg(hide = true, num_args = 0..)]
        misplaced: Vec<String>,
    },
    /// Give the registration back; the public addresses are gone for good
    #[command(after_help = "Examples:\n  petit-client unregister\n  petit-client unregister --service web")]
    Unregister {
        /// Only one service
        #[arg(short = 't', long, alias = "tenant", value_name = "NAME", conflicts_with_all = ["id", "local"])]
        service: Option<ServiceName>,
        /// Only the service with this registered ID
        #[arg(short = 'r', long = "id", value_name = "ID", conflicts_with = "local")]
        id: Option<RegisteredId>,
        /// The whole registration (this is the default)
        #[arg(short, long, conflicts_with_all = ["service", "id"])]
        all: bool,
        /// Forget it on this computer only, when the server cannot be reached; a client that runs is ended
        #[arg(long)]
        local: bool,
        /// Do not ask; needed where there is no terminal
        #[arg(short, long)]
        yes: bool,
    },
    /// Make the client a service of this system, which starts at boot, with a user of its own
    ///
    /// For a client that no package has installed: the program is copied to where only root writes, its config is
    /// /etc/petit/client.toml, and everything else is in /var/lib/petit-client. On Windows an administrator does it; the
    /// program is in Program Files\Petit, its config is ProgramData\Petit\client.toml, and everything else is in
    /// ProgramData\Petit\client. On a Mac everything else is in /var/db/petit-client, and the user is _petit-client.
    /// Again: to bring it to this version.
    #[command(after_help = "Example:\n  sudo petit-client install")]
    Install,
    /// Take the service away again; config, registration and key stay
    #[command(after_help = "Example:\n  sudo petit-client uninstall")]
    Uninstall {
        /// Do not ask; needed where there is no terminal
        #[arg(short, long)]
        yes: bool,
    },
    /// Bring this program to the version of a release, and back when that does not work here
    ///
    /// The release is the one that the vendor's server hands out, or lies in a folder, and has to be signed by those who
    /// make this program. The new version takes over without a request being lost. When it does not get ready, crashes
    /// three times in ten minutes, or is connected for --within without everything that worked before, the old one is put
    /// back and goes on. Until the new one has worked for five minutes, --back puts it back by hand.
    #[command(
        after_help = "Examples:\n  petit-client upgrade\n  petit-client upgrade --check\n  petit-client upgrade --from release --within 5m\n  petit-client upgrade --back"
    )]
    Upgrade {
        /// The folder of the release (default: the server's release is fetched)
        #[arg(long, value_name = "FOLDER")]
        from: Option<PathBuf>,
        /// Only say whether there is another version
        #[arg(long, conflicts_with = "within")]
        check: bool,
        /// How long it may be connected without everything that worked before (default: 2m)
        #[arg(long, value_name = "TIME", value_parser = parse_within)]
        within: Option<Duration>,
        /// Also a version that did not work here before
        #[arg(long, conflicts_with = "check")]
        again: bool,
        /// Put the version before the one that is on trial back
        #[arg(long, conflicts_with_all = ["from", "check", "within", "again"])]
        back: bool,
        /// How long the old one is kept once the new one works (default: 5m)
        #[arg(long, hide = true, value_name = "TIME", value_parser = parse_keep)]
        keep: Option<Duration>,
        /// Started by a running client, which nobody has asked
        #[arg(long, hide = true, conflicts_with_all = ["from", "check", "again", "back"])]
        by_itself: bool,
    },
    /// Run in the background
    #[command(after_help = "Example:\n  petit-client start")]
    Start,
    /// Have a new process take the running client's place; what takes longer than 30 s is cut
    ///
    /// The new process runs the program as it is on the disk now. When it is not ready within 30 seconds, the old one
    /// goes on. What is under way at the old one gets 30 seconds to finish there.
    #[command(after_help = "Example:\n  petit-client restart")]
    Restart,
    /// Stop the client that runs in the background; requests in flight get 30 seconds
    #[command(after_help = "Example:\n  petit-client stop")]
    Stop,
    /// Run in the foreground until Ctrl-C
    #[command(after_help = "Example:\n  petit-client run")]
    Run {
        /// Started by `start`: log to the file only and say when it is up
        #[arg(long, hide = true)]
        background: bool,
        /// Started by a running client, to take its place
        #[arg(long, hide = true)]
        takeover: bool,
        /// Started by Windows, as a service
        #[arg(long, hide = true)]
        service: bool,
    },
    /// Show where the client and its services stand; `check` exits with 1 when something is not right
    #[command(after_help = "Examples:\n  petit-client status\n  petit-client status --watch")]
    Status {
        /// Go on and show every change
        #[arg(short, long)]
        watch: bool,
    },
    /// Read the config file again (a running client notices changes by itself)
    #[command(after_help = "Example:\n  petit-client reload")]
    Reload,
    /// The config file
    #[command(after_help = "Example:\n  petit-client config check")]
    Config {
        #[command(subcommand)]
        verb: ConfigVerb,
    },
    /// Try the whole way: public front, server, tunnel, client, service
    #[command(
        alias = "sping",
        after_help = "Examples:\n  petit-client ping\n  petit-client ping --service web"
    )]
    Ping {
        /// Only one service
        #[arg(short = 't', long, alias = "tenant", value_name = "NAME")]
        service: Option<ServiceName>,
    },
    /// Look at everything that has to be right, in a line each; or only whether the running client is well
    ///
    /// With --live or --ready the running client is asked and nothing is tried: for whoever watches over it. Both exit
    /// with 0, or with 1 and say why not, within 5 seconds.
    #[command(
        after_help = "Examples:\n  petit-client check && echo all is well\n  petit-client check --ready"
    )]
    Check {
        /// Only whether the running client answers; start it anew when it does not
        #[arg(long, conflicts_with = "ready")]
        live: bool,
        /// Only whether the running client is connected, and not stopping
        #[arg(long)]
        ready: bool,
    },
    /// Look at everything that has to be right, and say what to do where it is not
    #[command(after_help = "Example:\n  petit-client doctor")]
    Doctor,
    /// The services on this computer
    #[command(
        after_help = "Examples:\n  petit-client service add web localhost:3000\n  petit-client service add db localhost:5432 --tcp\n  petit-client service remove db"
    )]
    Service {
        #[command(subcommand)]
        verb: ServiceVerb,
    },
    /// List the services (the original's name for `service list`)
    #[command(after_help = "Example:\n  petit-client tenants")]
    Tenants,
    /// Add a service (the original's name for `service add`)
    #[command(after_help = "Example:\n  petit-client lease -l 127.0.0.1 -p 8080 -t accounts")]
    Lease {
        /// Its host
        #[arg(short = 'l', long = "host", value_name = "HOST", default_value = "127.0.0.1")]
        host: String,
        /// Its port
        #[arg(short, long, value_name = "PORT")]
        port: u16,
        /// Its name
        #[arg(short = 't', long = "tenant", value_name = "NAME", default_value = "web")]
        name: ServiceName,
        /// It speaks TLS: true or false
        #[arg(short = 's', long = "tls", value_name = "BOOL", default_value_t = false, action = ArgAction::Set)]
        tls: bool,
    },
    /// Remove a service and give its address back (the original's name for both together)
    #[command(after_help = "Example:\n  petit-client evict -t accounts")]
    Evict {
        /// Its name
        #[arg(short = 't', long = "tenant", value_name = "NAME", required_unless_present = "id")]
        name: Option<ServiceName>,
        /// Its registered ID
        #[arg(short = 'r', long = "id", value_name = "ID", conflicts_with = "name")]
        id: Option<RegisteredId>,
        /// Do not ask
        #[arg(short, long)]
        yes: bool,
    },
    /// Show the log: logs/client.log beside the config file
    #[command(after_help = "Examples:\n  petit-client logs\n  petit-client logs -f")]
    Logs {
        /// Go on and show new lines
        #[arg(short, long)]
        follow: bool,
        /// How many lines
        #[arg(short = 'n', long, value_name = "LINES", default_value_t = 50)]
        lines: usize,
    },
    /// Change how much the running client logs: error, warn, info, debug, trace
    #[command(after_help = "Example:\n  petit-client log debug")]
    Log {
        /// The level
        level: Level,
    },
    /// Print the version
    #[command(after_help = "Example:\n  petit-client version --json")]
    Version,
    /// Print completions for a shell
    #[command(after_help = "Example:\n  petit-client completion bash > /etc/bash_completion.d/petit-client")]
    Completion {
        /// Which shell
        shell: clap_complete::Shell,
    },
    /// Write manual pages, for whoever makes packages
    #[command(hide = true)]
    Man {
        /// A folder that is there
        folder: PathBuf,
    },
}

impl Verb {
    /// True for what is of no use without a config file. The rest makes one, or reads none.
    fn needs_config(&self) -> bool {
        let needs_none = matches!(
            self,
            Self::Init
                | Self::Register { .. }
                | Self::Install
                | Self::Uninstall { .. }
                | Self::Lease { .. }
                | Self::Service { verb: ServiceVerb::Add { .. } }
                | Self::Config { verb: ConfigVerb::Path | ConfigVerb::Edit }
                | Self::Version
                | Self::Completion { .. }
                | Self::Man { .. }
        );
        !needs_none && !self.is_started()
    }

    /// True for what is about one client, and not about the program or the system.
    fn is_of_an_instance(&self) -> bool {
        let makes_one =
            matches!(self, Self::Init | Self::Register { .. } | Self::Service { .. } | Self::Lease { .. });
        makes_one || self.needs_config()
    }

    /// True for a process that another of ours has started, which has looked at the config file, and hears of it.
    fn is_started(&self) -> bool {
        self.is_service()
            || matches!(self, Self::Run { background: true, .. } | Self::Run { takeover: true, .. })
    }

    /// True for a process that Windows has started as a service.
    fn is_service(&self) -> bool {
        matches!(self, Self::Run { service: true, .. })
    }
}

#[derive(Subcommand)]
enum ConfigVerb {
    /// Read the file and say what is wrong with it
    Check,
    /// Say which file is used, and why
    Path,
    /// Show every setting: what the file says, what is in force, and what a change takes
    Show,
    /// Edit the file with $EDITOR; a mistake is never put in force
    Edit,
}

#[derive(Subcommand)]
enum ServiceVerb {
    /// List the services
    List,
    /// Add a service; a running client offers it at once
    Add {
        /// What it is called between you and the vendor
        name: ServiceName,
        /// Where it is
        #[arg(value_name = "HOST:PORT", value_parser = config::target)]
        target: ServerAddr,
        #[command(flatten)]
        how: How,
    },
    /// Let the vendor reach a service that was set up before it came
    Share {
        /// Its name
        name: ServiceName,
    },
    /// Remove a service; its public address is kept for it until `unregister --service`
    Remove {
        /// Its name
        name: ServiceName,
    },
}

/// What a service speaks, and whom to trust to be it.
#[derive(Args)]
struct How {
    /// It speaks another protocol than HTTP
    #[arg(long)]
    tcp: bool,
    /// It speaks HTTP/2 from the first byte on, as gRPC does
    #[arg(long, conflicts_with = "tcp")]
    h2: bool,
    /// It speaks TLS, with a certificate that this computer trusts
    #[arg(long)]
    tls: bool,
    /// It speaks TLS, with a certificate that an authority in this PEM file vouches for
    #[arg(long, value_name = "FILE", conflicts_with = "tls_fingerprint")]
    tls_ca: Option<String>,
    /// It speaks TLS, with the one certificate that has this SHA-256 fingerprint
    #[arg(long, value_name = "SHA256")]
    tls_fingerprint: Option<String>,
    /// The Host that it sees: preserve (the public one), target (its own) or a name
    #[arg(long, value_name = "HOST", conflicts_with = "tcp")]
    host: Option<String>,
}

impl How {
    fn service(&self, name: &ServiceName, target: &ServerAddr) -> NewService {
        let kind = match (self.tcp, self.h2) {
            (true, _) => "tcp",
            (false, true) => "h2",
            (false, false) => "http",
        };
        let more =
            [("host", &self.host), ("tls_ca", &self.tls_ca), ("tls_fingerprint", &self.tls_fingerprint)];
        let more = more.into_iter().filter_map(|(key, setting)| Some((key, setting.clone()?)));
        NewService { more: more.collect(), tls: self.tls, ..NewService::plain(name, target, kind) }
    }
}

/// Shorter than anything needs, and longer than anybody waits, are mistakes.
fn parse_within(text: &str) -> Result<Duration, String> {
    let within = humantime::parse_duration(text).ok();
    // A service may take some seconds to be looked at.
    let is_right = |within: &Duration| (Duration::from_secs(30)..=Duration::from_hours(1)).contains(within);
    within.filter(is_right).ok_or_else(|| "expected a time between 30s and 1h, such as 2m".to_owned())
}

fn parse_keep(text: &str) -> Result<Duration, String> {
    let keep = humantime::parse_duration(text).ok().filter(|keep| *keep <= Duration::from_hours(1));
    keep.ok_or_else(|| "expected a time up to 1h, such as 5m".to_owned())
}

fn main() -> ProcessExit {
    // Before anything can put another program in its place.
    let _ = petit_host::file_id::of_own_program();
    if let Err(error) = brand::begin() {
        return cli::fail(false, &Failure::of(&error));
    }
    let given: Vec<String> = std::env::args_os().map(|it| it.to_string_lossy().into_owned()).collect();
    let texts = help::language(&given);
    let usage = |error: &clap::Error| usage::failure(&texts, error);
    let wording = usage::wording(&texts, &usage);
    let cli: Cli = cli::arguments_of(help::in_language(Cli::command(), &texts), &wording);
    if let Some(config) = cli.config.as_deref().filter(|_| !cli.verb.is_started()) {
        cli::called_with::<Cli>(PROGRAM, config);
    }
    if matches!(cli.verb, Verb::Run { .. }) {
        petit_host::harden::close_inherited();
        petit_host::harden::raise_open_files();
    }
    // What a process that takes over says goes to the one that has started it, and into its log and answers.
    let texts = if matches!(cli.verb, Verb::Run { takeover: true, .. }) { Texts::of("en") } else { texts };
    if cli.verb.is_service() {
        let unit = petit_host::service::unit(folder::NAME);
        return cli::run_as_service(&unit, move || cli::outcome(dispatch(&cli, &texts)));
    }
    cli::run(cli.json, &texts.get("cli.error"), dispatch(&cli, &texts))
}

#[expect(clippy::too_many_lines, reason = "an arm for each verb")]
async fn dispatch(cli: &Cli, texts: &Texts) -> Result<ExitCode, Failure> {
    let place =
        Place::find_with_service(cli.config.as_deref(), brand::here(), folder::NAME).ok_or_else(|| {
            Failure::new(ExitCode::Failed, texts.get("cli.no_home")).hint(texts.get("cli.no_home.hint"))
        })?;
    let context = Context { json: cli.json, texts: texts.clone(), folder: Folder::of(&place.path), place };
    if cli.verb.needs_config() && context.place.leads_nowhere(&context.folder.lock()) {
        return Err(context.leads_nowhere());
    }
    context.folder.check_owner().map_err(|error| Failure::of(&error))?;
    let context = &context;
    if cli.verb.is_of_an_instance() {
        cli::passed_by(cli.json, &context.place, folder::NAME, |config| {
            texts.format("cli.passed_by", &[("path", &config.display())])
        });
    }
    let is_managed = context.folder.is_managed();
    match &cli.verb {
        Verb::Start if context.is_users_service() => {
            return lifecycle::by_users_manager(context, ManagerVerb::Start);
        }
        Verb::Stop if context.is_users_service() => {
            return lifecycle::by_users_manager(context, ManagerVerb::Stop);
        }
        Verb::Start if is_managed => return lifecycle::by_manager(context, ManagerVerb::Start),
        Verb::Stop if is_managed => return lifecycle::by_manager(context, ManagerVerb::Stop),
        // There no process takes another one's place.
        Verb::Restart if is_managed && cfg!(windows) => {
            config::load(&context.folder.config)
                .map_err(|error| beginning::config_failure(context, &error))?;
            return lifecycle::by_manager(context, ManagerVerb::Restart);
        }
        Verb::Run { service: false, .. } if is_managed => return Err(lifecycle::not_by_root(context)),
        Verb::Logs { follow, lines } if context.folder.is_of_systemd() => {
            let unit = petit_host::service::unit(folder::NAME);
            return cli::logs_of_service(context.json, &unit, *follow, *lines);
        }
        Verb::Init => configure::init(context)?,
        Verb::Install => install::install(context)?,
        Verb::Uninstall { yes } => install::uninstall(context, Ask::Always.unless(*yes))?,
        Verb::Register { misplaced, .. } if !misplaced.is_empty() => {
            return Err(context
                .failed(ExitCode::Usage, "cli.misplaced_invite", &[])
                .hint(context.hint("cli.misplaced_invite.hint")));
        }
        Verb::Register { invite_file, service, tcp, key_store, share, share_none, replace, .. } => {
            let args = registering::RegisterArgs {
                invite_file: invite_file.as_deref(),
                service: service.as_ref(),
                tcp: *tcp,
                key_store: *key_store,
                share: (*share_none || !share.is_empty()).then(|| share.iter().cloned().collect()),
                replace: *replace,
            };
            registering::register(context, &args).await?;
        }
        Verb::Unregister { service, id, all: _, local, yes } => match (service, id) {
            (None, None) => unregistering::unregister(context, *local, *yes).await?,
            (name, id) => unregistering::give_back(context, name.as_ref(), id.as_ref(), *yes).await?,
        },
        Verb::Upgrade { back: true, .. } => upgrade::back(context).await?,
        Verb::Upgrade { from, check, within, again, back: false, keep, by_itself } => {
            let what = match (check, again) {
                (true, _) => upgrade::Wanted::Check,
                (false, true) => upgrade::Wanted::InstallAgain,
                (false, false) => upgrade::Wanted::Install,
            };
            let order = upgrade::UpgradeOrder {
                from: from.as_deref(),
                what,
                within: within.unwrap_or(updates::TRIAL),
                kept: keep.unwrap_or(updates::KEPT),
                by: if *by_itself { FetchedBy::Itself } else { FetchedBy::Hand },
            };
            upgrade::upgrade(context, &order).await?;
        }
        Verb::Start => lifecycle::start(context).await?,
        Verb::Stop => lifecycle::stop(context).await?,
        Verb::Restart => lifecycle::restart(context).await?,
        Verb::Run { background, takeover, service } => {
            // A service has no terminal either.
            let how = beginning::How { background: *background || *service, takeover: *takeover };
            return lifecycle::run(context, how).await;
        }
        Verb::Status { watch: false } => return inspect::status(context).await,
        Verb::Status { watch: true } => inspect::watch(context).await?,
        Verb::Reload => {
            let reloaded = context.client().reload().await.map_err(|error| context.failure(error))?;
            let mut text = context.texts.get("cli.reloaded");
            for note in &reloaded.notes {
                text.push_str(&format!("\n{}", context.texts.format("cli.note", &[("text", note)])));
            }
            context.say(&text, &reloaded);
        }
        Verb::Config { verb } => match verb {
            ConfigVerb::Check => configure::check(context)?,
            ConfigVerb::Path => configure::path(context),
            ConfigVerb::Show => return settings::show(context).await,
            ConfigVerb::Edit => configure::edit(context).await?,
        },
        Verb::Ping { service } => return inspect::ping(context, service.as_ref()).await,
        Verb::Check { live, ready } => match HealthCheck::of(*live, *ready) {
            Some(check) => health::health(context, check).await?,
            None => return inspect::check(context, false).await,
        },
        Verb::Doctor => return inspect::check(context, true).await,
        Verb::Service { verb: ServiceVerb::List } | Verb::Tenants => {
            configure::list_services(context).await?;
        }
        Verb::Service { verb: ServiceVerb::Add { name, target, how } } => {
            configure::add_service(context, name, &how.service(name, target)).await?;
        }
        Verb::Lease { host, port, name, tls } => {
            let target = ServerAddr::new(host, *port)
                .map_err(|error| Failure::new(ExitCode::Usage, error.to_string()))?;
            let new = NewService { tls: *tls, ..NewService::plain(name, &target, "http") };
            configure::add_service(context, name, &new).await?;
        }
        Verb::Service { verb: ServiceVerb::Share { name } } => {
            configure::share_service(context, name).await?;
        }
        Verb::Service { verb: ServiceVerb::Remove { name } } => {
            configure::remove_service(context, name).await?;
        }
        Verb::Evict { name, id, yes } => {
            unregistering::evict(context, name.as_ref(), id.as_ref(), *yes).await?;
        }
        Verb::Logs { follow: false, .. } if !context.json && !context.folder.log().exists() => {
            let path = context.folder.log();
            let text = context.texts.format("cli.no_logs", &[("path", &path.display())]);
            context.say(&text, &json!({ "path": path, "lines": [] }));
        }
        Verb::Logs { follow, lines } => {
            cli::logs(context.json, &context.folder.log(), *follow, *lines).await?;
        }
        Verb::Log { level } => {
            let logs = context.client().log(*level).await.map_err(|error| context.failure(error))?;
            let text = context.texts.format("cli.logs_at", &[("level", level)]);
            context.say(&text, &logs);
        }
        Verb::Version => {
            let value = json!({ "software": SOFTWARE, "protocol": PROTOCOL });
            let protocol = context.texts.format("cli.protocol", &[("n", &PROTOCOL)]);
            context.say(&format!("{SOFTWARE}\n{protocol}"), &value);
        }
        Verb::Completion { shell } => cli::completions::<Cli>(*shell, PROGRAM),
        Verb::Man { folder } => cli::manual::<Cli>(folder)?,
    }
    Ok(ExitCode::Ok)
}
