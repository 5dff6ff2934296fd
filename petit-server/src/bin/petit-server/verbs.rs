//! The command line: which verbs there are, and what each takes. What they do begins in `main`.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::NonEmptyStringValueParser;
use clap::{Parser, Subcommand};
use petit_engine::name::{Alias, RegisteredId, ServiceName, Tag};
use petit_host::logs::Level;
use petit_server::config;
use petit_server::registry::Note;

use super::common::PROGRAM;
use super::{audit, explain, key, policy, release, rollout};

#[derive(Parser)]
#[command(
    name = PROGRAM,
    version,
    about = "The vendor's side of Petit: hands out invites, keeps the registry, routes requests down the tunnels.",
    after_help = "First steps:\n  petit-server init --endpoint https://REGID.example.com --port 443\n  petit-server start\n  petit-server invite\nTo try it on this machine alone: petit-server init",
    arg_required_else_help = true
)]
pub(crate) struct Cli {
    /// The config file (default: $PETIT_CONFIG, else for root that of the system's service, else ~/.petit/config.toml)
    #[arg(short, long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Print JSON
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

#[derive(Subcommand)]
pub(crate) enum Verb {
    /// Make a config file, the server's keys and the registry
    ///
    /// Without --endpoint the server is for this machine alone, to try it: its addresses are names under localhost.
    #[command(
        after_help = "Examples:\n  petit-server init --endpoint https://REGID.example.com --port 443\n  petit-server init --endpoint https://REGID.example.com --port 443 --replace"
    )]
    Init {
        /// How public addresses are made; REGID stands for the name of a service
        #[arg(long, value_name = "URL")]
        endpoint: Option<petit_engine::name::Endpoint>,
        /// Where clients, and HTTPS visitors, come in (default: 8453)
        #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
        port: Option<u16>,
        /// The folder in which certificates for HTTPS visitors are looked for, such as a volume of a container
        #[arg(long, value_name = "FOLDER")]
        certificates: Option<PathBuf>,
        /// Write these into a config that is there already and says others, where no client has registered yet. The config
        /// before is kept beside it; keys, registry, policies and other settings stay
        #[arg(long)]
        replace: bool,
        /// Begin anew though the registry is missing; every client has to register again
        #[arg(long)]
        new_registry: bool,
        /// Ask nothing of visitors: whoever knows the name of a service gets in
        #[arg(long)]
        open: bool,
        /// Do not print the first key for visitors: where output is kept in a log. Until you make one of your own
        /// (petit-server key create default --rotate) nobody gets in
        #[arg(long, conflicts_with = "open")]
        hide_key: bool,
        /// By root's `init` of a service of the system, which has made its key: make the registry
        #[arg(long, hide = true)]
        first: bool,
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
        /// Started by Windows, as a service
        #[arg(long, hide = true)]
        service: bool,
    },
    /// Make the server a service of this system, which starts at boot, with a user of its own
    ///
    /// For a server that no package has installed: the program is copied to where only root writes, its config is
    /// /etc/petit/server.toml, and everything else is in /var/lib/petit-server. On Windows an administrator does it; the
    /// program is in Program Files\Petit, its config is ProgramData\Petit\server.toml, and everything else is in
    /// ProgramData\Petit\server. Again: to bring it to this version.
    #[command(after_help = "Example:\n  sudo petit-server install")]
    Install,
    /// Take the service away again; config, registry and keys stay
    #[command(after_help = "Example:\n  sudo petit-server uninstall")]
    Uninstall {
        /// Do not ask; needed where there is no terminal, and with --json
        #[arg(short, long)]
        yes: bool,
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
        /// A client's ID, a registered ID or an alias of one of its services, or the name that its customer has given it
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        id: Option<String>,
    },
    /// Say whether the running server is well, for whoever watches over it: exits with 0, or with 1 and says why not
    ///
    /// It is asked over its control socket, and has to answer within 5 seconds.
    #[command(
        after_help = "Examples:\n  petit-server check --ready\n  petit-server check --live",
        group = clap::ArgGroup::new("health").required(true)
    )]
    Check {
        /// Whether it answers; start it anew when it does not
        #[arg(long, group = "health")]
        live: bool,
        /// Whether it takes visitors and clients' log-ins, and is not stopping
        #[arg(long, group = "health")]
        ready: bool,
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
    /// The release of the clients' program that this server hands out to its clients
    #[command(
        after_help = "Examples:\n  petit-server release put release\n  petit-server release show\n  petit-server release withdraw"
    )]
    Release {
        #[command(subcommand)]
        verb: release::ReleaseVerb,
    },
    /// Announce the release to clients, a few of them first, and watch whether it works for them
    #[command(
        after_help = "Examples:\n  petit-server rollout start --rings tag:staff,5%,25%,100%\n  petit-server rollout status\n  petit-server rollout halt --reason \"calls from customers\""
    )]
    Rollout {
        #[command(subcommand)]
        verb: rollout::RolloutVerb,
    },
    /// Who has changed what in the registry, and whether that log is whole
    #[command(after_help = "Examples:\n  petit-server audit list\n  petit-server audit verify")]
    Audit {
        #[command(subcommand)]
        verb: audit::AuditVerb,
    },
    /// Show the log: logs/server.log beside the config file, or what the journal has of a service of systemd
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
    #[command(
        after_help = "Examples:\n  petit-server backup /mnt/backup/petit-2026-11-24\n  petit-server backup --keep 7"
    )]
    Backup {
        /// A folder that is not there yet, or is empty (default: backups/TIME in the server's folder). On Windows that of a
        /// service is in its own folder, as it writes nowhere else
        folder: Option<PathBuf>,
        /// Remove older backups beside it that are named by their time, so that this many are left
        #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
        keep: Option<u32>,
        /// By root's command, of a service of the system: it is printed, for root to write it where the service cannot
        #[arg(long, hide = true)]
        handed_over: bool,
    },
    /// Put a backup back; what it replaces is moved aside
    #[command(after_help = "Example:\n  petit-server restore /mnt/backup/petit-2026-11-24")]
    Restore {
        /// The folder of the backup
        folder: PathBuf,
    },
    /// The certificates for HTTPS visitors
    #[command(after_help = "Example:\n  petit-server certificate put /etc/letsencrypt/live/example.com")]
    Certificate {
        #[command(subcommand)]
        verb: CertificateVerb,
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
    /// Write manual pages, for whoever makes packages
    #[command(hide = true)]
    Man {
        /// A folder that is there
        folder: PathBuf,
    },
}

