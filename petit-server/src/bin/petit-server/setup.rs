//! `init` and `config`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use petit_engine::name::{Alias, Endpoint, RegisteredId, VisitorKeyName};
use petit_engine::secret::Fingerprint;
use petit_host::cli::{self, Failure};
use petit_host::config::Mistakes;
use petit_host::control::client::{CallError, Client};
use petit_host::exit::ExitCode;
use petit_host::files::{self, FileError};
use petit_server::api::{
    AskError, BackedUp, BackupRestored, ConfigChecked, ConfigNote, Initialised, KeyView, KeylessPolicy,
    ListAliases, ListKeys, ListPolicies, MakeBackup, PolicyOrigin, PolicyView,
};
use petit_server::backup::{self, BackupError};
use petit_server::capacity;
use petit_server::certificate::{self, Expiry, PublicNames};
use petit_server::config::{self, Config, ConfigError, NoServer};
use petit_server::folder::Folder;
use petit_server::registry::{Policy, StoreErrorKind, file_conflicts};
use petit_server::server::{Begun, ConfigIs, LostRegistry, Offline, ServerStartError, tunnel_address};
use secrecy::{ExposeSecret, SecretString};

use super::ask::AdminAccess;
use super::common::{PROGRAM, config_failure, load, start_failure};
use super::{fronts, key, refusals, show};

/// What `init` was asked.
pub(crate) struct InitArgs<'a> {
    /// How public addresses are made, in a new config file.
    pub(crate) endpoint: Option<&'a Endpoint>,
    /// Where clients come in, in a new config file.
    pub(crate) port: Option<u16>,
    /// Where certificates are looked for, in a new config file.
    pub(crate) certificates: Option<&'a Path>,
    /// Whether a registry is made though there was one.
    pub(crate) new_registry: bool,
    /// What a new server asks of visitors.
    pub(crate) visitors: FirstVisitors,
}

impl InitArgs<'_> {
    /// True when a config says already what is to stand in a new one: whoever sets up a server by a script runs it again.
    fn are_those_of(&self, path: &Path, config: &Config) -> bool {
        let in_folder = |folder| path.with_file_name("").join(folder);
        self.endpoint.is_none_or(|endpoint| *endpoint == config.endpoint)
            && self.port.is_none_or(|port| port == config.secure_proxy_port)
            && self.certificates.is_none_or(|folder| in_folder(folder) == config.certificates)
    }
}

/// What a new server asks of visitors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FirstVisitors {
    /// A key, by a policy for all services.
    Keyed,
    /// The same, but the first key is shown to nobody.
    KeyedLater,
    /// Nothing.
    Open,
}

/// What `init` writes where a config file has no server's part.
struct NewConfig {
    text: String,
    write: fn(&Path, &[u8]) -> Result<(), FileError>,
}

/// The config that is there, or the one that is to be written.
fn config_of(path: &Path, args: &InitArgs<'_>) -> Result<(Config, Option<NewConfig>), Failure> {
    let new = match config::load(path) {
        Ok((config, _)) if !args.are_those_of(path, &config) => {
            return Err(Failure::new(
                ExitCode::Failed,
                format!("{} has a [server] part already; it was not changed", path.display()),
            )
            .hint(
                "set secure_proxy_port and certificates in it, and endpoint in its [server.vitae], by hand",
            ));
        }
        Ok((config, _)) => return Ok((config, None)),
        Err(ConfigError::Missing { .. }) => NewConfig { text: template(args), write: files::write_private },
        Err(ConfigError::Part { misfit: NoServer, .. }) => {
            // The client's part stays as it is.
            let client = petit_host::config::read(path).map_err(|error| config_failure(&error))?;
            let text = petit_host::config::with_part(&client, &template(args));
            NewConfig { text, write: files::write_keeping_rights }
        }
        Err(error) => return Err(config_failure(&error)),
    };
    let (config, _) = config::parse(path, &new.text).map_err(|error| config_failure(&error))?;
    Ok((config, Some(new)))
}

/// What `init` has made.
struct InitDone {
    config: bool,
    keys: bool,
    /// Where the logs of a registry are now that is gone.
    stale_logs: Vec<PathBuf>,
    /// The first key for visitors, as they send it.
    visitor_key: Option<SecretString>,
}

