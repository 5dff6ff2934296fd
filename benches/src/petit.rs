//! Petit's own programs, set up as a person would: init, invite, register, run.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use petit_tests::chaos::Chaos;
use serde_json::Value;

use crate::load::Front;
use crate::process::{Processes, output};

/// A server and a client, each with a folder.
pub(crate) struct Petit {
    programs: PathBuf,
    server: PathBuf,
    client: PathBuf,
    server_config: String,
}

/// How the client reaches the server.
pub(crate) enum DialVia<'a> {
    Straight,
    /// Through a proxy, whose target is set.
    Through(&'a Chaos),
}

/// Both running, with one service registered.
pub(crate) struct RunningPetit {
    pub(crate) front: Front,
    pub(crate) processes: Processes,
    pub(crate) server: u32,
    pub(crate) client: u32,
}

impl Petit {
    pub(crate) fn new(programs: &Path, dir: &Path, server_config: &str) -> Result<Self> {
        for side in ["server", "client"] {
            fs::create_dir_all(dir.join(side)).context("cannot make a folder")?;
        }
        Ok(Self {
            programs: programs.to_owned(),
            server: dir.join("server").join("config.toml"),
            client: dir.join("client").join("config.toml"),
            server_config: server_config.to_owned(),
        })
    }

    /// Starts the server, registers a client for `service` and starts it.
    pub(crate) fn start(&self, service: SocketAddr, via: &DialVia<'_>) -> Result<RunningPetit> {
        let address = match via {
            DialVia::Straight => String::new(),
            DialVia::Through(chaos) => format!("tunnel_address = \"{}\"\n", chaos.address()),
        };
        write_server_config(&self.server, 0, &format!("{address}{}", self.server_config))?;
        fs::write(&self.client, "[client]\nkey_store = \"file\"\n")
            .context("cannot write the client's config")?;
        let mut processes = Processes::default();
        self.ask_server(&["init", "--open"])?;
        let server = processes.start_ready(&mut self.server(&["run", "--background"]))?;
        let status = self.ask_server(&["status"])?;
        let http: SocketAddr = text(&status, "/http")?.parse().context("the server's address")?;
        if let DialVia::Through(chaos) = via {
            chaos.retarget(text(&status, "/tls")?.parse().context("the server's address")?);
        }
        let link = self.client.with_file_name("invite");
        fs::write(&link, text(&self.ask_server(&["invite"])?, "/link")?)
            .context("cannot write the invite")?;
        let (service, link) = (service.to_string(), link.display().to_string());
        let register = ["register", "--json", "--service", &service, "--invite-file", &link];
        let registered = output(&mut self.client(&register))?;
        let registered: Value = serde_json::from_str(&registered).context("what register says")?;
        let url = text(&registered, "/url")?;
        let host = url.split_once("://").map_or(url.as_str(), |(_, host)| host);
        let client = processes.start_ready(&mut self.client(&["run", "--background"]))?;
        Ok(RunningPetit { front: Front::new(http, host), processes, server, client })
    }

    /// A command of the server's.
    pub(crate) fn server(&self, arguments: &[&str]) -> Command {
        command(&self.programs.join("petit-server"), &self.server, arguments)
    }

    /// A command of the client's.
    pub(crate) fn client(&self, arguments: &[&str]) -> Command {
        command(&self.programs.join("petit-client"), &self.client, arguments)
    }

    fn ask_server(&self, arguments: &[&str]) -> Result<Value> {
        ask(&mut self.server(arguments))
    }
}

/// Writes the config of a server on loopback. Clients come in on `port`, 0 for one that the system chooses as it
/// does the other.
pub(crate) fn write_server_config(path: &Path, port: u16, more: &str) -> Result<()> {
    let config = format!(
        "[server]\nproxy_port = 0\nsecure_bind = \"127.0.0.1\"\nsecure_proxy_port = {port}\n{more}\n\
         [server.vitae]\nendpoint = \"http://REGID.localhost:0\"\n"
    );
    fs::write(path, config).with_context(|| format!("cannot write {}", path.display()))
}

/// One of Petit's programs with its config file.
pub(crate) fn command(program: &Path, config: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).arg("--config").arg(config).env_remove("PETIT_CONFIG");
    command
}

/// Runs a command and returns the JSON that it prints.
pub(crate) fn ask(command: &mut Command) -> Result<Value> {
    let said = output(command.arg("--json"))?;
    if said.trim().is_empty() {
        return Ok(Value::Null);
    }
    serde_json::from_str(&said).with_context(|| format!("no JSON: {said}"))
}

/// A text in an answer.
pub(crate) fn text(value: &Value, pointer: &str) -> Result<String> {
    let found = value.pointer(pointer).and_then(Value::as_str);
    found.map(str::to_owned).with_context(|| format!("{pointer} is missing in {value}"))
}
