//! `init`: a config file, the server's keys and its registry, or none of them.

use petit_engine::name::Endpoint;
use petit_engine::secret::Fingerprint;
use petit_host::cli::{self, Failure};
use petit_host::exit::ExitCode;
use petit_host::files;
use petit_server::api::Initialised;
use petit_server::certificate;
use petit_server::config::{self, Config, ConfigError, NoServer};
use petit_server::folder::Folder;
use petit_server::server::{Begun, ConfigIs, ServerStartError, tunnel_address};
use secrecy::ExposeSecret;

use super::common::{config_failure, start_failure};
use super::init_order::{FirstVisitors, InitArgs, InitDone, NewConfig};
use super::socket_unit::{self, Agreed};
use super::{key, replace, service};

/// The config that is there, or the one that is to be written.
async fn config_of(folder: &Folder, args: &InitArgs<'_>) -> Result<(Config, Option<NewConfig>), Failure> {
    let path = &folder.config;
    let new = match config::load(path) {
        Ok((config, _)) if !args.are_those_of(path, &config) && args.replace => {
            let (config, new) = replace::replacement(folder, args, &config).await?;
            return Ok((config, Some(new)));
        }
        Ok((config, _)) if !args.are_those_of(path, &config) => {
            let (endpoint, port) = (&config.endpoint, config.secure_proxy_port);
            let problem = format!(
                "{} has a [server] part already, for {endpoint} and port {port}; it was not changed",
                path.display()
            );
            return Err(Failure::new(ExitCode::Failed, problem).hint(format!(
                "if no client has registered yet, type the same with --replace; otherwise {}",
                replace::BY_HAND
            )));
        }
        Ok((config, _)) => return Ok((config, None)),
        Err(ConfigError::Missing { .. }) => {
            NewConfig { text: template(args), write: folder.first_config(), kept: None }
        }
        Err(ConfigError::Part { misfit: NoServer, .. }) => {
            // The client's part stays as it is.
            let client = petit_host::config::read(path).map_err(|error| config_failure(&error))?;
            let text = petit_host::config::with_part(&client, &template(args));
            NewConfig { text, write: files::write_keeping_rights, kept: None }
        }
        Err(error) => return Err(config_failure(&error)),
    };
    let (config, _) = config::parse(path, &new.text).map_err(|error| config_failure(&error))?;
    Ok((config, Some(new)))
}