/// Makes what is missing: registry and keys, then the config file, so that there is no config without them. Where one of
/// them cannot be made, none is.
async fn make(
    folder: &Folder,
    args: &InitArgs<'_>,
    config: &Config,
    new: Option<&NewConfig>,
) -> Result<InitDone, Failure> {
    let lost = if args.new_registry { LostRegistry::MadeAnew } else { LostRegistry::Refused };
    let mut begun = match Begun::new(config, folder, lost).await {
        Ok(begun) => Some(begun),
        // A running server has all of it.
        Err(ServerStartError::Running { .. }) => None,
        Err(error) => return Err(start_failure(&error)),
    };
    let first_key = match &begun {
        Some(begun) if args.visitors != FirstVisitors::Open => {
            let config_is = if new.is_some() { ConfigIs::New } else { ConfigIs::There };
            begun.default_policies(config, config_is).await.map_err(ServerStartError::Store)
        }
        Some(_) | None => Ok(None),
    };
    // The config last, as the server begins with it.
    let written = first_key.and_then(|key| {
        let write = |new: &NewConfig| (new.write)(&folder.config, new.text.as_bytes());
        new.map_or(Ok(()), write).map_err(|error| ServerStartError::Key(error.into()))?;
        Ok(key)
    });
    let keys = begun.as_ref().is_some_and(|begun| begun.made_keys);
    let stale_logs = begun.as_mut().map(|begun| std::mem::take(&mut begun.stale_logs)).unwrap_or_default();
    match (begun, &written) {
        (Some(begun), Ok(_)) => begun.finish().await,
        (Some(begun), Err(_)) => begun.take_back().await,
        (None, _) => {}
    }
    let visitor_key = written.map_err(|error| start_failure(&error))?;
    Ok(InitDone { config: new.is_some(), keys, stale_logs, visitor_key })
}

/// Makes what is missing, and leaves what is there.
pub(crate) async fn init(json: bool, folder: &Folder, args: &InitArgs<'_>) -> Result<(), Failure> {
    let path = &folder.config;
    let (config, new) = config_of(path, args)?;
    let tunnel = tunnel_address(&config, &config.endpoint, config.secure_proxy_port);
    let tunnel = tunnel.map_err(|error| Failure::of(&error))?;
    let made = make(folder, args, &config, new.as_ref()).await?;
    make_place_for_certificate(&config)?;
    let pins = folder.pins().map_err(|error| Failure::of(&error))?;
    let fingerprint = pins.first().map(ToString::to_string).unwrap_or_default();
    let words = pins.first().map(Fingerprint::words).unwrap_or_default();
    let mut text = String::new();
    let did = |made: bool| if made { "made" } else { "there already" };
    text.push_str(&format!("Config     {} ({})\n", path.display(), did(made.config)));
    text.push_str(&format!("Server key {} ({})\n", folder.key().display(), did(made.keys)));
    text.push_str(&format!("           {fingerprint}\n"));
    text.push_str(&format!("           {}\n           {}\n", words.english, words.german));
    text.push_str(&format!("Registry   {}\n", config.registry_file.display()));
    for log in &made.stale_logs {
        text.push_str(&format!("           what is left of the one before is in {}\n", log.display()));
    }
    if made.keys {
        text.push_str(&format!(
            "\nMove {} to a safe place: clients accept it should the server key ever be lost.\n",
            folder.backup_key().display()
        ));
    }
    text.push_str(&format!("Addresses  {}\n", config.endpoint));
    text.push_str(&format!("Clients    connect to {tunnel}\n"));
    if !config.endpoint.is_local() {
        let domain = config.endpoint.domain();
        text.push_str(&format!(
            "\nLead all names *.{domain} to this computer (DNS), and let port {} in from outside.\n",
            config.secure_proxy_port
        ));
    }
    text.push_str(&ways_for_https(&config));
    let (shown, hidden) = match args.visitors {
        FirstVisitors::KeyedLater => (None, made.visitor_key.is_some()),
        FirstVisitors::Keyed | FirstVisitors::Open => (made.visitor_key, false),
    };
    text.push_str(&first_key(shown.as_ref(), &config.endpoint));
    if hidden {
        text.push_str(
            "\nVisitors have to show a key (petit-server policy list), and nobody has it. Make one: petit-server key create default --rotate\n",
        );
    }
    if args.visitors == FirstVisitors::Open && !made.config && !made.keys {
        text.push_str(
            "\nNothing was changed: this server is set up already, and asks of visitors what it asked before; see that with: petit-server policy list\n",
        );
    }
    text.push_str("\nNext: petit-server start");
    let visitor_key = shown.map(|key| key.expose_secret().to_owned());
    let made = Initialised {
        backup_key: folder.backup_key(),
        config: path.clone(),
        config_made: made.config,
        endpoint: config.endpoint,
        fingerprint,
        key: folder.key(),
        key_made: made.keys,
        key_words: words,
        registry: config.registry_file,
        stale_logs: made.stale_logs,
        tunnel_address: tunnel,
        visitor_key,
    };
    cli::say(json, &text, &made);
    Ok(())
}