impl Verb {
    /// True for what is of no use without a config file. The rest makes one, or reads none.
    pub(crate) fn needs_config(&self) -> bool {
        let needs_none = matches!(
            self,
            Self::Init { .. }
                | Self::Restore { .. }
                | Self::Install
                | Self::Uninstall { .. }
                | Self::Config { verb: ConfigVerb::Path | ConfigVerb::Put { .. } }
                | Self::Version
                | Self::Completion { .. }
                | Self::Man { .. }
        );
        !needs_none && !self.is_started()
    }

    /// True for what is about one server, and not about the program or the system.
    pub(crate) fn is_of_an_instance(&self) -> bool {
        self.needs_config() || matches!(self, Self::Init { .. } | Self::Restore { .. })
    }

    /// True for a process that another of ours has started, which has looked at the config file, and hears of it.
    pub(crate) fn is_started(&self) -> bool {
        self.is_service()
            || matches!(self, Self::Run { background: true, .. } | Self::Run { takeover: true, .. })
    }

    /// True for a process that Windows has started as a service.
    pub(crate) fn is_service(&self) -> bool {
        matches!(self, Self::Run { service: true, .. })
    }
}

#[derive(Subcommand)]
pub(crate) enum ClientsVerb {
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
        /// Its ID, a registered ID or an alias of one of its services, or the name that its customer has given it
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
    /// Keep a client out for the time being: it stays registered, with its names, and its connections are closed within a
    /// second
    ///
    /// Its visitors are told that it is suspended, and the customer is told to ask you. Roll-outs do not wait for it, and
    /// what it has said of them does not count.
    Suspend {
        /// Its ID, a registered ID or an alias of one of its services
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        id: String,
    },
    /// Let a client in again that was suspended; where it runs, it comes back within half a minute
    ///
    /// What it has said of a release counts again, too.
    Resume {
        /// Its ID, a registered ID or an alias of one of its services
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        id: String,
    },
    /// End a client's connection, and what is under way in it; it comes back at once
    Kick {
        /// Its ID, a registered ID or an alias of one of its services
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        id: String,
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
pub(crate) enum AliasVerb {
    /// All readable names
    List,
}

#[derive(Subcommand)]
pub(crate) enum CertificateVerb {
    /// Copy a certificate and its key to where the server reads them
    ///
    /// For whoever has renewed it, such as certbot, which keeps its keys for root: only the server's own user can read the
    /// copy. It takes the place of the one before in one step, and a running server shows it at once. What cannot be used
    /// is refused.
    #[command(
        after_help = "Examples:\n  petit-server certificate put /etc/letsencrypt/live/example.com\n  certbot certonly --domain '*.example.com' --deploy-hook 'petit-server certificate put \"$RENEWED_LINEAGE\"'\n  petit-server certificate put server.crt --key server.key --name example.com"
    )]
    Put {
        /// A folder with fullchain.pem and privkey.pem, as certbot makes it, or a certificate in PEM form
        #[arg(value_name = "FOLDER", required_unless_present = "handed_in")]
        from: Option<PathBuf>,
        /// The key of that certificate
        #[arg(long, value_name = "FILE")]
        key: Option<PathBuf>,
        /// What the copy is called; one of the same name is replaced (default: as the folder or the certificate)
        #[arg(long, value_parser = NonEmptyStringValueParser::new())]
        name: Option<String>,
        /// By root's command, for a service of the system: systemd has handed the files in
        #[arg(long, hide = true)]
        handed_in: bool,
    },
}

#[derive(Subcommand)]
pub(crate) enum ConfigVerb {
    /// Read the file and say what is wrong with it
    Check,
    /// Say which file is used, and why
    Path,
    /// Put another config in the place of this one
    ///
    /// It is checked first; a running server takes it at once, and says what waits for a restart (exit code 6). The one
    /// before is kept beside it.
    #[command(
        after_help = "Examples:\n  petit-server config put server.toml\n  kubectl exec -i petit-server-0 -c server -- petit-server config put - < server.toml"
    )]
    Put {
        /// The new config; - reads it from standard input
        #[arg(value_name = "FILE")]
        from: PathBuf,
    },
    /// Show every setting, where its value comes from, what a change of it takes, and what waits for a restart
    Show,
}

fn parse_within(text: &str) -> Result<Duration, String> {
    let within = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    let range = Duration::from_secs(1)..=Duration::from_secs(600);
    if range.contains(&within) { Ok(within) } else { Err("expected a time between 1s and 10m".to_owned()) }
}