/// Makes what is missing: registry and keys, then the config file, so that there is no config without them. Where one of
/// them cannot be made, none is.
async fn make(
    folder: &Folder,
    args: &InitArgs<'_>,
    config: &Config,
    new: Option<&NewConfig>,
) -> Result<InitDone, Failure> {
    let mut begun = match Begun::new(config, folder, args.lost).await {
        Ok(begun) => Some(begun),
        // A running server has all of it.
        Err(ServerStartError::Running { .. }) => None,
        Err(error) => return Err(start_failure(&error)),
    };
    let first_key = match &begun {
        Some(begun) if args.visitors != FirstVisitors::Open => {
            let is_new = new.is_some_and(|new| new.kept.is_none());
            let config_is = if is_new { ConfigIs::New } else { ConfigIs::There };
            begun.default_policies(config, config_is).await.map_err(ServerStartError::Store)
        }
        Some(_) | None => Ok(None),
    };
    // The config last, as the server begins with it.
    let written = first_key.and_then(|key| {
        new.map_or(Ok(()), |new| new.put(&folder.config))
            .map_err(|error| ServerStartError::Key(error.into()))?;
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
    Ok(InitDone { keys, stale_logs, visitor_key })
}

/// Makes what is missing, and leaves what is there.
pub(crate) async fn init(json: bool, folder: &Folder, args: &InitArgs<'_>) -> Result<(), Failure> {
    let (config, new) = config_of(folder, args).await?;
    let tunnel = tunnel_address(&config, &config.endpoint, config.secure_proxy_port);
    let tunnel = tunnel.map_err(|error| Failure::of(&error))?;
    let made = if folder.is_out_of_bounds() {
        service::make(folder, args, &config, new.as_ref())?
    } else {
        make(folder, args, &config, new.as_ref()).await?
    };
    // The first key is shown this once: what goes wrong from here on is said behind it.
    let socket = match folder.is_out_of_bounds() {
        true => socket_unit::agree(&config),
        false => make_place_for_certificate(&config).map(|()| Agreed::Already),
    };
    let pins = folder.pins().map_err(|error| Failure::of(&error));
    let (socket, trouble) = match (socket, &pins) {
        (Ok(socket), Ok(_)) => (socket, None),
        (Err(failure), _) => (Agreed::Already, Some(failure)),
        (Ok(socket), Err(_)) => (socket, pins.as_ref().err().cloned()),
    };
    let pins = pins.unwrap_or_default();
    let fingerprint = pins.first().map(ToString::to_string).unwrap_or_default();
    let words = pins.first().map(Fingerprint::words).unwrap_or_default();
    let (shown, is_hidden) = match args.visitors {
        FirstVisitors::KeyedLater => (None, made.visitor_key.is_some()),
        FirstVisitors::Keyed | FirstVisitors::Open => (made.visitor_key, false),
    };
    let made = Initialised {
        backup_key: folder.backup_key(),
        config: folder.config.clone(),
        config_before: new.as_ref().and_then(|new| new.kept.clone()),
        config_made: new.as_ref().is_some_and(|new| new.kept.is_none()),
        endpoint: config.endpoint.clone(),
        fingerprint,
        key: folder.key(),
        key_made: made.keys,
        key_words: words,
        registry: config.registry_file.clone(),
        stale_logs: made.stale_logs,
        tunnel_address: tunnel,
        visitor_key: shown.map(|key| key.expose_secret().to_owned()),
    };
    let mut text = said(&made, folder, &config, args.visitors);
    if is_hidden {
        text.push_str(
            "\nVisitors have to show a key (petit-server policy list), and nobody has it. Make one: petit-server key create default --rotate\n",
        );
    }
    if let Some(said) = socket.said() {
        text.push_str(&format!("\n{said}\n"));
    }
    if trouble.is_none() {
        text.push_str(next(&made));
    }
    cli::say(json, &text, &made);
    trouble.map_or(Ok(()), |failure| Err(failure.hint("everything else is set up, as is said above")))
}

/// What was made, and what is next.
fn said(made: &Initialised, folder: &Folder, config: &Config, visitors: FirstVisitors) -> String {
    let mut text = String::new();
    let did = |made: bool| if made { "made" } else { "there already" };
    let became = match &made.config_before {
        Some(before) => format!("changed; the one before is {}", before.display()),
        None => did(made.config_made).to_owned(),
    };
    text.push_str(&format!("Config     {} ({became})\n", made.config.display()));
    text.push_str(&format!("Server key {} ({})\n", made.key.display(), did(made.key_made)));
    text.push_str(&format!("           {}\n", made.fingerprint));
    let words = &made.key_words;
    text.push_str(&format!("           {}\n           {}\n", words.english, words.german));
    text.push_str(&format!("Registry   {}\n", made.registry.display()));
    for log in &made.stale_logs {
        text.push_str(&format!("           what is left of the one before is in {}\n", log.display()));
    }
    if made.key_made {
        text.push_str(&format!(
            "\nMove {} to a safe place: clients accept it should the server key ever be lost.\n",
            made.backup_key.display()
        ));
    }
    text.push_str(&format!("Addresses  {}\n", config.endpoint));
    text.push_str(&format!("Clients    connect to {}\n", made.tunnel_address));
    if !config.endpoint.is_local() {
        let domain = config.endpoint.domain();
        text.push_str(&format!(
            "\nLead all names *.{domain} to this computer (DNS), and let port {} in from outside.\n",
            config.secure_proxy_port
        ));
    }
    text.push_str(&ways_for_https(folder, config));
    text.push_str(&first_key(made.visitor_key.as_deref(), &config.endpoint));
    if config.endpoint.is_local() {
        text.push_str(FOR_TRIAL);
    }
    if made.config_before.is_some() {
        text.push_str(
            "\nIt asks of visitors what it asked before, and their keys are those of before: petit-server policy list. One that is lost is made anew with: petit-server key create default --rotate\nInvites that were made before lead to where it was, so make new ones.\n",
        );
    } else if visitors == FirstVisitors::Open && !made.config_made && !made.key_made {
        text.push_str(
            "\nNothing was changed: this server is set up already, and asks of visitors what it asked before; see that with: petit-server policy list\n",
        );
    }
    text
}

/// What has to be known of a server whose names are under `localhost`.
const FOR_TRIAL: &str = "
This server is for this machine alone, to try it: names under localhost lead nowhere else. For customers it needs a domain of yours: petit-server init --endpoint https://REGID.example.com --port 443 --replace
";

/// What is to be done next. A server that runs has the addresses of before.
fn next(made: &Initialised) -> &'static str {
    match made.config_before {
        Some(_) => "\nNext: petit-server start (where it runs already: petit-server stop first)",
        None => "\nNext: petit-server start",
    }
}

/// The first key, and how to ask with it.
fn first_key(key: Option<&str>, endpoint: &Endpoint) -> String {
    let Some(key) = key else { return String::new() };
    format!(
        "\nVisitors have to show a key (petit-server policy list); raw TCP services let in this computer alone. \
         This is the first key, and it is shown this once; {}",
        key::how_to_show(key, endpoint)
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
fn ways_for_https(folder: &Folder, config: &Config) -> String {
    let (domain, port) = (config.endpoint.domain(), config.endpoint.visitors_port());
    let (certificate, key) = (config.certificate.display(), config.certificate_key.display());
    if !config.endpoint.is_https() || !certificate::files(config).is_empty() {
        String::new()
    } else if folder.is_out_of_bounds() && port == config.secure_proxy_port {
        // Its files are the service's own user's.
        format!(
            "Hand over a certificate for *.{domain}, again for each renewal: petit-server certificate put FOLDER, as that of certbot, or FILE --key FILE.\n"
        )
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