/// The first key, and how to ask with it.
fn first_key(key: Option<&SecretString>, endpoint: &Endpoint) -> String {
    let Some(key) = key else { return String::new() };
    format!(
        "\nVisitors have to show a key (petit-server policy list); raw TCP services let in this computer alone. \
         This is the first key, and it is shown this once; {}",
        key::how_to_show(key.expose_secret(), endpoint)
    )
}

/// Makes the folder that [`ways_for_https`] says a certificate goes into, unless the operator has chosen another.
fn make_place_for_certificate(config: &Config) -> Result<(), Failure> {
    match config.certificate.parent() {
        Some(place)
            if config.endpoint.is_https() && !config.certificate_named && place == config.certificates =>
        {
            files::make_private_dir(place).map_err(|error| Failure::of(&error))
        }
        _ => Ok(()),
    }
}

/// What is still to be done before HTTPS visitors get in.
fn ways_for_https(config: &Config) -> String {
    let (domain, port) = (config.endpoint.domain(), config.endpoint.visitors_port());
    let (certificate, key) = (config.certificate.display(), config.certificate_key.display());
    if !config.endpoint.is_https() || !certificate::files(config).is_empty() {
        String::new()
    } else if config.certificate.parent() != Some(config.certificates.as_path()) {
        format!(
            "Put a certificate for *.{domain} into {}: NAME.crt with NAME.key, or a folder with fullchain.pem and privkey.pem.\n",
            config.certificates.display()
        )
    } else if port == config.secure_proxy_port {
        format!("Put a certificate for *.{domain} into {certificate}, and its key into {key}.\n")
    } else {
        format!(
            "Visitors come to port {port}. Put a proxy with a certificate for *.{domain} there, in front of {}:{}; \
             or set secure_proxy_port = {port} and put the certificate into {certificate}, its key into {key}.\n",
            config.proxy_bind, config.proxy_port
        )
    }
}

fn template(args: &InitArgs<'_>) -> String {
    let mut text = config::template();
    if let Some(endpoint) = args.endpoint {
        text = text.replace("http://REGID.localhost:8090", &endpoint.to_string());
    }
    if let Some(port) = args.port {
        text = text.replace("# secure_proxy_port = 8453", &format!("secure_proxy_port = {port}"));
    }
    if let Some(folder) = args.certificates {
        // What is a string in JSON is one in TOML.
        let folder = serde_json::Value::from(folder.display().to_string());
        text = text.replace("# certificates = \"certificates\"", &format!("certificates = {folder}"));
    }
    text
}

/// Reads the config and everything that it names.
pub(crate) async fn check(json: bool, folder: &Folder) -> Result<(), Failure> {
    let (config, notes) = config::load(&folder.config).map_err(|error| all_mistakes(folder, &error))?;
    let mut notes: Vec<ConfigNote> =
        notes.into_iter().map(|note| ConfigNote { line: Some(note.line), message: note.message }).collect();
    folder.pins().map_err(|error| start_failure(&ServerStartError::Key(error)))?;
    let known = Known::of(folder).await;
    let found = known.policy_mistakes(folder, &config);
    if !found.is_empty() {
        return Err(Failure::of_mistakes(&folder.config, &found));
    }
    let names = PublicNames { endpoint: &config.endpoint, aliases: known.aliases.keys().cloned().collect() };
    let certificates =
        certificate::load(&config).replace(&[], &names).map_err(|error| Failure::of(&error))?;
    let mut note = |message: String| notes.push(ConfigNote { line: None, message });
    let now = SystemTime::now();
    for certificate in &certificates {
        if certificate.expiry(now) != Expiry::Later || certificate.exposed_key().is_some() {
            note(format!("HTTPS visitors are shown {}", show::certificate(&certificate.view(now))));
        }
        if !names.fits(certificate) {
            let (path, waits_for) = (certificate.path.display(), certificate::said(&certificate.names));
            note(format!("{path} is for {waits_for}, where no service is reached"));
        }
    }
    for host in names.uncovered(&certificates) {
        note(format!("no certificate covers {host}, so its HTTPS visitors will be warned off"));
    }
    let https = !certificates.is_empty();
    if let Some(found) = petit_server::fronts::notes(&config, https) {
        note(fronts::note(&found));
    }
    if !https {
        let path = config.certificate.display();
        note(format!("there is no certificate at {path}, so HTTPS visitors are not served"));
    }
    known.keyless(&config).iter().for_each(|keyless| note(refusals::keyless(keyless, &folder.config)));
    capacity::complaints(&config, petit_host::harden::raise_open_files()).for_each(&mut note);
    let mut text = format!("{} is fine.", folder.config.display());
    for note in &notes {
        let line = note.line.map(|line| format!(" line {line}:")).unwrap_or_default();
        text.push_str(&format!("\nnote:{line} {}", note.message));
    }
    let path = folder.config.clone();
    cli::say(json, &text, &ConfigChecked { fine: true, https_visitors: https, notes, path });
    Ok(())
}

/// What is wrong with the config file: everything, where it can be read at all.
fn all_mistakes(folder: &Folder, error: &ConfigError) -> Failure {
    let text = std::fs::read_to_string(&folder.config).unwrap_or_default();
    match Mistakes::of::<Config>(&folder.config, &text, error) {
        None => config_failure(error),
        Some(Mistakes { found, syntax: false }) => Failure::of_mistakes(&folder.config, &found),
        Some(Mistakes { found, syntax: true }) => {
            let failure = Failure::of_mistakes(&folder.config, &found);
            failure.hint("what stands behind this place was not looked at")
        }
    }
}

/// What the registry has, of the running server or out of its file, as far as a config has to fit to it. Nothing where
/// there is neither yet.
struct Known {
    aliases: BTreeMap<Alias, RegisteredId>,
    /// Those of the registry.
    policies: Vec<PolicyView>,
    /// `None`: nobody knows.
    keys: Option<Vec<KeyView>>,
}

impl Known {
    async fn of(folder: &Folder) -> Self {
        let access = AdminAccess::new(folder);
        let aliases = access.ask(&ListAliases).await.ok();
        let list = access.ask(&ListPolicies).await.ok();
        let of_registry = |view: &PolicyView| view.origin == PolicyOrigin::Registry;
        let keys = access.ask(&ListKeys).await.ok();
        Self {
            aliases: aliases.into_iter().flat_map(|list| list.aliases).map(|it| (it.alias, it.id)).collect(),
            policies: list.into_iter().flat_map(|list| list.policies).filter(of_registry).collect(),
            keys: keys.map(|list| list.keys),
        }
    }

    fn policy_mistakes(&self, folder: &Folder, config: &Config) -> Vec<String> {
        let is_key = |name: &VisitorKeyName| {
            self.keys.as_ref().is_none_or(|keys| keys.iter().any(|key| key.name == *name))
        };
        let policies: Vec<Policy> = self.policies.iter().map(|view| view.policy.clone()).collect();
        let owner = |alias: &Alias| self.aliases.get(alias).copied();
        let found = file_conflicts(&config.policies.list, &policies, is_key, owner);
        found.iter().map(|found| config.policies.error(&folder.config, found).to_string()).collect()
    }

    /// The policies of the registry and of this config that let nobody in, because all their keys were revoked.
    fn keyless(&self, config: &Config) -> Vec<KeylessPolicy> {
        let revoked = self.keys.iter().flatten().filter(|key| key.revoked.is_some());
        let revoked: Vec<VisitorKeyName> = revoked.map(|key| key.name.clone()).collect();
        let in_file = config.policies.list.iter().filter(|policy| policy.is_keyless(&revoked));
        let in_file = in_file
            .map(|policy| KeylessPolicy { policy: policy.name.clone(), origin: PolicyOrigin::ConfigFile });
        self.policies.iter().filter_map(PolicyView::keyless).chain(in_file).collect()
    }
}

/// Writes a backup: the running server does, or this program while none runs.
pub(crate) async fn backup(json: bool, folder: &Folder, to: &Path) -> Result<(), Failure> {
    let to = std::path::absolute(to).unwrap_or_else(|_| to.to_owned());
    let done = match Client::new(&folder.socket()).ask(&MakeBackup { folder: to.clone() }).await {
        Ok(done) => done,
        Err(AskError::Call(CallError::NotRunning)) => {
            let config = load(&folder.config)?;
            let offline = Offline::open(&config, folder).await.map_err(|error| start_failure(&error))?;
            let left_out = backup::backup(offline.directory.store().as_ref(), &config, folder, &to).await;
            offline.close().await;
            let left_out = left_out.map_err(|error| backup_failure(&error))?;
            BackedUp { backup: to.clone(), left_out }
        }
        Err(AskError::Call(CallError::Refused(problem))) if problem.code == MakeBackup::NOT_EMPTY => {
            return Err(backup_failure(&BackupError::NotEmpty(to)));
        }
        Err(error) => return Err(Failure::of_asked(error, PROGRAM)),
    };
    let mut text = format!(
        "Everything that the server needs is in {}.\nKeep it as safe as the server's key, which is in it.",
        to.display()
    );
    for path in &done.left_out {
        text.push_str(&format!(
            "\nNot in it is {}: it lies outside of the server's folder, and whoever renews it there keeps it.",
            path.display()
        ));
    }
    cli::say(json, &text, &done);
    Ok(())
}

/// Puts a backup back.
pub(crate) async fn restore(json: bool, folder: &Folder, from: &Path) -> Result<(), Failure> {
    // Where the registry lies is what the config says: the one that is there, else the backup's.
    let config = match config::load(&folder.config) {
        Ok((config, _)) => config,
        Err(ConfigError::Missing { .. }) => {
            let text = std::fs::read_to_string(from.join("config.toml")).unwrap_or_default();
            config::parse(&folder.config, &text)
                .map(|(config, _)| config)
                .map_err(|error| config_failure(&error))?
        }
        Err(error) => return Err(config_failure(&error)),
    };
    let restored = backup::restore(&config, folder, from).await.map_err(|error| backup_failure(&error))?;
    let (clients, services) = restored.counts;
    let mut text = format!("The backup is in place: {clients} clients with {services} services.");
    for aside in &restored.aside {
        text.push_str(&format!("\nWhat was there before is in {}.", aside.display()));
    }
    for path in &restored.missing {
        let path = path.display();
        text.push_str(&format!(
            "\nThe config names {path}, which is not there; put it there before the start."
        ));
    }
    text.push_str("\nNext: petit-server start");
    let mut aside = restored.aside.into_iter();
    let restored = BackupRestored {
        aside: aside.next(),
        aside_elsewhere: aside.next(),
        clients,
        config_restored: restored.config,
        missing: restored.missing,
        services,
    };
    cli::say(json, &text, &restored);
    Ok(())
}

fn backup_failure(error: &BackupError) -> Failure {
    match error {
        BackupError::NotEmpty(_) => Failure::of(error).hint("name a folder that is not there yet"),
        BackupError::Start(ServerStartError::Running { .. }) => {
            Failure::of(error).hint("stop it first: petit-server stop")
        }
        BackupError::Start(error) => start_failure(error),
        BackupError::Store(error) if *error.kind() == StoreErrorKind::NotARegistry => {
            Failure::of(error).hint("what is damaged cannot be backed up or put back; use an older backup")
        }
        BackupError::HalfDone { left, .. } => Failure::of(error).hint(format!(
            "move the files in {} back to where they were, or restore again",
            left.display()
        )),
        BackupError::NoBackup { missing: "backup.pin", folder } => Failure::of(error).hint(format!(
            "if the server had none, say so with an empty file, and restore again: install -m 600 /dev/null {}",
            folder.join("backup.pin").display()
        )),
        BackupError::NoBackup { .. }
        | BackupError::Damaged(_)
        | BackupError::Store(_)
        | BackupError::File(_) => Failure::of(error),
    }
}
